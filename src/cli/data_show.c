#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "cli/cli.h"
#include "data/stories.h"
#include "data/token_file.h"
#include "tokenizer/tokenizer.h"

static const char usage[] = "lockstep data show [options] FILE…\n"
                            "\n"
                            "Tells what is in token files (Lockstep's .tokens, nanoGPT's and llm.c's .bin, Megatron's "
                            ".bin with .idx, HDF5) and in\n"
                            "texts. A folder stands for its token files. Everything is read once: checksums are "
                            "verified, and tokens compared with the\n"
                            "vocabulary. Exit status 3 when something is wrong with a file.\n"
                            "\n"
                            "  --tokenizer T   also print the first tokens as text\n"
                            "  --quick         headers only\n"
                            "\n"
                            "Examples: lockstep data show data/web\n"
                            "          lockstep data show --tokenizer gpt2/ train.bin\n";

enum { OPT_TOKENIZER = 256, OPT_QUICK, OPT_HELP, SHOWN = 16 };

static const struct option options[] = {
    {"tokenizer", required_argument, NULL, OPT_TOKENIZER},
    {"quick", no_argument, NULL, OPT_QUICK},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct show {
    struct tokenizer *tokenizer; /* may be NULL */
    int quick;
    int64_t files, bad, tokens;
};

static void show_text(const struct tokens *t) {
    const uint8_t *bytes = t->data;
    int64_t lines = 0;
    int seen[256] = {0}, distinct = 0;
    double bits;
    for (int64_t i = 0; i < t->count; i++) {
        distinct += !seen[bytes[i]]++;
        lines += bytes[i] == '\n';
    }
    printf("%s: %" PRId64 " bytes (tokens of tokenizer bytes), %" PRId64 " lines, %d distinct bytes\n", t->name,
           t->count, lines, distinct);
    if (!stories_bits((const char *)bytes, t->count, &bits)) cli_print_bits(bits, t->count);
}

static void show_header(const struct tokens *t) {
    static const uint8_t unknown[TOKENS_HASH];
    printf("%s\n  format     %s, %d bytes a token\n  tokens     %" PRId64 "\n", t->name, token_format_name(t->format),
           t->width, t->count);
    if (t->vocab)
        printf("  vocabulary %" PRId64 "\n", t->vocab);
    else
        printf("  vocabulary not known\n");
    if (t->documents) printf("  documents  %" PRId64 "\n", t->documents);
    if (t->end_of_text >= 0) printf("  ends with  %" PRId32 "\n", t->end_of_text);
    printf("  tokenizer  ");
    if (!memcmp(t->tokenizer, unknown, TOKENS_HASH)) printf("not known");
    for (int i = 0; i < TOKENS_HASH && memcmp(t->tokenizer, unknown, TOKENS_HASH); i++) printf("%02x", t->tokenizer[i]);
    putchar('\n');
    if (!t->mask) return;
    int64_t counts = 0;
    for (int64_t i = 0; i < t->count; i++) counts += tokens_counts(t, i);
    printf("  targets    %" PRId64 " tokens count, %" PRId64 " do not\n", counts, t->count - counts);
}

static void show_first(const struct show *s, const struct tokens *t) {
    int32_t first[SHOWN];
    int64_t n = t->count < SHOWN ? t->count : SHOWN, length;
    tokens_read(t, 0, n, first);
    printf("  first      ");
    for (int64_t i = 0; i < n; i++) printf("%s%" PRIu32, i ? " " : "", (uint32_t)first[i]);
    putchar('\n');
    if (!s->tokenizer) return;
    printf("  as text    ");
    for (int64_t i = 0; i < n; i++) {
        if (first[i] < 0 || first[i] >= tokenizer_vocab(s->tokenizer)) continue;
        const uint8_t *bytes = tokenizer_bytes(s->tokenizer, first[i], &length);
        fwrite(bytes, 1, (size_t)length, stdout);
    }
    putchar('\n');
}

static int show_tokens(const struct show *s, const struct tokens *t) {
    int32_t largest;
    show_header(t);
    show_first(s, t);
    if (s->quick) return 0;
    TRY(tokens_verify(t, &largest));
    printf("  largest    %" PRId32 "\n", largest);
    if (t->checksum) printf("  checksum   %016" PRIx64 ", verified\n", t->checksum);
    return 0;
}

/* What is wrong with one file does not hide the others. */
static void show_file(struct show *s, const char *path) {
    struct tokens tokens;
    int status = tokens_open(&tokens, path);
    s->files++;
    if (!status && tokens.format == TOKENS_BYTES)
        show_text(&tokens);
    else if (!status)
        status = show_tokens(s, &tokens);
    if (status) {
        printf("%s\n  BAD        %s\n", path, fail_message());
        s->bad++;
        return;
    }
    s->tokens += tokens.count;
    tokens_close(&tokens);
}

static int is_token_file(const struct dirent *entry) {
    static const char *const ends[] = {".tokens", ".bin", ".h5", ".hdf5"};
    size_t n = strlen(entry->d_name);
    for (int i = 0; i < 4; i++)
        if (n > strlen(ends[i]) && !strcmp(entry->d_name + n - strlen(ends[i]), ends[i])) return 1;
    return 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int show_folder(struct show *s, const char *folder) {
    struct dirent **entries;
    char path[4096];
    int n = scandir(folder, &entries, is_token_file, by_bytes);
    if (n <= 0) return fail(STATUS_BAD_DATA, "%s: is a folder without token files (.tokens, .bin, .h5)", folder);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%.3000s/%s", folder, entries[i]->d_name);
        show_file(s, path);
        free(entries[i]);
    }
    free(entries);
    return 0;
}

static int show_all(struct show *s, int n, char **paths) {
    struct stat info;
    for (int i = 0; i < n; i++) {
        if (!stat(paths[i], &info) && S_ISDIR(info.st_mode))
            TRY(show_folder(s, paths[i]));
        else
            show_file(s, paths[i]);
    }
    if (s->files > 1) printf("%" PRId64 " files, %" PRId64 " tokens\n", s->files, s->tokens);
    if (s->files == 1 && s->bad) return STATUS_BAD_DATA; /* its own message is the best one */
    return s->bad ? fail(STATUS_BAD_DATA, "%" PRId64 " of %" PRId64 " files are bad", s->bad, s->files) : 0;
}

int cli_data_show(int argc, char **argv) {
    struct show show = {0};
    const char *tokenizer = NULL;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("data show", argv);
        if (c == OPT_HELP) return fputs(usage, stdout) < 0;
        if (c == OPT_TOKENIZER) tokenizer = optarg;
        if (c == OPT_QUICK) show.quick = 1;
    }
    if (optind == argc) return fail(STATUS_USAGE, "lockstep data show: give a FILE or a folder");
    if (tokenizer) TRY(tokenizer_open(tokenizer, &show.tokenizer));
    int status = show_all(&show, argc - optind, argv + optind);
    tokenizer_close(show.tokenizer);
    return status;
}
