/* Lockstep against the twin (tests/twin/gpt.c): loss, every gradient, parameters after AdamW. Built twice, in float and in
 * double; the tolerance is relative to the root mean square of the tensor. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "model/model.h"
#include "plan/tree.h"
#include "run/run.h"
#include "twin/gpt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { IS_DOUBLE = sizeof(twin_real) == sizeof(double) };
static const double loss_tolerance = IS_DOUBLE ? 1e-12 : 1e-5;
static const double grad_tolerance = IS_DOUBLE ? 1e-10 : 1e-4;

struct shape {
    const char *name;
    int layers, width, heads, vocab, context, batch, time, tie, bias, slots, micro_batches;
};

/* Odd sizes find what multiples of a vector hide. */
static const struct shape shapes[] = {
    {"small", 2, 36, 3, 61, 24, 3, 17, 1, 1, 1, 1},
    {"untied", 2, 36, 3, 61, 24, 3, 17, 0, 1, 1, 1},
    {"without bias", 2, 36, 3, 61, 24, 3, 17, 1, 0, 1, 1},
    {"one token", 1, 8, 1, 5, 4, 1, 1, 1, 1, 1, 1},
    {"slots and micro-batches", 2, 20, 2, 31, 16, 2, 9, 1, 1, 3, 2},
    {"shakespeare", 4, 128, 4, 256, 64, 4, 64, 1, 1, 1, 1},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct pair {
    struct config config;
    struct comm comm;
    struct run run;
    struct twin *twin;
    const struct shape *shape;
};

static void copy_params(struct pair *p) {
    const struct plan *plan = p->run.plan;
    for (int i = 0; i < plan->n_params; i++) {
        long elems;
        twin_real *to = twin_param(p->twin, plan->params[i].name, &elems);
        assert_non_null(to);
        assert_int_equal(elems, plan->params[i].elems);
        assert_int_equal(
            p->run.backend->copy(p->run.exec, plan->params[i].buf, 0, to, elems * (long)sizeof *to, COPY_TO_HOST), 0);
    }
}

static void open_pair(struct pair *p, const struct shape *s) {
    memset(p, 0, sizeof *p);
    p->shape = s;
    config_defaults(&p->config);
    p->config.model.layers = s->layers;
    p->config.model.width = s->width;
    p->config.model.heads = s->heads;
    p->config.model.vocab = s->vocab;
    p->config.model.context = s->context;
    p->config.model.tie = s->tie;
    p->config.model.bias = s->bias;
    memset(&p->config.model.dropout, 0, sizeof p->config.model.dropout);
    p->config.train.slots = s->slots;
    p->config.train.micro_batch = s->batch;
    p->config.train.micro_batches_per_slot = s->micro_batches;
    p->config.train.seq_len = s->time;
    p->config.train.precision = IS_DOUBLE ? PRECISION_FP64 : PRECISION_FP32;
    assert_int_equal(config_check(&p->config), 0);
    p->comm = (struct comm){.transport = &transport_self, .size = 1, .local_size = 1};
    struct plan_request request = {
        .segments = 1u << SEG_MICRO_FIRST | 1u << SEG_EVAL, .ranks = 1, .batch = s->batch, .time = s->time};
    if (run_open(&p->run, &p->config, &request, &p->comm, &backend_cpu) || run_init(&p->run))
        fail_msg("%s", fail_message());
    struct twin_shape shape = {s->layers, s->width, s->heads, 4 * s->width, s->vocab, s->context, s->tie, s->bias};
    p->twin = twin_create(&shape);
    assert_non_null(p->twin);
    copy_params(p);
}

static void close_pair(struct pair *p) {
    run_close(&p->run);
    twin_free(p->twin);
}

/* Tokens that are a function of the place; one target in seven is left out. */
static void fill_batch(struct pair *p, int slot, int micro) {
    for (int64_t i = 0; i < p->run.rows; i++) {
        unsigned mixed = (unsigned)(i * 2654435761u + (unsigned)slot * 97u + (unsigned)micro * 31u);
        p->run.batch.tokens[i] = (int32_t)(mixed >> 7) % p->shape->vocab;
        if (p->run.batch.tokens[i] < 0) p->run.batch.tokens[i] = -p->run.batch.tokens[i];
        p->run.batch.targets[i] = i % 7 == 3 ? -1 : (p->run.batch.tokens[i] * 3 + 1) % p->shape->vocab;
    }
}

/* One step of both, without the update; the twin adds all micro-batches up, in order. */
static void both_steps(struct pair *p, double *loss, double *twin_loss) {
    struct run *run = &p->run;
    const struct plan *plan = run->plan;
    double slot_losses[8], scale = 1.0 / (p->shape->slots * p->shape->micro_batches);
    *twin_loss = *loss = 0;
    twin_zero_grad(p->twin);
    for (int slot = 0; slot < p->shape->slots; slot++) {
        int last_slot = slot == p->shape->slots - 1;
        tree_fold(plan->slots, 0, slot, &run->block.held, &run->block.fold);
        for (int micro = 0; micro < p->shape->micro_batches; micro++) {
            fill_batch(p, slot, micro);
            run->block.slot = (uint32_t)slot;
            run->block.micro = (uint32_t)micro;
            run->block.grad_scale = scale;
            run->block.weight = 1;
            assert_int_equal(run_write_batch(run, &run->batch, run->rows), 0);
            assert_int_equal(run_write_block(run), 0);
            int last = last_slot && micro == p->shape->micro_batches - 1;
            assert_int_equal(run->backend->run(run->exec, last    ? SEG_MICRO_LAST
                                                          : micro ? SEG_MICRO_NEXT
                                                                  : SEG_MICRO_FIRST),
                             0);
            *twin_loss +=
                scale * twin_forward(p->twin, run->batch.tokens, run->batch.targets, p->shape->batch, p->shape->time);
            twin_backward(p->twin, scale);
        }
        if (!last_slot) assert_int_equal(run->backend->run(run->exec, SEG_FOLD), 0);
    }
    assert_int_equal(run->backend->copy(run->exec, plan->slot_losses, 0, slot_losses,
                                        plan->slots * (long)sizeof(double), COPY_TO_HOST),
                     0);
    for (int slot = 0; slot < p->shape->slots; slot++) *loss += slot_losses[slot] / p->shape->slots;
}

/* The gradient of the key bias is zero in theory (softmax does not see a shift), so what is there is rounding noise. */
static int is_key_bias(const struct pair *p, const char *name, int64_t i) {
    return strstr(name, "attn.qkv.b") && i >= p->shape->width && i < 2 * p->shape->width;
}

/* The largest difference over the root mean square of `expected`. */
static double difference(const struct pair *p, const char *name, const twin_real *got, const twin_real *expected,
                         long elems) {
    double largest = 0, squares = 0;
    for (long i = 0; i < elems; i++) {
        squares += (double)expected[i] * (double)expected[i];
        double d = fabs((double)got[i] - (double)expected[i]);
        if (!is_key_bias(p, name, i) && !(d <= largest)) largest = d;
    }
    double rms = sqrt(squares / (double)elems);
    return rms > 0 ? largest / rms : largest;
}

static void compare_all(struct pair *p, int gradients, double tolerance) {
    const struct plan *plan = p->run.plan;
    for (int i = 0; i < plan->n_params; i++) {
        long elems;
        const char *name = plan->params[i].name;
        twin_real *expected = gradients ? twin_grad(p->twin, name, &elems) : twin_param(p->twin, name, &elems);
        twin_real *got = malloc((size_t)elems * sizeof *got);
        int buf = gradients ? plan->bufs[plan->params[i].buf].grad : plan->params[i].buf;
        assert_int_equal(p->run.backend->copy(p->run.exec, buf, 0, got, elems * (long)sizeof *got, COPY_TO_HOST), 0);
        double d = difference(p, name, got, expected, elems);
        if (!(d <= tolerance))
            fail_msg("%s of %s: %s differs by %g", gradients ? "gradient" : "parameter", p->shape->name, name, d);
        free(got);
    }
}

static void losses_and_gradients_agree(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        struct pair p;
        double loss, twin_loss;
        open_pair(&p, &shapes[i]);
        both_steps(&p, &loss, &twin_loss);
        if (!(fabs(loss - twin_loss) <= loss_tolerance * twin_loss))
            fail_msg("%s: loss %.17g, the twin's %.17g", shapes[i].name, loss, twin_loss);
        compare_all(&p, 1, grad_tolerance);
        close_pair(&p);
    }
}

