#include "plan/rules/rules.h"

static int embed_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t rows = op->attr.batch * op->attr.time;
    if (!in[0] || in[0]->type != DTYPE_I32 || buf_elems(in[0]) < rows)
        return fail(STATUS_USAGE, "needs %lld token ids", (long long)rows);
    if (!is_matrix(in[1])) return fail(STATUS_USAGE, "the token table must be a matrix");
    if (in[2] && (!is_matrix(in[2]) || in[2]->dim[1] != in[1]->dim[1] || in[2]->dim[0] < op->attr.time))
        return fail(STATUS_USAGE,
                    "the position table must have the width of the token table and a row for each position");
    TRY(check_starts(in[3], rows));
    set_shape(out[0], in[1]->type, rows, in[1]->dim[1]);
    return 0;
}

static int embed_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_embed_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->in[0];
    g.in[2] = op->in[3];
    TRY(grad_param(c, &g, 0, op->in[1]));
    TRY(grad_param(c, &g, 1, op->in[2]));
    return plan_add_op(c->plan, &g);
}

/* Reads one row of the table for each token, not the table. */
static int64_t embed_bytes(const struct plan *plan, const struct op *op) {
    return buf_bytes(&plan->bufs[op->out[0]]) * (op->in[2] == NONE ? 2 : 3) + 4 * op->attr.batch * op->attr.time;
}

const struct op_rule rule_embed = {.shape = embed_shape, .grad = embed_grad, .bytes = embed_bytes};

static int embed_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t rows = op->attr.batch * op->attr.time;
    if (!is_matrix(in[0]) || in[0]->dim[0] != rows) return fail(STATUS_USAGE, "needs a gradient row for each token");
    if (!in[1] || in[1]->type != DTYPE_I32) return fail(STATUS_USAGE, "needs token ids");
    TRY(check_starts(in[2], rows));
    set_shape(out[0], dtype_of_sums(in[0]->type), op->attr.vocab, in[0]->dim[1]);
    set_shape(out[1], dtype_of_sums(in[0]->type), op->attr.positions, in[0]->dim[1]);
    return 0;
}

static int64_t embed_grad_flops(const struct plan *plan, const struct op *op) {
    return operand_elems(plan, op->in[0]) * (op->out[1] == NONE ? 1 : 2);
}

const struct op_rule rule_embed_grad = {.shape = embed_grad_shape, .flops = embed_grad_flops};
