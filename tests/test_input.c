/* Documents from files: plain and compressed, whole and in parts, folders, JSONL with its bad lines. */
#include "scratch.h"
#include "data/input_parts.h"
#include "data/stream.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <zlib.h>
#include <zstd.h>

/* The content as so many gzip members, or zstd frames. */
static size_t pack(const char *text, size_t length, int pieces, int zstd, char *out, size_t room) {
    size_t used = 0;
    for (int i = 0; i < pieces; i++) {
        size_t from = length * (size_t)i / (size_t)pieces, n = length * (size_t)(i + 1) / (size_t)pieces - from;
        if (zstd) {
            size_t got = ZSTD_compress(out + used, room - used, text + from, n, 3);
            assert_false(ZSTD_isError(got));
            used += got;
            continue;
        }
        z_stream z = {0};
        assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in = (Bytef *)(uintptr_t)(text + from);
        z.avail_in = (uInt)n;
        z.next_out = (Bytef *)out + used;
        z.avail_out = (uInt)(room - used);
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        used += z.total_out;
        deflateEnd(&z);
    }
    return used;
}

/* All documents, with | after each; a part that does not end one has nothing after it. */
static int collect(struct input_options *o, char *out, size_t room, struct input **kept) {
    struct input *in;
    struct document d;
    int more, status;
    out[0] = '\0';
    if (!o->split) o->split = SPLIT_GPT2;
    TRY(input_open(o, &in));
    while (!(status = input_next(in, &d, &more)) && more) {
        size_t used = strlen(out);
        snprintf(out + used, room - used, "%.*s%s%.*s%s", (int)d.length, d.text, d.prompt ? "<" : "",
                 (int)d.prompt_length, d.prompt ? d.prompt : "", d.ends ? "|" : "");
    }
    if (!status) assert_int_equal(input_bytes(in), input_bytes_read(in));
    if (kept && !status)
        *kept = in;
    else
        input_close(in);
    return status;
}

static void expect(const char *path, const char *want) {
    struct input_options o = {.paths = &path, .n_paths = 1};
    static char got[1 << 20];
    must(collect(&o, got, sizeof got, NULL));
    if (strcmp(got, want)) fail_msg("%s: '%.300s', not '%.300s'", path, got, want);
}

static void plain_and_compressed_are_the_same(void **state) {
    (void)state;
    static char text[300001], want[300002], packed[400000];
    static const char *const words[] = {"one ", "two ", "three\n", "\xc3\xa9 ", "four. "};
    size_t n = 0;
    for (int i = 0; n < 299990; i++) n += (size_t)sprintf(text + n, "%s", words[(i % 1000 * (i % 1000) + i / 7) % 5]);
    snprintf(want, sizeof want, "%s|", text);
    write_text("a.txt", text);
    expect("a.txt", want);
    for (int pieces = 1; pieces <= 3; pieces++)
        for (int zstd = 0; zstd < 2; zstd++) {
            const char *name = zstd ? "a.txt.zst" : "a.txt.gz";
            size_t size = pack(text, n, pieces, zstd, packed, sizeof packed);
            write_file(name, packed, size);
            expect(name, want);
            /* Cut short anywhere, or with one byte changed in the middle, it is an error that names the file. */
            struct input_options o = {.paths = &name, .n_paths = 1};
            static char got[1 << 20];
            for (size_t cut = 30; cut < size; cut += size / 7) {
                size_t last_end = (size_t)-1;
                write_file(name, packed, cut);
                int status = collect(&o, got, sizeof got, NULL);
                if (!status) last_end = strlen(got); /* just between two members: whole in itself */
                if (last_end == (size_t)-1) {
                    assert_int_equal(status, STATUS_BAD_DATA);
                    says(name);
                    says("damaged or truncated near byte");
                } else {
                    assert_true(pieces > 1);
                }
            }
        }
    size_t size = pack(text, n, 1, 0, packed, sizeof packed);
    packed[size / 2] ^= 0x55;
    write_file("bad.gz", packed, size);
    const char *bad = "bad.gz";
    struct input_options o = {.paths = &bad, .n_paths = 1};
    static char got[1 << 20];
    assert_int_equal(collect(&o, got, sizeof got, NULL), STATUS_BAD_DATA);
    packed[size / 2] ^= 0x55;
    memcpy(packed + size, "junk", 4);
    write_file("bad.gz", packed, size + 4);
    assert_int_equal(collect(&o, got, sizeof got, NULL), STATUS_BAD_DATA);
    says("something else follows its end");
}

