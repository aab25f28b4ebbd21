/* Any bytes, with each pattern: what is encoded decodes to the same bytes, as a whole and cut where cuts are allowed. The first byte
 * chooses. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/vocabulary.h"

enum { PATTERNS = 3 };

/* All bytes, and merges of letters, spaces and of bytes of UTF-8. */
static struct tokenizer *make(enum split split) {
    struct vocabulary v = {.split = split, .whole_pieces = split == SPLIT_CL100K};
    struct tokenizer *t;
    for (int b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b;
        if (vocabulary_add(&v, &byte, 1, 0)) abort();
    }
    static const struct {
        int left, right;
        const char *text;
    } merges[] = {{'t', 'h', "th"},     {256, 'e', "the"}, {'a', 'a', "aa"},
                  {258, 258, "aaaa"},   {' ', ' ', "  "},  {0xc3, 0xa9, "\xc3\xa9"},
                  {'\r', '\n', "\r\n"}, {'\'', 's', "'s"}, {'1', '2', "12"}};
    for (int i = 0; i < 9; i++)
        if (vocabulary_add(&v, merges[i].text, (int64_t)strlen(merges[i].text), 0) ||
            vocabulary_add_merge(&v, merges[i].left, merges[i].right, 256 + i, i))
            abort();
    if (vocabulary_add(&v, "<|endoftext|>", 13, 1) || tokenizer_build(&v, "fuzz", &t)) abort();
    return t;
}

static void decode(const struct tokenizer *t, const struct ids *ids, const char *text, int64_t length) {
    int64_t at = 0, n;
    for (int64_t i = 0; i < ids->count; i++) {
        const uint8_t *bytes = tokenizer_bytes(t, ids->id[i], &n);
        if (n > length - at || memcmp(bytes, text + at, (size_t)n)) abort();
        at += n;
    }
    if (at != length) abort();
}

static void check(const struct tokenizer *t, struct encoder *e, const char *text, int64_t length) {
    struct ids whole = {0}, parts = {0}, special = {0};
    if (encoder_encode(e, text, length, 0, &whole) || encoder_encode(e, text, length, 1, &special)) abort();
    decode(t, &whole, text, length);
    decode(t, &special, text, length);
    for (int64_t begin = 0, end; begin < length; begin = end) {
        end = tokenizer_cut(t, text, length, begin + 1);
        if (end <= begin || encoder_encode(e, text + begin, end - begin, 0, &parts)) abort();
    }
    if (parts.count != whole.count ||
        (whole.count && memcmp(parts.id, whole.id, (size_t)whole.count * sizeof *whole.id)))
        abort();
    ids_free(&whole);
    ids_free(&parts);
    ids_free(&special);
}

/* A known pattern, which is cut by hand in ASCII, against itself as a pattern of a file's own, which PCRE2 cuts. */
static void check_pieces(enum split split, const char *text, int64_t length) {
    static struct splitter *by_hand[PATTERNS], *by_match[PATTERNS];
    const char *left, *right;
    int64_t n, m;
    int more;
    if (!by_hand[split] && (splitter_open(split, NULL, &by_hand[split]) ||
                            splitter_open(SPLIT_OTHER, split_pattern(split), &by_match[split])))
        abort();
    splitter_begin(by_hand[split], text, length);
    splitter_begin(by_match[split], text, length);
    do {
        more = splitter_next(by_hand[split], &left, &n);
        if (more != splitter_next(by_match[split], &right, &m) || more < 0) abort();
        if (more && (left != right || n != m)) abort();
    } while (more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct tokenizer *tokenizers[PATTERNS];
    static struct encoder *encoders[PATTERNS];
    static const enum split splits[PATTERNS] = {SPLIT_GPT2, SPLIT_CL100K, SPLIT_BYTES};
    if (!size) return 0;
    int i = data[0] % PATTERNS;
    if (!tokenizers[i]) {
        tokenizers[i] = make(splits[i]);
        if (encoder_open(tokenizers[i], &encoders[i])) abort();
    }
    if (splits[i] != SPLIT_BYTES) check_pieces(splits[i], (const char *)data + 1, (int64_t)size - 1);
    check(tokenizers[i], encoders[i], (const char *)data + 1, (int64_t)size - 1);
    return 0;
}
