/* The files of a checkpoint as blocks of 4 MiB, each with a hash in the manifest: who reads a part of a file checks that part, and
 * nothing that was not checked reaches a caller. */
#ifndef CKPT_BLOCKS_H
#define CKPT_BLOCKS_H

#include <stdint.h>

#include "ckpt/files.h"
#include "ckpt/manifest.h"

enum { BLOCK_BYTES = 4 << 20 };

/* How many blocks a file of so many bytes has; the last may be short. */
int64_t blocks_in(int64_t bytes);
int64_t block_length(int64_t bytes, int64_t block);

/* An open file of a checkpoint. */
struct blocks {
    const char *folder;
    const struct manifest_file *file;
    char name[SHARD_NAME], path[PATH_SIZE];
    int fd;
    char *block;  /* the block read last, */
    int64_t held; /* and its number; -1: none */
};

/* File `index` of the checkpoint; folder and manifest must outlive it. STATUS_BAD_DATA with the path if it is missing or has another
 * size. One that was not opened must not be closed. */
int blocks_open(struct blocks *blocks, const char *folder, const struct manifest *manifest, int index);
void blocks_close(struct blocks *blocks);

/* Reads bytes [at, at + bytes). STATUS_BAD_DATA where a block is not what was saved; `data` then holds nothing of use. Ranges that follow
 * each other are read quickest. */
int blocks_read(struct blocks *blocks, int64_t at, int64_t bytes, void *data);

/* Checks blocks first, first + step, … of a file, in as many threads as there are. STATUS_BAD_DATA. */
int blocks_check(const char *folder, const struct manifest *manifest, int index, int64_t first, int64_t step);

#endif
