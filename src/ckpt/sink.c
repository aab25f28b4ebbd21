#include "ckpt/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "ckpt/files.h"

/* HDF5 takes the first member for the driver's own. */
struct sink_file {
    H5FD_t base;
    struct sink *sink;
    haddr_t end_of_allocation, end_of_file;
};

/* What the property list carries. */
struct sink_access {
    struct sink *sink;
};

static H5FD_t *sink_open(const char *name, unsigned flags, hid_t access, haddr_t max_address) {
    (void)name, (void)flags, (void)max_address;
    const struct sink_access *given = H5Pget_driver_info(access);
    struct sink_file *file = given ? calloc(1, sizeof(*file)) : NULL;
    if (!file) return NULL;
    file->sink = given->sink;
    return &file->base;
}

static herr_t sink_close(H5FD_t *base) {
    free(base);
    return 0;
}

static herr_t sink_query(const H5FD_t *base, unsigned long *flags) {
    (void)base; /* HDF5 also asks before there is a file */
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t sink_get_eoa(const H5FD_t *base, H5FD_mem_t type) {
    (void)type;
    return ((const struct sink_file *)base)->end_of_allocation;
}

static herr_t sink_set_eoa(H5FD_t *base, H5FD_mem_t type, haddr_t address) {
    (void)type;
    ((struct sink_file *)base)->end_of_allocation = address;
    return 0;
}

static haddr_t sink_get_eof(const H5FD_t *base, H5FD_mem_t type) {
    (void)type;
    return ((const struct sink_file *)base)->end_of_file;
}

/* What was never written reads as zeros, as beyond the end of any file. */
static herr_t sink_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size, void *data) {
    (void)type, (void)transfer;
    int fd = ((struct sink_file *)base)->sink->fd;
    char *to = data;
    while (size > 0) {
        ssize_t n = pread(fd, to, size, (off_t)address);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) {
            memset(to, 0, size);
            return 0;
        }
        to += n;
        size -= (size_t)n;
        address += (haddr_t)n;
    }
    return 0;
}

static herr_t sink_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                         const void *data) {
    (void)type, (void)transfer;
    struct sink_file *file = (struct sink_file *)base;
    const char *from = data;
    if (address + size > file->end_of_file) file->end_of_file = address + size;
    while (size > 0 && !file->sink->error) {
        ssize_t n = pwrite(file->sink->fd, from, size, (off_t)address);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            file->sink->error = n < 0 ? errno : EIO;
            return 0;
        }
        from += n;
        size -= (size_t)n;
        address += (haddr_t)n;
    }
    return 0;
}

static herr_t sink_truncate(H5FD_t *base, hid_t transfer, hbool_t closing) {
    (void)transfer, (void)closing;
    struct sink_file *file = (struct sink_file *)base;
    file->end_of_file = file->end_of_allocation;
    file->sink->size = (int64_t)file->end_of_allocation;
    if (!file->sink->error && ftruncate(file->sink->fd, (off_t)file->end_of_allocation)) file->sink->error = errno;
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 14, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)H5_VFD_RESERVED,
#endif
    .name = "lockstep_sink",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct sink_access),
    .open = sink_open,
    .close = sink_close,
    .query = sink_query,
    .get_eoa = sink_get_eoa,
    .set_eoa = sink_set_eoa,
    .get_eof = sink_get_eof,
    .read = sink_read,
    .write = sink_write,
    .truncate = sink_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

herr_t sink_set(hid_t access, struct sink *sink) {
    hid_t id = H5FDregister(&driver);
    if (id < 0) return -1;
    struct sink_access given = {sink};
    herr_t status = H5Pset_driver(access, id, &given);
    H5FDunregister(id); /* the property list holds on to it */
    return status;
}

/* Errors of the system stay in the sink. */
static int fill_file(const char *path, struct sink *sink,
                     int (*fill)(void *context, const char *path, hid_t file, const struct sink *sink), void *context) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = H5I_INVALID_HID;
    if (sink_set(access, sink) >= 0) file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    int status =
        file >= 0 ? fill(context, path, file, sink) : fail(STATUS_FAILED, "%s: HDF5 cannot create this file", path);
    if (file >= 0 && H5Fclose(file) < 0 && !status) status = fail(STATUS_FAILED, "%s: HDF5 cannot close", path);
    H5Pclose(access);
    return status;
}

int sink_write_file(const char *path, int64_t least,
                    int (*fill)(void *context, const char *path, hid_t file, const struct sink *sink), void *context) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    struct sink sink = {.fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
    if (sink.fd < 0) return fail(STATUS_FAILED, "%s: cannot create: %s", path, strerror(errno));
    int status = fill_file(path, &sink, fill, context);
    struct stat info;
    if (sink.error) /* the reason behind whatever HDF5 may have met after it */
        status = fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(sink.error));
    if (!status && fstat(sink.fd, &info)) status = fail(STATUS_FAILED, "%s: cannot read: %s", path, strerror(errno));
    if (!status && (info.st_size != sink.size || sink.size < least))
        status = fail(STATUS_FAILED, "%s: the file has %" PRId64 " bytes where %" PRId64 " were written", path,
                      (int64_t)info.st_size, sink.size);
    if (!status) status = file_sync(sink.fd, path);
    if (close(sink.fd) && !status) status = fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(errno));
    return status;
}
