/* Tokenizer files: each format gives the vocabulary that it holds, what cannot be read is refused by name, and what is written reads
 * back the same. */
#include "base/check.h"
#include "tokenizer/vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "test_tokenizer_XXXXXX";

static void must(int status) {
    if (status) fail_msg("status %d: %s", status, fail_message());
}

static void says(const char *words) {
    if (!strstr(fail_message(), words)) fail_msg("'%s' does not say '%s'", fail_message(), words);
}

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

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

static void what_cannot_be_read_is_named(void **state) {
    (void)state;
    static const char prefix[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}";
    static const char digits[] = "{\"type\": \"Digits\"}";
    static const char removed[] =
        "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": "
        "\" \"}, \"behavior\": \"Removed\"}]}";
    static const char twice[] =
        "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \" "
        "\"}, \"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\", \"use_regex\": true}]}";
    static const struct {
        const char *entries, *merges, *added, *split, *more, *words;
    } rows[] = {
        {"", "", "", gpt2_split, ", \"normalizer\": {\"type\": \"NFC\"}", "it.json: normalizer: is set"},
        {"", "", "", prefix, "", "add_prefix_space: is true"},
        {"", "", "", digits, "", "has a step that is not Split or ByteLevel"},
        {"", "", "", removed, "", "a Split is not Isolated"},
        {"", "", "", twice, "", "splits twice"},
        {"", "", "", "null", "", "pre_tokenizer: is missing"},
        {"", "\"a b\"", "", gpt2_split, "", "merge 0: its result is not in the vocabulary"},
        {", \"ab\": 256", "\"a b\", \"x yz\"", "", gpt2_split, "", "merge 1: its right part is not in the vocabulary"},
        {"", "\"ab\"", "", gpt2_split, "", "model.merges: 0 is no pair"},
        {"", "[\"a\"]", "", gpt2_split, "", "model.merges: 0 is no pair"},
        {"", "\"a \xe4\xb8\xad\"", "", gpt2_split, "", "model.merges: 0 has a letter that stands for no byte"},
        {", \"ab\": 255", "", "", gpt2_split, "", "two tokens have the id 255"},
        {", \"ab\": -1", "", "", gpt2_split, "", "-1 is no id of a token"},
        {", \"ab\": 1e9", "", "", gpt2_split, "", "1000000000 is no id of a token"},
        {", \"ab\": 256.5", "", "", gpt2_split, "", "256.5 is no id of a token"},
        {", \"ab\": \"x\"", "", "", gpt2_split, "", "model.vocab: an id is no number"},
        {"", "", "{\"id\": 300}", gpt2_split, "", "added_tokens: an entry has no content"},
        {"", "", "{\"id\": 97, \"content\": \"a\"}", gpt2_split, "", "no token stands for byte 0x61"},
        {", \"ab\": 256, \"\": 257", "", "", gpt2_split, "", "token 257 is empty"},
    };
    struct tokenizer *t;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(
            open_json(json_of(rows[i].entries, rows[i].merges, rows[i].added, rows[i].split, rows[i].more), &t),
            STATUS_BAD_DATA);
        says(rows[i].words);
        assert_null(t);
    }
    static const struct {
        const char *text, *words;
    } models[] = {
        {"", "this is not JSON"},
        {"[1]", "this is not JSON"},
        {"{}", "model: is missing"},
        {"{\"model\": {\"type\": \"WordPiece\"}}", "model.type: is not BPE"},
        {"{\"model\": {\"type\": \"BPE\", \"byte_fallback\": true}}", "model.byte_fallback: is true"},
        {"{\"model\": {\"type\": \"BPE\", \"dropout\": 0.1}}", "model.dropout: is set"},
        {"{\"model\": {\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\"}}", "end_of_word_suffix: is not empty"},
        {"{\"model\": {\"type\": \"BPE\"}}", "model.vocab: is missing"},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        assert_int_equal(open_json(models[i].text, &t), STATUS_BAD_DATA);
        says(models[i].words);
    }
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
    write_file("gpt2/vocab.json", text);
    write_file("gpt2/merges.txt", "#version: 0.2\na b\n\xc4\xa0 ab\n");
    must(tokenizer_open("gpt2", &t));
    assert_int_equal(tokenizer_end_of_text(t), 258);
    assert_string_equal(encode(t, "ab ab<|endoftext|>"), "256 257 258");
    check_round_trip(t);
    must(tokenizer_open("gpt2/vocab.json", &same));
    tokenizer_hash(t, one);
    tokenizer_hash(same, other);
    assert_memory_equal(one, other, sizeof one);
    tokenizer_close(same);
    tokenizer_close(t);
    write_file("gpt2/merges.txt", "#version: 0.2\na b\nab\n");
    assert_int_equal(tokenizer_open("gpt2", &t), STATUS_BAD_DATA);
    says("merges.txt: merge 1 is no pair of tokens");
    assert_int_equal(unlink("gpt2/merges.txt"), 0);
    assert_int_equal(tokenizer_open("gpt2", &t), STATUS_BAD_DATA);
    says("gpt2/merges.txt: cannot read the tokenizer: No such file");
    assert_int_equal(tokenizer_open("nothing.json", &t), STATUS_BAD_DATA);
    says("nothing.json: cannot read the tokenizer: No such file");
}

/* Base64 of one to three bytes. */
static void put_rank(FILE *f, const char *bytes, int n, int rank) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t all = 0;
    for (int i = 0; i < 3; i++) all = all << 8 | (i < n ? (uint8_t)bytes[i] : 0);
    for (int i = 0; i < 4; i++) fputc(i <= n ? letters[all >> (18 - 6 * i) & 63] : '=', f);
    fprintf(f, " %d\n", rank);
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
               {"YQ== 0\nYg== 0\n", "two tokens have the id 0"},
               {"", "the vocabulary is empty"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file("bad.tiktoken", bad[i].text);
        assert_int_equal(tokenizer_open("bad.tiktoken", &t), STATUS_BAD_DATA);
        says(bad[i].words);
    }
}

static int enter(void **state) {
    (void)state;
    return mkdtemp(folder) ? chdir(folder) : -1;
}

static int leave(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("..") || system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_are_those_of_gpt2),
        cmocka_unit_test(tokenizer_json_is_read),
        cmocka_unit_test(patterns_are_recognised),
        cmocka_unit_test(bytes_are_a_tokenizer),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(vocab_and_merges_are_read),
        cmocka_unit_test(tiktoken_is_read),
    };
    return cmocka_run_group_tests_name("tokenizer files", tests, enter, leave);
}
