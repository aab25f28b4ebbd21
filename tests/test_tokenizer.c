/* Encoding: against a plain BPE over random texts, hard strings, invalid UTF-8, cuts, special tokens, and time on long words. */
#include "base/check.h"
#include "base/clock.h"
#include "base/philox.h"
#include "tokenizer/vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void must(int status) {
    if (status) fail_msg("status %d: %s", status, fail_message());
}

/* A vocabulary of bytes and of random merges, some of which make bytes of UTF-8 into characters. */
static struct tokenizer *random_tokenizer(enum split split, int merges, uint32_t seed, int whole) {
    static const char often[] = "eta oin\xc3\xa9' s1\r\n";
    struct vocabulary v = {.split = split, .whole_pieces = whole};
    struct tokenizer *t;
    for (int b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b;
        must(vocabulary_add(&v, &byte, 1, 0));
    }
    for (uint32_t i = 0, draw = 0; i < (uint32_t)merges; draw++) {
        struct philox r = philox(draw, seed, 0, 0, 1, 2);
        int32_t part[2];
        char text[64];
        int64_t length[2], known = v.count;
        for (int k = 0; k < 2; k++)
            part[k] = r.word[k] % 3 && v.count > 260 ? (int32_t)(256 + r.word[k + 2] % (uint32_t)(v.count - 256))
                                                     : (uint8_t)often[r.word[k + 2] % (sizeof often - 1)];
        for (int k = 0; k < 2; k++) length[k] = v.begin[part[k] + 1] - v.begin[part[k]];
        if (length[0] + length[1] > 20) continue;
        memcpy(text, v.bytes + v.begin[part[0]], (size_t)length[0]);
        memcpy(text + length[0], v.bytes + v.begin[part[1]], (size_t)length[1]);
        for (int32_t id = 0; id < known; id++)
            if (v.begin[id + 1] - v.begin[id] == length[0] + length[1] &&
                !memcmp(v.bytes + v.begin[id], text, (size_t)(length[0] + length[1])))
                known = -1;
        if (known < 0) continue;
        must(vocabulary_add(&v, text, length[0] + length[1], 0));
        must(vocabulary_add_merge(&v, part[0], part[1], v.count - 1, (int32_t)i));
        i++;
    }
    must(vocabulary_add(&v, "<|endoftext|>", 13, 1));
    must(vocabulary_add(&v, "<|end|>", 7, 1));
    must(vocabulary_add(&v, "<|end", 5, 1));
    must(tokenizer_build(&v, "random", &t));
    return t;
}

/* BPE as it is defined: the lowest rank of all neighbours, the leftmost of equal ones, until there is none. */
static int64_t plain_bpe(const struct tokenizer *t, const char *piece, int64_t n, int32_t *id) {
    const struct vocabulary *v = tokenizer_vocabulary(t);
    for (int32_t i = 0; v->whole_pieces && i < v->count; i++)
        if (!v->special[i] && v->begin[i + 1] - v->begin[i] == n && !memcmp(v->bytes + v->begin[i], piece, (size_t)n)) {
            id[0] = i;
            return 1;
        }
    for (int64_t i = 0; i < n; i++) id[i] = v->byte_id[(uint8_t)piece[i]];
    for (;;) {
        int best = -1;
        int64_t at = -1;
        for (int64_t i = 0; i + 1 < n; i++)
            for (int m = 0; m < v->n_merges; m++)
                if (v->merges[m].left == id[i] && v->merges[m].right == id[i + 1] &&
                    (best < 0 || v->merges[m].rank < v->merges[best].rank)) {
                    best = m;
                    at = i;
                }
        if (best < 0) return n;
        id[at] = v->merges[best].result;
        memmove(id + at + 1, id + at + 2, (size_t)(n - at - 2) * sizeof *id);
        n--;
    }
}

