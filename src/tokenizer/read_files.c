/* GPT-2's vocab.json with merges.txt, and tiktoken's files. */
#include <cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokenizer/letters.h"
#include "tokenizer/read_list.h"

/* Finding all cuts of a token takes the square of its length. Real ones have up to some hundred bytes. */
enum { TOKEN_MAX = 4096 };

/* A line of a text, without its end; moves *at behind it. 0 at the end. */
static int next_line(const char *text, int64_t length, int64_t *at, const char **line, int64_t *size) {
    if (*at >= length) return 0;
    const char *end = memchr(text + *at, '\n', (size_t)(length - *at));
    *line = text + *at;
    *size = end ? end - *line : length - *at;
    *at += *size + 1;
    if (*size && (*line)[*size - 1] == '\r') --*size;
    return 1;
}

/* cJSON ends a string at U+0000, which would make another token of one that has it. */
static int has_zero(const char *text, int64_t length) {
    const char *end = text + length;
    for (const char *p = text; p < end && (p = memchr(p, '\\', (size_t)(end - p))); p += 2)
        if (end - p > 5 && !memcmp(p + 1, "u0000", 5)) return 1;
    return memchr(text, 0, (size_t)length) != NULL;
}

/* A token that its letters do not make of bytes keeps their text: it can only be a special one. */
static int list_vocab(const cJSON *root, const char *name, uint8_t *bytes, struct token_list *list) {
    const cJSON *item;
    if (!cJSON_IsObject(root)) return fail(STATUS_BAD_DATA, "%s: this is not a JSON object", name);
    cJSON_ArrayForEach(item, root) {
        int64_t size = (int64_t)strlen(item->string), length = letters_to_bytes(item->string, size, bytes);
        if (!cJSON_IsNumber(item) || !size)
            return fail(STATUS_BAD_DATA, "%s: a token is empty, or its id is no number", name);
        if (length < 0)
            TRY(token_list_add(list, name, item->valuedouble, item->string, size, 0));
        else
            TRY(token_list_add(list, name, item->valuedouble, bytes, length, 0));
    }
    return 0;
}

static int read_merge_lines(const char *text, int64_t length, const char *name, struct vocabulary *v, uint8_t *bytes,
                            const struct token_table *table) {
    const char *line;
    int64_t at = 0, size, index = 0, number = 0;
    while (next_line(text, length, &at, &line, &size)) {
        number++;
        if (!size || (number == 1 && size >= 8 && !memcmp(line, "#version", 8))) continue;
        const char *space = memchr(line, ' ', (size_t)size);
        int64_t left = space ? letters_to_bytes(line, space - line, bytes) : -1;
        int64_t right = left < 0 ? -1 : letters_to_bytes(space + 1, line + size - space - 1, bytes + left);
        if (right < 0)
            return fail(STATUS_BAD_DATA, "%s: merges.txt:%lld: this is no pair of tokens", name, (long long)number);
        int status = add_merge_of(v, table, name, index++, bytes, left, bytes + left, right);
        if (status) return fail_within(status, "merges.txt:%lld: ", (long long)number);
    }
    return 0;
}

/* Neither a byte nor the result of a merge: a special token. */
static int mark_specials(struct vocabulary *v) {
    uint8_t *made = calloc((size_t)v->count + 1, 1);
    if (!made) return fail(STATUS_FAILED, "out of memory");
    for (int i = 0; i < v->n_merges; i++) made[v->merges[i].result] = 1;
    for (int32_t id = 0; id < v->count; id++) v->special[id] = v->begin[id + 1] - v->begin[id] > 1 && !made[id];
    free(made);
    return 0;
}

int read_vocab_merges(const char *vocab, int64_t vocab_length, const char *merges, int64_t merges_length,
                      const char *name, struct vocabulary *v) {
    struct token_list list = {0};
    struct token_table table = {0};
    uint8_t *bytes = malloc((size_t)(vocab_length > merges_length ? vocab_length : merges_length) + 1);
    cJSON *root = cJSON_ParseWithLength(vocab, (size_t)vocab_length);
    int status = bytes ? 0 : fail(STATUS_FAILED, "%s: out of memory", name);
    if (!status && has_zero(vocab, vocab_length))
        status = fail(STATUS_BAD_DATA, "%s: U+0000 cannot be part of a token", name);
    if (!status) status = list_vocab(root, name, bytes, &list);
    if (!status) status = token_list_fill(&list, name, v);
    if (!status) status = table_of(v, &table);
    if (!status) status = read_merge_lines(merges, merges_length, name, v, bytes, &table);
    if (!status) status = mark_specials(v);
    v->split = SPLIT_GPT2;
    cJSON_Delete(root);
    token_list_free(&list);
    token_table_free(&table);
    free(bytes);
    return status;
}

