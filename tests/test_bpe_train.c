/* Training: merges against a plain implementation on random words, the same for any threads and cuts, and known small cases. */
#include "base/check.h"
#include "base/philox.h"
#include "tokenizer/train.h"
#include "tokenizer/words.h"

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

/* Trains on a text in `parts` parts, cut at spaces, with `threads` threads. */
static struct tokenizer *train(const char *text, int vocab, int64_t min_count, int parts, int threads) {
    static const char *const special[] = {"<|endoftext|>"};
    struct train_bpe_options o = {.vocab = vocab, .min_count = min_count, .special = special, .n_special = 1};
    struct word_counts *counts;
    struct tokenizer *t;
    int64_t length = (int64_t)strlen(text), begin = 0;
    must(word_counts_new(SPLIT_GPT2, threads, &counts));
    for (int i = 1; i <= parts; i++) {
        int64_t end = i == parts ? length : split_cut(SPLIT_GPT2, text, length, length * i / parts), size = end - begin;
        if (end <= begin) continue;
        const char *part = text + begin;
        must(word_counts_add(counts, &part, &size, 1));
        begin = end;
    }
    must(train_bpe(counts, &o, &t));
    word_counts_free(counts);
    return t;
}

/* "ab+c" for each merge, in order. */
static void write_merges(const struct tokenizer *t, char *out, size_t size) {
    const struct vocabulary *v = tokenizer_vocabulary(t);
    out[0] = '\0';
    for (int i = 0; i < v->n_merges; i++) {
        size_t used = strlen(out);
        int32_t l = v->merges[i].left, r = v->merges[i].right;
        snprintf(out + used, size - used, "%s%.*s+%.*s", i ? "," : "", (int)(v->begin[l + 1] - v->begin[l]),
                 v->bytes + v->begin[l], (int)(v->begin[r + 1] - v->begin[r]), v->bytes + v->begin[r]);
    }
}

static void known_cases(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int merges;
        int64_t min_count;
        const char *want;
    } rows[] = {
        {"low low low lower lower", 3, 2, "l+o,lo+w, +low"}, /* o+w as often, but 'l' is before 'o' */
        {"aaaa aaaa", 9, 1, "a+a,aa+aa, +aaaa"},
        {"aaa", 9, 1, "a+a,aa+a"},
        {"ab cd", 9, 2, ""}, /* no pair twice */
        {"", 9, 1, ""},
    };
    char got[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tokenizer *t = train(rows[i].text, 257 + rows[i].merges, rows[i].min_count, 1, 1);
        write_merges(t, got, sizeof got);
        if (strcmp(got, rows[i].want)) fail_msg("'%s': %s, not %s", rows[i].text, got, rows[i].want);
        assert_int_equal(tokenizer_vocab(t), 257 + tokenizer_vocabulary(t)->n_merges);
        assert_int_equal(tokenizer_end_of_text(t), tokenizer_vocab(t) - 1);
        tokenizer_close(t);
    }
}

/* Words of few letters, so that counts are equal often. */
static void random_words(char *text, int64_t length, uint32_t seed) {
    static const char letters[] = "aab bc  \n1";
    for (int64_t i = 0; i < length; i++)
        text[i] = letters[philox((uint32_t)i, seed, 3, 0, 1, 2).word[0] % (sizeof letters - 1)];
    text[length] = '\0';
}

struct plain {
    int32_t id[64][32];
    int n[64], count[64], words;
    char token[600][40];
    int tokens;
};

static int find_token_text(const struct plain *p, const char *text) {
    for (int i = 0; i < p->tokens; i++)
        if (!strcmp(p->token[i], text)) return i;
    return -1;
}

