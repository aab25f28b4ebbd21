/* Lockstep with each architecture switch against the twin with switches (tests/twin/switches.c): loss, every gradient,
 * logits, and training with clipping and a schedule. Built twice, with SWITCHES_REAL float and double; the twin is double
 * in both. Tolerances of tensors are relative to their root mean square. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "plan/tree.h"
#include "run/run.h"
#include "train/train.h"
#include "twin/switches.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

typedef SWITCHES_REAL real;

enum { IS_DOUBLE = sizeof(real) == sizeof(double) };
static const double loss_tolerance = IS_DOUBLE ? 1e-12 : 1e-6;
static const double grad_tolerance = IS_DOUBLE ? 1e-10 : 2e-4;
static const double logit_tolerance = IS_DOUBLE ? 1e-12 : 1e-5;

/* Odd sizes, so that a mixed-up dimension cannot go unnoticed. */
enum { BATCH = 2, TIME = 7, VOCAB = 13, HIDDEN = 20 };

static const struct variant {
    const char *name;
    struct switches_shape shape; /* sizes that are left out: see shape_of() */
    int documents;               /* with starts */
    int vocab_multiple;          /* 0: 1 */
    int slots, micro_batches;    /* 0: 1 */
    int time;                    /* tokens of a sequence; 0: TIME */
} variants[] = {
    {.name = "all off", .shape = {.tie = 1, .bias = 1}},
    {.name = "rmsnorm", .shape = {.tie = 1, .bias = 1, .rmsnorm = 1}},
    {.name = "norms after the sums", .shape = {.tie = 1, .bias = 1, .post_norm = 1}},
    {.name = "rope halves", .shape = {.tie = 1, .bias = 1, .rope = SWITCHES_ROPE_HALVES}},
    {.name = "rope pairs", .shape = {.tie = 1, .bias = 1, .rope = SWITCHES_ROPE_PAIRS}},
    {.name = "rope, another theta",
     .shape = {.width = 24, .heads = 3, .tie = 1, .bias = 1, .rope = SWITCHES_ROPE_HALVES, .rope_theta = 123}},
    {.name = "rope pairs on a part",
     .shape = {.width = 24, .heads = 3, .tie = 1, .bias = 1, .rope = SWITCHES_ROPE_PAIRS, .rope_fraction = 0.75}},
    /* Scores with RoPE depend on distances alone: this sees which keys a query looks at, not where positions count from. */
    {.name = "rope and documents",
     .shape = {.kv_heads = 2, .tie = 1, .bias = 1, .rope = SWITCHES_ROPE_HALVES},
     .documents = 1},
    {.name = "learned positions and documents", .shape = {.kv_heads = 2, .tie = 1, .bias = 1}, .documents = 1},
    {.name = "swiglu", .shape = {.tie = 1, .bias = 1, .swiglu = 1}},
    {.name = "queries and keys normed", .shape = {.tie = 1, .bias = 1, .qk_norm = 1}},
    {.name = "soft cap", .shape = {.tie = 1, .bias = 1, .logit_softcap = 0.7}},
    {.name = "two heads of keys", .shape = {.kv_heads = 2, .tie = 1, .bias = 1}},
    {.name = "three heads of keys, no bias", .shape = {.kv_heads = 3, .tie = 1}},
    {.name = "one head of keys (MQA)", .shape = {.kv_heads = 1, .tie = 1, .bias = 1}},
    {.name = "another epsilon", .shape = {.tie = 1, .bias = 1, .norm_eps = 0.05}},
    {.name = "another epsilon, rmsnorm", .shape = {.tie = 1, .bias = 1, .rmsnorm = 1, .norm_eps = 0.05}},
    {.name = "untied, no bias", .shape = {0}},
    {.name = "vocabulary padded", .shape = {.tie = 1, .bias = 1}, .vocab_multiple = 8},
    {.name = "vocabulary padded, untied, soft cap", .shape = {.logit_softcap = 3}, .vocab_multiple = 10},
    {.name = "as Llama",
     .shape = {.kv_heads = 2, .rmsnorm = 1, .rope = SWITCHES_ROPE_HALVES, .swiglu = 1, .norm_eps = 1e-6}},
    {.name = "as GPT-NeoX", .shape = {.width = 48, .bias = 1, .rope = SWITCHES_ROPE_HALVES, .rope_fraction = 0.25}},
    {.name = "as GPT-NeoX, half a head",
     .shape = {.width = 40, .heads = 5, .bias = 1, .rope = SWITCHES_ROPE_HALVES, .rope_fraction = 0.5}},
    {.name = "as Qwen3", /* queries and keys normed, then turned */
     .shape = {.kv_heads = 3, .tie = 1, .rmsnorm = 1, .rope = SWITCHES_ROPE_HALVES, .swiglu = 1, .qk_norm = 1}},
    {.name = "everything",
     .shape = {.width = 48,
               .heads = 6,
               .kv_heads = 3,
               .bias = 1,
               .rmsnorm = 1,
               .post_norm = 1,
               .rope = SWITCHES_ROPE_PAIRS,
               .rope_theta = 500,
               .rope_fraction = 0.5,
               .swiglu = 1,
               .qk_norm = 1,
               .logit_softcap = 2.5,
               .norm_eps = 1e-3},
     .documents = 1,
     .vocab_multiple = 16,
     .slots = 3,
     .micro_batches = 2},
    {.name = "everything, layernorm before, tied",
     .shape = {.kv_heads = 2,
               .tie = 1,
               .bias = 1,
               .rope = SWITCHES_ROPE_HALVES,
               .swiglu = 1,
               .qk_norm = 1,
               .logit_softcap = 2.5},
     .vocab_multiple = 16,
     .slots = 2,
     .micro_batches = 3},
    /* Three tiles of queries, which the attention kernel takes one after the other. */
    {.name = "long", .shape = {.kv_heads = 2, .rmsnorm = 1, .rope = SWITCHES_ROPE_HALVES}, .time = 131},
    {.name = "long, with documents", .shape = {.kv_heads = 3, .tie = 1, .bias = 1}, .documents = 1, .time = 131},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* How the same model is computed. */
static const struct way {
    const char *name;
    int attention, recompute, head;
    int parts; /* the loss and AdamW are plain ops */
    int plain; /* nothing is fused, and no memory shared */
} ways[] = {
    {"flash attention", ATTENTION_FLASH, RECOMPUTE_NONE, 0, 0, 0},
    {"naive attention", ATTENTION_NAIVE, RECOMPUTE_NONE, 0, 0, 0},
    {"blocks recomputed, head in chunks", ATTENTION_FLASH, RECOMPUTE_BLOCK, 1, 0, 0},
    {"naive attention recomputed", ATTENTION_NAIVE, RECOMPUTE_SELECTIVE, 0, 0, 0},
    {"plain loss, AdamW tensor by tensor", ATTENTION_FLASH, RECOMPUTE_BLOCK, 0, 1, 0},
    {"nothing fused", ATTENTION_FLASH, RECOMPUTE_NONE, 0, 0, 1},
};
enum { WAYS = sizeof ways / sizeof *ways };

static const struct variant *named(const char *name) {
    for (int i = 0; i < VARIANTS; i++)
        if (!strcmp(variants[i].name, name)) return &variants[i];
    fail_msg("no variant '%s'", name);
    return NULL;
}

static const struct way *plain_way(void) {
    int i = 0;
    while (!ways[i].parts) i++;
    return &ways[i];
}

static struct switches_shape shape_of(const struct variant *variant) {
    struct switches_shape shape = variant->shape;
    shape.layers = 2;
    shape.width = shape.width ? shape.width : 24;
    shape.heads = shape.heads ? shape.heads : 6;
    shape.kv_heads = shape.kv_heads ? shape.kv_heads : shape.heads;
    shape.hidden = HIDDEN;
    shape.vocab = VOCAB;
    shape.context = (variant->time ? variant->time : TIME) + 2;
    shape.rope_theta = shape.rope_theta > 0 ? shape.rope_theta : 10000;
    shape.rope_fraction = shape.rope_fraction > 0 ? shape.rope_fraction : 1;
    shape.norm_eps = shape.norm_eps > 0 ? shape.norm_eps : 1e-5;
    return shape;
}

/* ------------------------------------------------------------------ the pair */

struct pair {
    const struct variant *variant;
    char name[128]; /* of variant and way, for messages */
    int time;
    struct config config;
    struct comm comm;
    struct run run;
    struct switches *twin;
};

static void set_model(struct config_model *model, const struct switches_shape *s, int vocab_multiple) {
    model->layers = s->layers;
    model->width = s->width;
    model->heads = s->heads;
    model->kv_heads = s->kv_heads;
    model->hidden = s->hidden;
    model->vocab = s->vocab;
    model->vocab_multiple = vocab_multiple ? vocab_multiple : 1;
    model->context = s->context;
    model->tie = s->tie;
    model->bias = s->bias;
    model->norm = s->rmsnorm ? NORM_RMSNORM : NORM_LAYERNORM;
    model->norm_place = s->post_norm ? NORM_POST : NORM_PRE;
    model->norm_eps = s->norm_eps;
    model->position = s->rope == SWITCHES_LEARNED ? POSITION_LEARNED : POSITION_ROPE;
    model->rope_layout = s->rope == SWITCHES_ROPE_PAIRS ? ROPE_PAIRS : ROPE_HALVES;
    model->rope_theta = s->rope_theta;
    model->rope_fraction = s->rope_fraction;
    model->ffn = s->swiglu ? FFN_SWIGLU : FFN_GELU;
    model->qk_norm = s->qk_norm;
    model->logit_softcap = s->logit_softcap;
    memset(&model->dropout, 0, sizeof model->dropout);
}

/* Numbers in [-0.5, 0.5), the same in every run (a linear congruential generator with Knuth's constants). */
static double next_number(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0 - 0.5;
}

static void copy(const struct pair *p, int buf, void *host, long elems, enum copy_direction direction) {
    if (p->run.backend->copy(p->run.exec, buf, 0, host, elems * (long)sizeof(real), direction))
        fail_msg("%s: %s", p->name, fail_message());
}

/* How many elements of parameter i the twin does not have: rows that pad the vocabulary, behind the others. */
static long padding(const struct pair *p, int i) {
    const struct param *param = &p->run.plan->params[i];
    const int is_table = !strcmp(param->name, "wte") || !strcmp(param->name, "head.w");
    const int64_t multiple = p->config.model.vocab_multiple, width = p->config.model.width;
    return is_table ? (long)((VOCAB + multiple - 1) / multiple * multiple - VOCAB) * width : 0;
}

/* The same values for both. Far from the initial ones: with these, most switches would make little difference. */
static void set_params(struct pair *p) {
    const struct plan *plan = p->run.plan;
    uint64_t state = 5;
    int twins = 0;
    while (switches_name(p->twin, twins)) twins++;
    assert_int_equal(plan->n_params, twins);
    for (int i = 0; i < plan->n_params; i++) {
        const char *name = plan->params[i].name;
        const int norm_weight = (strstr(name, "ln") || strstr(name, "norm")) && strstr(name, ".w");
        long elems;
        double *value = switches_param(p->twin, name, &elems);
        if (!value || plan->params[i].elems != elems + padding(p, i))
            fail_msg("%s: %s has %ld elements, the twin's %ld", p->name, name, (long)plan->params[i].elems, elems);
        real *rounded = malloc((size_t)elems * sizeof *rounded);
        assert_non_null(rounded);
        for (long e = 0; e < elems; e++) value[e] = rounded[e] = (real)(norm_weight + 0.8 * next_number(&state));
        copy(p, plan->params[i].buf, rounded, elems, COPY_TO_DEVICE);
        free(rounded);
    }
}

static void open_pair(struct pair *p, const struct variant *variant, const struct way *way) {
    const struct switches_shape shape = shape_of(variant);
    memset(p, 0, sizeof *p);
    p->variant = variant;
    snprintf(p->name, sizeof p->name, "%s, %s", variant->name, way->name);
    config_defaults(&p->config);
    set_model(&p->config.model, &shape, variant->vocab_multiple);
    p->config.model.attention = way->attention;
    p->config.train.recompute = way->recompute;
    p->config.fuse.head = way->head;
    p->config.fuse.loss = p->config.fuse.adamw = !way->parts;
    p->config.train.compile = !way->plain;
    p->config.data.documents = variant->documents ? DOCUMENTS_APART : DOCUMENTS_JOINED;
    p->config.train.slots = variant->slots ? variant->slots : 1;
    p->config.train.micro_batch = BATCH;
    p->config.train.micro_batches_per_slot = variant->micro_batches ? variant->micro_batches : 1;
    p->time = variant->time ? variant->time : TIME;
    p->config.train.seq_len = p->time;
    p->config.train.precision = IS_DOUBLE ? PRECISION_FP64 : PRECISION_FP32;
    if (config_check(&p->config)) fail_msg("%s: %s", p->name, fail_message());
    p->comm = (struct comm){.transport = &transport_self, .size = 1, .local_size = 1};
    const struct plan_request request = {.segments = 1u << SEG_MICRO_FIRST | 1u << SEG_EVAL,
                                         .ranks = 1,
                                         .batch = BATCH,
                                         .time = p->time,
                                         .keep_logits = 1};
    if (run_open(&p->run, &p->config, &request, &p->comm, &backend_cpu) || run_init(&p->run))
        fail_msg("%s: %s", p->name, fail_message());
    assert_int_equal(p->run.rows, BATCH * p->time);
    assert_int_equal(p->run.plan->starts != NONE, variant->documents);
    p->twin = switches_create(&shape);
    assert_non_null(p->twin);
    set_params(p);
}

static void close_pair(struct pair *p) {
    run_close(&p->run);
    switches_free(p->twin);
}

/* Where the document of token t begins. Each is more than twice as long as the one before it; the first of sequence 0 has
 * three tokens, that of sequence 1 a single one. */
static int start_of(int sequence, int t) {
    int start = 0, length = sequence ? 1 : 3;
    for (; t >= start + length; length = 2 * length + 1) start += length;
    return start;
}

/* A batch that `number` chooses, written to the device; one target in five is left out. */
static void write_batch(struct pair *p, unsigned number) {
    struct batch *batch = &p->run.batch;
    uint64_t state = number;
    for (int n = 0; n < p->run.rows; n++) {
        batch->tokens[n] = (int32_t)((next_number(&state) + 0.5) * VOCAB);
        batch->targets[n] = n % 5 == 3 ? -1 : (batch->tokens[n] * 3 + 1) % VOCAB;
        if (p->variant->documents) batch->starts[n] = start_of(n / p->time, n % p->time);
    }
    assert_int_equal(run_write_batch(&p->run, batch, p->run.rows), 0);
}

static double twin_forward(struct pair *p) {
    const struct batch *batch = &p->run.batch;
    return switches_forward(p->twin, batch->tokens, batch->targets, batch->starts, BATCH, p->time);
}

/* The gradients and the mean loss of step `step`, in both; the twin adds the micro-batches up one after the other. */
static void both_steps(struct pair *p, unsigned step, double *loss, double *twin_loss) {
    struct run *run = &p->run;
    const int slots = (int)p->config.train.slots, micros = (int)p->config.train.micro_batches_per_slot;
    double slot_losses[4];
    *loss = *twin_loss = 0;
    switches_zero_grad(p->twin);
    for (int slot = 0; slot < slots; slot++) {
        tree_fold(slots, 0, slot, &run->block.held, &run->block.fold);
        for (int micro = 0; micro < micros; micro++) {
            write_batch(p, (step * 16 + (unsigned)slot) * 16 + (unsigned)micro);
            run->block.slot = (uint32_t)slot;
            run->block.micro = (uint32_t)micro;
            run->block.grad_scale = 1.0 / (slots * micros);
            run->block.weight = 1;
            assert_int_equal(run_write_block(run), 0);
            assert_int_equal(run->backend->run(run->exec, plan_micro_segment(run->plan, slot, micro)), 0);
            *twin_loss += run->block.grad_scale * twin_forward(p);
            switches_backward(p->twin, run->block.grad_scale);
        }
        if (slot < slots - 1) assert_int_equal(run->backend->run(run->exec, SEG_FOLD), 0);
    }
    assert_int_equal(run->backend->copy(run->exec, run->plan->slot_losses, 0, slot_losses,
                                        slots * (long)sizeof *slot_losses, COPY_TO_HOST),
                     0);
    for (int slot = 0; slot < slots; slot++) *loss += slot_losses[slot] / slots;
}

/* ------------------------------------------------------------------ comparing */

/* The largest difference over the root mean square of `expected`. */
static double difference(const real *got, const double *expected, long elems) {
    double largest = 0, squares = 0;
    for (long i = 0; i < elems; i++) {
        const double d = fabs((double)got[i] - expected[i]);
        squares += expected[i] * expected[i];
        if (!(d <= largest)) largest = d;
    }
    const double rms = sqrt(squares / (double)elems);
    return rms > 0 ? largest / rms : largest;
}

/* All gradients, or all parameters. What pads the vocabulary must be 0; of parameters to the bit. */
static void compare_all(const struct pair *p, int gradients, double tolerance) {
    const struct plan *plan = p->run.plan;
    const real zero = 0;
    for (int i = 0; i < plan->n_params; i++) {
        const char *name = plan->params[i].name, *kind = gradients ? "gradient" : "parameter";
        long elems, all = (long)plan->params[i].elems;
        const double *expected =
            gradients ? switches_grad(p->twin, name, &elems) : switches_param(p->twin, name, &elems);
        real *got = malloc((size_t)all * sizeof *got);
        assert_non_null(got);
        copy(p, gradients ? plan->bufs[plan->params[i].buf].grad : plan->params[i].buf, got, all, COPY_TO_HOST);
        const double d = difference(got, expected, elems);
        if (!(d <= tolerance)) fail_msg("%s: %s %s differs by %g", p->name, kind, name, d);
        for (long e = elems; e < all; e++)
            if (gradients ? got[e] != 0 : memcmp(&got[e], &zero, sizeof zero) != 0)
                fail_msg("%s: %s %s[%ld], which pads the vocabulary, is %g", p->name, kind, name, e, (double)got[e]);
        free(got);
    }
}

static void losses_and_gradients_agree(void **state) {
    (void)state;
    for (int i = 0; i < VARIANTS * WAYS; i++) {
        struct pair p;
        double loss, twin_loss;
        open_pair(&p, &variants[i / WAYS], &ways[i % WAYS]);
        both_steps(&p, 1, &loss, &twin_loss);
        if (!(fabs(loss - twin_loss) <= loss_tolerance * twin_loss))
            fail_msg("%s: loss %.17g, the twin's %.17g", p.name, loss, twin_loss);
        compare_all(&p, 1, grad_tolerance);
        close_pair(&p);
    }
}

/* SEG_EVAL: the same loss, and the logits. Rows of the plan's logits may be longer than the vocabulary. */
static void evaluations_agree(void **state) {
    (void)state;
    static const char *const names[] = {"as Llama", "everything", "rope and documents"};
    for (int i = 0; i < 6; i++) {
        struct pair p;
        double part[2];
        int counted = 0;
        open_pair(&p, named(names[i % 3]), i < 3 ? &ways[i] : plain_way());
        write_batch(&p, 77);
        assert_int_equal(p.run.backend->run(p.run.exec, SEG_EVAL), 0);
        assert_int_equal(p.run.backend->copy(p.run.exec, p.run.plan->eval_loss, 0, part, sizeof part, COPY_TO_HOST), 0);
        const double expected = twin_forward(&p);
        assert_true(fabs(part[0] - expected) <= loss_tolerance * expected);
        for (int n = 0; n < p.run.rows; n++) counted += p.run.batch.targets[n] >= 0;
        assert_true(part[1] == counted);

        const int buf = p.run.plan->logits[SEG_EVAL];
        assert_true(buf != NONE);
        const long rows = (long)p.run.rows, row = (long)p.run.plan->bufs[buf].dim[1];
        assert_int_equal(p.run.plan->bufs[buf].dim[0], rows);
        real *logits = malloc((size_t)(rows * row) * sizeof *logits);
        assert_non_null(logits);
        copy(&p, buf, logits, rows * row, COPY_TO_HOST);
        for (long n = 0; n < rows; n++) {
            const double d = difference(logits + n * row, switches_logits(p.twin) + n * VOCAB, VOCAB);
            if (!(d <= logit_tolerance)) fail_msg("%s: logits of row %ld differ by %g", p.name, n, d);
        }
        free(logits);
        close_pair(&p);
    }
}

/* ------------------------------------------------------------------ training */

/* The seed's schedule, as it states it: linear from 0, then half a cosine that does not fall below a tenth. */
static double learning_rate(double most, int step, int warmup, int steps) {
    if (step < warmup) return most * step / (warmup > 1 ? warmup : 1);
    const double progress = (double)(step - warmup) / (steps - warmup);
    return most * fmax(0.1, 0.5 * (1 + cos(acos(-1.0) * progress)));
}

/* Trains both and compares what comes out. Returns how many steps were clipped. */
static int train(struct pair *p, int steps, double tolerance) {
    enum { WARMUP = 10, DECAYED = 100 };
    const double most = 0.02; /* large, so that the loss falls far enough for steps that are not clipped */
    struct run *run = &p->run;
    struct config_train *train = &p->config.train;
    int clipped = 0;
    train->steps = DECAYED;
    train->warmup = WARMUP;
    train->lr = most;
    assert_true(train->schedule == SCHEDULE_COSINE && train->clip == 1);
    for (int step = 0; step < steps; step++) {
        double loss, twin_loss;
        const double lr = learning_rate(most, step, WARMUP, DECAYED);
        if (!(fabs(train_learning_rate(train, step) - lr) <= 1e-15 * lr))
            fail_msg("step %d: learning rate %.17g, not %.17g", step, train_learning_rate(train, step), lr);
        run->block.step = (uint32_t)step;
        run->block.adam_step = step;
        run->block.lr = train_learning_rate(train, step);
        both_steps(p, (unsigned)step, &loss, &twin_loss);
        assert_int_equal(run->backend->run(run->exec, SEG_UPDATE), 0);
        assert_int_equal(
            run->backend->copy(run->exec, run->plan->step, 0, &run->block, sizeof run->block, COPY_TO_HOST), 0);
        assert_int_equal(run->block.skip, 0);
        const double norm = switches_grad_norm(p->twin), clip = fmin(1, 1 / (norm + 1e-6));
        if (!(fabs(run->block.grad_norm - norm) <= tolerance * norm))
            fail_msg("%s, step %d: norm %.17g, the twin's %.17g", p->name, step, run->block.grad_norm, norm);
        switches_adamw(p->twin, step + 1, lr, train->betas[0], train->betas[1], train->eps, train->weight_decay, clip);
        clipped += clip < 1;
    }
    compare_all(p, 0, tolerance);
    return clipped;
}

static void training_agrees(void **state) {
    (void)state;
    struct pair p;
    if (!IS_DOUBLE) skip(); /* rounding moves AdamW's first updates, which depend on the signs of tiny gradients */
    for (int plain = 0; plain < 2; plain++) {
        open_pair(&p, named("as Llama"), plain ? plain_way() : &ways[0]);
        const int clipped = train(&p, 100, 1e-6);
        assert_in_range(clipped, 1, 99);
        close_pair(&p);
    }
}

/* Updates leave the rows that pad the vocabulary at 0. */
static void padding_stays_zero(void **state) {
    (void)state;
    static const char *const names[] = {"vocabulary padded, untied, soft cap", "everything, layernorm before, tied"};
    for (int i = 0; i < 4; i++) {
        struct pair p;
        open_pair(&p, named(names[i % 2]), i < 2 ? &ways[i] : plain_way());
        train(&p, 5, IS_DOUBLE ? 1e-6 : 3e-2);
        close_pair(&p);
    }
}

int main(void) {
    /* Dead values become NaN, so that using one shows. */
    setenv("LOCKSTEP_POISON", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_agree),
        cmocka_unit_test(evaluations_agree),
        cmocka_unit_test(training_agrees),
        cmocka_unit_test(padding_stays_zero),
    };
    return cmocka_run_group_tests_name(IS_DOUBLE ? "switches, double" : "switches, float", tests, NULL, NULL);
}
