/* Sources: many files as one row of tokens, what names mean, what must agree, and when a source has changed. */
#include "scratch.h"
#include "data/dataset.h"

#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct tokenizer *of_bytes;

static void refuses(int status, int meant, const char *words) {
    assert_int_equal(status, meant);
    says(words);
}

/* Native shards PATH-00000.tokens … with tokens from, from + 1, …, every tenth an end of text (0). */
static void write_shards(const char *path, int32_t from, int64_t count, int64_t shard, int64_t vocab, uint8_t hash) {
    struct token_writer_options options = {.path = path, .shard_tokens = shard, .vocab = vocab, .end_of_text = 0};
    struct token_writer *writer;
    int shards;
    memset(options.tokenizer, hash, TOKENS_HASH);
    must(token_writer_open(&options, &writer));
    for (int64_t i = 0; i < count; i++) {
        int32_t id = i % 10 == 9 ? 0 : from + (int32_t)i;
        must(token_writer_add(writer, &id, NULL, 1, i % 10 == 9));
    }
    must(token_writer_finish(writer, &shards));
    token_writer_close(writer);
    assert_int_equal(shards, (count + shard - 1) / shard);
}

static void shards_are_one_row(void **state) {
    (void)state;
    struct source source;
    int32_t got[300];
    assert_int_equal(mkdir("one", 0777), 0);
    write_shards("one/train", 5, 300, 40, 1000, 0);
    static const char *const names[] = {"one", "one/train", "one/train-0*.tokens"};
    for (int i = 0; i < 3; i++) {
        must(source_open(&source, names[i], NULL));
        assert_int_equal(source.shards, 8);
        assert_int_equal(source.count, 300);
        assert_int_equal(source.vocab, 1000);
        assert_int_equal(source.end_of_text, 0);
        for (int64_t from = 0; from < 300; from += 7)
            for (int64_t n = 0; from + n <= 300; n += 13) {
                memset(got, 0xff, sizeof got);
                source_read(&source, from, n, got);
                for (int64_t k = 0; k < n; k++) assert_int_equal(got[k], (from + k) % 10 == 9 ? 0 : 5 + from + k);
                if (n < 300) assert_int_equal(got[n], -1);
            }
        source_close(&source);
    }
}

/* train and val in one folder: the folder alone could mean both. */
static void names_are_not_mixed_up(void **state) {
    (void)state;
    struct source source;
    assert_int_equal(mkdir("two", 0777), 0);
    write_shards("two/train", 5, 100, 40, 1000, 0);
    write_shards("two/val", 5, 50, 40, 1000, 0);
    refuses(source_open(&source, "two", NULL), STATUS_BAD_DATA, "several names; say which: two/train or two/val");
    must(source_open(&source, "two/val", NULL));
    assert_int_equal(source.count, 50);
    source_close(&source);
    assert_int_equal(mkdir("none", 0777), 0);
    refuses(source_open(&source, "none", NULL), STATUS_BAD_DATA, "none: is a folder without .tokens files");
    refuses(source_open(&source, "none/*.bin", NULL), STATUS_BAD_DATA, "none/*.bin: no file matches");
    refuses(source_open(&source, "missing.txt", of_bytes), STATUS_BAD_DATA, "missing.txt");
    write_file("a.txt", "some text", 9);
    write_file("b.txt", "some text", 9);
    refuses(source_open(&source, "?.txt", of_bytes), STATUS_BAD_DATA, "a.txt: is a text beside other files");
    write_file("[x].txt", "some text", 9); /* a name that is a pattern to a shell */
    must(source_open(&source, "[x].txt", of_bytes));
    assert_int_equal(source.count, 9);
    source_close(&source);
}

