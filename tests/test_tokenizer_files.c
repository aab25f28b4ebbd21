/* Tokenizer files: each format gives the vocabulary that it holds, what cannot be read is refused by name, and what is written reads
 * back the same. */
#include "scratch.h"
#include "tokenizer/vocabulary.h"

#include <sys/stat.h>

/* UTF-8 of the letter of a byte. */
static int put_letter(char *out, int byte) {
    uint32_t letter = byte_letter((uint8_t)byte);
    if (letter < 0x80) return sprintf(out, "%s%c", letter == '"' || letter == '\\' ? "\\" : "", (char)letter);
    return sprintf(out, "%c%c", (char)(0xc0 | letter >> 6), (char)(0x80 | (letter & 0x3f)));
}

/* The entries of all bytes as JSON, ids 0 to 255 in byte order. */
static const char *byte_entries(void) {
    static char text[8192];
    char *at = text;
    for (int b = 0; b < 256; b++) {
        at += sprintf(at, "%s\"", b ? ", " : "");
        at += put_letter(at, b);
        at += sprintf(at, "\": %d", b);
    }
    return text;
}

static const char gpt2_split[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}";

/* A tokenizer.json with these parts. */
static const char *json_of(const char *entries, const char *merges, const char *added, const char *split,
                           const char *more) {
    static char text[20000];
    snprintf(text, sizeof text,
             "{\"added_tokens\": [%s], \"pre_tokenizer\": %s%s, \"model\": {\"type\": \"BPE\", \"vocab\": {%s%s}, "
             "\"merges\": "
             "[%s]}}",
             added, split, more, byte_entries(), entries, merges);
    return text;
}

static int open_json(const char *text, struct tokenizer **t) {
    return tokenizer_open_json(text, (int64_t)strlen(text), "it.json", t);
}

/* Space-separated ids of a text. */
static const char *encode(const struct tokenizer *t, const char *text) {
    static char out[256];
    struct encoder *e;
    struct ids ids = {0};
    must(encoder_open(t, &e));
    must(encoder_encode(e, text, (int64_t)strlen(text), 1, &ids));
    out[0] = '\0';
    for (int64_t i = 0; i < ids.count; i++)
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s%d", i ? " " : "", ids.id[i]);
    ids_free(&ids);
    encoder_close(e);
    return out;
}

static void check_round_trip(const struct tokenizer *t) {
    struct tokenizer *again;
    char *json;
    int64_t length;
    uint8_t before[TOKENIZER_HASH], after[TOKENIZER_HASH];
    must(tokenizer_to_json(t, &json, &length));
    assert_int_equal(length, strlen(json));
    must(tokenizer_open_json(json, length, "again", &again));
    tokenizer_hash(t, before);
    tokenizer_hash(again, after);
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(tokenizer_vocab(t), tokenizer_vocab(again));
    free(json);
    tokenizer_close(again);
}

static void letters_are_those_of_gpt2(void **state) {
    (void)state;
    int seen[0x200] = {0};
    for (int b = 0; b < 256; b++) {
        uint32_t letter = byte_letter((uint8_t)b);
        assert_true(letter < 0x200 && !seen[letter]++);
        assert_int_equal(letter_byte(letter), b);
    }
    assert_int_equal(byte_letter('A'), 'A');
    assert_int_equal(byte_letter(' '), 0x120);
    assert_int_equal(byte_letter('\n'), 0x10a);
    assert_int_equal(byte_letter(0xad), 0x143);
    assert_int_equal(letter_byte(' '), -1);
    assert_int_equal(letter_byte(0x144), -1);
    assert_int_equal(letter_byte(0x110000), -1);
}

