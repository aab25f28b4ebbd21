#include "ckpt/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "ckpt/digest.h"
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

/* Errors of the system stay in the sink. */
static int write_file(const char *path, struct sink *sink, const struct ckpt_array *arrays, int count) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), link = H5Pcreate(H5P_LINK_CREATE);
    hid_t file = H5I_INVALID_HID;
    if (sink_set(access, sink) >= 0 && H5Pset_create_intermediate_group(link, 1) >= 0)
        file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    int status = file >= 0 ? 0 : fail(STATUS_FAILED, "%s: HDF5 cannot create this file", path);
    for (int i = 0; i < count && !status && !sink->error;) {
        int held, slices = next_array(&arrays[i], count - i, &held);
        if (held) status = part_write(path, file, link, &arrays[i], slices);
        i += slices;
    }
    if (file >= 0 && H5Fclose(file) < 0 && !status) status = fail(STATUS_FAILED, "%s: HDF5 cannot close", path);
    H5Pclose(link);
    H5Pclose(access);
    return status;
}

int shard_write(const char *path, const struct ckpt_array *arrays, int count) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    struct sink sink = {.fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
    if (sink.fd < 0) return fail(STATUS_FAILED, "%s: cannot create: %s", path, strerror(errno));
    int status = write_file(path, &sink, arrays, count);
    struct stat info;
    if (sink.error) /* the reason behind whatever HDF5 may have met after it */
        status = fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(sink.error));
    if (!status && fstat(sink.fd, &info)) status = fail(STATUS_FAILED, "%s: cannot read: %s", path, strerror(errno));
    if (!status && (info.st_size != sink.size || sink.size < shard_bytes(arrays, count)))
        status = fail(STATUS_FAILED, "%s: the file has %" PRId64 " bytes where %" PRId64 " were written", path,
                      (int64_t)info.st_size, sink.size);
    if (!status) status = file_sync(sink.fd, path);
    if (close(sink.fd) && !status) status = fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(errno));
    return status;
}

int shard_open(struct shard *shard, const char *path) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    /* Shards never change, and some parallel file systems refuse locks. */
    H5Pset_file_locking(access, 0, 1);
    shard->file = H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(access);
    if (shard->file < 0) return fail(STATUS_BAD_DATA, "%s: HDF5 cannot open this file", path);
    snprintf(shard->path, sizeof shard->path, "%s", path);
    shard->part = (struct part){0};
    return 0;
}

void shard_close(struct shard *shard) {
    if (shard->part.slices) part_close(&shard->part);
    H5Fclose(shard->file);
}

int shard_read(struct shard *shard, const struct ckpt_array *slice, int64_t begin, int64_t end, void *data) {
    return part_read(&shard->part, shard->path, shard->file, slice, begin, end, data);
}

static int compare_slice(struct shard *shard, const struct ckpt_array *slice, char *block) {
    int64_t size = (int64_t)dtype_size(slice->type), step = DIGEST_BLOCK / size;
    for (int64_t begin = slice->begin; begin < slice->end; begin += step) {
        int64_t end = begin + step < slice->end ? begin + step : slice->end;
        TRY(shard_read(shard, slice, begin, end, block));
        const char *meant = (const char *)slice->data + (begin - slice->begin) * size;
        if (memcmp(block, meant, (size_t)((end - begin) * size)))
            return fail(STATUS_FAILED, "%s: array '%s' reads back differently from what was written", shard->path,
                        slice->name);
    }
    return 0;
}

int shard_compare(const char *path, const struct ckpt_array *arrays, int count) {
    struct shard shard;
    char *block = malloc(DIGEST_BLOCK);
    if (!block) return fail(STATUS_FAILED, "%s: out of memory", path);
    int status = shard_open(&shard, path);
    if (!status) {
        for (int i = 0; i < count && !status; i++)
            if (arrays[i].begin < arrays[i].end) status = compare_slice(&shard, &arrays[i], block);
        shard_close(&shard);
    }
    free(block);
    return status;
}
