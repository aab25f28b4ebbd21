/* A tokenizer.json: refused, or a tokenizer that encodes, decodes, and is the same after it was written and read again. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/tokenizer.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tokenizer *t, *again;
    uint8_t before[TOKENIZER_HASH], after[TOKENIZER_HASH];
    char *json;
    int64_t length;
    if (tokenizer_open_json((const char *)data, (int64_t)size, "fuzz", &t)) return 0;
    use(t);
    if (tokenizer_to_json(t, &json, &length) || tokenizer_open_json(json, length, "again", &again)) abort();
    tokenizer_hash(t, before);
    tokenizer_hash(again, after);
    if (memcmp(before, after, sizeof before)) abort();
    free(json);
    tokenizer_close(t);
    tokenizer_close(again);
    return 0;
}