static void is_damaged(const char *path, const char *bytes, size_t size) {
    struct input_options o = {.paths = &path, .n_paths = 1};
    char got[1000];
    write_file(path, bytes, size);
    assert_int_equal(collect(&o, got, sizeof got, NULL), STATUS_BAD_DATA);
    says(path);
    says("damaged or truncated near byte");
}

/* Cut anywhere, one member or frame is never taken for a whole one; nor is a wrong checksum or what follows. */
static void every_damage_is_found(void **state) {
    (void)state;
    static const char text[] = "a short text, and a short text again";
    char packed[400];
    for (int zstd = 0; zstd < 2; zstd++) {
        size_t size = pack(text, sizeof text - 1, 1, zstd, packed, sizeof packed);
        for (size_t n = zstd ? 4 : 2; n < size; n++) is_damaged(zstd ? "cut.zst" : "cut.gz", packed, n);
        for (size_t n = size - 8; n < size && !zstd; n++) {
            packed[n] ^= 1;
            is_damaged("wrong.gz", packed, size);
            packed[n] ^= 1;
        }
        memcpy(packed + size, "junk", 4);
        is_damaged("more", packed, size + 4);
    }
}

/* What may stand before, between and after: zeros behind gzip members, zstd's skippable frames, and empty ones of both. */
static void padding_is_passed_over(void **state) {
    (void)state;
    static const char skippable[] = "\x5a\x2a\x4d\x18\5\0\0\0skip!";
    const size_t skip = sizeof skippable - 1;
    char all[1000];
    size_t n = pack("ab", 2, 2, 0, all, sizeof all);
    n += pack("", 0, 1, 0, all + n, sizeof all - n);
    memset(all + n, 0, 512);
    write_file("padded.gz", all, n + 512);
    expect("padded.gz", "ab|");
    memcpy(all, skippable, skip);
    n = skip + pack("ab", 2, 2, 1, all + skip, sizeof all - skip);
    memcpy(all + n, skippable, skip);
    n += skip + pack("", 0, 1, 1, all + n + skip, sizeof all - n - skip);
    memcpy(all + n, skippable, skip);
    write_file("padded.zst", all, n + skip);
    expect("padded.zst", "ab|");
    is_damaged("half.zst", all, n + skip - 1);
}

/* The content decides, not the name. */
static void content_decides(void **state) {
    (void)state;
    char packed[400];
    write_text("plain.gz", "not compressed");
    expect("plain.gz", "not compressed|");
    write_file("packed.txt", packed, pack("inside", 6, 1, 1, packed, sizeof packed));
    expect("packed.txt", "inside|");
    write_text("short", "\x1f");
    expect("short", "\x1f|");
    const char lines[] = "{\"text\": \"a\"}\n{\"text\": \"b\"}";
    write_file("lines.ndjson.zst", packed, pack(lines, sizeof lines - 1, 5, 1, packed, sizeof packed));
    expect("lines.ndjson.zst", "a|b|");
}

static long most_memory_mib(void) {
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss / 1024;
}

