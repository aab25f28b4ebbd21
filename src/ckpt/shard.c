#include "ckpt/shard.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/blocks.h"
#include "ckpt/part.h"
#include "ckpt/sink.h"
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

struct entries {
    const struct ckpt_array *arrays;
    int count;
};

static int write_parts(void *context, const char *path, hid_t file, const struct sink *sink) {
    const struct entries *e = context;
    int status = 0;
    for (int i = 0; i < e->count && !status && !sink->error;) {
        int held, slices = next_array(&e->arrays[i], e->count - i, &held);
        if (held) status = part_write(path, file, &e->arrays[i], slices);
        i += slices;
    }
    return status;
}

int shard_write(const char *path, const struct ckpt_array *arrays, int count) {
    struct entries entries = {arrays, count};
    return sink_write_file(path, shard_bytes(arrays, count), write_parts, &entries);
}

/* A slice in memory, and where the file has it. */
struct written {
    const struct ckpt_array *slice;
    int64_t at, bytes;
};

struct comparison {
    const char *path;
    struct written *written; /* in the order of the file */
    int64_t count, next;     /* the first that does not end before the block at hand */
};

/* The bytes that the block has of each slice are those in memory. */
static int compare_block(void *context, int64_t at, const char *block, int64_t bytes) {
    struct comparison *c = context;
    for (int64_t i = c->next; i < c->count && c->written[i].at < at + bytes; i++) {
        const struct written *w = &c->written[i];
        int64_t begin = w->at > at ? w->at : at, end = w->at + w->bytes < at + bytes ? w->at + w->bytes : at + bytes;
        if (memcmp(block + (begin - at), (const char *)w->slice->data + (begin - w->at), (size_t)(end - begin)))
            return fail(STATUS_FAILED, "%s: array '%s' reads back differently from what was written", c->path,
                        w->slice->name);
        if (w->at + w->bytes <= at + bytes) c->next = i + 1;
    }
    return 0;
}

static int by_place(const void *a, const void *b) {
    const struct written *left = a, *right = b;
    return left->at < right->at ? -1 : left->at > right->at;
}

/* Of each slice that is not empty, as HDF5 finds the datasets in the file. */
static int find_places(const char *path, hid_t file, const struct ckpt_array *arrays, int count,
                       struct written *written) {
    int64_t next = 0;
    for (int i = 0; i < count;) {
        int held, slices = next_array(&arrays[i], count - i, &held);
        int64_t at = held ? part_place(file, &arrays[i], slices) : 0;
        if (at < 0)
            return fail(STATUS_FAILED, "%s: HDF5 does not find array '%s' as it was written", path, arrays[i].name);
        for (int k = i; k < i + slices; k++) {
            int64_t bytes = (arrays[k].end - arrays[k].begin) * (int64_t)dtype_size(arrays[k].type);
            if (!bytes) continue;
            written[next++] = (struct written){&arrays[k], at, bytes};
            at += bytes;
        }
        i += slices;
    }
    return 0;
}

static int open_and_find(const char *path, const struct ckpt_array *arrays, int count, struct written *written) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    H5Pset_file_locking(access, 0, 1); /* some parallel file systems refuse locks */
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(access);
    if (file < 0) return fail(STATUS_FAILED, "%s: HDF5 cannot open what it has written", path);
    int status = find_places(path, file, arrays, count, written);
    H5Fclose(file);
    return status;
}

int shard_read_back(const char *path, const struct ckpt_array *arrays, int count, struct manifest_file *file,
                    int64_t *at) {
    struct comparison c = {.path = path};
    *file = (struct manifest_file){0};
    for (int i = 0; i < count; i++) c.count += arrays[i].begin < arrays[i].end;
    c.written = calloc((size_t)c.count + 1, sizeof *c.written);
    if (!c.written) return fail(STATUS_FAILED, "%s: out of memory", path);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    int status = open_and_find(path, arrays, count, c.written);
    for (int64_t i = 0; i < c.count && !status; i++) at[i] = c.written[i].at;
    qsort(c.written, (size_t)c.count, sizeof *c.written, by_place);
    if (!status) status = blocks_hash(path, 1, file, compare_block, &c);
    if (!status && c.next < c.count) status = fail(STATUS_FAILED, "%s: the file ends before its arrays do", path);
    free(c.written);
    return status;
}