static void a_fraction_ends_with_a_document(void **state) {
    (void)state;
    struct source source, rest;
    int32_t token;
    for (int percent = 1; percent < 100; percent++) {
        must(source_open(&source, "one", NULL));
        source_split(&source, percent / 100.0, &rest);
        assert_int_equal(source.count + rest.count, 300);
        assert_in_range(source.count, (100 - percent) * 3 - 1, (100 - percent) * 3 + 10);
        if (rest.count > 10) {
            source_read(&source, source.count - 1, 1, &token);
            assert_int_equal(token, 0);
        }
        source_read(&rest, 0, 1, &token);
        assert_int_equal(token, source.count % 10 == 9 ? 0 : 5 + source.count);
        source_close(&rest);
        source_close(&source);
    }
}

static void tokenizers_must_agree(void **state) {
    (void)state;
    struct source source;
    assert_int_equal(mkdir("mx", 0777), 0);
    write_shards("mx/a", 5, 30, 40, 1000, 1);
    write_shards("mx/b", 5, 30, 40, 1000, 2);
    refuses(source_open(&source, "mx/?-00000.tokens", NULL), STATUS_BAD_DATA, "was made with another tokenizer than");
    refuses(source_open(&source, "mx/a", of_bytes), STATUS_BAD_DATA, "hash 01010101…, not ");
    must(source_open(&source, "one", of_bytes)); /* does not say what it was made with */
    source_close(&source);
}

/* A lost shard must not go unseen. */
static void shards_are_all_there(void **state) {
    (void)state;
    struct source source;
    assert_int_equal(mkdir("gap", 0777), 0);
    write_shards("gap/train", 5, 300, 40, 1000, 0);
    assert_int_equal(unlink("gap/train-00002.tokens"), 0);
    refuses(source_open(&source, "gap/train", NULL), STATUS_BAD_DATA, "gap/train-00002.tokens: this shard is missing");
    refuses(source_open(&source, "gap", NULL), STATUS_BAD_DATA, "gap/train-00002.tokens: this shard is missing");
    must(source_open(&source, "gap/train-*.tokens", NULL)); /* whoever names a pattern chooses */
    assert_int_equal(source.shards, 7);
    source_close(&source);
}

static void vocabularies_are_checked(void **state) {
    (void)state;
    struct source source;
    must(source_open(&source, "one", NULL));
    must(source_check_vocab(&source, 1000));
    refuses(source_check_vocab(&source, 999), STATUS_BAD_DATA,
            "one: its vocabulary has 1000 tokens, but model.vocab is 999; set model.vocab to 1000 or more");
    must(source_check_length(&source, 299));
    refuses(source_check_length(&source, 300), STATUS_BAD_DATA, "has 300 tokens, but one sequence takes 300 and");
    source_close(&source);
}

/* A text is bytes, or what the tokenizer makes of it. */
static void texts_are_encoded(void **state) {
    (void)state;
    static const char json[] = "{\"model\": {\"type\": \"BPE\", \"vocab\": {";
    char *text = malloc(1 << 16);
    size_t used = (size_t)sprintf(text, "%s", json);
    for (int b = 0; b < 256; b++) {
        /* The letters of bytes that do not print: see tokenizer/vocabulary.h. */
        static int others;
        int prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        int letter = prints ? b : 256 + others++;
        used += (size_t)sprintf(text + used, "\"\\u%04x\": %d, ", (unsigned)letter, b);
    }
    sprintf(text + used, "\"ab\": 256}, \"merges\": [\"a b\"]}, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
                         "\"add_prefix_space\": false, \"use_regex\": true}}");
    write_file("tokenizer.json", text, strlen(text));
    free(text);
    struct tokenizer *tokenizer;
    struct source source;
    int32_t got[4];
    must(tokenizer_open("tokenizer.json", &tokenizer));
    write_file("ab.txt", "abcab", 5);
    must(source_open(&source, "ab.txt", of_bytes));
    assert_int_equal(source.count, 5);
    assert_int_equal(source.vocab, 256);
    source_close(&source);
    must(source_open(&source, "ab.txt", tokenizer));
    assert_int_equal(source.count, 3);
    assert_int_equal(source.vocab, 257);
    assert_int_equal(source.end_of_text, -1);
    source_read(&source, 0, 3, got);
    assert_int_equal(got[0], 256);
    assert_int_equal(got[1], 'c');
    assert_int_equal(got[2], 256);
    source_close(&source);
    /* So is the built-in corpus; its floor is told for a token. */
    struct source plain;
    must(source_open(&plain, "stories:5000:3", of_bytes));
    must(source_open(&source, "stories:5000:3", tokenizer));
    assert_true(source.count < plain.count && source.vocab == 257);
    assert_true(fabs(source.floor_nats * (double)source.count - plain.floor_nats * (double)plain.count) < 1e-9);
    source_close(&plain);
    source_close(&source);
    refuses(source_open(&source, "ab.txt", NULL), STATUS_BAD_DATA, "ab.txt: is a text, and it is not known which");
    refuses(source_open(&source, "stories", NULL), STATUS_BAD_DATA, "is a text, and it is not known which");
    refuses(source_open(&source, "stories:9:-1", of_bytes), STATUS_USAGE, "a number is negative");
    tokenizer_close(tokenizer);
}

