#include "infer/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/philox.h"
#include "run/run.h"
#include "tokenizer/tokenizer.h"

enum { LARGEST_PREFILL = 128, SAMPLE_SITE = 0x53414d50 };

struct generator {
    const struct generate_options *options;
    struct config config;
    struct comm comm; /* self */
    struct run run;
    struct tokenizer *tokenizer;
    int vocab;      /* ids that are drawn from: those that the model and the tokenizer have */
    struct ids ids; /* prompt and what was made; room for all was made before */
    int64_t start;  /* the first token that the model still sees, */
    int64_t cached; /* and how many from there are in the cache */
    char *raw;      /* one row of logits as the device has them */
    double *logits;
    struct candidate *order;
};

int generate_prefill(const struct config *config) {
    return config->model.context < LARGEST_PREFILL ? (int)config->model.context : LARGEST_PREFILL;
}

static int open_tokenizer(struct generator *g, const char *path) {
    int64_t model = g->config.model.vocab;
    TRY(g->options->tokenizer ? tokenizer_open(g->options->tokenizer, &g->tokenizer)
                              : run_tokenizer(path, &g->tokenizer));
    if (!g->tokenizer)
        return fail(STATUS_USAGE,
                    "%s: does not say which tokenizer the model was trained with; name it with --tokenizer (a "
                    "tokenizer.json, or bytes)",
                    path);
    int64_t known = tokenizer_vocab(g->tokenizer);
    g->vocab = (int)(known < model ? known : model);
    return 0;
}

static int open_model(struct generator *g, const char *checkpoint) {
    char path[2048];
    TRY(run_find_checkpoint(checkpoint, path, sizeof path));
    TRY(run_config_here(path, g->options->backend, &g->config));
    TRY(open_tokenizer(g, path));
    int context = (int)g->config.model.context;
    struct plan_request request = {.segments = 1u << SEG_PREFILL, .ranks = 1, .batch = 1, .time = context};
    request.prefill = generate_prefill(&g->config);
    if (g->options->no_cache) {
        request.segments = 1u << SEG_EVAL;
        request.keep_logits = 1;
    }
    TRY(run_open(&g->run, &g->config, &request, &g->comm, NULL));
    return run_load(&g->run, path);
}

static int read_prompt(struct generator *g) {
    const char *prompt = g->options->prompt;
    int64_t length = (int64_t)strlen(prompt), vocab = g->config.model.vocab;
    struct encoder *encoder;
    if (!length) return fail(STATUS_USAGE, "--prompt is empty; give the model at least one character to go on from");
    TRY(encoder_open(g->tokenizer, &encoder));
    int status = encoder_encode(encoder, prompt, length, 1, &g->ids);
    encoder_close(encoder);
    if (!status) status = ids_reserve(&g->ids, g->options->tokens);
    TRY(status);
    for (int64_t i = 0; i < g->ids.count; i++)
        if (g->ids.id[i] >= vocab)
            return fail(STATUS_USAGE, "--prompt: its token %lld is %d, outside the model's vocabulary of %lld",
                        (long long)i, g->ids.id[i], (long long)vocab);
    g->logits = calloc((size_t)vocab, sizeof *g->logits);
    g->raw = calloc((size_t)vocab, sizeof(double));
    g->order = calloc((size_t)vocab, sizeof *g->order);
    return g->logits && g->raw && g->order ? 0 : fail(STATUS_FAILED, "out of memory");
}

/* Reads row `row` of a segment's logits. */
static int read_logits(struct generator *g, enum segment segment, int64_t row) {
    struct run *run = &g->run;
    int buf = run->plan->logits[segment];
    enum dtype type = run->plan->bufs[buf].type;
    int64_t vocab = g->config.model.vocab, size = (int64_t)dtype_size(type);
    int64_t stride = config_vocab_rows(&g->config.model) * size;
    TRY(run->backend->wait(run->exec));
    TRY(run->backend->copy(run->exec, buf, row * stride, g->raw, vocab * size, COPY_TO_HOST));
    for (int64_t i = 0; i < vocab; i++) g->logits[i] = dtype_read(type, g->raw, i);
    return 0;
}

/* Runs `n` tokens from ids[from] through a segment whose shape takes `rows`. */
static int feed(struct generator *g, enum segment segment, int64_t from, int64_t n, int64_t rows) {
    struct run *run = &g->run;
    memset(run->batch.tokens, 0, (size_t)run->rows * sizeof(int32_t));
    memcpy(run->batch.tokens, g->ids.id + from, (size_t)n * sizeof(int32_t));
    run->block.position = segment == SEG_EVAL ? 0 : g->cached;
    run->block.row = n - 1;
    TRY(run_write_block(run));
    TRY(run_write_batch(run, &run->batch, rows));
    return run->backend->run(run->exec, segment);
}

/* The logits of the token after the last. */
static int next_logits(struct generator *g) {
    int64_t context = g->config.model.context;
    if (g->ids.count - g->start > context) { /* full, or a longer prompt: the last half goes on */
        g->start = g->ids.count - (context + 1) / 2;
        g->cached = 0;
    }
    if (g->options->no_cache) {
        TRY(feed(g, SEG_EVAL, g->start, g->ids.count - g->start, g->run.rows));
        return read_logits(g, SEG_EVAL, g->ids.count - g->start - 1);
    }
    enum segment segment = SEG_DECODE;
    while (g->start + g->cached < g->ids.count) {
        int64_t from = g->start + g->cached, n = g->ids.count - from;
        segment = n > 1 ? SEG_PREFILL : SEG_DECODE;
        if (n > g->run.plan->request.prefill) n = g->run.plan->request.prefill;
        TRY(feed(g, segment, from, n, segment == SEG_PREFILL ? g->run.plan->request.prefill : 1));
        g->cached += n;
    }
    return read_logits(g, segment, 0);
}

static int generate(struct generator *g, FILE *out) {
    const struct generate_options *o = g->options;
    int32_t end = tokenizer_end_of_text(g->tokenizer);
    fputs(o->prompt, out);
    for (int64_t i = 0; i < o->tokens; i++) {
        TRY(next_logits(g));
        struct philox r = philox((uint32_t)i, 0, 0, SAMPLE_SITE, o->seed, 0);
        int token =
            sample_token(g->logits, g->vocab, o->temperature, o->top_k, o->top_p, r.word[0] / 4294967296.0, g->order);
        if (token == end) break;
        int64_t length;
        const uint8_t *bytes = tokenizer_bytes(g->tokenizer, token, &length);
        TRY(ids_append(&g->ids, token));
        fwrite(bytes, 1, (size_t)length, out);
        fflush(out);
    }
    fputc('\n', out);
    return ferror(out) ? fail(STATUS_FAILED, "cannot write what was generated") : 0;
}

int generate_run(const char *checkpoint, const struct generate_options *options, FILE *out) {
    struct generator g = {.options = options};
    g.comm.transport = &transport_self;
    g.comm.size = g.comm.local_size = 1;
    int status = open_model(&g, checkpoint);
    if (!status) status = read_prompt(&g);
    if (!status) status = generate(&g, out);
    run_close(&g.run);
    ids_free(&g.ids);
    tokenizer_close(g.tokenizer);
    free(g.raw);
    free(g.logits);
    free(g.order);
    return status;
}
