/* Files of tokens, memory-mapped: Lockstep's own format, and those of other trainers.
 *
 * The native format (".tokens"), all numbers little-endian:
 *
 *   offset  bytes  what
 *        0      8  "LOCKTOKS"
 *        8      4  version: 1
 *       12      4  bytes a token: 2 or 4 (unsigned)
 *       16      8  tokens
 *       24      8  vocabulary: every token is below it
 *       32     16  hash of the tokenizer; zeros: not known
 *       48      8  documents
 *       56      4  the end-of-text token, signed; -1: none
 *       60      4  1: a loss mask follows the tokens; 0: none
 *       64      8  XXH3-64 of everything after the header
 *       72      8  XXH3-64 of the 72 bytes before
 *       80    176  zeros
 *      256         the tokens; then, padded with zeros to 8 bytes, the mask: bit i % 8 of byte i / 8 (from the lowest) is 1
 *                  where token i counts as a target
 */
#ifndef DATA_TOKEN_FILE_H
#define DATA_TOKEN_FILE_H

#include <stdint.h>
#include <stdio.h>

enum token_format {
    TOKENS_NATIVE,
    TOKENS_NANOGPT,  /* raw u16 (train.bin, val.bin of nanoGPT): any .bin without another's magic number */
    TOKENS_LLMC,     /* 256 i32 of header (magic 20240520, version 1: u16; magic 20240801, version 7: u32) */
    TOKENS_MEGATRON, /* NAME.bin with NAME.idx beside it ("MMIDIDX"), version 1; either of the two may be named */
    TOKENS_HDF5, /* FILE.h5 or FILE.hdf5, or FILE.h5:DATASET: a one-dimensional dataset of 1, 2 or 4 byte integers, contiguous */
    TOKENS_BYTES, /* anything else: a text whose bytes are its tokens */
};

enum { TOKENS_HASH = 16 };

struct tokens {
    char name[1024];
    enum token_format format;
    int width; /* bytes a token: 1, 2 or 4, unsigned, little-endian */
    int64_t count;
    int64_t vocab;                  /* 0: the file does not say */
    int64_t documents;              /* 0: the file does not say */
    int32_t end_of_text;            /* -1: none, or the file does not say */
    uint8_t tokenizer[TOKENS_HASH]; /* zeros: the file does not say */
    uint64_t checksum;              /* of the native format; 0: the file has none */
    const void *data;               /* count tokens; may be unaligned for its type */
    const uint8_t *mask;            /* the loss mask; NULL: every token counts */
    void *mapping;                  /* NULL: data belongs to someone else, or was allocated */
    int64_t mapping_bytes;
};

/* Opens a file of tokens in whatever format its content and name tell. Reads the header only, and maps the rest. `tokens` may be
 * closed after a failure. Errors: STATUS_BAD_DATA with the file and what is wrong with it: what the header promises must be there. */
int tokens_open(struct tokens *tokens, const char *path);
void tokens_close(struct tokens *tokens);

/* The format that the file's content and name tell, without a look at the rest. */
int tokens_detect(const char *path, enum token_format *format);
const char *token_format_name(enum token_format format); /* "native", "nanoGPT", "llm.c", "Megatron", "HDF5", "bytes" */

/* Copies tokens [from, from + n) as i32. The range must be inside. */
void tokens_read(const struct tokens *tokens, int64_t from, int64_t n, int32_t *out);
static inline int tokens_counts(const struct tokens *tokens, int64_t i) {
    return !tokens->mask || (tokens->mask[i / 8] >> (i % 8) & 1);
}

/* Reads everything once: the checksum (native), and that every token is below the vocabulary (where it is known). *largest is the
 * largest token. */
int tokens_verify(const struct tokens *tokens, int32_t *largest);

/* Writes native files, as many as `shard_tokens` makes of them: PATH-00000.tokens, PATH-00001.tokens …; a document is never
 * cut unless it is longer than a shard. Files appear under their names when they are whole and synced. */
struct token_writer;
struct token_writer_options {
    const char *path; /* without number and extension */
    int64_t shard_tokens;
    int64_t vocab; /* decides between u16 and u32 */
    uint8_t tokenizer[TOKENS_HASH];
    int32_t end_of_text;
    int mask; /* files have a loss mask */
};
int token_writer_open(const struct token_writer_options *options, struct token_writer **writer);

/* Appends tokens; counts[i] (0 or 1; NULL: all 1) is token i's bit in the mask. `ends`: a document ends with them. */
int token_writer_add(struct token_writer *writer, const int32_t *ids, const uint8_t *counts, int64_t n, int ends);

/* Finishes the last file. On a failure before, close() alone removes what is not finished. *shards: how many files there are. */
int token_writer_finish(struct token_writer *writer, int *shards);
void token_writer_close(struct token_writer *writer);

#endif
