/* A part: the dataset in a shard with what a rank holds of one array. shard.h says what it looks like. */
#ifndef CKPT_PART_H
#define CKPT_PART_H

#include <hdf5.h>

#include "ckpt/ckpt.h"

/* Makes the dataset, without its elements, for the slices of one array, as ckpt_save() is given them, at least one of them not empty. `path`
 * is the file's, for messages. STATUS_FAILED. */
int part_make(const char *path, hid_t file, const struct ckpt_array *slices, int count);

/* The type of elements in a file; below 0 where it has none. Not to be closed. */
hid_t part_type(enum dtype type);

/* Where the file has the first element of the part of an array, in bytes; -1 if it has none of this type and size. */
int64_t part_place(hid_t file, const struct ckpt_array *slices, int count);

#endif