static void a_bomb_costs_no_memory(void **state) {
    (void)state;
    static char zeros[1 << 16], out[1 << 16];
    struct stream *stream;
    int64_t got = 1, total = 0;
    size_t size = pack(zeros, sizeof zeros, 1, 0, out, sizeof out); /* a thousandth */
    FILE *f = fopen("bomb.gz", "wb");
    assert_non_null(f);
    for (int i = 0; i < 1024; i++) assert_int_equal(fwrite(out, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    long before = most_memory_mib();
    must(stream_open("bomb.gz", &stream));
    for (; got; total += got) must(stream_read(stream, out, sizeof out, &got));
    stream_close(stream);
    assert_int_equal(total, 64 << 20);
    assert_true(most_memory_mib() - before < 16);
}

/* A frame can ask for a window of 2 GiB and more. */
static void windows_are_bounded(void **state) {
    (void)state;
    static char text[200000], out[300000], got[300000];
    const char *path = "wide.zst";
    struct input_options o = {.paths = &path, .n_paths = 1};
    ZSTD_CCtx *c = ZSTD_createCCtx();
    memset(text, 'a', sizeof text);
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, 28);
    ZSTD_inBuffer from = {text, sizeof text, 0};
    ZSTD_outBuffer to = {out, sizeof out, 0};
    /* In two steps: told the length at once, it would make the window as small. */
    assert_int_equal(ZSTD_compressStream2(c, &to, &from, ZSTD_e_flush), 0);
    assert_int_equal(ZSTD_compressStream2(c, &to, &from, ZSTD_e_end), 0);
    ZSTD_freeCCtx(c);
    write_file(path, out, to.pos);
    assert_int_equal(collect(&o, got, sizeof got, NULL), STATUS_BAD_DATA);
    says("wide.zst: needs a window of more than 128 MiB");
}

static uint32_t random_below(uint32_t n) {
    static uint32_t random = 1;
    random = random * 1664525 + 1013904223;
    return (random >> 8) % n;
}

/* Words, spaces in a row, lines, characters of several bytes, and bytes that are no UTF-8. */
static void fill_random(char *text, size_t length) {
    static const char words[14][8] = {"tree",     " ",     "  ",        "\n",           "\r\n\n",
                                      "don't",    "12345", "\xc3\xa9t", "\xe2\x80\xa8", "\xf0\x9f\x8c\xb2",
                                      "\xff\xfe", "...",   "\t",        "\xc3"};
    for (size_t at = 0; at < length;) {
        const char *word = words[random_below(14)];
        for (; *word && at < length; word++) text[at++] = *word;
        if (at < length && random_below(3) == 0) text[at++] = ' ';
    }
}

/* Where a text's pieces end, marked in ends[]; `from` is where the text begins. */
static void mark_pieces(struct splitter *s, const char *text, int64_t length, int64_t from, char *ends) {
    const char *piece;
    int64_t n;
    splitter_begin(s, text, length);
    while (splitter_next(s, &piece, &n) > 0) {
        from += n;
        ends[from] = 1;
    }
}

/* Parts join to the file, and pieces do not notice where it was cut. */
static void cut_everywhere(enum split split, const char *text, int64_t length, int64_t part) {
    const char *path = "parts";
    struct input_options o = {.paths = &path, .n_paths = 1, .split = split};
    char *whole = calloc((size_t)length + 1, 1), *parts = calloc((size_t)length + 1, 1);
    struct splitter *s;
    struct input *in;
    struct document d;
    int64_t at = 0;
    int more;
    assert_true(whole && parts);
    write_file(path, text, (size_t)length);
    must(splitter_open(split, NULL, &s));
    mark_pieces(s, text, length, 0, whole);
    input_part_bytes = part;
    must(input_open(&o, &in));
    for (must(input_next(in, &d, &more)); more; must(input_next(in, &d, &more))) {
        assert_true(d.length > 0 && at + d.length <= length);
        assert_memory_equal(d.text, text + at, (size_t)d.length);
        mark_pieces(s, d.text, d.length, at, parts);
        at += d.length;
        assert_int_equal(d.ends, at == length);
    }
    assert_int_equal(at, length);
    assert_memory_equal(whole, parts, (size_t)length + 1);
    input_part_bytes = PART_BYTES;
    input_close(in);
    splitter_close(s);
    free(whole);
    free(parts);
}

static void cuts_change_no_piece(void **state) {
    (void)state;
    static const int64_t lengths[] = {1, 2, 62, 63, 64, 65, 66, 127, 128, 129, 300};
    static char text[1500000];
    for (int round = 0; round < 10; round++)
        for (int i = 0; i < 11; i++) {
            fill_random(text, (size_t)lengths[i]);
            cut_everywhere(round % 2 ? SPLIT_GPT2 : SPLIT_CL100K, text, lengths[i], 64);
            cut_everywhere(round % 2 ? SPLIT_GPT2 : SPLIT_CL100K, text, lengths[i], 1 + random_below(10));
        }
    fill_random(text, sizeof text); /* several reads */
    cut_everywhere(SPLIT_GPT2, text, sizeof text, 100000);
    cut_everywhere(SPLIT_CL100K, text, sizeof text, 1 << 18);
    memset(text + 100, 'x', sizeof text - 200); /* no place to cut but at both ends */
    cut_everywhere(SPLIT_GPT2, text, sizeof text, 30);
}

static void long_texts_come_in_parts(void **state) {
    (void)state;
    static char text[60001];
    for (int i = 0; i < 60000; i++) text[i] = i % 11 == 10 ? ' ' : (char)('a' + i % 7);
    write_text("long.txt", text);
    for (int64_t part = 1; part < 100000; part = part * 3 + 1) {
        const char *path = "long.txt";
        struct input_options o = {.paths = &path, .n_paths = 1, .split = SPLIT_GPT2};
        struct input *in;
        struct document d;
        int more, parts = 0;
        int64_t at = 0;
        input_part_bytes = part;
        must(input_open(&o, &in));
        for (;;) {
            must(input_next(in, &d, &more));
            if (!more) break;
            assert_memory_equal(d.text, text + at, (size_t)d.length);
            at += d.length;
            parts++;
            assert_int_equal(d.ends, at == 60000);
            if (!d.ends) assert_true(text[at] == ' ' && d.length >= part);
            assert_true(d.length <= part + 12);
        }
        assert_int_equal(at, 60000);
        assert_in_range(parts, 60000 / (part + 12), 60000 / part + 1);
        input_close(in);
    }
    input_part_bytes = 1000;
    write_text("word.txt", "aaaa"); /* no place to cut: one part however short parts are */
    input_part_bytes = 1;
    expect("word.txt", "aaaa|");
    input_part_bytes = PART_BYTES;
}

static void folders_in_order(void **state) {
    (void)state;
    assert_int_equal(mkdir("f", 0777), 0);
    assert_int_equal(mkdir("f/sub", 0777), 0);
    assert_int_equal(mkdir("f/.git", 0777), 0);
    write_text("f/b.txt", "2");
    write_text("f/B.txt", "1");
    write_text("f/sub/a", "4");
    write_text("f/.hidden", "no");
    write_text("f/.git/no", "no");
    write_text("f/c.jsonl", "{\"text\": \"3\"}\n");
    expect("f", "1|2|3|4|");
    const char *paths[] = {"f/sub", "f/b.txt"};
    struct input_options o = {.paths = paths, .n_paths = 2};
    char got[100];
    must(collect(&o, got, sizeof got, NULL));
    assert_string_equal(got, "4|2|");
    assert_int_equal(symlink("..", "f/sub/up"), 0);
    paths[0] = "f";
    assert_int_equal(collect(&o, got, sizeof got, NULL), STATUS_BAD_DATA);
    says("folders deep; does a link lead in a circle?");
    assert_int_equal(mkdir("e", 0777), 0);
    paths[0] = "e";
    assert_int_equal(collect(&o, got, sizeof got, NULL), STATUS_BAD_DATA);
    says("e: there are no files in it");
    paths[0] = "missing";
    assert_int_equal(collect(&o, got, sizeof got, NULL), STATUS_BAD_DATA);
    says("missing: cannot read data: No such file");
}

static void small_files(void **state) {
    (void)state;
    write_text("empty", "");
    expect("empty", "|");
    write_text("bom.txt", "\xef\xbb\xbftext \xef\xbb\xbf");
    expect("bom.txt", "text \xef\xbb\xbf|");
    write_text("bom.jsonl", "\xef\xbb\xbf{\"text\": \"a\"}");
    expect("bom.jsonl", "a|");
    /* However a stream gives it, and at the start only. */
    char packed[400];
    write_file("bom.txt.gz", packed,
               pack("\xef\xbb\xbf"
                    "ab",
                    5, 5, 0, packed, sizeof packed));
    expect("bom.txt.gz", "ab|");
    write_file("later.gz", packed,
               pack("ab\xef\xbb\xbf"
                    "c",
                    6, 6, 0, packed, sizeof packed));
    expect("later.gz", "ab\xef\xbb\xbf"
                       "c|");
    write_text("half.txt", "\xef\xbb");
    expect("half.txt", "\xef\xbb|");
    write_text("crlf.txt", "a\r\nb\r\n");
    expect("crlf.txt", "a\r\nb\r\n|");
    write_text("x", "x");
    expect("x", "x|");
}

static void jsonl_is_read(void **state) {
    (void)state;
    write_text(
        "a.jsonl",
        "{\"text\": \"one\"}\n\n  \r\n{\"id\": 1, \"text\": \"tw\\u00f6 \\ud83d\\ude00\\n\"}\r\n{\"text\": \"\"}\n"
        "{\"text\": \"first\", \"text\": \"second\"} ");
    expect("a.jsonl", "one|tw\xc3\xb6 \xf0\x9f\x98\x80\n||first|");
    write_text("b.jsonl", "{\"body\": \"b\", \"prompt\": \"p\", \"response\": \"r\"}\n");
    const char *path = "b.jsonl";
    struct input_options o = {.paths = &path, .n_paths = 1, .field = "body"};
    char got[100];
    must(collect(&o, got, sizeof got, NULL));
    assert_string_equal(got, "b|");
    o = (struct input_options){.paths = &path, .n_paths = 1, .prompt_field = "prompt", .response_field = "response"};
    must(collect(&o, got, sizeof got, NULL));
    assert_string_equal(got, "r<p|");
    path = "x";
    assert_int_equal(collect(&o, got, sizeof got, NULL), STATUS_BAD_DATA);
    says("x: prompts and responses are read from JSONL");
}

static void bad_lines_are_named(void **state) {
    (void)state;
    static const struct {
        const char *line, *words;
    } rows[] = {
        {"{\"text\": \"a\"", "is not JSON"},
        {"text", "is not JSON"},
        {"{\"text\": \"a\"} x", "is not JSON"},
        {"[1]", "is JSON, but no object"},
        {"{\"body\": \"a\", \"id\": 3}", "has no field 'text' (there are 'body', 'id')"},
        {"{}", "has no field 'text' (there are none)"},
        {"{\"text\": 5}", "field 'text' is no string"},
        {"{\"text\": null}", "field 'text' is no string"},
        {"{\"text\": \"a\\u0000b\"}", "has the character U+0000"},
        {"{\"text\": \"a\\\\\\u0000b\"}", "has the character U+0000"},
        {"{\"text\": \"\\ud800\"}", "has \\ud800, half of a surrogate pair"},
        {"{\"text\": \"\\uDC12 \\ud83c\\udf32\"}", "has \\udc12, half of a surrogate pair"},
        {"{\"text\": \"\\ud83c\\ud83c\\udf32\"}", "has \\ud83c, half of a surrogate pair"},
        {"{\"text\": \"\\u12\"}", "is not JSON"},
        {"{\"text\": \"\\", "is not JSON"},
        {"{\"a\": 1,", "is not JSON"},
        {"{\"a\\nb\": 1}", "has no field 'text' (there are 'a?b')"},
        {"{\"text\": \"\xff\"}", "field 'text' is not valid UTF-8"},
        {"{\"text\": \"\xed\xa0\x80\"}", "field 'text' is not valid UTF-8"},
    };
    const char *path = "bad.jsonl";
    struct input_options o = {.paths = &path, .n_paths = 1};
    char got[1000], text[4000] = "", words[300];
    int n = sizeof rows / sizeof *rows;
    for (int i = 0; i < n; i++) {
        char two[200];
        snprintf(two, sizeof two, "{\"text\": \"good\"}\n%s\n", rows[i].line);
        write_text(path, two);
        o.skip_bad_lines = 0;
        assert_int_equal(collect(&o, got, sizeof got, NULL), STATUS_BAD_DATA);
        says("bad.jsonl:2: ");
        says(rows[i].words);
        says("; --skip-bad-lines goes on without such lines");
        strcat(text, two);
    }
    /* All together, passed over: the first ten are named. */
    struct input *in = NULL;
    write_text(path, text);
    o.skip_bad_lines = 1;
    must(collect(&o, got, sizeof got, &in));
    assert_int_equal(input_bad_lines(in), n);
    for (int i = 0; i < n; i++) {
        snprintf(words, sizeof words, "bad.jsonl:%d: ", 2 * (i + 1));
        assert_int_equal(strstr(input_bad_line_texts(in), words) != NULL, i < 10);
    }
    assert_int_equal(strlen(got), n * strlen("good|"));
    input_close(in);
    /* An escaped backslash before u0000 is no zero. */
    write_text("fine.jsonl", "{\"text\": \"a\\\\u0000b\"}");
    expect("fine.jsonl", "a\\u0000b|");
}

/* cJSON would end the string there. */
static void zero_bytes_are_bad(void **state) {
    (void)state;
    const char *path = "zero.jsonl";
    struct input_options o = {.paths = &path, .n_paths = 1};
    char got[100];
    write_file(path, "{\"text\": \"a\0b\"}\n", 16);
    assert_int_equal(collect(&o, got, sizeof got, NULL), STATUS_BAD_DATA);
    says("zero.jsonl:1: has the character U+0000");
}

/* Longer than what is read at once. */
static void long_lines(void **state) {
    (void)state;
    enum { LONG = 1000000 };
    const char *path = "long.jsonl";
    struct input_options o = {.paths = &path, .n_paths = 1};
    char *text = malloc(LONG);
    struct input *in;
    struct document d;
    int more;
    FILE *f = fopen(path, "wb");
    assert_true(f && text);
    for (int i = 0; i < LONG; i++) text[i] = (char)('a' + i % 23);
    for (int i = 0; i < 5; i++) fprintf(f, "{\"text\": \"%.*s\"}\n", LONG - i, text);
    assert_int_equal(fclose(f), 0);
    must(input_open(&o, &in));
    for (int i = 0; i < 5; i++) {
        must(input_next(in, &d, &more));
        assert_true(more);
        assert_int_equal(d.line, i + 1);
        assert_int_equal(d.length, LONG - i);
        assert_memory_equal(d.text, text, (size_t)d.length);
    }
    must(input_next(in, &d, &more));
    assert_false(more);
    input_close(in);
    free(text);
}

static void standard_input(void **state) {
    (void)state;
    int ends[2], kept = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "from a pipe", 11), 11);
    close(ends[1]);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    const char *path = "-";
    struct input_options o = {.paths = &path, .n_paths = 1, .split = SPLIT_GPT2};
    struct input *in;
    struct document d;
    int more;
    must(input_open(&o, &in));
    assert_true(input_is_single_text(in));
    must(input_next(in, &d, &more));
    assert_true(more && d.ends && d.length == 11);
    assert_memory_equal(d.text, "from a pipe", 11);
    must(input_next(in, &d, &more));
    assert_false(more);
    input_close(in);
    if (kept < 0) return;
    dup2(kept, STDIN_FILENO);
    close(kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bomb_costs_no_memory), /* first: what others took would hide what it takes */
        cmocka_unit_test(plain_and_compressed_are_the_same),
        cmocka_unit_test(every_damage_is_found),
        cmocka_unit_test(padding_is_passed_over),
        cmocka_unit_test(content_decides),
        cmocka_unit_test(windows_are_bounded),
        cmocka_unit_test(cuts_change_no_piece),
        cmocka_unit_test(long_texts_come_in_parts),
        cmocka_unit_test(folders_in_order),
        cmocka_unit_test(small_files),
        cmocka_unit_test(jsonl_is_read),
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(zero_bytes_are_bad),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(standard_input),
    };
    return cmocka_run_group_tests_name("input", tests, enter_scratch, leave_scratch);
}
