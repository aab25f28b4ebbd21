#include "plan/rules/rules.h"

static int linear_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_matrix(in[0]) || !is_matrix(in[1])) return fail(STATUS_USAGE, "x and w must be matrices");
    if (in[0]->dim[1] != in[1]->dim[1] || in[0]->type != in[1]->type)
        return fail(STATUS_USAGE, "x has %lld columns, w takes %lld", (long long)in[0]->dim[1],
                    (long long)in[1]->dim[1]);
    if (in[2] && (in[2]->rank != 1 || in[2]->dim[0] != in[1]->dim[0]))
        return fail(STATUS_USAGE, "bias must have a value for each row of w");
    set_shape(out[0], in[0]->type, in[0]->dim[0], in[1]->dim[0]);
    return 0;
}

static int linear_grad(struct grad_context *c, const struct op *op) {
    struct op dw = grad_op(OP_linear_dw, op);
    dw.in[0] = grad_of(c, op->out[0]);
    dw.in[1] = op->in[0];
    TRY(grad_param(c, &dw, 0, op->in[1]));
    TRY(grad_param(c, &dw, 1, op->in[2]));
    TRY(plan_add_op(c->plan, &dw));
    struct op dx = grad_op(OP_linear_dx, op);
    dx.in[0] = dw.in[0];
    dx.in[1] = op->in[1];
    return grad_emit(c, &dx, op->in[0], 2);
}

static int64_t linear_flops(const struct plan *plan, const struct op *op) {
    return 2 * operand_elems(plan, op->in[0]) * plan->bufs[op->in[1]].dim[0];
}

const struct op_rule rule_linear = {.shape = linear_shape, .grad = linear_grad, .flops = linear_flops};

static int linear_dx_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_matrix(in[0]) || !is_matrix(in[1]) || in[0]->dim[1] != in[1]->dim[0])
        return fail(STATUS_USAGE, "dy must have a column for each row of w");
    if (in[2] && (in[2]->dim[0] != in[0]->dim[0] || in[2]->dim[1] != in[1]->dim[1]))
        return fail(STATUS_USAGE, "prev must have the shape of the result");
    set_shape(out[0], in[0]->type, in[0]->dim[0], in[1]->dim[1]);
    return 0;
}

static int64_t linear_dx_flops(const struct plan *plan, const struct op *op) {
    return 2 * operand_elems(plan, op->in[0]) * plan->bufs[op->in[1]].dim[1];
}

const struct op_rule rule_linear_dx = {.shape = linear_dx_shape, .flops = linear_dx_flops};

static int linear_dw_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_matrix(in[0]) || !is_matrix(in[1]) || in[0]->dim[0] != in[1]->dim[0])
        return fail(STATUS_USAGE, "dy and x must have the same rows");
    set_shape(out[0], dtype_of_sums(in[0]->type), in[0]->dim[1], in[1]->dim[1]);
    set_shape(out[1], dtype_of_sums(in[0]->type), in[0]->dim[1], 0);
    return 0;
}

static int64_t linear_dw_flops(const struct plan *plan, const struct op *op) {
    return 2 * operand_elems(plan, op->in[0]) * plan->bufs[op->in[1]].dim[1] +
           (op->out[1] == NONE ? 0 : operand_elems(plan, op->in[0]));
}

const struct op_rule rule_linear_dw = {.shape = linear_dw_shape, .flops = linear_dw_flops};
