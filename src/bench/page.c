#include "bench/page.h"

#include <math.h>
#include <string.h>

#define MIB 1048576.0

struct text {
    char s[160];
};

static const char *prefix(enum verdict verdict) {
    return verdict == VERDICT_SAME ? "within noise: " : verdict == VERDICT_NOISY ? "too noisy to tell: " : "";
}

/* "-12.3% (-13.0 to -11.5)", or that chance explains it. `ratio` and its interval are optimized / baseline. */
static struct text percent(const struct difference *d) {
    struct text t = {"too few runs"};
    if (d->verdict == VERDICT_NONE) return t;
    snprintf(t.s, sizeof t.s, "%s%+.1f%% (%+.1f to %+.1f)", prefix(d->verdict), 100 * (d->ratio - 1),
             100 * (d->low - 1), 100 * (d->high - 1));
    return t;
}

static struct text loss_percent(const struct loss_difference *d) {
    struct text t = {"too few seeds"};
    if (d->equal && d->pairs)
        snprintf(t.s, sizeof t.s, "the same bits");
    else if (d->verdict != VERDICT_NONE)
        snprintf(t.s, sizeof t.s, "%s%+.2f%% (%+.4f, from %+.4f to %+.4f)", prefix(d->verdict), 100 * (d->ratio - 1),
                 d->mean, d->low, d->high);
    return t;
}

static struct text planned_percent(const struct summary *s) {
    struct text t = {"not planned"};
    if (s->planned[BASELINE] > 0)
        snprintf(t.s, sizeof t.s, "%+.1f%%", 100 * (s->planned[OPTIMIZED] / s->planned[BASELINE] - 1));
    return t;
}

/* "12.3 (11.9 to 12.8)" */
static struct text spread_text(const struct spread *spread, double unit, int digits) {
    struct text t;
    snprintf(t.s, sizeof t.s, "%.*f (%.*f to %.*f)", digits, spread->median / unit, digits, spread->least / unit,
             digits, spread->most / unit);
    return t;
}

static void print_results(const struct summary *s, FILE *out) {
    const struct bench_case *c = s->c;
    if (s->failure[0]) fprintf(out, "**Failed**: %s\n\n", s->failure);
    if (!s->whole) {
        fprintf(out, "Nothing was measured.\n");
        return;
    }
    fprintf(out, "| Metric | Baseline | Optimized | Improvement | Said of it |\n|---|---|---|---|---|\n");
    fprintf(out, "| Memory, planned (MiB) | %.2f | %.2f | %s | %s |\n", s->planned[BASELINE] / MIB,
            s->planned[OPTIMIZED] / MIB, planned_percent(s).s, c->expected_memory);
    fprintf(out, "| Memory, measured (MiB) | %s | %s | %s | |\n", spread_text(&s->peak[BASELINE], MIB, 1).s,
            spread_text(&s->peak[OPTIMIZED], MIB, 1).s, percent(&s->memory).s);
    fprintf(out, "| Speed (tok/s) | %s | %s | %s | %s |\n", spread_text(&s->speed[BASELINE], 1, 0).s,
            spread_text(&s->speed[OPTIMIZED], 1, 0).s, percent(&s->faster).s, c->expected_speed);
    fprintf(out, "| Validation loss | %s | %s | %s | %s |\n", spread_text(&s->loss[BASELINE], 1, 4).s,
            spread_text(&s->loss[OPTIMIZED], 1, 4).s, loss_percent(&s->better).s, c->expected_loss);
}

/* "`a=1`, `b=2`" from lines. */
static void print_settings(const char *name, const char *lines, int64_t ranks, FILE *out) {
    fprintf(out, "- %s:", name);
    int count = 0;
    for (const char *at = lines; *at; at += strcspn(at, "\n") + 1)
        fprintf(out, "%s `%.*s`", count++ ? "," : "", (int)strcspn(at, "\n"), at);
    if (ranks) fprintf(out, "%s on %lld rank%s", count++ ? "," : "", (long long)ranks, ranks == 1 ? "" : "s");
    fprintf(out, "%s\n", count ? "" : " as the config says");
}

