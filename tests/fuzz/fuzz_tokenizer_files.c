/* vocab.json with merges.txt (a zero byte between them), or a .tiktoken file: refused, or a tokenizer that is the same as a
 * tokenizer.json. The first byte chooses; a ~ stands for the 256 bytes, without which no vocabulary is one. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokenizer/vocabulary.h"

static void write_byte(FILE *out, int b, int tiktoken) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (tiktoken)
        fprintf(out, "%c%c== %d\n", letters[b >> 2], letters[b << 4 & 0x30], b);
    else
        fprintf(out, "%s\"\\u%04x\":%d", b ? "," : "", (unsigned)byte_letter((uint8_t)b), b);
}

/* The input with its first ~ replaced; the caller's. */
static char *expand(const char *data, size_t size, int tiktoken, size_t *length) {
    char *text = NULL;
    const char *tilde = size ? memchr(data, '~', size) : NULL;
    size_t before = tilde ? (size_t)(tilde - data) : size;
    FILE *out = open_memstream(&text, length);
    if (!out) abort();
    fwrite(data, 1, before, out);
    for (int b = 0; b < 256 && tilde; b++) write_byte(out, b, tiktoken);
    if (tilde) fwrite(tilde + 1, 1, size - before - 1, out);
    fclose(out);
    return text;
}

/* Bad data is a special token that JSON cannot hold. */
static void write_and_read(const struct tokenizer *t) {
    struct tokenizer *again;
    uint8_t before[TOKENIZER_HASH], after[TOKENIZER_HASH];
    char *json;
    int64_t length;
    int status = tokenizer_to_json(t, &json, &length);
    if (status == STATUS_BAD_DATA) return;
    if (status || tokenizer_open_json(json, length, "again", &again)) abort();
    tokenizer_hash(t, before);
    tokenizer_hash(again, after);
    if (memcmp(before, after, sizeof before)) abort();
    free(json);
    tokenizer_close(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct vocabulary v = {0};
    struct tokenizer *t;
    size_t all;
    int status, tiktoken = size && data[0] % 2;
    if (!size) return 0;
    char *text = expand((const char *)data + 1, size - 1, tiktoken, &all);
    if (tiktoken) {
        status = read_tiktoken(text, (int64_t)all, "fuzz", &v);
    } else {
        size_t first = strnlen(text, all), second = first < all ? all - first - 1 : 0;
        status = read_vocab_merges(text, (int64_t)first, text + all - second, (int64_t)second, "fuzz", &v);
    }
    if (status) {
        vocabulary_free(&v);
    } else if (!tokenizer_build(&v, "fuzz", &t)) {
        write_and_read(t);
        tokenizer_close(t);
    }
    free(text);
    return 0;
}
