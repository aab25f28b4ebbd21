/* Communication goes on under the ops that follow it. Until its wait, nothing may write what it reads or touch what it writes; this
 * walks through steps, a checkpoint and an evaluation, as the trainer runs them, and proves it for every op and every
 * buffer: with the audit in a step and without, with the guard and without. That values do not share memory with what is under way is the memory pass's part: a wait has what it ends as operands, and so keeps it alive. */
#include "plan/passes.h"

#include <stdlib.h>

#include "base/check.h"

/* Elements of a root buffer that an op touches; of the held sums, columns. */
struct access {
    int root, writes;
    int64_t begin, end;
};

enum {
    MOST_ACCESSES = 2 * (MAX_IN + MAX_OUT),
    LEAF = -2 /* gradients of a leaf, wherever they lie: elements of the flat space */
};

struct accesses {
    struct access list[MOST_ACCESSES];
    int count;
};

static void add(struct accesses *a, int root, int64_t begin, int64_t end, int writes) {
    if (root != NONE && begin < end) a->list[a->count++] = (struct access){root, writes, begin, end};
}

static void add_operand(const struct plan *plan, struct accesses *a, int buf, int writes) {
    if (buf == NONE) return;
    int64_t offset, begin;
    int root = buf_root(plan, buf, &offset);
    if (plan_is_grads(plan, buf, &begin))
        root = LEAF;
    else
        begin = offset / (int64_t)dtype_size(plan->bufs[buf].type);
    add(a, root, begin, begin + buf_elems(&plan->bufs[buf]), writes);
}

/* The bucket of the op, but for this rank's own piece. */
static void add_others(const struct plan *plan, struct accesses *a, int root, const struct op *op, int writes) {
    struct span own = plan_piece(plan, op->attr.bucket, plan->request.rank);
    add(a, root, op->attr.begin, own.begin, writes);
    add(a, root, own.end, op->attr.end, writes);
    if (writes) add(a, root, own.begin, own.end, 0);
}

static void find_accesses(const struct plan *plan, const struct op *op, struct accesses *a) {
    a->count = 0;
    switch (op->kind) {
    case OP_wait:
        return;
    case OP_exchange:
        add_others(plan, a, LEAF, op, 0);
        add_others(plan, a, op->in[1], op, 0);
        add_operand(plan, a, op->out[0], 1);
        return;
    case OP_all_gather:
        add_others(plan, a, op->out[0] == plan->flat_grads ? LEAF : op->out[0], op, 1);
        return;
    case OP_fold:
        add_operand(plan, a, op->out[0], 1);
        add(a, op->out[1], op->attr.begin, op->attr.begin + buf_elems(&plan->bufs[op->out[0]]), 1);
        return;
    case OP_tree_finish:
        add_operand(plan, a, op->out[0], 1);
        add_operand(plan, a, op->in[0], 0);
        add_operand(plan, a, op->in[1], 0);
        for (int k = 0; k < 2; k++)
            add(a, k ? op->in[2] : op->out[1], op->attr.begin, op->attr.begin + buf_elems(&plan->bufs[op->in[1]]), !k);
        return;
    default:
        for (int k = 0; k < op_info[op->kind].outs; k++) add_operand(plan, a, op->out[k], 1);
        for (int k = 0; k < op_info[op->kind].ins; k++) add_operand(plan, a, op->in[k], 0);
    }
}

static int conflict(const struct accesses *a, const struct accesses *b) {
    for (int i = 0; i < a->count; i++)
        for (int k = 0; k < b->count; k++) {
            const struct access *x = &a->list[i], *y = &b->list[k];
            if (x->root == y->root && (x->writes || y->writes) && x->begin < y->end && y->begin < x->end) return 1;
        }
    return 0;
}

struct walk {
    const struct plan *plan;
    struct accesses *under_way; /* by line; */
    int *op;                    /* NONE: nothing on this line */
};

static int fail_at(const struct plan *plan, int i, int other, const char *what) {
    const struct op *op = &plan->ops[i], *before = &plan->ops[other];
    return fail(STATUS_FAILED, "plan has a race: op %d (%s, in %s) %s op %d (%s, line %d), which is under way", i,
                op_info[op->kind].name, segment_name(op->segment), what, other, op_info[before->kind].name,
                before->attr.line);
}

static int walk_op(struct walk *w, int i) {
    const struct op *op = &w->plan->ops[i];
    struct accesses mine;
    if (op->kind == OP_wait) {
        w->op[op->attr.line] = NONE;
        return 0;
    }
    find_accesses(w->plan, op, &mine);
    for (int line = 1; line <= w->plan->lines; line++)
        if (w->op[line] != NONE && conflict(&mine, &w->under_way[line]))
            return fail_at(w->plan, i, w->op[line], "touches what is in use by");
    if (op_info[op->kind].lane != LANE_COMM) return 0;
    if (w->op[op->attr.line] != NONE) return fail_at(w->plan, i, w->op[op->attr.line], "starts on the line of");
    w->op[op->attr.line] = i;
    w->under_way[op->attr.line] = mine;
    return 0;
}

static int walk_segment(struct walk *w, enum segment segment) {
    for (int i = w->plan->segment_begin[segment]; i < w->plan->segment_end[segment]; i++) TRY(walk_op(w, i));
    return 0;
}

/* The audit: another rank's slot, before this one's. */
static int walk_slot_again(struct walk *w) {
    TRY(walk_segment(w, SEG_MICRO_FIRST));
    return w->plan->micro_batches > 1 ? walk_segment(w, SEG_MICRO_NEXT) : 0;
}

/* Not every rank audits in every step, and not every step is guarded. */
static int walk_step(struct walk *w, int audit, int guard) {
    const struct plan *plan = w->plan;
    if (audit && plan->audit != NONE) TRY(walk_slot_again(w));
    int slots = plan_n_slots(plan), rounds = plan_n_rounds(plan);
    for (int i = 0; i < rounds; i++) {
        for (int micro = 0; i < slots && micro < plan->micro_batches; micro++)
            TRY(walk_segment(w, plan_micro_segment(plan, i, micro)));
        if (plan_after_slot(plan, i) != SEG_COUNT) TRY(walk_segment(w, plan_after_slot(plan, i)));
    }
    TRY(walk_segment(w, SEG_SEAL));
    if (guard) TRY(walk_segment(w, SEG_GUARD));
    TRY(walk_segment(w, SEG_UPDATE));
    return walk_segment(w, SEG_SEAL);
}

static int walk_all(struct walk *w) {
    TRY(walk_segment(w, SEG_START));
    TRY(walk_segment(w, SEG_SEAL));
    TRY(walk_step(w, 1, 1));
    TRY(walk_step(w, 0, 0));
    TRY(walk_step(w, 1, 0));
    TRY(walk_segment(w, SEG_SEAL)); /* a checkpoint */
    TRY(walk_segment(w, SEG_GUARD));
    TRY(walk_step(w, 0, 1));
    TRY(walk_segment(w, SEG_EVAL));
    return walk_step(w, 0, 0);
}

int plan_check_races(const struct plan *plan) {
    if (!plan->lines) return 0;
    size_t lines = (size_t)plan->lines + 1;
    struct walk w = {plan, calloc(lines, sizeof *w.under_way), malloc(lines * sizeof *w.op)};
    int status = w.under_way && w.op ? 0 : fail(STATUS_FAILED, "plan: out of memory");
    for (size_t i = 0; !status && i < lines; i++) w.op[i] = NONE;
    if (!status) status = walk_all(&w);
    free(w.under_way);
    free(w.op);
    return status;
}
