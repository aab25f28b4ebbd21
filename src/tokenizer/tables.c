/* From a vocabulary to a tokenizer: checks it, and builds what encoding looks things up in. */
#include "tokenizer/tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

int token_table_new(struct token_table *table, int64_t count) {
    uint64_t size = 64;
    while (size < 2 * (uint64_t)count) size *= 2;
    table->id = malloc(size * sizeof *table->id);
    if (!table->id) return fail(STATUS_FAILED, "out of memory for a vocabulary");
    memset(table->id, 0xff, size * sizeof *table->id);
    table->mask = size - 1;
    return 0;
}

int32_t token_table_add(struct token_table *table, const struct vocabulary *v, int32_t id) {
    const uint8_t *bytes = v->bytes + v->begin[id];
    int64_t length = v->begin[id + 1] - v->begin[id];
    int32_t there = find_token(v, table, bytes, length);
    if (there >= 0) return there;
    uint64_t at = XXH3_64bits(bytes, (size_t)length);
    while (table->id[at & table->mask] >= 0) at++;
    table->id[at & table->mask] = id;
    return -1;
}

void token_table_free(struct token_table *table) {
    free(table->id);
    *table = (struct token_table){0};
}

/* Text of a token for a message: what does not print is a dot. */
static const char *show(const struct vocabulary *v, int32_t id, char text[64]) {
    int64_t length = v->begin[id + 1] - v->begin[id];
    int n = length < 60 ? (int)length : 60;
    for (int i = 0; i < n; i++) {
        uint8_t byte = v->bytes[v->begin[id] + i];
        text[i] = byte >= 0x20 && byte < 0x7f ? (char)byte : '.';
    }
    text[n] = '\0';
    return text;
}

static int index_tokens(struct tokenizer *t, const char *name) {
    struct vocabulary *v = &t->vocabulary;
    char text[64];
    TRY(token_table_new(&t->tokens, v->count));
    TRY(token_table_new(&t->specials, v->count));
    for (int32_t id = 0; id < v->count; id++) {
        if (v->begin[id] == v->begin[id + 1]) continue;
        int32_t there = token_table_add(v->special[id] ? &t->specials : &t->tokens, v, id);
        if (there >= 0)
            return fail(STATUS_BAD_DATA, "%s: tokens %d and %d have the same bytes ('%s')", name, there, id,
                        show(v, id, text));
        t->n_special += v->special[id];
    }
    for (int b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b;
        v->byte_id[b] = find_token(v, &t->tokens, &byte, 1);
        if (v->byte_id[b] < 0)
            return fail(STATUS_BAD_DATA, "%s: no token stands for byte 0x%02x, so this is no byte-level vocabulary",
                        name, b);
    }
    return 0;
}

/* A merge's result is its parts joined, and none of the three is special. */
static int check_merge(const struct vocabulary *v, const struct merge *m, int index, const char *name) {
    const int32_t ids[] = {m->left, m->right, m->result};
    for (int i = 0; i < 3; i++)
        if (ids[i] < 0 || ids[i] >= v->count || v->special[ids[i]])
            return fail(STATUS_BAD_DATA, "%s: merge %d speaks of token %d, which is special or not there", name, index,
                        ids[i]);
    int64_t left = v->begin[m->left + 1] - v->begin[m->left], right = v->begin[m->right + 1] - v->begin[m->right];
    const uint8_t *result = v->bytes + v->begin[m->result];
    if (!left || !right || v->begin[m->result + 1] - v->begin[m->result] != left + right ||
        memcmp(result, v->bytes + v->begin[m->left], (size_t)left) ||
        memcmp(result + left, v->bytes + v->begin[m->right], (size_t)right))
        return fail(STATUS_BAD_DATA, "%s: the result of merge %d (tokens %d and %d) is not its parts joined", name,
                    index, m->left, m->right);
    return 0;
}

