#include "symbols.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "expressions.h"
#include "plan/emit.h"
#include "plan/passes.h"
#include "plan/tree.h"

enum { WIDTH = 8, VOCAB = 29 };

/* ---- memory ---- */

/* The backend takes memory from the system for each plan, which takes longer than the plan runs: here it is the heap's. */
int __wrap_arena_check(int64_t bytes, const char *what);
int __wrap_arena_new(void **memory, int64_t bytes, const char *what);
void __wrap_arena_free(void *memory, int64_t bytes);

int __wrap_arena_check(int64_t bytes, const char *what) {
    (void)bytes, (void)what;
    return 0;
}

int __wrap_arena_new(void **memory, int64_t bytes, const char *what) {
    *memory = bytes ? calloc(1, (size_t)bytes) : NULL;
    return *memory || !bytes ? 0 : fail(STATUS_FAILED, "%s: out of memory", what);
}

void __wrap_arena_free(void *memory, int64_t bytes) {
    (void)bytes;
    free(memory);
}

/* ---- the plan ---- */

/* Some matrices and a vector, whose gradients are ready one after the other. */
static int forward(struct builder *b) {
    int64_t hidden = b->config->model.hidden;
    int wte, up, bias, down, head, x;
    TRY(builder_param(b, "wte", VOCAB, WIDTH, 0, 0, &wte));
    TRY(builder_param(b, "up", hidden, WIDTH, 0, 0, &up));
    TRY(builder_param(b, "bias", hidden, 0, 0, 0, &bias));
    TRY(builder_param(b, "down", WIDTH, hidden, 0, 0, &down));
    TRY(builder_param(b, "head", VOCAB, WIDTH, 0, 0, &head));
    TRY(emit_embed(b, "x", wte, NONE, &x));
    TRY(emit_linear(b, "u", x, up, bias, &x));
    TRY(emit_linear(b, "d", x, down, NONE, &x));
    TRY(emit_linear(b, "logits", x, head, NONE, &x));
    return emit_head(b, x);
}

static struct config defaults;
static void make_defaults(void) { config_defaults(&defaults); }

int symbols_plan(const struct setup *setup, int rank, struct plan **plan) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_defaults);
    struct config config = defaults;
    config.train.precision = PRECISION_FP64;
    config.train.slots = setup->slots;
    config.train.micro_batches_per_slot = setup->micro_batches;
    config.model.vocab = VOCAB;
    config.model.width = WIDTH;
    config.model.hidden = setup->hidden;
    config.dist.zero = setup->zero;
    config.dist.overlap = setup->overlap;
    config.dist.bucket_mb = (double)setup->bucket * CHUNK * sizeof(double) / 1048576;
    struct plan_request request = {.segments = 1u << SEG_MICRO_FIRST, .ranks = setup->ranks, .batch = 1, .time = 2};
    request.rank = rank;
    return plan_build(&config, &request, forward, plan);
}

/* ---- kernels ---- */

/* Kernels are handed operands alone: whose they are, each rank's thread knows. */
static _Thread_local struct worker *me;

static int64_t elements(const struct view *view) { return view->dim[0] * view->dim[1] * view->dim[2] * view->dim[3]; }

static void complain(const char *what, int64_t at) {
    const struct setup *s = me->setup;
    if (me->failed) return;
    me->failed = fail(STATUS_FAILED,
                      "%s %lld of step %d is wrong on rank %d of %d: slots %d, zero %d, overlap %d, micro-batches %d, "
                      "buckets of %d chunks, hidden %d%s",
                      what, (long long)at, me->step, me->comm->rank, s->ranks, s->slots, s->zero, s->overlap,
                      s->micro_batches, s->bucket, s->hidden, s->numbers ? ", in numbers" : "");
}

