/* A shard: the HDF5 file of one rank.
 *
 * One dataset for each array, under the array's name (a '/' makes a group), contiguous, of one dimension, with what the
 * rank holds of it, and the attributes "shape" (the whole array's dimensions) and "begin" (where that begins in the
 * array's row-major order). If the rank holds several slices they lie one after the other in ascending order, "begin"
 * has a value for each of them, and so has one more attribute, "end". An array of which the rank holds nothing is left
 * out. The same slices give the same bytes of file. */
#ifndef CKPT_SHARD_H
#define CKPT_SHARD_H

#include <hdf5.h>

#include "ckpt/ckpt.h"
#include "ckpt/files.h"
#include "ckpt/part.h"

/* In the next three, arrays are what ckpt_save() is given. Bytes that the slices of a rank and their ranges fill in its
 * shard; the file is a little larger. */
int64_t shard_bytes(const struct ckpt_array *arrays, int count);

/* Writes a new file and syncs it. STATUS_FAILED with the path and the system's reason. */
int shard_write(const char *path, const struct ckpt_array *arrays, int count);

/* Reads the file back and compares it with what is in memory. */
int shard_compare(const char *path, const struct ckpt_array *arrays, int count);

/* An open shard of a checkpoint. Its bytes have been checked: HDF5 may crash on a damaged file. */
struct shard {
    hid_t file;
    char path[PATH_SIZE];
    struct part part; /* the one read last */
};

/* STATUS_BAD_DATA with the path. A shard that was not opened must not be closed. */
int shard_open(struct shard *shard, const char *path);
void shard_close(struct shard *shard);

/* Reads elements [begin, end) of an array's row-major order, which lie in `slice`, one of those that the shard holds: its
 * name, type, shape and range must be what the file says, too. Slices of the same array are read quickest after each
 * other. */
int shard_read(struct shard *shard, const struct ckpt_array *slice, int64_t begin, int64_t end, void *data);

#endif
