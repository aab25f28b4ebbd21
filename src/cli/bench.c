/* lockstep bench: the op lab; hands on to the cases and to comparisons. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/whole_file.h"
#include "bench/lab_report.h"
#include "build_info.h"
#include "cli/cli.h"
#include "cli/flags.h"

static const char usage[] =
    "lockstep bench CONFIG.yaml [options]   where the time of one training step goes, op by op\n"
    "lockstep bench --ops [options]         every kernel at GPT-2's shapes\n"
    "lockstep bench --cases DIR [options]   every optimization against its baseline: see bench/run_all --help\n"
    "lockstep bench --compare OLD NEW       what moved between two folders of results\n"
    "\n"
    "The first two measure the machine's ceilings first (matrix products, copies of memory) and print Markdown.\n"
    "\n"
    "  --rounds N        rounds that count (default 5); one more warms up\n"
    "  --json FILE       write the figures there as well\n"
    "  --against FILE    show what an earlier --json FILE has beside\n"
    "  --set KEY=VALUE   override a key of the config; may be given again; so do the short names of 'lockstep train "
    "--help'\n"
    "\n"
    "Examples:\n"
    "  OMP_NUM_THREADS=2 lockstep bench configs/gpt2-124m.yaml --set train.slots=1 --set train.seq_len=64\n"
    "  lockstep bench --ops --json ops.json\n";

enum { OPT_SET = 256, OPT_OPS, OPT_ROUNDS, OPT_JSON, OPT_AGAINST, OPT_HELP };

static const struct option own_options[] = {
    {"set", required_argument, NULL, OPT_SET},
    {"ops", no_argument, NULL, OPT_OPS},
    {"rounds", required_argument, NULL, OPT_ROUNDS},
    {"json", required_argument, NULL, OPT_JSON},
    {"against", required_argument, NULL, OPT_AGAINST},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

enum { LABS = 7 };

struct request {
    struct config config;
    int ops;
    int64_t rounds;
    const char *json, *against;
};

/* GPT-2's shapes; all blocks are alike, so one is enough. */
static int ops_config(struct config *config) {
    static const char *const settings[][2] = {
        {"model.layers", "1"},      {"model.width", "768"},    {"model.heads", "12"},
        {"model.vocab", "50257"},   {"model.context", "1024"}, {"train.slots", "4"},
        {"train.micro_batch", "4"}, {"name", "gpt2-shapes"},   {"train.seq_len", "1024"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        TRY(config_set(config, settings[i][0], settings[i][1], "bench --ops"));
    return 0;
}

static int parse(int argc, char **argv, struct request *request) {
    struct option options[CLI_FLAGS_ROOM];
    TRY(cli_add_flags(own_options, options));
    opterr = 0;
    for (int pass = 0; pass < 2; pass++) { /* the file first, then what overrides it */
        optind = 1;
        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
            if (c == '?') return cli_bad_option("bench", argv);
            if (c == OPT_OPS) request->ops = 1;
            if (c == OPT_JSON) request->json = optarg;
            if (c == OPT_AGAINST) request->against = optarg;
            if (c == OPT_ROUNDS) TRY(cli_whole("--rounds", optarg, 1, 1000, &request->rounds));
            if (c == OPT_SET && pass) TRY(cli_set(&request->config, optarg));
            if (pass) TRY(cli_take_flag(c, optarg, &request->config));
        }
        if (optind != argc - !request->ops)
            return fail(STATUS_USAGE, "lockstep bench: give one CONFIG.yaml, or --ops; see 'lockstep bench --help'");
        if (!pass) TRY(request->ops ? ops_config(&request->config) : config_load(&request->config, argv[optind]));
    }
    return config_check(&request->config);
}

static int measure_ops(const struct request *request, struct lab labs[LABS], int *count) {
    struct config shorter = request->config;
    shorter.train.seq_len = shorter.train.seq_len < 64 ? shorter.train.seq_len : 64;
    struct config modern = request->config, naive = request->config, half = request->config;
    modern.model.norm = NORM_RMSNORM;
    modern.model.position = POSITION_ROPE;
    modern.model.ffn = FFN_SWIGLU;
    modern.model.hidden = (8 * modern.model.width / 3 + 63) / 64 * 64;
    modern.model.kv_heads = modern.model.heads % 4 ? 1 : modern.model.heads / 4;
    struct config turned = modern;
    turned.train.seq_len = shorter.train.seq_len;
    modern.model.qk_norm = 1;
    modern.model.logit_softcap = 30;
    modern.fuse.loss = modern.fuse.swiglu = 0;
    naive.model.attention = ATTENTION_NAIVE;
    naive.fuse.head = 1;
    naive.fuse.norm = naive.fuse.gelu = 0;
    half.train.precision = PRECISION_BF16;
    TRY(config_check(&modern));
    const struct lab_request wanted[LABS] = {
        {.name = "training, 64 tokens a sequence", .config = &shorter, .ranks = 2},
        {.name = "training, long sequences", .config = &request->config, .ranks = 2},
        {.name = "the same with RMSNorm, RoPE, SwiGLU, fewer heads of keys, QK-norm, soft-capped logits, SwiGLU and "
                 "the loss in parts",
         .config = &modern,
         .ranks = 2},
        {.name = "RMSNorm, RoPE, SwiGLU and fewer heads of keys, fused, 64 tokens a sequence",
         .config = &turned,
         .ranks = 2},
        {.name = "GPT-2 again, with naive attention, the head in chunks and no fused norms and activations",
         .config = &naive,
         .ranks = 2},
        {.name = "training in bf16, long sequences", .config = &half, .ranks = 2},
        {.name = "generation: a prompt and the last token of the context",
         .config = &request->config,
         .ranks = 1,
         .generate = 1},
    };
    for (*count = 0; *count < LABS; ++*count) {
        struct lab_request one = wanted[*count];
        one.rounds = (int)request->rounds;
        fprintf(stderr, "bench: %s …\n", one.name);
        int status = lab_measure(&one, &labs[*count]);
        if (status) lab_free(&labs[*count]);
        TRY(status);
    }
    return 0;
}

static int measure(const struct request *request, struct lab labs[LABS], int *count) {
    if (request->ops) return measure_ops(request, labs, count);
    struct lab_request step = {
        .name = request->config.name, .config = &request->config, .ranks = 1, .rounds = (int)request->rounds};
    *count = 1;
    return lab_measure(&step, labs);
}

static int read_json(const char *path, cJSON **json) {
    char *text;
    int64_t length;
    TRY(whole_file_read(path, &text, &length));
    if (!text) return fail(STATUS_USAGE, "--against: there is no %s", path);
    *json = cJSON_Parse(text);
    free(text);
    return *json ? 0 : fail(STATUS_BAD_DATA, "--against: %s is not what 'lockstep bench --json' writes", path);
}

static int write_json(const struct lab_page *page, const char *path) {
    cJSON *json = lab_report_json(page);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    int status = text ? whole_file_write(path, text, (int64_t)strlen(text)) : fail(STATUS_FAILED, "out of memory");
    cJSON_free(text);
    return status;
}

static int run_lab(const struct request *request) {
    struct lab labs[LABS] = {0};
    const struct backend *backend;
    struct ceilings ceilings = {0};
    struct machine machine;
    cJSON *against = NULL;
    int count = 0;
    TRY(backend_choose(request->config.backend, NULL, &backend));
    if (request->against) TRY(read_json(request->against, &against));
    machine_read(&machine);
    lab_ceilings(backend, &ceilings);
    int status = measure(request, labs, &count);
    lab_ceilings(backend, &ceilings);
    const struct lab_page page = {&machine, BUILD_ID, &ceilings, labs, count, against};
    if (!status) lab_report_print(&page, stdout);
    if (!status && request->json) status = write_json(&page, request->json);
    for (int i = 0; i < count; i++) lab_free(&labs[i]);
    cJSON_Delete(against);
    return status;
}

int cli_bench(int argc, char **argv) {
    struct request request = {.rounds = 5};
    if (argc > 1 && !strcmp(argv[1], "--cases")) return cli_bench_cases(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "--compare")) return cli_bench_compare(argc, argv);
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    config_defaults(&request.config);
    TRY(parse(argc, argv, &request));
    return run_lab(&request);
}
