/* The reduction over slots and ranks in the fixed tree (plan/tree.h), in parts: the fold of a finished leaf into the sums that are
 * held; then for each bucket the exchange of subtree sums, the owner's sum of its piece, and with ZeRO 0 the gathering of all
 * pieces. overlap.c says when. With dist.reduce: vendor the library adds instead; leaves of a rank are then one running sum. */
#include "plan/passes.h"

#include <stdlib.h>

#include "base/check.h"
#include "plan/tree.h"

static int vendor(const struct config *config) { return config->dist.reduce == REDUCE_VENDOR; }

static int add_held(struct plan *plan, int rows, int64_t columns) {
    plan->held = rows;
    if (!rows) return 0;
    struct buf sums = {.kind = BUF_GRAD, .name = "held", .rank = 2, .alias = NONE, .dim = {rows, columns}};
    sums.type = plan->bufs[plan->flat_params].type;
    return plan_add_buf(plan, &sums, &plan->held_sums);
}

static int add_fold(struct plan *plan, int64_t begin, int64_t end, int last) {
    struct op op = plan_new_op(OP_fold);
    TRY(plan_view(plan, plan->flat_grads, begin, end - begin, &op.out[0]));
    op.out[1] = plan->held_sums;
    op.attr.begin = begin;
    op.attr.end = end;
    op.attr.last = last;
    return plan_add_op(plan, &op);
}

/* Whether the rank's last leaf takes up sums that are held. */
static int last_folds(const struct plan *plan) {
    int held, fold;
    if (!plan->held || plan->zero == 2) return 0;
    tree_fold(plan->slots, plan->slot_lo, plan->slot_hi - 1, &held, &fold);
    return fold > 0;
}

int plan_reduce_fold(struct plan *plan, int last) {
    return last && !last_folds(plan) ? 0 : add_fold(plan, 0, plan->flat_elems, last);
}

int plan_reduce_begin(struct plan *plan, const struct config *config) {
    int ranks = plan->request.ranks, slots = plan->slots;
    if (vendor(config) && ranks > 1) return 0;
    if (plan->zero == 2) {
        TRY(add_held(plan, tree_round_held(slots, ranks), plan->shard_elems));
        plan->rounds = tree_round_program(slots, ranks, plan->request.rank, &plan->program);
        return plan->rounds > 0 ? 0 : fail(STATUS_FAILED, "plan: out of memory for the tree of %d slots", slots);
    }
    TRY(add_held(plan, tree_max_held(slots, plan->slot_lo, plan->slot_hi), plan->flat_elems));
    plan->rounds = 1;
    if (ranks > 1 && tree_program(slots, ranks, plan->request.rank, &plan->program))
        return fail(STATUS_FAILED, "plan: out of memory for the tree of %d slots", slots);
    return 0;
}

static int add_wait(struct plan *plan, const struct op *started) {
    struct op wait = plan_new_op(OP_wait);
    wait.attr.line = started->attr.line;
    wait.attr.begin = started->attr.begin;
    wait.attr.end = started->attr.end;
    wait.in[0] = started->out[0];
    wait.in[1] = started->in[0];
    wait.in[2] = started->in[1];
    return plan_add_op(plan, &wait);
}

/* The newest op on a line. */
static struct op started_on(const struct plan *plan, int line) {
    int i = plan->n_ops - 1;
    while (!op_starts(&plan->ops[i]) || plan->ops[i].attr.line != line) i--;
    return plan->ops[i];
}

/* A value of the arena, rows of `elems`. */
static int add_value(struct plan *plan, const char *name, int b, enum dtype type, int64_t rows, int64_t elems,
                     int *id) {
    struct buf buf = {.kind = BUF_ACT, .type = type, .rank = 2, .alias = NONE, .dim = {rows, elems}};
    if (rows == 1) {
        buf.rank = 1;
        buf.dim[0] = elems;
    }
    snprintf(buf.name, sizeof buf.name, "%s.%lld", name, (long long)(plan->buckets[b].begin / CHUNK));
    return plan_add_buf(plan, &buf, id);
}

/* Messages that the owner of a piece receives. */
static int rows_of_staging(const struct plan *plan) {
    return plan->zero == 2 ? plan->request.ranks - 1
                           : tree_messages(plan->slots, plan->request.ranks, plan->request.rank);
}

static int start_tree(struct plan *plan, int b, int idle) {
    struct span bucket = plan->buckets[b], piece = plan_piece(plan, b, plan->request.rank);
    enum dtype type = plan->bufs[plan->flat_params].type;
    if (!idle) TRY(plan_audit_bucket(plan, b));
    if (last_folds(plan)) TRY(add_fold(plan, bucket.begin, bucket.end, 1));
    struct op exchange = plan_new_op(OP_exchange);
    exchange.in[0] = plan->flat_grads;
    exchange.in[1] = plan->zero == 2 ? NONE : plan->held_sums;
    exchange.attr.begin = bucket.begin;
    exchange.attr.end = bucket.end;
    exchange.attr.bucket = b;
    exchange.attr.line = plan_line_out(b);
    if (piece.end > piece.begin)
        TRY(add_value(plan, "staging", b, type, rows_of_staging(plan), piece.end - piece.begin, &exchange.out[0]));
    return plan_add_op(plan, &exchange);
}

