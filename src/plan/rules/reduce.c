#include "plan/rules/rules.h"

/* Ops over the flat space write buffers of the plan, whose size does not follow from inputs. */
static int flat_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)in;
    if (op->attr.end < op->attr.begin) return fail(STATUS_USAGE, "an empty range");
    (void)out;
    return 0;
}

static int64_t fold_flops(const struct plan *plan, const struct op *op) { return operand_elems(plan, op->out[0]); }

/* Counted for a leaf that takes up one held sum, the most frequent case: two sums read, one written. */
static int64_t fold_bytes(const struct plan *plan, const struct op *op) {
    return 3 * buf_bytes(&plan->bufs[op->out[0]]);
}

const struct op_rule rule_fold = {.shape = flat_shape, .flops = fold_flops, .bytes = fold_bytes};

static void add_sent(void *context, const struct wire *wire) {
    if (!wire->receives) *(int64_t *)context += wire->bytes;
}

/* In the first round, which has the most. */
static int64_t messages_wire(const struct plan *plan, const struct op *op) {
    int64_t sent = 0;
    plan_wire(plan, op, 0, add_sent, &sent);
    return sent;
}

static int64_t exchange_bytes(const struct plan *plan, const struct op *op) {
    return messages_wire(plan, op) + (op->out[0] == NONE ? 0 : buf_bytes(&plan->bufs[op->out[0]]));
}

const struct op_rule rule_exchange = {.shape = flat_shape, .bytes = exchange_bytes, .wire = messages_wire};

static int64_t no_bytes(const struct plan *plan, const struct op *op) {
    (void)plan, (void)op;
    return 0;
}

const struct op_rule rule_clear = {.shape = flat_shape};
const struct op_rule rule_wait = {.shape = flat_shape, .bytes = no_bytes};

static int finish_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    if (!in[0] || !in[1] || op->attr.column + in[1]->dim[0] > in[0]->dim[in[0]->rank - 1])
        return fail(STATUS_USAGE, "needs the other ranks' sums, and of this one no more");
    set_like(out[0], in[1]);
    return 0;
}

static int64_t finish_rows(const struct plan *plan, const struct op *op) {
    const struct buf *staging = &plan->bufs[op->in[0]];
    return staging->rank == 2 ? staging->dim[0] : 1;
}

static int64_t finish_flops(const struct plan *plan, const struct op *op) {
    return finish_rows(plan, op) * operand_elems(plan, op->in[1]);
}

/* Every message and this rank's own sum are read, the result is written. */
static int64_t finish_bytes(const struct plan *plan, const struct op *op) {
    return finish_rows(plan, op) * buf_bytes(&plan->bufs[op->in[1]]) + 2 * buf_bytes(&plan->bufs[op->in[1]]);
}

const struct op_rule rule_tree_finish = {.shape = finish_shape, .flops = finish_flops, .bytes = finish_bytes};

const struct op_rule rule_all_gather = {.shape = flat_shape, .wire = messages_wire};
const struct op_rule rule_gather_losses = {.shape = flat_shape, .wire = messages_wire};
const struct op_rule rule_gather_norms = {.shape = flat_shape, .wire = messages_wire};

/* What a ring sends: each rank passes on all but one of as many parts as there are ranks. */
static int64_t ring_wire(const struct plan *plan, const struct op *op) {
    return buf_bytes(&plan->bufs[op->in[0]]) / plan->request.ranks * (plan->request.ranks - 1);
}

static int64_t two_rings_wire(const struct plan *plan, const struct op *op) { return 2 * ring_wire(plan, op); }

const struct op_rule rule_all_reduce = {.shape = flat_shape, .wire = two_rings_wire};
const struct op_rule rule_reduce_scatter = {.shape = flat_shape, .wire = ring_wire};
