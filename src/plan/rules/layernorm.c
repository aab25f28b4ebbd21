#include "plan/rules/rules.h"

static int layernorm_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_matrix(in[0])) return fail(STATUS_USAGE, "x must be a matrix");
    if (!is_vector(in[1], in[0]->dim[1]) || (in[2] && !is_vector(in[2], in[0]->dim[1])))
        return fail(STATUS_USAGE, "w and b must have x's width, %lld", (long long)in[0]->dim[1]);
    set_like(out[0], in[0]);
    set_shape(out[1], dtype_of_sums(in[0]->type), in[0]->dim[0], 0);
    set_shape(out[2], dtype_of_sums(in[0]->type), in[0]->dim[0], 0);
    return 0;
}

static int layernorm_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_layernorm_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->in[0];
    g.in[2] = op->out[1];
    g.in[3] = op->out[2];
    g.in[4] = op->in[1];
    TRY(grad_param(c, &g, 1, op->in[1]));
    TRY(grad_param(c, &g, 2, op->in[2]));
    return grad_emit(c, &g, op->in[0], 5);
}

/* Sum, sum of squares, normalize, scale and shift: about 7 operations an element. */
static int64_t layernorm_flops(const struct plan *plan, const struct op *op) {
    return 7 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_layernorm = {.shape = layernorm_shape, .grad = layernorm_grad, .flops = layernorm_flops};

static int layernorm_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_matrix(in[0]) || !same_shape(in[0], in[1])) return fail(STATUS_USAGE, "dy and x must have one shape");
    if (!in[2] || !in[3] || in[2]->dim[0] != in[1]->dim[0])
        return fail(STATUS_USAGE, "needs mean and rstd of each row");
    if (!is_vector(in[4], in[1]->dim[1])) return fail(STATUS_USAGE, "w must have x's width");
    if (in[5] && !same_shape(in[5], in[1])) return fail(STATUS_USAGE, "prev must have x's shape");
    set_like(out[0], in[1]);
    set_sums_like(out[1], in[4]);
    set_sums_like(out[2], in[4]);
    return 0;
}

static int64_t layernorm_grad_flops(const struct plan *plan, const struct op *op) {
    return 14 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_layernorm_grad = {.shape = layernorm_grad_shape, .flops = layernorm_grad_flops};
