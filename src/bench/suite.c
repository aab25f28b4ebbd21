#include "bench/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/folders.h"
#include "bench/child.h"
#include "bench/key.h"
#include "bench/machine.h"
#include "bench/page.h"
#include "bench/summary.h"

/* Pairs until difference_known(), but no fewer than seeds and no more than: */
enum { FEWEST_PAIRS = 5, QUICK_PAIRS = 9, FULL_PAIRS = 15, QUICK_SEEDS = 3 };

/* A case with what is known of it. */
struct entry {
    struct bench_case *c;
    struct record record;
    struct summary summary;
    char key[17];      /* of what would be measured now; the record may be of another */
    char baseline[17]; /* of what the baseline's losses depend on */
    int seeds;
};

struct suite {
    const struct suite_options *options;
    struct measure measure;
    struct machine machine;
    char folder[PATH_MAX], scratch[PATH_MAX], date[11];
    int lock; /* the open folder, which other processes may not write at the same time; -1: none */
    uint64_t program;
    struct bench_case *cases;
    struct entry *entries;
    int count;
    double spent_s[2]; /* on runs that were only timed, on runs for the loss */
    int made[2];
};

static int is_current(const struct entry *e) { return !strcmp(e->record.key, e->key); }

/* Pairs for the loss count for speed too, unless speed is measured with another model. */
static int with_seeds(const struct entry *e, int pairs) {
    if (case_speed_apart(e->c)) return e->seeds + pairs;
    return pairs > e->seeds ? pairs : e->seeds;
}

static int most_pairs(const struct suite *s, const struct entry *e) {
    return with_seeds(e, s->options->quick ? QUICK_PAIRS : FULL_PAIRS);
}

static int fewest_pairs(const struct entry *e) { return with_seeds(e, FEWEST_PAIRS); }

static int is_done(const struct record *record, int pair) {
    return record_find(record, BASELINE, pair) && record_find(record, OPTIMIZED, pair);
}

/* An empty record of what is measured now. */
static void start_record(const struct suite *s, struct entry *e) {
    struct record *record = &e->record;
    record_free(record);
    memset(record, 0, sizeof *record);
    snprintf(record->name, sizeof record->name, "%s", e->c->name);
    snprintf(record->key, sizeof record->key, "%s", e->key);
    snprintf(record->machine, sizeof record->machine, "%s", s->machine.name);
    snprintf(record->processor, sizeof record->processor, "%s", s->machine.processor);
    snprintf(record->system, sizeof record->system, "%s", s->machine.system);
    snprintf(record->build, sizeof record->build, "%s", s->options->build);
    snprintf(record->date, sizeof record->date, "%s", s->date);
    snprintf(record->backend, sizeof record->backend, "%s", s->measure.backend ? s->measure.backend : "auto");
    record->cores = s->measure.cores;
    record->quick = s->options->quick;
    record->tokens = s->options->quick ? e->c->quick_tokens : e->c->tokens;
}

/* Runs that are still to be made in cases from `from` on, by kind; `most`: should all need as many as they may. */
static void runs_left(const struct suite *s, int from, int most, int left[2]) {
    left[0] = left[1] = 0;
    for (int i = from; i < s->count; i++) {
        const struct entry *e = &s->entries[i];
        if (!e->c->chosen || e->summary.failure[0]) continue;
        if (is_current(e) && e->summary.whole >= fewest_pairs(e) && difference_known(&e->summary.faster)) continue;
        for (int pair = 0; pair < (most ? most_pairs(s, e) : fewest_pairs(e)); pair++)
            if (!is_current(e) || !is_done(&e->record, pair)) left[pair < e->seeds] += SIDES;
    }
}

static double seconds_for(const struct suite *s, const int left[2]) {
    double seconds = 0;
    for (int kind = 0; kind < 2; kind++)
        if (s->made[kind]) seconds += left[kind] * s->spent_s[kind] / s->made[kind];
    return seconds;
}

static void print_progress(const struct suite *s, int at, int pair) {
    int least[2], most[2];
    const struct entry *e = &s->entries[at];
    const struct summary *x = &e->summary;
    runs_left(s, at, 0, least);
    runs_left(s, at, 1, most);
    fprintf(stderr, "[%d/%d] %-24s pair %d", at + 1, s->count, e->c->name, pair + 1);
    if (x->pairs && is_current(e))
        fprintf(stderr, ": %.0f against %.0f tok/s, %+.1f%% (%+.1f to %+.1f)", x->speed[OPTIMIZED].median,
                x->speed[BASELINE].median, 100 * (x->faster.ratio - 1), 100 * (x->faster.low - 1),
                100 * (x->faster.high - 1));
    fprintf(stderr, "; %d to %d runs left", least[0] + least[1], most[0] + most[1]);
    if (s->made[1]) /* without a run for the loss the longest part would be unknown */
        fprintf(stderr, ", %.1f to %.1f minutes", seconds_for(s, least) / 60, seconds_for(s, most) / 60);
    fputc('\n', stderr);
}

