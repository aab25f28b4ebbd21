/* Training of a byte-level BPE vocabulary from text.
 *
 * Words (pieces of the pre-splitting pattern) are counted first: memory grows with the number of different words, not with the
 * text. Then the pair of neighbouring tokens with the highest count over all words is merged, again and again; among pairs with
 * the same count the one with the smaller (left id, right id) comes first. Ids: the 256 bytes in the order of byte_letter(), the merges
 * in their order, special tokens last. The result depends on the text alone, not on threads or how it was cut.
 *
 * A merge whose token would be written like a special token is left out.
 *
 * This is the order of Hugging Face's `tokenizers`, so that the same text and settings give the same merges. */
#ifndef TOKENIZER_TRAIN_H
#define TOKENIZER_TRAIN_H

#include <stdint.h>

#include "tokenizer/vocabulary.h"

struct word_counts;

/* Counts words with `threads` threads (0: as many as OpenMP gives). */
int word_counts_new(enum split split, int threads, struct word_counts **counts);
void word_counts_free(struct word_counts *counts);

/* Counts the words of n texts, divided among threads. Texts are counted on their own: a word never reaches over an end. */
int word_counts_add(struct word_counts *counts, const char *const *text, const int64_t *length, int n);

/* After train_bpe(): different words, bytes of text, and tokens of that text under the merges that were found. */
struct word_totals {
    int64_t words, bytes, tokens;
};
struct word_totals word_counts_totals(const struct word_counts *counts);

struct train_bpe_options {
    int32_t vocab;              /* tokens in all, special ones and the 256 bytes included */
    int64_t min_count;          /* a pair must be seen so often (default 2) */
    const char *const *special; /* texts of special tokens */
    int n_special;
    void (*progress)(void *context, int32_t merges, int32_t of); /* may be NULL */
    void *context;
};

/* Finishes the counts. Stops early where no pair is left that is frequent enough: tokenizer_vocab() then tells how far it came. */
int train_bpe(struct word_counts *counts, const struct train_bpe_options *options, struct tokenizer **tokenizer);

#endif