/* Algorithm 1 of the paper, all counts made anew for each merge; ties go to the smaller ids. */
static int plain_merge(struct plain *p, int64_t min_count, char *out) {
    int64_t best = 0;
    int left = -1, right = -1;
    for (int a = 0; a < p->tokens; a++)
        for (int b = 0; b < p->tokens; b++) {
            int64_t count = 0;
            for (int w = 0; w < p->words; w++)
                for (int i = 0; i + 1 < p->n[w]; i++)
                    count += p->id[w][i] == a && p->id[w][i + 1] == b ? p->count[w] : 0;
            if (count > best) {
                best = count;
                left = a;
                right = b;
            }
        }
    if (best < min_count || left < 0) return 0;
    char text[80];
    snprintf(text, sizeof text, "%s%s", p->token[left], p->token[right]);
    sprintf(out, "%s+%s", p->token[left], p->token[right]);
    int result = find_token_text(p, text);
    if (result < 0) {
        result = p->tokens++;
        snprintf(p->token[result], sizeof p->token[result], "%.39s", text);
    }
    for (int w = 0; w < p->words; w++) {
        int n = 0;
        for (int i = 0; i < p->n[w]; i++) {
            int here = i + 1 < p->n[w] && p->id[w][i] == left && p->id[w][i + 1] == right;
            p->id[w][n++] = here ? result : p->id[w][i];
            i += here;
        }
        p->n[w] = n;
    }
    return 1;
}

/* Tokens of the plain one: the letters that are used, in the order of their byte letters. */
static void plain_load(struct plain *p, const char *text) {
    static const char order[] = "1abc\n ";
    struct splitter *s;
    const char *piece;
    int64_t n;
    memset(p, 0, sizeof *p);
    for (; order[p->tokens]; p->tokens++) p->token[p->tokens][0] = order[p->tokens];
    must(splitter_open(SPLIT_GPT2, NULL, &s));
    splitter_begin(s, text, (int64_t)strlen(text));
    while (splitter_next(s, &piece, &n) > 0) {
        assert_true(p->words < 64 && n < 32);
        for (int64_t i = 0; i < n; i++) p->id[p->words][i] = (int32_t)(strchr(order, piece[i]) - order);
        p->n[p->words] = (int)n;
        p->count[p->words++] = 1;
    }
    splitter_close(s);
}

static void equals_the_plain_algorithm(void **state) {
    (void)state;
    static struct plain p;
    char text[101], got[2048], want[2048], one[128];
    for (uint32_t seed = 0; seed < 60; seed++) {
        random_words(text, 60 + seed % 40, seed);
        plain_load(&p, text);
        want[0] = '\0';
        int base = p.tokens;
        while (p.tokens < base + 12 && plain_merge(&p, 1 + seed % 3, one))
            snprintf(want + strlen(want), sizeof want - strlen(want), "%s%s", *want ? "," : "", one);
        struct tokenizer *t = train(text, 257 + 12, 1 + seed % 3, 1, 1);
        write_merges(t, got, sizeof got);
        if (strcmp(got, want)) fail_msg("seed %u: %s, not %s", seed, got, want);
        tokenizer_close(t);
    }
}

static void same_for_all_threads_and_parts(void **state) {
    (void)state;
    enum { LENGTH = 20000 };
    char *text = malloc(LENGTH + 1);
    uint8_t first[TOKENIZER_HASH], hash[TOKENIZER_HASH];
    random_words(text, LENGTH, 5);
    for (int i = 0; i < 4; i++) {
        struct tokenizer *t = train(text, 400, 2, 1 + 7 * i, 1 + i);
        tokenizer_hash(t, i ? hash : first);
        if (i) assert_memory_equal(first, hash, sizeof hash);
        tokenizer_close(t);
    }
    free(text);
}

/* A merge is left out where its token would be written like a special one, and so are those that need it. */
static void merges_never_make_special_tokens(void **state) {
    (void)state;
    static const struct {
        const char *special, *want;
    } rows[] = {
        {"<s>", "l+o,lo+w, +low"},  {"low", "l+o, +lo, lo+w"},
        {" low", "l+o,lo+w, +low"}, /* a file writes the merged token with a letter for the space */
        {"\u0120low", "l+o,lo+w"},  {"lo", "o+w,l+ow, +low"},
    };
    static const char text[] = "low low low low";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct train_bpe_options o = {.vocab = 270, .min_count = 2, .special = &rows[i].special, .n_special = 1};
        struct word_counts *counts;
        struct tokenizer *t;
        const char *texts = text;
        char got[256], *json;
        int64_t length = sizeof text - 1;
        must(word_counts_new(SPLIT_GPT2, 1, &counts));
        must(word_counts_add(counts, &texts, &length, 1));
        must(train_bpe(counts, &o, &t));
        write_merges(t, got, sizeof got);
        if (strcmp(got, rows[i].want)) fail_msg("'%s': %s, not %s", rows[i].special, got, rows[i].want);
        must(tokenizer_to_json(t, &json, &length));
        assert_int_equal(tokenizer_special(t, rows[i].special), tokenizer_vocab(t) - 1);
        free(json);
        tokenizer_close(t);
        word_counts_free(counts);
    }
}

