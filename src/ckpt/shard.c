#include "ckpt/shard.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/blocks_write.h"
#include "ckpt/image.h"
#include "ckpt/part.h"
#include "ckpt/slices.h"

/* Files and the hash of the content are little-endian. HDF5 would swap; ckpt_hash() would have to. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "checkpoints are written on little-endian machines only");

/* Entries from this one on are of one array: how many, and how many of them are not empty. */
static int next_array(const struct ckpt_array *entry, int left, int *held) {
    int slices = slices_alike(entry, left);
    *held = 0;
    for (int i = 0; i < slices; i++) *held += entry[i].begin < entry[i].end;
    return slices;
}

int64_t shard_bytes(const struct ckpt_array *arrays, int count) {
    int64_t bytes = 0;
    for (int i = 0; i < count; i++) {
        int64_t slice = (arrays[i].end - arrays[i].begin) * (int64_t)dtype_size(arrays[i].type);
        if (__builtin_add_overflow(bytes, slice, &bytes)) return INT64_MAX;
    }
    for (int i = 0, held; i < count;) {
        i += next_array(&arrays[i], count - i, &held);
        int64_t ranges = held > 1 ? (int64_t)held * 2 * (int64_t)sizeof(int64_t) : 0;
        if (__builtin_add_overflow(bytes, ranges, &bytes)) return INT64_MAX;
    }
    return bytes;
}

/* A slice in memory, and where the file has it. */
struct placed {
    const struct ckpt_array *slice;
    int64_t at, bytes;
};

struct shard {
    const struct ckpt_array *arrays;
    int count;
    struct image image;    /* the file without its elements */
    struct placed *placed; /* the slices that are not empty, in the order of the list; then of the file */
    int64_t n_placed;
    int64_t next; /* the first that does not end before the block at hand */
};

/* Where HDF5 has the datasets of the shard in its file. */
static int find_places(void *context, const char *path, hid_t file) {
    struct shard *shard = context;
    const struct ckpt_array *arrays = shard->arrays;
    shard->n_placed = 0;
    for (int i = 0; i < shard->count;) {
        int held, slices = next_array(&arrays[i], shard->count - i, &held);
        int64_t at = held ? part_place(file, &arrays[i], slices) : 0;
        if (at < 0)
            return fail(STATUS_FAILED, "%s: HDF5 does not find array '%s' as it was made", path, arrays[i].name);
        for (int k = i; k < i + slices; k++) {
            int64_t bytes = (arrays[k].end - arrays[k].begin) * (int64_t)dtype_size(arrays[k].type);
            if (!bytes) continue;
            shard->placed[shard->n_placed++] = (struct placed){&arrays[k], at, bytes};
            at += bytes;
        }
        i += slices;
    }
    return 0;
}

static int make_parts(void *context, const char *path, hid_t file) {
    struct shard *shard = context;
    for (int i = 0; i < shard->count;) {
        int held, slices = next_array(&shard->arrays[i], shard->count - i, &held);
        if (held) TRY(part_make(path, file, &shard->arrays[i], slices));
        i += slices;
    }
    return find_places(context, path, file);
}

static int by_place(const void *a, const void *b) {
    const struct placed *left = a, *right = b;
    return left->at < right->at ? -1 : left->at > right->at;
}

/* Bytes [at, at + length) of the file: HDF5's structures, and the elements from where they are. */
static int fill_block(void *context, int64_t at, char *block, int64_t length) {
    struct shard *shard = context;
    int64_t end = at + length;
    image_read(&shard->image, at, block, length);
    for (int64_t i = shard->next; i < shard->n_placed && shard->placed[i].at < end; i++) {
        const struct placed *p = &shard->placed[i];
        int64_t from = p->at > at ? p->at : at, to = p->at + p->bytes < end ? p->at + p->bytes : end;
        memcpy(block + (from - at), (const char *)p->slice->data + (from - p->at), (size_t)(to - from));
        if (p->at + p->bytes <= end) shard->next = i + 1;
    }
    return 0;
}

/* What other programs will do: HDF5 opens the file and finds each array where its elements were put. */
static int open_and_find(const char *path, struct shard *shard, const int64_t *at) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    H5Pset_file_locking(access, 0, 1); /* some parallel file systems refuse locks */
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(access);
    if (file < 0) return fail(STATUS_FAILED, "%s: HDF5 cannot open what was written", path);
    int status = find_places(shard, path, file);
    H5Fclose(file);
    for (int64_t i = 0; i < shard->n_placed && !status; i++)
        if (shard->placed[i].at != at[i])
            status = fail(STATUS_FAILED, "%s: HDF5 finds array '%s' at another place than where it was put", path,
                          shard->placed[i].slice->name);
    return status;
}

static int write_shard(const char *path, struct shard *shard, int buffered, struct manifest_file *file, int64_t *at) {
    TRY(image_make(&shard->image, path, make_parts, shard));
    if (shard->image.size < shard_bytes(shard->arrays, shard->count))
        return fail(STATUS_FAILED, "%s: HDF5 makes a file of %" PRId64 " bytes, which its arrays do not fit in", path,
                    shard->image.size);
    for (int64_t i = 0; i < shard->n_placed; i++) at[i] = shard->placed[i].at;
    qsort(shard->placed, (size_t)shard->n_placed, sizeof *shard->placed, by_place);
    TRY(blocks_write(path, shard->image.size, buffered, fill_block, shard, file));
    return open_and_find(path, shard, at);
}

int shard_write(const char *path, const struct ckpt_array *arrays, int count, int buffered, struct manifest_file *file,
                int64_t *at) {
    struct shard shard = {.arrays = arrays, .count = count};
    *file = (struct manifest_file){0};
    shard.placed = calloc((size_t)count + 1, sizeof *shard.placed);
    if (!shard.placed) return fail(STATUS_FAILED, "%s: out of memory", path);
    int status = write_shard(path, &shard, buffered, file, at);
    image_free(&shard.image);
    free(shard.placed);
    return status;
}
