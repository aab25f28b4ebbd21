#include "plan/rules/qkv.h"

static int qk_norm_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t size = 0;
    TRY(check_qkv(op, in[0], &size));
    if (!is_vector(in[1], size) || !is_vector(in[2], size))
        return fail(STATUS_USAGE, "wq and wk must have a head's %lld channels", (long long)size);
    set_like(out[0], in[0]);
    set_shape(out[1], dtype_of_sums(in[0]->type), in[0]->dim[0], op->attr.heads + op->attr.kv_heads);
    return 0;
}

static int qk_norm_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_qk_norm_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->in[0];
    g.in[2] = op->out[1];
    g.in[3] = op->in[1];
    g.in[4] = op->in[2];
    TRY(grad_param(c, &g, 1, op->in[1]));
    TRY(grad_param(c, &g, 2, op->in[2]));
    return grad_emit(c, &g, op->in[0], NONE);
}

static int64_t qk_norm_flops(const struct plan *plan, const struct op *op) {
    return 4 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_qk_norm = {.shape = qk_norm_shape, .grad = qk_norm_grad, .flops = qk_norm_flops};

static int qk_norm_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t size = 0;
    TRY(check_qkv(op, in[1], &size));
    if (!same_shape(in[0], in[1])) return fail(STATUS_USAGE, "dy and qkv must have one shape");
    if (!is_matrix(in[2]) || in[2]->dim[0] != in[1]->dim[0] || in[2]->dim[1] != op->attr.heads + op->attr.kv_heads)
        return fail(STATUS_USAGE, "needs rstd of each head of each row");
    if (!is_vector(in[3], size) || !is_vector(in[4], size))
        return fail(STATUS_USAGE, "wq and wk must have a head's %lld channels", (long long)size);
    set_like(out[0], in[1]);
    set_sums_like(out[1], in[3]);
    set_sums_like(out[2], in[4]);
    return 0;
}

static int64_t qk_norm_grad_flops(const struct plan *plan, const struct op *op) {
    return 10 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_qk_norm_grad = {.shape = qk_norm_grad_shape, .flops = qk_norm_grad_flops};
