/* The overlap pass: when communication starts and when it is waited for.
 *
 * In the last micro-batch a bucket of gradients leaves as soon as its last gradient is there, while the backward pass goes on.
 * The wait for it comes as late as memory allows: at most LAG buckets are on their way, each with its staging; then the owner
 * finishes the sum. Parameters that come back from their owners (ZeRO) are waited for by the first op that reads them, in the next
 * step. Without dist.overlap everything is waited for where it starts. The order of sums is that of the tree in either case. */
#include "plan/passes.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "plan/tree.h"

enum { LAG = 2 };

/* What is on its way, oldest first. */
struct flight {
    const struct config *config;
    int *bucket;
    int started, finished, idle;
};

static int finish_until(struct plan *plan, struct flight *flight, int left) {
    for (; flight->started - flight->finished > left; flight->finished++) {
        int b = flight->bucket[flight->finished];
        TRY(plan_reduce_finish(plan, flight->config, b, flight->idle));
        if (!flight->config->dist.overlap) TRY(plan_reduce_wait(plan, flight->config, b));
    }
    return 0;
}

static int start(struct plan *plan, struct flight *flight, int b) {
    TRY(plan_reduce_start(plan, flight->config, b, flight->idle));
    flight->bucket[flight->started++] = b;
    return finish_until(plan, flight, flight->config->dist.overlap ? LAG : 0);
}

/* The ops of the newest segment again, with communication between them. */
static int interleave(struct plan *plan, const struct op *ops, int count, const int *ready, struct flight *flight) {
    for (int i = 0; i < count; i++) {
        TRY(plan_add_op(plan, &ops[i]));
        int begin = plan->n_ops;
        for (int b = plan->n_buckets - 1; b >= 0; b--)
            if (i == count - 1 ? ready[b] >= i || ready[b] < 0 : ready[b] == i) TRY(start(plan, flight, b));
        if (i == count - 1) TRY(finish_until(plan, flight, 0));
        for (int k = begin; k < plan->n_ops; k++) plan->ops[k].aside = 1;
    }
    return 0;
}

/* order[i]: the i-th bucket that leaves. It is the same on all ranks, and must be: they wait for each other. */
static int overlap_last(struct plan *plan, const struct config *config, int *order) {
    int first = plan->segment_begin[SEG_MICRO_LAST], count = plan->n_ops - first;
    struct op *ops = malloc((size_t)count * sizeof *ops);
    int *ready = malloc((size_t)plan->n_buckets * sizeof *ready);
    int status = ops && ready ? 0 : fail(STATUS_FAILED, "plan: out of memory");
    if (!status) {
        struct flight flight = {config, order, 0, 0, 0};
        memcpy(ops, plan->ops + first, (size_t)count * sizeof *ops);
        for (int b = 0; b < plan->n_buckets; b++)
            ready[b] = config->dist.overlap ? plan_ready_after(plan, ops, count, plan->buckets[b]) : count;
        plan->n_ops = first;
        status = interleave(plan, ops, count, ready, &flight);
    }
    free(ops);
    free(ready);
    return status;
}

/* A round for which this rank has no slot: it owns its shard as in the others. */
static int add_idle_round(struct plan *plan, const struct config *config, int *order) {
    struct flight flight = {config, order, 0, 0, 1};
    for (int i = 0; i < plan->n_buckets; i++) TRY(start(plan, &flight, order[i]));
    return finish_until(plan, &flight, 0);
}

static int sum_over_ranks(struct plan *plan, const struct config *config) {
    int *order = malloc((size_t)plan->n_buckets * sizeof *order);
    int status = order ? overlap_last(plan, config, order) : fail(STATUS_FAILED, "plan: out of memory");
    if (!status) status = plan_end_segment(plan, SEG_MICRO_LAST);
    plan_begin_segment(plan, SEG_FOLD);
    if (!status && plan->zero == 2 && plan->slots % plan->request.ranks > 0)
        status = add_idle_round(plan, config, order);
    free(order);
    return status;
}

int plan_overlap(struct plan *plan, const struct config *config) {
    TRY(plan_reduce_begin(plan, config));
    TRY(plan_audit_begin(plan, config));
    if (plan->request.ranks > 1) {
        TRY(sum_over_ranks(plan, config));
    } else {
        if (plan->held) TRY(plan_reduce_fold(plan, 1));
        TRY(plan_end_segment(plan, SEG_MICRO_LAST));
        plan_begin_segment(plan, SEG_FOLD);
    }
    if (plan->held && plan->zero < 2) TRY(plan_reduce_fold(plan, 0));
    return plan_end_segment(plan, SEG_FOLD);
}

/* Whether the op reads parameters of the bucket. */
static int reads(const struct plan *plan, const struct op *op, struct span bucket) {
    int64_t size = (int64_t)dtype_size(plan->bufs[plan->flat_copy].type), offset;
    for (int k = 0; k < op_info[op->kind].ins; k++) {
        if (op->in[k] == NONE || buf_root(plan, op->in[k], &offset) != plan->flat_copy) continue;
        int64_t begin = offset / size, end = begin + buf_elems(&plan->bufs[op->in[k]]);
        if (begin < bucket.end && bucket.begin < end) return 1;
    }
    return 0;
}

int plan_await_params(struct plan *plan, enum segment segment) {
    for (int b = 0; b < plan->n_buckets; b++) {
        int at = plan->segment_begin[segment], end = plan->segment_end[segment];
        while (at < end && !reads(plan, &plan->ops[at], plan->buckets[b])) at++;
        if (at == end) continue; /* nothing here reads it */
        struct op wait = plan_new_op(OP_wait);
        wait.segment = segment;
        wait.in[0] = plan->flat_copy;
        wait.attr.line = plan_line_back(b);
        wait.aside = 1;
        TRY(plan_insert_op(plan, at, &wait));
    }
    return 0;
}
