/* What the readers share: tokens that come in any order of their ids, and merges that name their parts. Only
 * src/tokenizer/ includes this. */
#ifndef TOKENIZER_READ_LIST_H
#define TOKENIZER_READ_LIST_H

#include "tokenizer/tables.h"

enum { IDS_MAX = 10000000 };

/* A token as it was found in a file. Its bytes are `list`'s. */
struct listed {
    int64_t begin, length; /* in list.bytes */
    int32_t id;            /* -1: free */
    int special;
};

struct token_list {
    struct listed *token; /* by id, once sorted */
    int64_t count, capacity;
    uint8_t *bytes;
    int64_t used, room;
};

/* Adds a token; bytes are copied. STATUS_BAD_DATA for an id that cannot be. */
int token_list_add(struct token_list *list, const char *name, double id, const void *bytes, int64_t length,
                   int special);

/* Adds all tokens to the vocabulary in the order of their ids; ids that nothing has become empty tokens. An added token may
 * repeat one of the vocabulary, which it then replaces; any other id that comes twice is an error. */
int token_list_fill(struct token_list *list, const char *name, struct vocabulary *vocabulary);
void token_list_free(struct token_list *list);

/* Adds a merge of two tokens by their bytes, with rank `index`. `table` holds the tokens of the vocabulary. */
int add_merge_of(struct vocabulary *vocabulary, const struct token_table *table, const char *name, int64_t index,
                 const uint8_t *left, int64_t left_length, const uint8_t *right, int64_t right_length);

/* A table of all tokens of the vocabulary that are not special. */
int table_of(const struct vocabulary *vocabulary, struct token_table *table);

#endif
