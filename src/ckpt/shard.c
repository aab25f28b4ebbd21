#include "ckpt/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "ckpt/array.h"
#include "ckpt/digest.h"
#include "ckpt/sink.h"

/* Files and the hash of the content are little-endian. HDF5 would swap; ckpt_hash() would have to. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "checkpoints are written on little-endian machines only");

/* Below, an id that was never opened is handed to a close function now and then: HDF5 only says no. */

static hid_t element_type(enum dtype type) {
    switch (type) {
    case DTYPE_F32:
        return H5T_IEEE_F32LE;
    case DTYPE_F64:
        return H5T_IEEE_F64LE;
    case DTYPE_I32:
        return H5T_STD_I32LE;
    case DTYPE_U8:
        return H5T_STD_U8LE;
    case DTYPE_F16:
    case DTYPE_BF16: /* HDF5 1.10 has no such type, and nothing that is saved is bf16: parameters and moments are kept in f32 */
    case DTYPE_COUNT:
        break;
    }
    return H5I_INVALID_HID;
}

/* A line of `count` elements; with none of them a space that holds nothing. */
static hid_t line(int64_t count) {
    hsize_t size = (hsize_t)count;
    return count > 0 ? H5Screate_simple(1, &size, NULL) : H5Screate(H5S_NULL);
}

int64_t shard_bytes(const struct ckpt_array *arrays, int count) {
    int64_t bytes = 0;
    for (int i = 0; i < count; i++) {
        int64_t slice = (arrays[i].end - arrays[i].begin) * (int64_t)dtype_size(arrays[i].type);
        if (__builtin_add_overflow(bytes, slice, &bytes)) return INT64_MAX;
    }
    return bytes;
}

static int write_attribute(hid_t dataset, const char *name, const int64_t *values, int count) {
    hid_t space = line(count);
    hid_t attribute = H5Acreate2(dataset, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    int ok = attribute >= 0 && (count == 0 || H5Awrite(attribute, H5T_NATIVE_INT64, values) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    return ok;
}

static int write_slice(hid_t file, hid_t link, hid_t creation, const struct ckpt_array *slice) {
    hid_t type = element_type(slice->type), space = line(slice->end - slice->begin);
    hid_t dataset = H5Dcreate2(file, slice->name, type, space, link, creation, H5P_DEFAULT);
    int ok = dataset >= 0 && write_attribute(dataset, "shape", slice->dim, slice->rank) &&
             write_attribute(dataset, "begin", &slice->begin, 1) &&
             H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, slice->data) >= 0;
    H5Dclose(dataset);
    H5Sclose(space);
    return ok;
}

/* Errors of the system stay in the sink. */
static int write_file(const char *path, struct sink *sink, const struct ckpt_array *arrays, int count) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), link = H5Pcreate(H5P_LINK_CREATE);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE), file = H5I_INVALID_HID;
    /* No fill values, since every element is written; no times, so that the same state is the same file. */
    if (sink_set(access, sink) >= 0 && H5Pset_create_intermediate_group(link, 1) >= 0 &&
        H5Pset_layout(creation, H5D_CONTIGUOUS) >= 0 && H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0 &&
        H5Pset_obj_track_times(creation, 0) >= 0)
        file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    int status = file >= 0 ? 0 : fail(STATUS_FAILED, "%s: HDF5 cannot create this file", path);
    for (int i = 0; i < count && !status && !sink->error; i++)
        if (arrays[i].begin < arrays[i].end && !write_slice(file, link, creation, &arrays[i]))
            status = fail(STATUS_FAILED, "%s: HDF5 cannot write array '%s'", path, arrays[i].name);
    if (file >= 0 && H5Fclose(file) < 0 && !status) status = fail(STATUS_FAILED, "%s: HDF5 cannot close", path);
    H5Pclose(creation);
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
    return 0;
}

void shard_close(struct shard *shard) { H5Fclose(shard->file); }

/* The attribute holds exactly these values. */
static int attribute_is(hid_t dataset, const char *name, const int64_t *values, int count) {
    int64_t found[4];
    hid_t attribute = H5Aopen(dataset, name, H5P_DEFAULT), space = H5Aget_space(attribute);
    int ok = attribute >= 0 && space >= 0 && H5Sget_simple_extent_npoints(space) == count &&
             (count == 0 || H5Aread(attribute, H5T_NATIVE_INT64, found) >= 0) &&
             memcmp(found, values, (size_t)count * sizeof(*values)) == 0;
    H5Sclose(space);
    H5Aclose(attribute);
    return ok;
}

static int dataset_is(hid_t dataset, hid_t space, const struct ckpt_array *slice) {
    hid_t type = H5Dget_type(dataset);
    int ok = type >= 0 && H5Tequal(type, element_type(slice->type)) > 0 && H5Sget_simple_extent_ndims(space) == 1 &&
             H5Sget_simple_extent_npoints(space) == slice->end - slice->begin &&
             attribute_is(dataset, "shape", slice->dim, slice->rank) &&
             attribute_is(dataset, "begin", &slice->begin, 1);
    H5Tclose(type);
    return ok;
}

int shard_read(const struct shard *shard, const struct ckpt_array *slice, int64_t begin, int64_t end, void *data) {
    hid_t dataset = H5Dopen2(shard->file, slice->name, H5P_DEFAULT), space = H5Dget_space(dataset);
    hid_t memory = line(end - begin);
    hsize_t start = (hsize_t)(begin - slice->begin), length = (hsize_t)(end - begin);
    int status = 0;
    if (dataset < 0 || !dataset_is(dataset, space, slice))
        status =
            fail(STATUS_BAD_DATA, "%s: does not hold [%" PRId64 ", %" PRId64 ") of array '%s' as the manifest says",
                 shard->path, slice->begin, slice->end, slice->name);
    errno = 0;
    if (!status && (H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &length, NULL) < 0 ||
                    H5Dread(dataset, element_type(slice->type), memory, space, H5P_DEFAULT, data) < 0))
        status = fail(STATUS_BAD_DATA, "%s: HDF5 cannot read array '%s'%s%s", shard->path, slice->name,
                      errno ? ": " : "", errno ? strerror(errno) : "");
    H5Sclose(memory);
    H5Sclose(space);
    H5Dclose(dataset);
    return status;
}

static int compare_slice(const struct shard *shard, const struct ckpt_array *slice, char *block) {
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
