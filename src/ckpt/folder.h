/* The folder of a run's checkpoints: what is in it, and what may go.
 *
 *   step-00000100        a checkpoint, if it has a manifest
 *   step-00000100.old    the one before, while step-00000100 is being replaced; it counts, so that a kill between the two
 *                        renames loses nothing
 *   step-*.tmp           being written or being deleted; never counts */
#ifndef CKPT_FOLDER_H
#define CKPT_FOLDER_H

#include <stdint.h>

#include "ckpt/ckpt.h"

enum { FOLDER_NAME = 48 };

struct folder_entry {
    int64_t step;
    int old; /* its name ends in .old */
    char name[FOLDER_NAME];
};

/* "step-00000100" */
void folder_name(char name[FOLDER_NAME], int64_t step);

/* The checkpoints in `dir` that have a manifest, newest first, `.old` after its own step. The caller frees *entries.
 * STATUS_BAD_DATA if the folder cannot be read. */
int folder_list(const char *dir, struct folder_entry **entries, int *count);

/* Deletes a checkpoint, if it is there: renames it to .tmp, then deletes the manifest, then the rest, so that what a
 * kill leaves of it does not count. `later`: only renames it, where that is possible. */
int folder_remove_checkpoint(const char *path, int later);

/* Deletes all folders of that kind in `dir`. */
void folder_sweep(const char *dir);

/* Deletes all that `keep` does not keep, never that of `step`. Those that are kept are whole, as manifest and file sizes tell. A broken
 * one that is newer than the oldest of the newest stays for a look, and goes when its turn comes. The names of those that go are written
 * to `told` (may be NULL); with `only_tell` nothing goes. */
int folder_retain(const char *dir, const struct ckpt_keep *keep, int64_t step, int only_tell, FILE *told);

#endif
