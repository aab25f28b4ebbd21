/* Cases, records and pages of the benchmark. */
#include "scratch.h"

#include <math.h>
#include <sys/stat.h>

#include "bench/case.h"
#include "bench/compare.h"
#include "bench/lines.h"
#include "bench/page.h"
#include "bench/svg.h"

#define TEXTS "title: T\nuse_when: u\nskip_when: s\ntrade_offs: o\nupkeep: k\nconfig: c.yaml\n"

static int load(struct bench_case *c, const char *more) {
    char text[2000];
    snprintf(text, sizeof text, "%s%s", TEXTS, more);
    write_text("c.yaml", "train: {micro_batch: 5}\n");
    write_text("one.yaml", text);
    return case_load(c, "one.yaml", ".");
}

static void cases_are_read(void **state) {
    (void)state;
    struct bench_case c;
    struct config config;
    must(load(&c, "set: {train.slots: 2}\nbaseline: {set: {train.betas: [0.8, 0.9], train.clip: 0}, ranks: 2}\n"
                  "optimized: {set: {data.train: ['0.5 a', '0.5 b']}}\nseeds: [7, 8]\ntokens: 5000\nhours: 1.5\n"));
    assert_string_equal(c.name, "one");
    assert_int_equal(c.n_seeds, 2);
    assert_int_equal(c.seeds[1], 8);
    assert_int_equal(c.side[BASELINE].ranks, 2);
    must(case_config(&c, BASELINE, 1, ".", &config));
    assert_int_equal(config.train.micro_batch, 5);
    assert_int_equal(config.train.slots, 2);
    assert_float_equal(config.train.betas[1], 0.9, 0);
    assert_float_equal(config.train.clip, 0, 0);
    must(case_config(&c, OPTIMIZED, 1, ".", &config));
    assert_float_equal(config.train.clip, 1, 0);
    assert_string_equal(config.data.train, "0.5 a, 0.5 b");
}

static void wrong_cases_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } wrong[] = {
        {"tokns: 5\n", "one.yaml:7: unknown key 'tokns'; did you mean 'tokens'?"},
        {"baseline: {ste: {}}\n", "unknown key 'baseline.ste'; did you mean 'baseline.set'?"},
        {"baseline: {set: {train.slot: 1}}\n",
         "case one, baseline: unknown key 'train.slot'; did you mean 'train.slots'?"},
        {"optimized: {set: {train.slots: 0}}\n", "case one, optimized: train.slots: 0 is out of range"},
        {"optimized: {set: {model.heads: 3}}\n", "case one, optimized: model.heads: 3 does not divide model.width"},
        {"optimized: {set: {train: {slots: 2}}}\n", "write keys with their sections"},
        {"set: 5\n", "a map of keys to values"},
        {"seeds: [1, 1]\n", "seeds: 1 is there twice"},
        {"set: {train.slots: 1, train.slots: 2}\n", "set: 'train.slots' is given a second time"},
        {"expected: {speed: a|b}\n", "expected.speed: a table's cell has no '|'"},
        {"optimized: {set: {train.micro_batch: 9}}\n", "train.eval_batches counts micro-batches"},
        {"optimized: {set: {data.val: 0.2}}\n", "both sides need the same data.val"},
        {"quick_tokens: 100\n", "100 tokens are less than 4 steps"},
        {"seeds: [1, x]\n", "seeds: '1, x' is not a list of whole numbers"},
        {"files: [nothing/*.c]\n", "files: nothing is found for ./nothing/*.c"},
        {"config: other.yaml\n", "'config' is given a second time"},
        {"tokens: -1\n", "tokens: -1 is out of range"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct bench_case c;
        assert_int_equal(load(&c, wrong[i].text), STATUS_USAGE);
        says(wrong[i].words);
    }
    struct bench_case c;
    write_text("one.yaml", "title: T\nconfig: c.yaml\nskip_when: s\ntrade_offs: o\nupkeep: k\n");
    assert_int_equal(case_load(&c, "one.yaml", "."), STATUS_USAGE);
    says("use_when: is missing");
    write_text("one.txt", TEXTS);
    assert_int_equal(case_load(&c, "one.txt", "."), STATUS_USAGE);
}

static void folders_of_cases(void **state) {
    (void)state;
    struct bench_case *cases;
    int count;
    mkdir("cases", 0777);
    write_text("c.yaml", "name: c\n");
    write_text("cases/b.yaml", TEXTS);
    write_text("cases/a.yaml", TEXTS);
    must(case_load_all("cases", ".", NULL, &cases, &count));
    assert_int_equal(count, 2);
    assert_string_equal(cases[0].name, "a");
    assert_true(cases[0].chosen && cases[1].chosen);
    free(cases);
    must(case_load_all("cases", ".", "b", &cases, &count));
    assert_true(!cases[0].chosen && cases[1].chosen);
    free(cases);
    assert_int_equal(case_load_all("cases", ".", "a,c", &cases, &count), STATUS_USAGE);
    says("there is no case 'c'");
    free(cases);
    assert_int_equal(case_load_all("nothing", ".", NULL, &cases, &count), STATUS_USAGE);
    free(cases);
}

