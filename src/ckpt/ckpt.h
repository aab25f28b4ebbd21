/* Checkpoints: sharded HDF5, one file a rank, written so that a folder either is a whole checkpoint or does not count.
 *
 *   DIR/step-00000100/shard-00000-of-00002.h5 …   contiguous datasets: the slices that a rank holds of each array
 *   DIR/step-00000100/view.h5                     every array as a whole, for other readers of HDF5
 *   DIR/step-00000100/tokenizer.json              what turns text into the tokens that the model was trained on, if known
 *   DIR/step-00000100/manifest.json               sizes and hashes of every file, counters, config; written last
 *
 * Saving: each rank writes into step-N.tmp, hashes, syncs and reads back; ranks agree; rank 0 writes the manifest,
 * syncs, and renames the folder. A folder without a whole manifest does not exist. Errors in a checkpoint that is
 * read have status STATUS_BAD_DATA and name the file. */
#ifndef CKPT_CKPT_H
#define CKPT_CKPT_H

#include <stdint.h>
#include <stdio.h>

#include "base/dtype.h"

/* A named array; this rank holds elements [begin, end) of its row-major order at `data` (of element `begin`). A list may
 * have several entries with the same name, type and shape: slices of one array. */
struct ckpt_array {
    char name[64]; /* "params/h0.ln1.w", "adam.m/h0.ln1.w" */
    enum dtype type;
    int rank;
    int64_t dim[4];
    int64_t begin, end;
    void *data;
};

struct ckpt_meta {
    int64_t step;        /* the state is the one before this step */
    int64_t adam_step;   /* updates done */
    int64_t skipped;     /* steps skipped so far */
    int64_t loss_scale;  /* 0: none; else a power of two, and */
    int64_t scale_steps; /* the steps since it last changed */
    const char *config;  /* the run's config as YAML */
    /* Where they are known, else NULL: */
    const char *data;       /* what the run was trained on, a line a source */
    const char *tokenizer;  /* the hash of the data's tokenizer, 32 hex digits */
    const char *build;      /* of the program */
    const char *algorithms; /* that a GPU's library was told to use, a line each: what bits depend on */
    /* All texts are owned by the struct after reading: ckpt_meta_free(). */
};

/* The ranks that save together, and how. With one rank pass size 1; the functions are then not called. */
struct ckpt_group {
    int rank, size;
    void *context;
    int (*agree)(void *context, int status); /* the largest status of all ranks */
    /* What all ranks have, in rank order, on every rank; equal sizes. */
    int (*gather)(void *context, const void *mine, void *all, int64_t bytes);
    const int *
        lost; /* not 0 once ranks no longer hear of each other: then nothing is cleaned up, the job ends; may be NULL */
    int buffered; /* shards are written through the page cache also where there is a way past it */
};

/* The loss of the state before a step, on data that it was not trained on. */
struct ckpt_loss {
    int64_t step;
    double loss; /* one that is not a number is no good one */
};

/* Which checkpoints stay when there is a new one. */
struct ckpt_keep {
    int newest;                     /* so many whole ones, and beside them */
    int64_t every;                  /* those of steps that it divides (0: none), */
    int best;                       /* and so many with the lowest */
    const struct ckpt_loss *losses; /* of these [count], in any order; of a step that is there twice the last counts */
    int count;
    int later; /* those that go are only renamed: ckpt_sweep() deletes them */
};

/* Collective. Writes DIR/step-N, then deletes what `keep` does not keep (NULL, or 0 as `newest`: keeps all), never the one
 * just written. `tokenizer` (may be NULL) is the text of a tokenizer.json; only rank 0's is used.
 *
 * All ranks list the same arrays in the same order. Of each array a rank lists one slice or as many as it holds, one
 * after the other: ascending, none beginning before the end of the one in front of it. A slice may be empty, as where a
 * rank holds nothing of an array. The slices of all ranks together are each array exactly.
 *
 * STATUS_FAILED with the path and the system's reason (disk full …); nothing half-written counts. */
int ckpt_save(const char *dir, const struct ckpt_meta *meta, const struct ckpt_array *arrays, int count,
              const char *tokenizer, const struct ckpt_group *group, const struct ckpt_keep *keep);

/* The same in parts, so that others can work meanwhile. begin: all that ranks must agree on before they write. write: this rank's
 * part, without a word to the others, on any thread; end, whose `status` and message are those of write: the checkpoint counts.
 * begin and end are collective. What begin is given must stay, and the arrays not change, until end, which frees *save; after a begin
 * that fails there is none. */
struct ckpt_save;
int ckpt_save_begin(const char *dir, const struct ckpt_meta *meta, const struct ckpt_array *arrays, int count,
                    const char *tokenizer, const struct ckpt_group *group, struct ckpt_save **save);
int ckpt_save_write(struct ckpt_save *save);
int ckpt_save_end(struct ckpt_save *save, int status, const struct ckpt_keep *keep);

/* Bytes of memory that saving takes on a rank, beside its lists of slices and hashes, and HDF5's structures (a file's parts without elements). */
int64_t ckpt_save_bytes(int ranks);

/* Finds the newest whole checkpoint in DIR whose files verify; those passed over are named in `passed_over` (one line each, by rank 0; may
 * be NULL). The ranks of `group` share the work, and all get the same path; NULL: alone. STATUS_BAD_DATA if there is none. */
int ckpt_latest(const char *dir, const struct ckpt_group *group, char *path, int64_t size, FILE *passed_over);

/* Checks every file of the checkpoint folder `path` against its manifest: presence, size, hash. */
int ckpt_verify(const char *path);

/* Reads the manifest. */
int ckpt_read_meta(const char *path, struct ckpt_meta *meta);
void ckpt_meta_free(struct ckpt_meta *meta);

/* Reads the checkpoint's tokenizer.json, verified; *json (the caller's: free()) is NULL where there is none. */
int ckpt_tokenizer(const char *path, char **json, int64_t *length);

/* Fills elements [begin, end) of each array from whatever shards hold them, however they were cut. Entries may be in any
 * order, and several may ask for parts of the same array. Verifies the files first. Name, type and shape must match; an
 * array that the checkpoint lacks is an error. */
int ckpt_load(const char *path, const struct ckpt_array *arrays, int count);

/* One hash of the logical content (arrays by name, and the counters), the same whatever the sharding. 32 hex digits. */
int ckpt_hash(const char *path, char hex[33]);

/* Deletes what `keep` does not keep (newest above 0), and what interrupted saves have left, and writes the names of the checkpoints that go
 * to `told`; with `only_tell` nothing goes. The newest that verifies stays. STATUS_BAD_DATA, and nothing goes, where none does. Nothing else
 * may be at work in DIR. */
int ckpt_prune(const char *dir, const struct ckpt_keep *keep, int only_tell, FILE *told);

/* Deletes what interrupted saves and deletions have left in DIR, and puts a checkpoint back that was being replaced by one that is not whole;
 * each save does so as well. Nothing else may be at work there. */
void ckpt_sweep(const char *dir);

/* Prints the checkpoints of DIR, one line each; and one checkpoint's arrays. */
int ckpt_ls(const char *dir, FILE *out);
int ckpt_show(const char *path, FILE *out);

#endif
