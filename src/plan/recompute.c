/* Recomputation, or gradient checkpointing (Chen et al. 2016): values of the forward pass that are not kept are computed again
 * in the backward pass, just before their first reader there.
 *
 * A policy chooses the forward ops whose outputs are dropped. What the backward pass reads of them is replaced by the output
 * of a clone: the same op on the same inputs, which are cloned in turn where they are not kept either. A clone draws the same
 * random numbers (its site is the original's), and kernels add in a fixed order, so gradients keep their bits.
 *
 *     none       nothing
 *     block      all that is inside a block: only what goes from block to block is kept
 *     every      the same for groups of several blocks
 *     selective  norms, activations, attention: little work for the memory that it saves
 *     budget     as many ops as are needed to fit, those with the least work a byte first */
#include "plan/passes.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct recompute {
    struct plan *plan;
    struct op *ops;     /* of the segment, as they were; owned */
    int count, forward; /* of ops, of those that come before the backward pass */
    char *leaves;       /* for each op: it is read in another group of blocks; owned */
    char *dropped;      /* for each forward op; owned */
    int *maker;         /* for each buffer: the forward op that writes it, or NONE; owned */
    char *wanted;       /* for each buffer: the backward pass reads it; owned */
    int *clone;         /* for each buffer: its clone, or NONE; owned */
    int bufs;           /* how many buffers there were */
};

/* Whether the value is there in the backward pass without being computed again. */
static int is_kept(const struct recompute *r, int buf) {
    if (buf == NONE || buf >= r->bufs || r->maker[buf] == NONE) return 1;
    return r->wanted[buf] && !r->dropped[r->maker[buf]];
}

static int new_clone(struct recompute *r, int buf, int *id) {
    struct buf copy = r->plan->bufs[buf];
    size_t length = strlen(copy.name);
    if (length == NAME_SIZE - 1) length--;
    memcpy(copy.name + length, "'", 2);
    return plan_add_buf(r->plan, &copy, id);
}

/* Appends the clone of the op that makes `buf`, after the clones that it needs. Chains are as long as a group of blocks. */
static int clone_maker(struct recompute *r, int buf) {
    struct op op = r->ops[r->maker[buf]];
    for (int k = 0; k < MAX_IN; k++) {
        if (is_kept(r, op.in[k])) continue;
        if (r->clone[op.in[k]] == NONE) TRY(clone_maker(r, op.in[k]));
        op.in[k] = r->clone[op.in[k]];
    }
    for (int k = 0; k < MAX_OUT; k++) {
        if (op.out[k] == NONE) continue;
        int original = op.out[k];
        TRY(new_clone(r, original, &op.out[k]));
        r->clone[original] = op.out[k];
    }
    op.again = 1;
    return plan_add_op(r->plan, &op);
}

/* The segment anew: the forward pass as it was, and the backward pass with clones in front of their readers. */
static int rewrite(struct recompute *r) {
    r->plan->n_ops -= r->count;
    for (int i = 0; i < r->count; i++) {
        struct op op = r->ops[i];
        for (int k = 0; k < MAX_IN && i >= r->forward; k++) {
            if (is_kept(r, op.in[k])) continue;
            if (r->clone[op.in[k]] == NONE) TRY(clone_maker(r, op.in[k]));
            op.in[k] = r->clone[op.in[k]];
        }
        TRY(plan_add_op(r->plan, &op));
    }
    return plan_end_segment(r->plan, SEG_MICRO_FIRST);
}

/* Only ops of blocks are dropped, and none that writes what outlives the segment. */
static int may_drop(const struct recompute *r, int i) {
    const struct op *op = &r->ops[i];
    for (int k = 0; k < MAX_OUT; k++)
        if (op->out[k] != NONE && r->plan->bufs[op->out[k]].kind != BUF_ACT) return 0;
    return op->layer != NONE;
}

/* Marks the forward ops of which an op of another group of `every` blocks reads an output. */
static void mark_leaving(struct recompute *r, int every) {
    memset(r->leaves, 0, (size_t)r->count);
    for (int i = 0; i < r->forward; i++)
        for (int k = 0; k < MAX_IN; k++) {
            int in = r->ops[i].in[k], maker = in == NONE || in >= r->bufs ? NONE : r->maker[in];
            if (maker == NONE || r->ops[maker].layer == NONE) continue;
            int same = r->ops[i].layer != NONE && r->ops[i].layer / every == r->ops[maker].layer / every;
            if (!same) r->leaves[maker] = 1;
        }
}

static void drop_blocks(struct recompute *r, int every) {
    mark_leaving(r, every);
    for (int i = 0; i < r->forward; i++) r->dropped[i] = (char)(may_drop(r, i) && !r->leaves[i]);
}

/* Every op is cheap against the products around it, except attention, whose values are few against its work only in long
 * sequences; there flash attention is what makes it cheap in memory. */
