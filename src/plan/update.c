/* The update segment: the norm of the step's gradient, the decision to skip, and AdamW over what this rank updates: the flat space,
 * or with ZeRO its shard. */
#include "plan/passes.h"

#include "base/check.h"

static int cast(struct plan *plan, int from, int to) {
    struct op op = plan_new_op(OP_cast);
    op.in[0] = from;
    op.out[0] = to;
    return plan_add_op(plan, &op);
}

/* Where element `begin` of the flat space, in bucket `b`, is in a buffer that holds the shard alone. */
static int64_t shard_index(const struct plan *plan, int b, int64_t begin) {
    return plan->shard_at[b] + begin - plan_piece(plan, b, plan->request.rank).begin;
}

/* This rank's piece of a bucket: from the parameters that it updates to their copy, and to all ranks. */
static int spread_bucket(struct plan *plan, int b, int overlap) {
    struct span piece = plan_piece(plan, b, plan->request.rank);
    int64_t elems = piece.end - piece.begin;
    if (plan->flat_copy != plan->flat_params && elems) {
        int from, to;
        TRY(plan_view(plan, plan->flat_params, shard_index(plan, b, piece.begin), elems, &from));
        TRY(plan_view(plan, plan->flat_copy, piece.begin, elems, &to));
        TRY(cast(plan, from, to));
    }
    struct op gather = plan_new_op(OP_all_gather), wait = plan_new_op(OP_wait);
    gather.out[0] = wait.in[0] = plan->flat_copy;
    gather.attr.begin = plan->buckets[b].begin;
    gather.attr.end = plan->buckets[b].end;
    gather.attr.bucket = b;
    gather.attr.line = wait.attr.line = plan_line_back(b);
    TRY(plan_add_op(plan, &gather));
    return overlap ? 0 : plan_add_op(plan, &wait);
}

int plan_spread_params(struct plan *plan, int overlap) {
    for (int b = 0; plan->zero && b < plan->n_buckets; b++) TRY(spread_bucket(plan, b, overlap));
    if (plan->zero || plan->flat_copy == plan->flat_params) return 0;
    return cast(plan, plan->flat_params, plan->flat_copy);
}

static int add_adamw(struct plan *plan, const struct config *config, struct span range, int b) {
    struct op adamw = plan_new_op(OP_adamw);
    int64_t elems = range.end - range.begin, at = plan->zero ? shard_index(plan, b, range.begin) : range.begin;
    int sharded = plan->flat_copy != plan->flat_params;
    adamw.attr.begin = range.begin;
    adamw.attr.end = range.end;
    adamw.attr.beta1 = config->train.betas[0];
    adamw.attr.beta2 = config->train.betas[1];
    adamw.attr.eps = config->train.eps;
    adamw.attr.decay = config->train.weight_decay;
    adamw.attr.decay_end = plan->decay_end < range.begin ? 0
                           : plan->decay_end < range.end ? plan->decay_end - range.begin
                                                         : elems;
    TRY(plan_view(plan, plan->shard_grads, plan->zero == 2 ? at : range.begin, elems, &adamw.in[0]));
    TRY(plan_view(plan, plan->flat_params, sharded ? at : range.begin, elems, &adamw.out[0]));
    TRY(plan_view(plan, plan->flat_m, at, elems, &adamw.out[1]));
    TRY(plan_view(plan, plan->flat_v, at, elems, &adamw.out[2]));
    return plan_add_op(plan, &adamw);
}

/* One op for the range, or one for each tensor in it, as a loop over parameters would do it; what pads a tensor goes with it and
 * stays 0. Ranges begin and end at whole vectors, so that kernels compute each element in the same way in both. */
