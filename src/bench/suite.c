#include "bench/suite.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/folders.h"
#include "bench/child.h"
#include "bench/machine.h"
#include "bench/page.h"
#include "bench/summary.h"

/* At least so many pairs; more, up to a limit, while half of the 99% interval of the speed's ratio is above PRECISION. Only the width
 * decides whether to go on, never the result. */
enum { LEAST_PAIRS = 5, QUICK_PAIRS = 9, FULL_PAIRS = 15, QUICK_SEEDS = 3 };
#define PRECISION 0.025

struct suite {
    const struct suite_options *options;
    struct measure measure;
    struct machine machine;
    char folder[1024], scratch[64], date[11];
    uint64_t program; /* hash of the file that is measured */
    struct bench_case *cases;
    struct summary *summaries;
    struct record *records;
    int count;
    double spent_s[2]; /* on runs that were only timed, on runs for the loss */
    int made[2];
};

static int hash_file(const char *path, uint64_t *hash) {
    char block[1 << 14];
    FILE *f = fopen(path, "rb");
    XXH64_state_t *state = XXH64_createState();
    int status = !f       ? fail(STATUS_USAGE, "%s: cannot read the program to measure: %s", path, strerror(errno))
                 : !state ? fail(STATUS_FAILED, "out of memory")
                          : 0;
    if (state) XXH64_reset(state, 0);
    for (size_t n; !status && (n = fread(block, 1, sizeof block, f)) > 0;) XXH64_update(state, block, n);
    if (!status) *hash = XXH64_digest(state);
    if (f) fclose(f);
    XXH64_freeState(state);
    return status;
}

static int seeds_of(const struct suite *s, const struct bench_case *c) {
    int wanted = s->options->seeds ? s->options->seeds : s->options->quick ? QUICK_SEEDS : c->n_seeds;
    return wanted < c->n_seeds ? wanted : c->n_seeds;
}

static int most_pairs(const struct suite *s) { return s->options->quick ? QUICK_PAIRS : FULL_PAIRS; }

/* All that the figures depend on. */
static int key_of(const struct suite *s, const struct bench_case *c, char key[17]) {
    char *text = NULL;
    size_t length;
    FILE *f = open_memstream(&text, &length);
    if (!f) return fail(STATUS_FAILED, "out of memory");
    int status = 0;
    for (int side = 0; side < SIDES && !status; side++) {
        struct config config;
        status = case_config(c, (enum side)side, s->measure.root, &config);
        if (!status) config_print(&config, f);
        fprintf(f, "ranks %d\n", measure_ranks(&s->measure, c, (enum side)side));
    }
    fprintf(f, "%016llx %s %d %d %lld %lld %s", (unsigned long long)s->program,
            s->measure.backend ? s->measure.backend : "", s->measure.cores, seeds_of(s, c),
            (long long)(s->options->quick ? c->quick_tokens : c->tokens), (long long)c->speed_steps, c->seeds_text);
    fclose(f);
    if (!status) snprintf(key, 17, "%016llx", (unsigned long long)XXH64(text, length, 0));
    free(text);
    return status;
}

static void set_header(const struct suite *s, struct record *record, const char *key) {
    snprintf(record->key, sizeof record->key, "%s", key);
    snprintf(record->machine, sizeof record->machine, "%s", s->machine.name);
    snprintf(record->processor, sizeof record->processor, "%s", s->machine.processor);
    snprintf(record->system, sizeof record->system, "%s", s->machine.system);
    snprintf(record->build, sizeof record->build, "%s", s->options->build);
    snprintf(record->date, sizeof record->date, "%s", s->date);
    snprintf(record->backend, sizeof record->backend, "%s", s->measure.backend ? s->measure.backend : "auto");
    record->cores = s->measure.cores;
    record->quick = s->options->quick;
}

/* Runs of another program or config are not mixed with new ones: the record of a chosen case starts anew. */
static int open_record(const struct suite *s, const struct bench_case *c, struct record *record) {
    char key[17];
    TRY(key_of(s, c, key));
    TRY(record_load(record, s->folder, c->name));
    if (!c->chosen) return 0;
    if (!s->options->again && !strcmp(record->key, key)) return 0;
    record_free(record);
    set_header(s, record, key);
    return 0;
}

/* Runs that are still to be made at least, by kind. */
static void runs_left(const struct suite *s, int from, int pair, int left[2]) {
    left[0] = left[1] = 0;
    for (int i = from; i < s->count; i++) {
        if (!s->cases[i].chosen) continue;
        int first = i == from ? pair : 0, seeds = seeds_of(s, &s->cases[i]);
        int pairs = seeds > LEAST_PAIRS ? seeds : LEAST_PAIRS;
        for (int p = first; p < pairs; p++)
            for (int side = 0; side < SIDES; side++)
                left[p < seeds] += !record_find(&s->records[i], (enum side)side, p);
    }
}

static void print_progress(const struct suite *s, int at, int pair) {
    int left[2];
    double seconds = 0;
    runs_left(s, at, pair, left);
    for (int kind = 0; kind < 2; kind++)
        if (s->made[kind]) seconds += left[kind] * s->spent_s[kind] / s->made[kind];
    const struct summary *x = &s->summaries[at];
    fprintf(stderr, "[%d/%d] %-24s pair %d", at + 1, s->count, s->cases[at].name, pair);
    if (x->pairs)
        fprintf(stderr, ": %.0f against %.0f tok/s, %.1f%% (%.1f to %.1f)", x->speed[OPTIMIZED].median,
                x->speed[BASELINE].median, 100 * (x->faster.ratio - 1), 100 * (x->faster.low - 1),
                100 * (x->faster.high - 1));
    if (s->made[0] + s->made[1])
        fprintf(stderr, "; %d runs left, about %.0f min %02.0f s", left[0] + left[1], floor(seconds / 60),
                fmod(seconds, 60));
    fputc('\n', stderr);
}

