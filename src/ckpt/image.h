/* An HDF5 file in memory, as pages that hold what HDF5 wrote: its own structures. Elements are not written through HDF5; their places are
 * known once their datasets are made, and who writes the file puts them there.
 *
 * So HDF5 meets no disk. HDF5 1.10 cannot take a failed write: H5Fclose() leaves the file half-closed, and the process crashes in the next
 * call or at exit. The same goes for memory that is not there: the image keeps that to itself until HDF5 has closed. */
#ifndef CKPT_IMAGE_H
#define CKPT_IMAGE_H

#include <stdint.h>

#include <hdf5.h>

enum { IMAGE_PAGE = 1 << 16 };

struct image {
    char **page; /* [pages]; NULL: nothing was written there */
    int64_t pages;
    int64_t size; /* of the file */
    int no_memory;
};

/* Makes the file of what `fill` puts into it; `path` is for messages. STATUS_FAILED. The image is the caller's in any case: image_free(). */
int image_make(struct image *image, const char *path, int (*fill)(void *context, const char *path, hid_t file),
               void *context);
void image_free(struct image *image);

/* Bytes [at, at + bytes) of the file; zeros where nothing was written. */
void image_read(const struct image *image, int64_t at, char *to, int64_t bytes);

#endif