/* Ten steps with clipping and decay. The moments start at zero, so early updates depend on the sign of tiny gradients; the
 * tolerance is that of parameters, whose root mean square is about 0.02. */
static void updates_agree(void **state) {
    (void)state;
    struct pair p;
    open_pair(&p, &shapes[0]);
    struct run *run = &p.run;
    const struct config_train *train = &p.config.train;
    for (int step = 0; step < 10; step++) {
        double loss, twin_loss;
        run->block.step = (uint32_t)step;
        run->block.adam_step = step;
        run->block.lr = 1e-3;
        both_steps(&p, &loss, &twin_loss);
        assert_int_equal(run->backend->run(run->exec, SEG_UPDATE), 0);
        assert_int_equal(
            run->backend->copy(run->exec, run->plan->step, 0, &run->block, sizeof run->block, COPY_TO_HOST), 0);
        assert_int_equal(run->block.skip, 0);
        double norm = twin_grad_norm(p.twin), clip = fmin(1, train->clip / (norm + 1e-6));
        if (!(fabs(run->block.grad_norm - norm) <= loss_tolerance * norm))
            fail_msg("step %d: norm %.17g, the twin's %.17g", step, run->block.grad_norm, norm);
        twin_adamw(p.twin, step + 1, 1e-3, train->betas[0], train->betas[1], train->eps, train->weight_decay, clip);
    }
    compare_all(&p, 0, IS_DOUBLE ? 1e-6 : 3e-2);
    close_pair(&p);
}

/* The evaluation segment computes the loss of training without dropout. */
static void evaluation_agrees(void **state) {
    (void)state;
    struct pair p;
    double part[2];
    open_pair(&p, &shapes[0]);
    fill_batch(&p, 0, 0);
    assert_int_equal(run_write_batch(&p.run, &p.run.batch, p.run.rows), 0);
    assert_int_equal(p.run.backend->run(p.run.exec, SEG_EVAL), 0);
    assert_int_equal(p.run.backend->copy(p.run.exec, p.run.plan->eval_loss, 0, part, sizeof part, COPY_TO_HOST), 0);
    double expected = twin_forward(p.twin, p.run.batch.tokens, p.run.batch.targets, shapes[0].batch, shapes[0].time);
    assert_true(fabs(part[0] - expected) <= loss_tolerance * expected);
    int counted = 0;
    for (int64_t i = 0; i < p.run.rows; i++) counted += p.run.batch.targets[i] >= 0;
    assert_true(part[1] == counted);
    close_pair(&p);
}

int main(void) {
    /* Dead values become NaN, so that using one shows. */
    setenv("LOCKSTEP_POISON", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_agree),
        cmocka_unit_test(updates_agree),
        cmocka_unit_test(evaluation_agrees),
    };
    return cmocka_run_group_tests_name(IS_DOUBLE ? "twin, double" : "twin, float", tests, NULL, NULL);
}
