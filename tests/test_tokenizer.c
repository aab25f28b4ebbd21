/* Encoding: against a plain BPE over random texts, hard strings, invalid UTF-8, cuts, special tokens, and time on long words. */
#include "base/check.h"
#include "base/philox.h"
#include "tokenizer/vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static void must(int status) {
    if (status) fail_msg("status %d: %s", status, fail_message());
}

static void add_bytes(struct vocabulary *v, int count) {
    for (int b = 0; b < count; b++) must(vocabulary_add(v, &(uint8_t){(uint8_t)b}, 1, 0));
}

static void close_both(struct encoder *e, struct tokenizer *t) {
    encoder_close(e);
    tokenizer_close(t);
}

/* A vocabulary of bytes and of random merges, some of which make bytes of UTF-8 into characters. */
static struct tokenizer *random_tokenizer(enum split split, int merges, uint32_t seed, int whole) {
    static const char often[] = "eta oin\xc3\xa9' s1\r\n";
    struct vocabulary v = {.split = split, .whole_pieces = whole};
    struct tokenizer *t;
    add_bytes(&v, 256);
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
    static const char many[] = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
    static const char *const ascii[] = {"e",  "t",   "the", "in", " ",     "  ", "\n", "\r\n", "\t",
                                        "'s", "'LL", "'",   "1",  "12345", ".",  "!!", many};
    static const char *const beyond[] = {"\xff",     "\xc3\xa9",         "\xe4\xb8\xad", "\xe2\x80\xa8",
                                         "\xc2\x85", "\xf0\x9f\x98\x80", "\xc3",         "\xed\xa0\x80"};
    enum { ASCII = sizeof ascii / sizeof *ascii, PARTS = ASCII + sizeof beyond / sizeof *beyond };
    int64_t n = 0;
    for (uint32_t i = 0;; i++) {
        uint32_t k = philox(i, seed, 1, 0, 1, 2).word[0] % PARTS;
        const char *part = k < ASCII ? ascii[k] : beyond[k - ASCII];
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
        close_both(e, t);
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
        close_both(e, t);
    }
    assert_true(cuts > 300);
}

/* The pieces of a text with | between them. */
static void check_cut(enum split split, const char *pattern, const char *text, const char *want) {
    struct splitter *s;
    const char *piece;
    char got[256] = "";
    int64_t n;
    must(splitter_open(split, pattern, &s));
    splitter_begin(s, text, (int64_t)strlen(text));
    while (splitter_next(s, &piece, &n) > 0)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", *got ? "|" : "", (int)n, piece);
    if (strcmp(got, want)) fail_msg("'%s': '%s', not '%s'", pattern ? pattern : text, got, want);
    splitter_close(s);
}

