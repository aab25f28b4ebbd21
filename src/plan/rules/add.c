#include "plan/rules/rules.h"

static int add_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!same_shape(in[0], in[1])) return fail(STATUS_USAGE, "both must have one shape");
    set_like(out[0], in[0]);
    return 0;
}

static int add_grad(struct grad_context *c, const struct op *op) {
    int dy = grad_of(c, op->out[0]);
    TRY(grad_pass(c, op->in[0], dy));
    return grad_pass(c, op->in[1], dy);
}

static int64_t add_flops(const struct plan *plan, const struct op *op) { return operand_elems(plan, op->in[0]); }

const struct op_rule rule_add = {.shape = add_shape, .grad = add_grad, .flops = add_flops};

/* What it writes is a buffer of the plan, whose type does not follow from the input. */
static int cast_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    (void)out;
    return is_real(in[0]) ? 0 : fail(STATUS_USAGE, "needs real values");
}

const struct op_rule rule_cast = {.shape = cast_shape};

static int widen_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    (void)out; /* a part of a buffer of the plan */
    return is_real(in[0]) ? 0 : fail(STATUS_USAGE, "needs real values");
}

const struct op_rule rule_widen = {.shape = widen_shape};

static int take_row_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_matrix(in[0])) return fail(STATUS_USAGE, "needs a matrix");
    set_shape(out[0], in[0]->type, 1, in[0]->dim[1]);
    return 0;
}

static int64_t take_row_bytes(const struct plan *plan, const struct op *op) {
    return 2 * buf_bytes(&plan->bufs[op->out[0]]);
}

const struct op_rule rule_take_row = {.shape = take_row_shape, .bytes = take_row_bytes};
