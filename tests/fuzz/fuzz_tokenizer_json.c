/* A tokenizer.json: refused, or a tokenizer that encodes, decodes, and is the same after it was written and read again. A ~ stands
 * for the entries of the 256 bytes, without which no vocabulary is one, so that short inputs reach what comes after. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokenizer/vocabulary.h"

/* The input with its first ~ replaced; the caller's. */
static char *expand(const char *data, size_t size, size_t *length) {
    char *text = NULL;
    const char *tilde = size ? memchr(data, '~', size) : NULL;
    size_t before = tilde ? (size_t)(tilde - data) : size;
    FILE *out = open_memstream(&text, length);
    if (!out) abort();
    fwrite(data, 1, before, out);
    for (int b = 0; b < 256 && tilde; b++)
        fprintf(out, "%s\"\\u%04x\":%d", b ? "," : "", (unsigned)byte_letter((uint8_t)b), b);
    if (tilde) fwrite(tilde + 1, 1, size - before - 1, out);
    fclose(out);
    return text;
}

static void use(const struct tokenizer *t) {
    static const char text[] = "The 12 'caf\xc3\xa9s'  and\r\n\xff aaaa ab <|endoftext|>";
    struct encoder *e;
    struct ids ids = {0};
    int64_t at = 0, n;
    if (encoder_open(t, &e)) return; /* its pattern is no regular expression */
    int status = encoder_encode(e, text, sizeof text - 1, 0, &ids);
    for (int64_t i = 0; i < ids.count && !status; i++) {
        const uint8_t *bytes = tokenizer_bytes(t, ids.id[i], &n);
        if (n > (int64_t)sizeof text - 1 - at || memcmp(bytes, text + at, (size_t)n)) abort();
        at += n;
    }
    if (!status && at != (int64_t)sizeof text - 1) abort();
    ids_free(&ids);
    encoder_close(e);
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
    struct tokenizer *t;
    size_t length;
    char *text = expand((const char *)data, size, &length);
    if (!tokenizer_open_json(text, (int64_t)length, "fuzz", &t)) {
        use(t);
        write_and_read(t);
        tokenizer_close(t);
    }
    free(text);
    return 0;
}
