/* Cutting text into pieces: with PCRE2, and by hand where a known pattern meets ASCII.
 *
 * Patterns come from engines that are not PCRE2: tiktoken's fancy-regex (Rust) and tokenizers' Oniguruma (Ruby's syntax). What
 * was found when each was asked about every code point:
 *   \s      in both is Unicode's White_Space: U+0009 to U+000D, U+0020, U+0085, U+00A0 …; not U+001C to U+001F, U+180E, U+200B.
 *           PCRE2's has U+180E besides, so \s and \S are written out
 *   (?i:s)  takes U+017F (long s) in all three, as (?i:k) takes U+212A
 *   \p{…}   follows the engine's version of Unicode: 14 in PCRE2 10.42. Code points assigned later may be cut otherwise
 *   \w, \h  differ in Oniguruma: \w has marks and all of Alphabetic, \h is a hexadecimal digit. Written out as well
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
#include "base/utf8.h"
#include "tokenizer/vocabulary.h"

enum { JIT_STACK_FIRST = 64 << 10, JIT_STACK_MOST = 8 << 20, PATTERN_MAX = 1 << 16 };

#define WHITE                                                                                                          \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NOT_WHITE                                                                                                      \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}" \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define WORD       "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define WORD_ALONE WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define HEX        "0-9A-Fa-f"

/* What an escape is in PCRE2, outside of a class and inside; NULL: cannot be told there. */
static const struct {
    char letter;
    const char *outside, *inside;
} escapes[] = {
    {'s', "[" WHITE "]", WHITE},      {'S', "[^" WHITE "]", NOT_WHITE}, {'w', "[" WORD_ALONE "]", WORD},
    {'W', "[^" WORD_ALONE "]", NULL}, {'h', "[" HEX "]", HEX},          {'H', "[^" HEX "]", NULL},
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
    {SPLIT_CL100K,
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
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

/* What the known patterns tell apart in ASCII. */
enum kind { OTHER, LETTER, DIGIT, WHITE_SPACE, LINE_END, BEYOND };

struct splitter {
    enum split split;
    uint8_t kind[256]; /* of each byte; BEYOND: no ASCII */
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
        if (!part)
            return fail(STATUS_BAD_DATA, "in the pattern '%.200s', \\%c in a class is not supported", pattern, p[1]);
        length = *p == '\\' && p[1] ? 2 : *p != '[' ? 1 : class ? posix_class(p) : class_begin(p);
        if (!length || (class && p[0] == '&' && p[1] == '&'))
            return fail(STATUS_BAD_DATA, "in the pattern '%.200s', a class inside a class or && is not supported",
                        pattern);
        class = class ? *p != ']' : *p == '[';
        size_t n = *part ? strlen(part) : length;
        if (used + n >= PATTERN_MAX) return fail(STATUS_BAD_DATA, "the pattern '%.200s…' is too long", pattern);
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
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, error, &offset, context);
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

static void fill_kinds(uint8_t kind[256]) {
    for (int c = 0; c < 256; c++) {
        int letter = c | 0x20;
        kind[c] = c > 0x7f                               ? BEYOND
                  : letter >= 'a' && letter <= 'z'       ? LETTER
                  : c >= '0' && c <= '9'                 ? DIGIT
                  : c == '\n' || c == '\r'               ? LINE_END
                  : c == ' ' || (c >= '\t' && c <= '\r') ? WHITE_SPACE
                                                         : OTHER;
    }
}

int splitter_open(enum split split, const char *pattern, struct splitter **splitter) {
    struct splitter *s = calloc(1, sizeof *s);
    *splitter = s;
    if (!s) return fail(STATUS_FAILED, "out of memory");
    s->split = split;
    fill_kinds(s->kind);
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

/* Moves to the next stretch; gives the length of the invalid bytes before it. */
static int64_t next_stretch(struct splitter *s) {
    int64_t at = s->at;
    while (at < s->length && !utf8_character(s->text + at, s->length - at, NULL)) at++;
    s->begin = at;
    s->end = at + utf8_valid(s->text + at, s->length - at);
    return at - s->at;
}

/* Finds the next match in the stretch at or after `start`: 1, none: 0, error: -1. */
static int find(struct splitter *s, int64_t start, int64_t *from, int64_t *to) {
    PCRE2_SPTR subject = (PCRE2_SPTR)s->text + s->begin;
    PCRE2_SIZE length = (PCRE2_SIZE)(s->end - s->begin), offset = (PCRE2_SIZE)(start - s->begin);
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

/* The known patterns on ASCII, without the matcher. Each function gives the length of the piece at `p`, or 0 where a byte
 * beyond ASCII has a say: then the matcher decides. `end` is the end of the valid stretch, and p < end. */

static const uint8_t *run_of(const uint8_t *kind, const uint8_t *p, const uint8_t *end, uint8_t which) {
    while (p < end && kind[*p] == which) p++;
    return p;
}

static int is_beyond(const uint8_t *kind, const uint8_t *p, const uint8_t *end) {
    return p < end && kind[*p] == BEYOND;
}

/* 's 't 'm 'd 're 've 'll: 2, 3, or 0 for none. Only the letters' case is left out of account, if at all. */
static int contraction(const uint8_t *p, const uint8_t *end, int any_case) {
    uint8_t bit = any_case ? 0x20 : 0;
    if (end - p < 2 || p[0] != '\'') return 0;
    uint8_t a = p[1] | bit, b = end - p > 2 ? p[2] | bit : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S)|\s+ on the white space [p, stop). */
static int64_t white_piece(const uint8_t *p, const uint8_t *stop, const uint8_t *end) {
    return stop == end || stop - p == 1 ? stop - p : stop - p - 1;
}

static const uint8_t *white_end(const uint8_t *kind, const uint8_t *p, const uint8_t *end) {
    while (p < end && (kind[*p] == WHITE_SPACE || kind[*p] == LINE_END)) p++;
    return p;
}

static int64_t ascii_gpt2(const uint8_t *kind, const uint8_t *p, const uint8_t *end) {
    int short_form = contraction(p, end, 0);
    if (short_form) return short_form;
    const uint8_t *q = p + (*p == ' ' && end - p > 1), *stop;
    uint8_t which = kind[*q];
    if (which == LETTER || which == DIGIT || which == OTHER)
        stop = run_of(kind, q, end, which);
    else
        stop = which == BEYOND ? q : white_end(kind, p, end);
    if (is_beyond(kind, stop, end)) return 0;
    return which == WHITE_SPACE || which == LINE_END ? white_piece(p, stop, end) : stop - p;
}

/* cl100k's three last alternatives: \s*[\r\n]+|\s+(?!\S)|\s+ */
static int64_t white_cl100k(const uint8_t *kind, const uint8_t *p, const uint8_t *end) {
    const uint8_t *stop = white_end(kind, p, end), *line_end = stop;
    if (is_beyond(kind, stop, end)) return 0;
    while (line_end > p && kind[line_end[-1]] != LINE_END) line_end--;
    return line_end > p ? line_end - p : white_piece(p, stop, end);
}

static int64_t ascii_cl100k(const uint8_t *kind, const uint8_t *p, const uint8_t *end) {
    const uint8_t *stop, *next = p + (end - p > 1);
    int short_form = contraction(p, end, 1);
    if (short_form) return short_form;
    if (is_beyond(kind, p, end)) return 0;
    if (kind[*p] == LETTER || (kind[*next] == LETTER && kind[*p] != LINE_END && kind[*p] != DIGIT)) {
        stop = run_of(kind, next, end, LETTER);
    } else if (kind[*p] == DIGIT) {
        stop = run_of(kind, p, end - p > 3 ? p + 3 : end, DIGIT);
        if (stop - p == 3) return 3;
    } else if (kind[*p] == OTHER || (*p == ' ' && kind[*next] == OTHER)) {
        stop = run_of(kind, next, end, OTHER);
        if (is_beyond(kind, stop, end)) return 0;
        return run_of(kind, stop, end, LINE_END) - p;
    } else {
        return white_cl100k(kind, p, end);
    }
    return is_beyond(kind, stop, end) ? 0 : stop - p;
}

static int64_t ascii_piece(const struct splitter *s) {
    const uint8_t *p = (const uint8_t *)s->text + s->at, *end = (const uint8_t *)s->text + s->end;
    if (s->split == SPLIT_GPT2) return ascii_gpt2(s->kind, p, end);
    return s->split == SPLIT_CL100K ? ascii_cl100k(s->kind, p, end) : 0;
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
    int64_t from, to, ascii = ascii_piece(s);
    if (ascii) return give(s, s->at + ascii, piece, length);
    int found = find(s, s->at, &from, &to);
    if (found > 0 && from == s->at && to > from) return give(s, to, piece, length);
    /* An empty match cuts, but takes nothing: what follows it belongs to what the pattern leaves out. */
    if (found > 0 && from == s->at)
        found = find(s, s->at + utf8_character(s->text + s->at, s->end - s->at, NULL), &from, &to);
    if (found < 0) return -1;
    return give(s, found ? from : s->end, piece, length); /* the match comes again, as a piece */
}

/* Known patterns: before a space that follows an ASCII byte which is no white space. In every alternative a space stands first
 * or after white space only, so no piece goes on over it, and the piece before ends there. That piece is the same without what
 * follows: all that looks ahead is \s+(?!\S), which ends with white space; and a repetition that stopped at the space stops at
 * an end as well. The byte being ASCII, the bytes of a character are never parted and stretches stay as they are. */
int64_t split_cut(enum split split, const char *text, int64_t length, int64_t at) {
    if (split == SPLIT_BYTES) return at < length ? at : length;
    if (split == SPLIT_OTHER) return length;
    for (int64_t i = at > 1 ? at : 1; i < length; i++)
        if (text[i] == ' ' && text[i - 1] > ' ' && text[i - 1] < 0x7f) return i;
    return length;
}
