/* What holds after every pass. A violation is a defect of Lockstep or of a model description, never of the user's data. */
#include "plan/passes.h"

#include <stdlib.h>

#include "base/check.h"
#include "plan/rule.h"

struct checker {
    const struct plan *plan;
    const char *after;
    int *written; /* per buffer: 1 + the segment that wrote it last, for values */
};

static int broken(const struct checker *c, int op, const char *what, int buf) {
    const struct plan *plan = c->plan;
    return fail(STATUS_FAILED, "plan is broken after %s: op %d (%s): %s%s%s", c->after, op,
                op == NONE ? "-" : op_info[plan->ops[op].kind].name, what, buf == NONE ? "" : " ",
                buf == NONE ? "" : plan->bufs[buf].name);
}

static int check_bufs(const struct checker *c) {
    const struct plan *plan = c->plan;
    for (int b = 0; b < plan->n_bufs; b++) {
        const struct buf *buf = &plan->bufs[b];
        for (int d = 0; d < buf->rank; d++)
            if (buf->dim[d] < 0) return broken(c, NONE, "negative dimension of", b);
        if (buf->alias == NONE) continue;
        if (buf->alias < 0 || buf->alias >= b) return broken(c, NONE, "alias out of order:", b);
        const struct buf *root = &plan->bufs[buf->alias];
        if (root->kind != buf->kind || root->type != buf->type) return broken(c, NONE, "alias of another kind:", b);
        if (buf->offset < 0 || buf->offset + buf_bytes(buf) > buf_bytes(root))
            return broken(c, NONE, "alias reaches out of its buffer:", b);
    }
    return 0;
}

static int check_shapes(const struct checker *c, int i) {
    const struct plan *plan = c->plan;
    const struct op *op = &plan->ops[i];
    struct buf outs[MAX_OUT];
    unsigned wanted = 0;
    for (int o = 0; o < op_info[op->kind].outs; o++) wanted |= op->out[o] == NONE ? 0 : 1u << o;
    if (plan_shape(plan, op, wanted, outs)) return fail_within(STATUS_FAILED, "plan is broken after %s: ", c->after);
    for (int o = 0; o < MAX_OUT; o++) {
        if (!(wanted & 1u << o) || !outs[o].rank) continue;
        const struct buf *buf = &plan->bufs[op->out[o]];
        if (buf->type != outs[o].type || buf_elems(buf) != buf_elems(&outs[o]))
            return broken(c, i, "shape or type does not follow from the inputs:", op->out[o]);
    }
    return 0;
}

static int check_operands(const struct checker *c, int i) {
    const struct plan *plan = c->plan;
    const struct op *op = &plan->ops[i];
    const struct op_info *info = &op_info[op->kind];
    for (int k = 0; k < MAX_IN; k++) {
        int id = op->in[k];
        if (k >= info->ins ? id != NONE : id < NONE || id >= plan->n_bufs) return broken(c, i, "bad input", NONE);
        if (id != NONE && plan->bufs[id].kind == BUF_ACT && c->written[id] != 1 + (int)op->segment)
            return broken(c, i, "reads before it is written:", id);
    }
    for (int k = 0; k < MAX_OUT; k++) {
        int id = op->out[k];
        if (k >= info->outs ? id != NONE : id < NONE || id >= plan->n_bufs) return broken(c, i, "bad output", NONE);
        if (id == NONE) continue;
        const struct buf *buf = &plan->bufs[id];
        if (buf->kind == BUF_INPUT) return broken(c, i, "writes an input:", id);
        if (buf->kind == BUF_ACT && c->written[id] == 1 + (int)op->segment) return broken(c, i, "writes twice:", id);
        if (buf->kind == BUF_ACT && op->add & 1u << k) return broken(c, i, "adds to a value:", id);
        c->written[id] = 1 + (int)op->segment;
    }
    return 0;
}