static int make_run(struct suite *s, int at, enum side side, int pair) {
    const struct bench_case *c = &s->cases[at];
    struct record *record = &s->records[at];
    int seeds = seeds_of(s, c);
    struct config config;
    if (record_find(record, side, pair)) return 0;
    TRY(case_config(c, side, s->measure.root, &config));
    struct bench_run run = {.side = side, .pair = pair, .seed = c->seeds[pair % c->n_seeds], .for_loss = pair < seeds};
    run.steps = run.for_loss ? measure_steps(&config, s->options->quick ? c->quick_tokens : c->tokens) : c->speed_steps;
    if (run.steps < 4)
        return fail(STATUS_USAGE, "case %s: %lld steps are too few to be timed; raise its tokens", c->name,
                    (long long)run.steps);
    double begin = clock_seconds();
    TRY(measure_run(&s->measure, c, &run));
    s->spent_s[run.for_loss] += clock_seconds() - begin;
    s->made[run.for_loss]++;
    TRY(record_add(record, &run));
    return record_save(record, s->folder);
}

static int is_done(const struct record *record, int pair) {
    return record_find(record, BASELINE, pair) && record_find(record, OPTIMIZED, pair);
}

/* Pairs go A B, B A, A B …: a machine that gets slower by and by then slows both sides alike. A side that fails ends the case. */
static int run_case(struct suite *s, int at) {
    const struct bench_case *c = &s->cases[at];
    struct summary *summary = &s->summaries[at];
    int seeds = seeds_of(s, c), least = seeds > LEAST_PAIRS ? seeds : LEAST_PAIRS;
    for (int pair = 0; pair < most_pairs(s) || pair < seeds; pair++) {
        summarize(summary, c, &s->records[at]);
        if (pair >= least && summary_precise(summary, PRECISION)) break;
        if (is_done(&s->records[at], pair)) continue;
        print_progress(s, at, pair);
        for (int turn = 0; turn < SIDES; turn++) TRY(make_run(s, at, (enum side)((pair + turn) % SIDES), pair));
        summarize(summary, c, &s->records[at]);
        if (summary->failure[0]) break;
    }
    if (summary->failure[0]) fprintf(stderr, "[%d/%d] %s failed: %s\n", at + 1, s->count, c->name, summary->failure);
    return 0;
}

static int open_suite(struct suite *s, const struct suite_options *options) {
    char raw[1100];
    s->options = options;
    s->measure = options->measure;
    s->measure.scratch = s->scratch;
    machine_read(&s->machine);
    if (options->machine) snprintf(s->machine.name, sizeof s->machine.name, "%s", options->machine);
    machine_date(s->date);
    snprintf(s->folder, sizeof s->folder, "%s/%s%s", options->results, s->machine.name, options->quick ? "-quick" : "");
    TRY(case_load_all(options->cases, options->measure.root, options->only, &s->cases, &s->count));
    TRY(hash_file(options->measure.program, &s->program));
    s->summaries = calloc((size_t)s->count + 1, sizeof *s->summaries);
    s->records = calloc((size_t)s->count + 1, sizeof *s->records);
    if (!s->summaries || !s->records) return fail(STATUS_FAILED, "out of memory");
    snprintf(raw, sizeof raw, "%s/raw", s->folder);
    TRY(folders_make(raw));
    for (int i = 0; i < s->count; i++) {
        TRY(open_record(s, &s->cases[i], &s->records[i]));
        summarize(&s->summaries[i], &s->cases[i], &s->records[i]);
    }
    const char *temporary = getenv("TMPDIR");
    snprintf(s->scratch, sizeof s->scratch, "%.40s/lockstep-bench-XXXXXX", temporary ? temporary : "/tmp");
    return mkdtemp(s->scratch) ? 0
                               : fail(STATUS_FAILED, "%s: cannot make this folder: %s", s->scratch, strerror(errno));
}

static void close_suite(struct suite *s) {
    if (s->scratch[0]) folders_remove(s->scratch);
    for (int i = 0; s->records && i < s->count; i++) record_free(&s->records[i]);
    free(s->records);
    free(s->summaries);
    free(s->cases);
}

static int run(struct suite *s, FILE *out) {
    int status = 0, failed = 0;
    for (int i = 0; i < s->count && !status; i++)
        if (s->cases[i].chosen) status = run_case(s, i);
    if (status && status != STATUS_STOPPED) return status;
    TRY(pages_write(s->summaries, s->count, s->folder, s->options->docs));
    page_index(s->summaries, s->count, 1, out);
    for (int i = 0; i < s->count; i++) failed += s->cases[i].chosen && s->summaries[i].failure[0];
    if (status) return status;
    return failed ? fail(STATUS_FAILED, "%d case%s failed; the table says why", failed, failed == 1 ? "" : "s") : 0;
}

int suite_run(const struct suite_options *options, FILE *out) {
    struct suite s = {0};
    child_catch_signals();
    int status = open_suite(&s, options);
    if (!status) status = run(&s, out);
    close_suite(&s);
    if (status == STATUS_STOPPED) fprintf(stderr, "bench: stopped; what is done is kept, the same command goes on\n");
    return status;
}

int suite_list(const struct suite_options *options, FILE *out) {
    struct bench_case *cases;
    int count;
    int status = case_load_all(options->cases, options->measure.root, options->only, &cases, &count);
    for (int i = 0; i < count && !status; i++) fprintf(out, "%-26s %s\n", cases[i].name, cases[i].title);
    free(cases);
    return status;
}