/* Where memory is in a buffer of 8-byte elements; -1: elsewhere. */
static int64_t place_in(int buf, const void *data) {
    const char *begin = me->exec->data[buf], *at = data;
    if (!at || at < begin || at >= begin + buf_bytes(&me->plan->bufs[buf])) return -1;
    return (at - begin) / (int64_t)sizeof(uint64_t);
}

/* Parameters that an op reads have come back from their owners. A few are looked at. */
static void check_params(const struct view *view) {
    int64_t begin = place_in(me->plan->flat_copy, view->data), n = elements(view);
    const uint64_t *params = view->data;
    if (begin < 0 || !me->step) return;
    for (int64_t i = 0; i < n; i += i + 37 < n || i == n - 1 ? 37 : n - 1 - i)
        if (params[i] != update_of(me->expected->sum[me->step - 1][begin + i], 0)) complain("parameter", begin + i);
}

/* Any op of a micro-batch: its leaf of the gradients that it makes, and of what lies between this parameter and the next. */
static void write_leaves(const struct kernel_args *a) {
    const struct step_block *step = a->step;
    const struct op *op = &me->plan->ops[a - me->exec->args];
    for (int k = 0; k < MAX_IN; k++) check_params(&a->in[k]);
    for (int k = 0; k < MAX_OUT; k++) {
        int64_t begin, n = (elements(&a->out[k]) + PARAM_ALIGN - 1) / PARAM_ALIGN * PARAM_ALIGN;
        uint64_t *grads = a->out[k].data;
        if (op->out[k] != NONE && op->out[k] == me->plan->slot_losses)
            grads[step->slot] = loss_of(me->step, (int)step->slot);
        if (!plan_is_grads(me->plan, op->out[k], &begin)) continue;
        for (int64_t i = 0; i < n; i++) {
            uint64_t leaf = leaf_of(me->setup->numbers, me->step, (int)step->slot, (int)step->micro, begin + i);
            grads[i] = a->add >> k & 1 ? sum_of(me->setup->numbers, grads[i], leaf) : leaf;
        }
    }
}

static void fold(const struct kernel_args *a) {
    int64_t columns = a->out[1].dim[1];
    uint64_t *grads = a->out[0].data, *held = (uint64_t *)a->out[1].data + a->attr->begin;
    int keep = a->step->held - a->step->fold;
    for (int64_t i = 0; i < elements(&a->out[0]); i++) {
        uint64_t sum = grads[i];
        for (int row = a->step->held - 1; row >= keep; row--) sum = sum_of(0, held[row * columns + i], sum);
        *(a->attr->last ? &grads[i] : &held[keep * columns + i]) = sum;
    }
}

static void tree_finish(const struct kernel_args *a) {
    const struct view *kept = a->in[2].data ? &a->in[2] : &a->out[1];
    const int *program = a->attr->program + (a->attr->rounds > 1 ? a->step->round : 0);
    int64_t n = elements(&a->in[1]), message = a->in[0].dim[1], columns = kept->dim[1];
    const uint64_t *staging = (const uint64_t *)a->in[0].data + a->attr->column, *own = a->in[1].data;
    uint64_t *out = a->out[0].data, *held = kept->data ? (uint64_t *)kept->data + a->attr->begin : NULL;
    for (int64_t i = 0; i < n; i++) {
        uint64_t stack[TREE_MAX_COVER + 2];
        int depth = 0;
        for (int at = program[0]; at < program[1]; at++) {
            int code = a->attr->program[at];
            if (code >= 0) {
                stack[depth++] = staging[code * message + i];
            } else if (code == TREE_ADD) {
                depth--;
                stack[depth - 1] = sum_of(0, stack[depth - 1], stack[depth]);
            } else if (code == TREE_OWN) {
                stack[depth++] = own[i];
            } else if (code <= TREE_KEEP) {
                held[(TREE_KEEP - code) * columns + i] = stack[--depth];
            } else {
                stack[depth++] = held[(TREE_HELD - code) * columns + i];
            }
        }
        if (depth) out[i] = stack[0];
    }
}