static int is_operand(const struct op *op, int id) {
    for (int k = 0; k < MAX_IN; k++)
        if (op->in[k] == id) return 1;
    return 0;
}

/* What communication reads or writes lives until its wait: that has the values as operands too (gradients of a leaf: the same
 * range, see memory.c), so that the memory pass gives their bytes to nothing else before. */
static int check_wait(const struct checker *c, int i) {
    const struct plan *plan = c->plan;
    const struct op *op = &plan->ops[i], *wait = op + 1;
    const struct op *end = plan->ops + plan->segment_end[op->segment];
    if (op_info[op->kind].lane != LANE_COMM || op->kind == OP_wait) return 0;
    while (wait < end && (wait->kind != OP_wait || wait->attr.line != op->attr.line)) wait++;
    for (int k = 0; k < MAX_OUT + MAX_IN; k++) {
        int id = k < MAX_OUT ? op->out[k] : op->in[k - MAX_OUT];
        if (id == NONE || plan->bufs[id].kind != BUF_ACT) continue;
        if (wait == end || !is_operand(wait, id)) return broken(c, i, "no wait keeps what is under way:", id);
    }
    if (op->kind != OP_exchange || !plan->n_units || op->segment == SEG_FOLD) return 0;
    int same = wait < end && wait->attr.begin == op->attr.begin && wait->attr.end == op->attr.end;
    return same ? 0 : broken(c, i, "no wait keeps the gradients that are under way", NONE);
}

static int overlap_allowed(const struct plan *plan, int a, int b) {
    while (a != NONE && a != b) a = plan->bufs[a].takes;
    return a == b;
}

/* Something with a lifetime; *id becomes what has the memory. */
static int is_value(const struct plan *plan, int *id) {
    if (*id == NONE || (plan->bufs[*id].kind != BUF_ACT && plan->bufs[*id].kind != BUF_LEAF)) return 0;
    *id = buf_root(plan, *id, NULL);
    return 1;
}

/* Two values of one segment that are live at the same time must not share a byte, unless one takes over the other. */
static int check_overlap(const struct checker *c, enum segment s) {
    const struct plan *plan = c->plan;
    for (int i = plan->segment_begin[s]; i < plan->segment_end[s]; i++)
        for (int o = 0; o < MAX_OUT; o++) {
            int id = plan->ops[i].out[o];
            if (!is_value(plan, &id)) continue;
            const struct buf *x = &plan->bufs[id];
            if (x->offset < plan->persistent_bytes || x->offset + buf_bytes(x) > plan->arena_bytes)
                return broken(c, i, "value outside the arena:", id);
            for (int j = plan->segment_begin[s]; j <= i; j++)
                for (int p = 0; p < MAX_OUT; p++) {
                    int other = plan->ops[j].out[p];
                    if (!is_value(plan, &other) || other == id) continue;
                    const struct buf *y = &plan->bufs[other];
                    int together = x->first <= y->last && y->first <= x->last;
                    int share = x->offset < y->offset + buf_bytes(y) && y->offset < x->offset + buf_bytes(x);
                    if (together && share && !overlap_allowed(plan, id, other) && !overlap_allowed(plan, other, id))
                        return broken(c, i, "two live values share memory:", id);
                }
        }
    return 0;
}

int plan_check(const struct plan *plan, const char *after) {
    struct checker c = {plan, after, calloc((size_t)plan->n_bufs + 1, sizeof(int))};
    if (!c.written) return fail(STATUS_FAILED, "plan: out of memory");
    int status = check_bufs(&c);
    for (int i = 0; !status && i < plan->n_ops; i++) {
        status = check_shapes(&c, i);
        if (!status) status = check_operands(&c, i);
    }
    for (int i = 0; plan->arena_bytes && !status && i < plan->n_ops; i++) status = check_wait(&c, i);
    if (plan->arena_bytes)
        for (int s = 0; !status && s < SEG_COUNT; s++) status = check_overlap(&c, (enum segment)s);
    free(c.written);
    return status;
}
