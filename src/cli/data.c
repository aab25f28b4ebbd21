#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cli/cli.h"
#include "data/stories.h"
#include "data/text.h"

static const char usage[] =
    "lockstep data make --corpus stories --out FILE [--bytes N] [--seed S]\n"
    "lockstep data show FILE\n"
    "\n"
    "make writes a text of the built-in corpus, little stories from a grammar, and prints its exact information "
    "content:\n"
    "no honest model gets below that loss on it.\n"
    "show prints a text's size, byte values and, where the grammar made it, its information content.\n"
    "\n"
    "  --bytes N   at least so many bytes (default 4000000)\n"
    "  --seed S    another seed, another text (default 1)\n"
    "\n"
    "Example: lockstep data make --corpus stories --bytes 1000000 --seed 7 --out stories.txt\n";

enum { OPT_CORPUS = 256, OPT_BYTES, OPT_SEED, OPT_OUT, OPT_HELP };

static const struct option options[] = {
    {"corpus", required_argument, NULL, OPT_CORPUS}, {"bytes", required_argument, NULL, OPT_BYTES},
    {"seed", required_argument, NULL, OPT_SEED},     {"out", required_argument, NULL, OPT_OUT},
    {"help", no_argument, NULL, OPT_HELP},           {NULL, 0, NULL, 0},
};

static void print_bits(double bits, int64_t length) {
    printf("information %.3f bits in all: %.6f bits, or %.6f nats, a byte\n", bits, bits / (double)length,
           bits * 0.69314718055994530942 / (double)length);
}

static int write_file(const char *path, const char *text, int64_t length) {
    FILE *f = fopen(path, "wb");
    if (!f) return fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(errno));
    size_t written = fwrite(text, 1, (size_t)length, f);
    if (fclose(f) || written != (size_t)length)
        return fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(errno));
    return 0;
}

static int make(int argc, char **argv) {
    int64_t bytes = 4000000, seed = 1, length;
    const char *out = NULL, *corpus = NULL;
    char *text;
    double bits;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("data", argv);
        if (c == OPT_HELP) return fputs(usage, stdout) < 0;
        if (c == OPT_CORPUS) corpus = optarg;
        if (c == OPT_BYTES) TRY(cli_whole("--bytes", optarg, 1, (int64_t)1 << 40, &bytes));
        if (c == OPT_SEED) TRY(cli_whole("--seed", optarg, 0, INT64_MAX, &seed));
        if (c == OPT_OUT) out = optarg;
    }
    if (!corpus || strcmp(corpus, "stories"))
        return fail(STATUS_USAGE, "lockstep data make: --corpus: there is one, 'stories'");
    if (!out) return fail(STATUS_USAGE, "lockstep data make: --out FILE is missing; see 'lockstep data --help'");
    TRY(stories_make(bytes, (uint64_t)seed, &text, &length));
    int status = write_file(out, text, length);
    if (!status) status = stories_bits(text, length, &bits);
    free(text);
    if (status) return status;
    printf("%s: %lld bytes\n", out, (long long)length);
    print_bits(bits, length);
    return 0;
}

static int show(int argc, char **argv) {
    struct text text;
    int seen[256] = {0}, distinct = 0;
    int64_t lines = 0;
    double bits;
    if (argc == 2 && !strcmp(argv[1], "--help")) return fputs(usage, stdout) < 0;
    if (argc != 2) return fail(STATUS_USAGE, "lockstep data show: give one FILE");
    TRY(text_open(&text, argv[1]));
    for (int64_t i = 0; i < text.length; i++) {
        distinct += !seen[text.bytes[i]]++;
        lines += text.bytes[i] == '\n';
    }
    printf("%s: %lld bytes (tokens of tokenizer bytes), %lld lines, %d distinct bytes\n", text.name,
           (long long)text.length, (long long)lines, distinct);
    if (!stories_bits((const char *)text.bytes, text.length, &bits)) print_bits(bits, text.length);
    text_close(&text);
    return 0;
}

int cli_data(int argc, char **argv) {
    opterr = 0;
    if (argc > 1 && !strcmp(argv[1], "make")) return make(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "show")) return show(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "--help")) return fputs(usage, stdout) < 0;
    return fail(STATUS_USAGE, "lockstep data: say 'make' or 'show'; see 'lockstep data --help'");
}
