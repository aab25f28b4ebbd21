/* The backward pass: walks the forward ops from last to first and asks each op's rule for the ops of its gradient
 * (reverse-mode differentiation, Griewank & Walther 2008, chapter 3). This header is what rules use.
 *
 * The gradient of a value is a new value. When a second consumer contributes, the new contribution takes the old one as
 * its `prev` input (or an add op joins them). Parameters differ: their gradients are parts of the flat gradient buffer,
 * and an `add` bit tells that an earlier op of the micro-batch has written them already. */
#ifndef PLAN_BACKWARD_H
#define PLAN_BACKWARD_H

#include "plan/plan.h"

struct grad_context {
    struct plan *plan;
    int *grad;     /* for each buffer of the forward: its gradient so far, or NONE */
    char *written; /* for each buffer: a parameter whose gradient has been written */
    int count;
};

/* The gradient of a value so far, or NONE. */
int grad_of(const struct grad_context *context, int value);

/* An op of `kind` with the forward op's attributes and all operands left out. */
struct op grad_op(enum op_kind kind, const struct op *forward);

/* Appends `op`, whose out[0] becomes a contribution to the gradient of `value`. `prev` is the index of the op's input that
 * takes an earlier contribution, or NONE if it has none. */
int grad_emit(struct grad_context *context, struct op *op, int value, int prev);

/* Makes `grad`, a gradient that exists already, a contribution to the gradient of `value` (y = a + b passes dy on). */
int grad_pass(struct grad_context *context, int value, int grad);

/* Sets op->out[i] to the gradient of parameter `param` and its add bit; nothing when `param` is NONE. */
int grad_param(struct grad_context *context, struct op *op, int i, int param);

#endif
