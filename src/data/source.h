/* A source of tokens: what one entry of data.train, data.val or --data names. However many files it has, it is one row of
 * tokens, memory-mapped, so it may be larger than what the machine has. */
#ifndef DATA_SOURCE_H
#define DATA_SOURCE_H

#include <stdint.h>

#include "data/token_file.h"
#include "tokenizer/tokenizer.h"

struct source {
    char name[1100];
    struct tokens *shard; /* [shards] */
    int64_t *shard_begin; /* [shards + 1]: where each begins in the row of all of them */
    int shards;
    int64_t first, count;           /* the part of that row that is the source: a fraction may be cut off */
    double weight;                  /* in a mixture */
    int64_t vocab;                  /* 0: not known */
    int32_t end_of_text;            /* -1: not known, or none */
    uint8_t tokenizer[TOKENS_HASH]; /* zeros: not known */
    int masked;                     /* some tokens may not count as targets */
    double floor_nats; /* exact nats a token under the process that made the text; negative when not known */
    int borrowed;      /* the shards belong to another source */
    void *made;        /* what was made in memory, owned */
};

enum { SOURCE_TEXT_MAX = 64 << 20 }; /* bytes of a text that is encoded in memory */

/* Opens a source:
 *   "stories", "stories:BYTES", "stories:BYTES:SEED"   the built-in corpus, made in memory
 *   a file of tokens, in any format of token_file.h
 *   PREFIX            PREFIX-00000.tokens and the shards after it
 *   a folder          with token files of one prefix
 *   a pattern         with * or ?, as a shell would read it: all files that match, in the order of their names
 *   a text            its bytes are its tokens; or, where `tokenizer` is not the one of bytes, it is encoded in memory, if
 *                     it has at most SOURCE_TEXT_MAX bytes
 * `tokenizer` may be NULL: not known; then texts are an error. A file that was made with another one is an error. Errors: STATUS_BAD_DATA. */
int source_open(struct source *source, const char *spec, const struct tokenizer *tokenizer);
void source_close(struct source *source);

/* Divides a source: *rest becomes its last `fraction`, borrowing its shards. Documents are not cut where their ends are
 * known. */
void source_split(struct source *source, double fraction, struct source *rest);

/* Every token is below `vocab`, as far as headers tell; the error says what model.vocab must be. */
int source_check_vocab(const struct source *source, int64_t vocab);

/* There is one sequence of `window` tokens and the token after it. */
int source_check_length(const struct source *source, int64_t window);

/* Copies tokens [from, from + n), which must be inside. */
void source_read(const struct source *source, int64_t from, int64_t n, int32_t *out);

/* Makes targets[i] -1 where token from + i does not count as a target. */
void source_mask(const struct source *source, int64_t from, int64_t n, int32_t *targets);

/* A hash that tells whether a source is still the same: of the checksums of native files, and for others of parts of their
 * content that are spread over all of it. 32 hex digits. */
int source_fingerprint(const struct source *source, char hex[33]);

/* "stories[:BYTES[:SEED]]": whether it is that, and what it says. */
int source_is_stories(const char *spec);
int source_parse_stories(const char *spec, int64_t *bytes, uint64_t *seed);

#endif
