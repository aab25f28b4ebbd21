/* The list of slices that ckpt_save() is given on one rank. Slices of the same array follow one another; every rank has at
 * least one entry for every array, if only an empty one, so that an array has the same number on all ranks. */
#ifndef CKPT_SLICES_H
#define CKPT_SLICES_H

#include <xxhash.h>

#include "ckpt/ckpt.h"

struct slice {
    int64_t array; /* its number */
    int64_t begin, end;
    int64_t at; /* where the shard has it, in bytes; 0 before it is written */
};

/* How many entries from this one on are slices of the same array; `left` are left in the list. */
int slices_alike(const struct ckpt_array *entry, int left);

/* Every entry is possible by itself, slices of an array ascend and do not overlap, and no name comes again later.
 * STATUS_FAILED. */
int slices_check(const struct ckpt_array *arrays, int count);

/* The number of arrays, and a hash of their names, types and shapes. */
int slices_describe(const struct ckpt_array *arrays, int count, int64_t *n_arrays, XXH128_canonical_t *hash);

/* Lists the slices that are not empty, in order; returns how many there are. */
int64_t slices_list(const struct ckpt_array *arrays, int count, struct slice *list);

#endif
