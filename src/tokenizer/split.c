/* Cutting text into pieces: with PCRE2, and by hand where a known pattern meets ASCII.
 *
 * Patterns come from engines that are not PCRE2: tiktoken's fancy-regex (Rust) and tokenizers' Oniguruma (Ruby's syntax). What
 * was found when each was asked about every code point:
 *   \s      in both is Unicode's White_Space: U+0009 to U+000D, U+0020, U+0085, U+00A0 …; not U+001C to U+001F, U+180E, U+200B.
 *           PCRE2's has U+180E besides, so \s and \S are written out
 *   (?i:s)  takes U+017F (long s) in all three, as (?i:k) takes U+212A
 *   \p{…}   follows the engine's version of Unicode: 14 in PCRE2 10.42. Code points assigned later may be cut otherwise
 *   \w, \h  differ in Oniguruma: letters, marks, numbers and connectors; hexadecimal digits. Written out as well
 *   ^, $    are ends of lines in Oniguruma. Line ends are \n alone
 *   [a[b]&&c]  are operations on sets in both. PCRE2 has none and would read something else, so they are refused
 *
 * PCRE2_MATCH_INVALID_UTF is not used: its check may read the whole rest of the text at each call, which is quadratic. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokenizer/vocabulary.h"

enum { JIT_STACK_FIRST = 64 << 10, JIT_STACK_MOST = 8 << 20, PATTERN_MAX = 1 << 16 };

#define WHITE                                                                                                          \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NOT_WHITE                                                                                                      \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"   \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define WORD "\\p{L}\\p{M}\\p{N}\\p{Pc}"
#define HEX "0-9A-Fa-f"

/* What an escape is in PCRE2, outside of a class and inside; NULL: cannot be told there. */
static const struct {
    char letter;
    const char *outside, *inside;
} escapes[] = {
    {'s', "[" WHITE "]", WHITE}, {'S', "[^" WHITE "]", NOT_WHITE}, {'w', "[" WORD "]", WORD},
    {'W', "[^" WORD "]", NULL},  {'h', "[" HEX "]", HEX},          {'H', "[^" HEX "]", NULL},
};
enum { ESCAPES = sizeof escapes / sizeof *escapes };

/* Forms that make the same pieces: the first is ours. Possessive forms are the same because what follows a repetition never
 * begins with what it repeats; \s* takes line ends as well, so that one [\r\n] after it does what many do; and a white space
 * that \s+(?!\S) leaves is alone.
 * Not here: cl100k as tiktoken writes it since 0.8, with \s++$ before \s*[\r\n]. It keeps "\n  " at the end of a text
 * together, where the pattern of Llama 3 and of earlier tiktoken gives "\n" and "  ". */
static const struct {
    enum split split;
    const char *pattern;
} known[] = {
    {SPLIT_GPT2, "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {SPLIT_GPT2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {SPLIT_GPT2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s"},
    {SPLIT_CL100K, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                   "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {SPLIT_CL100K, "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
                   "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},
};
enum { KNOWN = sizeof known / sizeof *known };

const char *split_pattern(enum split split) {
    for (int i = 0; i < KNOWN; i++)
        if (known[i].split == split) return known[i].pattern;
    return NULL;
}

enum split split_of_pattern(const char *pattern) {
    for (int i = 0; i < KNOWN; i++)
        if (!strcmp(known[i].pattern, pattern)) return known[i].split;
    return SPLIT_OTHER;
}

struct splitter {
    enum split split;
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    int jit;
    const char *text;
    int64_t length, at;
    int64_t begin, end; /* the stretch of valid UTF-8 that is being matched */
};

/* The escape at `p` in PCRE2's words; "" where it is the same, NULL where it cannot be told. */
static const char *escape(const char *p, int class) {
    for (int i = 0; i < ESCAPES; i++)
        if (escapes[i].letter == p[1]) return class ? escapes[i].inside : escapes[i].outside;
    return "";
}

/* The length of what begins a class at `p`: a ] right after it is a member. */
static size_t class_begin(const char *p) {
    size_t n = p[1] == '^' ? 2 : 1;
    return n + (p[n] == ']');
}

/* The length of a POSIX class such as [:alpha:] at `p`, or 0. */
static size_t posix_class(const char *p) {
    size_t n = p[1] == ':' ? 2 + (p[2] == '^') : 0;
    if (!n) return 0;
    while (p[n] >= 'a' && p[n] <= 'z') n++;
    return p[n] == ':' && p[n + 1] == ']' ? n + 2 : 0;
}

/* `pattern` in PCRE2's words. */
static int translate(const char *pattern, char out[PATTERN_MAX]) {
    size_t used = 0, length;
    int class = 0;
    for (const char *p = pattern; *p; p += length) {
        const char *part = *p == '\\' ? escape(p, class) : "";
        if (!part) return fail(STATUS_BAD_DATA, "in the pattern '%.200s', \\%c in a class is not supported", pattern, p[1]);
        length = *p == '\\' && p[1] ? 2 : *p != '[' ? 1 : class ? posix_class(p) : class_begin(p);
        if (!length || (class && p[0] == '&' && p[1] == '&'))
            return fail(STATUS_BAD_DATA, "in the pattern '%.200s', a class inside a class or && is not supported", pattern);
        class = class ? *p != ']' : *p == '[';
        size_t n = *part ? strlen(part) : length;
        if (used + n >= PATTERN_MAX) return fail(STATUS_BAD_DATA, "the pattern '%.200s'... is too long", pattern);
        memcpy(out + used, *part ? part : p, n);
        used += n;
    }
    out[used] = '\0';
    return 0;
}

static pcre2_code *compile_text(const char *text, int *error) {
    PCRE2_SIZE offset;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context) {
        *error = PCRE2_ERROR_NOMEMORY;
        return NULL;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, error, &offset,
                                     context);
    pcre2_compile_context_free(context);
    return code;
}