static void fingerprints_tell_changes(void **state) {
    (void)state;
    enum { BYTES = 3000000 };
    char *text = malloc(BYTES), before[33], after[33];
    struct source source;
    for (int i = 0; i < BYTES; i++) text[i] = (char)('a' + i % 23);
    write_file("long.txt", text, BYTES);
    must(source_open(&source, "long.txt", of_bytes));
    must(source_fingerprint(&source, before));
    source_close(&source);
    static const int places[] = {0, BYTES / 256 * 100, BYTES / 256 * 200 + 4000};
    for (int i = 0; i < 4; i++) {
        if (i < 3) text[places[i]] = '!';
        write_file("long.txt", text, i < 3 ? BYTES : BYTES - 1);
        must(source_open(&source, "long.txt", of_bytes));
        must(source_fingerprint(&source, after));
        assert_string_not_equal(before, after);
        source_close(&source);
        if (i < 3) text[places[i]] = (char)('a' + places[i] % 23);
    }
    free(text);
    must(source_open(&source, "one", NULL)); /* native files: their checksums */
    must(source_fingerprint(&source, before));
    source_close(&source);
    write_shards("one/train", 6, 300, 40, 1000, 0);
    must(source_open(&source, "one", NULL));
    must(source_fingerprint(&source, after));
    source_close(&source);
    assert_string_not_equal(before, after);
}

/* ---- data.train and data.val ---- */

static void mixtures_are_lists(void **state) {
    (void)state;
    struct dataset data;
    struct dataset_options options = {.train = "0.7 one, 2e-1 two/train,two/val", .val = "", .tokenizer = "auto"};
    options.window = 8;
    options.vocab = 1000;
    must(dataset_open(&data, &options));
    assert_int_equal(data.parts, 3);
    assert_true(data.train[0].weight == 0.7 && data.train[1].weight == 0.2 && data.train[2].weight == 1);
    assert_int_equal(data.val.count, 0);
    assert_null(data.tokenizer);
    char *text, *moved;
    must(dataset_describe(&data, &text));
    assert_int_equal(strncmp(text, "0.69999999999999996 300 ", 24), 0);
    assert_true(dataset_same(text, text));
    moved = malloc(strlen(text) + 64);
    char *name = strstr(text, " one\n");
    assert_non_null(name);
    sprintf(moved, "%.*s /elsewhere/one%s", (int)(name - text), text, name + 4);
    assert_true(dataset_same(text, moved));
    moved[3]++;
    assert_false(dataset_same(text, moved));
    *strrchr(text, '0') = '\0';
    assert_false(dataset_same(text, moved));
    free(text);
    free(moved);
    dataset_close(&data);
    static const struct {
        const char *train, *val, *words;
        int status;
    } bad[] = {
        {"one, ,two/val", "", "data.train: an entry of the list is empty", STATUS_USAGE},
        {"0 one", "", "data.train: '0 one': a weight must be a positive number", STATUS_USAGE},
        {"-1 one", "", "a weight must be a positive number", STATUS_USAGE},
        {"one, two/val", "0.1", "data.val: a fraction is taken from one source, and data.train has 2", STATUS_USAGE},
        {"one", "nan", "nan: cannot read data", STATUS_BAD_DATA},
        {"mx/a, mx/b", "", "mx/a and mx/b were made with different tokenizers", STATUS_BAD_DATA},
        {"one, ab.txt", "", "ab.txt: is a text, and it is not known which", STATUS_BAD_DATA},
        {"one", "missing", "missing", STATUS_BAD_DATA},
        {"one, missing", "", "missing", STATUS_BAD_DATA},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options.train = bad[i].train;
        options.val = bad[i].val;
        refuses(dataset_open(&data, &options), bad[i].status, bad[i].words);
    }
}