/* RFC 4648, section 4; the number of bytes, -1 where this is no base64. */
static int64_t from_base64(const char *text, int64_t length, uint8_t *bytes) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int64_t n = 0, padding = 0;
    uint32_t bits = 0;
    if (length % 4) return -1;
    for (int64_t i = 0; i < length; i++) {
        const char *at = text[i] ? strchr(letters, text[i]) : NULL;
        if (text[i] == '=' && i >= length - 2)
            padding++;
        else if (!at || padding)
            return -1;
        bits = bits << 6 | (at ? (uint32_t)(at - letters) : 0);
        if (i % 4 < 3) continue;
        for (int k = 2; k >= 0; k--) bytes[n++] = (uint8_t)(bits >> 8 * k);
        bits = 0;
    }
    return n - padding;
}

static int read_ranks(const char *text, int64_t length, const char *name, uint8_t *bytes, struct token_list *list) {
    const char *line;
    int64_t at = 0, size, number = 0;
    while (next_line(text, length, &at, &line, &size)) {
        number++;
        if (!size) continue;
        const char *space = memchr(line, ' ', (size_t)size);
        int64_t n = space ? from_base64(line, space - line, bytes) : -1, digits = space ? line + size - space - 1 : 0;
        double rank = -1;
        if (digits > 0 && digits < 9) {
            char word[16] = {0};
            memcpy(word, space + 1, (size_t)digits);
            if (strspn(word, "0123456789") == (size_t)digits) rank = atoi(word);
        }
        if (n < 1 || rank < 0)
            return fail(STATUS_BAD_DATA, "%s:%lld: this is not a token in base64 and its rank", name,
                        (long long)number);
        if (n > TOKEN_MAX)
            return fail(STATUS_BAD_DATA, "%s:%lld: a token of %lld bytes; at most %d can be read", name,
                        (long long)number, (long long)n, TOKEN_MAX);
        TRY(token_list_add(list, name, rank, bytes, n, 0));
    }
    return 0;
}

static int by_parts(const void *a, const void *b) {
    const struct merge *left = a, *right = b;
    if (left->left != right->left) return left->left < right->left ? -1 : 1;
    return (left->right > right->right) - (left->right < right->right);
}

/* In tiktoken any two neighbours whose join is a token may merge, and the join's rank is the merge's: so each way to cut a token
 * into two is a merge. Those of one token are in the order of their parts, as in the tokenizer.json files that are made of
 * tiktoken's: there a merge's place is its rank, and the same tokenizer must have the same hash. */
static int add_all_cuts(struct vocabulary *v, const struct token_table *table) {
    for (int32_t id = 0; id < v->count; id++) {
        int64_t length = v->begin[id + 1] - v->begin[id];
        const uint8_t *bytes = v->bytes + v->begin[id];
        int32_t first = v->n_merges;
        for (int64_t cut = 1; cut < length; cut++) {
            int32_t left = find_token(v, table, bytes, cut), right = find_token(v, table, bytes + cut, length - cut);
            if (left >= 0 && right >= 0) TRY(vocabulary_add_merge(v, left, right, id, id));
        }
        if (v->n_merges > first) qsort(v->merges + first, (size_t)(v->n_merges - first), sizeof *v->merges, by_parts);
    }
    return 0;
}

int read_tiktoken(const char *text, int64_t length, const char *name, struct vocabulary *v) {
    struct token_list list = {0};
    struct token_table table = {0};
    uint8_t *bytes = malloc((size_t)length + 4);
    int status = bytes ? read_ranks(text, length, name, bytes, &list) : fail(STATUS_FAILED, "%s: out of memory", name);
    if (!status) status = token_list_fill(&list, name, v);
    if (!status) status = table_of(v, &table);
    if (!status) status = add_all_cuts(v, &table);
    v->split = SPLIT_CL100K;
    v->whole_pieces = 1;
    token_list_free(&list);
    token_table_free(&table);
    free(bytes);
    return status;
}
