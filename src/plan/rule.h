/* The rule of an op: what the passes know of it. One file an op family in rules/, one row an op in rules/table.c. */
#ifndef PLAN_RULE_H
#define PLAN_RULE_H

#include "plan/plan.h"

struct grad_context;

struct op_rule {
    /* Checks the inputs and fills type, rank and dimensions of the outputs that are wanted (out[i] is not NULL only for
     * these); an output that does not follow from the inputs is left at rank 0. `in[i]` is NULL for what is left out. On error: fail() with the reason, without the op's name. */
    int (*shape)(const struct op *op, const struct buf *const *in, struct buf *const *out);
    /* Emits the ops that turn the gradient of out[0] into the gradients of the inputs (backward.h). NULL: no gradient. */
    int (*grad)(struct grad_context *context, const struct op *op);
    /* Floating-point operations. NULL: 0. */
    int64_t (*flops)(const struct plan *plan, const struct op *op);
    /* Bytes read and written. NULL: the sum of all operands. */
    int64_t (*bytes)(const struct plan *plan, const struct op *op);
    /* Scratch memory that the CPU kernel needs for each thread, in bytes. NULL: none. */
    int64_t (*scratch)(const struct plan *plan, const struct op *op);
    /* Bytes that this rank sends. NULL: none. */
    int64_t (*wire)(const struct plan *plan, const struct op *op);
};

extern const struct op_rule *const op_rules[OP_COUNT];

#endif