static void tokenizer_json_is_read(void **state) {
    (void)state;
    struct tokenizer *t;
    must(open_json(json_of(", \"ab\": 256, \"abc\": 257", "\"a b\", [\"ab\", \"c\"]",
                           "{\"id\": 260, \"content\": \"<|endoftext|>\", \"special\": true}", gpt2_split, ""),
                   &t));
    assert_int_equal(tokenizer_vocab(t), 261); /* ids 258 and 259 are nothing */
    assert_int_equal(tokenizer_end_of_text(t), 260);
    assert_int_equal(tokenizer_vocabulary(t)->split, SPLIT_GPT2);
    assert_string_equal(encode(t, "abcab<|endoftext|>ab c"), "257 256 260 256 32 99");
    check_round_trip(t);
    tokenizer_close(t);
    /* A special token that stands in the vocabulary too. */
    must(open_json(json_of(", \"<s>\": 256", "", "{\"id\": 256, \"content\": \"<s>\"}", gpt2_split, ""), &t));
    assert_string_equal(encode(t, "a<s>"), "97 256");
    check_round_trip(t);
    tokenizer_close(t);
}

static void patterns_are_recognised(void **state) {
    (void)state;
    static const char form[] =
        "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"%s\"}, "
        "\"behavior\": \"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", "
        "\"add_prefix_space\": false, \"use_regex\": false}]}";
    static const struct {
        const char *pattern;
        enum split split;
    } rows[] = {
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
         "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+",
         SPLIT_CL100K},
        {"\\\\p{L}+|.", SPLIT_OTHER},
    };
    char split[1024];
    struct tokenizer *t;
    for (int i = 0; i < 2; i++) {
        snprintf(split, sizeof split, form, rows[i].pattern);
        must(open_json(json_of(", \"ab\": 256", "\"a b\"", "", split, ""), &t));
        assert_int_equal(tokenizer_vocabulary(t)->split, rows[i].split);
        assert_string_equal(encode(t, "ab"), "256");
        check_round_trip(t);
        tokenizer_close(t);
    }
    /* Without a pattern a text is one piece; without merges too it is bytes. */
    static const char none[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}";
    must(open_json(json_of(", \"b \": 256", "", "", none, ""), &t)); /* its letters are no byte's: never made */
    assert_int_equal(tokenizer_vocabulary(t)->split, SPLIT_BYTES);
    tokenizer_close(t);
    must(open_json(json_of(", \"ab\": 256", "\"a b\"", "", none, ""), &t));
    assert_int_equal(tokenizer_vocabulary(t)->split, SPLIT_OTHER);
    assert_string_equal(encode(t, "ab\nab"), "256 10 256");
    check_round_trip(t);
    tokenizer_close(t);
    /* A text that is a token stays whole even where nothing is merged. */
    must(open_json(json_of(", \"ab\": 256", "], \"ignore_merges\": true, \"x\": [", "", none, ""), &t));
    assert_int_equal(tokenizer_vocabulary(t)->split, SPLIT_OTHER);
    assert_string_equal(encode(t, "ab"), "256");
    assert_string_equal(encode(t, "aba"), "97 98 97");
    check_round_trip(t);
    tokenizer_close(t);
}

static void bytes_are_a_tokenizer(void **state) {
    (void)state;
    struct tokenizer *t;
    must(tokenizer_open("bytes", &t));
    assert_int_equal(tokenizer_vocab(t), 257);
    assert_int_equal(tokenizer_end_of_text(t), 256);
    assert_string_equal(encode(t, "a\xff<|endoftext|>"), "97 255 256");
    check_round_trip(t);
    tokenizer_close(t);
}

/* Special tokens have their ids wherever they lie, and any text. */
static void special_tokens_are_written_and_read(void **state) {
    (void)state;
    struct tokenizer *t;
    char *json;
    int64_t length;
    must(open_json(
        json_of(
            ", \"ab\": 257", "\"a b\"",
            "{\"id\": 256, \"content\": \"a \\\"b\\\"\\n\\\\\"}, {\"id\": 259, \"content\": \"\\u4e2d\\ud83d\\ude00\", "
            "\"special\": false}",
            gpt2_split, ""),
        &t));
    assert_string_equal(encode(t, "aba \"b\"\n\\\xe4\xb8\xad\xf0\x9f\x98\x80"), "257 256 259");
    check_round_trip(t);
    /* Without its entry in the vocabulary `tokenizers` would number it anew. */
    must(tokenizer_to_json(t, &json, &length));
    assert_non_null(strstr(json, "\"a \\\"b\\\"\\u000a\\\\\": 256"));
    free(json);
    tokenizer_close(t);
}

