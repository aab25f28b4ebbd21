#include "bench/compare.h"

#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "bench/summary.h"

enum { MOST_COMPARED = 256 }; /* runs of a side */

struct comparison {
    FILE *out;
    int cases, figures, moved, unknown;
};

/* The runs of one side of a record. */
struct values {
    double speed[MOST_COMPARED], peak[MOST_COMPARED], planned;
    double loss[MOST_SEEDS];
    int64_t seed[MOST_SEEDS];
    int count, losses;
};

static void collect(const struct record *record, enum side side, struct values *v) {
    memset(v, 0, sizeof *v);
    for (int i = 0; i < record->count && v->count < MOST_COMPARED; i++) {
        const struct bench_run *run = &record->runs[i];
        if (run->side != side || run->failure[0]) continue;
        v->speed[v->count] = (double)run->tokens_per_step / run->step_s;
        v->peak[v->count++] = (double)run->peak_bytes;
        v->planned = (double)run->planned_bytes;
        if (!run->for_loss || v->losses == MOST_SEEDS) continue;
        v->seed[v->losses] = run->seed;
        v->loss[v->losses++] = run->val_loss;
    }
}

/* `how` NULL: too few runs. */
static void print_row(struct comparison *c, const struct record *r, enum side side, const char *what, double before,
                      double after, const char *how) {
    if (how)
        c->moved++;
    else
        c->unknown++;
    fprintf(c->out, "| %s | %s | %s | %.6g | %.6g | %+.2f%% | %s |\n", r->name,
            side == BASELINE ? "baseline" : "optimized", what, before, after, 100 * (after / before - 1),
            how ? how : "too few runs to tell");
}

static void compare_figure(struct comparison *c, const struct record *r, enum side side, const char *what,
                           const double *a, int count_a, const double *b, int count_b, double least) {
    char how[64];
    struct difference d = compare_sets(a, count_a, b, count_b, least);
    c->figures++;
    if (d.verdict == VERDICT_SAME) return;
    snprintf(how, sizeof how, "%+.1f to %+.1f%%", 100 * (d.low - 1), 100 * (d.high - 1));
    print_row(c, r, side, what, median_of(a, count_a), median_of(b, count_b), d.verdict == VERDICT_NONE ? NULL : how);
}

/* Of the seeds that both have. */
static void compare_loss(struct comparison *c, const struct record *r, enum side side, const struct values *a,
                         const struct values *b) {
    double x[MOST_SEEDS], y[MOST_SEEDS];
    char how[64];
    int count = 0;
    for (int i = 0; i < a->losses; i++)
        for (int j = 0; j < b->losses; j++)
            if (a->seed[i] == b->seed[j]) {
                x[count] = a->loss[i];
                y[count++] = b->loss[j];
            }
    if (!count) return;
    struct loss_difference d = compare_losses(x, y, count);
    c->figures++;
    if (d.equal || d.verdict == VERDICT_SAME) return;
    snprintf(how, sizeof how, "%+.4f to %+.4f", d.low, d.high);
    print_row(c, r, side, "validation loss", median_of(x, count), median_of(y, count),
              d.verdict == VERDICT_NONE ? NULL : how);
}

static void compare_side(struct comparison *c, const struct record *old_record, const struct record *new_record,
                         enum side side) {
    struct values a, b;
    collect(old_record, side, &a);
    collect(new_record, side, &b);
    if (!a.count || !b.count) return;
    compare_figure(c, new_record, side, "speed, tok/s", a.speed, a.count, b.speed, b.count, LEAST_SPEED);
    compare_figure(c, new_record, side, "memory, measured", a.peak, a.count, b.peak, b.count, LEAST_MEMORY);
    compare_loss(c, new_record, side, &a, &b);
    c->figures++;
    if (a.planned != b.planned) print_row(c, new_record, side, "memory, planned", a.planned, b.planned, "exact");
}

static void compare_records(struct comparison *c, const struct record *old_record, const struct record *new_record) {
    if (!old_record->count || !new_record->count) {
        fprintf(c->out, "| %s | | only in one of both | | | | |\n", new_record->name);
        return;
    }
    if (strcmp(old_record->processor, new_record->processor) || old_record->cores != new_record->cores ||
        old_record->quick != new_record->quick)
        fprintf(c->out, "| %s | | measured on another machine, or once with --quick | | | | |\n", new_record->name);
    c->cases++;
    for (int side = 0; side < SIDES; side++) compare_side(c, old_record, new_record, (enum side)side);
}

/* The case that a raw file is about. */
static void name_of(const char *path, char name[64]) {
    const char *file = strrchr(path, '/') + 1;
    snprintf(name, 64, "%.*s", (int)(strlen(file) - strlen(".json")), file);
}

static int compare_all(struct comparison *c, const glob_t *found, const char *old_folder, const char *new_folder) {
    for (size_t i = 0; i < found->gl_pathc; i++) {
        struct record old_record = {0}, new_record = {0};
        char name[64];
        name_of(found->gl_pathv[i], name);
        int status = record_load(&old_record, old_folder, name);
        if (!status) status = record_load(&new_record, new_folder, name);
        if (!status) compare_records(c, &old_record, &new_record);
        record_free(&old_record);
        record_free(&new_record);
        TRY(status);
    }
    return 0;
}

int compare_folders(const char *old_folder, const char *new_folder, FILE *out) {
    struct comparison c = {.out = out};
    char pattern[1200];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/raw/*.json", new_folder);
    if (glob(pattern, 0, NULL, &found))
        return fail(STATUS_USAGE, "%s: has no raw/*.json; give a folder that bench/run_all wrote", new_folder);
    fprintf(out, "| case | side | figure | before | after | moved | interval |\n|---|---|---|---|---|---|---|\n");
    int status = compare_all(&c, &found, old_folder, new_folder);
    globfree(&found);
    if (!status && !c.cases) status = fail(STATUS_USAGE, "%s: has no case that %s has too", old_folder, new_folder);
    if (!status)
        fprintf(out, "\n%d figures of %d cases compared, %d moved, %d with too few runs to tell.\n", c.figures, c.cases,
                c.moved, c.unknown);
    return status;
}
