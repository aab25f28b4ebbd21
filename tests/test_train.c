/* The trainer from inside: schedules, metrics, skipped steps, sampling. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "train/loss_scale.h"
#include "train/train.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static char scratch[64];
static struct comm self = {.size = 1, .local_size = 1};

static void small_config(struct config *c, const char *name) {
    config_defaults(c);
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->runs_dir, sizeof c->runs_dir, "%s", scratch);
    snprintf(c->data.train, sizeof c->data.train, "stories:20000:3");
    c->model.layers = 1;
    c->model.width = 16;
    c->model.heads = 2;
    c->model.context = 16;
    c->train.slots = 4;
    c->train.micro_batch = 2;
    c->train.steps = 6;
    c->train.warmup = 2;
    c->train.eval_every = 0;
    c->train.eval_batches = 2;
    c->ckpt.every = 0;
    assert_int_equal(config_check(c), 0);
}

/* Reads the text of a run's file. */
static char *read_file(const char *run, const char *name) {
    char path[256];
    static char text[1 << 16];
    snprintf(path, sizeof path, "%s/%s/%s", scratch, run, name);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s: %s", path, strerror(errno));
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *p = text; (p = strstr(p, word)); p++) n++;
    return n;
}

/* A backend that damages gradients: the CPU's, but after the last micro-batch of chosen steps one gradient is NaN. */
static int runs, bad_from, bad_to;
static struct { const struct plan *plan; } seen;

static int spy_load(const struct plan *plan, struct store *store, struct comm *comm, struct exec **exec) {
    seen.plan = plan;
    runs = 0;
    return backend_cpu.load(plan, store, comm, exec);
}

static int spy_run(struct exec *exec, enum segment segment) {
    int status = backend_cpu.run(exec, segment);
    if (segment != SEG_MICRO_LAST || status) return status;
    float nan = NAN;
    int at = runs++;
    if (at < bad_from || at >= bad_to) return 0;
    return backend_cpu.copy(exec, seen.plan->flat_grads, 40, &nan, sizeof nan, COPY_TO_DEVICE);
}

static struct backend spy(void) {
    struct backend backend = backend_cpu;
    backend.load = spy_load;
    backend.run = spy_run;
    return backend;
}

static void a_nan_gradient_skips_the_step(void **state) {
    (void)state;
    struct config c;
    struct backend backend = spy();
    struct train_options options = {.backend = &backend};
    small_config(&c, "nan");
    bad_from = 2;
    bad_to = 4;
    assert_int_equal(train_run(&c, &self, &options), 0);
    char *metrics = read_file("nan", "metrics.jsonl");
    assert_int_equal(count(metrics, "\"skipped\": true"), 2);
    assert_int_equal(count(metrics, "\"grad_norm\": null"), 2);
    assert_int_equal(count(metrics, "\"skipped\": false"), 4);
    char *log = read_file("nan", "log.txt");
    assert_non_null(strstr(log, "step 2 is skipped"));
    assert_non_null(strstr(log, "sequences 16 to 23")); /* the step's data are named */
}

static void too_many_skips_stop_with_the_state_saved(void **state) {
    (void)state;
    struct config c;
    struct backend backend = spy();
    struct train_options options = {.backend = &backend};
    small_config(&c, "stop");
    c.guard.max_skipped = 2;
    bad_from = 1;
    bad_to = 100;
    assert_int_equal(train_run(&c, &self, &options), STATUS_FAILED);
    assert_non_null(strstr(fail_message(), "3 steps in a row were skipped"));
    struct stat info;
    char path[256];
    snprintf(path, sizeof path, "%s/stop/ckpt/step-00000004/manifest.json", scratch);
    assert_int_equal(stat(path, &info), 0);
    /* Skipped steps leave the weights alone: the same run, ended after its one good step, has the same parameters; its
     * counters differ, so parameters are compared through the loss of a resumed step. */
    options.backend = &backend_cpu;
    options.resume = path;
    *strstr(path, "/ckpt") = '\0';
    c.train.steps = 5;
    assert_int_equal(train_run(&c, &self, &options), 0);
}

/* A skipped step changes no weight: lr and data differ from step to step, so two runs with the same good steps and one
 * bad step at the end agree in every weight. */
static void a_skipped_step_changes_no_weight(void **state) {
    (void)state;
    struct config c;
    struct backend backend = spy();
    struct train_options options = {.backend = &backend};
    char hash[2][4096];
    for (int i = 0; i < 2; i++) {
        small_config(&c, i ? "with" : "without");
        c.train.steps = 3 + i;
        c.train.schedule = SCHEDULE_CONSTANT;
        bad_from = 3;
        bad_to = 4;
        assert_int_equal(train_run(&c, &self, &options), 0);
        const char *val = strstr(read_file(c.name, "metrics.jsonl"), "\"val_loss_hex\"");
        assert_non_null(val);
        snprintf(hash[i], sizeof hash[i], "%s", val);
    }
    assert_string_equal(hash[0], hash[1]);
}