static void add_bytes(struct vocabulary *v) {
    for (int b = 0; b < 256; b++) must(vocabulary_add(v, (uint8_t[]){(uint8_t)b}, 1, 0));
}

static void what_json_cannot_hold_is_not_written(void **state) {
    (void)state;
    static const struct {
        const char *special, *words;
        int64_t length;
    } rows[] = {
        {"<\xff>", "special token 256 is not UTF-8", 3},
        {"<\xed\xa0\x80>", "special token 256 is not UTF-8", 5},
        {"<\xe4\xb8", "special token 256 is not UTF-8", 3},
        {"a\0b", "special token 256 is not UTF-8", 3},
        {"\xc3\xa9", "special token 256 ('\xc3\xa9') is written like token 233", 2},
        {"a", "special token 256 ('a') is written like token 97", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct vocabulary v = {.split = SPLIT_BYTES};
        struct tokenizer *t;
        char *json;
        int64_t length;
        add_bytes(&v);
        must(vocabulary_add(&v, rows[i].special, rows[i].length, 1));
        if (tokenizer_build(&v, "it", &t)) continue; /* may be refused there already */
        assert_int_equal(tokenizer_to_json(t, &json, &length), STATUS_BAD_DATA);
        says(rows[i].words);
        assert_null(json);
        tokenizer_close(t);
    }
}

static void what_cannot_be_read_is_named(void **state) {
    (void)state;
#define SEQUENCE(steps) "{\"type\": \"Sequence\", \"pretokenizers\": [" steps "]}"
#define SPLIT(behavior)                                                                                                \
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \" \"}, \"behavior\": \"" behavior "\", \"invert\": false}"
#define LEVEL(regex) "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": " regex "}"
    static const struct {
        const char *entries, *merges, *added, *split, *more, *words;
    } rows[] = {
        {"", "", "", gpt2_split, ", \"normalizer\": {\"type\": \"NFC\"}",
         "it.json: normalizer is {\"type\":\"NFC\"}; it must"},
        {"", "", "", gpt2_split, ", \"decoder\": {\"type\": \"WordPiece\"}",
         "decoder is {\"type\":\"WordPiece\"}; it must"},
        {"", "", "", "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}", "",
         "pre_tokenizer.add_prefix_space is true; it must"},
        {"", "", "", LEVEL("3"), "", "pre_tokenizer.use_regex is 3; it must"},
        {"", "", "", "{\"type\": \"Digits\"}", "", "pre_tokenizer.type is \"Digits\"; it must be Split or ByteLevel"},
        {"", "", "", SEQUENCE(SPLIT("Removed")), "", "pre_tokenizer.pretokenizers[0].behavior is \"Removed\"; it must"},
        {"", "", "", SEQUENCE(SPLIT("Isolated") ", " LEVEL("true")), "",
         "pretokenizers[1].use_regex is true; it must be false after"},
        {"", "", "", SEQUENCE(SPLIT("Isolated") ", " SPLIT("Isolated")), "",
         "pretokenizers[1].pattern is {\"Regex\":\" \"}; it is the second"},
        {"", "", "", SEQUENCE(LEVEL("false") ", " SPLIT("Isolated")), "",
         "pretokenizers[1].type is \"Split\"; ByteLevel must be the last"},
        {"", "", "", SEQUENCE("{\"type\": \"Split\", \"pattern\": {\"String\": \" \"}}"), "",
         "pretokenizers[0].pattern is {\"String\":\" \"}; it must"},
        {"", "", "",
         SEQUENCE(
             "{\"type\": \"Split\", \"pattern\": {\"Regex\": \" \"}, \"behavior\": \"Isolated\", \"invert\": true}"),
         "", "pretokenizers[0].invert is true"},
        {"", "", "", SEQUENCE(SPLIT("Isolated")), "", "it must have a ByteLevel"},
        {"", "", "", SEQUENCE(""), "", "it must have a ByteLevel"},
        {"", "", "", "null", "", "pre_tokenizer is missing; it must have a ByteLevel"},
        {"", "\"a b\"", "", gpt2_split, "", "merge 0: its result is not in the vocabulary ('a' and 'b')"},
        {", \"ab\": 256", "\"a b\", \"x yz\"", "", gpt2_split, "",
         "merge 1: its right part is not in the vocabulary ('x' and 'yz')"},
        {"", "\"ab\"", "", gpt2_split, "", "model.merges[0] is no pair"},
        {"", "[\"a\"]", "", gpt2_split, "", "model.merges[0] is no pair"},
        {"", "[\"a\", 1]", "", gpt2_split, "", "model.merges[0] is no pair"},
        {"", "\"a \xe4\xb8\xad\"", "", gpt2_split, "",
         "model.merges[0] ('a' and '\xe4\xb8\xad') has a letter that stands for no byte"},
        {", \"ab\": 255", "", "", gpt2_split, "", "two tokens have the id 255"},
        {", \"ab\": -1", "", "", gpt2_split, "", "-1 is no id of a token"},
        {", \"ab\": 1e9", "", "", gpt2_split, "", "1000000000 is no id of a token"},
        {", \"ab\": 10000000", "", "", gpt2_split, "", "10000000 is no id of a token"},
        {", \"ab\": 256.5", "", "", gpt2_split, "", "256.5 is no id of a token"},
        {", \"ab\": \"x\"", "", "", gpt2_split, "", "model.vocab: the token 'ab' is empty, or its id is no number"},
        {", \"\": 257", "", "", gpt2_split, "", "model.vocab: the token '' is empty"},
        {", \"a\\u0000b\": 256", "", "", gpt2_split, "", "U+0000 cannot be part of a token"},
        {"", "", "{\"id\": 300}", gpt2_split, "", "added_tokens[0] has no content or no id"},
        {"", "", "{\"id\": 300, \"content\": \"\"}", gpt2_split, "", "added_tokens[0] has no content or no id"},
        {"", "", "{\"id\": 300, \"content\": \"<\\u0000>\"}", gpt2_split, "", "U+0000 cannot be part of a token"},
        {"", "", "{\"id\": 97, \"content\": \"a\"}", gpt2_split, "", "no token stands for byte 0x61"},
        {"", "", "{\"id\": 97, \"content\": \"<s>\"}", gpt2_split, "",
         "id 97 is 'a' in model.vocab, and '<s>' in added_tokens"},
        {"", "", "{\"id\": 300, \"content\": \"a\"}", gpt2_split, "",
         "'a' has id 97 in model.vocab, and 300 in added_tokens"},
        {"", "", "{\"id\": 300, \"content\": \"x\\ty\"}, {\"id\": 300, \"content\": \"<s>\"}", gpt2_split, "",
         "two tokens have the id 300"},
        {"", "", "{\"id\": 1e7, \"content\": \"<s>\"}", gpt2_split, "", "10000000 is no id of a token"},
        {"", "", "3", gpt2_split, "", "added_tokens[0] has no content or no id"},
    };
    struct tokenizer *t;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *text = json_of(rows[i].entries, rows[i].merges, rows[i].added, rows[i].split, rows[i].more);
        assert_int_equal(open_json(text, &t), STATUS_BAD_DATA);
        says(rows[i].words);
        assert_null(t);
    }
}

