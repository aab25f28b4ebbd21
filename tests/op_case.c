#include "op_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "plan/passes.h"
#include "plan/tree.h"

/* Ends the test with the message that Lockstep recorded. */
static void must(int status) {
    if (status) fail_msg("%s", fail_message());
}

const enum dtype real_types[TYPES] = {DTYPE_F32, DTYPE_F64};

void assert_near(const char *what, int64_t i, double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance * fmax(1, fabs(want))))
        fail_msg("%s[%lld] is %.17g, not %.17g", what, (long long)i, got, want);
}

void assert_same_bits(const double *a, const double *b, int64_t n) { assert_memory_equal(a, b, (size_t)n * sizeof *a); }

int case_buffer(struct builder *b, const char *name, enum buf_kind kind, enum dtype type, int64_t rows, int64_t cols,
                int *id) {
    struct buf buf = {.kind = kind, .type = type, .rank = cols ? 2 : 1, .dim = {rows, cols}, .alias = NONE};
    snprintf(buf.name, sizeof buf.name, "%s", name);
    return plan_add_buf(b->plan, &buf, id);
}

int case_input(struct builder *b, const char *name, int64_t rows, int64_t cols, int *id) {
    return case_buffer(b, name, BUF_INPUT, b->type, rows, cols, id);
}

void case_result(struct builder *b, int id) { b->plan->bufs[id].kind = BUF_RESULT; }

/* The buffers that every plan has. */
static int add_io(const struct op_case *row, struct builder *b) {
    struct plan *plan = b->plan;
    int64_t tokens = (int64_t)b->batch * b->time;
    TRY(case_buffer(b, "step", BUF_RESULT, DTYPE_U8, sizeof(struct step_block), 0, &plan->step));
    TRY(case_buffer(b, "params", BUF_PARAM, dtype_of_sums(b->type), 0, 0, &plan->flat_params));
    plan->flat_copy = plan->flat_params;
    if (dtype_of_sums(b->type) != b->type)
        TRY(case_buffer(b, "params.copy", BUF_COPY, b->type, 0, 0, &plan->flat_copy));
    TRY(case_buffer(b, "tokens", BUF_INPUT, DTYPE_I32, tokens, 0, &plan->tokens));
    TRY(case_buffer(b, "targets", BUF_INPUT, DTYPE_I32, tokens, 0, &plan->targets));
    b->tokens = plan->tokens;
    if (row->documents) TRY(case_buffer(b, "starts", BUF_INPUT, DTYPE_I32, tokens, 0, &plan->starts));
    return case_buffer(b, "slot_losses", BUF_RESULT, DTYPE_F64, plan->slots, 0, &plan->slot_losses);
}

static int fuse(struct trial *t, enum segment segment) {
    struct plan *plan = t->plan;
    int ops = plan->n_ops;
    if (!t->row->fused) return 0;
    TRY(plan_fuse(plan, segment, &t->config));
    if (plan->n_ops == ops) fail_msg("%s: nothing was fused", t->row->name);
    return 0;
}

/* Forward ops again, as a segment of their own: all that finite differences need to run. */
static int append_forward(struct trial *t, const struct op *ops, int count) {
    struct plan *plan = t->plan;
    plan_begin_segment(plan, SEG_EVAL);
    for (int i = 0; i < count; i++) TRY(plan_add_op(plan, &ops[i]));
    TRY(plan_end_segment(plan, SEG_EVAL));
    return fuse(t, SEG_EVAL);
}

static int add_backward(struct trial *t, struct builder *b) {
    struct plan *plan = t->plan;
    struct buf dy = plan->bufs[t->y];
    dy.kind = BUF_INPUT;
    dy.alias = NONE;
    snprintf(dy.name, sizeof dy.name, "dy");
    TRY(plan_add_buf(plan, &dy, &t->dy));
    case_result(b, t->y);
    int count = plan->n_ops;
    struct op *forward = malloc((size_t)count * sizeof *forward);
    assert_non_null(forward);
    memcpy(forward, plan->ops, (size_t)count * sizeof *forward);
    int status = plan_backward(plan, 0, t->y, t->dy);
    if (!status) status = plan_end_segment(plan, SEG_MICRO_FIRST);
    if (!status) status = fuse(t, SEG_MICRO_FIRST);
    if (!status) status = plan_check(plan, "backward");
    if (!status) status = append_forward(t, forward, count);
    free(forward);
    return status;
}