static int update_range(struct plan *plan, const struct config *config, struct span range, int b) {
    if (range.begin == range.end) return 0;
    if (plan_fuses(config, config->fuse.adamw)) return add_adamw(plan, config, range, b);
    for (int i = 0; i < plan->n_params; i++) {
        int64_t begin = plan->params[i].offset, end = begin + plan_param_space(&plan->params[i]);
        struct span part = {begin > range.begin ? begin : range.begin, end < range.end ? end : range.end};
        if (part.begin < part.end) TRY(add_adamw(plan, config, part, b));
    }
    return 0;
}

static int add_squares(struct plan *plan, int partial, int grads, int64_t begin, int64_t at, int64_t elems) {
    struct op squares = plan_new_op(OP_sum_squares);
    TRY(plan_view(plan, grads, begin, elems, &squares.in[0]));
    TRY(plan_view(plan, partial, at, (elems + CHUNK - 1) / CHUNK, &squares.out[0]));
    return plan_add_op(plan, &squares);
}

static int gather_small(struct plan *plan, enum op_kind kind, int buf, int line) {
    struct op gather = plan_new_op(kind);
    gather.out[0] = buf;
    gather.attr.line = line;
    return plan_add_op(plan, &gather);
}

static int wait_small(struct plan *plan, int buf, int line) {
    struct op wait = plan_new_op(OP_wait);
    wait.in[0] = buf;
    wait.attr.line = line;
    return plan_add_op(plan, &wait);
}

/* Each rank squares what it has summed, and all get the sums of all chunks. */
static int add_norm(struct plan *plan, const struct config *config, int partial) {
    int losses = plan->lines - 1, norms = plan->lines;
    if (plan->request.ranks == 1) return add_squares(plan, partial, plan->flat_grads, 0, 0, plan->flat_elems);
    TRY(gather_small(plan, OP_gather_losses, plan->slot_losses, losses));
    int64_t at = plan->norms_at[plan->request.rank];
    for (int b = 0; b < plan->n_buckets; b++) {
        struct span piece = plan_piece(plan, b, plan->request.rank);
        int64_t elems = piece.end - piece.begin;
        if (!elems) continue;
        TRY(add_squares(plan, partial, plan->shard_grads, plan->zero == 2 ? plan->shard_at[b] : piece.begin, at,
                        elems));
        at += (elems + CHUNK - 1) / CHUNK;
    }
    TRY(gather_small(plan, OP_gather_norms, partial, norms));
    for (int b = 0; config->dist.overlap && b < plan->n_buckets; b++) TRY(plan_reduce_wait(plan, config, b));
    TRY(wait_small(plan, plan->slot_losses, losses));
    return wait_small(plan, partial, norms);
}

int plan_update(struct plan *plan, const struct config *config) {
    /* Lives as long as the plan: values of the arena have one writer, and here each rank writes its part. */
    struct buf partial = {.kind = plan->request.ranks > 1 ? BUF_RESULT : BUF_ACT,
                          .name = "norm.partial",
                          .type = DTYPE_F64,
                          .rank = 1,
                          .alias = NONE};
    partial.dim[0] = (plan->flat_elems + CHUNK - 1) / CHUNK;
    int partial_id;
    TRY(plan_add_buf(plan, &partial, &partial_id));
    plan_begin_segment(plan, SEG_UPDATE);
    TRY(add_norm(plan, config, partial_id));
    struct op clip = plan_new_op(OP_clip);
    clip.in[0] = partial_id;
    clip.in[1] = plan->slot_losses;
    clip.attr.max_norm = config->train.clip;
    clip.attr.order = plan->order;
    TRY(plan_add_op(plan, &clip));
    if (!plan->zero) TRY(update_range(plan, config, (struct span){0, plan->flat_elems}, 0));
    for (int b = 0; plan->zero && b < plan->n_buckets; b++) {
        TRY(update_range(plan, config, plan_piece(plan, b, plan->request.rank), b));
        TRY(spread_bucket(plan, b, config->dist.overlap));
    }
    if (!plan->zero) TRY(plan_spread_params(plan, 0));
    return plan_end_segment(plan, SEG_UPDATE);
}
