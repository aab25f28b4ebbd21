/* A tokenizer as it is looked things up in: only src/tokenizer/ includes this. */
#ifndef TOKENIZER_TABLES_H
#define TOKENIZER_TABLES_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tokenizer/vocabulary.h"

/* A place of the table of merges: open addressing, at most half full. */
struct pair_entry {
    uint64_t pair; /* left << 32 | right; all ones: free */
    int32_t rank, result;
};

struct token_table {
    int32_t *id; /* by hash of the token's bytes; -1: free. At most half full */
    uint64_t mask;
};

struct tokenizer {
    struct vocabulary vocabulary;
    struct pair_entry *pairs;
    uint64_t pair_mask;
    struct token_table tokens;   /* that are not special */
    struct token_table specials; /* found by their text; */
    int32_t *special_ids;        /* and all of them, the longest first */
    int n_special;
    uint8_t special_first[256]; /* 1: a special token begins with this byte */
    int32_t end_of_text;
    uint8_t hash[TOKENIZER_HASH];
};

enum { NO_RANK = INT32_MAX };

static inline uint64_t pair_of(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

/* The merge of two neighbours, or NULL. */
static inline const struct pair_entry *find_pair(const struct tokenizer *t, int32_t left, int32_t right) {
    uint64_t pair = pair_of(left, right), at = (pair * 0x9E3779B97F4A7C15u) >> 20;
    for (;; at++) {
        const struct pair_entry *entry = &t->pairs[at & t->pair_mask];
        if (entry->pair == pair) return entry;
        if (entry->pair == UINT64_MAX) return NULL;
    }
}

/* The token with these bytes, or -1. */
static inline int32_t find_token(const struct vocabulary *v, const struct token_table *table, const void *bytes,
                                 int64_t length) {
    for (uint64_t at = XXH3_64bits(bytes, (size_t)length);; at++) {
        int32_t id = table->id[at & table->mask];
        if (id < 0) return -1;
        if (v->begin[id + 1] - v->begin[id] == length && !memcmp(v->bytes + v->begin[id], bytes, (size_t)length))
            return id;
    }
}

/* tables.c: a table with room for `count` tokens; adding one that is there already gives its id, else -1. */
int token_table_new(struct token_table *table, int64_t count);
int32_t token_table_add(struct token_table *table, const struct vocabulary *v, int32_t id);
void token_table_free(struct token_table *table);

#endif
