#include "plan/rules/rules.h"

static int swiglu_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_matrix(in[0]) || in[0]->dim[1] % 2) return fail(STATUS_USAGE, "x must be a matrix of two halves");
    set_shape(out[0], in[0]->type, in[0]->dim[0], in[0]->dim[1] / 2);
    return 0;
}

static int swiglu_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_swiglu_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->in[0];
    return grad_emit(c, &g, op->in[0], NONE);
}

/* Counted as 5 operations an output, the exponential as one. */
static int64_t swiglu_flops(const struct plan *plan, const struct op *op) {
    return 5 * operand_elems(plan, op->in[0]) / 2;
}

const struct op_rule rule_swiglu = {.shape = swiglu_shape, .grad = swiglu_grad, .flops = swiglu_flops};

static int swiglu_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_matrix(in[0]) || !is_matrix(in[1]) || in[0]->dim[0] != in[1]->dim[0] ||
        2 * in[0]->dim[1] != in[1]->dim[1] || in[0]->type != in[1]->type)
        return fail(STATUS_USAGE, "dy must have half of x's columns");
    set_like(out[0], in[1]);
    return 0;
}

static int64_t swiglu_grad_flops(const struct plan *plan, const struct op *op) {
    return 10 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_swiglu_grad = {.shape = swiglu_grad_shape, .flops = swiglu_grad_flops};
