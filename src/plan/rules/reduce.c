#include "plan/rules/rules.h"
#include "plan/tree.h"

/* Ops over the flat space write buffers of the plan, whose size does not follow from inputs. */
static int flat_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)in;
    if (op->attr.end < op->attr.begin) return fail(STATUS_USAGE, "an empty range");
    (void)out;
    return 0;
}

static int64_t fold_flops(const struct plan *plan, const struct op *op) {
    (void)op;
    return plan->flat_elems;
}

/* Counted for a leaf that takes up one held sum, the most frequent case: two sums read, one written. */
static int64_t fold_bytes(const struct plan *plan, const struct op *op) {
    return 3 * buf_bytes(&plan->bufs[op->out[0]]);
}

const struct op_rule rule_fold = {.shape = flat_shape, .flops = fold_flops, .bytes = fold_bytes};

static int exchange_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    if (!in[0]) return fail(STATUS_USAGE, "needs the gradients");
    return flat_shape(op, in, out);
}

/* Sends each of this rank's subtree sums, cut to each other rank's piece. */
static int64_t exchange_wire(const struct plan *plan, const struct op *op) {
    int64_t begin, end, elems = 0;
    struct tree_node nodes[TREE_MAX_COVER];
    int count = tree_cover(plan->slots, plan->slot_lo, plan->slot_hi, nodes);
    for (int r = 0; r < plan->request.ranks; r++) {
        if (r == plan->request.rank) continue;
        tree_piece(op->attr.begin, op->attr.end, plan->request.ranks, r, &begin, &end);
        elems += count * (end - begin);
    }
    return elems * (int64_t)dtype_size(plan->bufs[op->in[0]].type);
}

static int64_t exchange_bytes(const struct plan *plan, const struct op *op) {
    return exchange_wire(plan, op) + (op->out[0] == NONE ? 0 : buf_bytes(&plan->bufs[op->out[0]]));
}

const struct op_rule rule_exchange = {.shape = exchange_shape, .bytes = exchange_bytes, .wire = exchange_wire};

static int64_t finish_flops(const struct plan *plan, const struct op *op) {
    return (op->attr.end - op->attr.begin) * tree_messages(plan->slots, plan->request.ranks, plan->request.rank);
}

/* Every message and this rank's own sum are read, the result is written. */
static int64_t finish_bytes(const struct plan *plan, const struct op *op) {
    int64_t rows = tree_messages(plan->slots, plan->request.ranks, plan->request.rank) + 2;
    return rows * (op->attr.end - op->attr.begin) * (int64_t)dtype_size(plan->bufs[op->out[0]].type);
}

const struct op_rule rule_tree_finish = {.shape = flat_shape, .flops = finish_flops, .bytes = finish_bytes};

/* Sends its piece to every other rank. */
static int64_t gather_wire(const struct plan *plan, const struct op *op) {
    int64_t begin, end;
    tree_piece(op->attr.begin, op->attr.end, plan->request.ranks, plan->request.rank, &begin, &end);
    return (plan->request.ranks - 1) * (end - begin) * (int64_t)dtype_size(plan->bufs[op->out[0]].type);
}

const struct op_rule rule_gather_grads = {.shape = flat_shape, .wire = gather_wire};

static int64_t losses_wire(const struct plan *plan, const struct op *op) {
    (void)op;
    return (plan->request.ranks - 1) * (plan->slot_hi - plan->slot_lo) * (int64_t)sizeof(double);
}

const struct op_rule rule_gather_losses = {.shape = flat_shape, .wire = losses_wire};
