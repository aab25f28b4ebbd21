#include "plan/rules/qkv.h"

/* The table follows from attributes, so whoever emits the op makes it. */
static int rope_table_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)in;
    (void)out;
    if (op->attr.turning < 2 || op->attr.turning % 2)
        return fail(STATUS_USAGE, "%lld channels do not make pairs", (long long)op->attr.turning);
    if (!(op->attr.theta > 1)) return fail(STATUS_USAGE, "theta %g is not above 1", op->attr.theta);
    return 0;
}

/* A cosine, a sine and a power counted as one operation each. */
static int64_t rope_table_flops(const struct plan *plan, const struct op *op) {
    return 2 * operand_elems(plan, op->out[0]);
}

const struct op_rule rule_rope_table = {.shape = rope_table_shape, .flops = rope_table_flops};

static int rope_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t size = 0;
    TRY(check_qkv(op, in[0], &size));
    if (!is_matrix(in[1]) || in[1]->type != dtype_of_sums(in[0]->type) || in[1]->dim[0] < op->attr.time ||
        in[1]->dim[1] != op->attr.turning)
        return fail(STATUS_USAGE, "the table must have a row of %lld for each of %lld positions",
                    (long long)op->attr.turning, (long long)op->attr.time);
    if (op->attr.turning > size)
        return fail(STATUS_USAGE, "%lld channels turn, but a head has %lld", (long long)op->attr.turning,
                    (long long)size);
    TRY(check_starts(in[2], in[0]->dim[0]));
    set_like(out[0], in[0]);
    return 0;
}

/* A rotation's gradient is the rotation back. */
static int rope_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_rope, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->in[1];
    g.in[2] = op->in[2];
    g.attr.inverse = !op->attr.inverse;
    return grad_emit(c, &g, op->in[0], NONE);
}

/* Four products and two sums a pair. */
static int64_t rope_flops(const struct plan *plan, const struct op *op) {
    return 3 * plan->bufs[op->in[0]].dim[0] * (op->attr.heads + op->attr.kv_heads) * op->attr.turning;
}

const struct op_rule rule_rope = {.shape = rope_shape, .grad = rope_grad, .flops = rope_flops};
