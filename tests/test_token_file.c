/* Token files: every format from bytes made here, every header damaged, every truncation, and the writer's shards and masks. */
#include "scratch.h"
#include "data/token_format.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <hdf5.h>
#include <xxhash.h>

static void refuses(const char *path, const char *words) {
    struct tokens t;
    assert_int_equal(tokens_open(&t, path), STATUS_BAD_DATA);
    says(words);
}

/* The file opens and holds these tokens. */
static void holds(const char *path, enum token_format format, int width, const int32_t *want, int64_t n) {
    struct tokens t;
    int32_t got[64];
    enum token_format found;
    must(tokens_detect(path, &found));
    assert_int_equal(found, format);
    must(tokens_open(&t, path));
    assert_int_equal(t.format, format);
    assert_int_equal(t.width, width);
    assert_int_equal(t.count, n);
    tokens_read(&t, 0, n, got);
    assert_memory_equal(got, want, (size_t)n * sizeof *got);
    tokens_close(&t);
}

static const int32_t five[] = {1, 500, 65535, 0, 7};
static const uint8_t five_u16[] = {1, 0, 0xf4, 1, 0xff, 0xff, 0, 0, 7, 0};

static void nanogpt(void **state) {
    (void)state;
    write_file("train.bin", five_u16, 10);
    holds("train.bin", TOKENS_NANOGPT, 2, five, 5);
    write_file("odd.bin", five_u16, 9);
    refuses("odd.bin",
            "odd.bin: a .bin without a header is read as 16-bit tokens (nanoGPT), but has an odd number of bytes, 9");
}

static void llmc(void **state) {
    (void)state;
    uint8_t file[LLMC_HEADER + 20] = {0};
    put_u32(file, 20240520);
    put_u32(file + 4, 1);
    put_u32(file + 8, 5);
    memcpy(file + LLMC_HEADER, five_u16, 10);
    write_file("gpt2.bin", file, LLMC_HEADER + 10);
    holds("gpt2.bin", TOKENS_LLMC, 2, five, 5);
    write_file("short.bin", file, LLMC_HEADER + 8);
    refuses("short.bin", "promises 5 tokens of 2 bytes, but 8 bytes follow");
    write_file("short.bin", file, 1000);
    refuses("short.bin", "its header of 1024 bytes is truncated to 1000");
    put_u32(file + 4, 2);
    write_file("version.bin", file, LLMC_HEADER + 10);
    refuses("version.bin", "has version 2, and 1 is known");
    put_u32(file + 4, 1);
    file[1023] = 1;
    write_file("reserved.bin", file, LLMC_HEADER + 10);
    refuses("reserved.bin", "byte 1023 of this llm.c file's header is not zero");
    file[1023] = 0;
    put_u32(file, 20240801);
    put_u32(file + 4, 7);
    static const int32_t large[] = {1, 128000, 2, 3, 4};
    for (int i = 0; i < 5; i++) put_u32(file + LLMC_HEADER + 4 * i, (uint32_t)large[i]);
    write_file("llama3.bin", file, LLMC_HEADER + 20);
    holds("llama3.bin", TOKENS_LLMC, 4, large, 5);
}

/* The index of sequences of 2 and 3 tokens, in two documents. */
static size_t make_index(uint8_t index[128], int code, int width) {
    memset(index, 0, 128);
    memcpy(index, MEGATRON_MAGIC, 9);
    put_u64(index + 9, 1);
    index[17] = (uint8_t)code;
    put_u64(index + 18, 2);
    put_u64(index + 26, 3);
    put_u32(index + 34, 2);
    put_u32(index + 38, 3);
    put_u64(index + 50, (uint64_t)(2 * width));
    put_u64(index + 66, 1);
    put_u64(index + 74, 2);
    return 82;
}

