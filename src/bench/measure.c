#include "bench/measure.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/folders.h"
#include "bench/child.h"
#include "bench/stats.h"

enum { WARM_UP = 2, EVALUATIONS = 10, QUICK_EVALUATIONS = 2, WORDS = 32 };

int measure_ranks(const struct measure *m, const struct bench_case *c, enum side side) {
    return c->side[side].ranks ? (int)c->side[side].ranks : m->ranks;
}

int measure_threads(const struct measure *m, const struct bench_case *c, enum side side) {
    int ranks = measure_ranks(m, c, side);
    if (c->threads) return (int)c->threads;
    return m->cores > ranks ? m->cores / ranks : 1;
}

/* A timed run neither evaluates nor saves. */
static int write_config(const struct measure *m, const struct bench_case *c, const struct bench_run *run,
                        const char *path) {
    struct config config;
    TRY(case_config(c, run->side, run->for_loss, m->root, &config));
    if (m->backend) TRY(config_set(&config, "backend", m->backend, "--backend"));
    snprintf(config.name, sizeof config.name, "run");
    snprintf(config.runs_dir, sizeof config.runs_dir, "%s", m->scratch);
    config.train.seed = run->seed;
    config.train.steps = run->steps;
    config.ckpt.every = 0;
    config.ckpt.last = 0;
    config.train.eval_every = 0;
    int evaluations = m->quick ? QUICK_EVALUATIONS : EVALUATIONS;
    if (run->for_loss)
        config.train.eval_every = run->steps > evaluations ? (run->steps + evaluations - 1) / evaluations : 1;
    else
        config.data.val[0] = '\0';
    FILE *f = fopen(path, "w");
    if (!f) return fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(errno));
    config_print(&config, f);
    return fclose(f) ? fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(errno)) : 0;
}

/* mpirun and its options, from LOCKSTEP_MPIRUN where it is set; `words` holds them. */
static int add_mpirun(const char *argv[WORDS], char words[512], const char *ranks) {
    const char *given = getenv("LOCKSTEP_MPIRUN");
    int count = 0;
    char *rest = NULL;
    snprintf(words, 512, "%s", given ? given : "mpirun --bind-to none --oversubscribe");
    for (char *word = strtok_r(words, " ", &rest); word && count < WORDS - 8; word = strtok_r(NULL, " ", &rest))
        argv[count++] = word;
    argv[count++] = "-np";
    argv[count++] = ranks;
    return count;
}

struct steps { /* what a metrics file says; a longer run is timed by its first STATS_MOST steps */
    double seconds[STATS_MOST];
    int count;
};

/* One line of metrics. Evaluations lie before the step of their line. */
static void read_line(const cJSON *json, struct bench_run *run, struct steps *steps) {
    double step = cJSON_GetNumberValue(cJSON_GetObjectItem(json, "step"));
    const cJSON *time = cJSON_GetObjectItem(json, "time_s"), *val = cJSON_GetObjectItem(json, "val_loss");
    const cJSON *peak = cJSON_GetObjectItem(json, "peak_bytes");
    if (val && run->points < CURVE_POINTS) {
        double *point = run->curve[run->points++];
        point[0] = step * (double)run->tokens_per_step;
        point[1] = run->train_s;
        point[2] = cJSON_GetNumberValue(val);
        if ((int64_t)step == run->steps) run->val_loss = point[2];
    }
    if (cJSON_IsNumber(peak)) run->planned_bytes = (int64_t)peak->valuedouble;
    if (!cJSON_IsNumber(time)) return;
    run->train_s += time->valuedouble;
    if (step >= WARM_UP && steps->count < STATS_MOST) steps->seconds[steps->count++] = time->valuedouble;
}

static int read_metrics(const char *path, struct bench_run *run) {
    struct steps *steps = calloc(1, sizeof *steps);
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;
    run->val_loss = NAN;
    while (steps && f && getline(&line, &size, f) > 0) {
        cJSON *json = cJSON_Parse(line);
        read_line(json, run, steps);
        cJSON_Delete(json);
    }
    if (f && steps && steps->count) {
        struct spread spread = spread_of(steps->seconds, steps->count);
        run->step_s = spread.median;
        run->least = spread.least;
        run->most = spread.most;
    }
    int status = !steps ? fail(STATUS_FAILED, "out of memory") : 0;
    if (!status && !(run->step_s > 0)) snprintf(run->failure, sizeof run->failure, "it wrote no metrics");
    if (!status && run->for_loss && !isfinite(run->val_loss) && !run->failure[0])
        snprintf(run->failure, sizeof run->failure, "its validation loss is missing or not finite");
    if (f) fclose(f);
    free(steps);
    free(line);
    return status;
}

int measure_run(const struct measure *m, const struct bench_case *c, struct bench_run *run) {
    char config_path[1100], folder[1100], metrics[1200], log[1100], words[512], ranks_text[16], last[400];
    const char *argv[WORDS];
    struct config config;
    int ranks = measure_ranks(m, c, run->side), count = 0;
    snprintf(config_path, sizeof config_path, "%s/config.yaml", m->scratch);
    snprintf(folder, sizeof folder, "%s/run", m->scratch);
    snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", folder);
    snprintf(log, sizeof log, "%s/log", m->scratch);
    snprintf(ranks_text, sizeof ranks_text, "%d", ranks);
    TRY(case_config(c, run->side, run->for_loss, m->root, &config));
    run->tokens_per_step = case_tokens_per_step(&config);
    TRY(write_config(m, c, run, config_path));
    folders_remove(folder);
    if (ranks > 1) count = add_mpirun(argv, words, ranks_text);
    const char *const rest[] = {m->program, "train", config_path, NULL};
    memcpy(argv + count, rest, sizeof rest);
    struct child child = {.argv = argv,
                          .folder = m->root,
                          .log = log,
                          .threads = measure_threads(m, c, run->side),
                          .limit_s = m->limit_s};
    if (m->rest_s) sleep((unsigned)m->rest_s);
    int status = child_run(&child);
    if (status == STATUS_STOPPED) return status;
    child_last_words(log, last, sizeof last);
    run->peak_bytes = child.peak_bytes;
    if (status) {
        snprintf(run->failure, sizeof run->failure, "%s", fail_message());
        return 0;
    }
    if (child.code) {
        snprintf(run->failure, sizeof run->failure, "exit status %d: %s", child.code, last);
        return 0;
    }
    return read_metrics(metrics, run);
}