void (*trial_loaded)(struct trial *t);

int trial_in_arena(const struct plan *plan, int buf) {
    const struct buf *b = &plan->bufs[buf];
    return b->alias == NONE && b->kind != BUF_PARAM && b->kind != BUF_STATE;
}

/* Leaves TRIAL_GAP bytes before each place of the arena, and at the end. Values that are not live together do not share memory here. */
static void spread(struct plan *plan) {
    int64_t places = 0, moved = -1;
    for (int64_t from = -1; moved; from += TRIAL_GAP + moved) {
        moved = 0;
        for (int b = 0; b < plan->n_bufs; b++) { /* the next place after `from` */
            int64_t beyond = trial_in_arena(plan, b) ? plan->bufs[b].offset - from : 0;
            if (beyond > 0 && (!moved || beyond < moved)) moved = beyond;
        }
        if (!moved) break;
        for (int b = 0; b < plan->n_bufs; b++)
            if (trial_in_arena(plan, b) && plan->bufs[b].offset >= from + moved) plan->bufs[b].offset += TRIAL_GAP;
        if (from + moved < plan->persistent_bytes) plan->persistent_bytes += TRIAL_GAP;
        places++;
    }
    plan->arena_bytes += (places + 1) * TRIAL_GAP;
}

static int build(struct trial *t, enum dtype type) {
    const struct op_case *row = t->row;
    struct plan *plan = t->plan;
    plan->request.ranks = 1;
    plan->slots = row->slots ? row->slots : 4;
    plan->micro_batches = row->micro_batches ? row->micro_batches : 1;
    plan->slot_step = 1;
    plan->starts = plan->targets = plan->flat_grads = plan->shard_grads = plan->flat_m = plan->flat_v = NONE;
    plan->held_sums = plan->slot_losses = plan->eval_loss = NONE;
    for (int s = 0; s < SEG_COUNT; s++) plan->logits[s] = NONE;
    struct builder b = {.plan = plan, .config = &t->config, .segment = SEG_MICRO_FIRST, .type = type};
    b.batch = (int)row->batch;
    b.time = (int)row->time;
    b.k_cache = b.v_cache = b.rope_table = b.layer = NONE;
    TRY(add_io(row, &b));
    plan_begin_segment(plan, SEG_MICRO_FIRST);
    TRY(row->emit(row, &b, &t->y));
    TRY(plan_end_segment(plan, b.segment));
    if (plan->flat_grads == NONE) {
        TRY(plan_layout(plan));
        TRY(plan_shard(plan, &t->config));
    }
    TRY(plan_check(plan, "forward"));
    if (t->y != NONE) TRY(add_backward(t, &b));
    plan_begin_segment(plan, SEG_START);
    TRY(plan_spread_params(plan, 0));
    TRY(plan_end_segment(plan, SEG_START));
    TRY(plan_memory(plan));
    spread(plan);
    return plan_check(plan, "memory");
}

/* What emit functions read of a model's config. */
static void set_model(const struct op_case *row, struct config_model *model) {
    if (row->heads) model->heads = row->heads;
    model->kv_heads = row->kv_heads ? row->kv_heads : model->heads;
    if (row->vocab) model->vocab = row->vocab;
    if (row->naive) model->attention = ATTENTION_NAIVE;
    if (!row->turning) return;
    model->position = POSITION_ROPE;
    model->rope_layout = row->pairs ? ROPE_PAIRS : ROPE_HALVES;
    int64_t columns = row->out ? row->out : row->width; /* of queries, keys and values */
    model->width = columns / (model->heads + 2 * model->kv_heads) * model->heads;
    model->rope_fraction = (double)row->turning * (double)model->heads / (double)model->width;
}