static void models_that_are_no_byte_level_bpe_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "it.json: is empty"},
        {"{\"model\": [1, }", "it.json: offset 14: this is not JSON"},
        {"{} x", "it.json: offset 3: this is not JSON"},
        {"[1]", "is JSON, but no object"},
        {"{}", "model is missing"},
        {"{\"model\": {\"type\": \"WordPiece\"}}", "model.type is \"WordPiece\"; only byte-level BPE"},
        {"{\"model\": {\"type\": \"Unigram\"}}", "model.type is \"Unigram\"; only byte-level BPE"},
        {"{\"model\": {\"type\": \"BPE\", \"byte_fallback\": true}}", "model.byte_fallback is true"},
        {"{\"model\": {\"type\": \"BPE\", \"dropout\": 0.5}}", "model.dropout is 0.5"},
        {"{\"model\": {\"type\": \"BPE\", \"continuing_subword_prefix\": \"##\"}}",
         "model.continuing_subword_prefix is \"##\""},
        {"{\"model\": {\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\"}}", "model.end_of_word_suffix is \"</w>\""},
        {"{\"model\": {\"type\": \"BPE\"}}", "model.vocab is missing"},
        {"{\"model\": {\"vocab\": []}}", "model.vocab is []; it must be an object"},
        {"{\"model\": {\"vocab\": {}, \"merges\": 5}}", "model.merges is 5; it must be an array"},
        {"{\"model\": {\"vocab\": {}}, \"pre_tokenizer\": {\"type\": \"ByteLevel\"}}", "the vocabulary is empty"},
        {"{\"model\": {\"vocab\": {}}, \"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"added_tokens\": 1}",
         "added_tokens is 1; it must be"},
        {"{\"model\": {\"vocab\": {\"a\": 1}}, \"pre_tokenizer\": {\"type\": \"ByteLevel\"}}",
         "no token stands for byte 0x00"},
    };
    struct tokenizer *t;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(open_json(rows[i].text, &t), STATUS_BAD_DATA);
        says(rows[i].words);
        assert_null(t);
    }
    assert_int_equal(tokenizer_open_json("{\0}", 3, "it.json", &t), STATUS_BAD_DATA);
    says("it.json: offset 1: U+0000");
    /* A long value is shown in part, and no character of it is parted. */
    char text[600] = "{\"model\": {\"type\": \"";
    for (int i = 0; i < 100; i++) strcat(text, "\xe4\xb8\xad");
    strcat(text, "\"}}");
    assert_int_equal(open_json(text, &t), STATUS_BAD_DATA);
    says("\xe4\xb8\xad…; only byte-level BPE");
    assert_true(strlen(fail_message()) < 200);
}

