#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "tokenizer/tables.h"

enum { PATH_SIZE = 4096, FILE_MAX = 1 << 30 };

/* A whole file, with a zero byte after its end; the caller's. */
static int read_file(const char *path, char **text, int64_t *length) {
    struct stat info;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &info)) {
        if (f) fclose(f);
        return fail(STATUS_BAD_DATA, "%s: cannot read the tokenizer: %s", path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode) || info.st_size > FILE_MAX) {
        fclose(f);
        return fail(STATUS_BAD_DATA, "%s: is no file that could be a tokenizer", path);
    }
    *text = malloc((size_t)info.st_size + 1);
    *length = *text ? (int64_t)fread(*text, 1, (size_t)info.st_size, f) : 0;
    int whole = *text && *length == info.st_size;
    fclose(f);
    if (whole) {
        (*text)[*length] = '\0';
        return 0;
    }
    free(*text);
    *text = NULL;
    return fail(STATUS_BAD_DATA, "%s: cannot read all of it", path);
}

static int exists(const char *path) {
    struct stat info;
    return !stat(path, &info);
}

static int ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static int add_bytes(struct vocabulary *v) {
    for (int b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b;
        TRY(vocabulary_add(v, &byte, 1, 0));
    }
    return vocabulary_add(v, "<|endoftext|>", 13, 1);
}

static int read_pair(const char *vocab_path, struct vocabulary *v) {
    char merges_path[PATH_SIZE], *vocab, *merges;
    int64_t vocab_length, merges_length;
    const char *slash = strrchr(vocab_path, '/');
    snprintf(merges_path, sizeof merges_path, "%.*smerges.txt", slash ? (int)(slash + 1 - vocab_path) : 0, vocab_path);
    TRY(read_file(vocab_path, &vocab, &vocab_length));
    int status = read_file(merges_path, &merges, &merges_length);
    if (!status) {
        status = read_vocab_merges(vocab, vocab_length, merges, merges_length, vocab_path, v);
        free(merges);
    }
    free(vocab);
    return status;
}

static int read_one(const char *path, struct vocabulary *v) {
    char *text;
    int64_t length;
    if (ends_with(path, "vocab.json")) return read_pair(path, v);
    TRY(read_file(path, &text, &length));
    int status = ends_with(path, ".tiktoken") ? read_tiktoken(text, length, path, v)
                                              : read_tokenizer_json(text, length, path, v);
    free(text);
    return status;
}

/* The one *.tiktoken file of a folder. */
static int find_tiktoken(const char *folder, char path[PATH_SIZE]) {
    int found = 0;
    DIR *entries = opendir(folder);
    for (struct dirent *e; entries && (e = readdir(entries));)
        if (ends_with(e->d_name, ".tiktoken") && ++found) snprintf(path, PATH_SIZE, "%.3000s/%s", folder, e->d_name);
    if (entries) closedir(entries);
    if (found == 1) return 0;
    return fail(STATUS_BAD_DATA, "%s: has no tokenizer.json, no vocab.json with merges.txt, and %s", folder,
                found ? "more than one .tiktoken file; name one" : "no .tiktoken file");
}

static int read_folder(const char *folder, struct vocabulary *v) {
    static const char *const names[] = {"tokenizer.json", "vocab.json"};
    char path[PATH_SIZE];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (exists(path)) return read_one(path, v);
    }
    TRY(find_tiktoken(folder, path));
    return read_one(path, v);
}

int tokenizer_open(const char *path, struct tokenizer **tokenizer) {
    struct vocabulary v = {0};
    struct stat info;
    *tokenizer = NULL;
    int status;
    if (strlen(path) > PATH_SIZE - 64)
        status = fail(STATUS_BAD_DATA, "%.200s…: this path is too long", path);
    else if (!strcmp(path, "bytes"))
        status = add_bytes(&v);
    else
        status = !stat(path, &info) && S_ISDIR(info.st_mode) ? read_folder(path, &v) : read_one(path, &v);
    if (!status) return tokenizer_build(&v, path, tokenizer);
    vocabulary_free(&v);
    return status;
}

int tokenizer_open_json(const char *json, int64_t length, const char *name, struct tokenizer **tokenizer) {
    struct vocabulary v = {0};
    *tokenizer = NULL;
    int status = read_tokenizer_json(json, length, name, &v);
    if (!status) return tokenizer_build(&v, name, tokenizer);
    vocabulary_free(&v);
    return status;
}

void tokenizer_close(struct tokenizer *t) {
    if (!t) return;
    vocabulary_free(&t->vocabulary);
    token_table_free(&t->tokens);
    token_table_free(&t->specials);
    free(t->pairs);
    free(t->special_ids);
    free(t);
}

const struct vocabulary *tokenizer_vocabulary(const struct tokenizer *t) { return &t->vocabulary; }

int64_t tokenizer_vocab(const struct tokenizer *t) { return t->vocabulary.count; }

int32_t tokenizer_special(const struct tokenizer *t, const char *text) {
    return *text ? find_token(&t->vocabulary, &t->specials, text, (int64_t)strlen(text)) : -1;
}

int32_t tokenizer_end_of_text(const struct tokenizer *t) { return t->end_of_text; }

void tokenizer_hash(const struct tokenizer *t, uint8_t hash[TOKENIZER_HASH]) { memcpy(hash, t->hash, TOKENIZER_HASH); }

const uint8_t *tokenizer_bytes(const struct tokenizer *t, int32_t id, int64_t *length) {
    const struct vocabulary *v = &t->vocabulary;
    *length = v->begin[id + 1] - v->begin[id];
    return v->bytes + v->begin[id];
}

int64_t tokenizer_cut(const struct tokenizer *t, const char *text, int64_t length, int64_t at) {
    return split_cut(t->vocabulary.split, text, length, at);
}