/* A text of what patterns look at. */
static int64_t random_text(char *text, int64_t length, uint32_t seed) {
    static const char *const parts[] = {"e",
                                        "t",
                                        "the",
                                        "in",
                                        " ",
                                        "  ",
                                        "\n",
                                        "\r\n",
                                        "\t",
                                        "'s",
                                        "'LL",
                                        "'",
                                        "1",
                                        "12345",
                                        ".",
                                        "!!",
                                        "\xc3\xa9",
                                        "\xe4\xb8\xad",
                                        "\xe2\x80\xa8",
                                        "\xc2\x85",
                                        "\xf0\x9f\x98\x80",
                                        "\xff",
                                        "\xc3",
                                        "\xed\xa0\x80",
                                        "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"};
    int64_t n = 0;
    for (uint32_t i = 0;; i++) {
        const char *part = parts[philox(i, seed, 1, 0, 1, 2).word[0] % (sizeof parts / sizeof *parts)];
        if (n + (int64_t)strlen(part) > length) return n;
        memcpy(text + n, part, strlen(part));
        n += (int64_t)strlen(part);
    }
}

static void check_decodes(const struct tokenizer *t, const struct ids *ids, const char *text, int64_t length) {
    int64_t at = 0, n;
    for (int64_t i = 0; i < ids->count; i++) {
        const uint8_t *bytes = tokenizer_bytes(t, ids->id[i], &n);
        assert_true(n > 0 && at + n <= length);
        assert_memory_equal(bytes, text + at, (size_t)n);
        at += n;
    }
    assert_int_equal(at, length);
}

static void equals_plain_bpe(void **state) {
    (void)state;
    static const enum split splits[] = {SPLIT_GPT2, SPLIT_CL100K};
    char text[600];
    int32_t want[600];
    for (uint32_t seed = 0; seed < 60; seed++) {
        enum split split = splits[seed % 2];
        struct tokenizer *t = random_tokenizer(split, 120, seed, seed % 4 == 1);
        struct encoder *e;
        struct splitter *s;
        must(encoder_open(t, &e));
        must(splitter_open(split, NULL, &s));
        for (uint32_t k = 0; k < 10; k++) {
            int64_t length = random_text(text, (int64_t)(k % 2 ? 600 : 60), seed * 100 + k), n, count = 0;
            struct ids ids = {0};
            const char *piece;
            must(encoder_encode(e, text, length, 0, &ids));
            check_decodes(t, &ids, text, length);
            splitter_begin(s, text, length);
            while (splitter_next(s, &piece, &n) > 0) count += plain_bpe(t, piece, n, want + count);
            assert_int_equal(ids.count, count);
            assert_memory_equal(ids.id, want, (size_t)count * sizeof *want);
            ids_free(&ids);
        }
        splitter_close(s);
        encoder_close(e);
        tokenizer_close(t);
    }
}

/* Cut anywhere that is allowed, the parts encode to the same. */
static void cuts_change_nothing(void **state) {
    (void)state;
    char text[3000];
    int cuts = 0;
    for (uint32_t seed = 0; seed < 40; seed++) {
        struct tokenizer *t = random_tokenizer(seed % 2 ? SPLIT_GPT2 : SPLIT_CL100K, 100, seed, 0);
        struct encoder *e;
        int64_t length = random_text(text, 3000, seed);
        struct ids whole = {0}, parts = {0};
        must(encoder_open(t, &e));
        must(encoder_encode(e, text, length, 0, &whole));
        for (int64_t begin = 0, end; begin < length; begin = end, cuts++) {
            end = tokenizer_cut(t, text, length, begin + 1 + seed % 5 * 20);
            must(encoder_encode(e, text + begin, end - begin, 0, &parts));
        }
        assert_int_equal(whole.count, parts.count);
        assert_memory_equal(whole.id, parts.id, (size_t)whole.count * sizeof *whole.id);
        ids_free(&whole);
        ids_free(&parts);
        encoder_close(e);
        tokenizer_close(t);
    }
    assert_true(cuts > 300);
}

/* ---- pieces ---- */

struct pieces {
    enum split split;
    const char *text, *pieces; /* the pieces with | between them */
};

