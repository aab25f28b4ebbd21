#include "tokenizer/read_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static int grow(void **memory, int64_t *room, int64_t needed, size_t size) {
    if (needed <= *room) return 0;
    int64_t more = *room ? *room : 1024;
    while (more < needed) more *= 2;
    void *grown = realloc(*memory, (size_t)more * size);
    if (!grown) return fail(STATUS_FAILED, "out of memory for a vocabulary");
    *memory = grown;
    *room = more;
    return 0;
}

int token_list_add(struct token_list *list, const char *name, double id, const void *bytes, int64_t length,
                   int special) {
    if (!(id >= 0 && id < IDS_MAX) || id != (int32_t)id)
        return fail(STATUS_BAD_DATA, "%s: %.17g is no id of a token (0 to %d)", name, id, IDS_MAX - 1);
    TRY(grow((void **)&list->token, &list->capacity, list->count + 1, sizeof *list->token));
    TRY(grow((void **)&list->bytes, &list->room, list->used + length + 1, 1));
    memcpy(list->bytes + list->used, bytes, (size_t)length);
    list->token[list->count++] = (struct listed){list->used, length, (int32_t)id, special};
    list->used += length;
    return 0;
}

/* By id; of one id the vocabulary's token before the added one. */
static int by_id(const void *a, const void *b) {
    const struct listed *left = a, *right = b;
    if (left->id != right->id) return left->id < right->id ? -1 : 1;
    return left->special - right->special;
}

int token_list_fill(struct token_list *list, const char *name, struct vocabulary *v) {
    if (list->count) qsort(list->token, (size_t)list->count, sizeof *list->token, by_id);
    for (int64_t i = 0; i < list->count; i++) {
        const struct listed *token = &list->token[i];
        if (i + 1 < list->count && token[1].id == token->id) {
            if (token->special == token[1].special)
                return fail(STATUS_BAD_DATA, "%s: two tokens have the id %d", name, token->id);
            continue;
        }
        while (v->count < token->id) TRY(vocabulary_add(v, "", 0, 0));
        TRY(vocabulary_add(v, list->bytes + token->begin, token->length, token->special));
    }
    return 0;
}

void token_list_free(struct token_list *list) {
    free(list->token);
    free(list->bytes);
    *list = (struct token_list){0};
}

int add_merge_of(struct vocabulary *v, const struct token_table *table, const char *name, int64_t index,
                 const uint8_t *left, int64_t left_length, const uint8_t *right, int64_t right_length) {
    uint8_t joined[4096];
    if (index >= IDS_MAX) return fail(STATUS_BAD_DATA, "%s: has more than %d merges", name, IDS_MAX);
    if (left_length < 1 || right_length < 1 || left_length + right_length > (int64_t)sizeof joined)
        return fail(STATUS_BAD_DATA, "%s: merge %lld is of an empty token, or makes one of more than %zu bytes", name,
                    (long long)index, sizeof joined);
    memcpy(joined, left, (size_t)left_length);
    memcpy(joined + left_length, right, (size_t)right_length);
    int32_t a = find_token(v, table, left, left_length), b = find_token(v, table, right, right_length);
    int32_t result = find_token(v, table, joined, left_length + right_length);
    if (a < 0 || b < 0 || result < 0)
        return fail(STATUS_BAD_DATA, "%s: merge %lld: %s is not in the vocabulary", name, (long long)index,
                    a < 0   ? "its left part"
                    : b < 0 ? "its right part"
                            : "its result");
    return vocabulary_add_merge(v, a, b, result, (int32_t)index);
}

int table_of(const struct vocabulary *v, struct token_table *table) {
    TRY(token_table_new(table, v->count));
    for (int32_t id = 0; id < v->count; id++)
        if (!v->special[id] && v->begin[id] < v->begin[id + 1]) token_table_add(table, v, id);
    return 0;
}