static void lines_of_code(void **state) {
    (void)state;
    int64_t lines;
    write_text("x.c", "/* a\n b */\nint x; /* c */\n\n// d\n#include <e.h>\n  /* f */ int y;\n");
    write_text("y.sh", "#!/bin/sh\n# a\necho b # c\n\n");
    must(lines_of_files("x.c", ".", &lines));
    assert_int_equal(lines, 3);
    must(lines_of_files("x.c, y.sh", ".", &lines));
    assert_int_equal(lines, 4);
    must(lines_of_files("", ".", &lines));
    assert_int_equal(lines, 0);
}

static struct bench_run a_run(enum side side, int pair, double step_s) {
    struct bench_run run = {.side = side,
                            .pair = pair,
                            .seed = 100 + pair,
                            .for_loss = pair < 3,
                            .steps = 50,
                            .tokens_per_step = 1000,
                            .step_s = step_s,
                            .least = step_s / 2,
                            .most = step_s * 2,
                            .train_s = 50 * step_s,
                            .planned_bytes = side == BASELINE ? 4 << 20 : 2 << 20,
                            .peak_bytes = side == BASELINE ? 8 << 20 : 6 << 20,
                            .val_loss = pair < 3 ? 2 + 0.01 * pair : NAN,
                            .points = pair < 3 ? 2 : 0,
                            .curve = {{25000, 25 * step_s, 3}, {50000, 50 * step_s, 2 + 0.01 * pair}}};
    return run;
}

/* Five pairs in which the optimized side takes half the time. */
static void make_record(struct record *r, double baseline_s) {
    memset(r, 0, sizeof *r);
    snprintf(r->name, sizeof r->name, "one");
    snprintf(r->key, sizeof r->key, "0123456789abcdef");
    snprintf(r->processor, sizeof r->processor, "a \"processor\"");
    for (int pair = 0; pair < 5; pair++)
        for (int side = 0; side < SIDES; side++) {
            double wobble = 1 + 0.002 * ((pair * 7 + side * 3) % 5);
            struct bench_run run = a_run((enum side)side, pair, baseline_s * wobble * (side == BASELINE ? 1 : 0.5));
            must(record_add(r, &run));
        }
}

static void records_come_back(void **state) {
    (void)state;
    struct record r, back;
    mkdir("results", 0777);
    mkdir("results/raw", 0777);
    must(record_load(&back, "results", "one"));
    assert_int_equal(back.count, 0);
    make_record(&r, 0.1);
    must(record_save(&r, "results"));
    must(record_load(&back, "results", "one"));
    assert_int_equal(back.count, 10);
    assert_string_equal(back.key, r.key);
    assert_string_equal(back.processor, r.processor);
    for (int i = 0; i < back.count; i++) {
        struct bench_run *x = &r.runs[i], *y = &back.runs[i];
        assert_int_equal(isnan(x->val_loss), isnan(y->val_loss));
        x->val_loss = y->val_loss = 0;
        for (int p = 0; p < x->points; p++)
            for (int k = 0; k < 3; k++) { /* pictures need no more than 15 digits */
                assert_true(fabs(x->curve[p][k] - y->curve[p][k]) <= 1e-14 * fabs(x->curve[p][k]));
                x->curve[p][k] = y->curve[p][k];
            }
        if (!x->points) memcpy(x->curve, y->curve, sizeof x->curve); /* not kept */
        assert_memory_equal(x, y, sizeof *x);
    }
    struct bench_run again = r.runs[3];
    again.step_s = 9;
    must(record_add(&back, &again)); /* takes the other's place */
    assert_int_equal(back.count, 10);
    assert_float_equal(record_find(&back, again.side, again.pair)->step_s, 9, 0);
    snprintf(again.failure, sizeof again.failure, "broke");
    must(record_add(&back, &again));
    assert_null(record_find(&back, again.side, again.pair));
    record_free(&r);
    record_free(&back);
    write_text("results/raw/one.json", "{\"case\": 5}");
    assert_int_equal(record_load(&back, "results", "one"), STATUS_BAD_DATA);
    says("results/raw/one.json: (remove it to measure anew)");
    record_free(&back);
    write_text("results/raw/one.json", "no");
    assert_int_equal(record_load(&back, "results", "one"), STATUS_BAD_DATA);
    record_free(&back);
}