static void pieces_are_as_published(void **state) {
    (void)state;
    static const struct pieces rows[] = {
        {SPLIT_GPT2, "Hello world  again", "Hello| world| | again"},
        {SPLIT_GPT2, "I'll, he's, I'LL", "I|'ll|,| he|'s|,| I|'|LL"},
        {SPLIT_GPT2, "a1 12345\n\n b", "a|1| 12345|\n\n| b"},
        {SPLIT_GPT2, "x   ", "x|   "},
        {SPLIT_GPT2, "\xc2\xa0\xc2\xa0z", "\xc2\xa0|\xc2\xa0|z"}, /* no-break spaces are white space, and not " ?" */
        {SPLIT_GPT2,
         "z\xe1\xa0\x8e"
         "1",
         "z|\xe1\xa0\x8e|1"}, /* U+180E is none */
        {SPLIT_GPT2,
         "a\x1c\x1d"
         "b",
         "a|\x1c\x1d|b"},                           /* nor are U+001C, U+001D */
        {SPLIT_GPT2, "e\xcc\x81t", "e|\xcc\x81|t"}, /* a combining mark is no letter */
        {SPLIT_GPT2,
         "a\xff\xfe"
         "b\xc3",
         "a|\xff\xfe|b|\xc3"}, /* invalid bytes are pieces of their own */
        {SPLIT_GPT2, " \xff x", " |\xff| x"},
        {SPLIT_CL100K, "Hello world  again", "Hello| world| | again"},
        {SPLIT_CL100K, "I'LL don't", "I|'LL| don|'t"},
        {SPLIT_CL100K, "1234567", "123|456|7"},
        {SPLIT_CL100K, "end!!\n\n  next", "end|!!\n\n| | next"},
        {SPLIT_CL100K, "a \n \n b", "a| \n \n| b"},
        {SPLIT_CL100K, "\"quoted\" (x)", "\"quoted|\"| (|x|)"},
        {SPLIT_CL100K, "it'\xc5\xbf", "it|'\xc5\xbf"}, /* U+017F is an s in any case */
        {SPLIT_CL100K, "\xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x98\x80", "\xe4\xb8\xad\xe6\x96\x87| \xf0\x9f\x98\x80"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct splitter *s;
        const char *piece;
        char got[256] = "";
        int64_t n;
        must(splitter_open(rows[i].split, NULL, &s));
        splitter_begin(s, rows[i].text, (int64_t)strlen(rows[i].text));
        while (splitter_next(s, &piece, &n) > 0)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", *got ? "|" : "", (int)n, piece);
        if (strcmp(got, rows[i].pieces)) fail_msg("row %zu: '%s', not '%s'", i, got, rows[i].pieces);
        splitter_close(s);
    }
}

/* Patterns that match nothing, or the empty text, still give every byte once. */
static void strange_patterns_end(void **state) {
    (void)state;
    static const char *const patterns[] = {"x*", "(?=a)", "zzz", "[^\\s]", "\\S+|\\s"};
    static const char text[] = "a b\xc3\xa9  \xff"
                               "aa";
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct splitter *s;
        const char *piece;
        int64_t n, at = 0;
        must(splitter_open(SPLIT_OTHER, patterns[i], &s));
        splitter_begin(s, text, sizeof text - 1);
        while (splitter_next(s, &piece, &n) > 0) {
            assert_ptr_equal(piece, text + at);
            assert_true(n > 0);
            at += n;
        }
        assert_int_equal(at, sizeof text - 1);
        splitter_close(s);
    }
    struct splitter *s;
    assert_int_equal(splitter_open(SPLIT_OTHER, "(", &s), STATUS_BAD_DATA);
    assert_non_null(strstr(fail_message(), "the pattern '(' cannot be used"));
}

