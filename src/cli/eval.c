#include <math.h>
#include <stdio.h>

#include "base/check.h"
#include "cli/cli.h"
#include "data/dataset.h"
#include "run/run.h"

static const char usage[] =
    "lockstep eval CKPT --data FILE [--batches N] [--seq-len N] [--backend B]\n"
    "\n"
    "Prints the mean loss of a text under the weights of a checkpoint (or of a run's newest one), window by window.\n"
    "\n"
    "  --data FILE     a text, which the checkpoint's tokenizer encodes; token files; or stories:BYTES:SEED. 'val' is "
    "the\n"
    "                  validation part of the run's own data (default)\n"
    "  --tokenizer T   a tokenizer.json, where the checkpoint does not say what its model was trained with\n"
    "  --batches N     only N evenly spread batches (default: all of the text)\n"
    "  --seq-len N     windows of N tokens, with RoPE also more than the model was trained on (default: as in "
    "training)\n"
    "  --backend B     what computes: auto (default), cpu or cuda; losses differ in their last digits\n"
    "\n"
    "Example: lockstep eval runs/shakespeare --data val\n";

enum { OPT_DATA = 256, OPT_BATCHES, OPT_TOKENIZER, OPT_SEQ_LEN, OPT_BACKEND, OPT_HELP };

static const struct option options[] = {
    {"data", required_argument, NULL, OPT_DATA},
    {"batches", required_argument, NULL, OPT_BATCHES},
    {"tokenizer", required_argument, NULL, OPT_TOKENIZER},
    {"seq-len", required_argument, NULL, OPT_SEQ_LEN},
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct request {
    const char *checkpoint, *data, *tokenizer, *backend;
    int64_t batches, seq_len;
};

/* What is evaluated. */
struct subject {
    struct dataset data; /* the run's own, or nothing but a source in data.val */
    struct tokenizer *tokenizer;
    struct windows windows;
    struct run run;
};

/* The text is encoded, or its tokens are compared, with the tokenizer that the model was trained with. */
static int open_named(struct subject *s, const struct config *config, const char *checkpoint, const char *tokenizer,
                      const char *spec) {
    TRY(tokenizer ? tokenizer_open(tokenizer, &s->tokenizer) : run_tokenizer(checkpoint, &s->tokenizer));
    TRY(source_open(&s->data.val, spec, s->tokenizer));
    TRY(source_check_length(&s->data.val, config->train.seq_len));
    return source_check_vocab(&s->data.val, config->model.vocab);
}

static int open_own(struct subject *s, const struct config *config) {
    const struct dataset_options own = run_dataset_options(config);
    TRY(dataset_open(&s->data, &own));
    return s->data.val.count ? 0
                             : fail(STATUS_USAGE, "the run has no validation data (data.val); name a text with --data");
}

static int open_subject(struct subject *s, const struct config *config, struct comm *comm, const char *path,
                        const struct request *request) {
    struct plan_request plan = {.segments = 1u << SEG_EVAL,
                                .ranks = 1,
                                .batch = (int)config->train.micro_batch,
                                .time = (int)config->train.seq_len};
    TRY(request->data ? open_named(s, config, path, request->tokenizer, request->data) : open_own(s, config));
    /* A text whose documents' ends are not known is one document. */
    enum documents documents = s->data.val.end_of_text < 0 ? JOINED : run_documents(config);
    TRY(windows_open(&s->windows, &s->data.val, config->train.seq_len, documents));
    TRY(run_open(&s->run, config, &plan, comm, NULL));
    return run_load(&s->run, path);
}

/* RoPE has no table that ends, so it can be asked about longer sequences than it was trained on; how well it answers is what
 * the evaluation shows. */
static int set_window(struct config *config, int64_t seq_len) {
    if (!seq_len) return 0;
    int64_t context = config->model.context;
    if (config->model.position != POSITION_ROPE && seq_len > context)
        return fail(STATUS_USAGE, "--seq-len: %lld, but this model has learned positions for %lld tokens only",
                    (long long)seq_len, (long long)context);
    if (seq_len > context) config->model.context = seq_len;
    config->train.seq_len = seq_len;
    return 0;
}

static int evaluate(const struct request *request) {
    char path[2048];
    struct config config;
    struct comm comm = {.transport = &transport_self, .size = 1, .local_size = 1};
    struct subject subject = {0};
    double loss = NAN;
    int64_t tokens = 0;
    TRY(run_find_checkpoint(request->checkpoint, path, sizeof path));
    TRY(run_config_here(path, request->backend, &config));
    TRY(set_window(&config, request->seq_len));
    int status = open_subject(&subject, &config, &comm, path, request);
    const struct source *val = &subject.data.val;
    if (!status) status = run_evaluate(&subject.run, &subject.windows, request->batches, NULL, &loss, &tokens);
    if (!status) {
        printf("checkpoint %s\ntext       %s\ntokens     %lld\nloss       %.6f nats a token (%.6f bits), %a\n", path,
               val->name, (long long)tokens, loss, loss / M_LN2, loss);
        if (val->floor_nats >= 0)
            printf("floor      %.6f nats a token: the exact information in this text\n", val->floor_nats);
    }
    run_close(&subject.run);
    windows_close(&subject.windows);
    dataset_close(&subject.data);
    tokenizer_close(subject.tokenizer);
    return status;
}

int cli_eval(int argc, char **argv) {
    struct request request = {0};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("eval", argv);
        if (c == OPT_HELP) return fputs(usage, stdout) < 0;
        if (c == OPT_DATA) request.data = optarg;
        if (c == OPT_BACKEND) request.backend = optarg;
        if (c == OPT_TOKENIZER) request.tokenizer = optarg;
        if (c == OPT_SEQ_LEN) TRY(cli_whole("--seq-len", optarg, 1, 1048576, &request.seq_len));
        if (c == OPT_BATCHES) TRY(cli_whole("--batches", optarg, 1, INT64_MAX, &request.batches));
    }
    if (optind != argc - 1)
        return fail(STATUS_USAGE, "lockstep eval: give one checkpoint or run folder; see 'lockstep eval --help'");
    request.checkpoint = argv[optind];
    if (request.data && request.data[0] == 'v' && request.data[1] == 'a' && request.data[2] == 'l' && !request.data[3])
        request.data = NULL;
    return evaluate(&request);
}
