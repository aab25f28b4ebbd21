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
                    "%" PRId64 "; it is truncated or no file of tokens",
                    path, file->size);
    t->width = 2;
    t->count = file->size / 2;
    t->data = file->bytes;
    return 0;
}

/* llm.c, dev/data/data_common.py: 256 i32 {magic, version, tokens, zeros}, then tokens. */
int open_llmc(struct tokens *t, const struct mapped *file, const char *path) {
    uint32_t magic = get_u32(file->bytes), version = file->size < LLMC_HEADER ? 0 : get_u32(file->bytes + 4);
    uint32_t meant = magic == LLMC_MAGIC_U16 ? 1 : 7;
    if (file->size < LLMC_HEADER)
        return fail(STATUS_BAD_DATA,
                    "%s: begins as an llm.c file, but its header of %d bytes is truncated to %" PRId64
                    "; copy it again",
                    path, LLMC_HEADER, file->size);
    if (version != meant)
        return fail(STATUS_BAD_DATA,
                    "%s: this llm.c file has version %" PRIu32 ", and %" PRIu32
                    " is known; make it again with llm.c's present tools",
                    path, version, meant);
    for (int i = 12; i < LLMC_HEADER; i++)
        if (file->bytes[i])
            return fail(STATUS_BAD_DATA,
                        "%s: byte %d of this llm.c file's header is not zero; the file is damaged: copy it again", path,
                        i);
    t->width = magic == LLMC_MAGIC_U16 ? 2 : 4;
    t->count = get_u32(file->bytes + 8);
    t->data = file->bytes + LLMC_HEADER;
    if (t->count == (file->size - LLMC_HEADER) / t->width && (file->size - LLMC_HEADER) % t->width == 0) return 0;
    return fail(STATUS_BAD_DATA,
                "%s: its header promises %" PRId64 " tokens of %d bytes, but %" PRId64
                " bytes follow; the file is truncated or damaged: copy it again",
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
    return fail(STATUS_BAD_DATA,
                "%s: has %" PRId64 " bytes, but its index knows of %" PRId64
                "; one of the two is truncated, or they do not belong together: copy both again",
                path, size, at);
}

/* Documents are ranges of sequences: each begins where the one before ended. */
static int check_documents(const struct mapped *index, int64_t sequences, int64_t bounds, const char *path) {
    const uint8_t *bound = index->bytes + 34 + 12 * sequences;
    uint64_t before = 0;
    for (int64_t i = 0; i < bounds; i++) {
        uint64_t at = get_u64(bound + 8 * i);
        if (at < before || at > (uint64_t)sequences || (i == 0 && at))
            return fail(STATUS_BAD_DATA,
                        "%s: its index is damaged: document %" PRId64 " begins with sequence %" PRId64
                        "; copy it or make it again",
                        path, i, (int64_t)at);
        before = at;
    }
    return 0;
}

static int read_index(struct tokens *t, const struct mapped *index, int64_t size, const char *path) {
    if (index->size < 34 || memcmp(index->bytes, MEGATRON_MAGIC, 9) || get_u64(index->bytes + 9) != 1)
        return fail(STATUS_BAD_DATA,
                    "%s: the .idx beside it is no Megatron index of version 1; rename either of them if they do not "
                    "belong together",
                    path);
    int code = index->bytes[17];
    t->width = code < (int)(sizeof widths / sizeof *widths) ? widths[code] : 0;
    if (!t->width)
        return fail(STATUS_BAD_DATA,
                    "%s: its index gives tokens the type %d%s; uint8 (1), int32 (4) and uint16 (8) are read: make it "
                    "again with a smaller type, or token files of the text (lockstep data make)",
                    path, code, code == 5 ? " (int64)" : "");
    uint64_t sequences = get_u64(index->bytes + 18), documents = get_u64(index->bytes + 26);
    uint64_t room = (uint64_t)index->size - 34;
    if (sequences > room / 12 || documents > room / 8 || sequences * 12 + documents * 8 != room || documents < 1)
        return fail(STATUS_BAD_DATA,
                    "%s: the .idx beside it has not the size that its header means (%" PRIu64 " sequences, %" PRIu64
                    " ends of documents, %" PRId64 " bytes); it is truncated or damaged: copy it again",
                    path, sequences, documents, index->size);
    t->documents = (int64_t)documents - 1;
    t->count = size / t->width;
    TRY(check_sequences(index, (int64_t)sequences, t->width, size, path));
    return check_documents(index, (int64_t)sequences, (int64_t)documents, path);
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