static int make_run(struct suite *s, const struct entry *e, enum side side, int pair, struct bench_run *run) {
    struct config config;
    *run = (struct bench_run){
        .side = side, .pair = pair, .seed = e->c->seeds[pair % e->c->n_seeds], .for_loss = pair < e->seeds};
    TRY(case_config(e->c, side, run->for_loss, s->measure.root, &config));
    run->steps = run->for_loss ? case_steps(e->c, &config, s->options->quick) : e->c->speed_steps;
    double begin = clock_seconds();
    TRY(measure_run(&s->measure, e->c, run));
    s->spent_s[run->for_loss] += clock_seconds() - begin;
    s->made[run->for_loss]++;
    return 0;
}

/* The baseline's run for the loss of this pair where another case has it: the same program, config and seed give the same bits.
 * Only where speed is measured apart, so that nothing but the losses is used of it. NULL: there is none. */
static const struct bench_run *shared_run(const struct suite *s, const struct entry *e, int pair) {
    if (pair >= e->seeds || !case_speed_apart(e->c)) return NULL;
    for (int i = 0; i < s->count; i++) {
        const struct entry *other = &s->entries[i];
        if (other == e || !is_current(other) || !case_speed_apart(other->c) || pair >= other->seeds) continue;
        if (strcmp(other->baseline, e->baseline) || other->c->seeds[pair] != e->c->seeds[pair]) continue;
        const struct bench_run *run = record_find(&other->record, BASELINE, pair);
        if (run) return run;
    }
    return NULL;
}

/* Both sides, always, even where one of them is there already: a pair is two neighbours in time. Old figures go when new ones are there. */
static int make_pair(struct suite *s, struct entry *e, int pair) {
    struct bench_run runs[SIDES];
    int made = 0;
    while (made < SIDES) { /* A B, B A, A B …: a machine that gets slower by and by then slows both alike */
        struct bench_run *run = &runs[made++];
        enum side side = (enum side)((pair + made - 1) % SIDES);
        const struct bench_run *shared = side == BASELINE ? shared_run(s, e, pair) : NULL;
        if (shared)
            *run = *shared;
        else
            TRY(make_run(s, e, side, pair, run));
        if (run->failure[0]) break;
    }
    if (!is_current(e)) start_record(s, e);
    for (int i = 0; i < made; i++) TRY(record_add(&e->record, &runs[i]));
    return record_save(&e->record, s->folder);
}

/* A side that fails ends the case. */
static int run_case(struct suite *s, int at) {
    struct entry *e = &s->entries[at];
    for (int pair = 0; pair < most_pairs(s, e); pair++) {
        if (is_current(e) && pair >= fewest_pairs(e) && e->summary.whole >= pair &&
            difference_known(&e->summary.faster))
            break;
        if (is_current(e) && is_done(&e->record, pair)) continue;
        print_progress(s, at, pair);
        TRY(make_pair(s, e, pair));
        summarize(&e->summary, e->c, &e->record);
        if (e->summary.failure[0]) break;
    }
    if (e->summary.failure[0])
        fprintf(stderr, "[%d/%d] %s failed: %s\n", at + 1, s->count, e->c->name, e->summary.failure);
    return 0;
}

/* All that can be wrong with a case is found before the first run. */
static int open_entry(const struct suite *s, struct entry *e, struct bench_case *c) {
    const struct suite_options *o = s->options;
    char page[PATH_MAX + 128];
    e->c = c;
    if (o->seeds > c->n_seeds && c->chosen)
        return fail(STATUS_USAGE, "--seeds %d: case %s has %d", o->seeds, c->name, c->n_seeds);
    e->seeds = o->seeds ? o->seeds : o->quick && c->n_seeds > QUICK_SEEDS ? QUICK_SEEDS : c->n_seeds;
    snprintf(page, sizeof page, "%s/%s.md", o->docs ? o->docs : "", c->name);
    if (o->docs && c->chosen && access(page, R_OK | W_OK))
        return fail(STATUS_USAGE, "%s: --docs needs this page: %s", page, strerror(errno));
    TRY(key_of_case(&s->measure, c, s->program, s->machine.processor, e->seeds, o->quick, e->key));
    TRY(key_of_baseline(&s->measure, c, s->program, s->machine.processor, o->quick, e->baseline));
    TRY(record_load(&e->record, s->folder, c->name));
    if (o->again && c->chosen) e->record.key[0] = '\0';
    summarize(&e->summary, c, &e->record);
    return 0;
}