void trial_open(struct trial *t, const struct op_case *row, enum dtype type) {
    trial_open_on(t, row, type, &backend_cpu);
}

void trial_open_on(struct trial *t, const struct op_case *row, enum dtype type, const struct backend *backend) {
    memset(t, 0, sizeof *t);
    t->row = row;
    t->backend = backend;
    t->y = t->dy = NONE;
    t->comm = (struct comm){.transport = &transport_self, .size = 1};
    config_defaults(&t->config);
    t->config.train.clip = row->clip;
    t->config.fuse.loss = t->config.fuse.adamw = !row->parts;
    t->config.fuse.epilogue = row->epilogue;
    set_model(row, &t->config.model);
    if (row->low != row->high) {
        t->config.train.loss_clamp[0] = row->low;
        t->config.train.loss_clamp[1] = row->high;
    }
    t->plan = calloc(1, sizeof *t->plan);
    assert_non_null(t->plan);
    must(build(t, type));
    must(setenv("LOCKSTEP_POISON", "1", 1));
    must(t->backend->load(t->plan, &t->store, &t->comm, &t->exec));
    if (trial_loaded) trial_loaded(t);
    trial_fill(t);
}

void trial_close(struct trial *t) {
    t->backend->unload(t->exec);
    t->backend->free_store(&t->store);
    plan_free(t->plan);
}

int trial_find(const struct trial *t, const char *name) {
    int buf = plan_find(t->plan, name);
    if (buf == NONE) fail_msg("%s: no buffer %s", t->row->name, name);
    return buf;
}

int64_t trial_elems(const struct trial *t, int buf) { return buf_elems(&t->plan->bufs[buf]); }

static void copy(const struct trial *t, int buf, int64_t element, void *host, int64_t elems,
                 enum copy_direction direction) {
    int64_t size = (int64_t)dtype_size(t->plan->bufs[buf].type);
    must(t->backend->copy(t->exec, buf, element * size, host, elems * size, direction));
}

/* To nearest, ties to even: by the definition, not by the bits. Numbers here are far from the largest. */
static uint16_t nearest_f16(double number) {
    int exponent;
    double size = fabs(number);
    frexp(size, &exponent);
    if (exponent < -13) exponent = -13; /* denormal */
    int mantissa = (int)nearbyint(ldexp(size, 11 - exponent));
    int bits =
        mantissa < 1024 ? mantissa : ((exponent + 13) << 10) + mantissa; /* its first bit adds 1 to the exponent */
    return (uint16_t)(bits | (number < 0 ? 0x8000 : 0));
}

