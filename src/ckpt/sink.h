/* An HDF5 file driver for writing, which never fails towards HDF5.
 *
 * HDF5 1.10 cannot take a failed write: after a full disk, H5Fclose() leaves the file half-closed, and the process
 * crashes in the next call or at exit. So the sink keeps the first error to itself, answers every write with success,
 * writes nothing more, and lets HDF5 close in peace. The caller asks the sink afterwards. */
#ifndef CKPT_SINK_H
#define CKPT_SINK_H

#include <stdint.h>

#include <hdf5.h>

struct sink {
    int fd;       /* owned by the caller, open for reading and writing */
    int error;    /* errno of the first write that failed, or 0 */
    int64_t size; /* the size that HDF5 meant the file to have */
};

/* Makes `access` (a file access property list) open every file as `sink`, whatever its path. The sink must stay until
 * the file is closed. Negative on failure, as HDF5's own functions. */
herr_t sink_set(hid_t access, struct sink *sink);

/* Writes a new HDF5 file, with what `fill` puts into it, and syncs it. `fill` may stop once sink->error is not 0. It has at least
 * `least` bytes in the end. STATUS_FAILED with the path and the system's reason. */
int sink_write_file(const char *path, int64_t least,
                    int (*fill)(void *context, const char *path, hid_t file, const struct sink *sink), void *context);

#endif