/* Counts of four threads, each of which saw other texts, come together in the order of bytes. */
static void words_are_counted_and_sorted(void **state) {
    (void)state;
    static const char *const texts[] = {"b a", "b b\n", "a ab", "", "b ab a", "a\xff"};
    static const struct {
        const char *text;
        int64_t count;
    } want[] = {{"\n", 1}, {" a", 2}, {" ab", 2}, {" b", 1}, {"a", 2}, {"b", 3}, {"\xff", 1}};
    enum { TEXTS = sizeof texts / sizeof *texts, WORDS = sizeof want / sizeof *want };
    int64_t length[TEXTS], sum = 0;
    struct word_counts *counts;
    for (int i = 0; i < TEXTS; i++) sum += length[i] = (int64_t)strlen(texts[i]);
    must(word_counts_new(SPLIT_GPT2, 4, &counts));
    must(word_counts_add(counts, texts, length, TEXTS));
    for (int again = 0; again < 2; again++) { /* and finishing twice changes nothing */
        must(word_counts_finish(counts));
        assert_int_equal(word_counts_totals(counts).words, WORDS);
        assert_int_equal(word_counts_totals(counts).bytes, sum);
        for (int i = 0; i < WORDS; i++) {
            assert_int_equal(counts->sorted[i].length, strlen(want[i].text));
            assert_memory_equal(counts->sorted[i].bytes, want[i].text, strlen(want[i].text));
            assert_int_equal(counts->sorted[i].count, want[i].count);
        }
    }
    word_counts_free(counts);
}

/* What the merges leave of the words is what encoding gives. */
static void tokens_are_those_of_encoding(void **state) {
    (void)state;
    enum { LENGTH = 20000 };
    struct train_bpe_options o = {.vocab = 400, .min_count = 2};
    struct word_counts *counts;
    struct tokenizer *t;
    struct encoder *encoder;
    struct ids ids = {0};
    int64_t length = LENGTH;
    char *text = malloc(LENGTH + 1);
    random_words(text, LENGTH, 9);
    must(word_counts_new(SPLIT_CL100K, 2, &counts));
    must(word_counts_add(counts, (const char *const *)&text, &length, 1));
    must(train_bpe(counts, &o, &t));
    must(encoder_open(t, &encoder));
    must(encoder_encode(encoder, text, length, 0, &ids));
    assert_int_equal(counts->tokens, ids.count);
    assert_int_equal(counts->bytes, LENGTH);
    ids_free(&ids);
    encoder_close(encoder);
    tokenizer_close(t);
    word_counts_free(counts);
    free(text);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *special[2];
        int32_t vocab;
        const char *message;
    } rows[] = {
        {{"<s>", "</s>"}, 257, "a vocabulary of 257 tokens is too small"},
        {{"<s>", "<s>"}, 300, "special token '<s>' is named twice"},
        {{"<s>", ""}, 300, "special token 2 of 2 has no text"},
        {{"<s>", "s"}, 300, "special token 's' is written like the token of a byte"},
        {{"<s>", "\u0120"}, 300, "is written like the token of a byte"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct train_bpe_options o = {
            .vocab = rows[i].vocab, .min_count = 1, .special = rows[i].special, .n_special = 2};
        struct word_counts *counts;
        struct tokenizer *t;
        must(word_counts_new(SPLIT_GPT2, 1, &counts));
        assert_int_equal(train_bpe(counts, &o, &t), STATUS_USAGE);
        if (!strstr(fail_message(), rows[i].message)) fail_msg("'%s' lacks '%s'", fail_message(), rows[i].message);
        word_counts_free(counts);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_cases),
        cmocka_unit_test(equals_the_plain_algorithm),
        cmocka_unit_test(same_for_all_threads_and_parts),
        cmocka_unit_test(merges_never_make_special_tokens),
        cmocka_unit_test(words_are_counted_and_sorted),
        cmocka_unit_test(tokens_are_those_of_encoding),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests_name("bpe train", tests, NULL, NULL);
}