static void print_how(const struct summary *s, FILE *out) {
    const struct record *r = s->record;
    const struct bench_case *c = s->c;
    fprintf(out,
            "### How it was measured\n%s, %d cores, %s; Lockstep %s; %s; backend %s. %d pairs of runs in turns, the "
            "first two "
            "steps of each left out; validation loss after %lld tokens from %d seeds. Medians, with the smallest and "
            "the largest in "
            "brackets; improvements with their 99%% interval. Memory: planned for a rank; measured as the "
            "largest resident set of a process.\n\n",
            r->processor, r->cores, r->system, r->build, r->date, r->backend, s->pairs, (long long)r->tokens, s->seeds);
    fprintf(out, "- Both sides: `%s`, ", c->config);
    if (c->threads)
        fprintf(out, "%lld thread%s a rank\n", (long long)c->threads, c->threads == 1 ? "" : "s");
    else
        fprintf(out, "all cores, shared among the ranks\n");
    if (c->set[0]) print_settings("They set", c->set, 0, out);
    if (case_speed_apart(c)) {
        print_settings("For memory and speed, in runs of their own, also", c->speed_set, 0, out);
        fprintf(out, "- Losses of the baseline may be those that another case with the same baseline had: their bits "
                     "are the same\n");
    }
    print_settings("Baseline", c->side[BASELINE].set, c->side[BASELINE].ranks, out);
    print_settings("Optimized", c->side[OPTIMIZED].set, c->side[OPTIMIZED].ranks, out);
    fprintf(out, "- Again: `bench/run_all --only %s%s`; every run: [raw/%s.json](raw/%s.json)\n", c->name,
            r->quick ? " --quick" : "", c->name, c->name);
}

static void print_pictures(const struct summary *s, const char *folder, FILE *out) {
    if (!s->whole) return;
    static const struct {
        const char *file, *what;
    } pictures[] = {{"memory", "Memory"}, {"loss-tokens", "Loss against tokens"}, {"loss-time", "Loss against time"}};
    fputc('\n', out);
    int count = case_speed_apart(s->c) ? 2 : 3; /* where losses may be of a shared baseline their times say nothing */
    for (int i = 0; i < count; i++)
        fprintf(out, "![%s](%s%s-%s.svg)\n", pictures[i].what, folder, s->c->name, pictures[i].file);
}

void page_case(const struct summary *s, FILE *out) {
    const struct bench_case *c = s->c;
    fprintf(out, "## Optimization: %s\n\n### Implementation\n- Time: %g hour%s\n- Lines of code: ", c->title, c->hours,
            c->hours == 1 ? "" : "s");
    if (c->files[0])
        fprintf(out, "%lld (%s)\n", (long long)c->lines, c->files);
    else
        fprintf(out, "no file of its own, a few lines in shared ones\n");
    fprintf(out, "- Dependencies: %s\n\n### Results\n", c->dependencies);
    print_results(s, out);
    print_pictures(s, "", out);
    fprintf(out,
            "\n### Recommendation\n- Use when: %s\n- Skip when: %s\n- Trade-offs: %s\n- Maintenance burden: %s\n\n",
            c->use_when, c->skip_when, c->trade_offs, c->upkeep);
    if (s->whole) print_how(s, out);
}

void page_table(const struct summary *s, const char *folder, FILE *out) {
    print_results(s, out);
    print_pictures(s, folder, out);
    fprintf(out, "\n%s, %d cores; Lockstep %s, %s; %d pairs, %d seeds: [how it was measured](%s%s.md).\n",
            s->record->processor, s->record->cores, s->record->build, s->record->date, s->pairs, s->seeds, folder,
            s->c->name);
}

static void print_index_row(const struct summary *s, FILE *out) {
    const struct bench_case *c = s->c;
    fprintf(out, "| [%s](%s.md) | ", c->title, c->name);
    if (s->failure[0])
        fprintf(out, "failed: %s | | | | ", s->failure);
    else
        fprintf(out, "%s | %s | %s | %s | ", planned_percent(s).s, percent(&s->memory).s, percent(&s->faster).s,
                loss_percent(&s->better).s);
    fprintf(out, "%d, %d | %s, %s |\n", s->pairs, s->seeds, s->record->build, s->record->date);
}

void page_index(const struct summary *summaries, int count, int only_chosen, FILE *out) {
    const struct record *last = NULL;
    for (int i = 0; i < count; i++)
        if (summaries[i].record->count && (!last || strcmp(summaries[i].record->date, last->date) >= 0))
            last = summaries[i].record;
    fprintf(out, "# Every optimization against its baseline\n\n");
    if (last)
        fprintf(out, "%s, %d cores, %s, backend %s%s.\n\n", last->processor, last->cores, last->system, last->backend,
                last->quick ? "; quick: few tokens" : "");
    fprintf(out,
            "| Optimization | Memory, planned | Memory, measured | Speed | Validation loss | Pairs, seeds | Lockstep "
            "|\n|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < count; i++)
        if (summaries[i].record->count && (summaries[i].c->chosen || !only_chosen)) print_index_row(&summaries[i], out);
    fprintf(out,
            "\nOptimized against baseline: negative is less. In brackets the 99%% interval of the ratio (loss: of the "
            "difference); \"within noise\" is what chance explains, or below 2%% of speed, 1%% of memory, 0.1%% of "
            "loss.\n");
}
