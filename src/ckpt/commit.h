/* What rank 0 does when every shard is on disk: it makes the folder count. */
#ifndef CKPT_COMMIT_H
#define CKPT_COMMIT_H

#include "ckpt/manifest.h"

/* Writes the manifest into `temporary`, checks it, and renames the folder to `final` (both in `dir`). A checkpoint that
 * stands there is kept if it verifies and holds the same content and config; else it is replaced, in such a way that
 * one of the two counts at any moment. STATUS_FAILED. */
int commit(const char *dir, const char *temporary, const char *final, const struct manifest *manifest);

#endif
