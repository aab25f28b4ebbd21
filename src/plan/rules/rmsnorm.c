#include "plan/rules/rules.h"

static int rmsnorm_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_matrix(in[0])) return fail(STATUS_USAGE, "x must be a matrix");
    if (!is_vector(in[1], in[0]->dim[1]))
        return fail(STATUS_USAGE, "w must have x's width, %lld", (long long)in[0]->dim[1]);
    set_like(out[0], in[0]);
    set_shape(out[1], dtype_of_sums(in[0]->type), in[0]->dim[0], 0);
    return 0;
}

static int rmsnorm_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_rmsnorm_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->in[0];
    g.in[2] = op->out[1];
    g.in[3] = op->in[1];
    TRY(grad_param(c, &g, 1, op->in[1]));
    return grad_emit(c, &g, op->in[0], 4);
}

/* Square, sum, scale twice: about 4 operations an element. */
static int64_t rmsnorm_flops(const struct plan *plan, const struct op *op) {
    return 4 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_rmsnorm = {.shape = rmsnorm_shape, .grad = rmsnorm_grad, .flops = rmsnorm_flops};

static int rmsnorm_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_matrix(in[0]) || !same_shape(in[0], in[1])) return fail(STATUS_USAGE, "dy and x must have one shape");
    if (!in[2] || in[2]->dim[0] != in[1]->dim[0]) return fail(STATUS_USAGE, "needs rstd of each row");
    if (!is_vector(in[3], in[1]->dim[1])) return fail(STATUS_USAGE, "w must have x's width");
    if (in[4] && !same_shape(in[4], in[1])) return fail(STATUS_USAGE, "prev must have x's shape");
    set_like(out[0], in[1]);
    set_sums_like(out[1], in[3]);
    return 0;
}

static int64_t rmsnorm_grad_flops(const struct plan *plan, const struct op *op) {
    return 10 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_rmsnorm_grad = {.shape = rmsnorm_grad_shape, .flops = rmsnorm_grad_flops};