static void drop_selected(struct recompute *r) {
    static const char selected[OP_COUNT] = {
        [OP_layernorm] = 1,        [OP_rmsnorm] = 1,           [OP_gelu] = 1,         [OP_swiglu] = 1,
        [OP_dropout] = 1,          [OP_attention] = 1,         [OP_rope] = 1,         [OP_qk_norm] = 1,
        [OP_attention_scores] = 1, [OP_attention_softmax] = 1, [OP_attention_mix] = 1};
    for (int i = 0; i < r->forward; i++) r->dropped[i] = (char)(may_drop(r, i) && selected[r->ops[i].kind]);
}

/* What dropping one op would bring and cost. */
struct candidate {
    int op, layer;
    double work_a_byte;
};

static int cheaper_first(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->work_a_byte < y->work_a_byte) return -1;
    if (x->work_a_byte > y->work_a_byte) return 1;
    if (x->layer != y->layer) return x->layer - y->layer; /* early blocks are needed last, when memory is free again */
    return x->op - y->op;
}

/* FLOPs and bytes of op i and of what has to be computed again for it although nothing drops it: what the backward pass does not read. */
static int64_t work_of(const struct recompute *r, int i) {
    int64_t work = plan_op_flops(r->plan, &r->ops[i]) + plan_op_bytes(r->plan, &r->ops[i]);
    for (int k = 0; k < MAX_IN; k++) {
        int in = r->ops[i].in[k];
        if (in != NONE && in < r->bufs && r->maker[in] != NONE && !r->wanted[in]) work += work_of(r, r->maker[in]);
    }
    return work;
}

/* Drops the `depth` cheapest ops whose values take memory; plan->recompute_most becomes the number of all of them. A byte that is
 * read or written counts as one operation, so that ops without arithmetic are not free. */
static int drop_cheapest(struct recompute *r, int depth) {
    struct candidate *list = calloc((size_t)r->forward + 1, sizeof *list);
    int count = 0;
    if (!list) return fail(STATUS_FAILED, "plan: out of memory");
    mark_leaving(r, 1);
    for (int i = 0; i < r->forward; i++) {
        int64_t bytes = 0;
        for (int k = 0; k < MAX_OUT; k++)
            if (r->ops[i].out[k] != NONE && r->wanted[r->ops[i].out[k]])
                bytes += buf_bytes(&r->plan->bufs[r->ops[i].out[k]]);
        if (!bytes || !may_drop(r, i) || r->leaves[i]) continue;
        list[count++] = (struct candidate){i, r->ops[i].layer, (double)work_of(r, i) / (double)bytes};
    }
    qsort(list, (size_t)count, sizeof *list, cheaper_first);
    for (int i = 0; i < count && i < depth; i++) r->dropped[list[i].op] = 1;
    r->plan->recompute_most = count;
    free(list);
    return 0;
}

static int choose(struct recompute *r, const struct config_train *train) {
    switch (train->recompute) {
    case RECOMPUTE_BLOCK:
        drop_blocks(r, 1);
        return 0;
    case RECOMPUTE_EVERY:
        drop_blocks(r, (int)train->recompute_every);
        return 0;
    case RECOMPUTE_SELECTIVE:
        drop_selected(r);
        return 0;
    case RECOMPUTE_BUDGET:
        return drop_cheapest(r, r->plan->recompute_depth);
    default:
        return 0;
    }
}

static int prepare(struct recompute *r, struct plan *plan) {
    int begin = plan->segment_begin[SEG_MICRO_FIRST];
    r->plan = plan;
    r->bufs = plan->n_bufs;
    r->count = plan->segment_end[SEG_MICRO_FIRST] - begin;
    r->ops = malloc((size_t)r->count * sizeof *r->ops);
    r->dropped = calloc((size_t)r->count, 1);
    r->leaves = calloc((size_t)r->count, 1);
    r->wanted = calloc((size_t)r->bufs, 1);
    r->maker = malloc((size_t)r->bufs * sizeof *r->maker);
    r->clone = malloc((size_t)r->bufs * sizeof *r->clone);
    if (!r->ops || !r->dropped || !r->leaves || !r->wanted || !r->maker || !r->clone)
        return fail(STATUS_FAILED, "plan: out of memory");
    memcpy(r->ops, plan->ops + begin, (size_t)r->count * sizeof *r->ops);
    while (r->forward < r->count && r->ops[r->forward].kind != OP_loss_seed) r->forward++;
    for (int b = 0; b < r->bufs; b++) r->maker[b] = r->clone[b] = NONE;
    for (int i = 0; i < r->count; i++) {
        for (int k = 0; k < MAX_OUT && i < r->forward; k++)
            if (r->ops[i].out[k] != NONE && plan->bufs[r->ops[i].out[k]].kind == BUF_ACT)
                r->maker[r->ops[i].out[k]] = i;
        for (int k = 0; k < MAX_IN && i >= r->forward; k++)
            if (r->ops[i].in[k] != NONE) r->wanted[r->ops[i].in[k]] = 1;
    }
    return 0;
}

int plan_recompute(struct plan *plan, const struct config *config) {
    struct recompute r = {0};
    int status = prepare(&r, plan);
    if (!status) status = choose(&r, &config->train);
    if (!status) status = rewrite(&r);
    free(r.ops);
    free(r.dropped);
    free(r.leaves);
    free(r.wanted);
    free(r.maker);
    free(r.clone);
    return status;
}
