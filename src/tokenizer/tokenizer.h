/* Byte-level BPE tokenizers (Sennrich et al. 2016; on bytes: Radford et al. 2019): text to token ids and back.
 *
 * A text is cut into pieces by a pattern (a regular expression with Unicode classes), and inside each piece the pair of
 * neighbours with the lowest rank is merged until no pair has one. Every byte is a token, so decoding what was encoded
 * gives the same bytes for every input, valid UTF-8 or not: bytes that are not UTF-8 are pieces of their own.
 *
 * A tokenizer is constant after it was opened and may be shared by threads. An encoder holds what encoding changes (a cache
 * of pieces, the matcher's memory): one a thread. */
#ifndef TOKENIZER_TOKENIZER_H
#define TOKENIZER_TOKENIZER_H

#include <stdint.h>

struct tokenizer;
struct encoder;

/* Token ids that grow as they are appended to; {0} is empty. Owned by the caller: ids_free(). */
struct ids {
    int32_t *id;
    int64_t count, capacity;
};

enum { TOKENIZER_HASH = 16 };

/* Opens what `path` names; the caller owns *tokenizer. Errors: STATUS_BAD_DATA with the file, and what in it.
 *   "bytes"             256 bytes as ids 0 to 255, and <|endoftext|> as 256; no pieces, no merges
 *   a folder            its tokenizer.json; else vocab.json and merges.txt; else its one *.tiktoken file
 *   *.tiktoken          a base64 token and its rank a line; the pattern is that of cl100k, special tokens are none
 *   vocab.json          with merges.txt beside it, as GPT-2 was published; the pattern is GPT-2's
 *   any other file      a Hugging Face tokenizer.json with a byte-level BPE model */
int tokenizer_open(const char *path, struct tokenizer **tokenizer);

/* The same of a tokenizer.json in memory; `name` stands for it in messages. */
int tokenizer_open_json(const char *json, int64_t length, const char *name, struct tokenizer **tokenizer);
void tokenizer_close(struct tokenizer *tokenizer);

/* Writes the tokenizer as a tokenizer.json; *json is owned by the caller: free(). Opened again, it encodes the same and has
 * the same hash. "bytes" has a tokenizer.json, too. */
int tokenizer_to_json(const struct tokenizer *tokenizer, char **json, int64_t *length);

/* Ids are 0 to vocab - 1. */
int64_t tokenizer_vocab(const struct tokenizer *tokenizer);

/* The id of a special token by its text, or -1. */
int32_t tokenizer_special(const struct tokenizer *tokenizer, const char *text);

/* The token that ends a document: the first of <|endoftext|>, <|end_of_text|>, </s> that there is, or -1. */
int32_t tokenizer_end_of_text(const struct tokenizer *tokenizer);

/* XXH3-128 of all that decides about ids: pattern, tokens in order, special tokens, merges in order. However the tokenizer
 * was stored, the same tokenizer has the same hash. */
void tokenizer_hash(const struct tokenizer *tokenizer, uint8_t hash[TOKENIZER_HASH]);

/* The bytes that a token stands for (a special token's: its text); valid as long as the tokenizer. `id` must be in range.
 * Decoding is writing them one after the other. */
const uint8_t *tokenizer_bytes(const struct tokenizer *tokenizer, int32_t id, int64_t *length);

/* The first place at or after `at` where text may be cut so that encoding both sides apart gives the same ids as encoding
 * the whole; `length` if there is none that the pattern is known to allow. */
int64_t tokenizer_cut(const struct tokenizer *tokenizer, const char *text, int64_t length, int64_t at);

int encoder_open(const struct tokenizer *tokenizer, struct encoder **encoder);
void encoder_close(struct encoder *encoder);

/* Appends the ids of text[0, length). With `specials`, the texts of special tokens become their ids (the longest first);
 * without, they are text like any other, which is what training data wants. Takes n log n for any text. */
int encoder_encode(struct encoder *encoder, const char *text, int64_t length, int specials, struct ids *ids);

int ids_append(struct ids *ids, int32_t id);
int ids_reserve(struct ids *ids, int64_t more); /* room for so many more */
void ids_free(struct ids *ids);

#endif
