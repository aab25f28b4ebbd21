#include "tokenizer/letters.h"
#include "tokenizer/vocabulary.h"

/* Letters are below U+0144: 68 bytes do not print. */
enum { FIRST_OTHER = 0x100, LETTERS = FIRST_OTHER + 68 };

static int prints(int byte) { return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae; }

uint32_t byte_letter(uint8_t byte) {
    uint32_t others = 0;
    if (prints(byte)) return byte;
    for (int b = 0; b < byte; b++) others += !prints(b);
    return FIRST_OTHER + others;
}

int letter_byte(uint32_t letter) {
    if (letter < FIRST_OTHER) return prints((int)letter) ? (int)letter : -1;
    if (letter >= LETTERS) return -1;
    uint32_t others = 0;
    for (int b = 0; b < 0x100; b++)
        if (!prints(b) && FIRST_OTHER + others++ == letter) return b;
    return -1;
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
