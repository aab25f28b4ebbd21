/* Attention as three ops with all T x T weights in memory, for comparison with the one coarse op. */
#include "plan/rules/qkv.h"

/* Rows of weights are padded to whole Philox blocks, so that dropout draws what the coarse op draws. */
static int64_t padded_keys(const struct op *op) { return (op->attr.time + 3) / 4 * 4; }

static int64_t weight_rows(const struct op *op) { return op->attr.batch * op->attr.heads * op->attr.time; }

static int check_weights(const struct op *op, const struct buf *weights) {
    if (is_matrix(weights) && weights->dim[0] == weight_rows(op) && weights->dim[1] == padded_keys(op)) return 0;
    return fail(STATUS_USAGE, "weights must be a matrix of %lld rows and %lld columns", (long long)weight_rows(op),
                (long long)padded_keys(op));
}

/* A product of all queries with all keys, masked or not. */
static int64_t square_flops(const struct plan *plan, const struct op *op, int qkv) {
    int64_t size = plan->bufs[op->in[qkv]].dim[1] / (op->attr.heads + 2 * op->attr.kv_heads);
    return 2 * weight_rows(op) * op->attr.time * size;
}

/* Where values have to be turned into reals first; kernels/cpu/attention_naive.c says what for. */
static int64_t naive_scratch(const struct plan *plan, const struct op *op) {
    enum dtype type = plan->bufs[op->in[0]].type, sums = dtype_of_sums(type);
    int64_t size = 0;
    for (int k = 0; k < 2; k++) /* qkv, or what has its heads' channels */
        if (op->in[k] != NONE && plan->bufs[op->in[k]].dim[0] == op->attr.batch * op->attr.time &&
            plan->bufs[op->in[k]].dim[1] / op->attr.heads > size)
            size = plan->bufs[op->in[k]].dim[1] / op->attr.heads; /* or more: k and v are among its columns */
    int64_t reals = ATTENTION_TILE * padded_keys(op) + (op->attr.time + ATTENTION_TILE) * size;
    return type == sums ? 0 : reals * (int64_t)dtype_size(sums);
}

static int scores_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t size = 0;
    TRY(check_qkv(op, in[0], &size));
    set_shape(out[0], in[0]->type, weight_rows(op), padded_keys(op));
    return 0;
}

static int scores_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_attention_scores_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->in[0];
    return grad_emit(c, &g, op->in[0], 2);
}

static int64_t scores_flops(const struct plan *plan, const struct op *op) { return square_flops(plan, op, 0); }

const struct op_rule rule_attention_scores = {
    .shape = scores_shape, .grad = scores_grad, .flops = scores_flops, .scratch = naive_scratch};

static int scores_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t size = 0;
    TRY(check_weights(op, in[0]));
    TRY(check_qkv(op, in[1], &size));
    if (in[2] && !same_shape(in[2], in[1])) return fail(STATUS_USAGE, "prev must have qkv's shape");
    set_like(out[0], in[1]);
    return 0;
}

static int64_t scores_grad_flops(const struct plan *plan, const struct op *op) { return 2 * square_flops(plan, op, 1); }

const struct op_rule rule_attention_scores_grad = {
    .shape = scores_grad_shape, .flops = scores_grad_flops, .scratch = naive_scratch};

static int softmax_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    TRY(check_weights(op, in[0]));
    TRY(check_starts(in[1], op->attr.batch * op->attr.time));
    set_like(out[0], in[0]);
    return 0;
}

static int softmax_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_attention_softmax_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->out[0];
    return grad_emit(c, &g, op->in[0], NONE);
}

static int64_t softmax_flops(const struct plan *plan, const struct op *op) {
    return 4 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_attention_softmax = {.shape = softmax_shape, .grad = softmax_grad, .flops = softmax_flops};

static int softmax_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    TRY(check_weights(op, in[0]));
    TRY(check_weights(op, in[1]));
    set_like(out[0], in[0]);
    return 0;
}

const struct op_rule rule_attention_softmax_grad = {.shape = softmax_grad_shape, .flops = softmax_flops};

static int mix_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t size = 0;
    TRY(check_weights(op, in[0]));
    TRY(check_qkv(op, in[1], &size));
    set_shape(out[0], in[1]->type, in[1]->dim[0], op->attr.heads * size);
    return 0;
}

static int mix_grad(struct grad_context *c, const struct op *op) {
    struct op dv = grad_op(OP_attention_mix_dv, op), dp = grad_op(OP_attention_mix_dp, op);
    dv.in[0] = dp.in[0] = grad_of(c, op->out[0]);
    dv.in[1] = op->in[0];
    TRY(grad_emit(c, &dv, op->in[1], NONE));
    dp.in[1] = op->in[1];
    return grad_emit(c, &dp, op->in[0], NONE);
}

static int64_t mix_flops(const struct plan *plan, const struct op *op) { return square_flops(plan, op, 1); }

const struct op_rule rule_attention_mix = {
    .shape = mix_shape, .grad = mix_grad, .flops = mix_flops, .scratch = naive_scratch};

static int mix_dp_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    int64_t size = 0;
    TRY(check_qkv(op, in[1], &size));
    if (!is_matrix(in[0]) || in[0]->dim[0] != in[1]->dim[0] || in[0]->dim[1] != op->attr.heads * size)
        return fail(STATUS_USAGE, "do must have the heads' channels");
    set_shape(out[0], in[0]->type, weight_rows(op), padded_keys(op));
    return 0;
}

const struct op_rule rule_attention_mix_dp = {.shape = mix_dp_shape, .flops = mix_flops, .scratch = naive_scratch};

static int mix_dv_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    TRY(check_weights(op, in[1]));
    if (!is_matrix(in[0]) || in[0]->dim[0] != op->attr.batch * op->attr.time || in[0]->dim[1] % op->attr.heads)
        return fail(STATUS_USAGE, "do must have the heads' channels");
    set_shape(out[0], in[0]->type, in[0]->dim[0],
              in[0]->dim[1] / op->attr.heads * (op->attr.heads + 2 * op->attr.kv_heads));
    return 0;
}

static int64_t mix_dv_flops(const struct plan *plan, const struct op *op) {
    return 2 * weight_rows(op) * op->attr.time * (plan->bufs[op->in[0]].dim[1] / op->attr.heads);
}

const struct op_rule rule_attention_mix_dv = {.shape = mix_dv_shape, .flops = mix_dv_flops, .scratch = naive_scratch};
