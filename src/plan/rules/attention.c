#include "plan/rules/qkv.h"

static int attention_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t size = 0;
    TRY(check_qkv(op, in[0], &size));
    TRY(check_starts(in[1], in[0]->dim[0]));
    set_shape(out[0], in[0]->type, in[0]->dim[0], op->attr.heads * size);
    set_shape(out[1], dtype_of_sums(in[0]->type), op->attr.batch * op->attr.heads, op->attr.time);
    return 0;
}

static int attention_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_attention_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->in[0];
    g.in[2] = op->out[0];
    g.in[3] = op->out[1];
    g.in[4] = op->in[1];
    return grad_emit(c, &g, op->in[0], NONE);
}

/* Channels of the queries: heads times their size. */
static int64_t query_width(const struct plan *plan, const struct op *op, int qkv) {
    return plan->bufs[op->in[qkv]].dim[1] / (op->attr.heads + 2 * op->attr.kv_heads) * op->attr.heads;
}

/* One matrix product over the causal half: 2 * width * time / 2 a token. */
static int64_t product_flops(const struct plan *plan, const struct op *op, int qkv) {
    return plan->bufs[op->in[qkv]].dim[0] * (op->attr.time + 1) * query_width(plan, op, qkv);
}

static int64_t attention_flops(const struct plan *plan, const struct op *op) { return 2 * product_flops(plan, op, 0); }

/* `scores` reals, `rows` rows of a head, and `halves` more where values have to be turned into reals first. */
static int64_t scratch_bytes(const struct plan *plan, const struct op *op, int qkv, int64_t scores, int64_t rows,
                             int64_t halves) {
    enum dtype type = plan->bufs[op->in[qkv]].type, sums = dtype_of_sums(type);
    int64_t size = query_width(plan, op, qkv) / op->attr.heads;
    return (scores + (rows + (type == sums ? 0 : halves)) * size) * (int64_t)dtype_size(sums);
}

static int64_t attention_scratch(const struct plan *plan, const struct op *op) {
    return scratch_bytes(plan, op, 0, ATTENTION_TILE * op->attr.time, ATTENTION_TILE,
                         2 * op->attr.time + ATTENTION_TILE);
}

const struct op_rule rule_attention = {
    .shape = attention_shape, .grad = attention_grad, .flops = attention_flops, .scratch = attention_scratch};

static int attention_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t size = 0;
    TRY(check_qkv(op, in[1], &size));
    if (!is_matrix(in[0]) || in[0]->dim[1] != op->attr.heads * size || !same_shape(in[0], in[2]))
        return fail(STATUS_USAGE, "do and o must have one shape");
    if (!in[3] || buf_elems(in[3]) != op->attr.batch * op->attr.heads * op->attr.time)
        return fail(STATUS_USAGE, "needs lse of every row");
    TRY(check_starts(in[4], in[1]->dim[0]));
    set_like(out[0], in[1]);
    return 0;
}

static int64_t attention_grad_flops(const struct plan *plan, const struct op *op) {
    return 5 * product_flops(plan, op, 1);
}

/* Two tiles: probabilities and their gradient. */
static int64_t attention_grad_scratch(const struct plan *plan, const struct op *op) {
    int64_t time = op->attr.time, keys = time < ATTENTION_KEYS ? time : ATTENTION_KEYS;
    return scratch_bytes(plan, op, 1, 2 * ATTENTION_TILE * keys, 2 * ATTENTION_TILE, 5 * time);
}

const struct op_rule rule_attention_grad = {
    .shape = attention_grad_shape, .flops = attention_grad_flops, .scratch = attention_grad_scratch};

static int attention_cached_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t size = 0;
    TRY(check_qkv(op, in[0], &size));
    set_shape(out[0], in[0]->type, in[0]->dim[0], op->attr.heads * size);
    return 0;
}

/* Counted at a full cache: the longest that it can take. */
static int64_t attention_cached_flops(const struct plan *plan, const struct op *op) {
    return 4 * plan->bufs[op->in[0]].dim[0] * plan->bufs[op->out[1]].dim[1] * query_width(plan, op, 0);
}

static int64_t attention_cached_scratch(const struct plan *plan, const struct op *op) {
    int64_t places = plan->bufs[op->out[1]].dim[1];
    return scratch_bytes(plan, op, 0, ATTENTION_TILE * places, 0, 2 * (places + ATTENTION_TILE));
}

const struct op_rule rule_attention_cached = {
    .shape = attention_cached_shape, .flops = attention_cached_flops, .scratch = attention_cached_scratch};