static void vocab_and_merges_are_read(void **state) {
    (void)state;
    char text[10000];
    struct tokenizer *t, *same;
    uint8_t one[TOKENIZER_HASH], other[TOKENIZER_HASH];
    assert_int_equal(mkdir("gpt2", 0777), 0);
    snprintf(text, sizeof text,
             "{%s, \"ab\": 256, \"\xc4\xa0"
             "ab\": 257, \"<|endoftext|>\": 258}",
             byte_entries());
    write_text("gpt2/vocab.json", text);
    write_text("gpt2/merges.txt", "#version: 0.2\na b\n\xc4\xa0 ab\n");
    must(tokenizer_open("gpt2", &t));
    assert_int_equal(tokenizer_end_of_text(t), 258);
    assert_string_equal(encode(t, "ab ab<|endoftext|>"), "256 257 258");
    check_round_trip(t);
    must(tokenizer_open("gpt2/vocab.json", &same));
    tokenizer_hash(t, one);
    tokenizer_hash(same, other);
    assert_memory_equal(one, other, sizeof one);
    tokenizer_close(same);
    /* GPT-2's tokenizer.json is the same tokenizer. */
    must(open_json(json_of(", \"ab\": 256, \"\xc4\xa0"
                           "ab\": 257, \"<|endoftext|>\": 258",
                           "\"a b\", \"\xc4\xa0 ab\"", "{\"id\": 258, \"content\": \"<|endoftext|>\"}", gpt2_split, ""),
                   &same));
    tokenizer_hash(same, other);
    assert_memory_equal(one, other, sizeof one);
    tokenizer_close(same);
    tokenizer_close(t);
    /* Windows line ends, blank lines, and no version. */
    write_text("gpt2/merges.txt", "a b\r\n\r\n\xc4\xa0 ab\r\n");
    must(tokenizer_open("gpt2", &same));
    tokenizer_hash(same, other);
    assert_memory_equal(one, other, sizeof one);
    tokenizer_close(same);
    static const struct {
        const char *merges, *words;
    } bad[] = {
        {"#version: 0.2\na b\nx yz\n",
         "merges.txt:3: gpt2/vocab.json: merge 1: its right part is not in the vocabulary"},
        {"a b\n#version: 0.2\n", "merges.txt:2: gpt2/vocab.json: merge 1: its left part"},
        {"a b c\n", "merges.txt:1: this is no pair of tokens"},
        {"a \xe4\xb8\xad\n", "merges.txt:1: this is no pair of tokens"},
        {"a \n", "merges.txt:1: gpt2/vocab.json: merge 0 is of an empty token"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text("gpt2/merges.txt", bad[i].merges);
        assert_int_equal(tokenizer_open("gpt2", &t), STATUS_BAD_DATA);
        says(bad[i].words);
    }
    write_text("gpt2/merges.txt", "#version: 0.2\na b\nab\n");
    assert_int_equal(tokenizer_open("gpt2", &t), STATUS_BAD_DATA);
    says("gpt2/vocab.json: merges.txt:3: this is no pair of tokens");
    assert_int_equal(unlink("gpt2/merges.txt"), 0);
    assert_int_equal(tokenizer_open("gpt2", &t), STATUS_BAD_DATA);
    says("gpt2/merges.txt: cannot read the tokenizer: No such file");
    assert_int_equal(tokenizer_open("nothing.json", &t), STATUS_BAD_DATA);
    says("nothing.json: cannot read the tokenizer: No such file");
}

static void vocab_json_is_checked(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"[]", "v: this is not a JSON object"},
        {"{\"a\": 0", "v: this is not a JSON object"},
        {"{\"a\": \"b\"}", "v: a token is empty, or its id is no number"},
        {"{\"\": 0}", "v: a token is empty, or its id is no number"},
        {"{\"a\": 0, \"b\": 0}", "v: two tokens have the id 0"},
        {"{\"a\\u0000b\": 0}", "v: U+0000 cannot be part of a token"},
        {"{\"a\": -1}", "v: -1 is no id of a token"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct vocabulary v = {0};
        assert_int_equal(read_vocab_merges(rows[i].text, (int64_t)strlen(rows[i].text), "", 0, "v", &v),
                         STATUS_BAD_DATA);
        says(rows[i].words);
        vocabulary_free(&v);
    }
    /* A backslash before u0000 that is itself escaped is a token like any other. */
    struct vocabulary v = {0};
    static const char escaped[] = "{\"\\\\u0000\": 0}";
    must(read_vocab_merges(escaped, sizeof escaped - 1, "", 0, "v", &v));
    assert_int_equal(v.begin[1], 6);
    assert_memory_equal(v.bytes, "\\u0000", 6);
    vocabulary_free(&v);
}

