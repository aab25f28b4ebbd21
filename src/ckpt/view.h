/* view.h5: every array as a whole, under its name and in its shape, for h5py, h5dump and other readers of HDF5; virtual datasets that point
 * into the shards beside it. For looking only: where a shard is missing HDF5 reads zeros and says nothing. */
#ifndef CKPT_VIEW_H
#define CKPT_VIEW_H

#include "ckpt/manifest.h"

/* Writes FOLDER/view.h5 for the arrays of a manifest whose cuts are known, and syncs it; *file is then what the manifest says of it.
 * STATUS_FAILED. */
int view_write(const char *folder, const struct manifest *manifest, struct manifest_file *file);

#endif
