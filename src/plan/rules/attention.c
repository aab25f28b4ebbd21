#include "plan/rules/rules.h"

/* Checks qkv[N, 3C] and gives C. */
static int check_qkv(const struct op *op, const struct buf *qkv, int64_t *width) {
    int64_t rows = op->attr.batch * op->attr.time, heads = op->attr.heads;
    if (!is_matrix(qkv) || qkv->dim[0] != rows)
        return fail(STATUS_USAGE, "qkv must have a row for each of %lld tokens", (long long)rows);
    *width = qkv->dim[1] / 3;
    if (heads < 1 || qkv->dim[1] % 3 || *width % heads)
        return fail(STATUS_USAGE, "%lld columns cannot be split into q, k and v of %lld heads", (long long)qkv->dim[1],
                    (long long)heads);
    return 0;
}

static int attention_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t width = 0;
    TRY(check_qkv(op, in[0], &width));
    TRY(check_starts(in[1], in[0]->dim[0]));
    set_shape(out[0], in[0]->type, in[0]->dim[0], width);
    set_shape(out[1], in[0]->type, op->attr.batch * op->attr.heads, op->attr.time);
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

/* One matrix product over the causal half: 2 * width * time / 2 a token. */
static int64_t product_flops(const struct plan *plan, const struct op *op, int qkv) {
    return plan->bufs[op->in[qkv]].dim[0] * (op->attr.time + 1) * (plan->bufs[op->in[qkv]].dim[1] / 3);
}

static int64_t attention_flops(const struct plan *plan, const struct op *op) { return 2 * product_flops(plan, op, 0); }

static int64_t attention_scratch(const struct plan *plan, const struct op *op) {
    return ATTENTION_TILE * op->attr.time * (int64_t)dtype_size(plan->bufs[op->in[0]].type);
}

const struct op_rule rule_attention = {
    .shape = attention_shape, .grad = attention_grad, .flops = attention_flops, .scratch = attention_scratch};

static int attention_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t width = 0;
    TRY(check_qkv(op, in[1], &width));
    if (!is_matrix(in[0]) || in[0]->dim[1] != width || !same_shape(in[0], in[2]))
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
    return 2 * ATTENTION_TILE * op->attr.time * (int64_t)dtype_size(plan->bufs[op->in[1]].type);
}

const struct op_rule rule_attention_grad = {
    .shape = attention_grad_shape, .flops = attention_grad_flops, .scratch = attention_grad_scratch};

static int attention_cached_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t width = 0;
    TRY(check_qkv(op, in[0], &width));
    set_shape(out[0], in[0]->type, in[0]->dim[0], width);
    return 0;
}

/* Counted at a full cache: the longest that it can take. */
static int64_t attention_cached_flops(const struct plan *plan, const struct op *op) {
    return 4 * plan->bufs[op->in[0]].dim[0] * operand_elems(plan, op->out[1]) / op->attr.batch;
}

static int64_t attention_cached_scratch(const struct plan *plan, const struct op *op) {
    return ATTENTION_TILE * plan->bufs[op->out[1]].dim[1] * (int64_t)dtype_size(plan->bufs[op->in[0]].type);
}

const struct op_rule rule_attention_cached = {
    .shape = attention_cached_shape, .flops = attention_cached_flops, .scratch = attention_cached_scratch};