static void hash_chunks(const struct kernel_args *a) {
    const uint64_t *sums = a->in[0].data;
    uint64_t *partial = a->out[0].data;
    int64_t n = elements(&a->in[0]);
    for (int64_t begin = 0; begin < n; begin += CHUNK)
        partial[begin / CHUNK] = chunk_of(sums + begin, n - begin < CHUNK ? n - begin : CHUNK);
}

/* What the decision to skip a step is made of is the same on all ranks. */
static void clip(const struct kernel_args *a) {
    const uint64_t *partial = a->in[0].data, *losses = a->in[1].data;
    const int *order = a->attr->order;
    int64_t chunks = (me->plan->flat_elems + CHUNK - 1) / CHUNK;
    if (elements(&a->in[0]) != chunks || elements(&a->in[1]) != me->setup->slots) complain("length", chunks);
    const uint64_t *expected = me->expected->chunk[me->step], last = me->expected->last[me->step];
    for (int64_t c = 0; c < chunks; c++)
        if (partial[order ? order[c] : c] != (c < me->plan->flat_elems / CHUNK ? expected[c] : last))
            complain("the sum of chunk", c);
    for (int slot = 0; slot < me->setup->slots; slot++)
        if (losses[slot] != loss_of(me->step, slot)) complain("the loss of slot", slot);
}

static void adamw(const struct kernel_args *a) {
    const uint64_t *sums = a->in[0].data;
    for (int k = 0; k < 3; k++) {
        uint64_t *out = a->out[k].data;
        for (int64_t i = 0; i < elements(&a->in[0]); i++) out[i] = update_of(sums[i], k);
    }
}

static cpu_kernel *kernel_of(enum op_kind kind, int numbers, cpu_kernel *real) {
    switch (kind) {
    case OP_fold:
        return numbers ? real : fold;
    case OP_tree_finish:
        return numbers ? real : tree_finish;
    case OP_sum_squares:
        return hash_chunks;
    case OP_clip:
        return clip;
    case OP_clear:
        return real;
    case OP_adamw:
        return adamw;
    default:
        return real ? write_leaves : NULL;
    }
}

/* ---- a step ---- */

int symbols_open(struct worker *w) {
    me = w;
    w->step = w->failed = 0;
    TRY(backend_cpu.load(w->plan, &w->store, w->comm, &w->exec));
    for (int i = 0; i < w->plan->n_ops; i++)
        w->exec->kernel[i] = kernel_of(w->plan->ops[i].kind, w->setup->numbers, w->exec->kernel[i]);
    return 0;
}

void symbols_close(struct worker *w) {
    backend_cpu.unload(w->exec);
    backend_cpu.free_store(&w->store);
    plan_free(w->plan);
    w->exec = NULL;
    w->plan = NULL;
}

static int run(struct worker *w, enum segment segment) {
    TRY(backend_cpu.run(w->exec, segment));
    return w->failed;
}

static int run_slot(struct worker *w, struct step_block *block, int i) {
    const struct plan *plan = w->plan;
    int slot = plan->slot_lo + i * plan->slot_step, mine = i < plan_n_slots(plan);
    block->round = i;
    if (plan->zero < 2 && mine) tree_fold(plan->slots, plan->slot_lo, slot, &block->held, &block->fold);
    for (int micro = 0; mine && micro < plan->micro_batches; micro++) {
        block->slot = (uint32_t)slot;
        block->micro = (uint32_t)micro;
        TRY(run(w, plan_micro_segment(plan, i, micro)));
    }
    enum segment after = plan_after_slot(plan, i);
    return after == SEG_COUNT ? 0 : run(w, after);
}

int symbols_step(struct worker *w) {
    const struct plan *plan = w->plan;
    int rounds = plan->zero == 2 ? plan->rounds : plan_n_slots(plan);
    for (int i = 0; i < rounds; i++) TRY(run_slot(w, w->exec->data[plan->step], i));
    return run(w, SEG_UPDATE);
}

