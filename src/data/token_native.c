/* The native format, read: token_file.h has the table. */
#include <inttypes.h>
#include <string.h>

#include <xxhash.h>

#include "base/check.h"
#include "data/token_format.h"

static int damaged(const char *path, const char *what) {
    return fail(STATUS_BAD_DATA, "%s: %s; the file is damaged or no Lockstep token file: copy it or make it again",
                path, what);
}

/* What the header says must fit together and into the file. */
static int check_size(const struct tokens *t, int masked, int64_t size, const char *path) {
    int64_t most = (size - NATIVE_HEADER) / t->width;
    if (t->count > most)
        return fail(STATUS_BAD_DATA,
                    "%s: its header promises %" PRId64 " tokens, but the file has room for %" PRId64
                    "; it is truncated: copy it or make it again",
                    path, t->count, most);
    int64_t end = NATIVE_HEADER + t->count * t->width;
    if (masked) end = (end + 7) / 8 * 8 + (t->count + 7) / 8;
    if (end == size) return 0;
    return fail(STATUS_BAD_DATA,
                "%s: has %" PRId64 " bytes where its header means %" PRId64 "; copy it or make it again", path, size,
                end);
}

int open_native(struct tokens *t, const struct mapped *file, const char *path) {
    const uint8_t *h = file->bytes;
    if (file->size < NATIVE_HEADER || memcmp(h, NATIVE_MAGIC, 8)) return damaged(path, "it has no whole header");
    if (XXH3_64bits(h, 72) != get_u64(h + 72)) return damaged(path, "its header does not match its own checksum");
    if (get_u32(h + 8) != NATIVE_VERSION)
        return fail(STATUS_BAD_DATA, "%s: is of version %" PRIu32 " of the format, this build reads %d", path,
                    get_u32(h + 8), NATIVE_VERSION);
    for (int i = 80; i < NATIVE_HEADER; i++)
        if (h[i]) return damaged(path, "its header has something where zeros belong");
    uint64_t count = get_u64(h + 16), vocab = get_u64(h + 24), documents = get_u64(h + 48);
    uint32_t width = get_u32(h + 12), masked = get_u32(h + 60);
    if ((width != 2 && width != 4) || count > INT64_MAX / 8 || vocab < 1 || vocab > INT32_MAX || documents > count ||
        masked > 1 || (int32_t)get_u32(h + 56) < -1 || (int32_t)get_u32(h + 56) >= (int64_t)vocab)
        return damaged(path, "its header has a number that cannot be");
    t->width = (int)width;
    t->count = (int64_t)count;
    t->vocab = (int64_t)vocab;
    t->documents = (int64_t)documents;
    t->end_of_text = (int32_t)get_u32(h + 56);
    t->checksum = get_u64(h + 64);
    memcpy(t->tokenizer, h + 32, TOKENS_HASH);
    TRY(check_size(t, (int)masked, file->size, path));
    t->data = h + NATIVE_HEADER;
    if (masked) t->mask = h + (NATIVE_HEADER + t->count * t->width + 7) / 8 * 8;
    return 0;
}
