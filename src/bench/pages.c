/* Writes the pages of a results folder, and the measured tables into the pages of docs/. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "bench/page.h"
#include "bench/svg.h"

enum { MOST_LINES = 2 * MOST_SEEDS + 2 };

/* One picture's lines: faint ones for runs, and the mean of each side. */
struct curves {
    struct line lines[MOST_LINES];
    double x[MOST_LINES][CURVE_POINTS], y[MOST_LINES][CURVE_POINTS];
    int count;
};

static struct line *add_line(struct curves *curves, enum side side, int faint, int points) {
    struct line *line = &curves->lines[curves->count];
    *line = (struct line){
        .color = side, .faint = faint, .count = points, .x = curves->x[curves->count], .y = curves->y[curves->count]};
    curves->count++;
    return line;
}

/* The mean is of the points that all runs of the side have. */
static void add_side(struct curves *curves, const struct summary *s, enum side side, int by_time) {
    const struct record *record = s->record;
    double sum_x[CURVE_POINTS] = {0}, sum_y[CURVE_POINTS] = {0};
    int runs = 0, shortest = CURVE_POINTS;
    for (int i = 0; i < record->count && runs < MOST_SEEDS; i++) {
        const struct bench_run *run = &record->runs[i];
        if (run->side != side || !run->for_loss || run->failure[0]) continue;
        struct line *line = add_line(curves, side, 1, run->points);
        double *x = curves->x[line - curves->lines], *y = curves->y[line - curves->lines];
        for (int p = 0; p < run->points; p++) {
            x[p] = run->curve[p][by_time];
            y[p] = run->curve[p][2];
            sum_x[p] += x[p];
            sum_y[p] += y[p];
        }
        if (run->points < shortest) shortest = run->points;
        runs++;
    }
    if (!runs) return;
    struct line *mean = add_line(curves, side, 0, shortest);
    for (int p = 0; p < shortest; p++) {
        curves->x[mean - curves->lines][p] = sum_x[p] / runs;
        curves->y[mean - curves->lines][p] = sum_y[p] / runs;
    }
}

static void draw_loss(const struct summary *s, int by_time, FILE *out) {
    static struct curves curves; /* too large for a stack */
    curves.count = 0;
    for (int side = 0; side < SIDES; side++) add_side(&curves, s, (enum side)side, by_time);
    const struct plot plot = {.title = s->c->title,
                              .x_label = by_time ? "seconds of training" : "tokens",
                              .y_label = "validation loss, nats a token; faint: single seeds",
                              .names = {"baseline", "optimized"},
                              .lines = curves.lines,
                              .count = curves.count};
    svg_plot(&plot, out);
}

static void draw_tokens(const struct summary *s, FILE *out) { draw_loss(s, 0, out); }
static void draw_time(const struct summary *s, FILE *out) { draw_loss(s, 1, out); }

static void draw_memory(const struct summary *s, FILE *out) {
    const double mib = 1048576;
    const struct bar bars[] = {{"baseline, planned", BASELINE, s->planned[BASELINE] / mib},
                               {"optimized, planned", OPTIMIZED, s->planned[OPTIMIZED] / mib},
                               {"baseline, measured", BASELINE, s->peak[BASELINE].median / mib},
                               {"optimized, measured", OPTIMIZED, s->peak[OPTIMIZED].median / mib}};
    svg_bars(s->c->title, "MiB", bars, 4, out);
}

/* Opens FOLDER/NAME-SUFFIX anew. */
static int open_page(const char *folder, const char *name, const char *suffix, FILE **out) {
    char path[1200];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    *out = fopen(path, "w");
    return *out ? 0 : fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(errno));
}

static int close_page(FILE *out, const char *folder) {
    int failed = ferror(out);
    return fclose(out) || failed ? fail(STATUS_FAILED, "%s: cannot write a page: is the disk full?", folder) : 0;
}

static int write_one(const struct summary *s, const char *folder, const char *suffix,
                     void (*print)(const struct summary *, FILE *)) {
    FILE *out;
    TRY(open_page(folder, s->c->name, suffix, &out));
    print(s, out);
    return close_page(out, folder);
}

/* Copies DOCS/NAME.md with new lines between the marks. A case without a page, or a page without marks, is told of. */
static int update_docs(const struct summary *s, const char *docs, const char *pictures) {
    char path[1200], next[1210], *line = NULL;
    size_t size = 0;
    int inside = 0, found = 0;
    snprintf(path, sizeof path, "%s/%s.md", docs, s->c->name);
    snprintf(next, sizeof next, "%s.tmp", path);
    FILE *in = fopen(path, "r");
    if (!in) return fail(STATUS_FAILED, "%s: case %s has no page; write one", path, s->c->name);
    FILE *out = fopen(next, "w");
    while (out && getline(&line, &size, in) > 0) {
        if (inside && !strncmp(line, "<!-- end", 8)) inside = 0;
        if (!inside) fputs(line, out);
        if (strncmp(line, "<!-- measured", 13)) continue;
        inside = found = 1;
        page_table(s, pictures, out);
    }
    free(line);
    fclose(in);
    int failed = !out || ferror(out);
    if (out && fclose(out)) failed = 1;
    if (!failed && (inside || !found)) {
        unlink(next);
        return fail(STATUS_FAILED, "%s: needs a line '<!-- measured -->' and after it a line '<!-- end -->'", path);
    }
    return failed || rename(next, path) ? fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(errno)) : 0;
}

int pages_write_index(const struct summary *summaries, int count, const char *folder) {
    FILE *out;
    TRY(open_page(folder, "README", ".md", &out));
    page_index(summaries, count, 0, out);
    TRY(close_page(out, folder));
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < count; i++)
        if (summaries[i].record->count) cJSON_AddItemToArray(all, summary_json(&summaries[i]));
    char *text = cJSON_Print(all);
    cJSON_Delete(all);
    if (!text) return fail(STATUS_FAILED, "out of memory");
    int status = open_page(folder, "summary", ".json", &out);
    if (!status) {
        fprintf(out, "%s\n", text);
        status = close_page(out, folder);
    }
    cJSON_free(text);
    return status;
}

int pages_write(const struct summary *s, const char *folder, const char *docs) {
    const char *machine = strrchr(folder, '/');
    char pictures[256];
    snprintf(pictures, sizeof pictures, "../../bench/results/%s/", machine ? machine + 1 : folder);
    if (!s->record->count) return 0;
    TRY(write_one(s, folder, ".md", page_case));
    if (!s->whole) return 0;
    TRY(write_one(s, folder, "-loss-tokens.svg", draw_tokens));
    if (!case_speed_apart(s->c)) TRY(write_one(s, folder, "-loss-time.svg", draw_time));
    TRY(write_one(s, folder, "-memory.svg", draw_memory));
    return docs ? update_docs(s, docs, pictures) : 0;
}