static int compile(struct splitter *s, const char *pattern) {
    PCRE2_UCHAR reason[200];
    int error;
    if (!pattern) return fail(STATUS_BAD_DATA, "the tokenizer has merges, but no pattern that cuts a text into pieces");
    char *text = malloc(PATTERN_MAX);
    if (!text) return fail(STATUS_FAILED, "out of memory");
    int status = translate(pattern, text);
    if (!status) s->code = compile_text(text, &error);
    free(text);
    TRY(status);
    if (!s->code) {
        pcre2_get_error_message(error, reason, sizeof reason);
        return fail(STATUS_BAD_DATA, "the pattern '%.200s' cannot be used: %s", pattern, (const char *)reason);
    }
    s->match = pcre2_match_data_create(1, NULL);
    s->context = pcre2_match_context_create(NULL);
    if (!s->match || !s->context) return fail(STATUS_FAILED, "out of memory");
    s->jit = !pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE);
    s->stack = s->jit ? pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MOST, NULL) : NULL;
    if (s->stack) pcre2_jit_stack_assign(s->context, NULL, s->stack);
    return 0;
}

int splitter_open(enum split split, const char *pattern, struct splitter **splitter) {
    struct splitter *s = calloc(1, sizeof *s);
    *splitter = s;
    if (!s) return fail(STATUS_FAILED, "out of memory");
    s->split = split;
    int status = split == SPLIT_BYTES ? 0 : compile(s, split == SPLIT_OTHER ? pattern : split_pattern(split));
    if (status) {
        splitter_close(s);
        *splitter = NULL;
    }
    return status;
}

void splitter_close(struct splitter *s) {
    if (!s) return;
    pcre2_jit_stack_free(s->stack);
    pcre2_match_context_free(s->context);
    pcre2_match_data_free(s->match);
    pcre2_code_free(s->code);
    free(s);
}

void splitter_begin(struct splitter *s, const char *text, int64_t length) {
    s->text = text;
    s->length = length;
    s->at = s->begin = s->end = 0;
}

/* Bytes of the character at `p`, 0 if it is not UTF-8 (RFC 3629, section 4). */
static int64_t character(const uint8_t *p, int64_t left) {
    uint8_t lead = p[0], low = 0x80, high = 0xbf;
    int64_t size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (size < 2 || size > left) return size > left ? 0 : size;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    if (p[1] < low || p[1] > high) return 0;
    for (int64_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return size;
}

/* How many bytes from `p` on are valid UTF-8. */
static int64_t valid_bytes(const uint8_t *p, int64_t length) {
    int64_t at = 0;
    while (at < length) {
        uint64_t word;
        while (length - at >= 8 && (memcpy(&word, p + at, 8), !(word & 0x8080808080808080u))) at += 8;
        if (at == length) break;
        int64_t size = character(p + at, length - at);
        if (!size) break;
        at += size;
    }
    return at;
}

/* Moves to the next stretch; gives the length of the invalid bytes before it. */
static int64_t next_stretch(struct splitter *s) {
    const uint8_t *p = (const uint8_t *)s->text;
    int64_t at = s->at;
    while (at < s->length && !character(p + at, s->length - at)) at++;
    s->begin = at;
    s->end = at + valid_bytes(p + at, s->length - at);
    return at - s->at;
}

/* Finds the next match in the stretch: 1, none: 0, error: -1. */
static int find(struct splitter *s, int64_t *from, int64_t *to) {
    PCRE2_SPTR subject = (PCRE2_SPTR)s->text + s->begin;
    PCRE2_SIZE length = (PCRE2_SIZE)(s->end - s->begin), offset = (PCRE2_SIZE)(s->at - s->begin);
    int found = PCRE2_ERROR_JIT_STACKLIMIT;
    if (s->jit) found = pcre2_jit_match(s->code, subject, length, offset, PCRE2_NO_UTF_CHECK, s->match, s->context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(s->code, subject, length, offset, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match, s->context);
    if (found == PCRE2_ERROR_NOMATCH) return 0;
    if (found < 0) {
        fail(STATUS_BAD_DATA, "the text cannot be cut by the tokenizer's pattern (PCRE2 error %d)", found);
        return -1;
    }
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(s->match);
    *from = s->begin + (int64_t)place[0];
    *to = s->begin + (int64_t)place[1];
    return 1;
}

/* What the known patterns tell apart in ASCII. A byte beyond it makes the matcher decide. */
enum kind { OTHER, LETTER, DIGIT, WHITE_SPACE, LINE_END, BEYOND };

static const uint8_t kinds[256] = {
    ['\t'] = WHITE_SPACE, ['\n'] = LINE_END,  ['\v'] = WHITE_SPACE, ['\f'] = WHITE_SPACE, ['\r'] = LINE_END,
    [' '] = WHITE_SPACE,  ['0' ... '9'] = DIGIT, ['A' ... 'Z'] = LETTER, ['a' ... 'z'] = LETTER, [0x80 ... 0xff] = BEYOND,
};
