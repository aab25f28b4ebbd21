/* Cutting text into pieces with PCRE2.
 *
 * Patterns come from engines (Rust's regex and fancy-regex, Oniguruma) whose \s is Unicode's White_Space. PCRE2's \s with
 * PCRE2_UCP has U+180E besides, which lost that property in Unicode 6.3, so \s and \S are written out. None of them counts
 * U+001C to U+001F or U+200B. With (?i:'s) all three take U+017F for an s.
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

/* Forms of the same pattern: the first is ours. Those of tiktoken are possessive, which changes speed and no match: what follows
 * a repetition never begins with what it repeats. */
static const struct {
    enum split split;
    const char *pattern;
} known[] = {
    {SPLIT_GPT2, "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {SPLIT_GPT2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {SPLIT_GPT2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s"},
    {SPLIT_CL100K, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
                   "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
                   "\\s+(?!\\S)|\\s+"},
    {SPLIT_CL100K, "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| "
                   "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|"
                   "\\s+"},
    {SPLIT_CL100K, "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "
                   "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|"
                   "\\s+(?!\\S)|\\s"},
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

/* Writes \s and \S out; inside a class \S cannot be, and stays PCRE2's. */
static int translate(const char *pattern, char out[PATTERN_MAX]) {
    size_t used = 0;
    int class = 0;
    for (const char *p = pattern; *p; p++) {
        if (used + sizeof WHITE + 8 > PATTERN_MAX) return fail(STATUS_BAD_DATA, "the pattern is too long");
        const char *part = NULL;
        if (*p == '\\' && p[1] == 's') part = class ? WHITE : "[" WHITE "]";
        if (*p == '\\' && p[1] == 'S' && !class) part = "[^" WHITE "]";
        if (part) {
            used += (size_t)snprintf(out + used, PATTERN_MAX - used, "%s", part);
            p++;
            continue;
        }
        if (*p == '\\' && p[1]) {
            out[used++] = *p++;
        } else if (*p == '[' && !class) {
            class = 1;
        } else if (*p == ']') {
            class = 0;
        }
        out[used++] = *p;
    }
    out[used] = '\0';
    return 0;
}

static int compile(struct splitter *s, const char *pattern) {
    PCRE2_UCHAR reason[200];
    PCRE2_SIZE offset;
    int error;
    char *text = malloc(PATTERN_MAX);
    if (!text) return fail(STATUS_FAILED, "out of memory");
    int status = translate(pattern, text);
    if (!status)
        s->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &offset, NULL);
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

/* Bytes of the character at `p`, 0 if it is not UTF-8 (RFC 3629, table 3-7 of the Unicode standard). */
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

static int give(struct splitter *s, int64_t end, const char **piece, int64_t *length) {
    *piece = s->text + s->at;
    *length = end - s->at;
    s->at = end;
    return 1;
}

int splitter_next(struct splitter *s, const char **piece, int64_t *length) {
    if (s->at >= s->length) return 0;
    if (s->split == SPLIT_BYTES) return give(s, s->length, piece, length);
    if (s->at == s->end) {
        int64_t invalid = next_stretch(s);
        if (invalid) return give(s, s->at + invalid, piece, length);
    }
    int64_t from, to;
    int found = find(s, &from, &to);
    if (found < 0) return -1;
    if (!found) return give(s, s->end, piece, length);
    if (from > s->at) return give(s, from, piece, length); /* what the pattern leaves out; the match comes again */
    if (to == from) to += character((const uint8_t *)s->text + from, s->end - from); /* an empty match */
    return give(s, to, piece, length);
}

/* Known patterns: before a space that follows an ASCII byte which is no white space. No piece goes on over it: in an
 * alternative a space can only stand first, or after white space. And no piece before it looks over it: only \s+(?!\S) looks
 * ahead, and it ends with white space. */
int64_t split_cut(enum split split, const char *text, int64_t length, int64_t at) {
    if (split == SPLIT_BYTES) return at < length ? at : length;
    if (split == SPLIT_OTHER) return length;
    for (int64_t i = at > 1 ? at : 1; i < length; i++)
        if (text[i] == ' ' && text[i - 1] > ' ' && text[i - 1] < 0x7f) return i;
    return length;
}