/* Base64 of one to three bytes. */
static void put_rank(FILE *f, const char *bytes, int n, int rank) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t all = 0;
    for (int i = 0; i < 3; i++) all = all << 8 | (i < n ? (uint8_t)bytes[i] : 0);
    for (int i = 0; i < 4; i++) fputc(i <= n ? letters[all >> (18 - 6 * i) & 63] : '=', f);
    fprintf(f, " %d\n", rank);
}

/* Merges of one token are in the order of their parts' ids, not of the cuts: so they are in the tokenizer.json files that are made
 * of tiktoken's. */
static void merges_of_tiktoken_are_in_order(void **state) {
    (void)state;
    struct vocabulary v = {0};
    static const char text[] =
        "YWI= 3\nYg== 1\nYWJj 9\nYw== 2\nYmM= 4\nYQ== 5\n"; /* ab 3, b 1, abc 9, c 2, bc 4, a 5 */
    static const struct merge expected[] = {{5, 1, 3, 3}, {1, 2, 4, 4}, {3, 2, 9, 9}, {5, 4, 9, 9}};
    must(read_tiktoken(text, sizeof text - 1, "t", &v));
    assert_int_equal(v.count, 10); /* 0, 6, 7 and 8 are nothing */
    assert_int_equal(v.begin[6], v.begin[9]);
    assert_int_equal(v.n_merges, 4);
    assert_memory_equal(v.merges, expected, sizeof expected);
    assert_int_equal(v.whole_pieces, 1);
    assert_int_equal(v.split, SPLIT_CL100K);
    vocabulary_free(&v);
}

