#include "tokenizer/letters.h"
#include "tokenizer/vocabulary.h"

/* The bytes that do not print are three runs, numbered on from one another: 0x00 to 0x20, 0x7f to 0xa0, and 0xad. */
enum { FIRST_OTHER = 0x100, DELETE = 0x121, SOFT_HYPHEN = 0x143 };

static int prints(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
}

uint32_t byte_letter(uint8_t byte) {
    if (prints(byte)) return byte;
    if (byte <= 0x20) return (uint32_t)FIRST_OTHER + byte;
    return byte <= 0xa0 ? (uint32_t)DELETE + byte - 0x7f : SOFT_HYPHEN;
}

int letter_byte(uint32_t letter) {
    if (letter < FIRST_OTHER) return prints(letter) ? (int)letter : -1;
    if (letter < DELETE) return (int)(letter - FIRST_OTHER);
    if (letter < SOFT_HYPHEN) return (int)(letter - DELETE + 0x7f);
    return letter == SOFT_HYPHEN ? 0xad : -1;
}

int64_t letters_to_bytes(const char *letters, int64_t length, uint8_t *bytes) {
    int64_t n = 0;
    for (int64_t i = 0; i < length; i++) {
        uint8_t lead = (uint8_t)letters[i];
        uint32_t letter = lead;
        if (lead >= 0x80) {
            if (lead < 0xc2 || lead > 0xdf || i + 1 >= length || ((uint8_t)letters[i + 1] & 0xc0) != 0x80) return -1;
            letter = (uint32_t)(lead & 0x1f) << 6 | ((uint8_t)letters[++i] & 0x3f);
        }
        int byte = letter_byte(letter);
        if (byte < 0) return -1;
        bytes[n++] = (uint8_t)byte;
    }
    return n;
}

int64_t bytes_to_letters(const uint8_t *bytes, int64_t length, char *letters) {
    int64_t n = 0;
    for (int64_t i = 0; i < length; i++) {
        uint32_t letter = byte_letter(bytes[i]);
        if (letter >= 0x80) letters[n++] = (char)(0xc0 | letter >> 6);
        letters[n++] = (char)(letter >= 0x80 ? 0x80 | (letter & 0x3f) : letter);
    }
    return n;
}
