/* UTF-8 (RFC 3629): the well-formed sequences of the Unicode standard's table 3-7, so neither overlong forms nor surrogates. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdint.h>

/* Bytes of the character that text[0, length) begins with, 1 to 4; 0 where there is none. *point (may be NULL): its code
 * point; untouched where there is none. */
int64_t utf8_character(const void *text, int64_t length, uint32_t *point);

/* How many bytes of text[0, length) are characters, from its begin to the first that is none. Skips ASCII a word at a time. */
int64_t utf8_valid(const void *text, int64_t length);

#endif
