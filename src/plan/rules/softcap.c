#include "plan/rules/rules.h"

static int softcap_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    if (!in[0] || in[0]->type == DTYPE_I32) return fail(STATUS_USAGE, "needs real values");
    if (!(op->attr.cap > 0)) return fail(STATUS_USAGE, "the cap %g is not positive", op->attr.cap);
    set_like(out[0], in[0]);
    return 0;
}

/* From y and not from x, so that the logits need not be kept twice. */
static int softcap_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_softcap_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->out[0];
    return grad_emit(c, &g, op->in[0], NONE);
}

/* Counted as 8 operations an element, the exponential as one. */
static int64_t softcap_flops(const struct plan *plan, const struct op *op) {
    return 8 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_softcap = {.shape = softcap_shape, .grad = softcap_grad, .flops = softcap_flops};

static int softcap_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!same_shape(in[0], in[1])) return fail(STATUS_USAGE, "dy and y must have one shape");
    set_like(out[0], in[0]);
    return 0;
}

static int64_t softcap_grad_flops(const struct plan *plan, const struct op *op) {
    return 4 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_softcap_grad = {.shape = softcap_grad_shape, .flops = softcap_grad_flops};
