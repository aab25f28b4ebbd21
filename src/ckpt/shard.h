/* A shard: the HDF5 file of one rank.
 *
 * One dataset for each array, under the array's name (a '/' makes a group), contiguous, of one dimension, with what the
 * rank holds of it, and the attributes "shape" (the whole array's dimensions) and "begin" (where that begins in the
 * array's row-major order). If the rank holds several slices they lie one after the other in ascending order, "begin"
 * has a value for each of them, and so has one more attribute, "end". An array of which the rank holds nothing is left
 * out. The same slices give the same bytes of file. */
#ifndef CKPT_SHARD_H
#define CKPT_SHARD_H

#include "ckpt/ckpt.h"
#include "ckpt/files.h"
#include "ckpt/manifest.h"

/* In these, arrays are what ckpt_save() is given. Bytes that the slices of a rank and their ranges fill in its shard; the file is a little
 * larger. */
int64_t shard_bytes(const struct ckpt_array *arrays, int count);

/* Writes a new file, syncs it, and reads it back from the disk; `buffered` is for blocks_write(). *file is then what the manifest says of it,
 * and slice i of those that are not empty begins at byte at[i]. file->block is the caller's in any case: free(). STATUS_FAILED with the
 * path and the system's reason. */
int shard_write(const char *path, const struct ckpt_array *arrays, int count, int buffered, struct manifest_file *file,
                int64_t *at);

#endif