/* The tokenizer beside token files is theirs; a text is bytes. */
static void auto_finds_the_tokenizer(void **state) {
    (void)state;
    struct dataset data;
    struct dataset_options options = {.train = "ab.txt", .val = "", .tokenizer = "auto", .window = 2, .vocab = 1000};
    must(dataset_open(&data, &options));
    assert_int_equal(tokenizer_vocab(data.tokenizer), 257); /* bytes and the end of text */
    dataset_close(&data);
    options.tokenizer = "tokenizer.json";
    must(dataset_open(&data, &options));
    assert_int_equal(data.train[0].count, 3);
    dataset_close(&data);
    options.tokenizer = "auto";
    options.train = "two/val";
    must(dataset_open(&data, &options));
    assert_null(data.tokenizer);
    dataset_close(&data);
    assert_int_equal(symlink("../tokenizer.json", "two/tokenizer.json"), 0);
    must(dataset_open(&data, &options));
    assert_non_null(data.tokenizer);
    dataset_close(&data);
}

/* Memory in use by this process that no file backs, in KiB. */
static int64_t anonymous_memory(void) {
    char line[256];
    long long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "RssAnon: %lld", &kib);
    if (f) fclose(f);
    return kib;
}

/* A file larger than the memory of most machines (it has no blocks on the disk) takes none. */
static void large_files_take_no_memory(void **state) {
    (void)state;
    int64_t bytes = (int64_t)1 << 40, before;
    int32_t got[1024];
    struct source source;
    int fd = open("large.bin", O_CREAT | O_WRONLY, 0666);
    if (fd < 0 || ftruncate(fd, bytes)) {
        print_message("passed over: this file system has no files of 1 TiB\n");
        close(fd);
        return;
    }
    close(fd);
    before = anonymous_memory();
    must(source_open(&source, "large.bin", NULL));
    assert_int_equal(source.count, bytes / 2);
    for (int64_t i = 0; i < 50; i++) source_read(&source, i * (bytes / 2 / 51), 1024, got);
    assert_true(anonymous_memory() - before < 4096);
    source_close(&source);
}

static int enter(void **state) {
    must(tokenizer_open("bytes", &of_bytes));
    return enter_scratch(state);
}

static int leave(void **state) {
    tokenizer_close(of_bytes);
    return leave_scratch(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_are_one_row),
        cmocka_unit_test(names_are_not_mixed_up),
        cmocka_unit_test(a_fraction_ends_with_a_document),
        cmocka_unit_test(tokenizers_must_agree),
        cmocka_unit_test(shards_are_all_there),
        cmocka_unit_test(vocabularies_are_checked),
        cmocka_unit_test(texts_are_encoded),
        cmocka_unit_test(fingerprints_tell_changes),
        cmocka_unit_test(mixtures_are_lists),
        cmocka_unit_test(auto_finds_the_tokenizer),
        cmocka_unit_test(large_files_take_no_memory),
    };
    return cmocka_run_group_tests_name("source", tests, enter, leave);
}