static void pieces_are_as_published(void **state) {
    (void)state;
    static const struct {
        enum split split;
        const char *text, *pieces;
    } rows[] = {
        {SPLIT_GPT2, "Hello world  again", "Hello| world| | again"},
        {SPLIT_GPT2, "I'll, he's, I'LL", "I|'ll|,| he|'s|,| I|'|LL"},
        {SPLIT_GPT2, "a1 12345\n\n b", "a|1| 12345|\n\n| b"},
        {SPLIT_GPT2, "x   ", "x|   "},
        {SPLIT_GPT2, "\xc2\xa0\xc2\xa0z", "\xc2\xa0|\xc2\xa0|z"}, /* no-break spaces are white space, and not " ?" */
        {SPLIT_GPT2, "z\xe1\xa0\x8ez", "z|\xe1\xa0\x8e|z"},       /* U+180E is none */
        {SPLIT_GPT2, "z\x1c\x1dz", "z|\x1c\x1d|z"},               /* nor are U+001C, U+001D */
        {SPLIT_GPT2, "e\xcc\x81t", "e|\xcc\x81|t"},               /* a combining mark is no letter */
        {SPLIT_GPT2, "a\xff\xfez\xc3", "a|\xff\xfe|z|\xc3"},      /* invalid bytes are pieces of their own */
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
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_cut(rows[i].split, NULL, rows[i].text, rows[i].pieces);
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
    close_both(e, t);
}

/* Random strings of what the patterns tell apart, many of them short: what stands at an end matters. */
static int64_t pattern_text(char text[400], uint32_t seed) {
    static const char ascii[] = "''sStrevlLdmMZ07    \n\n\r\t\v\x1c.!\x7f";
    static const char beyond[][5] = {"\xc3\xa9",     "\xc5\xbf",     "\xcc\x81",     "\xc2\xa0",
                                     "\xc2\x85",     "\xc2\xb2",     "\xff",         "\xe2\x84\xaa",
                                     "\xe1\xa0\x8e", "\xe2\x80\x8b", "\xe3\x80\x80", "\xf0\x9f\x98\x80"};
    struct philox r = philox(seed, 0, 0, 0, 3, 4);
    int count = 1 + (int)(r.word[0] % 14);
    int64_t n = 0;
    for (int i = 0; i < count; i++) {
        struct philox draw = philox(seed, (uint32_t)i, 1, 0, 3, 4);
        const char *part = beyond[draw.word[0] % (sizeof beyond / sizeof *beyond)];
        if (draw.word[1] % 4)
            text[n++] = ascii[draw.word[0] % (sizeof ascii - 1)];
        else
            for (; *part; part++) text[n++] = *part;
    }
    return n;
}

/* Whether two splitters give the same pieces. */
static int same_pieces(struct splitter *a, struct splitter *b, const char *text, int64_t length) {
    const char *left, *right;
    int64_t n = 0, m = 0;
    int more, same = 1;
    splitter_begin(a, text, length);
    splitter_begin(b, text, length);
    do {
        more = splitter_next(a, &left, &n);
        same = more == splitter_next(b, &right, &m) && (!more || (left == right && n == m));
        assert_true(more >= 0);
    } while (more && same);
    return same;
}

/* ASCII is cut by hand where the pattern is known; the same pattern as one of a file's own goes to PCRE2. All forms that are
 * taken for a known pattern must cut as it does. */
static void known_patterns_are_what_they_are_taken_for(void **state) {
    (void)state;
    static const struct {
        enum split split;
        const char *pattern;
    } rows[] = {
        {SPLIT_GPT2, NULL},
        {SPLIT_GPT2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
        {SPLIT_GPT2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s"},
        {SPLIT_CL100K, NULL},
        {SPLIT_CL100K,
         "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
         "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},
    };
    char text[400];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *pattern = rows[i].pattern ? rows[i].pattern : split_pattern(rows[i].split);
        struct splitter *by_hand, *by_match;
        assert_int_equal(split_of_pattern(pattern), rows[i].split);
        must(splitter_open(rows[i].split, NULL, &by_hand));
        must(splitter_open(SPLIT_OTHER, pattern, &by_match));
        for (uint32_t seed = 0; seed < 8000; seed++) {
            int64_t length = pattern_text(text, seed);
            if (!same_pieces(by_hand, by_match, text, length))
                fail_msg("row %zu, seed %u: other pieces of '%.*s'", i, seed, (int)length, text);
        }
        splitter_close(by_hand);
        splitter_close(by_match);
    }
}

/* A form of cl100k's pattern that looks the same, and keeps white space at the end of a text together. */
static void a_like_pattern_is_another(void **state) {
    (void)state;
    static const char like[] = "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "
                               "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s";
    struct splitter *known, *other;
    assert_int_equal(split_of_pattern(like), SPLIT_OTHER);
    must(splitter_open(SPLIT_CL100K, NULL, &known));
    must(splitter_open(SPLIT_OTHER, like, &other));
    assert_true(same_pieces(known, other, "a\n  b", 5));
    assert_false(same_pieces(known, other, "a\n  ", 4));
    splitter_close(known);
    splitter_close(other);
}

/* Patterns are Oniguruma's: rows are what it gives. */
static void patterns_mean_what_they_do_elsewhere(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text, *pieces;
    } rows[] = {
        {"[^\\S\\n]+", "a \t\nb", "a| \t|\nb"},
        {"[[:alpha:]\\s]+", "1a 2b]", "1|a |2|b|]"},
        {"[]\\s]+", "1] 2", "1|] |2"},
        {"[^]\\s]+", "a] b", "a|] |b"},
        {"\\h+", "xafz9", "x|af|z|9"},
        {"\\w+", "e\xcc\x81_1!", "e\xcc\x81_1|!"},
        {"^.", "ab\ncd", "a|b\n|c|d"},
        {".$", "ab\ncd", "a|b|\nc|d"},
        {"x*", "ab", "a|b"},
        {"\\s", "a\xe1\xa0\x8ez\xc2\x85", "a\xe1\xa0\x8ez|\xc2\x85"},
    };
    static const char *const refused[] = {"[a[bc]]", "[\\p{L}&&[^a]]", "[\\p{L}&&a]", "[\\Wa]", "[\\Ha]", "\\C", "a\\"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_cut(SPLIT_OTHER, rows[i].pattern, rows[i].text, rows[i].pieces);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct splitter *s;
        assert_int_equal(splitter_open(SPLIT_OTHER, refused[i], &s), STATUS_BAD_DATA);
        assert_null(s);
    }
}

/* Pieces that are too long for the scan, beside those that are not: the heap merges in the same order. */
static void long_words_equal_plain_bpe(void **state) {
    (void)state;
    char text[300];
    int32_t want[300];
    for (uint32_t seed = 0; seed < 12; seed++) {
        struct tokenizer *t = random_tokenizer(SPLIT_GPT2, 150, seed, 0);
        struct encoder *e;
        struct ids ids = {0};
        must(encoder_open(t, &e));
        for (int64_t length = 44; length <= 300; length += length < 54 ? 1 : 82) {
            for (int64_t i = 0; i < length; i++)
                text[i] = "etaoins"[philox((uint32_t)i, seed, (uint32_t)length, 0, 5, 6).word[0] % 7];
            ids.count = 0;
            must(encoder_encode(e, text, length, 0, &ids));
            int64_t count = plain_bpe(t, text, length, want);
            assert_int_equal(ids.count, count);
            assert_memory_equal(ids.id, want, (size_t)count * sizeof *want);
        }
        ids_free(&ids);
        close_both(e, t);
    }
}

/* bc comes first, and leaves a with another neighbour than ab's rank was for: bcd has its turn before abc. Once as a short word
 * and many times over as a long one. */
static void merges_wait_for_their_turn(void **state) {
    (void)state;
    static const char *const tokens[] = {"bc", "ab", "bcd", "abc"};
    static const int32_t merges[][2] = {{'b', 'c'}, {'a', 'b'}, {256, 'd'}, {'a', 256}};
    struct vocabulary v = {.split = SPLIT_GPT2};
    struct tokenizer *t;
    struct encoder *e;
    char text[400];
    add_bytes(&v, 256);
    for (int i = 0; i < 4; i++) {
        must(vocabulary_add(&v, tokens[i], (int64_t)strlen(tokens[i]), 0));
        must(vocabulary_add_merge(&v, merges[i][0], merges[i][1], 256 + i, i));
    }
    must(tokenizer_build(&v, "turns", &t));
    must(encoder_open(t, &e));
    for (int64_t i = 0; i < 400; i++) text[i] = "abcd"[i % 4];
    for (int64_t length = 4; length <= 400; length += 36) {
        struct ids ids = {0};
        must(encoder_encode(e, text, length, 0, &ids));
        assert_int_equal(ids.count, length / 2);
        for (int64_t i = 0; i < ids.count; i++) assert_int_equal(ids.id[i], i % 2 ? 258 : 'a');
        ids_free(&ids);
    }
    close_both(e, t);
}

static void bytes_are_bytes(void **state) {
    (void)state;
    struct tokenizer *t;
    struct encoder *e;
    struct ids ids = {0};
    static const char text[] = "a\0\xff <|endoftext|>";
    must(tokenizer_open("bytes", &t));
    must(encoder_open(t, &e));
    assert_int_equal(tokenizer_vocab(t), 257);
    assert_int_equal(tokenizer_end_of_text(t), 256);
    must(encoder_encode(e, text, sizeof text - 1, 0, &ids));
    assert_int_equal(ids.count, sizeof text - 1);
    for (int64_t i = 0; i < ids.count; i++) assert_int_equal(ids.id[i], (uint8_t)text[i]);
    ids.count = 0;
    must(encoder_encode(e, text, sizeof text - 1, 1, &ids));
    assert_int_equal(ids.count, 5);
    assert_int_equal(ids.id[4], 256);
    must(encoder_encode(e, "", 0, 1, &ids));
    assert_int_equal(ids.count, 5);
    assert_int_equal(split_cut(SPLIT_BYTES, text, 4, 2), 2);
    assert_int_equal(split_cut(SPLIT_OTHER, "a b c", 5, 1), 5);
    assert_int_equal(split_cut(SPLIT_GPT2, "a b c", 5, 2), 3);
    assert_int_equal(split_cut(SPLIT_GPT2, "\xc3\xa9 b", 4, 0), 4);
    ids_free(&ids);
    close_both(e, t);
}

/* One of one byte, and one that begins like a longer one that the text ends before. */
static void special_tokens_of_any_length(void **state) {
    (void)state;
    static const char *const specials[] = {"\x01", "<a", "<abc", "\x01\x01z"};
    static const struct {
        const char *text;
        int32_t ids[4], count;
    } rows[] = {
        {"\x01", {256}, 1},
        {"\x01\x01", {256, 256}, 2},
        {"\x01\x01z", {259}, 1},
        {"<ab", {257, 'b'}, 2},
        {"<abc<a", {258, 257}, 2},
        {"<", {'<'}, 1},
        {"x\x01<b", {'x', 256, '<', 'b'}, 4},
    };
    struct vocabulary v = {.split = SPLIT_GPT2};
    struct tokenizer *t;
    struct encoder *e;
    add_bytes(&v, 256);
    for (int i = 0; i < 4; i++) must(vocabulary_add(&v, specials[i], (int64_t)strlen(specials[i]), 1));
    must(tokenizer_build(&v, "specials", &t));
    must(encoder_open(t, &e));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ids ids = {0};
        must(encoder_encode(e, rows[i].text, (int64_t)strlen(rows[i].text), 1, &ids));
        assert_int_equal(ids.count, rows[i].count);
        assert_memory_equal(ids.id, rows[i].ids, (size_t)ids.count * sizeof *ids.id);
        ids_free(&ids);
    }
    close_both(e, t);
}

enum change { NONE, ANOTHER_FORM, ANOTHER_RANK, PATTERN, WHOLE, SPECIAL, ORDER, TOKEN, CHANGES };

static void hash_of(enum change change, uint8_t hash[TOKENIZER_HASH]) {
    struct vocabulary v = {.split = change == PATTERN ? SPLIT_CL100K : SPLIT_GPT2, .whole_pieces = change == WHOLE};
    struct tokenizer *t;
    add_bytes(&v, 256);
    must(vocabulary_add(&v, "ab", 2, 0));
    must(vocabulary_add(&v, "cd", 2, 0));
    must(vocabulary_add(&v, change == TOKEN ? "zz" : "yy", 2, change == SPECIAL));
    for (int i = 0; i < 2; i++) {
        int k = change == ORDER ? 1 - i : i;
        must(vocabulary_add_merge(&v, 'a' + 2 * k, 'b' + 2 * k, 256 + k, change == ANOTHER_RANK ? 10 * i : i));
    }
    if (change == ANOTHER_FORM) v.pattern = strdup("'(?:[sdmt]|ll|ve|re)|…");
    must(tokenizer_build(&v, "hash", &t));
    tokenizer_hash(t, hash);
    tokenizer_close(t);
}

/* All that decides about ids is in the hash; ranks and the form of a known pattern are not. */
static void hash_sees_what_decides(void **state) {
    (void)state;
    uint8_t hash[CHANGES][TOKENIZER_HASH];
    for (int i = 0; i < CHANGES; i++) hash_of((enum change)i, hash[i]);
    assert_memory_equal(hash[NONE], hash[ANOTHER_FORM], TOKENIZER_HASH);
    assert_memory_equal(hash[NONE], hash[ANOTHER_RANK], TOKENIZER_HASH);
    for (int i = PATTERN; i < CHANGES; i++)
        for (int k = 0; k < i; k++)
            if (k == NONE || k >= PATTERN) assert_memory_not_equal(hash[i], hash[k], TOKENIZER_HASH);
}

/* Of this thread's processor time, so that a busy machine does not matter. */
static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds_for(struct encoder *e, const char *text, int64_t length) {
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        struct ids ids = {0};
        double began = processor_seconds(), took;
        must(encoder_encode(e, text, length, 0, &ids));
        took = processor_seconds() - began;
        if (took < best) best = took;
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
        close_both(e, t);
    }
    free(text);
}

