/* The memory pass: every buffer gets its place before anything runs.
 *
 * Buffers that outlive a segment come first in the arena, one after the other. Values share the rest: two values may
 * overlap only if they are never live together. Segments that share values (the micro-batches) are placed as one, by
 * positions relative to their first op; different groups of segments use the same bytes, because they never run at once.
 * An op whose output may take the place of an input that dies there does so. */
#include "plan/passes.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "plan/rule.h"

enum { ALIGN = 256 }; /* bytes: coalesced loads on GPUs, whole cache lines on CPUs */

static int64_t align_up(int64_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

/* Places in time are relative to the segment. Ops that stand aside, between those that all micro-batches share, divide the time of the
 * op before them: so the same op has the same place in each segment. */
static void find_places(struct plan *plan) {
    enum { TIME = 1 << 20 };
    for (int s = 0; s < SEG_COUNT; s++) {
        int64_t at = 0;
        for (int i = plan->segment_begin[s]; i < plan->segment_end[s]; i++) {
            at = plan->ops[i].aside ? at + 1 : (at / TIME + 1) * TIME;
            plan->ops[i].at = at;
        }
    }
}

/* A leaf's gradients leave from the units that the bucket of the op lies in, and stay there until the wait. */
static void touch_units(struct plan *plan, const struct op *op) {
    int sends = (op->kind == OP_exchange || op->kind == OP_wait) && op->segment != SEG_FOLD;
    for (int u = 0; sends && u < plan->n_units; u++) {
        struct unit *unit = &plan->units[u];
        if (unit->span.end <= op->attr.begin || op->attr.end <= unit->span.begin) continue;
        if (op->at > plan->bufs[unit->buf].last) plan->bufs[unit->buf].last = op->at;
    }
}

/* first and last: places of the ops between which a value is live. */
static void find_lifetimes(struct plan *plan) {
    for (int s = 0; s < SEG_COUNT; s++)
        for (int i = plan->segment_begin[s]; i < plan->segment_end[s]; i++) {
            const struct op *op = &plan->ops[i];
            int64_t at = op->at;
            for (int k = 0; k < MAX_OUT + MAX_IN; k++) {
                int id = k < MAX_OUT ? op->out[k] : op->in[k - MAX_OUT];
                if (id == NONE) continue;
                struct buf *buf = &plan->bufs[buf_root(plan, id, NULL)];
                if (buf->first == NONE || at < buf->first) buf->first = at;
                if (at > buf->last) buf->last = at;
            }
            touch_units(plan, op);
        }
}

static int dies_at(const struct plan *plan, const struct op *op, int id) {
    const struct buf *buf = &plan->bufs[id];
    int uses = 0;
    for (int k = 0; k < MAX_IN; k++) uses += op->in[k] == id;
    return buf->kind == BUF_ACT && buf->alias == NONE && buf->last == op->at && uses == 1;
}

/* Outputs that take over a dying input: both then are one block of memory. */
static void find_takeovers(struct plan *plan) {
    for (int s = 0; s < SEG_COUNT; s++)
        for (int i = plan->segment_begin[s]; i < plan->segment_end[s]; i++) {
            const struct op *op = &plan->ops[i];
            if (op->out[0] == NONE) continue;
            struct buf *out = &plan->bufs[op->out[0]];
            if (out->kind != BUF_ACT || out->takes != NONE) continue;
            for (int k = 0; k < MAX_IN && out->takes == NONE; k++) {
                int id = op->in[k];
                if (!(op_info[op->kind].reuse & 1u << k) || id == NONE) continue;
                if (dies_at(plan, op, id) && buf_bytes(&plan->bufs[id]) == buf_bytes(out) &&
                    plan->bufs[id].type == out->type)
                    out->takes = id;
            }
        }
}

/* Segments that share values belong together: group[s] is the smallest segment of s's group. */
static void find_groups(const struct plan *plan, int *home, int group[SEG_COUNT]) {
    for (int s = 0; s < SEG_COUNT; s++) group[s] = s;
    for (int b = 0; b < plan->n_bufs; b++) home[b] = NONE;
    for (int s = 0; s < SEG_COUNT; s++)
        for (int i = plan->segment_begin[s]; i < plan->segment_end[s]; i++)
            for (int k = 0; k < MAX_OUT + MAX_IN; k++) {
                int id = k < MAX_OUT ? plan->ops[i].out[k] : plan->ops[i].in[k - MAX_OUT];
                if (id == NONE || (plan->bufs[id].kind != BUF_ACT && plan->bufs[id].kind != BUF_LEAF)) continue;
                id = buf_root(plan, id, NULL);
                if (home[id] == NONE) home[id] = group[s];
                int from = group[s], to = group[home[id]];
                for (int g = 0; g < SEG_COUNT; g++)
                    if (group[g] == from) group[g] = to;
            }
}

/* A block of memory: a value and all that take it over, live from the first to the last of them. */
struct block {
    int value, group;
    int64_t first, last, bytes, offset;
};

static int larger_first(const void *a, const void *b) {
    const struct block *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->value - y->value;
}

/* The lowest offset that is free while the block is live, among the blocks placed before it. */
static int64_t lowest_offset(const struct block *blocks, int count, const struct block *block) {
    int64_t offset = 0;
    for (int moved = 1; moved;) {
        moved = 0;
        for (int i = 0; i < count; i++) {
            const struct block *other = &blocks[i];
            if (other->group != block->group || other->last < block->first || block->last < other->first) continue;
            if (offset < other->offset + other->bytes && other->offset < offset + block->bytes) {
                offset = other->offset + other->bytes;
                moved = 1;
            }
        }
    }
    return offset;
}

static int place_values(struct plan *plan, struct block *blocks, int *owner) {
    int group[SEG_COUNT], count = 0;
    int *home = owner + plan->n_bufs;
    find_groups(plan, home, group);
    for (int b = 0; b < plan->n_bufs; b++) {
        struct buf *buf = &plan->bufs[b];
        if ((buf->kind != BUF_ACT && buf->kind != BUF_LEAF) || buf->alias != NONE) continue;
        if (buf->first == NONE || buf->takes != NONE) continue;
        owner[b] = count;
        blocks[count] = (struct block){b, group[home[b]], buf->first, buf->last, align_up(buf_bytes(buf)), 0};
        count++;
    }
    for (int b = 0; b < plan->n_bufs; b++) {
        int first = b;
        while (plan->bufs[first].takes != NONE) first = plan->bufs[first].takes;
        if (first == b) continue;
        owner[b] = owner[first];
        if (plan->bufs[b].last > blocks[owner[b]].last) blocks[owner[b]].last = plan->bufs[b].last;
    }
    /* Sorting moves blocks, so owner[] is turned into the value that leads the block. */
    for (int b = 0; b < plan->n_bufs; b++)
        if (owner[b] != NONE) owner[b] = blocks[owner[b]].value;
    qsort(blocks, (size_t)count, sizeof *blocks, larger_first);
    int64_t top = 0;
    for (int i = 0; i < count; i++) {
        blocks[i].offset = plan->share_memory ? lowest_offset(blocks, i, &blocks[i]) : top;
        if (blocks[i].offset + blocks[i].bytes > top) top = blocks[i].offset + blocks[i].bytes;
        plan->bufs[blocks[i].value].offset = plan->persistent_bytes + blocks[i].offset;
    }
    for (int b = 0; b < plan->n_bufs; b++)
        if (owner[b] != NONE) plan->bufs[b].offset = plan->bufs[owner[b]].offset;
    plan->arena_bytes = plan->persistent_bytes + top;
    return 0;
}

static void place_persistent(struct plan *plan) {
    plan->persistent_bytes = 0;
    for (int b = 0; b < plan->n_bufs; b++) {
        struct buf *buf = &plan->bufs[b];
        int persists =
            buf->kind == BUF_GRAD || buf->kind == BUF_INPUT || buf->kind == BUF_RESULT || buf->kind == BUF_COPY;
        if (buf->alias != NONE || !persists) continue;
        buf->offset = plan->persistent_bytes;
        plan->persistent_bytes += align_up(buf_bytes(buf));
    }
}

static void find_scratch(struct plan *plan) {
    plan->scratch_bytes = 0;
    for (int i = 0; i < plan->n_ops; i++) {
        const struct op_rule *rule = op_rules[plan->ops[i].kind];
        int64_t bytes = rule->scratch ? align_up(rule->scratch(plan, &plan->ops[i])) : 0;
        if (bytes > plan->scratch_bytes) plan->scratch_bytes = bytes;
    }
}

int plan_memory(struct plan *plan) {
    place_persistent(plan);
    find_places(plan);
    find_lifetimes(plan);
    if (plan->share_memory) find_takeovers(plan);
    find_scratch(plan);
    struct block *blocks = malloc((size_t)plan->n_bufs * sizeof *blocks);
    int *owner = malloc((size_t)plan->n_bufs * 2 * sizeof *owner);
    if (owner)
        for (int b = 0; b < plan->n_bufs; b++) owner[b] = NONE;
    int status = blocks && owner ? place_values(plan, blocks, owner) : fail(STATUS_FAILED, "plan: out of memory");
    free(blocks);
    free(owner);
    return status;
}
