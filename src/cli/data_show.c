/* lockstep data show: each file is read into facts, and these are printed as text or JSON. */
#include <cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/utf8.h"
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
                            "vocabulary. Exit status 3 when something is wrong with a file, after all were shown.\n"
                            "\n"
                            "  --tokenizer T   also print the first tokens as text\n"
                            "  --quick         headers only: nothing is verified\n"
                            "  --json          for scripts: one object {\"files\": […], \"totals\": {…}}\n"
                            "\n"
                            "Examples: lockstep data show data/web\n"
                            "          lockstep data show --tokenizer gpt2/ train.bin\n"
                            "          lockstep data show --json tokens.h5:group/ids | jq .totals.tokens\n";

enum { OPT_TOKENIZER = 256, OPT_QUICK, OPT_JSON, OPT_HELP, SHOWN = 16, TEXT = 4096 };

static const struct option options[] = {
    {"tokenizer", required_argument, NULL, OPT_TOKENIZER},
    {"quick", no_argument, NULL, OPT_QUICK},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct show {
    struct tokenizer *tokenizer; /* NULL: none */
    const char *tokenizer_name;
    int quick;
    cJSON *json; /* the array of files; NULL: print text */
    int64_t files, bad, tokens;
};

struct facts {
    const char *path;
    int opened, read;  /* read: what follows the header was, too, and found good */
    const char *error; /* NULL: nothing is wrong */
    struct tokens tokens;
    int32_t largest;
    int64_t targets;
    int64_t lines; /* of a text, as what follows */
    int distinct, has_bits;
    double bits;
    int shown;
    int32_t first[SHOWN];
    int other_tokenizer; /* the file was made with another than --tokenizer */
    char text[TEXT];
};

/* ---- reading ---- */

/* The length of the character of UTF-8 that begins at p; 0 for what is none, or would steer a terminal. */
static int printable_length(const uint8_t *p, int64_t n) {
    uint32_t point = 0;
    int length = (int)utf8_character(p, n, &point);
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ? 0 : length;
}

/* Appends bytes to a text for people: those that do not print as \xNN, a line's end as \n. */
static size_t append_printable(char text[TEXT], size_t used, const uint8_t *p, int64_t n) {
    for (int64_t i = 0; i < n && used + 5 < TEXT;) {
        int length = printable_length(p + i, n - i);
        if (length)
            used += (size_t)snprintf(text + used, TEXT - used, "%.*s", length, (const char *)p + i);
        else if (p[i] == '\n')
            used += (size_t)snprintf(text + used, TEXT - used, "\\n");
        else
            used += (size_t)snprintf(text + used, TEXT - used, "\\x%02x", p[i]);
        i += length ? length : 1;
    }
    return used;
}

/* Characters may be divided among tokens: all bytes are brought together first. */
static void decode_first(struct facts *f, const struct tokenizer *tokenizer) {
    uint8_t bytes[TEXT];
    int64_t n = 0, length;
    for (int i = 0; i < f->shown; i++) {
        if (f->first[i] < 0 || f->first[i] >= tokenizer_vocab(tokenizer)) continue;
        const uint8_t *token = tokenizer_bytes(tokenizer, f->first[i], &length);
        if (length > TEXT - n) length = TEXT - n;
        memcpy(bytes + n, token, (size_t)length);
        n += length;
    }
    append_printable(f->text, 0, bytes, n);
}

static int knows_tokenizer(const struct tokens *t) {
    static const uint8_t unknown[TOKENS_HASH];
    return memcmp(t->tokenizer, unknown, TOKENS_HASH) != 0;
}

static void read_first(struct facts *f, const struct tokenizer *tokenizer) {
    const struct tokens *t = &f->tokens;
    uint8_t hash[TOKENIZER_HASH];
    f->shown = t->count < SHOWN ? (int)t->count : SHOWN;
    tokens_read(t, 0, f->shown, f->first);
    if (!tokenizer) return;
    tokenizer_hash(tokenizer, hash);
    f->other_tokenizer = knows_tokenizer(t) && memcmp(hash, t->tokenizer, TOKENS_HASH) != 0;
    decode_first(f, tokenizer);
}

static void read_text(struct facts *f) {
    const uint8_t *bytes = f->tokens.data;
    int64_t seen[256] = {0};
    for (int64_t i = 0; i < f->tokens.count; i++) seen[bytes[i]]++;
    for (int i = 0; i < 256; i++) f->distinct += seen[i] > 0;
    f->lines = seen['\n'];
    f->has_bits = !stories_bits((const char *)bytes, f->tokens.count, &f->bits);
}

static void read_file(struct facts *f, const struct show *s, const char *path) {
    memset(f, 0, sizeof *f);
    f->path = path;
    int status = tokens_open(&f->tokens, path);
    f->opened = !status;
    if (!status && f->tokens.format != TOKENS_BYTES) {
        read_first(f, s->tokenizer);
        for (int64_t i = 0; !s->quick && f->tokens.mask && i < f->tokens.count; i++)
            f->targets += tokens_counts(&f->tokens, i);
        if (!s->quick) status = tokens_verify(&f->tokens, &f->largest);
    } else if (!status && !s->quick) {
        read_text(f);
    }
    f->read = !status && !s->quick;
    if (status) f->error = fail_message();
}

static void hash_text(const struct tokens *t, char hex[2 * TOKENS_HASH + 1]) {
    for (int i = 0; i < TOKENS_HASH; i++) snprintf(hex + 2 * i, 3, "%02x", t->tokenizer[i]);
}

/* ---- text ---- */

static void print_text(const struct facts *f) {
    printf("%s: %" PRId64 " bytes (tokens of tokenizer bytes)", f->path, f->tokens.count);
    if (f->read) printf(", %" PRId64 " lines, %d distinct bytes", f->lines, f->distinct);
    putchar('\n');
    if (f->has_bits) cli_print_bits(f->bits, f->tokens.count);
}

static void print_header(const struct tokens *t) {
    char hex[2 * TOKENS_HASH + 1];
    printf("  format     %s, %d byte%s a token\n  tokens     %" PRId64 "\n", token_format_name(t->format), t->width,
           t->width == 1 ? "" : "s", t->count);
    if (t->vocab)
        printf("  vocabulary %" PRId64 "\n", t->vocab);
    else
        printf("  vocabulary not known\n");
    if (t->documents) printf("  documents  %" PRId64 "\n", t->documents);
    if (t->end_of_text >= 0) printf("  ends with  %" PRId32 "\n", t->end_of_text);
    hash_text(t, hex);
    printf("  tokenizer  %s\n", knows_tokenizer(t) ? hex : "not known");
}

static void print_tokens(const struct facts *f, const struct show *s) {
    const struct tokens *t = &f->tokens;
    print_header(t);
    if (t->mask && s->quick) printf("  targets    has a loss mask\n");
    if (t->mask && !s->quick)
        printf("  targets    %" PRId64 " tokens count, %" PRId64 " do not\n", f->targets, t->count - f->targets);
    printf("  first     ");
    for (int i = 0; i < f->shown; i++) printf(" %" PRIu32, (uint32_t)f->first[i]);
    putchar('\n');
    if (s->tokenizer) printf("  as text    %s\n", f->text);
    if (f->other_tokenizer) printf("  note       it was made with another tokenizer than %s\n", s->tokenizer_name);
    if (!f->read) return;
    printf("  largest    %" PRId32 "\n", f->largest);
    if (t->format == TOKENS_NATIVE) printf("  checksum   %016" PRIx64 ", verified\n", t->checksum);
}

static void print_facts(const struct facts *f, const struct show *s) {
    if (f->opened && f->tokens.format == TOKENS_BYTES) {
        print_text(f);
        return;
    }
    puts(f->path);
    if (f->opened) print_tokens(f, s);
    if (f->error) printf("  BAD        %s\n", f->error);
}

/* ---- JSON ---- */

static int append(cJSON *array, cJSON *item) {
    if (item && cJSON_AddItemToArray(array, item)) return 1;
    cJSON_Delete(item);
    return 0;
}

static int add_number(cJSON *object, const char *name, int64_t value) {
    return cJSON_AddNumberToObject(object, name, (double)value) != NULL;
}

/* null where the file does not say. */
static int add_known(cJSON *object, const char *name, int known, int64_t value) {
    return known ? add_number(object, name, value) : cJSON_AddNullToObject(object, name) != NULL;
}

static int add_tokens(cJSON *object, const struct facts *f, const struct show *s) {
    const struct tokens *t = &f->tokens;
    char hex[2 * TOKENS_HASH + 1];
    hash_text(t, hex);
    int ok = add_number(object, "token_bytes", t->width) && add_known(object, "vocab", t->vocab > 0, t->vocab) &&
             add_known(object, "documents", t->documents > 0, t->documents) &&
             add_known(object, "end_of_text", t->end_of_text >= 0, t->end_of_text) &&
             (knows_tokenizer(t) ? cJSON_AddStringToObject(object, "tokenizer", hex)
                                 : cJSON_AddNullToObject(object, "tokenizer")) &&
             cJSON_AddBoolToObject(object, "mask", t->mask != NULL) &&
             cJSON_AddBoolToObject(object, "verified", f->read);
    if (ok && !s->quick) ok = add_number(object, "targets", t->mask ? f->targets : t->count);
    if (ok && f->read) ok = add_number(object, "largest", f->largest);
    cJSON *first = cJSON_AddArrayToObject(object, "first");
    ok = ok && first;
    for (int i = 0; i < f->shown && ok; i++) ok = append(first, cJSON_CreateNumber((uint32_t)f->first[i]));
    if (ok && s->tokenizer)
        ok = cJSON_AddStringToObject(object, "text", f->text) &&
             cJSON_AddBoolToObject(object, "other_tokenizer", f->other_tokenizer);
    return ok;
}

static int add_text(cJSON *object, const struct facts *f) {
    if (!f->read) return 1;
    return add_number(object, "lines", f->lines) && add_number(object, "distinct_bytes", f->distinct) &&
           (!f->has_bits || cJSON_AddNumberToObject(object, "information_bits", f->bits));
}

static int add_facts(const struct facts *f, const struct show *s) {
    cJSON *object = cJSON_CreateObject();
    int ok = append(s->json, object) && cJSON_AddStringToObject(object, "file", f->path);
    if (ok && f->opened) {
        ok = cJSON_AddStringToObject(object, "format", token_format_name(f->tokens.format)) &&
             add_number(object, "tokens", f->tokens.count) &&
             (f->tokens.format == TOKENS_BYTES ? add_text(object, f) : add_tokens(object, f, s));
    }
    if (ok && f->error) ok = cJSON_AddStringToObject(object, "error", f->error) != NULL;
    return ok ? 0 : fail(STATUS_FAILED, "out of memory");
}

static int print_json(struct show *s) {
    cJSON *root = cJSON_CreateObject();
    int ok = root && cJSON_AddItemToObject(root, "files", s->json);
    if (ok) s->json = NULL; /* the root has it */
    cJSON *totals = cJSON_AddObjectToObject(root, "totals");
    ok = ok && totals && add_number(totals, "files", s->files) && add_number(totals, "bad", s->bad) &&
         add_number(totals, "tokens", s->tokens);
    char *text = ok ? cJSON_Print(root) : NULL;
    if (text) puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
    return text ? 0 : fail(STATUS_FAILED, "out of memory");
}

/* ---- files and folders ---- */

/* What is wrong with one file does not hide the others. */
static int show_file(struct show *s, const char *path) {
    struct facts facts;
    int status = 0;
    read_file(&facts, s, path);
    s->files++;
    s->bad += facts.error != NULL;
    if (!facts.error) s->tokens += facts.tokens.count;
    if (s->json)
        status = add_facts(&facts, s);
    else
        print_facts(&facts, s);
    if (facts.opened) tokens_close(&facts.tokens);
    return status;
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
    char path[4096 + 256];
    int n = scandir(folder, &entries, is_token_file, by_bytes), status = 0;
    if (n < 0) return fail(STATUS_BAD_DATA, "%s: cannot read this folder: %s", folder, strerror(errno));
    if (!n) status = fail(STATUS_BAD_DATA, "%s: is a folder without token files (.tokens, .bin, .h5)", folder);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%.4000s/%s", folder, entries[i]->d_name);
        if (!status) status = show_file(s, path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static int show_all(struct show *s, int n, char **paths) {
    struct stat info;
    for (int i = 0; i < n; i++) {
        if (!stat(paths[i], &info) && S_ISDIR(info.st_mode))
            TRY(show_folder(s, paths[i]));
        else
            TRY(show_file(s, paths[i]));
    }
    if (s->json)
        TRY(print_json(s));
    else if (s->files > 1)
        printf("%" PRId64 " files, %" PRId64 " tokens\n", s->files, s->tokens);
    if (s->files == 1 && s->bad) return STATUS_BAD_DATA; /* its own message is the best one */
    return s->bad ? fail(STATUS_BAD_DATA, "%" PRId64 " of %" PRId64 " files are bad", s->bad, s->files) : 0;
}

int cli_data_show(int argc, char **argv) {
    struct show show = {0};
    int json = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("data show", argv);
        if (c == OPT_HELP) return fputs(usage, stdout) < 0;
        if (c == OPT_TOKENIZER) show.tokenizer_name = optarg;
        if (c == OPT_QUICK) show.quick = 1;
        if (c == OPT_JSON) json = 1;
    }
    if (optind == argc) return fail(STATUS_USAGE, "lockstep data show: give a FILE or a folder");
    if (show.tokenizer_name) TRY(tokenizer_open(show.tokenizer_name, &show.tokenizer));
    if (json) show.json = cJSON_CreateArray();
    int status =
        json && !show.json ? fail(STATUS_FAILED, "out of memory") : show_all(&show, argc - optind, argv + optind);
    cJSON_Delete(show.json);
    tokenizer_close(show.tokenizer);
    return status;
}