static int lock_folder(struct suite *s) {
    char raw[PATH_MAX + 8];
    snprintf(raw, sizeof raw, "%s/raw", s->folder);
    TRY(folders_make(raw));
    s->lock = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->lock < 0) return fail(STATUS_FAILED, "%s: cannot open this folder: %s", s->folder, strerror(errno));
    if (!flock(s->lock, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK) return 0; /* or a file system without locks */
    return fail(STATUS_USAGE, "%s: another measurement writes here; wait for it, or name another --machine", s->folder);
}

static int make_scratch(struct suite *s) {
    const char *temporary = getenv("TMPDIR");
    char whole[PATH_MAX];
    if (!realpath(temporary && *temporary ? temporary : "/tmp", whole))
        return fail(STATUS_FAILED, "TMPDIR: %s: %s", temporary ? temporary : "/tmp", strerror(errno));
    if (snprintf(s->scratch, sizeof s->scratch, "%s/lockstep-bench-XXXXXX", whole) >= (int)CONFIG_TEXT) {
        s->scratch[0] = '\0';
        return fail(STATUS_USAGE, "TMPDIR: %.200s… is too long", whole);
    }
    if (mkdtemp(s->scratch)) return 0;
    int status = fail(STATUS_FAILED, "%s: cannot make this folder: %s", s->scratch, strerror(errno));
    s->scratch[0] = '\0';
    return status;
}

static int open_suite(struct suite *s, const struct suite_options *options) {
    s->options = options;
    s->measure = options->measure;
    s->measure.scratch = s->scratch;
    s->measure.quick = options->quick;
    machine_read(&s->machine);
    if (options->machine) snprintf(s->machine.name, sizeof s->machine.name, "%s", options->machine);
    machine_date(s->date);
    if (snprintf(s->folder, sizeof s->folder, "%s/%s%s", options->results, s->machine.name,
                 options->quick ? "-quick" : "") >= (int)sizeof s->folder)
        return fail(STATUS_USAGE, "--results: %.200s… is too long", options->results);
    TRY(case_load_all(options->cases, options->measure.root, options->only, &s->cases, &s->count));
    for (int i = 0; i < s->count && options->quick; i++) case_make_quick(&s->cases[i]);
    TRY(key_program(options->measure.program, &s->program));
    s->entries = calloc((size_t)s->count + 1, sizeof *s->entries);
    if (!s->entries) return fail(STATUS_FAILED, "out of memory");
    TRY(lock_folder(s));
    for (int i = 0; i < s->count; i++) TRY(open_entry(s, &s->entries[i], &s->cases[i]));
    return make_scratch(s);
}

static void close_suite(struct suite *s) {
    if (s->scratch[0]) folders_remove(s->scratch);
    for (int i = 0; s->entries && i < s->count; i++) record_free(&s->entries[i].record);
    if (s->lock >= 0) close(s->lock);
    free(s->entries);
    free(s->cases);
}

/* Pages are written of what is measured now; those of other programs and configs stay as they were made. All are in the index. */
static int write_pages(const struct suite *s, FILE *out) {
    struct summary *all = calloc((size_t)s->count + 1, sizeof *all);
    if (!all) return fail(STATUS_FAILED, "out of memory");
    int status = 0;
    for (int i = 0; i < s->count && !status; i++) {
        all[i] = s->entries[i].summary;
        if (is_current(&s->entries[i])) status = pages_write(&all[i], s->folder, s->options->docs);
    }
    if (!status) status = pages_write_index(all, s->count, s->folder);
    page_index(all, s->count, 1, out);
    free(all);
    return status;
}

static int run(struct suite *s, FILE *out) {
    int status = 0, failed = 0;
    for (int i = 0; i < s->count && !status; i++)
        if (s->cases[i].chosen) status = run_case(s, i);
    if (status && status != STATUS_STOPPED) return status;
    TRY(write_pages(s, out));
    for (int i = 0; i < s->count; i++) failed += s->cases[i].chosen && s->entries[i].summary.failure[0];
    if (status) return status;
    return failed ? fail(STATUS_FAILED, "%d case%s failed; the table says why", failed, failed == 1 ? "" : "s") : 0;
}

int suite_run(const struct suite_options *options, FILE *out) {
    struct suite *s = calloc(1, sizeof *s);
    if (!s) return fail(STATUS_FAILED, "out of memory");
    s->lock = -1;
    child_catch_signals();
    int status = open_suite(s, options);
    if (!status) status = run(s, out);
    close_suite(s);
    free(s);
    if (status == STATUS_STOPPED) fprintf(stderr, "bench: stopped; what is done is kept, the same command goes on\n");
    return status;
}

int suite_list(const struct suite_options *options, FILE *out) {
    struct bench_case *cases;
    int count;
    int status = case_load_all(options->cases, options->measure.root, options->only, &cases, &count);
    for (int i = 0; i < count && !status; i++)
        if (cases[i].chosen) fprintf(out, "%-26s %s\n", cases[i].name, cases[i].title);
    free(cases);
    return status;
}
