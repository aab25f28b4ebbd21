/* The built-in corpus: little stories from a small probabilistic grammar.
 *
 * The text is a function of the seed and the same on every machine: weights and draws are whole numbers. It is a row of
 * whole stories in plain ASCII, each a paragraph with a blank line after it and about 960 bytes long. A story is made
 * without regard to those before it. Within one, names, pronouns, places and things said early come back later with
 * certainty, where only the context can tell them.
 *
 * Every choice writes text that tells which alternative was taken, so a text has one derivation only, and -log2 of its
 * probability is computed exactly (a draw to 2^-30 bit): about 0.504 bits a byte, a floor under the expected loss of
 * any honest model. (The bits of one text scatter around it: by 10% for a story, by 0.2% for 2 MB.)
 *
 * Where a text stops costs nothing, exactly: stories_make() stops at the first end of a story at or beyond `bytes`, so
 * whoever knows `bytes` sees in the text itself where it ends. No such text begins another one, so that over all texts
 * for the same `bytes` the probabilities add up to 1. The bits of two texts in a row are the sum of their bits. */
#ifndef DATA_STORIES_H
#define DATA_STORIES_H

#include <stdint.h>

/* Writes whole stories until at least `bytes` bytes are there; *text (owned by the caller, free()) holds *length bytes.
 * With the same seed, a longer text begins with the shorter one. */
int stories_make(int64_t bytes, uint64_t seed, char **text, int64_t *length);

/* The exact information content of a text that the grammar can make, in bits; 0 for an empty one. STATUS_BAD_DATA with
 * the byte offset if the grammar cannot make it, or if it ends inside a story. */
int stories_bits(const char *text, int64_t length, double *bits);

#endif