static void summaries_and_pages(void **state) {
    (void)state;
    struct bench_case c;
    struct record r;
    struct summary s;
    char *text = NULL;
    size_t length;
    must(load(&c, "expected: {speed: twice}\nhours: 2\n"));
    c.chosen = 1;
    make_record(&r, 0.1);
    summarize(&s, &c, &r);
    assert_int_equal(s.pairs, 5);
    assert_int_equal(s.seeds, 3);
    assert_int_equal(s.faster.verdict, VERDICT_MORE);
    assert_true(fabs(s.faster.ratio - 2) < 0.02);
    assert_int_equal(s.memory.verdict, VERDICT_LESS);
    assert_true(s.better.equal);
    assert_true(difference_known(&s.faster));
    FILE *f = open_memstream(&text, &length);
    page_case(&s, f);
    fclose(f);
    assert_non_null(strstr(text, "## Optimization: T\n"));
    assert_non_null(strstr(text, "- Time: 2 hours\n"));
    assert_non_null(strstr(text, "| Memory, planned (MiB) | 4.00 | 2.00 | -50.0% |"));
    assert_non_null(strstr(text, "the same bits"));
    assert_non_null(strstr(text, "| twice |"));
    free(text);
    mkdir("docs", 0777);
    mkdir("results", 0777);
    write_text("docs/one.md", "# One\n<!-- measured -->\nold\n<!-- end -->\nrest\n");
    must(pages_write(&s, "results", "docs"));
    must(pages_write(&s, "results", "docs")); /* again: the same page */
    f = fopen("docs/one.md", "r");
    char page[8000] = {0};
    assert_true(fread(page, 1, sizeof page - 1, f) > 0);
    fclose(f);
    assert_non_null(strstr(page, "# One\n<!-- measured -->\n| Metric |"));
    assert_non_null(strstr(page, "<!-- end -->\nrest\n"));
    assert_null(strstr(page, "old"));
    assert_null(strstr(strstr(page, "| Metric |") + 1, "| Metric |"));
    write_text("docs/one.md", "no marks\n");
    assert_int_equal(pages_write(&s, "results", "docs"), STATUS_FAILED);
    says("<!-- measured -->");
    snprintf(r.runs[0].failure, sizeof r.runs[0].failure, "exit status 1: broke");
    summarize(&s, &c, &r);
    assert_string_equal(s.failure, "baseline, pair 1, seed 100: exit status 1: broke");
    f = open_memstream(&text, &length);
    page_index(&s, 1, 1, f);
    fclose(f);
    assert_non_null(strstr(text, "failed: baseline, pair 1, seed 100: exit status 1: broke"));
    free(text);
    record_free(&r);
}

static void what_moved(void **state) {
    (void)state;
    struct record r;
    char *text = NULL;
    size_t length;
    static const char *const folders[] = {"old", "old/raw", "new", "new/raw", "same", "same/raw"};
    for (int i = 0; i < 6; i++) mkdir(folders[i], 0777);
    make_record(&r, 0.1);
    must(record_save(&r, "old"));
    must(record_save(&r, "same"));
    record_free(&r);
    make_record(&r, 0.12);
    r.runs[1].val_loss += 0.5;
    must(record_save(&r, "new"));
    record_free(&r);
    FILE *f = open_memstream(&text, &length);
    must(compare_folders("old", "same", f));
    fclose(f);
    assert_non_null(
        strstr(text, "8 figures of 1 cases compared, 0 moved, 0 with too few runs, or too noisy, to tell."));
    free(text);
    f = open_memstream(&text, &length);
    must(compare_folders("old", "new", f));
    fclose(f);
    assert_non_null(strstr(text, "| one | baseline | speed, tok/s |"));
    assert_non_null(strstr(text, "2 moved, 1 with"));
    free(text);
    make_record(&r, 0.1);
    r.tokens = 7;
    must(record_save(&r, "new"));
    record_free(&r);
    assert_int_equal(compare_folders("old", "new", stderr), STATUS_USAGE); /* other tokens: nothing to compare */
    assert_int_equal(compare_folders("old", "docs", stderr), STATUS_USAGE);
}

/* Every element is closed, and no number is nan or inf. */
static void check_svg(const char *text) {
    int open = 0;
    for (const char *p = text; *p; p++) {
        if (*p != '<') continue;
        const char *end = strchr(p, '>');
        assert_non_null(end);
        open += p[1] == '/' ? -1 : end[-1] == '/' ? 0 : 1;
    }
    assert_int_equal(open, 0);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_non_null(strstr(text, "a &lt; b &amp; c"));
}

static void pictures(void **state) {
    (void)state;
    const double x[] = {0, 1, 2, 3}, y[] = {5, NAN, 4, INFINITY}, flat[] = {2, 2, 2, 2};
    const struct line lines[] = {{0, 1, 4, x, y}, {1, 0, 4, x, flat}};
    struct plot plot = {"a < b & c", "x", "y", {"one", "two"}, lines, 2};
    const struct bar bars[] = {{"a", 0, 5}, {"b", 1, NAN}};
    for (plot.count = 0; plot.count <= 2; plot.count++) {
        char *text = NULL;
        size_t length;
        FILE *f = open_memstream(&text, &length);
        svg_plot(&plot, f);
        fclose(f);
        check_svg(text);
        free(text);
    }
    char *text = NULL;
    size_t length;
    FILE *f = open_memstream(&text, &length);
    svg_bars("a < b & c", "MiB", bars, 2, f);
    fclose(f);
    check_svg(text);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_are_read),    cmocka_unit_test(wrong_cases_are_refused),
        cmocka_unit_test(folders_of_cases),  cmocka_unit_test(lines_of_code),
        cmocka_unit_test(records_come_back), cmocka_unit_test(summaries_and_pages),
        cmocka_unit_test(what_moved),        cmocka_unit_test(pictures),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
