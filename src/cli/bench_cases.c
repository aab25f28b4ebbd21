/* lockstep bench --cases: every optimization against its baseline; --compare: what moved between two folders of results. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "bench/compare.h"
#include "bench/suite.h"
#include "build_info.h"
#include "cli/cli.h"

static const char usage[] =
    "bench/run_all [options]        measures every optimization against its baseline and writes pages about them\n"
    "bench/compare OLD NEW          what moved between two folders of results, beyond the spread\n"
    "\n"
    "The same as 'lockstep bench --cases DIR --root DIR' and 'lockstep bench --compare OLD NEW'.\n"
    "\n"
    "Baseline and optimized run in turns. What is done is kept: stopped and started again, it goes on. Without --quick "
    "all\n"
    "takes hours.\n"
    "\n"
    "  --list            the cases\n"
    "  --only NAME,…     only these\n"
    "  --quick           few tokens and seeds: minutes instead of hours\n"
    "  --backend NAME    cpu (default: as the configs say)\n"
    "  --ranks N         under mpirun, on N ranks, where a case does not say how many (default 1)\n"
    "  --seeds N         so many seeds for the loss (default: all that a case has; with --quick 3)\n"
    "  --again           measure what is measured already\n"
    "  --docs            put the tables into docs/optimizations/NAME.md too\n"
    "  --machine NAME    the folder under bench/results (default: named after the processor)\n"
    "  --results DIR     instead of bench/results\n"
    "  --cases DIR       the folder of the cases; --root DIR is where the paths in them start\n"
    "  --program FILE    the lockstep to measure (default: this one)\n"
    "  --rest SECONDS    idle before each run: some machines slow down for a while after they were busy (default 0)\n"
    "  --limit SECONDS   a run that takes longer has failed (default 7200)\n"
    "  --help-case       the keys of a case's YAML\n"
    "\n"
    "Ends with 1 when a case failed (the table says why), with 75 when it was stopped.\n"
    "Examples: bench/run_all --quick\n"
    "          bench/run_all --only gradient-accumulation,weight-tying --docs\n"
    "          bench/compare bench/results/old bench/results/new\n";

enum {
    OPT_CASES = 256,
    OPT_ROOT,
    OPT_RESULTS,
    OPT_DOCS,
    OPT_MACHINE,
    OPT_ONLY,
    OPT_QUICK,
    OPT_BACKEND,
    OPT_RANKS,
    OPT_SEEDS,
    OPT_LIST,
    OPT_AGAIN,
    OPT_PROGRAM,
    OPT_LIMIT,
    OPT_REST,
    OPT_HELP_CASE,
    OPT_HELP
};

static const struct option options[] = {
    {"cases", required_argument, NULL, OPT_CASES},
    {"root", required_argument, NULL, OPT_ROOT},
    {"results", required_argument, NULL, OPT_RESULTS},
    {"docs", no_argument, NULL, OPT_DOCS},
    {"machine", required_argument, NULL, OPT_MACHINE},
    {"only", required_argument, NULL, OPT_ONLY},
    {"quick", no_argument, NULL, OPT_QUICK},
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"ranks", required_argument, NULL, OPT_RANKS},
    {"seeds", required_argument, NULL, OPT_SEEDS},
    {"list", no_argument, NULL, OPT_LIST},
    {"again", no_argument, NULL, OPT_AGAIN},
    {"program", required_argument, NULL, OPT_PROGRAM},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"rest", required_argument, NULL, OPT_REST},
    {"help-case", no_argument, NULL, OPT_HELP_CASE},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct request {
    struct suite_options suite;
    char root[2048], program[2048], results[2100], docs[2100];
    int list, docs_too;
    int64_t ranks, seeds, limit, rest;
};

static int take_option(int c, struct request *r) {
    struct suite_options *s = &r->suite;
    switch (c) {
    case OPT_CASES:
        s->cases = optarg;
        return 0;
    case OPT_ROOT:
        s->measure.root = optarg;
        return 0;
    case OPT_RESULTS:
        s->results = optarg;
        return 0;
    case OPT_MACHINE:
        s->machine = optarg;
        return 0;
    case OPT_ONLY:
        s->only = optarg;
        return 0;
    case OPT_BACKEND:
        s->measure.backend = optarg;
        return 0;
    case OPT_PROGRAM:
        s->measure.program = optarg;
        return 0;
    case OPT_RANKS:
        return cli_whole("--ranks", optarg, 1, 1024, &r->ranks);
    case OPT_SEEDS:
        return cli_whole("--seeds", optarg, 1, MOST_SEEDS, &r->seeds);
    case OPT_LIMIT:
        return cli_whole("--limit", optarg, 1, 1000000, &r->limit);
    case OPT_REST:
        return cli_whole("--rest", optarg, 0, 3600, &r->rest);
    default:
        r->docs_too |= c == OPT_DOCS;
        s->quick |= c == OPT_QUICK;
        s->again |= c == OPT_AGAIN;
        r->list |= c == OPT_LIST;
        return 0;
    }
}

/* Absolute, since runs start elsewhere. */
static int resolve(const char *path, const char *option, char out[2048]) {
    char *whole = realpath(path, NULL);
    if (!whole) return fail(STATUS_USAGE, "%s: there is no %s", option, path);
    snprintf(out, 2048, "%s", whole);
    free(whole);
    return 0;
}

