/* A part: the dataset in a shard with what a rank holds of one array. shard.h says what it looks like. */
#ifndef CKPT_PART_H
#define CKPT_PART_H

#include <hdf5.h>

#include "ckpt/ckpt.h"

/* Writes the slices of one array, as ckpt_save() is given them, at least one of them not empty. `path` is the file's, for
 * messages. STATUS_FAILED. */
int part_write(const char *path, hid_t file, hid_t link, const struct ckpt_array *slices, int count);

/* The part that was read last stays open: the slices of an array are read one after the other, and there may be
 * thousands. All zeros: none is open. */
struct part {
    struct ckpt_array array; /* name, type and shape */
    hid_t dataset, space;
    int64_t slices;               /* 0: none is open */
    int64_t *begin, *end, *place; /* [slices]: elements of the array, and where the dataset has the first of them */
};

/* shard_read() of a file; opens the part if another one was open. */
int part_read(struct part *part, const char *path, hid_t file, const struct ckpt_array *slice, int64_t begin,
              int64_t end, void *data);

/* Before its file is closed. */
void part_close(struct part *part);

#endif
