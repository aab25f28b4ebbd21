#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/whole_file.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/tokenize.h"
#include "data/input.h"
#include "tokenizer/train.h"

static const char usage[] =
    "lockstep tokenize train --vocab N --out FILE [options] INPUT…\n"
    "\n"
    "Trains a byte-level BPE tokenizer and writes it as a tokenizer.json. INPUT is what 'lockstep data make' reads: "
    "texts, JSONL,\n"
    "compressed or not, folders. Memory grows with the number of different words, not with the text. The result does "
    "not depend\n"
    "on the number of threads.\n"
    "\n"
    "  --vocab N          tokens in all: 256 bytes, merges, and special tokens\n"
    "  --out FILE         where the tokenizer.json goes\n"
    "  --pattern P        how text is split before merging: gpt2 or cl100k, which Llama 3 uses (default cl100k)\n"
    "  --min-count N      a pair must be seen so often to be merged (default 2)\n"
    "  --special TEXT     a special token; may be given again (default <|endoftext|>)\n"
    "  --no-special       none\n"
    "  --field NAME       of JSONL: which field is the text (default text)\n"
    "  --skip-bad-lines   count lines that are not what they should be, and go on\n"
    "  --threads N        count on N threads (default all)\n"
    "\n"
    "Example: lockstep tokenize train --vocab 32000 --out tok.json corpus/ more.jsonl.zst\n";

enum {
    OPT_VOCAB = 256,
    OPT_OUT,
    OPT_PATTERN,
    OPT_MIN,
    OPT_SPECIAL,
    OPT_NO_SPECIAL,
    OPT_FIELD,
    OPT_SKIP,
    OPT_THREADS,
    OPT_HELP,
    SPECIALS = 256,
    GROUP = 1024,
    GROUP_BYTES = 64 << 20
};

