/* The shard pass: who owns what of the flat space.
 *
 * The space is cut into buckets of dist.bucket_mb and each bucket into one piece a rank, all on borders of chunks; a rank's
 * shard is its pieces. Pieces go round from bucket to bucket, so that what does not divide evenly meets each rank in turn. The owner of a piece finishes the sum of its gradients. What is sharded beyond that is the ZeRO stage
 * (Rajbhandari et al. 2020): 0 nothing; 1 the moments, and the parameters that AdamW updates where ops read a copy of them; 2 the
 * gradients, too, once a leaf is done. */
#include "plan/passes.h"

#include <stdlib.h>

#include "base/check.h"
#include "plan/tree.h"

struct span plan_piece(const struct plan *plan, int b, int rank) {
    struct span piece;
    int ranks = plan->request.ranks,
        turn = plan->running_sum ? rank : (rank + b) % ranks; /* libraries scatter in rank order */
    tree_piece(plan->buckets[b].begin, plan->buckets[b].end, ranks, turn, &piece.begin, &piece.end);
    return piece;
}

static int add_flat(struct plan *plan, const char *name, enum buf_kind kind, int64_t elems, int *id) {
    enum dtype type = plan->bufs[plan->flat_params].type;
    struct buf buf = {.kind = kind, .type = type, .rank = 1, .dim = {elems}, .alias = NONE};
    snprintf(buf.name, sizeof buf.name, "%s", name);
    return plan_add_buf(plan, &buf, id);
}

/* More buckets than that hide no more communication, and each has its ops, its line and its messages. */
enum { MOST_BUCKETS = 1024 };

static int cut(struct plan *plan, double bucket_mb) {
    int64_t size = (int64_t)dtype_size(plan->bufs[plan->flat_params].type);
    int64_t elems = (int64_t)(bucket_mb * 1048576) / size / CHUNK * CHUNK;
    int64_t least = (plan->flat_elems + MOST_BUCKETS - 1) / MOST_BUCKETS;
    if (elems < least) elems = (least + CHUNK - 1) / CHUNK * CHUNK;
    if (elems < CHUNK) elems = CHUNK;
    int count = (int)((plan->flat_elems + elems - 1) / elems);
    plan->buckets = calloc((size_t)count, sizeof *plan->buckets);
    plan->shard_at = calloc((size_t)count, sizeof *plan->shard_at);
    if (!plan->buckets || !plan->shard_at) return fail(STATUS_FAILED, "plan: out of memory for %d buckets", count);
    plan->n_buckets = count;
    plan->shard_elems = 0;
    for (int b = 0; b < count; b++) {
        int64_t end = (b + 1) * elems;
        plan->buckets[b] = (struct span){b * elems, end < plan->flat_elems ? end : plan->flat_elems};
        struct span piece = plan_piece(plan, b, plan->request.rank);
        plan->shard_at[b] = plan->shard_elems;
        plan->shard_elems += piece.end - piece.begin;
    }
    plan->lines = plan_line_back(count - 1) + 2; /* and the losses, and the norms */
    return 0;
}

static int64_t chunks_of(struct span piece) { return (piece.end - piece.begin + CHUNK - 1) / CHUNK; }

/* The sums of squares of a rank's chunks lie together, rank after rank, so that each rank sends one message. */
static int order_chunks(struct plan *plan) {
    int at = 0;
    plan->order = malloc((size_t)((plan->flat_elems + CHUNK - 1) / CHUNK) * sizeof *plan->order);
    plan->norms_at = calloc((size_t)plan->request.ranks + 1, sizeof *plan->norms_at);
    if (!plan->order || !plan->norms_at) return fail(STATUS_FAILED, "plan: out of memory");
    for (int rank = 0; rank < plan->request.ranks; rank++) {
        for (int b = 0; b < plan->n_buckets; b++) {
            struct span piece = plan_piece(plan, b, rank);
            for (int64_t c = 0; c < chunks_of(piece); c++) plan->order[piece.begin / CHUNK + c] = at++;
        }
        plan->norms_at[rank + 1] = at;
    }
    return 0;
}

/* Consecutive parameters in the flat space, at least a chunk of them, whose gradients have memory together. */
static int add_unit(struct plan *plan, struct span span) {
    char name[32];
    struct unit *unit = &plan->units[plan->n_units];
    snprintf(name, sizeof name, "leaf.%d", plan->n_units++);
    unit->span = span;
    return add_flat(plan, name, BUF_LEAF, span.end - span.begin, &unit->buf);
}

static int make_units(struct plan *plan) {
    plan->units = calloc((size_t)(plan->flat_elems / CHUNK) + 1, sizeof *plan->units);
    if (!plan->units) return fail(STATUS_FAILED, "plan: out of memory");
    int64_t begin = 0;
    while (begin < plan->flat_elems) {
        int64_t end = plan->flat_elems; /* the first end of a parameter that makes a chunk full */
        for (int i = 0; i < plan->n_params; i++) {
            int64_t border = plan->params[i].offset + plan_param_space(&plan->params[i]);
            if (border - begin >= CHUNK && border < end) end = border;
        }
        TRY(add_unit(plan, (struct span){begin, end}));
        begin = end;
    }
    return 0;
}

int64_t plan_grads_at(const struct plan *plan, int64_t begin, int64_t end, int *buf, int64_t *at) {
    *buf = plan->flat_grads;
    *at = begin;
    if (!plan->n_units) return end;
    int low = 0, high = plan->n_units;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (plan->units[middle].span.begin <= begin)
            low = middle;
        else
            high = middle;
    }
    *buf = plan->units[low].buf;
    *at = begin - plan->units[low].span.begin;
    return end < plan->units[low].span.end ? end : plan->units[low].span.end;
}

int plan_is_grads(const struct plan *plan, int buf, int64_t *begin) {
    int64_t offset;
    if (buf == NONE) return 0;
    int root = buf_root(plan, buf, &offset);
    *begin = offset / (int64_t)dtype_size(plan->bufs[root].type);
    if (root == plan->flat_grads) return 1;
    for (int u = 0; u < plan->n_units && plan->bufs[root].kind == BUF_LEAF; u++)
        if (plan->units[u].buf == root) {
            *begin += plan->units[u].span.begin;
            return 1;
        }
    return 0;
}

int plan_shard(struct plan *plan, const struct config *config) {
    if (plan->request.ranks > 1) {
        plan->zero = (int)config->dist.zero;
        TRY(cut(plan, config->dist.bucket_mb));
        TRY(order_chunks(plan));
    }
    int64_t kept = plan->zero ? plan->shard_elems : plan->flat_elems;
    if (plan->zero == 2) {
        plan->slot_lo = plan->request.rank;
        plan->slot_hi = plan->slots;
        plan->slot_step = plan->request.ranks;
    }
    if (plan->flat_copy != plan->flat_params) plan->bufs[plan->flat_params].dim[0] = kept;
    TRY(add_flat(plan, "adam.m", BUF_STATE, kept, &plan->flat_m));
    TRY(add_flat(plan, "adam.v", BUF_STATE, kept, &plan->flat_v));
    if (plan->zero == 2 && plan->micro_batches == 1)
        TRY(make_units(plan));
    else
        TRY(add_flat(plan, "grads", BUF_GRAD, plan->flat_elems, &plan->flat_grads));
    plan->shard_grads = plan->flat_grads;
    return plan->zero == 2 ? add_flat(plan, "grads.shard", BUF_GRAD, kept, &plan->shard_grads) : 0;
}
