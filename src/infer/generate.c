#include "infer/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/philox.h"
#include "run/run.h"

enum { LARGEST_PREFILL = 128, SAMPLE_SITE = 0x53414d50, BYTES = 256 };

struct generator {
    const struct generate_options *options;
    struct config config;
    struct comm comm; /* self */
    struct run run;
    int32_t *ids; /* prompt and what was made */
    int64_t count;
    int64_t start;  /* the first token that the model still sees, */
    int64_t cached; /* and how many from there are in the cache */
    char *raw;      /* one row of logits as the device has them */
    double *logits;
    struct candidate *order;
};

int generate_prefill(const struct config *config) {
    return config->model.context < LARGEST_PREFILL ? (int)config->model.context : LARGEST_PREFILL;
}

static int open_model(struct generator *g, const char *checkpoint) {
    char path[2048];
    TRY(run_find_checkpoint(checkpoint, path, sizeof path));
    TRY(run_config(path, &g->config));
    int context = (int)g->config.model.context;
    struct plan_request request = {.segments = 1u << SEG_PREFILL, .ranks = 1, .batch = 1, .time = context};
    request.prefill = generate_prefill(&g->config);
    if (g->options->no_cache) {
        request.segments = 1u << SEG_EVAL;
        request.keep_logits = 1;
    }
    TRY(run_open(&g->run, &g->config, &request, &g->comm, backend_choose(g->config.backend)));
    return run_load(&g->run, path);
}

static int read_prompt(struct generator *g) {
    const char *prompt = g->options->prompt;
    int64_t length = (int64_t)strlen(prompt), vocab = g->config.model.vocab;
    if (!length) return fail(STATUS_USAGE, "--prompt is empty; give the model at least one character to go on from");
    g->ids = calloc((size_t)(length + g->options->tokens), sizeof *g->ids);
    g->logits = calloc((size_t)vocab, sizeof *g->logits);
    g->raw = calloc((size_t)vocab, sizeof(double));
    g->order = calloc((size_t)vocab, sizeof *g->order);
    if (!g->ids || !g->logits || !g->raw || !g->order) return fail(STATUS_FAILED, "out of memory");
    for (; g->count < length; g->count++) {
        g->ids[g->count] = (unsigned char)prompt[g->count];
        if (g->ids[g->count] >= vocab)
            return fail(STATUS_USAGE, "--prompt: byte %d at place %lld is outside the model's vocabulary of %lld",
                        g->ids[g->count], (long long)g->count, (long long)vocab);
    }
    return 0;
}

/* Reads row `row` of a segment's logits. */
static int read_logits(struct generator *g, enum segment segment, int64_t row) {
    struct run *run = &g->run;
    int buf = run->plan->logits[segment];
    enum dtype type = run->plan->bufs[buf].type;
    int64_t vocab = g->config.model.vocab, bytes = vocab * (int64_t)dtype_size(type);
    TRY(run->backend->wait(run->exec, 0));
    TRY(run->backend->copy(run->exec, buf, row * bytes, g->raw, bytes, COPY_TO_HOST));
    for (int64_t i = 0; i < vocab; i++)
        g->logits[i] = type == DTYPE_F64 ? ((double *)g->raw)[i] : (double)((float *)g->raw)[i];
    return 0;
}

/* Runs `n` tokens from ids[from] through a segment whose shape takes `rows`. */
static int feed(struct generator *g, enum segment segment, int64_t from, int64_t n, int64_t rows) {
    struct run *run = &g->run;
    memset(run->tokens, 0, (size_t)run->rows * sizeof *run->tokens);
    memcpy(run->tokens, g->ids + from, (size_t)n * sizeof *run->tokens);
    run->block.position = segment == SEG_EVAL ? 0 : g->cached;
    run->block.row = n - 1;
    TRY(run_write_block(run));
    TRY(run_write_batch(run, rows));
    return run->backend->run(run->exec, segment);
}

/* The logits of the token after the last. */
static int next_logits(struct generator *g) {
    int64_t context = g->config.model.context;
    if (g->count - g->start > context) { /* full, or a longer prompt: the last half goes on */
        g->start = g->count - (context + 1) / 2;
        g->cached = 0;
    }
    if (g->options->no_cache) {
        TRY(feed(g, SEG_EVAL, g->start, g->count - g->start, g->run.rows));
        return read_logits(g, SEG_EVAL, g->count - g->start - 1);
    }
    enum segment segment = SEG_DECODE;
    while (g->start + g->cached < g->count) {
        int64_t from = g->start + g->cached, n = g->count - from;
        segment = n > 1 ? SEG_PREFILL : SEG_DECODE;
        if (n > g->run.plan->request.prefill) n = g->run.plan->request.prefill;
        TRY(feed(g, segment, from, n, segment == SEG_PREFILL ? g->run.plan->request.prefill : 1));
        g->cached += n;
    }
    return read_logits(g, segment, 0);
}

static int generate(struct generator *g, FILE *out) {
    const struct generate_options *o = g->options;
    int vocab = g->config.model.vocab < BYTES ? (int)g->config.model.vocab : BYTES; /* only bytes can be written */
    fputs(o->prompt, out);
    for (int64_t i = 0; i < o->tokens; i++) {
        TRY(next_logits(g));
        struct philox r = philox((uint32_t)i, 0, 0, SAMPLE_SITE, o->seed, 0);
        int token =
            sample_token(g->logits, vocab, o->temperature, o->top_k, o->top_p, r.word[0] / 4294967296.0, g->order);
        g->ids[g->count++] = token;
        fputc(token, out);
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
    free(g.ids);
    free(g.raw);
    free(g.logits);
    free(g.order);
    return status;
}
