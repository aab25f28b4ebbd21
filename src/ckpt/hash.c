/* ckpt_hash(): one hash of what a checkpoint means, whatever the sharding.
 *
 * XXH3-128 over, for each array in byte order of the names: the name and the type's name, each with its zero byte; the
 * number of dimensions and the dimensions, 64 bits each; the elements in row-major order. Then step, adam_step and
 * skipped and, where losses are scaled, the scale and its steps, 64 bits each. All numbers are little-endian. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/array.h"
#include "ckpt/blocks.h"
#include "ckpt/digest.h"
#include "ckpt/manifest.h"

/* Arrays go through the shards again and again, so shards stay open; few enough for the limit on open files. */
enum { OPEN_SHARDS = 64 };

struct reader {
    const char *folder;
    const struct manifest *manifest;
    struct slot {
        int shard; /* -1: free */
        struct blocks open;
    } slot[OPEN_SHARDS]; /* a shard has one place: its number modulo OPEN_SHARDS */
    char *block;
    XXH3_state_t *state;
};

static int reader_shard(struct reader *reader, int shard, struct blocks **open) {
    struct slot *slot = &reader->slot[shard % OPEN_SHARDS];
    if (slot->shard != shard) {
        if (slot->shard >= 0) blocks_close(&slot->open);
        slot->shard = -1;
        TRY(blocks_open(&slot->open, reader->folder, reader->manifest, shard));
        slot->shard = shard;
    }
    *open = &slot->open;
    return 0;
}

static void add_number(XXH3_state_t *state, int64_t number) { XXH3_128bits_update(state, &number, sizeof number); }

static void add_text(XXH3_state_t *state, const char *text) { XXH3_128bits_update(state, text, strlen(text) + 1); }

static int add_cut(struct reader *reader, const struct ckpt_array *whole, const struct cut *cut) {
    struct blocks *shard;
    TRY(reader_shard(reader, cut->shard, &shard));
    int64_t at = cut->at, left = (cut->end - cut->begin) * (int64_t)dtype_size(whole->type);
    while (left > 0) {
        int64_t length = BLOCK_BYTES - at % BLOCK_BYTES; /* a block of the file is read once */
        if (length > left) length = left;
        TRY(blocks_read(shard, at, length, reader->block));
        XXH3_128bits_update(reader->state, reader->block, (size_t)length);
        at += length;
        left -= length;
    }
    return 0;
}

static int add_array(struct reader *reader, const struct manifest_array *array) {
    const struct ckpt_array *whole = &array->array;
    add_text(reader->state, whole->name);
    add_text(reader->state, dtype_name(whole->type));
    add_number(reader->state, whole->rank);
    for (int i = 0; i < whole->rank; i++) add_number(reader->state, whole->dim[i]);
    for (int i = 0; i < array->cuts; i++) TRY(add_cut(reader, whole, &array->cut[i]));
    return 0;
}

static int hash_content(struct reader *reader, const struct manifest *manifest, char hex[DIGEST_SIZE]) {
    const struct manifest_array **sorted = manifest_sorted(manifest);
    if (!sorted || !reader->block || !reader->state) {
        free(sorted);
        return fail(STATUS_FAILED, "%s: out of memory", reader->folder);
    }
    XXH3_128bits_reset(reader->state);
    int status = 0;
    for (int i = 0; i < manifest->arrays && !status; i++) status = add_array(reader, sorted[i]);
    free(sorted);
    TRY(status);
    add_number(reader->state, manifest->meta.step);
    add_number(reader->state, manifest->meta.adam_step);
    add_number(reader->state, manifest->meta.skipped);
    if (manifest->meta.loss_scale) {
        add_number(reader->state, manifest->meta.loss_scale);
        add_number(reader->state, manifest->meta.scale_steps);
    }
    digest_hex(XXH3_128bits_digest(reader->state), hex);
    return 0;
}

int ckpt_hash(const char *path, char hex[33]) {
    struct manifest manifest;
    TRY(manifest_read(path, &manifest));
    struct reader *reader = malloc(sizeof(*reader)); /* too large for the stack of a thread */
    int status = 0;
    if (reader) {
        reader->folder = path;
        reader->manifest = &manifest;
        reader->block = malloc(BLOCK_BYTES);
        reader->state = XXH3_createState();
        for (int i = 0; i < OPEN_SHARDS; i++) reader->slot[i].shard = -1;
        status = hash_content(reader, &manifest, hex);
        for (int i = 0; i < OPEN_SHARDS; i++)
            if (reader->slot[i].shard >= 0) blocks_close(&reader->slot[i].open);
        XXH3_freeState(reader->state);
        free(reader->block);
        free(reader);
    } else {
        status = fail(STATUS_FAILED, "%s: out of memory", path);
    }
    manifest_free(&manifest);
    return status;
}