static void tiktoken_is_read(void **state) {
    (void)state;
    struct tokenizer *t;
    assert_int_equal(mkdir("tik", 0777), 0);
    FILE *f = fopen("tik/it.tiktoken", "wb");
    for (int b = 0; b < 256; b++) put_rank(f, (char[]){(char)b}, 1, b);
    put_rank(f, "bc", 2, 256);
    put_rank(f, "ab", 2, 257);
    put_rank(f, "abc", 3, 258);
    put_rank(f, "xyz", 3, 260); /* no two of its parts are tokens that merge: only found whole */
    fclose(f);
    must(tokenizer_open("tik", &t));
    assert_int_equal(tokenizer_vocab(t), 261);
    assert_string_equal(encode(t, "abc"), "258");
    assert_string_equal(encode(t, "abcd"), "258 100");
    assert_string_equal(encode(t, "xyz"), "260");
    assert_string_equal(encode(t, "xyzx"), "120 121 122 120");
    check_round_trip(t);
    tokenizer_close(t);
    static const struct {
        const char *text, *words;
    } bad[] = {{"YQ== 0\nYg==\n", "bad.tiktoken:2: this is not a token"},
               {"YQ= 0\n", "bad.tiktoken:1:"},
               {"Y=Q= 0\n", "bad.tiktoken:1:"},
               {"YQ== x\n", "bad.tiktoken:1:"},
               {"YQ==\n", "bad.tiktoken:1:"},
               {"YQ== 123456789\n", "bad.tiktoken:1:"},
               {"YQ== 10000000\n", "10000000 is no id of a token"},
               {" 0\n", "bad.tiktoken:1:"},
               {"YQ== 0\nYg== 0\n", "two tokens have the id 0"},
               {"", "the vocabulary is empty"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text("bad.tiktoken", bad[i].text);
        assert_int_equal(tokenizer_open("bad.tiktoken", &t), STATUS_BAD_DATA);
        says(bad[i].words);
    }
    /* All cuts of a token are tried, so that its length has a bound. */
    f = fopen("bad.tiktoken", "wb");
    for (int i = 0; i < 2000; i++) fputs("YWFh", f);
    fputs(" 0\n", f);
    fclose(f);
    assert_int_equal(tokenizer_open("bad.tiktoken", &t), STATUS_BAD_DATA);
    says("bad.tiktoken:1: a token of 6000 bytes; at most 4096 can be read");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_are_those_of_gpt2),
        cmocka_unit_test(tokenizer_json_is_read),
        cmocka_unit_test(patterns_are_recognised),
        cmocka_unit_test(bytes_are_a_tokenizer),
        cmocka_unit_test(special_tokens_are_written_and_read),
        cmocka_unit_test(what_json_cannot_hold_is_not_written),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(models_that_are_no_byte_level_bpe_are_named),
        cmocka_unit_test(vocab_and_merges_are_read),
        cmocka_unit_test(vocab_json_is_checked),
        cmocka_unit_test(merges_of_tiktoken_are_in_order),
        cmocka_unit_test(tiktoken_is_read),
    };
    return cmocka_run_group_tests_name("tokenizer files", tests, enter_scratch, leave_scratch);
}
