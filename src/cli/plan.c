#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/ckpt.h"
#include "cli/cli.h"
#include "cli/flags.h"
#include "infer/generate.h"
#include "model/model.h"

static const char usage[] =
    "lockstep plan CONFIG.yaml [options]\n"
    "\n"
    "Prints what a training step will do and take, before anything runs: memory, operations, bytes on the network.\n"
    "\n"
    "  --explain         every op and buffer, as a hand-written forward and backward would read\n"
    "  --generate        the plan of 'lockstep generate' instead: prefill and decode\n"
    "  --ranks N         as one of N ranks (default 1)\n"
    "  --rank R          which of them (default 0)\n"
    "  --json            numbers as JSON\n"
    "  --set KEY=VALUE   override a key of the config; may be given again; so do the short names of 'lockstep train "
    "--help'\n"
    "\n"
    "Example: lockstep plan configs/gpt2-124m.yaml --ranks 3 --explain | less\n";

enum { OPT_SET = 256, OPT_EXPLAIN, OPT_GENERATE, OPT_RANKS, OPT_RANK, OPT_JSON, OPT_HELP };

static const struct option own_options[] = {
    {"set", required_argument, NULL, OPT_SET},     {"explain", no_argument, NULL, OPT_EXPLAIN},
    {"generate", no_argument, NULL, OPT_GENERATE}, {"ranks", required_argument, NULL, OPT_RANKS},
    {"rank", required_argument, NULL, OPT_RANK},   {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},         {NULL, 0, NULL, 0},
};

/* The same plan with each ZeRO stage that its config allows. */
static int build_stages(const struct config *config, const struct plan_request *request,
                        struct plan *stages[ZERO_STAGES]) {
    for (int z = 0; z < ZERO_STAGES; z++) {
        struct config other = *config;
        other.dist.zero = z;
        if (config_check(&other)) continue;
        TRY(plan_build(&other, request, model_forward, &stages[z]));
    }
    return 0;
}

static int print(const struct config *config, const struct plan_request *request, int explain, int json) {
    struct plan *plan, *stages[ZERO_STAGES] = {NULL};
    int compare = request->ranks > 1 && request->segments & 1u << SEG_MICRO_FIRST;
    TRY(plan_build(config, request, model_forward, &plan));
    int status = compare ? build_stages(config, request, stages) : 0;
    if (!status && json) status = plan_json(plan, config, compare ? stages : NULL, stdout);
    if (!status && !json) plan_summary(plan, config, compare ? stages : NULL, ckpt_save_bytes(request->ranks), stdout);
    if (!status && explain && !json) {
        putchar('\n');
        plan_explain(plan, stdout);
    }
    for (int z = 0; z < ZERO_STAGES; z++) plan_free(stages[z]);
    plan_free(plan);
    return status;
}

int cli_plan(int argc, char **argv) {
    struct config config;
    int64_t ranks = 1, rank = 0;
    int explain = 0, json = 0, generate = 0;
    struct option options[CLI_FLAGS_ROOM];
    TRY(cli_add_flags(own_options, options));
    config_defaults(&config);
    opterr = 0;
    for (int pass = 0; pass < 2; pass++) { /* the file first, then what overrides it */
        optind = 1;
        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
            if (c == '?') return cli_bad_option("plan", argv);
            if (c == OPT_HELP) return fputs(usage, stdout) < 0;
            if (c == OPT_EXPLAIN) explain = 1;
            if (c == OPT_JSON) json = 1;
            if (c == OPT_GENERATE) generate = 1;
            if (c == OPT_RANKS) TRY(cli_whole("--ranks", optarg, 1, 65536, &ranks));
            if (c == OPT_RANK) TRY(cli_whole("--rank", optarg, 0, 65535, &rank));
            if (c == OPT_SET && pass) TRY(cli_set(&config, optarg));
            if (pass) TRY(cli_take_flag(c, optarg, &config));
        }
        if (optind != argc - 1)
            return fail(STATUS_USAGE, "lockstep plan: give one CONFIG.yaml; see 'lockstep plan --help'");
        if (!pass) TRY(config_load(&config, argv[optind]));
    }
    TRY(config_check(&config));
    if (rank >= ranks)
        return fail(STATUS_USAGE, "--rank: %lld, but ranks count from 0 to %lld", (long long)rank,
                    (long long)ranks - 1);
    struct plan_request request = {.segments = 1u << SEG_MICRO_FIRST | 1u << SEG_EVAL,
                                   .rank = (int)rank,
                                   .ranks = (int)ranks,
                                   .batch = (int)config.train.micro_batch,
                                   .time = (int)config.train.seq_len};
    if (generate) {
        request.segments = 1u << SEG_PREFILL;
        request.batch = 1;
        request.prefill = generate_prefill(&config);
    }
    return print(&config, &request, explain, json);
}
