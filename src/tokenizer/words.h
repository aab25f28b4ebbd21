/* The words of a text and how often each is there: words.c counts, train.c merges, and who asked for both may read totals. */
#ifndef TOKENIZER_WORDS_H
#define TOKENIZER_WORDS_H

#include "tokenizer/train.h"

struct word {
    uint64_t hash;
    int64_t begin; /* of its bytes in the table's */
    int32_t length;
    int64_t count; /* 0: a free place */
};

/* Open addressing, at most half full. */
struct word_table {
    struct word *word;
    uint64_t size; /* a power of two */
    int64_t used;
    uint8_t *bytes;
    int64_t bytes_used, bytes_room;
};

struct counted_word {
    const uint8_t *bytes; /* the first table's */
    int32_t length;
    int64_t count;
};

struct word_counts {
    enum split split;
    int threads;
    struct word_table *table;    /* one a thread; after word_counts_finish() all is in the first, */
    struct splitter **splitters; /* one a thread */
    struct counted_word *sorted; /* and here, in byte order */
    int64_t words, bytes;
    int64_t tokens; /* of all words, as often as they are there, under the merges of the last train_bpe() */
};

/* Brings the threads' counts together, in byte order of the words. */
int word_counts_finish(struct word_counts *counts);

#endif
