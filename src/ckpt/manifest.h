/* The manifest: manifest.json in a checkpoint's folder says what the checkpoint is made of.
 *
 *   {
 *   	"manifest_hash":	"XXH3-128 of every byte of this file after these 32 digits",
 *   	"format":	1,
 *   	"step":	100, "adam_step":	100, "skipped":	0, "ranks":	2, "written":	"2025-01-31T12:00:00Z",
 *   	"files":	[{"name":	"shard-00000-of-00002.h5", "bytes":	…, "xxh3_128":	"…"}, …],
 *   	"arrays":	[{"name":	"params/h0.ln1.w", "type":	"f32", "shape":	[128], "cuts":	[[0, 0, 64], [1, 64, 128]]}, …],
 *   	"config":	"the run's config as YAML",
 *   	"data":	"what the run was trained on"
 *   }
 *
 * The files are the shards of all ranks in order, and tokenizer.json after them if there is one.
 *
 * A cut is [shard, begin, end]: which shard holds which elements. The cuts of an array are in order, and cover it. A shard
 * may have several: its dataset holds them one after the other, in this order. */
#ifndef CKPT_MANIFEST_H
#define CKPT_MANIFEST_H

#include "ckpt/ckpt.h"
#include "ckpt/digest.h"

#define MANIFEST_NAME  "manifest.json"
#define TOKENIZER_NAME "tokenizer.json"

enum { MANIFEST_FORMAT = 1, RANKS_MAX = 99999, SHARD_NAME = 40, TIME_TEXT = 32 };

struct cut {
    int shard;
    int64_t begin, end;
};

struct manifest_array {
    struct ckpt_array array; /* the whole of it: begin 0, end the number of elements, no data */
    struct cut *cut;
    int cuts;
};

struct manifest_file {
    int64_t bytes;
    char hash[DIGEST_SIZE];
};

struct manifest {
    struct ckpt_meta meta;
    char written[TIME_TEXT]; /* UTC, ISO 8601 */
    int ranks;
    struct manifest_file *file; /* [files] */
    int files;                  /* ranks, or one more: the tokenizer */
    struct manifest_array *array;
    int arrays;
};

/* "shard-00001-of-00002.h5" */
void shard_name(char name[SHARD_NAME], int rank, int ranks);

/* The name of file `index`. */
void manifest_file_name(char name[SHARD_NAME], const struct manifest *manifest, int index);

/* Fails unless cuts follow each other from 0 to the array's end; the message names the gap or the overlap. */
int manifest_check_cuts(const struct manifest_array *array);

/* Writes FOLDER/manifest.json and syncs it. STATUS_FAILED. */
int manifest_write(const char *folder, const struct manifest *manifest);

/* Reads and checks FOLDER/manifest.json. STATUS_BAD_DATA. On failure *manifest holds nothing. */
int manifest_read(const char *folder, struct manifest *manifest);
void manifest_free(struct manifest *manifest);

/* A file of a checkpoint is bad: records "FOLDER/FILE: why; use an earlier checkpoint: `lockstep ckpt ls PARENT`". */
__attribute__((format(printf, 3, 4))) int manifest_bad_file(const char *folder, const char *file, const char *format,
                                                            ...);

/* The arrays in byte order of their names. The caller frees the table, not the arrays. NULL: out of memory. */
const struct manifest_array **manifest_sorted(const struct manifest *manifest);

/* Finds an array by name in that table; NULL if there is none. */
const struct manifest_array *manifest_find(const struct manifest_array *const *sorted, int count, const char *name);

/* Presence and sizes of the files, without reading them. STATUS_BAD_DATA. */
int manifest_check_sizes(const char *folder, const struct manifest *manifest);

/* Size and hash of one file: a rank's shard, or the tokenizer. STATUS_BAD_DATA. */
int manifest_check_file(const char *folder, const struct manifest *manifest, int index);

#endif
