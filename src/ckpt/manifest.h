/* The manifest: manifest.json in a checkpoint's folder says what the checkpoint is made of.
 *
 *   {
 *   	"manifest_hash":	"XXH3-128 of every byte of this file after these 32 digits",
 *   	"format":	2,
 *   	"step":	100, "adam_step":	100, "skipped":	0, "ranks":	2, "written":	"2025-01-31T12:00:00Z",
 *   	"files":	[{"name":	"shard-00000-of-00002.h5", "bytes":	…, "blocks":	"… …"}, …],
 *   	"arrays":	[{"name":	"params/h0.ln1.w", "type":	"f32", "shape":	[128], "cuts":	[[0, 0, 64, 2048], [1, 64, 128, 2048]]}, …],
 *   	"config":	"the run's config as YAML",
 *   	"data":	"what the run was trained on", "tokenizer":	"hash", "build":	"the program's", "algorithms":	"of a GPU's library"
 *   }
 *
 * The files are the shards of all ranks in order, view.h5, and tokenizer.json if there is one; of each the XXH3-64 of every
 * 4 MiB, in hexadecimal digits.
 *
 * A cut is [shard, begin, end, at]: which shard holds which elements, from which byte of its file on. The cuts of an array are in
 * order, and cover it. So a reader needs no HDF5, and checks what it reads, no more. */
#ifndef CKPT_MANIFEST_H
#define CKPT_MANIFEST_H

#include "ckpt/ckpt.h"
#include "ckpt/digest.h"

#define MANIFEST_NAME  "manifest.json"
#define TOKENIZER_NAME "tokenizer.json"
#define VIEW_NAME      "view.h5"

enum { MANIFEST_FORMAT = 2, RANKS_MAX = 99999, SHARD_NAME = 40, TIME_TEXT = 32 };

struct cut {
    int shard;
    int64_t begin, end;
    int64_t at; /* where the file has the first of them, in bytes */
};

struct manifest_array {
    struct ckpt_array array; /* the whole of it: begin 0, end the number of elements, no data */
    struct cut *cut;
    int cuts;
};

struct manifest_file {
    int64_t bytes;
    uint64_t *block; /* the hash of each block; blocks.h */
};

struct manifest {
    struct ckpt_meta meta;
    char written[TIME_TEXT]; /* UTC, ISO 8601 */
    int ranks;
    struct manifest_file *file; /* [files] */
    int files;                  /* ranks + 1 (the view), or one more: the tokenizer */
    struct manifest_array *array;
    int arrays;
};

/* The texts of ckpt_meta that may be missing, by their keys. */
enum { META_TEXTS = 4 };
struct meta_text {
    const char *key, **text;
};
void manifest_texts(struct ckpt_meta *meta, struct meta_text texts[META_TEXTS]);

/* "shard-00001-of-00002.h5" */
void shard_name(char name[SHARD_NAME], int rank, int ranks);

static inline int manifest_view(const struct manifest *manifest) { return manifest->ranks; }
/* The number of the tokenizer among the files; -1 if there is none. */
static inline int manifest_tokenizer(const struct manifest *manifest) {
    return manifest->files > manifest->ranks + 1 ? manifest->ranks + 1 : -1;
}

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

/* A file of a checkpoint cannot be read. What the disk has lost makes it a bad one, as above; whatever else, of which this process or its
 * machine may be the reason, is STATUS_FAILED: nobody shall go on from an earlier checkpoint for it. `error` is one of errno. */
int manifest_no_file(const char *folder, const char *file, int error);

/* The arrays in byte order of their names. The caller frees the table, not the arrays. NULL: out of memory. */
const struct manifest_array **manifest_sorted(const struct manifest *manifest);

/* Finds an array by name in that table; NULL if there is none. */
const struct manifest_array *manifest_find(const struct manifest_array *const *sorted, int count, const char *name);

/* Presence and sizes of the files, without reading them. STATUS_BAD_DATA. */
int manifest_check_sizes(const char *folder, const struct manifest *manifest);

/* The same for one file: a rank's shard, or the tokenizer. */
int manifest_check_size(const char *folder, const struct manifest *manifest, int index);

#endif