static void megatron(void **state) {
    (void)state;
    uint8_t index[128];
    size_t size = make_index(index, 8, 2);
    write_file("meg.bin", five_u16, 10);
    write_file("meg.idx", index, size);
    holds("meg.bin", TOKENS_MEGATRON, 2, five, 5);
    holds("meg.idx", TOKENS_MEGATRON, 2, five, 5);
    struct tokens t;
    must(tokens_open(&t, "meg.bin"));
    assert_int_equal(t.documents, 2);
    tokens_close(&t);
    static const struct {
        size_t at;
        uint8_t value;
        const char *words;
    } damage[] = {
        {0, 'X', "no Megatron index of version 1"},
        {9, 2, "no Megatron index of version 1"},
        {17, 5, "gives tokens the type 5"},
        {17, 200, "gives tokens the type 200"},
        {18, 3, "has not the size that its header means"},
        {26, 4, "has not the size that its header means"},
        {34, 3, "does not go through the file"},
        {38, 2, "has 10 bytes, but its index knows of 8"},
        {42, 2, "does not go through the file"},
        {50, 6, "does not go through the file"},
        {37, 0x80, "does not go through the file"},
        {25, 0x80, "has not the size that its header means"},
        {33, 0x80, "has not the size that its header means"},
        {58, 1, "document 0 begins with sequence 1"},
        {66, 3, "document 1 begins with sequence 3"},
        {74, 0, "document 2 begins with sequence 0"},
        {81, 0x80, "document 2 begins with sequence -"},
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        make_index(index, 8, 2);
        index[damage[i].at] = damage[i].value;
        write_file("meg.idx", index, size);
        refuses("meg.bin", damage[i].words);
    }
    make_index(index, 8, 2);
    for (size_t length = 1; length < size; length++) {
        write_file("meg.idx", index, length);
        refuses("meg.bin", "meg.bin: ");
    }
    write_file("meg.idx", index, size);
    for (size_t length = 1; length < 10; length++) {
        write_file("meg.bin", five_u16, length);
        refuses("meg.idx", "meg.bin: its index does not go through");
    }
    assert_int_equal(unlink("meg.bin"), 0);
    refuses("meg.idx", "meg.bin: cannot read data: No such file");
    assert_int_equal(unlink("meg.idx"), 0);
    refuses("meg.idx", "meg.idx: cannot read data: No such file");
}

static void megatron_types(void **state) {
    (void)state;
    static const uint8_t bytes[] = {1, 2, 3, 4, 255},
                         words[] = {1, 0, 0, 0, 0, 0, 1, 0, 255, 255, 255, 127, 2, 0, 0, 0, 3, 0, 0, 0};
    static const int32_t narrow[] = {1, 2, 3, 4, 255}, wide[] = {1, 65536, INT32_MAX, 2, 3};
    uint8_t index[128];
    write_file("one.idx", index, make_index(index, 1, 1));
    write_file("one.bin", bytes, 5);
    holds("one.bin", TOKENS_MEGATRON, 1, narrow, 5);
    write_file("four.idx", index, make_index(index, 4, 4));
    write_file("four.bin", words, 20);
    holds("four.bin", TOKENS_MEGATRON, 4, wide, 5);
    /* The index decides, whatever the tokens look like. */
    uint8_t magic[10];
    put_u32(magic, LLMC_MAGIC_U16);
    memset(magic + 4, 0, 6);
    write_file("magic.idx", index, make_index(index, 8, 2));
    write_file("magic.bin", magic, 10);
    enum token_format format;
    must(tokens_detect("magic.bin", &format));
    assert_int_equal(format, TOKENS_MEGATRON);
}