/* Of a part of the piece, whose gradients lie at element `at` of buffer `grads`; NONE: this rank has none in this round. */
static int finish_part(struct plan *plan, int b, int staging, struct span part, int grads, int64_t at) {
    struct span piece = plan_piece(plan, b, plan->request.rank);
    int64_t elems = part.end - part.begin, inside = part.begin - piece.begin;
    int64_t column = plan->zero == 2 ? plan->shard_at[b] + inside : part.begin;
    struct op finish = plan_new_op(OP_tree_finish);
    finish.in[0] = staging;
    TRY(plan_view(plan, plan->shard_grads, column, elems, &finish.out[0]));
    finish.in[1] = finish.out[0];
    if (grads != NONE) TRY(plan_view(plan, grads, at, elems, &finish.in[1]));
    finish.attr.column = inside;
    if (plan->zero == 2)
        finish.out[1] = plan->held_sums;
    else
        finish.in[2] = plan->held_sums;
    finish.attr.begin = column;
    finish.attr.program = plan->program;
    finish.attr.rounds = plan->rounds;
    return plan_add_op(plan, &finish);
}

static int finish_tree(struct plan *plan, int b, int staging, int idle) {
    struct span piece = plan_piece(plan, b, plan->request.rank);
    if (idle && piece.begin < piece.end) return finish_part(plan, b, staging, piece, NONE, 0);
    for (int64_t begin = piece.begin, end; begin < piece.end; begin = end) {
        int buf;
        int64_t at;
        end = plan_grads_at(plan, begin, piece.end, &buf, &at);
        TRY(finish_part(plan, b, staging, (struct span){begin, end}, buf, at));
    }
    return 0;
}

/* The library's sum, of gradients or of their copy in the type of the wire. With ZeRO 0 all ranks get it and it stays in place;
 * else the owner of a piece does. */
static int start_vendor(struct plan *plan, const struct config *config, int b) {
    struct span bucket = plan->buckets[b], piece = plan_piece(plan, b, plan->request.rank);
    int64_t elems = bucket.end - bucket.begin, got = plan->zero ? piece.end - piece.begin : elems;
    enum dtype type = config->dist.wire == WIRE_BF16 ? DTYPE_BF16 : plan->bufs[plan->flat_grads].type;
    int grads, wired = type != plan->bufs[plan->flat_grads].type;
    TRY(plan_view(plan, plan->flat_grads, bucket.begin, elems, &grads));
    struct op sum = plan_new_op(plan->zero ? OP_reduce_scatter : OP_all_reduce);
    sum.in[0] = sum.out[0] = grads;
    if (wired) {
        struct op cast = plan_new_op(OP_cast);
        cast.in[0] = grads;
        TRY(add_value(plan, "wire", b, type, 1, elems, &cast.out[0]));
        TRY(plan_add_op(plan, &cast));
        sum.in[0] = cast.out[0];
    }
    if (wired || plan->zero) TRY(add_value(plan, "sums", b, type, 1, got, &sum.out[0]));
    sum.attr.begin = bucket.begin;
    sum.attr.end = bucket.end;
    sum.attr.bucket = b;
    sum.attr.line = plan_line_out(b);
    return plan_add_op(plan, &sum);
}

static int finish_vendor(struct plan *plan, int b, const struct op *sum) {
    struct span bucket = plan->zero ? plan_piece(plan, b, plan->request.rank) : plan->buckets[b];
    if (plan->bufs[sum->out[0]].kind != BUF_ACT || bucket.end == bucket.begin) return 0; /* it is in place */
    struct op cast = plan_new_op(OP_widen);
    cast.in[0] = sum->out[0];
    TRY(plan_view(plan, plan->flat_grads, bucket.begin, bucket.end - bucket.begin, &cast.out[0]));
    return plan_add_op(plan, &cast);
}

int plan_reduce_start(struct plan *plan, const struct config *config, int b, int idle) {
    return vendor(config) ? start_vendor(plan, config, b) : start_tree(plan, b, idle);
}

int plan_reduce_finish(struct plan *plan, const struct config *config, int b, int idle) {
    const struct op started = started_on(plan, plan_line_out(b));
    TRY(add_wait(plan, &started));
    if (vendor(config)) return finish_vendor(plan, b, &started);
    TRY(finish_tree(plan, b, started.out[0], idle));
    if (plan->zero) return 0;
    struct op gather = plan_new_op(OP_all_gather);
    gather.out[0] = plan->flat_grads;
    gather.attr.begin = plan->buckets[b].begin;
    gather.attr.end = plan->buckets[b].end;
    gather.attr.bucket = b;
    gather.attr.line = plan_line_back(b);
    return plan_add_op(plan, &gather);
}

int plan_reduce_wait(struct plan *plan, const struct config *config, int b) {
    if (vendor(config) || plan->zero) return 0;
    struct op wait = plan_new_op(OP_wait);
    wait.in[0] = plan->flat_grads;
    wait.attr.line = plan_line_back(b);
    return plan_add_op(plan, &wait);
}