/* A loss outside train.loss_clamp is reported clamped and adds no gradient. */
static void a_clamped_loss_adds_no_gradient(void **state) {
    (void)state;
    struct config c;
    struct train_options options = {0};
    small_config(&c, "clamp");
    c.train.loss_clamp[0] = 0;
    c.train.loss_clamp[1] = 2; /* the first losses are about ln 256 = 5.5 */
    assert_int_equal(train_run(&c, &self, &options), 0);
    char *metrics = read_file("clamp", "metrics.jsonl");
    assert_int_equal(count(metrics, "\"loss\": 2,"), 6);
    assert_int_equal(count(metrics, "\"grad_norm\": 0,"), 6);
}

static void schedules_are_golden(void **state) {
    (void)state;
    struct config_train t = {.steps = 110, .warmup = 10, .lr = 0.001, .min_lr_ratio = 0.1};
    static const struct {
        int schedule;
        int64_t step;
        double ratio;
    } golden[] = {
        {SCHEDULE_COSINE, 0, 0},
        {SCHEDULE_COSINE, 5, 0.5},
        {SCHEDULE_COSINE, 10, 1},
        {SCHEDULE_COSINE, 60, 0.5},
        {SCHEDULE_COSINE, 35, 0.85355339059327373},
        {SCHEDULE_COSINE, 109, 0.1},
        {SCHEDULE_COSINE, 200, 0.1},
        {SCHEDULE_LINEAR, 60, 0.5},
        {SCHEDULE_LINEAR, 109, 0.1},
        {SCHEDULE_CONSTANT, 109, 1},
        {SCHEDULE_WSD, 60, 1},
        {SCHEDULE_WSD, 90, 1},
        {SCHEDULE_WSD, 100, 0.55},
        {SCHEDULE_WSD, 110, 0.1},
    };
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        t.schedule = golden[i].schedule;
        double lr = train_learning_rate(&t, golden[i].step);
        if (!(fabs(lr - 0.001 * golden[i].ratio) < 1e-15)) fail_msg("row %zu: %.17g", i, lr);
    }
}

static void loss_scales_grow_and_fall(void **state) {
    (void)state;
    struct config_train t = {.precision = PRECISION_FP16, .loss_scale = 1024, .loss_scale_window = 3};
    static const struct {
        int skipped;
        int64_t scale, steps; /* after it */
    } golden[] = {{0, 1024, 1}, {0, 1024, 2}, {0, 2048, 0}, {1, 1024, 0}, {0, 1024, 1}, {1, 512, 0}, {1, 256, 0},
                  {0, 256, 1},  {0, 256, 2},  {0, 512, 0},  {0, 512, 1},  {0, 512, 2},  {0, 1024, 0}};
    struct loss_scale scale = loss_scale_start(&t);
    assert_int_equal(scale.scale, 1024);
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        scale = loss_scale_next(scale, &t, golden[i].skipped);
        assert_int_equal(scale.scale, golden[i].scale);
        assert_int_equal(scale.steps, golden[i].steps);
    }
    scale = (struct loss_scale){.scale = 1};
    assert_int_equal(loss_scale_next(scale, &t, 1).scale, 1);
    scale = (struct loss_scale){.scale = LOSS_SCALE_MOST, .steps = 2};
    assert_int_equal(loss_scale_next(scale, &t, 0).scale, LOSS_SCALE_MOST);
    t.precision = PRECISION_FP32;
    assert_int_equal(loss_scale_start(&t).scale, 0);
    assert_int_equal(loss_scale_next(loss_scale_start(&t), &t, 1).scale, 0);
    t.loss_scaling = LOSS_SCALING_DYNAMIC;
    assert_int_equal(loss_scale_start(&t).scale, 1024);
}

static void metrics_are_cut_back(void **state) {
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s/cut.jsonl", scratch);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 5; i++) fprintf(f, "{\"step\": %d, \"loss\": 1}\n", i);
    fprintf(f, "{\"step\": 2"); /* a line that was never finished */
    fclose(f);
    assert_int_equal(metrics_cut(path, 3), 0);
    f = fopen(path, "r");
    char text[512] = "";
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(text, "{\"step\": 0, \"loss\": 1}\n{\"step\": 1, \"loss\": 1}\n{\"step\": 2, \"loss\": 1}\n");
    assert_int_equal(metrics_cut("/nonexistent/metrics.jsonl", 3), 0);
}

static int make_scratch(void **state) {
    (void)state;
    snprintf(scratch, sizeof scratch, "%s/lockstep-train-XXXXXX",
             getenv("TMPDIR") && strlen(getenv("TMPDIR")) < 30 ? getenv("TMPDIR") : "/tmp");
    self.transport = &transport_self;
    return !mkdtemp(scratch);
}

static int remove_scratch(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command);
}

int main(void) {
    setenv("LOCKSTEP_POISON", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_are_golden),
        cmocka_unit_test(loss_scales_grow_and_fall),
        cmocka_unit_test(metrics_are_cut_back),
        cmocka_unit_test(a_nan_gradient_skips_the_step),
        cmocka_unit_test(too_many_skips_stop_with_the_state_saved),
        cmocka_unit_test(a_skipped_step_changes_no_weight),
        cmocka_unit_test(a_clamped_loss_adds_no_gradient),
    };
    return cmocka_run_group_tests_name("train", tests, make_scratch, remove_scratch);
}