/* Of merges of the same pair the last counts, as in Hugging Face's `tokenizers`. */
static int index_merges(struct tokenizer *t, const char *name) {
    const struct vocabulary *v = &t->vocabulary;
    uint64_t size = 64;
    while (size < 2 * (uint64_t)v->n_merges) size *= 2;
    t->pairs = malloc(size * sizeof *t->pairs);
    if (!t->pairs) return fail(STATUS_FAILED, "out of memory for a vocabulary");
    memset(t->pairs, 0xff, size * sizeof *t->pairs);
    t->pair_mask = size - 1;
    for (int i = 0; i < v->n_merges; i++) {
        const struct merge *m = &v->merges[i];
        TRY(check_merge(v, m, i, name));
        if (m->rank < 0 || m->rank == NO_RANK) return fail(STATUS_BAD_DATA, "%s: merge %d has no rank", name, i);
        uint64_t pair = pair_of(m->left, m->right), at = (pair * 0x9E3779B97F4A7C15u) >> 20;
        while (t->pairs[at & t->pair_mask].pair != UINT64_MAX && t->pairs[at & t->pair_mask].pair != pair) at++;
        t->pairs[at & t->pair_mask] = (struct pair_entry){pair, m->rank, m->result};
    }
    return 0;
}

static int64_t length_of(const struct vocabulary *v, int32_t id) { return v->begin[id + 1] - v->begin[id]; }

/* Special tokens, the longest first; equal ones in the order of their ids. */
static int index_specials(struct tokenizer *t) {
    static const char *const ends[] = {"<|endoftext|>", "<|end_of_text|>", "</s>"};
    const struct vocabulary *v = &t->vocabulary;
    int n = 0;
    t->special_ids = malloc((size_t)(t->n_special + 1) * sizeof *t->special_ids);
    if (!t->special_ids) return fail(STATUS_FAILED, "out of memory for a vocabulary");
    for (int32_t id = 0; id < v->count; id++) {
        if (!v->special[id] || !length_of(v, id)) continue;
        int at = n++;
        for (; at > 0 && length_of(v, t->special_ids[at - 1]) < length_of(v, id); at--)
            t->special_ids[at] = t->special_ids[at - 1];
        t->special_ids[at] = id;
        t->special_first[v->bytes[v->begin[id]]] = 1;
    }
    t->end_of_text = -1;
    for (int i = 0; i < 3 && t->end_of_text < 0; i++) t->end_of_text = tokenizer_special(t, ends[i]);
    return 0;
}

static void add_number(XXH3_state_t *state, int64_t number) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)((uint64_t)number >> 8 * i);
    XXH3_128bits_update(state, bytes, sizeof bytes);
}

/* Ranks are left out: they follow from the order, which differs between formats in nothing that is ever encoded. */
static void compute_hash(struct tokenizer *t) {
    const struct vocabulary *v = &t->vocabulary;
    XXH3_state_t state;
    XXH128_canonical_t canonical;
    const char *pattern = v->pattern ? v->pattern : "";
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, pattern, strlen(pattern) + 1);
    add_number(&state, v->whole_pieces);
    add_number(&state, v->count);
    for (int32_t id = 0; id < v->count; id++) {
        add_number(&state, v->special[id]);
        add_number(&state, length_of(v, id));
        XXH3_128bits_update(&state, v->bytes + v->begin[id], (size_t)length_of(v, id));
    }
    for (int i = 0; i < v->n_merges; i++) {
        add_number(&state, v->merges[i].left);
        add_number(&state, v->merges[i].right);
    }
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(t->hash, canonical.digest, TOKENIZER_HASH);
}

/* Patterns that mean the same have one text, so that they have one hash. */
static int settle_pattern(struct vocabulary *v) {
    const char *known = split_pattern(v->split);
    if (!known) return 0;
    free(v->pattern);
    v->pattern = strdup(known);
    return v->pattern ? 0 : fail(STATUS_FAILED, "out of memory for a vocabulary");
}

int tokenizer_build(struct vocabulary *vocabulary, const char *name, struct tokenizer **tokenizer) {
    *tokenizer = NULL;
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        vocabulary_free(vocabulary);
        return fail(STATUS_FAILED, "%s: out of memory", name);
    }
    t->vocabulary = *vocabulary;
    *vocabulary = (struct vocabulary){0};
    int status = t->vocabulary.count ? settle_pattern(&t->vocabulary)
                                     : fail(STATUS_BAD_DATA, "%s: the vocabulary is empty", name);
    if (!status) status = index_tokens(t, name);
    if (!status) status = index_merges(t, name);
    if (!status) status = index_specials(t);
    if (status) {
        tokenizer_close(t);
        return status;
    }
    compute_hash(t);
    *tokenizer = t;
    return 0;
}
