#include "plan/rules/rules.h"

static int is_loss(const struct buf *buf) { return buf && buf->type == DTYPE_F64 && buf_elems(buf) == 2; }

static int check_rows(const struct op *op, const struct buf *logits) {
    if (!is_matrix(logits)) return fail(STATUS_USAGE, "logits must be a matrix");
    if (op->attr.vocab < 1 || op->attr.vocab > logits->dim[1])
        return fail(STATUS_USAGE, "%lld of a row's %lld logits cannot count", (long long)op->attr.vocab,
                    (long long)logits->dim[1]);
    return 0;
}

static int check_logits(const struct op *op, const struct buf *logits, const struct buf *targets) {
    TRY(check_rows(op, logits));
    if (!targets || targets->type != DTYPE_I32 || buf_elems(targets) < logits->dim[0])
        return fail(STATUS_USAGE, "needs a target for each of %lld rows", (long long)logits->dim[0]);
    return 0;
}

static int xent_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    TRY(check_logits(op, in[0], in[1]));
    set_shape(out[0], DTYPE_F64, 2, 0);
    set_shape(out[1], dtype_of_sums(in[0]->type), in[0]->dim[0], 0);
    return 0;
}

static int xent_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_xent_grad, op);
    g.in[0] = op->in[0];
    g.in[1] = op->in[1];
    g.in[2] = op->out[1];
    g.in[3] = op->out[0];
    g.in[4] = grad_of(c, op->out[0]);
    return grad_emit(c, &g, op->in[0], NONE);
}

static int64_t xent_flops(const struct plan *plan, const struct op *op) { return 4 * operand_elems(plan, op->in[0]); }

const struct op_rule rule_xent = {.shape = xent_shape, .grad = xent_grad, .flops = xent_flops};

static int xent_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    TRY(check_logits(op, in[0], in[1]));
    if (!in[2] || in[2]->dim[0] != in[0]->dim[0]) return fail(STATUS_USAGE, "needs lse of every row");
    if (!is_loss(in[3]) || !is_loss(in[4])) return fail(STATUS_USAGE, "needs loss and its gradient, f64[2] each");
    set_like(out[0], in[0]);
    return 0;
}

const struct op_rule rule_xent_grad = {.shape = xent_grad_shape, .flops = xent_flops};

static int softmax_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    TRY(check_rows(op, in[0]));
    set_sums_like(out[0], in[0]);
    set_shape(out[1], dtype_of_sums(in[0]->type), in[0]->dim[0], 0);
    return 0;
}

const struct op_rule rule_softmax = {.shape = softmax_shape, .flops = xent_flops};

static int nll_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    TRY(check_logits(op, in[0], in[1]));
    if (!in[2] || in[2]->dim[0] != in[0]->dim[0]) return fail(STATUS_USAGE, "needs lse of every row");
    if (!is_matrix(in[3]) || in[3]->dim[0] != in[0]->dim[0] || in[3]->dim[1] != in[0]->dim[1])
        return fail(STATUS_USAGE, "needs a probability for each logit");
    set_shape(out[0], DTYPE_F64, 2, 0);
    return 0;
}

static int nll_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_nll_grad, op);
    g.in[0] = op->in[3];
    g.in[1] = op->in[1];
    g.in[2] = op->out[0];
    g.in[3] = grad_of(c, op->out[0]);
    return grad_emit(c, &g, op->in[0], NONE);
}

/* A row's target, its lse and one of its logits. */
static int64_t nll_bytes(const struct plan *plan, const struct op *op) {
    const struct buf *logits = &plan->bufs[op->in[0]];
    int64_t row = (int64_t)(sizeof(int32_t) + dtype_size(dtype_of_sums(logits->type)) + dtype_size(logits->type));
    return logits->dim[0] * row + buf_bytes(&plan->bufs[op->out[0]]);
}

const struct op_rule rule_nll = {.shape = nll_shape, .grad = nll_grad, .bytes = nll_bytes};

/* The result has the shape of p, and the type of the logits. */
static int nll_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)out;
    TRY(check_logits(op, in[0], in[1]));
    if (!is_loss(in[2]) || !is_loss(in[3])) return fail(STATUS_USAGE, "needs loss and its gradient, f64[2] each");
    return 0;
}

static int64_t nll_grad_flops(const struct plan *plan, const struct op *op) { return operand_elems(plan, op->in[0]); }

const struct op_rule rule_nll_grad = {.shape = nll_grad_shape, .flops = nll_grad_flops};

static int64_t chunk_rows(const struct op *op, const struct buf *x) {
    return op->attr.chunk_rows < x->dim[0] ? op->attr.chunk_rows : x->dim[0];
}

