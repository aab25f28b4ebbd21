#include <errno.h>
#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/tokenize.h"
#include "data/stream.h"
#include "tokenizer/tokenizer.h"

static const char usage[] =
    "lockstep tokenize encode --tokenizer T [options] [FILE…]\n"
    "\n"
    "Prints the token ids of each file (of standard input without one), a line a file. Files may be compressed.\n"
    "\n"
    "  --tokenizer T   a tokenizer.json, a folder with one or with vocab.json and merges.txt, a .tiktoken file, or "
    "bytes\n"
    "  --special       the texts of special tokens become these tokens (on one thread); otherwise they are text like "
    "any "
    "other\n"
    "  --count         print how many tokens there are, not which\n"
    "  --time N        encode N times and print the seconds of each, without reading and printing\n"
    "  --threads N     (default all)\n"
    "\n"
    "Example: echo 'Hello, world' | lockstep tokenize encode --tokenizer gpt2/\n";

enum { OPT_TOKENIZER = 256, OPT_SPECIAL, OPT_COUNT, OPT_TIME, OPT_THREADS, OPT_HELP, PIECE = 1 << 20 };

static const struct option options[] = {
    {"tokenizer", required_argument, NULL, OPT_TOKENIZER},
    {"special", no_argument, NULL, OPT_SPECIAL},
    {"count", no_argument, NULL, OPT_COUNT},
    {"time", required_argument, NULL, OPT_TIME},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct request {
    const char *tokenizer_name;
    struct tokenizer *tokenizer;
    struct encoder **encoders;
    int64_t threads, repeats;
    int special, count, help;
};

/* A file's text, cut into pieces that are encoded apart. */
struct work {
    char *text;
    int64_t length, room;
    int64_t *begin; /* [pieces + 1] */
    struct ids *ids;
    int64_t pieces;
};

static int read_all(const char *path, struct work *w) {
    struct stream *stream;
    int64_t got = 1;
    TRY(stream_open(path, &stream));
    int status = 0;
    while (!status && got) {
        if (w->room - w->length < PIECE) {
            int64_t room = w->room ? 2 * w->room : 4 * (int64_t)PIECE;
            char *grown = realloc(w->text, (size_t)room);
            if (!grown) status = fail(STATUS_FAILED, "%s: out of memory", path);
            if (!grown) break;
            w->text = grown;
            w->room = room;
        }
        status = stream_read(stream, w->text + w->length, w->room - w->length, &got);
        w->length += got;
    }
    stream_close(stream);
    return status;
}

/* A special token may hold the place of a cut, so that texts with specials stay whole. */
static int cut(const struct request *r, struct work *w) {
    int64_t most = w->length / PIECE + 2;
    w->begin = malloc((size_t)(most + 1) * sizeof *w->begin);
    w->ids = calloc((size_t)most, sizeof *w->ids);
    if (!w->begin || !w->ids) return fail(STATUS_FAILED, "out of memory");
    w->begin[0] = 0;
    while (w->begin[w->pieces] < w->length || !w->pieces) {
        int64_t at = w->begin[w->pieces] + PIECE;
        at = r->special || at >= w->length ? w->length : tokenizer_cut(r->tokenizer, w->text, w->length, at);
        w->begin[++w->pieces] = at;
    }
    return 0;
}

static int encode(const struct request *r, struct work *w) {
    struct failure failure = {0};
#pragma omp parallel for schedule(dynamic) num_threads((int)r->threads)
    for (int64_t i = 0; i < w->pieces; i++) {
        w->ids[i].count = 0;
        failure_keep(&failure, encoder_encode(r->encoders[omp_get_thread_num()], w->text + w->begin[i],
                                              w->begin[i + 1] - w->begin[i], r->special, &w->ids[i]));
    }
    return failure_raise(&failure);
}

static void print(const struct request *r, const struct work *w, const char *path) {
    int64_t tokens = 0, printed = 0;
    for (int64_t i = 0; i < w->pieces; i++) tokens += w->ids[i].count;
    if (r->count) {
        printf("%s: %" PRId64 " tokens, %" PRId64 " bytes, %.3f bytes a token\n", path, tokens, w->length,
               tokens ? (double)w->length / (double)tokens : 0);
        return;
    }
    for (int64_t i = 0; i < w->pieces; i++)
        for (int64_t k = 0; k < w->ids[i].count; k++) printf(printed++ ? " %" PRId32 : "%" PRId32, w->ids[i].id[k]);
    putchar('\n');
}

static int encode_file(const struct request *r, const char *path) {
    struct work w = {0};
    int status = read_all(path, &w);
    if (!status) status = cut(r, &w);
    if (!status && !r->repeats) status = encode(r, &w);
    for (int64_t i = 0; i < r->repeats && !status; i++) {
        double began = clock_seconds();
        status = encode(r, &w);
        if (!status) printf("%.6f\n", clock_seconds() - began);
    }
    if (!status && (r->count || !r->repeats)) print(r, &w, path);
    if (!status && (fflush(stdout) || ferror(stdout)))
        status = fail(STATUS_FAILED, "cannot write the tokens of %s: %s", path, strerror(errno));
    for (int64_t i = 0; i < w.pieces; i++) ids_free(&w.ids[i]);
    free(w.ids);
    free(w.begin);
    free(w.text);
    return status;
}

static int run(struct request *r, int n, char **paths) {
    TRY(tokenizer_open(r->tokenizer_name, &r->tokenizer));
    if (!r->threads) r->threads = omp_get_max_threads();
    r->encoders = calloc((size_t)r->threads, sizeof(*r->encoders));
    if (!r->encoders) return fail(STATUS_FAILED, "out of memory");
    for (int64_t i = 0; i < r->threads; i++) TRY(encoder_open(r->tokenizer, &r->encoders[i]));
    if (!n) return encode_file(r, "-");
    for (int i = 0; i < n; i++) TRY(encode_file(r, paths[i]));
    return 0;
}

int cli_tokenize_encode(int argc, char **argv) {
    struct request r = {0};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("tokenize encode", argv);
        if (c == OPT_TOKENIZER) r.tokenizer_name = optarg;
        if (c == OPT_THREADS) TRY(cli_whole("--threads", optarg, 1, 1024, &r.threads));
        if (c == OPT_TIME) TRY(cli_whole("--time", optarg, 1, 1000000, &r.repeats));
        if (c == OPT_SPECIAL) r.special = 1;
        if (c == OPT_COUNT) r.count = 1;
        if (c == OPT_HELP) r.help = 1;
    }
    if (r.help) return fputs(usage, stdout) < 0;
    if (!r.tokenizer_name)
        return fail(STATUS_USAGE,
                    "lockstep tokenize encode: --tokenizer is missing; see 'lockstep tokenize encode --help'");
    int status = run(&r, argc - optind, argv + optind);
    for (int64_t i = 0; i < r.threads && r.encoders; i++) encoder_close(r.encoders[i]);
    free(r.encoders);
    tokenizer_close(r.tokenizer);
    return status;
}