static uint16_t nearest_bf16(double number) {
    int exponent;
    frexp(number, &exponent);
    float near = (float)ldexp(nearbyint(ldexp(number, 8 - exponent)), exponent - 8);
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* Writes elements of any type. `raw` has room for them. */
static void write_values(const struct trial *t, int buf, int64_t element, const double *values, int64_t elems,
                         void *raw) {
    enum dtype type = t->plan->bufs[buf].type;
    for (int64_t i = 0; i < elems; i++)
        if (type == DTYPE_F32)
            ((float *)raw)[i] = (float)values[i];
        else if (type == DTYPE_F64)
            ((double *)raw)[i] = values[i];
        else if (type == DTYPE_BF16)
            ((uint16_t *)raw)[i] = nearest_bf16(values[i]);
        else if (type == DTYPE_F16)
            ((uint16_t *)raw)[i] = nearest_f16(values[i]);
        else
            ((int32_t *)raw)[i] = (int32_t)values[i];
    copy(t, buf, element, raw, elems, COPY_TO_DEVICE);
}

void trial_set(struct trial *t, int buf, int64_t element, double value) {
    double raw;
    write_values(t, buf, element, &value, 1, &raw);
}

void trial_set_all(struct trial *t, int buf, const double *values) {
    int64_t elems = trial_elems(t, buf);
    double *raw = malloc((size_t)elems * sizeof *raw);
    assert_non_null(raw);
    write_values(t, buf, 0, values, elems, raw);
    free(raw);
}

double *trial_values(const struct trial *t, int buf) {
    int64_t elems = trial_elems(t, buf);
    enum dtype type = t->plan->bufs[buf].type;
    double *values = malloc((size_t)elems * sizeof *values);
    assert_non_null(values);
    copy(t, buf, 0, values, elems, COPY_TO_HOST);
    /* Widened in place, from the last element to the first. */
    for (int64_t i = elems - 1; i >= 0; i--) {
        if (type == DTYPE_F32 || type == DTYPE_BF16 || type == DTYPE_F16) {
            values[i] = dtype_read(type, values, i);
        } else if (type == DTYPE_I32) {
            int32_t value;
            memcpy(&value, (int32_t *)values + i, sizeof value);
            values[i] = value;
        }
    }
    return values;
}

double *trial_named(const struct trial *t, const char *name) { return trial_values(t, trial_find(t, name)); }

void trial_read_step(const struct trial *t, struct step_block *step) {
    copy(t, t->plan->step, 0, step, sizeof *step, COPY_TO_HOST);
}

void trial_write_step(struct trial *t, const struct step_block *step) {
    struct step_block block = *step;
    copy(t, t->plan->step, 0, &block, sizeof block, COPY_TO_DEVICE);
}

/* What element i of a buffer is filled with. */
static double fill_value(const struct trial *t, int buf, int64_t i, uint32_t word) {
    double range = t->row->range != 0 ? t->row->range : 1;
    double real = (double)((float)range * (2 * philox_unit(word) - 1));
    int64_t place = i % t->row->time, few = 3 + i / t->row->time;
    if (buf == t->plan->starts) return (double)(place < 40 ? place - place % few : 40);
    if (t->plan->bufs[buf].type == DTYPE_I32)
        return buf == t->plan->targets && i % 5 == 4 ? -1 : word % (t->row->vocab ? t->row->vocab : 1);
    return buf == t->plan->flat_v ? fabs(real) : real; /* a mean of squares */
}

void trial_fill(struct trial *t) {
    for (int b = 0; b < t->plan->n_bufs; b++) {
        const struct buf *buf = &t->plan->bufs[b];
        if (buf->kind == BUF_ACT || buf->alias != NONE || b == t->plan->step) continue;
        if (buf->kind == BUF_COPY) continue;
        int copies = t->plan->flat_copy != t->plan->flat_params, number = b - (copies && b > t->plan->flat_copy);
        int64_t elems = buf_elems(buf);
        double *values = malloc((size_t)(elems + 4) * sizeof *values);
        assert_non_null(values);
        for (int64_t i = 0; i < elems; i += 4) {
            struct philox random = philox((uint32_t)(i / 4), (uint32_t)number, 0, 0, 2025, 0);
            for (int k = 0; k < 4; k++) values[i + k] = fill_value(t, b, i + k, random.word[k]);
        }
        trial_set_all(t, b, values);
        free(values);
    }
    trial_write_step(t, &t->row->step);
    trial_run(t, SEG_START);
}

void trial_run(struct trial *t, enum segment segment) {
    must(t->backend->run(t->exec, segment));
    must(t->backend->wait(t->exec));
}

void trial_run_all(struct trial *t) {
    for (int s = 0; s < SEG_COUNT; s++) trial_run(t, (enum segment)s);
}

int emit_update(const struct op_case *row, struct builder *b, int *y) {
    int w, bias;
    *y = NONE;
    TRY(builder_param(b, "w", row->out, row->width, 0, 0, &w));
    TRY(builder_param(b, "b", row->hidden, 0, 0, 0, &bias));
    TRY(plan_end_segment(b->plan, b->segment));
    TRY(plan_layout(b->plan));
    TRY(plan_shard(b->plan, b->config));
    b->segment = SEG_UPDATE;
    return plan_update(b->plan, b->config);
}

/* From here on ops belong to another segment. */
static int next_segment(struct builder *b, enum segment segment, int64_t time) {
    TRY(plan_end_segment(b->plan, b->segment));
    plan_begin_segment(b->plan, segment);
    b->segment = segment;
    b->time = (int)time;
    return 0;
}

static int add_cache(struct builder *b, const struct op_case *row, const char *name, int *cache) {
    struct buf buf = {.kind = BUF_STATE, .type = b->type, .rank = 4, .alias = NONE};
    buf.dim[0] = 1; /* layers */
    buf.dim[1] = row->batch;
    buf.dim[2] = row->positions;
    buf.dim[3] = row->width / row->heads * (row->kv_heads ? row->kv_heads : row->heads);
    snprintf(buf.name, sizeof buf.name, "%s", name);
    return plan_add_buf(b->plan, &buf, cache);
}

int emit_attention_ways(const struct op_case *row, struct builder *b, int *y) {
    int qkv, o;
    *y = NONE;
    int64_t kv_heads = row->kv_heads ? row->kv_heads : row->heads;
    int64_t columns = row->width / row->heads * (row->heads + 2 * kv_heads);
    TRY(case_input(b, "qkv", row->batch * row->time, columns, &qkv));
    TRY(emit_attention(b, "o", qkv, 0, row->rate, &o));
    case_result(b, o);

    TRY(add_cache(b, row, "k_cache", &b->k_cache));
    TRY(add_cache(b, row, "v_cache", &b->v_cache));
    builder_scope(b, "h0.");
    TRY(next_segment(b, SEG_PREFILL, row->hidden));
    TRY(case_input(b, "qkv.chunk", row->batch * row->hidden, columns, &qkv));
    TRY(emit_attention(b, "o.chunk", qkv, 0, row->rate, &o));
    case_result(b, o);
    TRY(next_segment(b, SEG_DECODE, 1));
    TRY(case_input(b, "qkv.one", row->batch, columns, &qkv));
    TRY(emit_attention(b, "o.one", qkv, 0, row->rate, &o));
    case_result(b, o);
    return 0;
}

static int add_finish(const struct op_case *row, struct builder *b, int leaf, int held) {
    struct plan *plan = b->plan;
    struct op finish = builder_op(b, OP_tree_finish);
    int64_t messages = tree_messages(row->slots, row->ranks, row->rank),
            elems = row->width - REDUCE_REST - REDUCE_BEGIN;
    TRY(case_buffer(b, "staging", BUF_INPUT, dtype_of_sums(b->type), messages, elems, &finish.in[0]));
    struct buf piece = plan->bufs[leaf];
    snprintf(piece.name, sizeof piece.name, "piece");
    piece.alias = leaf;
    piece.offset = REDUCE_BEGIN * (int64_t)dtype_size(piece.type);
    piece.dim[0] = elems;
    TRY(plan_add_buf(plan, &piece, &finish.in[1]));
    finish.out[0] = finish.in[1];
    finish.in[2] = held;
    finish.attr.begin = REDUCE_BEGIN;
    assert_int_equal(tree_program(row->slots, row->ranks, row->rank, &plan->program), 0);
    finish.attr.program = plan->program;
    finish.attr.rounds = 1;
    return plan_add_op(plan, &finish);
}

int emit_reduce(const struct op_case *row, struct builder *b, int *y) {
    int lo, hi, leaf, held;
    *y = NONE;
    tree_range(row->slots, row->ranks, row->rank, &lo, &hi);
    int64_t rows = tree_max_held(row->slots, lo, hi);
    TRY(case_buffer(b, "leaf", BUF_GRAD, dtype_of_sums(b->type), row->width, 0, &leaf));
    TRY(case_buffer(b, "held", BUF_GRAD, dtype_of_sums(b->type), rows ? rows : 1, row->width, &held));
    struct op fold = builder_op(b, OP_fold);
    fold.out[0] = leaf;
    fold.out[1] = held;
    TRY(next_segment(b, SEG_FOLD, row->time));
    TRY(plan_add_op(b->plan, &fold));
    TRY(next_segment(b, SEG_MICRO_LAST, row->time));
    fold.attr.last = 1;
    TRY(plan_add_op(b->plan, &fold));
    TRY(next_segment(b, SEG_UPDATE, row->time));
    return row->ranks > 1 ? add_finish(row, b, leaf, held) : 0;
}
