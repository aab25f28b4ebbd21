/* Hashes that find broken memory and devices: of what all ranks have a copy of, of what one rank alone has, and of the gradients of a
 * leaf that two ranks compute (train/guard.c, train/audit.c compare them). They are ops of the plan, so every backend has them. */
#include "base/check.h"
#include "plan/passes.h"

static int add_results(struct plan *plan, const char *name, int hashes, int *id) {
    struct buf buf = {.kind = BUF_RESULT, .type = DTYPE_U8, .rank = 1, .alias = NONE, .dim = {8 * (int64_t)hashes}};
    snprintf(buf.name, sizeof buf.name, "%s", name);
    return plan_add_buf(plan, &buf, id);
}

static int make_hash(struct plan *plan, int results, int i, int buf, int audit, struct op *op) {
    *op = plan_new_op(OP_hash);
    op->in[0] = buf;
    op->attr.word_bytes = (int64_t)dtype_size(plan->bufs[buf].type);
    op->attr.audit = audit;
    return plan_view(plan, results, 8 * (int64_t)i, 8, &op->out[0]);
}

static void guard_buf(struct plan *plan, int buf, int replica) {
    plan->guarded[plan->n_guarded++] = (struct guarded){buf, replica};
}

/* This rank's shard of a buffer that holds the whole space: the sum of its pieces' hashes. */
static int hash_pieces(struct plan *plan, int i) {
    int added = 0;
    for (int b = 0; b < plan->n_buckets; b++) {
        struct span piece = plan_piece(plan, b, plan->request.rank);
        struct op op;
        int view;
        if (piece.begin == piece.end) continue;
        TRY(plan_view(plan, plan->guarded[i].buf, piece.begin, piece.end - piece.begin, &view));
        TRY(make_hash(plan, plan->guard, i, view, 0, &op));
        op.attr.begin = piece.begin;
        op.add = (unsigned)added;
        added = 1;
        TRY(plan_add_op(plan, &op));
    }
    return 0;
}

static int hash_all(struct plan *plan, enum segment segment, int replicas) {
    struct op op;
    plan_begin_segment(plan, segment);
    for (int i = 0; i < plan->n_guarded; i++) {
        int buf = plan->guarded[i].buf, whole = plan->bufs[buf].dim[0] == plan->flat_elems;
        if (plan->guarded[i].replica != replicas) continue;
        if (whole && !replicas) {
            TRY(hash_pieces(plan, i));
            continue;
        }
        TRY(make_hash(plan, plan->guard, i, buf, 0, &op));
        TRY(plan_add_op(plan, &op));
    }
    return plan_end_segment(plan, segment);
}

int plan_audit_begin(struct plan *plan, const struct config *config) {
    if (!config->guard.audit_every || plan->request.ranks == 1) return 0;
    return add_results(plan, "audit", plan->n_buckets, &plan->audit);
}

/* The hash of a part of bucket `b`; with `add`, to that of parts before. Returns where the part ends. */
static int make_audit(struct plan *plan, int b, int64_t begin, int64_t *end, struct op *op) {
    struct span bucket = plan->buckets[b];
    int grads, part;
    int64_t at;
    *end = plan_grads_at(plan, begin, bucket.end, &grads, &at);
    TRY(plan_view(plan, grads, at, *end - begin, &part));
    TRY(make_hash(plan, plan->audit, b, part, 1, op));
    op->attr.begin = begin;
    op->add = begin > bucket.begin;
    return 0;
}

int plan_audit_bucket(struct plan *plan, int b) {
    if (plan->audit == NONE) return 0;
    for (int64_t begin = plan->buckets[b].begin, end; begin < plan->buckets[b].end; begin = end) {
        struct op op;
        TRY(make_audit(plan, b, begin, &end, &op));
        TRY(plan_add_op(plan, &op));
    }
    return 0;
}

/* Also in what computes a leaf that is not the last, as soon as its gradients are there: the rank that computes a slot again runs that. */
static int audit_others(struct plan *plan) {
    enum segment segment = plan->micro_batches > 1 ? SEG_MICRO_NEXT : SEG_MICRO_FIRST;
    for (int b = 0; plan->audit != NONE && b < plan->n_buckets; b++) {
        int first = plan->segment_begin[segment];
        int at =
            first + 1 + plan_ready_after(plan, plan->ops + first, plan->segment_end[segment] - first, plan->buckets[b]);
        for (int64_t begin = plan->buckets[b].begin, end; begin < plan->buckets[b].end; begin = end) {
            struct op op;
            TRY(make_audit(plan, b, begin, &end, &op));
            op.segment = segment;
            op.aside = 1;
            TRY(plan_insert_op(plan, at++, &op));
        }
    }
    return 0;
}

int plan_guard(struct plan *plan, const struct config *config) {
    int sharded = plan->flat_copy != plan->flat_params;
    TRY(audit_others(plan));
    if (!config->guard.every || plan->request.ranks == 1) return 0;
    guard_buf(plan, plan->flat_params, !plan->zero);
    guard_buf(plan, plan->flat_m, !plan->zero);
    guard_buf(plan, plan->flat_v, !plan->zero);
    if (sharded || plan->zero) guard_buf(plan, plan->flat_copy, 1);
    TRY(add_results(plan, "guard", plan->n_guarded, &plan->guard));
    TRY(hash_all(plan, SEG_GUARD, 1));
    return hash_all(plan, SEG_SEAL, 0);
}