static int check_head(const struct op *op, const struct buf *const *in) {
    if (!is_matrix(in[0]) || !is_matrix(in[1]) || in[0]->dim[1] != in[1]->dim[1])
        return fail(STATUS_USAGE, "x and w must have the same columns");
    if (op->attr.vocab < 1 || op->attr.vocab > in[1]->dim[0] || op->attr.chunk_rows < 1)
        return fail(STATUS_USAGE, "%lld logits of %lld rows at a time cannot be", (long long)op->attr.vocab,
                    (long long)op->attr.chunk_rows);
    if (!in[2] || in[2]->type != DTYPE_I32 || buf_elems(in[2]) < in[0]->dim[0])
        return fail(STATUS_USAGE, "needs a target for each of %lld rows", (long long)in[0]->dim[0]);
    return 0;
}

static int head_loss_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    TRY(check_head(op, in));
    set_shape(out[0], DTYPE_F64, 2, 0);
    set_shape(out[1], dtype_of_sums(in[0]->type), in[0]->dim[0], 0);
    set_shape(out[2], in[0]->type, chunk_rows(op, in[0]), in[1]->dim[0]);
    return 0;
}

static int head_loss_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_head_loss_grad, op);
    struct buf chunk = c->plan->bufs[op->out[2]];
    snprintf(chunk.name, sizeof chunk.name, "d.%.*s", NAME_SIZE - 3, c->plan->bufs[op->out[2]].name);
    TRY(plan_add_buf(c->plan, &chunk, &g.out[2]));
    for (int k = 0; k < 3; k++) g.in[k] = op->in[k];
    g.in[3] = op->out[1];
    g.in[4] = op->out[0];
    g.in[5] = grad_of(c, op->out[0]);
    TRY(grad_param(c, &g, 1, op->in[1]));
    return grad_emit(c, &g, op->in[0], NONE);
}

/* Products with w. */
static int64_t head_flops(const struct plan *plan, const struct op *op, int64_t products) {
    return 2 * products * operand_elems(plan, op->in[0]) * plan->bufs[op->in[1]].dim[0];
}

static int64_t head_loss_flops(const struct plan *plan, const struct op *op) { return head_flops(plan, op, 1); }

const struct op_rule rule_head_loss = {.shape = head_loss_shape, .grad = head_loss_grad, .flops = head_loss_flops};

static int head_loss_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    TRY(check_head(op, in));
    if (!in[3] || in[3]->dim[0] != in[0]->dim[0]) return fail(STATUS_USAGE, "needs lse of every row");
    if (!is_loss(in[4]) || !is_loss(in[5])) return fail(STATUS_USAGE, "needs loss and its gradient, f64[2] each");
    set_like(out[0], in[0]);
    set_sums_like(out[1], in[1]);
    set_shape(out[2], in[0]->type, chunk_rows(op, in[0]), in[1]->dim[0]);
    return 0;
}

static int64_t head_loss_grad_flops(const struct plan *plan, const struct op *op) { return head_flops(plan, op, 3); }

const struct op_rule rule_head_loss_grad = {.shape = head_loss_grad_shape, .flops = head_loss_grad_flops};

static int clamp_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    if (!is_loss(in[0])) return fail(STATUS_USAGE, "needs a loss, f64[2]");
    if (!(op->attr.low < op->attr.high))
        return fail(STATUS_USAGE, "the range [%g, %g] is empty", op->attr.low, op->attr.high);
    set_like(out[0], in[0]);
    return 0;
}

static int clamp_grad(struct grad_context *c, const struct op *op) {
    struct op g = grad_op(OP_clamp_grad, op);
    g.in[0] = grad_of(c, op->out[0]);
    g.in[1] = op->in[0];
    return grad_emit(c, &g, op->in[0], NONE);
}

const struct op_rule rule_clamp = {.shape = clamp_shape, .grad = clamp_grad};

static int clamp_grad_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!is_loss(in[0]) || !is_loss(in[1])) return fail(STATUS_USAGE, "needs dy and x, f64[2] each");
    set_like(out[0], in[0]);
    return 0;
}

const struct op_rule rule_clamp_grad = {.shape = clamp_grad_shape};

/* The result is the plan's slot losses. */
static int record_loss_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    (void)out;
    if (!is_loss(in[0]) || !is_loss(in[1])) return fail(STATUS_USAGE, "needs the loss, clamped and not, f64[2] each");
    return 0;
}

const struct op_rule rule_record_loss = {.shape = record_loss_shape};

static int loss_seed_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    (void)in;
    set_shape(out[0], DTYPE_F64, 2, 0);
    return 0;
}

const struct op_rule rule_loss_seed = {.shape = loss_seed_shape};
