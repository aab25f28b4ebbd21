#include "base/utf8.h"

#include <string.h>

int64_t utf8_character(const void *text, int64_t length, uint32_t *point) {
    const uint8_t *p = text;
    if (length < 1) return 0;
    uint8_t lead = p[0], low = 0x80, high = 0xbf;
    int64_t size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (!size || size > length) return 0;
    if (size > 1) {
        if (lead == 0xe0) low = 0xa0;
        if (lead == 0xed) high = 0x9f;
        if (lead == 0xf0) low = 0x90;
        if (lead == 0xf4) high = 0x8f;
        if (p[1] < low || p[1] > high) return 0;
    }
    uint32_t code = size > 1 ? lead & (0x7fu >> size) : lead;
    for (int64_t i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (point) *point = code;
    return size;
}

int64_t utf8_valid(const void *text, int64_t length) {
    const char *p = text;
    int64_t at = 0;
    while (at < length) {
        uint64_t word;
        while (length - at >= 8 && (memcpy(&word, p + at, 8), !(word & 0x8080808080808080u))) at += 8;
        int64_t size = utf8_character(p + at, length - at, NULL);
        if (!size) break;
        at += size;
    }
    return at;
}
