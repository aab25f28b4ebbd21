#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cli/cli.h"
#include "cli/tokenize.h"
#include "tokenizer/tokenizer.h"

static const char usage[] = "lockstep tokenize decode --tokenizer T [FILE]\n"
                            "\n"
                            "Reads token ids with white space between them (from standard input without a FILE) and "
                            "writes the bytes that they stand for.\n"
                            "\n"
                            "  --tokenizer T   as for encode\n"
                            "\n"
                            "Example: echo 15496 11 995 | lockstep tokenize decode --tokenizer gpt2/\n";

enum { OPT_TOKENIZER = 256, OPT_HELP, WORD = 32 };

static const struct option options[] = {
    {"tokenizer", required_argument, NULL, OPT_TOKENIZER},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* The length of the next word; 0 at the end. A word that is too long comes in parts, none of which is an id. */
static int next_word(FILE *in, char word[WORD]) {
    int c, n = 0;
    while ((c = getc(in)) != EOF && isspace(c)) continue;
    for (; c != EOF && !isspace(c) && n < WORD - 1; c = getc(in)) word[n++] = (char)c;
    if (c != EOF) ungetc(c, in);
    word[n] = '\0';
    return n;
}

static int decode(const struct tokenizer *tokenizer, FILE *in, const char *name) {
    char word[WORD];
    int64_t place = 0, length;
    for (int n; (n = next_word(in, word));) {
        int64_t id = -1;
        place++;
        if (n < 12 && strspn(word, "0123456789") == (size_t)n) sscanf(word, "%" SCNd64, &id);
        if (id < 0) return fail(STATUS_BAD_DATA, "%s: word %" PRId64 " ('%s') is no token id", name, place, word);
        if (id >= tokenizer_vocab(tokenizer))
            return fail(STATUS_BAD_DATA, "%s: word %" PRId64 ": %" PRId64 " is outside the vocabulary of %" PRId64,
                        name, place, id, tokenizer_vocab(tokenizer));
        const uint8_t *bytes = tokenizer_bytes(tokenizer, (int32_t)id, &length);
        fwrite(bytes, 1, (size_t)length, stdout);
    }
    if (ferror(in)) return fail(STATUS_BAD_DATA, "%s: cannot read: %s", name, strerror(errno));
    return fflush(stdout) || ferror(stdout) ? fail(STATUS_FAILED, "cannot write the text: %s", strerror(errno)) : 0;
}

int cli_tokenize_decode(int argc, char **argv) {
    const char *name = NULL;
    struct tokenizer *tokenizer;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("tokenize decode", argv);
        if (c == OPT_HELP) return fputs(usage, stdout) < 0;
        if (c == OPT_TOKENIZER) name = optarg;
    }
    if (!name)
        return fail(STATUS_USAGE,
                    "lockstep tokenize decode: --tokenizer is missing; see 'lockstep tokenize decode --help'");
    if (optind < argc - 1) return fail(STATUS_USAGE, "lockstep tokenize decode: give one file at most");
    int from_file = optind < argc && strcmp(argv[optind], "-");
    TRY(tokenizer_open(name, &tokenizer));
    FILE *in = from_file ? fopen(argv[optind], "r") : stdin;
    int status = in ? decode(tokenizer, in, from_file ? argv[optind] : "standard input")
                    : fail(STATUS_BAD_DATA, "%s: cannot read: %s", argv[optind], strerror(errno));
    if (in && from_file) fclose(in);
    tokenizer_close(tokenizer);
    return status;
}
