#include "bench/compare.h"

#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "bench/summary.h"

enum { MOST_COMPARED = 256 }; /* runs of a side */

struct comparison {
    FILE *out;
    int cases, figures, moved, unknown;
    double change[2 * MOST_COMPARED]; /* logarithms of the ratios of all speeds */
    int changes;
    double session; /* see stats.h; from `change` */
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

/* `how` NULL: it cannot be told. */
static void print_row(struct comparison *c, const struct record *r, enum side side, const char *what, double before,
                      double after, const char *how) {
    if (how)
        c->moved++;
    else
        c->unknown++;
    fprintf(c->out, "| %s | %s | %s | %.6g | %.6g | %+.2f%% | %s |\n", r->name,
            side == BASELINE ? "baseline" : "optimized", what, before, after, 100 * (after / before - 1),
            how ? how : "too few runs, or too noisy, to tell");
}

static void compare_figure(struct comparison *c, const struct record *r, enum side side, const char *what,
                           const double *a, int count_a, const double *b, int count_b, double session, double least) {
    char how[64];
    struct difference d = compare_sets(a, count_a, b, count_b, session, least);
    c->figures++;
    if (d.verdict == VERDICT_SAME) return;
    snprintf(how, sizeof how, "%+.1f to %+.1f%%", 100 * (d.low - 1), 100 * (d.high - 1));
    print_row(c, r, side, what, median_of(a, count_a), median_of(b, count_b),
              d.verdict == VERDICT_NONE || d.verdict == VERDICT_NOISY ? NULL : how);
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
              d.verdict == VERDICT_NONE || d.verdict == VERDICT_NOISY ? NULL : how);
}

static void compare_side(struct comparison *c, const struct record *old_record, const struct record *new_record,
                         enum side side) {
    struct values a, b;
    collect(old_record, side, &a);
    collect(new_record, side, &b);
    if (!a.count || !b.count) return;
    compare_figure(c, new_record, side, "speed, tok/s", a.speed, a.count, b.speed, b.count, c->session, LEAST_SPEED);
    compare_figure(c, new_record, side, "memory, measured", a.peak, a.count, b.peak, b.count, 0, LEAST_MEMORY);
    compare_loss(c, new_record, side, &a, &b);
    c->figures++;
    if (a.planned != b.planned) print_row(c, new_record, side, "memory, planned", a.planned, b.planned, "exact");
}

/* Why the figures of two records mean different things; NULL: they do not. */
static const char *unlike(const struct record *a, const struct record *b) {
    if (!a->count || !b->count) return "only in one of both";
    if (strcmp(a->processor, b->processor) || a->cores != b->cores) return "measured on another machine";
    if (strcmp(a->backend, b->backend)) return "measured with another backend";
    if (a->tokens != b->tokens) return "trained on another number of tokens";
    return NULL;
}

static void note_changes(struct comparison *c, const struct record *old_record, const struct record *new_record) {
    for (int side = 0; side < SIDES && c->changes < 2 * MOST_COMPARED; side++) {
        static struct values a, b;
        collect(old_record, (enum side)side, &a);
        collect(new_record, (enum side)side, &b);
        if (a.count && b.count)
            c->change[c->changes++] = log(median_of(b.speed, b.count) / median_of(a.speed, a.count));
    }
}

static void compare_records(struct comparison *c, const struct record *old_record, const struct record *new_record) {
    const char *why = unlike(old_record, new_record);
    if (why) {
        fprintf(c->out, "| %s | | not compared: %s | | | | |\n", new_record->name, why);
        return;
    }
    c->cases++;
    for (int side = 0; side < SIDES; side++) compare_side(c, old_record, new_record, (enum side)side);
}

/* The case that a raw file is about. */
static void name_of(const char *path, char name[64]) {
    const char *file = strrchr(path, '/') + 1;
    snprintf(name, 64, "%.*s", (int)(strlen(file) - strlen(".json")), file);
}

/* Calls `visit` with both records of every file in `found` that is not in `but` as well. */
static int visit_all(struct comparison *c, const glob_t *found, const char *old_folder, const char *new_folder,
                     const char *but,
                     void (*visit)(struct comparison *, const struct record *, const struct record *)) {
    for (size_t i = 0; i < found->gl_pathc; i++) {
        struct record old_record = {0}, new_record = {0};
        char name[64], other[1300];
        name_of(found->gl_pathv[i], name);
        snprintf(other, sizeof other, "%s/raw/%s.json", but ? but : "", name);
        if (but && !access(other, F_OK)) continue;
        int status = record_load(&old_record, old_folder, name);
        if (!status) status = record_load(&new_record, new_folder, name);
        if (!status) visit(c, &old_record, &new_record);
        record_free(&old_record);
        record_free(&new_record);
        TRY(status);
    }
    return 0;
}

/* The standard deviation of the speeds' changes around their median, by the median deviation. Few figures cannot tell it: then one
 * percent is taken, which is what shared machines show. */
static void estimate_session(struct comparison *c) {
    enum { FEW = 6 };
    double away[2 * MOST_COMPARED], middle = median_of(c->change, c->changes);
    for (int i = 0; i < c->changes; i++) away[i] = fabs(c->change[i] - middle);
    c->session = c->changes < FEW ? 0.01 : 1.4826 * median_of(away, c->changes);
}

static int compare_found(struct comparison *c, const glob_t *in_new, const glob_t *in_old, const char *old_folder,
                         const char *new_folder) {
    TRY(visit_all(c, in_new, old_folder, new_folder, NULL, note_changes));
    estimate_session(c);
    fprintf(c->out, "| case | side | figure | before | after | moved | interval |\n|---|---|---|---|---|---|---|\n");
    TRY(visit_all(c, in_new, old_folder, new_folder, NULL, compare_records));
    TRY(visit_all(c, in_old, old_folder, new_folder, new_folder, compare_records));
    if (!c->cases) return fail(STATUS_USAGE, "%s: has no case that can be compared with %s", old_folder, new_folder);
    fprintf(c->out, "\n%d figures of %d cases compared, %d moved, %d with too few runs, or too noisy, to tell.\n",
            c->figures, c->cases, c->moved, c->unknown);
    fprintf(c->out,
            "Speed in the median of all: %+.1f%%. Speeds of one program in two measurements are taken to differ by "
            "%.1f%% (standard deviation).\n",
            100 * (exp(median_of(c->change, c->changes)) - 1), 100 * c->session);
    return 0;
}

static int find_raw(const char *folder, glob_t *found) {
    char pattern[1200];
    snprintf(pattern, sizeof pattern, "%s/raw/*.json", folder);
    if (!glob(pattern, 0, NULL, found)) return 0;
    return fail(STATUS_USAGE, "%s: has no raw/*.json; give a folder that bench/run_all wrote", folder);
}

int compare_folders(const char *old_folder, const char *new_folder, FILE *out) {
    static struct comparison c; /* large for a stack */
    glob_t in_new, in_old;
    memset(&c, 0, sizeof c);
    c.out = out;
    TRY(find_raw(new_folder, &in_new));
    int status = find_raw(old_folder, &in_old);
    if (!status) {
        status = compare_found(&c, &in_new, &in_old, old_folder, new_folder);
        globfree(&in_old);
    }
    globfree(&in_new);
    return status;
}
