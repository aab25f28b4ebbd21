/* The communication ops of the plan, by way of a transport (comm/comm.h). */
#include "backend/cpu.h"

#include "base/check.h"
#include "plan/tree.h"

/* Row `node` of this rank's cover: held sums in order, the last one in grads (plan/tree.h). */
static char *node_sum(const struct exec *exec, const struct op *op, int node, int count, int64_t element) {
    const struct plan *plan = exec->plan;
    int64_t size = (int64_t)dtype_size(plan->bufs[op->in[0]].type);
    if (node == count - 1) return (char *)exec->data[op->in[0]] + element * size;
    return (char *)exec->data[op->in[1]] + ((int64_t)node * plan->flat_elems + element) * size;
}

static int exchange(struct exec *exec, const struct op *op) {
    const struct plan *plan = exec->plan;
    int rank = plan->request.rank, ranks = plan->request.ranks, n_sends = 0, n_receives = 0, row = 0;
    int64_t size = (int64_t)dtype_size(plan->bufs[op->in[0]].type), begin, end, my_begin, my_end;
    struct tree_node nodes[TREE_MAX_COVER];
    int mine = tree_cover(plan->slots, plan->slot_lo, plan->slot_hi, nodes);
    tree_piece(op->attr.begin, op->attr.end, ranks, rank, &my_begin, &my_end);
    for (int r = 0; r < ranks; r++) {
        if (r == rank) continue;
        int lo, hi;
        tree_range(plan->slots, ranks, r, &lo, &hi);
        int theirs = tree_cover(plan->slots, lo, hi, nodes);
        tree_piece(op->attr.begin, op->attr.end, ranks, r, &begin, &end);
        for (int i = 0; i < mine && end > begin; i++)
            exec->sends[n_sends++] = (struct comm_message){r, node_sum(exec, op, i, mine, begin), (end - begin) * size};
        for (int i = 0; i < theirs && my_end > my_begin; i++) {
            char *to = (char *)exec->data[op->out[0]] + (int64_t)row++ * (my_end - my_begin) * size;
            exec->receives[n_receives++] = (struct comm_message){r, to, (my_end - my_begin) * size};
        }
    }
    return exec->comm->transport->exchange(exec->comm, exec->sends, n_sends, exec->receives, n_receives);
}

static int gather_grads(struct exec *exec, const struct op *op) {
    const struct plan *plan = exec->plan;
    int64_t size = (int64_t)dtype_size(plan->bufs[op->out[0]].type), begin, end;
    for (int r = 0; r < plan->request.ranks; r++) {
        tree_piece(op->attr.begin, op->attr.end, plan->request.ranks, r, &begin, &end);
        exec->offset[r] = begin * size;
        exec->bytes[r] = (end - begin) * size;
    }
    return exec->comm->transport->gather(exec->comm, exec->data[op->out[0]], exec->offset, exec->bytes);
}

static int gather_losses(struct exec *exec, const struct op *op) {
    const struct plan *plan = exec->plan;
    for (int r = 0; r < plan->request.ranks; r++) {
        int lo, hi;
        tree_range(plan->slots, plan->request.ranks, r, &lo, &hi);
        exec->offset[r] = lo * (int64_t)sizeof(double);
        exec->bytes[r] = (hi - lo) * (int64_t)sizeof(double);
    }
    return exec->comm->transport->gather(exec->comm, exec->data[op->out[0]], exec->offset, exec->bytes);
}

static int (*const communicate[OP_COUNT])(struct exec *, const struct op *) = {
    [OP_exchange] = exchange,
    [OP_gather_grads] = gather_grads,
    [OP_gather_losses] = gather_losses,
};

int cpu_communicate(struct exec *exec, const struct op *op) {
    if (!communicate[op->kind])
        return fail(STATUS_FAILED, "backend cpu: op %s has no transport", op_info[op->kind].name);
    TRY(communicate[op->kind](exec, op));
    return 0;
}