static int fill(struct request *r) {
    struct suite_options *s = &r->suite;
    char self[2048];
    TRY(resolve(s->measure.root ? s->measure.root : ".", "--root", r->root));
    TRY(resolve("/proc/self/exe", "--program", self));
    TRY(resolve(s->measure.program ? s->measure.program : self, "--program", r->program));
    snprintf(r->results, sizeof r->results, "%s/bench/results", r->root);
    snprintf(r->docs, sizeof r->docs, "%s/docs/optimizations", r->root);
    s->measure.root = r->root;
    s->measure.program = r->program;
    s->measure.cores = omp_get_num_procs(); /* those that this process may use */
    s->measure.ranks = (int)r->ranks;
    s->measure.limit_s = (double)r->limit;
    s->measure.rest_s = (int)r->rest;
    s->seeds = (int)r->seeds;
    s->build = BUILD_ID;
    if (strcmp(r->program, self)) s->build = strrchr(r->program, '/') + 1; /* it may be of any version */
    if (r->docs_too && s->results)
        return fail(STATUS_USAGE, "--docs: pages in docs/ show what is in bench/results, not what --results names");
    if (s->machine && strchr(s->machine, '/')) return fail(STATUS_USAGE, "--machine: '%s' is not one name", s->machine);
    if (!s->results) s->results = r->results;
    if (r->docs_too) s->docs = r->docs;
    if (s->measure.backend) { /* an unknown name is an error now, not in every run */
        struct config config;
        config_defaults(&config);
        TRY(config_set(&config, "backend", s->measure.backend, "--backend"));
    }
    return 0;
}

int cli_bench_cases(int argc, char **argv) {
    struct request r = {.ranks = 1, .limit = 7200};
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("bench", argv);
        if (c == OPT_HELP) return fputs(usage, stdout) < 0;
        if (c == OPT_HELP_CASE) {
            case_help(stdout);
            return 0;
        }
        TRY(take_option(c, &r));
    }
    if (optind != argc)
        return fail(STATUS_USAGE, "bench/run_all: '%s' is not an option; --only NAME chooses a case", argv[optind]);
    TRY(fill(&r));
    return r.list ? suite_list(&r.suite, stdout) : suite_run(&r.suite, stdout);
}

int cli_bench_compare(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[2], "--help")) return fputs(usage, stdout) < 0;
    if (argc != 4)
        return fail(STATUS_USAGE, "bench/compare: give two folders that bench/run_all wrote, the older one first");
    return compare_folders(argv[2], argv[3], stdout);
}
