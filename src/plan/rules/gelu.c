#include "plan/rules/rules.h"

static int gelu_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!in[0] || in[0]->type == DTYPE_I32) return fail(STATUS_USAGE, "needs real values");
    set_like(out[0], in[0]);
    return 0;
}

static int gelu_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_gelu_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->in[0];
    return grad_emit(c, &g, op->in[0], NONE);
}

/* Counted as 12 operations an element, the exponential as one. */
static int64_t gelu_flops(const struct plan *plan, const struct op *op) { return 12 * operand_elems(plan, op->in[0]); }

const struct op_rule rule_gelu = {.shape = gelu_shape, .grad = gelu_grad, .flops = gelu_flops};

static int gelu_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!same_shape(in[0], in[1])) return fail(STATUS_USAGE, "dy and x must have one shape");
    set_like(out[0], in[0]);
    return 0;
}

static int64_t gelu_grad_flops(const struct plan *plan, const struct op *op) {
    return 20 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_gelu_grad = {.shape = gelu_grad_shape, .flops = gelu_grad_flops};