/* Elements [begin, end) of the flat space, from `at` on in a buffer. */
static void check_range(const struct worker *w, const char *what, int buf, int64_t at, int64_t begin, int64_t end,
                        int which) {
    const uint64_t *values = (const uint64_t *)w->exec->data[buf] + at, *sums = w->expected->sum[w->step];
    for (int64_t i = begin; i < end; i++)
        if (values[i - begin] != (which < 0 ? sums[i] : update_of(sums[i], which))) complain(what, i);
}

int symbols_check(struct worker *w) {
    const struct plan *plan = w->plan;
    int whole = !plan->zero, pieces = whole ? 1 : plan->n_buckets;
    for (int b = 0; b < pieces; b++) {
        struct span piece = {0, plan->flat_elems};
        if (!whole) piece = plan_piece(plan, b, w->comm->rank);
        int64_t at = whole ? 0 : plan->shard_at[b];
        int64_t sums_at = plan->zero == 2 ? at : piece.begin;
        check_range(w, "the sum of element", plan->shard_grads, sums_at, piece.begin, piece.end, -1);
        check_range(w, "adam.m", plan->flat_m, at, piece.begin, piece.end, 1);
        check_range(w, "adam.v", plan->flat_v, at, piece.begin, piece.end, 2);
    }
    check_range(w, "parameter", plan->flat_copy, 0, 0, plan->flat_elems, 0);
    return w->failed;
}

/* ---- what must come of it ---- */

/* The definition: [a, b) splits at a plus the largest power of two below b - a. */
static uint64_t whole_sum(const struct setup *s, int step, int a, int b, int64_t element) {
    if (b - a > 1) {
        int half = 1;
        while (half * 2 < b - a) half *= 2;
        return sum_of(s->numbers, whole_sum(s, step, a, a + half, element), whole_sum(s, step, a + half, b, element));
    }
    uint64_t sum = leaf_of(s->numbers, step, a, 0, element);
    for (int micro = 1; micro < s->micro_batches; micro++)
        sum = sum_of(s->numbers, sum, leaf_of(s->numbers, step, a, micro, element));
    return sum;
}

int expected_new(const struct setup *setup, int64_t elems, struct expected *expected) {
    int64_t chunks = (elems + CHUNK - 1) / CHUNK;
    *expected = (struct expected){.elems = elems};
    for (int step = 0; step < setup->steps; step++) {
        uint64_t *sum = expected->sum[step] = malloc((size_t)elems * sizeof *sum);
        uint64_t *chunk = expected->chunk[step] = malloc((size_t)chunks * sizeof *chunk);
        if (!sum || !chunk) return fail(STATUS_FAILED, "out of memory");
        for (int64_t i = 0; i < elems; i++) sum[i] = whole_sum(setup, step, 0, setup->slots, i);
        for (int64_t c = 0; c < elems / CHUNK; c++) chunk[c] = chunk_of(sum + c * CHUNK, CHUNK);
    }
    return expected_part(expected, elems, expected);
}

int expected_part(const struct expected *of, int64_t elems, struct expected *part) {
    if (elems > of->elems) return fail(STATUS_FAILED, "the sums of %lld elements are not known", (long long)elems);
    *part = *of;
    part->elems = elems;
    int64_t whole = elems / CHUNK * CHUNK;
    for (int step = 0; step < MOST_STEPS; step++)
        if (of->sum[step]) part->last[step] = chunk_of(of->sum[step] + whole, elems - whole);
    return 0;
}

void expected_free(struct expected *expected) {
    for (int step = 0; step < MOST_STEPS; step++) {
        free(expected->sum[step]);
        free(expected->chunk[step]);
        expected->sum[step] = expected->chunk[step] = NULL;
    }
}