/* A dataset of five integers in FILE; chunked or not. */
static void make_hdf5(const char *file, const char *name, hid_t type, int chunked, int append) {
    hsize_t size = 5, chunk = 2;
    hid_t f =
        append ? H5Fopen(file, H5F_ACC_RDWR, H5P_DEFAULT) : H5Fcreate(file, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, &size, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
    if (chunked) H5Pset_chunk(how, 1, &chunk);
    hid_t set = H5Dcreate2(f, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    assert_true(H5Dwrite(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, five) >= 0);
    H5Dclose(set);
    H5Pclose(how);
    H5Sclose(space);
    H5Fclose(f);
}

/* Behind a block of the user's own; without storage; with its elements in another file; and links out of the file. */
static void hdf5_elsewhere(void **state) {
    (void)state;
    hsize_t size = 5;
    hid_t how = H5Pcreate(H5P_FILE_CREATE), space = H5Screate_simple(1, &size, NULL);
    H5Pset_userblock(how, 512);
    hid_t f = H5Fcreate("block.h5", H5F_ACC_TRUNC, how, H5P_DEFAULT);
    hid_t set = H5Dcreate2(f, "ids", H5T_STD_U16LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, five) >= 0);
    H5Dclose(set);
    H5Pclose(how);
    H5Fclose(f);
    holds("block.h5", TOKENS_HDF5, 2, five, 5);
    f = H5Fcreate("out.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("block.h5", "ids", f, "away", H5P_DEFAULT, H5P_DEFAULT);
    H5Dclose(H5Dcreate2(f, "late", H5T_STD_U16LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    how = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(how, "block.h5", 512, 10);
    H5Dclose(H5Dcreate2(f, "external", H5T_STD_U16LE, space, H5P_DEFAULT, how, H5P_DEFAULT));
    H5Pclose(how);
    hid_t type = H5Tcopy(H5T_STD_U32LE);
    H5Tset_precision(type, 24);
    H5Dclose(H5Dcreate2(f, "padded", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Tclose(type);
    H5Gclose(H5Gcreate2(f, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
    space = H5Screate(H5S_SCALAR);
    H5Dclose(H5Dcreate2(f, "scalar", H5T_STD_U32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
    H5Fclose(f);
    refuses("out.h5:away", "leads to another file");
    refuses("out.h5:late", "has no content in this file");
    refuses("out.h5:external", "has no content in this file");
    refuses("out.h5:padded", "its type cannot be mapped");
    refuses("out.h5:scalar", "is not one-dimensional");
    refuses("out.h5:group", "there is no dataset 'group'");
    refuses("out.h5", "has several datasets; name one as out.h5:DATASET (external, late, padded, scalar)");
}

static void hdf5(void **state) {
    (void)state;
    make_hdf5("a.h5", "ids", H5T_STD_U16LE, 0, 0);
    holds("a.h5", TOKENS_HDF5, 2, five, 5);
    holds("a.h5:ids", TOKENS_HDF5, 2, five, 5);
    make_hdf5("a.h5", "more", H5T_STD_I32LE, 0, 1);
    holds("a.h5:more", TOKENS_HDF5, 4, five, 5);
    refuses("a.h5", "a.h5: has several datasets; name one as a.h5:DATASET (ids, more)");
    make_hdf5("a.h5", "tokens", H5T_STD_U32LE, 0, 1);
    holds("a.h5", TOKENS_HDF5, 4, five, 5);
    refuses("a.h5:nothing", "there is no dataset 'nothing'");
    make_hdf5("b.h5", "ids", H5T_STD_U16LE, 1, 0);
    refuses("b.h5", "chunked, compressed or virtual; Lockstep maps");
    make_hdf5("c.hdf5", "ids", H5T_STD_U16BE, 0, 0);
    refuses("c.hdf5", "its type cannot be mapped");
    make_hdf5("c.hdf5", "ids", H5T_IEEE_F32LE, 0, 0);
    refuses("c.hdf5", "its type cannot be mapped");
    make_hdf5("c.hdf5", "ids", H5T_STD_I64LE, 0, 0);
    refuses("c.hdf5", "its type cannot be mapped");
    write_file("d.h5", five_u16, 10);
    refuses("d.h5", "d.h5: cannot be read as an HDF5 file");
    refuses("e.h5", "e.h5: cannot be read as an HDF5 file");
}

static void texts_and_what_is_no_file(void **state) {
    (void)state;
    static const int32_t want[] = {'t', 'e', 0xff};
    struct tokens t;
    write_file("a.txt", "te\xff", 3);
    holds("a.txt", TOKENS_BYTES, 1, want, 3);
    must(tokens_open(&t, "a.txt"));
    assert_int_equal(t.vocab, 256);
    tokens_close(&t);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    refuses("pipe", "pipe: is not a regular file");
    char endless[1200];
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = 0;
    refuses(endless, "this path is too long");
    enum token_format format;
    assert_int_equal(tokens_detect(endless, &format), STATUS_BAD_DATA);
    write_file("empty.bin", "", 0);
    refuses("empty.bin", "empty.bin: the file is empty");
    refuses("missing.bin", "missing.bin: cannot read data: No such file");
    assert_int_equal(mkdir("dir", 0777), 0);
    refuses("dir", "dir: is not a regular file");
    write_file("empty.tokens", "x", 1);
    refuses("empty.tokens", "it has no whole header");
}

/* ---- the native format ---- */

static struct token_writer *new_writer(const char *path, int64_t shard, int64_t vocab, int mask) {
    struct token_writer_options o = {
        .path = path, .shard_tokens = shard, .vocab = vocab, .end_of_text = 3, .mask = mask};
    struct token_writer *w;
    memset(o.tokenizer, 0xab, sizeof o.tokenizer);
    must(token_writer_open(&o, &w));
    return w;
}

/* Documents of these lengths; tokens count up, every third one is masked out. */
static int write_documents(const char *path, const int *lengths, int n, int64_t shard, int64_t vocab, int mask) {
    struct token_writer *w = new_writer(path, shard, vocab, mask);
    int32_t next = 0;
    int shards;
    for (int d = 0; d < n; d++)
        for (int i = 0, part; i < lengths[d]; i += part) {
            int32_t ids[8];
            uint8_t counts[8];
            part = lengths[d] - i < 8 ? lengths[d] - i : 8;
            for (int k = 0; k < part; k++, next++) {
                ids[k] = next % (int32_t)vocab;
                counts[k] = next % 3 != 0;
            }
            must(token_writer_add(w, ids, counts, part, i + part == lengths[d]));
        }
    must(token_writer_finish(w, &shards));
    token_writer_close(w);
    return shards;
}

static void shards_hold_whole_documents(void **state) {
    (void)state;
    static const int lengths[] = {30, 30, 39, 1, 100, 250, 7, 3};
    static const int64_t want[] = {100, 100, 100, 100, 60}; /* 30+30+39+1, 100, 250 cut, 50+7+3 */
    static const int64_t documents[] = {4, 1, 0, 0, 3};
    for (int mask = 0; mask < 2; mask++) {
        int64_t vocab = mask ? 1000 : 100000;
        assert_int_equal(write_documents("s", lengths, 8, 100, vocab, mask), 5);
        for (int s = 0; s < 5; s++) {
            struct tokens t;
            char path[64];
            snprintf(path, sizeof path, "s-%05d.tokens", s);
            must(tokens_open(&t, path));
            assert_int_equal(t.format, TOKENS_NATIVE);
            assert_int_equal(t.width, mask ? 2 : 4);
            assert_int_equal(t.vocab, vocab);
            assert_int_equal(t.end_of_text, 3);
            assert_int_equal(t.tokenizer[15], 0xab);
            assert_int_equal(t.count, want[s]);
            assert_int_equal(t.documents, documents[s]);
            assert_int_equal(t.mask != NULL, mask);
            tokens_close(&t);
        }
    }
    struct stat info;
    assert_true(stat("s-00005.tokens", &info) != 0);
}

/* What the shards must be, by the rule alone: `shards` are where documents and their parts go. */
struct expected {
    int shards;
    int64_t count[4096], documents[4096];
};

static void expect_document(struct expected *e, int64_t length, int64_t shard) {
    if (!length) return;
    if (!e->shards || e->count[e->shards - 1] + length > shard) {
        e->count[e->shards] = e->documents[e->shards] = 0;
        if (!e->shards || e->count[e->shards - 1]) e->shards++;
    }
    for (; length > shard; length -= shard) {
        e->count[e->shards - 1] = shard;
        e->count[e->shards] = e->documents[e->shards] = 0;
        e->shards++;
    }
    e->count[e->shards - 1] += length;
    e->documents[e->shards - 1]++;
}

static uint64_t next_random(uint64_t *state) {
    return (*state = *state * 6364136223846793005u + 1442695040888963407u) >> 33;
}

/* Token i of a text, and whether it counts, follow from i. */
static int32_t token_at(int64_t i, int64_t vocab) { return (int32_t)((uint64_t)i * 2654435761u % (uint64_t)vocab); }
static int counts_at(int64_t i) { return (uint64_t)i * 40503 % 7 > 2; }

/* Writes documents of random lengths below `longest` in parts below `part`, and compares with the rule. */
static void compare_with_the_rule(uint64_t seed, int n, int longest, int largest_part, int64_t shard, int64_t vocab,
                                  int mask) {
    static struct expected e;
    static int32_t ids[200000];
    static uint8_t counts[200000];
    struct token_writer *w = new_writer("r", shard, vocab, mask);
    int64_t next = 0;
    e.shards = 0;
    for (int d = 0; d < n; d++) {
        int64_t length = (int64_t)(next_random(&seed) % (uint64_t)longest), left = length;
        do {
            int64_t part = 1 + (int64_t)(next_random(&seed) % (uint64_t)largest_part);
            if (part > left) part = left;
            for (int64_t i = 0; i < part; i++, next++) {
                ids[i] = token_at(next, vocab);
                counts[i] = (uint8_t)counts_at(next);
            }
            left -= part;
            must(token_writer_add(w, ids, counts, part, !left));
        } while (left);
        expect_document(&e, length, shard);
    }
    int shards, status = token_writer_finish(w, &shards);
    token_writer_close(w);
    assert_int_equal(status, next ? 0 : STATUS_BAD_DATA);
    assert_int_equal(shards, e.shards);
    int64_t at = 0;
    for (int s = 0; s < shards; s++) {
        struct tokens t;
        char path[64];
        int32_t largest;
        snprintf(path, sizeof path, "r-%05d.tokens", s);
        must(tokens_open(&t, path));
        must(tokens_verify(&t, &largest));
        assert_int_equal(t.count, e.count[s]);
        assert_int_equal(t.documents, e.documents[s]);
        for (int64_t i = 0, part; i < t.count; i += part) {
            part = t.count - i < 200000 ? t.count - i : 200000;
            tokens_read(&t, i, part, ids);
            for (int64_t k = 0; k < part; k++, at++)
                if (ids[k] != token_at(at, vocab) || tokens_counts(&t, i + k) != (!mask || counts_at(at)))
                    fail_msg("shard %d, token %d", s, (int)(i + k));
        }
        if (mask && t.count % 8) assert_int_equal(t.mask[t.count / 8] >> t.count % 8, 0); /* one content, one file */
        tokens_close(&t);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(at, next);
}

static void shards_follow_the_rule(void **state) {
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 12; round++) { /* few files, for each is synced */
        int shard = 1 + (int)(next_random(&seed) % 40), longest = 1 + (int)(next_random(&seed) % (uint64_t)(3 * shard));
        int part = 1 + (int)(next_random(&seed) % 30), n = (int)(next_random(&seed) % 8);
        compare_with_the_rule(seed, n, longest, part, shard, round % 2 ? 70000 : 500, round % 3 != 0);
    }
    /* Larger than the writer's buffer: what is moved has been written already. */
    compare_with_the_rule(1, 6, 900000, 200000, 1000000, 50000, 1);
    compare_with_the_rule(2, 6, 900000, 200000, 700000, 100000, 0);
}

/* Each bit of the header: refused, or it does not matter what it says. */
static void damaged_headers(void **state) {
    (void)state;
    static const int lengths[] = {20, 20};
    uint8_t file[1024];
    write_documents("h", lengths, 2, 100, 1000, 1);
    FILE *f = fopen("h-00000.tokens", "rb");
    size_t size = fread(file, 1, sizeof file, f);
    fclose(f);
    for (int bit = 0; bit < 8 * NATIVE_HEADER; bit++) {
        struct tokens t;
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
        write_file("damaged.tokens", file, size);
        assert_int_equal(tokens_open(&t, "damaged.tokens"), STATUS_BAD_DATA);
        if (bit / 8 < 72) { /* with a checksum that agrees: no header may reach beyond the file */
            put_u64(file + 72, XXH3_64bits(file, 72));
            write_file("damaged.tokens", file, size);
            int32_t all[64], largest;
            if (!tokens_open(&t, "damaged.tokens")) {
                assert_true(t.count <= 64);
                tokens_read(&t, 0, t.count, all);
                (void)tokens_verify(&t, &largest);
                tokens_close(&t);
            }
        }
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_u64(file + 72, XXH3_64bits(file, 72));
    }
    for (size_t length = 1; length < size; length++) {
        write_file("cut.tokens", file, length);
        refuses("cut.tokens", "cut.tokens: ");
    }
    for (size_t at = NATIVE_HEADER; at < size; at++) { /* the content is what the checksum is for */
        struct tokens t;
        int32_t largest;
        file[at] ^= 4;
        write_file("content.tokens", file, size);
        must(tokens_open(&t, "content.tokens"));
        assert_int_equal(tokens_verify(&t, &largest), STATUS_BAD_DATA);
        assert_non_null(strstr(fail_message(), "the checksum of its content is"));
        tokens_close(&t);
        file[at] ^= 4;
    }
}

static void tokens_beyond_the_vocabulary(void **state) {
    (void)state;
    struct tokens t;
    int32_t largest;
    write_file("v.bin", five_u16, 10);
    must(tokens_open(&t, "v.bin"));
    must(tokens_verify(&t, &largest));
    assert_int_equal(largest, 65535);
    static const uint8_t negative[] = {5, 0, 0, 0, 254, 255, 255, 255};
    struct tokens word = {.name = "n", .width = 4, .count = 2, .data = negative};
    assert_int_equal(tokens_verify(&word, &largest), STATUS_BAD_DATA);
    assert_string_equal(fail_message(), "n: token 1 is -2, which no vocabulary has");
    t.vocab = 65535;
    assert_int_equal(tokens_verify(&t, &largest), STATUS_BAD_DATA);
    assert_non_null(strstr(fail_message(), "v.bin: token 2 is 65535, outside the vocabulary of 65535"));
    tokens_close(&t);
    struct token_writer *w = new_writer("w", 100, 1000, 0);
    int32_t id = 1000;
    assert_int_equal(token_writer_add(w, &id, NULL, 1, 1), STATUS_FAILED);
    token_writer_close(w);
}

/* A disk that fills up leaves nothing under the final name, nor a temporary file. */
static void a_full_disk_leaves_nothing(void **state) {
    (void)state;
    struct rlimit before, limit;
    struct stat info;
    int32_t ids[4096] = {0};
    int status = 0, shards;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 100000;
    setrlimit(RLIMIT_FSIZE, &limit);
    struct token_writer *w = new_writer("full", 1000000, 1000, 0);
    for (int i = 0; i < 1000 && !status; i++) status = token_writer_add(w, ids, NULL, 4096, 1);
    if (!status) status = token_writer_finish(w, &shards);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, STATUS_FAILED);
    assert_non_null(strstr(fail_message(), "full-00000.tokens.tmp: cannot write: File too large"));
    token_writer_close(w);
    assert_true(stat("full-00000.tokens", &info) && stat("full-00000.tokens.tmp", &info));
    /* The same when the next file cannot be made while a document is moved there, or a whole one not take its name. */
    static const char *const obstacles[] = {"full-00001.tokens.tmp", "full-00000.tokens"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mkdir(obstacles[i], 0777), 0);
        w = new_writer("full", 5000, 1000, 1);
        must(token_writer_add(w, ids, NULL, 3000, 1));
        must(token_writer_add(w, ids, NULL, 2000, 0));
        assert_int_equal(token_writer_add(w, ids, NULL, 1, 0), STATUS_FAILED);
        assert_non_null(strstr(fail_message(), ": cannot write: Is a directory"));
        token_writer_close(w);
        assert_int_equal(rmdir(obstacles[i]), 0);
        assert_true(stat("full-00000.tokens", &info) && stat("full-00000.tokens.tmp", &info));
        assert_true(stat("full-00001.tokens", &info) && stat("full-00001.tokens.tmp", &info));
    }
    w = new_writer("missing/x", 100, 1000, 0);
    status = token_writer_add(w, ids, NULL, 1, 1);
    assert_int_equal(status, STATUS_FAILED);
    assert_non_null(strstr(fail_message(), "missing/x-00000.tokens.tmp: cannot write: No such file"));
    token_writer_close(w);
}

static void nothing_to_write_is_an_error(void **state) {
    (void)state;
    struct token_writer *w = new_writer("none", 100, 1000, 0);
    int shards;
    assert_int_equal(token_writer_finish(w, &shards), STATUS_BAD_DATA);
    assert_non_null(strstr(fail_message(), "none: there are no tokens to write"));
    token_writer_close(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nanogpt),
        cmocka_unit_test(llmc),
        cmocka_unit_test(megatron),
        cmocka_unit_test(megatron_types),
        cmocka_unit_test(hdf5),
        cmocka_unit_test(hdf5_elsewhere),
        cmocka_unit_test(texts_and_what_is_no_file),
        cmocka_unit_test(shards_hold_whole_documents),
        cmocka_unit_test(shards_follow_the_rule),
        cmocka_unit_test(damaged_headers),
        cmocka_unit_test(tokens_beyond_the_vocabulary),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(nothing_to_write_is_an_error),
    };
    return cmocka_run_group_tests_name("token file", tests, enter_scratch, leave_scratch);
}