static void bad_vocabularies(void **state) {
    (void)state;
    static const char *const words[] = {
        "no token stands for byte 0xff", "tokens 256 and 257 have the same bytes", "merge 0 speaks of token 300",
        "merge 0 (tokens 97 and 98) is not its parts joined", "the vocabulary is empty"};
    for (int i = 0; i < 5; i++) {
        struct vocabulary v = {.split = SPLIT_GPT2};
        struct tokenizer *t;
        add_bytes(&v, i == 0 ? 255 : i == 4 ? 0 : 256);
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
        cmocka_unit_test(equals_plain_bpe),
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(pieces_are_as_published),
        cmocka_unit_test(strange_patterns_end),
        cmocka_unit_test(special_tokens),
        cmocka_unit_test(long_words_are_quick),
        cmocka_unit_test(known_patterns_are_what_they_are_taken_for),
        cmocka_unit_test(a_like_pattern_is_another),
        cmocka_unit_test(patterns_mean_what_they_do_elsewhere),
        cmocka_unit_test(long_words_equal_plain_bpe),
        cmocka_unit_test(merges_wait_for_their_turn),
        cmocka_unit_test(bytes_are_bytes),
        cmocka_unit_test(special_tokens_of_any_length),
        cmocka_unit_test(hash_sees_what_decides),
        cmocka_unit_test(bad_vocabularies),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
