#include "plan/rules/rules.h"

static int dropout_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    if (!in[0] || in[0]->type == DTYPE_I32) return fail(STATUS_USAGE, "needs real values");
    if (!(op->attr.rate >= 0 && op->attr.rate < 1))
        return fail(STATUS_USAGE, "rate %g is not in [0, 1)", op->attr.rate);
    set_like(out[0], in[0]);
    return 0;
}

/* The gradient is the same op on dy: the same site draws the same mask. */
static int dropout_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_dropout, op);
    g.in[0] = grad_of(c, op->out[0]);
    return grad_emit(c, &g, op->in[0], NONE);
}

static int64_t dropout_flops(const struct plan *plan, const struct op *op) { return operand_elems(plan, op->in[0]); }

const struct op_rule rule_dropout = {.shape = dropout_shape, .grad = dropout_grad, .flops = dropout_flops};
