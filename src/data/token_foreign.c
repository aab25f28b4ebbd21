/* Token files of other trainers. They say little, so little can be checked: tokens are compared with the model's vocabulary as
 * they are used. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "data/token_format.h"

/* nanoGPT, data/shakespeare/prepare.py: numpy's tofile() of u16. */
int open_nanogpt(struct tokens *t, const struct mapped *file, const char *path) {
    if (file->size % 2)
        return fail(STATUS_BAD_DATA,
                    "%s: a .bin without a header is read as 16-bit tokens (nanoGPT), but has an odd number of bytes, "
                    "%" PRId64,
                    path, file->size);
    t->width = 2;
    t->count = file->size / 2;
    t->data = file->bytes;
    return 0;
}

/* llm.c, dev/data/data_common.py: 256 i32 {magic, version, tokens, zeros}, then tokens. */
int open_llmc(struct tokens *t, const struct mapped *file, const char *path) {
    uint32_t magic = get_u32(file->bytes), version = file->size < LLMC_HEADER ? 0 : get_u32(file->bytes + 4);
    uint32_t meant = magic == 20240520 ? 1 : 7;
    if (file->size < LLMC_HEADER) return fail(STATUS_BAD_DATA, "%s: the header of this llm.c file is truncated", path);
    if (version != meant)
        return fail(STATUS_BAD_DATA, "%s: this llm.c file has version %" PRIu32 ", and %" PRIu32 " is known", path,
                    version, meant);
    t->width = magic == 20240520 ? 2 : 4;
    t->count = get_u32(file->bytes + 8);
    t->data = file->bytes + LLMC_HEADER;
    if (t->count == (file->size - LLMC_HEADER) / t->width && (file->size - LLMC_HEADER) % t->width == 0) return 0;
    return fail(STATUS_BAD_DATA,
                "%s: its header promises %" PRId64 " tokens of %d bytes, but %" PRId64
                " bytes follow; the file is truncated or damaged",
                path, t->count, t->width, file->size - LLMC_HEADER);
}

static const int widths[] = {[1] = 1, [4] = 4, [8] = 2}; /* Megatron's codes of uint8, int32, uint16 */

/* The sequences must be the .bin, one after the other: an index may also pick and shuffle. */
static int check_sequences(const struct mapped *index, int64_t sequences, int width, int64_t size, const char *path) {
    const uint8_t *sizes = index->bytes + 34, *pointers = sizes + 4 * sequences;
    int64_t at = 0;
    for (int64_t i = 0; i < sequences; i++) {
        int64_t length = (int32_t)get_u32(sizes + 4 * i);
        if (length < 0 || (int64_t)get_u64(pointers + 8 * i) != at || length > (size - at) / width)
            return fail(
                STATUS_BAD_DATA,
                "%s: its index does not go through the file from front to end (sequence %" PRId64
                "); it picks or shuffles, or is damaged: make token files of the text instead (lockstep data make)",
                path, i);
        at += length * width;
    }
    if (at == size) return 0;
    return fail(STATUS_BAD_DATA, "%s: has %" PRId64 " bytes, but its index knows of %" PRId64, path, size, at);
}

static int read_index(struct tokens *t, const struct mapped *index, int64_t size, const char *path) {
    if (index->size < 34 || memcmp(index->bytes, MEGATRON_MAGIC, 9) || get_u64(index->bytes + 9) != 1)
        return fail(STATUS_BAD_DATA, "%s: the .idx beside it is no Megatron index of version 1", path);
    int code = index->bytes[17];
    t->width = code < (int)(sizeof widths / sizeof *widths) ? widths[code] : 0;
    if (!t->width)
        return fail(STATUS_BAD_DATA,
                    "%s: its index gives tokens the type %d; uint8 (1), int32 (4) and uint16 (8) are read", path, code);
    uint64_t sequences = get_u64(index->bytes + 18), documents = get_u64(index->bytes + 26);
    uint64_t room = (uint64_t)index->size - 34;
    if (sequences > room / 12 || documents > room / 8 || sequences * 12 + documents * 8 != room || documents < 1)
        return fail(STATUS_BAD_DATA, "%s: the .idx beside it has not the size that its header means", path);
    t->documents = (int64_t)documents - 1;
    t->count = size / t->width;
    return check_sequences(index, (int64_t)sequences, t->width, size, path);
}

/* Megatron-LM, megatron/core/datasets/indexed_dataset.py. */
int open_megatron(struct tokens *t, const struct mapped *file, const char *path) {
    char name[1100];
    struct mapped index;
    if (strlen(path) >= sizeof name) return fail(STATUS_BAD_DATA, "%.200s…: this path is too long", path);
    strcpy(name, path);
    strcpy(name + strlen(name) - 4, ".idx");
    TRY(map_file(name, &index));
    int status = read_index(t, &index, file->size, path);
    unmap_file(&index);
    t->data = file->bytes;
    return status;
}
