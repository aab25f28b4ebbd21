/* The inside of a tokenizer: what readers of files and the trainer fill in, and the encoder uses. */
#ifndef TOKENIZER_VOCABULARY_H
#define TOKENIZER_VOCABULARY_H

#include <stdint.h>

#include "tokenizer/tokenizer.h"

/* How a text is cut into pieces. */
enum split {
    SPLIT_BYTES,  /* tokenizer "bytes": not at all, there are no merges */
    SPLIT_GPT2,   /* the pattern that GPT-2 was published with */
    SPLIT_CL100K, /* that of cl100k_base, which Llama 3 uses as well */
    SPLIT_OTHER,  /* a pattern of the file's own */
};

struct merge {
    int32_t left, right, result; /* ids */
    int32_t rank;                /* the lowest is merged first; equal ranks from left to right */
};

struct vocabulary {
    int32_t count;
    uint8_t *bytes; /* of all tokens, one after the other */
    int64_t *begin; /* [count + 1]: token i is bytes[begin[i], begin[i + 1]); an empty one is an id that nothing has */
    uint8_t *special;     /* [count]: 1 for special tokens: never the result of a merge, their bytes are their text */
    int32_t byte_id[256]; /* the token of each single byte */
    struct merge *merges; /* in the order of the file */
    int32_t n_merges;
    enum split split;
    char *pattern;    /* PCRE2 syntax; NULL for SPLIT_BYTES */
    int whole_pieces; /* a piece that is a token stays whole, whatever the merges say (tiktoken; "ignore_merges") */
};

/* vocabulary.c: builds one token by token; ids count from 0. `text` is copied. */
int vocabulary_add(struct vocabulary *vocabulary, const void *text, int64_t length, int special);
int vocabulary_add_merge(struct vocabulary *vocabulary, int32_t left, int32_t right, int32_t result, int32_t rank);
void vocabulary_free(struct vocabulary *vocabulary);

/* Takes over *vocabulary, which the caller must not free any more whatever the status. Checks it: there is a token for every
 * byte; merges name tokens that are not special, and their results are their parts joined; no two special tokens have the
 * same bytes, nor two others. Then builds the tables for encoding. */
int tokenizer_build(struct vocabulary *vocabulary, const char *name, struct tokenizer **tokenizer);
const struct vocabulary *tokenizer_vocabulary(const struct tokenizer *tokenizer);

/* The pattern of SPLIT_GPT2 and SPLIT_CL100K; and which of them a pattern is, compared with those forms of the same
 * pattern that tokenizer.json files are known to have. */
const char *split_pattern(enum split split);
enum split split_of_pattern(const char *pattern);

/* split.c: cuts text into pieces. One a thread. */
struct splitter;
int splitter_open(enum split split, const char *pattern, struct splitter **splitter);
void splitter_close(struct splitter *splitter);

/* Starts on a text, which must stay as long as pieces are asked for; then each call gives the next piece, 0 at the end,
 * -1 on an error that fail() has recorded. */
void splitter_begin(struct splitter *splitter, const char *text, int64_t length);
int splitter_next(struct splitter *splitter, const char **piece, int64_t *length);

/* tokenizer_cut() without a tokenizer. */
int64_t split_cut(enum split split, const char *text, int64_t length, int64_t at);

/* read_json.c, read_files.c (vocab.json with merges.txt; .tiktoken), each of a file in memory: `name` stands for it in messages. */
int read_tokenizer_json(const char *text, int64_t length, const char *name, struct vocabulary *vocabulary);
int read_vocab_merges(const char *vocab, int64_t vocab_length, const char *merges, int64_t merges_length,
                      const char *name, struct vocabulary *vocabulary);
int read_tiktoken(const char *text, int64_t length, const char *name, struct vocabulary *vocabulary);

/* byte_letters.c: the printable letter that stands for each byte in the files of Hugging Face and GPT-2 (the bytes that print
 * as themselves in Latin-1 do; the others are numbered from U+0100 on). */
uint32_t byte_letter(uint8_t byte);
int letter_byte(uint32_t letter); /* -1: none */

#endif
