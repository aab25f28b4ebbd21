/* The reduction over slots and ranks in the fixed tree (plan/tree.h): the fold of a finished leaf into the sums that are
 * held, and at the end of the last micro-batch, bucket by bucket, the exchange of subtree sums, the sum of this rank's
 * piece, and the gathering of all pieces. */
#include "plan/passes.h"

#include <stdlib.h>

#include "base/check.h"
#include "plan/tree.h"

static int add_fold(struct plan *plan, int last) {
    struct op op = plan_new_op(OP_fold);
    op.out[0] = plan->flat_grads;
    op.out[1] = plan->held_sums;
    op.attr.end = last;
    return plan_add_op(plan, &op);
}

/* Keeps the reverse Polish sum of this rank's pieces; it is the same for every bucket. */
static int make_program(struct plan *plan, int **program, int *length) {
    int capacity = 4 * TREE_MAX_COVER * plan->request.ranks;
    *program = malloc((size_t)capacity * sizeof **program);
    if (!*program) return fail(STATUS_FAILED, "plan: out of memory for the tree of %d slots", plan->slots);
    plan->program = *program;
    *length = tree_program(plan->slots, plan->request.ranks, plan->request.rank, *program, capacity);
    return *length > 0 ? 0
                       : fail(STATUS_USAGE, "train.slots: %d slots on %d ranks make a tree that is too large",
                              plan->slots, plan->request.ranks);
}

static int add_bucket(struct plan *plan, int64_t begin, int64_t end, const int *program, int length) {
    int rank = plan->request.rank, ranks = plan->request.ranks;
    int64_t piece_begin, piece_end;
    tree_piece(begin, end, ranks, rank, &piece_begin, &piece_end);
    struct op exchange = plan_new_op(OP_exchange);
    exchange.in[0] = plan->flat_grads;
    exchange.in[1] = plan->held_sums;
    exchange.attr.begin = begin;
    exchange.attr.end = end;
    if (piece_end > piece_begin) {
        struct buf staging = {.kind = BUF_ACT, .type = plan->bufs[plan->flat_grads].type, .rank = 2, .alias = NONE};
        staging.dim[0] = tree_messages(plan->slots, ranks, rank);
        staging.dim[1] = piece_end - piece_begin;
        snprintf(staging.name, sizeof staging.name, "staging.%lld", (long long)(begin / CHUNK));
        TRY(plan_add_buf(plan, &staging, &exchange.out[0]));
    }
    TRY(plan_add_op(plan, &exchange));
    if (piece_end > piece_begin) {
        struct op finish = plan_new_op(OP_tree_finish);
        finish.out[0] = plan->flat_grads;
        finish.in[0] = exchange.out[0];
        finish.in[1] = plan->held_sums;
        finish.attr.begin = piece_begin;
        finish.attr.end = piece_end;
        finish.attr.program = program;
        finish.attr.program_length = length;
        TRY(plan_add_op(plan, &finish));
    }
    struct op gather = plan_new_op(OP_gather_grads);
    gather.out[0] = plan->flat_grads;
    gather.attr.begin = begin;
    gather.attr.end = end;
    return plan_add_op(plan, &gather);
}

static int add_exchange(struct plan *plan, const struct config *config) {
    int *program = NULL, length = 0;
    TRY(make_program(plan, &program, &length));
    int64_t size = (int64_t)dtype_size(plan->bufs[plan->flat_grads].type);
    int64_t bucket = (int64_t)(config->dist.bucket_mb * 1048576) / size / CHUNK * CHUNK;
    if (bucket < CHUNK) bucket = CHUNK;
    for (int64_t begin = 0; begin < plan->flat_elems; begin += bucket) {
        int64_t end = begin + bucket < plan->flat_elems ? begin + bucket : plan->flat_elems;
        TRY(add_bucket(plan, begin, end, program, length));
    }
    struct op losses = plan_new_op(OP_gather_losses);
    losses.out[0] = plan->slot_losses;
    return plan_add_op(plan, &losses);
}

int plan_reduce(struct plan *plan, const struct config *config) {
    int held, fold;
    plan->held = tree_max_held(plan->slots, plan->slot_lo, plan->slot_hi);
    if (plan->held) {
        struct buf sums = {.kind = BUF_GRAD, .name = "held", .rank = 2, .alias = NONE};
        sums.type = plan->bufs[plan->flat_grads].type;
        sums.dim[0] = plan->held;
        sums.dim[1] = plan->flat_elems;
        TRY(plan_add_buf(plan, &sums, &plan->held_sums));
    }
    /* micro_last is the newest segment: what is appended now belongs to it. */
    tree_fold(plan->slots, plan->slot_lo, plan->slot_hi - 1, &held, &fold);
    if (fold) TRY(add_fold(plan, 1));
    if (plan->request.ranks > 1) TRY(add_exchange(plan, config));
    TRY(plan_end_segment(plan, SEG_MICRO_LAST));
    plan_begin_segment(plan, SEG_FOLD);
    if (plan->slot_hi - plan->slot_lo > 1) TRY(add_fold(plan, 0));
    return plan_end_segment(plan, SEG_FOLD);
}