static const struct option options[] = {
    {"vocab", required_argument, NULL, OPT_VOCAB},
    {"out", required_argument, NULL, OPT_OUT},
    {"pattern", required_argument, NULL, OPT_PATTERN},
    {"min-count", required_argument, NULL, OPT_MIN},
    {"special", required_argument, NULL, OPT_SPECIAL},
    {"no-special", no_argument, NULL, OPT_NO_SPECIAL},
    {"field", required_argument, NULL, OPT_FIELD},
    {"skip-bad-lines", no_argument, NULL, OPT_SKIP},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct request {
    int64_t vocab, min_count, threads;
    const char *out, *pattern;
    const char *special[SPECIALS];
    int n_special, help;
    struct input_options input;
    double shown;
};

/* Texts that are counted together: copies, since a document lives only until the next. */
struct group {
    char *text[GROUP];
    int64_t length[GROUP], bytes;
    int n;
};

static int due(struct request *r) {
    double now = clock_seconds();
    if (now - r->shown < (log_has_bar() ? 0.1 : 10)) return 0;
    r->shown = now;
    return 1;
}

static void show(const char *text) {
    if (log_has_bar())
        log_bar(text);
    else
        log_line("%s", text);
}

static int fill(struct group *g, struct input *input, int *more) {
    struct document d;
    for (*more = 1; g->n < GROUP && g->bytes < GROUP_BYTES;) {
        TRY(input_next(input, &d, more));
        if (!*more) return 0;
        char *copy = malloc((size_t)d.length + 1);
        if (!copy) return fail(STATUS_FAILED, "out of memory");
        memcpy(copy, d.text, (size_t)d.length);
        g->text[g->n] = copy;
        g->length[g->n++] = d.length;
        g->bytes += d.length;
    }
    return 0;
}

static int count(struct request *r, struct input *input, struct word_counts *counts) {
    struct group g = {0};
    int status = 0;
    for (int more = 1; more && !status;) {
        char text[100];
        status = fill(&g, input, &more);
        if (!status) status = word_counts_add(counts, (const char *const *)g.text, g.length, g.n);
        for (int i = 0; i < g.n; i++) free(g.text[i]);
        g.n = 0;
        g.bytes = 0;
        if (status || !due(r)) continue;
        snprintf(text, sizeof text, "counting words: %.1f of %.1f MB", (double)input_bytes_read(input) * 1e-6,
                 (double)input_bytes(input) * 1e-6);
        show(text);
    }
    return status;
}

static void show_merges(void *context, int32_t merges, int32_t of) {
    char text[100];
    if (!due(context)) return;
    snprintf(text, sizeof text, "merging: %d of %d", merges, of);
    show(text);
}

static int write_json(const struct request *r, const struct tokenizer *tokenizer) {
    char *json;
    int64_t length;
    TRY(tokenizer_to_json(tokenizer, &json, &length));
    int status = whole_file_write(r->out, json, length);
    free(json);
    return status;
}

static struct train_bpe_options options_of(struct request *r) {
    return (struct train_bpe_options){.vocab = (int32_t)r->vocab,
                                      .min_count = r->min_count,
                                      .special = r->special,
                                      .n_special = r->n_special,
                                      .progress = show_merges,
                                      .context = r};
}

/* Large texts take long, so what cannot be is told before they are read: the same without a text, and where the file goes. */
static int rehearse(struct request *r, enum split split) {
    struct train_bpe_options o = options_of(r);
    struct tokenizer *tokenizer = NULL;
    struct word_counts *counts;
    struct stat info;
    char folder[4096], *json = NULL;
    int64_t length;
    if (snprintf(folder, sizeof folder, "%s", r->out) >= (int)sizeof folder)
        return fail(STATUS_USAGE, "--out: %.200s…: this path is too long", r->out);
    if (!stat(r->out, &info) && S_ISDIR(info.st_mode))
        return fail(STATUS_USAGE, "--out: %s is a folder; name a file in it", r->out);
    if (access(dirname(folder), W_OK | X_OK))
        return fail(STATUS_FAILED, "--out: %s: cannot write to this folder: %s", folder, strerror(errno));
    TRY(word_counts_new(split, 1, &counts));
    int status = train_bpe(counts, &o, &tokenizer);
    if (!status) status = tokenizer_to_json(tokenizer, &json, &length);
    free(json);
    tokenizer_close(tokenizer);
    word_counts_free(counts);
    return status;
}

static void summarize(const struct request *r, struct input *input, const struct word_counts *counts,
                      const struct tokenizer *tokenizer) {
    struct word_totals totals = word_counts_totals(counts);
    printf("%s: %" PRId64 " tokens, %d of them merged, %d special\n", r->out, tokenizer_vocab(tokenizer),
           tokenizer_vocabulary(tokenizer)->n_merges, r->n_special);
    printf("files      %" PRId64 "\nbytes      %" PRId64 ", %.3f a token\nwords      %" PRId64 " different\n",
           input_files(input), totals.bytes, totals.tokens ? (double)totals.bytes / (double)totals.tokens : 0,
           totals.words);
    if (input_bad_lines(input))
        printf("bad lines  %" PRId64 ", left out:\n%s", input_bad_lines(input), input_bad_line_texts(input));
    if (tokenizer_vocab(tokenizer) < r->vocab)
        printf("no pair is left that is seen %" PRId64 " times: the vocabulary stays below %" PRId64 "\n", r->min_count,
               r->vocab);
}

static int train(struct request *r, struct input *input, struct word_counts *counts) {
    struct train_bpe_options o = options_of(r);
    struct tokenizer *tokenizer;
    double began = clock_seconds();
    r->shown = began;
    TRY(count(r, input, counts));
    double counted = clock_seconds();
    TRY(train_bpe(counts, &o, &tokenizer));
    log_bar("");
    int status = write_json(r, tokenizer);
    if (!status) {
        summarize(r, input, counts, tokenizer);
        printf("time       %.2f s counting, %.2f s merging\n", counted - began, clock_seconds() - counted);
    }
    tokenizer_close(tokenizer);
    return status;
}

static int run(struct request *r) {
    struct input *input;
    struct word_counts *counts;
    enum split split = strcmp(r->pattern, "gpt2") ? SPLIT_CL100K : SPLIT_GPT2;
    r->input.split = split;
    TRY(rehearse(r, split));
    TRY(input_open(&r->input, &input));
    int status = word_counts_new(split, (int)r->threads, &counts);
    if (!status) status = train(r, input, counts);
    word_counts_free(counts);
    input_close(input);
    return status;
}

static int read_option(struct request *r, int c) {
    if (c == OPT_VOCAB) TRY(cli_whole("--vocab", optarg, 257, 10000000, &r->vocab));
    if (c == OPT_MIN) TRY(cli_whole("--min-count", optarg, 1, INT64_MAX, &r->min_count));
    if (c == OPT_THREADS) TRY(cli_whole("--threads", optarg, 1, 1024, &r->threads));
    if (c == OPT_OUT) r->out = optarg;
    if (c == OPT_PATTERN) r->pattern = optarg;
    if (c == OPT_FIELD) r->input.field = optarg;
    if (c == OPT_SKIP) r->input.skip_bad_lines = 1;
    if (c == OPT_NO_SPECIAL) r->n_special = 0;
    if (c == OPT_HELP) r->help = 1;
    if (c != OPT_SPECIAL) return 0;
    if (!*optarg || r->n_special == SPECIALS)
        return fail(STATUS_USAGE, "--special: is empty, or there are more than %d", SPECIALS);
    r->special[r->n_special++] = optarg;
    return 0;
}

int cli_tokenize_train(int argc, char **argv) {
    struct request r = {.min_count = 2, .pattern = "cl100k", .n_special = -1};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("tokenize train", argv);
        if (c == OPT_SPECIAL && r.n_special < 0) r.n_special = 0;
        TRY(read_option(&r, c));
    }
    if (r.help) return fputs(usage, stdout) < 0;
    if (r.n_special < 0) {
        r.special[0] = "<|endoftext|>";
        r.n_special = 1;
    }
    if (!r.vocab || !r.out)
        return fail(STATUS_USAGE,
                    "lockstep tokenize train: --vocab and --out are needed; see 'lockstep tokenize train --help'");
    if (strcmp(r.pattern, "gpt2") && strcmp(r.pattern, "cl100k"))
        return fail(STATUS_USAGE, "--pattern: '%s' is not gpt2 or cl100k", r.pattern);
    if (optind == argc) return fail(STATUS_USAGE, "lockstep tokenize train: name the files to read");
    r.input.paths = (const char *const *)(argv + optind);
    r.input.n_paths = argc - optind;
    return run(&r);
}
