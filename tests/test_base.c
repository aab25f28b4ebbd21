/* UTF-8 against the definition of its well-formed sequences, and failures that cross threads. */
#include "base/check.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* RFC 3629, section 3: the bytes of a code point. */
static int64_t encode(uint32_t c, uint8_t out[4]) {
    if (c < 0x80) return out[0] = (uint8_t)c, 1;
    int64_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int64_t i = size - 1; i > 0; i--, c >>= 6) out[i] = (uint8_t)(0x80 | (c & 0x3f));
    out[0] = (uint8_t)((0xf00 >> size & 0xff) | c);
    return size;
}

static void every_code_point(void **state) {
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t text[4];
        uint32_t point = 7;
        int64_t size = encode(c, text), got = utf8_character(text, size, &point);
        int surrogate = c >= 0xd800 && c < 0xe000;
        if (got != (surrogate ? 0 : size) || point != (surrogate ? 7 : c)) fail_msg("U+%04X", (unsigned)c);
        if (utf8_character(text, size - 1, NULL) != 0) fail_msg("U+%04X cut short", (unsigned)c);
    }
}

/* Of all sequences of three bytes just those that an encoder makes are characters. */
static void nothing_else(void **state) {
    (void)state;
    static char known[1 << 24];
    memset(known, 0, sizeof known);
    for (uint32_t c = 0x800; c < 0x10000; c++) {
        uint8_t t[4];
        encode(c, t);
        if (c < 0xd800 || c >= 0xe000) known[t[0] << 16 | t[1] << 8 | t[2]] = 1;
    }
    for (uint32_t word = 0; word < 1 << 24; word++) {
        uint8_t t[3] = {(uint8_t)(word >> 16), (uint8_t)(word >> 8), (uint8_t)word};
        if ((utf8_character(t, 3, NULL) == 3) != known[word]) fail_msg("%06X", (unsigned)word);
    }
    static const char *const bad[] = {
        "\x80", "\xc0\x80", "\xc1\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(utf8_character(bad[i], (int64_t)strlen(bad[i]), NULL), 0);
}

static void valid_stretches(void **state) {
    (void)state;
    char text[64];
    for (int64_t at = 0; at < 40; at++) { /* a bad byte at each place, beyond whole words too */
        memset(text, 'a', sizeof text);
        text[at] = (char)0xff;
        assert_int_equal(utf8_valid(text, 40), at);
        memcpy(text + at, "\xc3\xa9", 2);
        assert_int_equal(utf8_valid(text, 42), 42);
        assert_int_equal(utf8_valid(text, at + 1), at);
    }
    assert_int_equal(utf8_valid(text, 0), 0);
}

static void failures_cross_threads(void **state) {
    (void)state;
    struct failure none = {0}, failure = {0};
    assert_int_equal(failure_raise(&none), 0);
#pragma omp parallel for num_threads(4)
    for (int i = 0; i < 100; i++) failure_keep(&failure, i % 3 ? 0 : (fail)(STATUS_BAD_DATA, "thread's own %d", i % 3));
    (fail)(STATUS_OK, "%s", "");
    assert_int_equal(failure_raise(&failure), STATUS_BAD_DATA);
    assert_string_equal(fail_message(), "thread's own 0");
    failure_keep(&failure, (fail)(STATUS_FAILED, "later")); /* the first counts */
    assert_int_equal(failure_raise(&failure), STATUS_BAD_DATA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(nothing_else),
        cmocka_unit_test(valid_stretches),
        cmocka_unit_test(failures_cross_threads),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
