#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "plan/passes.h"

#define COMPUTE LANE_COMPUTE
#define COMM    LANE_COMM
const struct op_info op_info[OP_COUNT] = {
#define OP(name, outs, ins, reuse, lane) [OP_##name] = {#name, outs, ins, reuse, lane},
#include "plan/op.def"
#undef OP
};
#undef COMPUTE
#undef COMM

static const char *const segment_names[SEG_COUNT] = {
    [SEG_MICRO_FIRST] = "micro_first",
    [SEG_MICRO_NEXT] = "micro_next",
    [SEG_MICRO_LAST] = "micro_last",
    [SEG_FOLD] = "fold",
    [SEG_UPDATE] = "update",
    [SEG_EVAL] = "eval",
    [SEG_PREFILL] = "prefill",
    [SEG_DECODE] = "decode",
    [SEG_GUARD] = "guard",
    [SEG_SEAL] = "seal",
    [SEG_START] = "start",
};

const char *segment_name(enum segment segment) { return segment_names[segment]; }

int plan_n_slots(const struct plan *plan) {
    return (plan->slot_hi - plan->slot_lo + plan->slot_step - 1) / plan->slot_step;
}

int plan_n_rounds(const struct plan *plan) { return plan->zero == 2 ? plan->rounds : plan_n_slots(plan); }

enum segment plan_micro_segment(const struct plan *plan, int i, int micro) {
    int last_micro = micro == plan->micro_batches - 1, last_slot = i == plan_n_slots(plan) - 1;
    if (last_micro && (last_slot || plan->zero == 2)) return SEG_MICRO_LAST;
    return micro || (plan->running_sum && i) ? SEG_MICRO_NEXT : SEG_MICRO_FIRST;
}

enum segment plan_after_slot(const struct plan *plan, int i) {
    int slots = plan_n_slots(plan);
    if (plan->running_sum) return SEG_COUNT;
    if (plan->zero == 2) return i < slots ? SEG_COUNT : SEG_FOLD;
    return i < slots - 1 ? SEG_FOLD : SEG_COUNT;
}

int64_t buf_elems(const struct buf *buf) {
    int64_t elems = 1;
    for (int i = 0; i < buf->rank; i++) elems *= buf->dim[i];
    return elems;
}

int64_t buf_bytes(const struct buf *buf) { return buf_elems(buf) * (int64_t)dtype_size(buf->type); }

int buf_root(const struct plan *plan, int buf, int64_t *offset) {
    int64_t sum = 0;
    while (plan->bufs[buf].alias != NONE) {
        sum += plan->bufs[buf].offset;
        buf = plan->bufs[buf].alias;
    }
    if (offset) *offset = sum;
    return buf;
}

int plan_find(const struct plan *plan, const char *name) {
    for (int i = 0; i < plan->n_bufs; i++)
        if (!strcmp(plan->bufs[i].name, name)) return i;
    return NONE;
}

/* Makes room for one more element. */
static int grow(void **array, int count, int *capacity, size_t size) {
    if (count < *capacity) return 0;
    int larger = *capacity ? *capacity * 2 : 256;
    void *moved = realloc(*array, (size_t)larger * size);
    if (!moved) return fail(STATUS_FAILED, "plan: out of memory for %d entries", larger);
    *array = moved;
    *capacity = larger;
    return 0;
}

int plan_add_buf(struct plan *plan, const struct buf *buf, int *id) {
    TRY(grow((void **)&plan->bufs, plan->n_bufs, &plan->cap_bufs, sizeof *plan->bufs));
    struct buf *added = &plan->bufs[plan->n_bufs];
    *added = *buf;
    for (int i = added->rank; i < MAX_RANK; i++) added->dim[i] = 1;
    added->grad = added->takes = added->first = added->last = NONE;
    *id = plan->n_bufs++;
    return 0;
}

struct op plan_new_op(enum op_kind kind) {
    struct op op = {.kind = kind, .layer = NONE};
    for (int i = 0; i < MAX_OUT; i++) op.out[i] = NONE;
    for (int i = 0; i < MAX_IN; i++) op.in[i] = NONE;
    return op;
}

int plan_add_op(struct plan *plan, const struct op *op) {
    TRY(grow((void **)&plan->ops, plan->n_ops, &plan->cap_ops, sizeof *plan->ops));
    plan->ops[plan->n_ops++] = *op;
    return 0;
}

int plan_insert_op(struct plan *plan, int at, const struct op *op) {
    TRY(plan_add_op(plan, op)); /* makes room */
    memmove(plan->ops + at + 1, plan->ops + at, (size_t)(plan->n_ops - 1 - at) * sizeof *plan->ops);
    plan->ops[at] = *op;
    for (int s = 0; s < SEG_COUNT; s++) {
        int behind = s != (int)op->segment && plan->segment_begin[s] >= at;
        plan->segment_begin[s] += behind;
        plan->segment_end[s] += behind || s == (int)op->segment;
    }
    return 0;
}

int plan_add_param(struct plan *plan, const struct param *param) {
    TRY(grow((void **)&plan->params, plan->n_params, &plan->cap_params, sizeof *plan->params));
    plan->params[plan->n_params++] = *param;
    return 0;
}

void plan_begin_segment(struct plan *plan, enum segment segment) { plan->segment_begin[segment] = plan->n_ops; }

int plan_end_segment(struct plan *plan, enum segment segment) {
    plan->segment_end[segment] = plan->n_ops;
    for (int i = plan->segment_begin[segment]; i < plan->n_ops; i++) plan->ops[i].segment = segment;
    return 0;
}

void plan_free(struct plan *plan) {
    if (!plan) return;
    free(plan->program);
    free(plan->buckets);
    free(plan->units);
    free(plan->shard_at);
    free(plan->order);
    free(plan->norms_at);
    free(plan->bufs);
    free(plan->ops);
    free(plan->params);
    free(plan);
}
