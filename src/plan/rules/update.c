#include "plan/rules/rules.h"

static int sum_squares_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    if (!in[0] || in[0]->rank != 1) return fail(STATUS_USAGE, "needs the flat gradients");
    set_shape(out[0], DTYPE_F64, (in[0]->dim[0] + CHUNK - 1) / CHUNK, 0);
    return 0;
}

static int64_t sum_squares_flops(const struct plan *plan, const struct op *op) {
    return 2 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_sum_squares = {.shape = sum_squares_shape, .flops = sum_squares_flops};

static int clip_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    (void)out;
    if (!in[0] || !in[1] || in[0]->type != DTYPE_F64 || in[1]->type != DTYPE_F64)
        return fail(STATUS_USAGE, "needs partial sums and losses in double");
    return 0;
}

const struct op_rule rule_clip = {.shape = clip_shape};

static int adamw_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    if (!in[0] || in[0]->rank != 1) return fail(STATUS_USAGE, "needs the flat gradients");
    if (op->attr.decay_end < 0 || op->attr.decay_end > in[0]->dim[0])
        return fail(STATUS_USAGE, "decay_end is outside of what is updated");
    for (int i = 0; i < 3; i++) set_like(out[i], in[0]);
    return 0;
}

static int64_t adamw_flops(const struct plan *plan, const struct op *op) { return 15 * operand_elems(plan, op->in[0]); }

/* Parameters and both moments are read and written. */
static int64_t adamw_bytes(const struct plan *plan, const struct op *op) {
    return 7 * buf_bytes(&plan->bufs[op->in[0]]);
}

const struct op_rule rule_adamw = {.shape = adamw_shape, .flops = adamw_flops, .bytes = adamw_bytes};

static int hash_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    if (!in[0] || buf_bytes(in[0]) % 8 || op->attr.word_bytes != (int64_t)dtype_size(in[0]->type))
        return fail(STATUS_USAGE, "needs whole words of 8 bytes");
    set_shape(out[0], DTYPE_U8, 8, 0);
    return 0;
}

const struct op_rule rule_hash = {.shape = hash_shape};
