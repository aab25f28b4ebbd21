/* A file of a checkpoint is written: block by block, hashed as it leaves memory, and read back from the disk. */
#ifndef CKPT_BLOCKS_WRITE_H
#define CKPT_BLOCKS_WRITE_H

#include "ckpt/blocks.h"

/* Writes a new file of so many bytes, and syncs it. `fill` makes bytes [at, at + length) of it; it is called for block after block, and its
 * failure ends it. Where the file system can, and unless `buffered`, blocks pass by the page cache, and each is read back from the
 * device while later ones are written; else they are read back when all are synced. What reads back otherwise is an error. *file is then what the manifest
 * says of the file; file->block is the caller's in any case: free(). Beside that it needs two blocks of memory.
 *
 * STATUS_FAILED with the path and the system's reason. */
int blocks_write(const char *path, int64_t bytes, int buffered,
                 int (*fill)(void *context, int64_t at, char *block, int64_t length), void *context,
                 struct manifest_file *file);

/* The same of a text in memory; through the page cache. */
int blocks_write_text(const char *path, const char *text, int64_t length, struct manifest_file *file);

#endif
