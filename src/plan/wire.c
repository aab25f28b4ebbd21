/* Who sends what to whom: the messages of each communication op. */
#include "plan/passes.h"

#include "plan/tree.h"

struct talk {
    const struct plan *plan;
    const struct op *op;
    int round;
    void (*each)(void *context, const struct wire *wire);
    void *context;
};

static void message(const struct talk *t, int peer, int receives, int buf, int64_t element, int64_t elems) {
    int64_t size = (int64_t)dtype_size(t->plan->bufs[buf].type);
    const struct wire wire = {peer, receives, buf, element * size, elems * size};
    if (elems > 0) t->each(t->context, &wire);
}

/* Gradients of a leaf may lie in several parts, which are messages of their own; so they are for who receives them. */
static void send_leaf(const struct talk *t, int peer, struct span piece) {
    for (int64_t begin = piece.begin, end; begin < piece.end; begin = end) {
        int buf;
        int64_t at;
        end = plan_grads_at(t->plan, begin, piece.end, &buf, &at);
        message(t, peer, 0, buf, at, end - begin);
    }
}

static void receive_row(const struct talk *t, int peer, int row, struct span piece) {
    int64_t first = row * (piece.end - piece.begin);
    for (int64_t begin = piece.begin, end; begin < piece.end; begin = end) {
        int buf;
        int64_t at;
        end = plan_grads_at(t->plan, begin, piece.end, &buf, &at);
        message(t, peer, 1, t->op->out[0], first + begin - piece.begin, end - begin);
    }
}

/* Node `i` of this rank's cover: held sums in order, the last one in grads. */
static void send_node(const struct talk *t, int peer, int i, int count, struct span piece) {
    const struct plan *plan = t->plan;
    if (i == count - 1)
        send_leaf(t, peer, piece);
    else
        message(t, peer, 0, t->op->in[1], i * plan->flat_elems + piece.begin, piece.end - piece.begin);
}

/* How many sums `rank` sends to each owner; with ZeRO 2 its leaf of the round, if it has one. */
static int sums_of(const struct talk *t, int rank) {
    const struct plan *plan = t->plan;
    struct tree_node nodes[TREE_MAX_COVER];
    int lo, hi, ranks = plan->request.ranks;
    if (plan->zero == 2) return t->round * ranks + rank < plan->slots;
    tree_range(plan->slots, ranks, rank, &lo, &hi);
    return tree_cover(plan->slots, lo, hi, nodes);
}

static void exchange(const struct talk *t) {
    const struct plan *plan = t->plan;
    int b = t->op->attr.bucket, rank = plan->request.rank, row = 0, mine = sums_of(t, rank);
    struct span own = plan_piece(plan, b, rank);
    for (int r = 0; r < plan->request.ranks; r++) {
        if (r == rank) continue;
        for (int i = 0; i < mine; i++) send_node(t, r, i, mine, plan_piece(plan, b, r));
        for (int i = 0, theirs = sums_of(t, r); i < theirs; i++) receive_row(t, r, row++, own);
    }
}

/* Every rank has a part of the buffer, and all shall have all. */
static void gather(const struct talk *t,
                   void (*part)(const struct plan *plan, const struct op *op, int rank, struct span *span)) {
    const struct plan *plan = t->plan;
    int rank = plan->request.rank, ranks = plan->request.ranks;
    struct span mine;
    part(plan, t->op, rank, &mine);
    for (int step = 1; step < ranks; step++) { /* not all to the same rank at once */
        int to = (rank + step) % ranks, from = (rank + ranks - step) % ranks;
        struct span theirs;
        part(plan, t->op, from, &theirs);
        message(t, to, 0, t->op->out[0], mine.begin, mine.end - mine.begin);
        message(t, from, 1, t->op->out[0], theirs.begin, theirs.end - theirs.begin);
    }
}

static void piece_of(const struct plan *plan, const struct op *op, int rank, struct span *span) {
    *span = plan_piece(plan, op->attr.bucket, rank);
}

static void norms_of(const struct plan *plan, const struct op *op, int rank, struct span *span) {
    (void)op;
    *span = (struct span){plan->norms_at[rank], plan->norms_at[rank + 1]};
}

static void losses_of(const struct plan *plan, const struct op *op, int rank, struct span *span) {
    int lo, hi;
    (void)op;
    tree_range(plan->slots, plan->request.ranks, rank, &lo, &hi);
    *span = (struct span){lo, hi};
}

/* Slots that ranks compute in turn are apart. */
static void losses_in_turn(const struct talk *t) {
    const struct plan *plan = t->plan;
    int rank = plan->request.rank, ranks = plan->request.ranks;
    for (int slot = 0; slot < plan->slots; slot++) {
        for (int r = 0; slot % ranks == rank && r < ranks; r++)
            if (r != rank) message(t, r, 0, t->op->out[0], slot, 1);
        if (slot % ranks != rank) message(t, slot % ranks, 1, t->op->out[0], slot, 1);
    }
}

void plan_wire(const struct plan *plan, const struct op *op, int round,
               void (*each)(void *context, const struct wire *wire), void *context) {
    const struct talk talk = {plan, op, round, each, context};
    switch (op->kind) {
    case OP_exchange:
        exchange(&talk);
        return;
    case OP_all_gather:
        gather(&talk, piece_of);
        return;
    case OP_gather_norms:
        gather(&talk, norms_of);
        return;
    case OP_gather_losses:
        if (plan->zero == 2)
            losses_in_turn(&talk);
        else
            gather(&talk, losses_of);
        return;
    default:
        return;
    }
}

struct count {
    int ways[2];
};

static void count_one(void *context, const struct wire *wire) { ((struct count *)context)->ways[wire->receives]++; }

int plan_line_messages(const struct plan *plan, int line) {
    int most = 1;
    for (int i = 0; i < plan->n_ops; i++) {
        const struct op *op = &plan->ops[i];
        if (op_info[op->kind].lane != LANE_COMM || op->attr.line != line) continue;
        struct count count = {{0, 0}};
        plan_wire(plan, op, 0, count_one, &count); /* the first round has the most */
        for (int way = 0; way < 2; way++)
            if (count.ways[way] > most) most = count.ways[way];
    }
    return most;
}
