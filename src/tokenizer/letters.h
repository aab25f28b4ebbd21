/* Tokens as Hugging Face's files write them: UTF-8 text in which a letter stands for each byte. Only src/tokenizer/ includes
 * this. */
#ifndef TOKENIZER_LETTERS_H
#define TOKENIZER_LETTERS_H

#include <stdint.h>

/* Turns letters[0, length) into bytes (at most as many); the number of bytes, or -1 where a letter stands for none. */
int64_t letters_to_bytes(const char *letters, int64_t length, uint8_t *bytes);

/* Turns bytes into letters (at most two bytes of UTF-8 each); the number of bytes of UTF-8. */
int64_t bytes_to_letters(const uint8_t *bytes, int64_t length, char *letters);

#endif