static void special_tokens(void **state) {
    (void)state;
    struct tokenizer *t = random_tokenizer(SPLIT_GPT2, 50, 3, 0);
    struct encoder *e;
    struct ids ids = {0};
    int32_t end = tokenizer_end_of_text(t);
    static const char text[] = "t<|endoftext|><|end|><|endx<|en<|endoftext|>";
    assert_int_equal(end, tokenizer_special(t, "<|endoftext|>"));
    assert_int_equal(tokenizer_special(t, "<|nothing|>"), -1);
    must(encoder_open(t, &e));
    must(encoder_encode(e, text, sizeof text - 1, 1, &ids));
    int32_t found[8], n = 0;
    for (int64_t i = 0; i < ids.count; i++)
        if (ids.id[i] >= end) found[n++] = ids.id[i] - end;
    assert_int_equal(n, 4); /* the longest at each place */
    assert_int_equal(found[0], 0);
    assert_int_equal(found[1], 1);
    assert_int_equal(found[2], 2);
    assert_int_equal(found[3], 0);
    check_decodes(t, &ids, text, sizeof text - 1);
    ids.count = 0;
    must(encoder_encode(e, text, sizeof text - 1, 0, &ids));
    for (int64_t i = 0; i < ids.count; i++) assert_true(ids.id[i] < end);
    ids_free(&ids);
    encoder_close(e);
    tokenizer_close(t);
}

static double seconds_for(struct encoder *e, const char *text, int64_t length) {
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        struct ids ids = {0};
        double began = clock_seconds();
        must(encoder_encode(e, text, length, 0, &ids));
        if (clock_seconds() - began < best) best = clock_seconds() - began;
        ids_free(&ids);
    }
    return best;
}

/* One word of 1 MB takes no more than n log n: four times the length, far less than sixteen times the time. */
static void long_words_are_quick(void **state) {
    (void)state;
    enum { LENGTH = 1 << 20 };
    static const char *const kinds[] = {"e", "et", "eta", " ", "\n", "\xc3\xa9", "\xff", "12"};
    char *text = malloc(LENGTH);
    for (int split = 0; split < 2; split++) {
        struct tokenizer *t = random_tokenizer(split ? SPLIT_CL100K : SPLIT_GPT2, 200, 7, split);
        struct encoder *e;
        must(encoder_open(t, &e));
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            size_t n = strlen(kinds[k]);
            for (size_t i = 0; i < LENGTH; i++) text[i] = kinds[k][i % n];
            double quarter = seconds_for(e, text, LENGTH / 4), whole = seconds_for(e, text, LENGTH);
            if (whole > 10 * quarter + 0.01 || whole > 10)
                fail_msg("'%s' again and again: %.3f s for 256 KiB, %.3f s for 1 MiB", kinds[k], quarter, whole);
        }
        encoder_close(e);
        tokenizer_close(t);
    }
    free(text);
}

/* ---- what cannot be a vocabulary ---- */

static void bad_vocabularies(void **state) {
    (void)state;
    static const char *const words[] = {
        "no token stands for byte 0xff", "tokens 256 and 257 have the same bytes", "merge 0 speaks of token 300",
        "merge 0 (tokens 97 and 98) is not its parts joined", "the vocabulary is empty"};
    for (int i = 0; i < 5; i++) {
        struct vocabulary v = {.split = SPLIT_GPT2};
        struct tokenizer *t;
        for (int b = 0; b < (i == 0 ? 255 : i == 4 ? 0 : 256); b++) {
            uint8_t byte = (uint8_t)b;
            must(vocabulary_add(&v, &byte, 1, 0));
        }
        if (i == 1) must(vocabulary_add(&v, "ab", 2, 0));
        if (i == 1) must(vocabulary_add(&v, "ab", 2, 0));
        if (i == 3) must(vocabulary_add(&v, "ba", 2, 0));
        if (i == 2) must(vocabulary_add_merge(&v, 'a', 300, 1, 0));
        if (i == 3) must(vocabulary_add_merge(&v, 'a', 'b', 256, 0));
        assert_int_equal(tokenizer_build(&v, "it", &t), STATUS_BAD_DATA);
        if (!strstr(fail_message(), words[i])) fail_msg("'%s' does not say '%s'", fail_message(), words[i]);
        assert_null(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_plain_bpe),        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(pieces_are_as_published), cmocka_unit_test(strange_patterns_end),
        cmocka_unit_test(special_tokens),          cmocka_unit_test(long_words_are_quick),
        cmocka_unit_test(bad_vocabularies),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
