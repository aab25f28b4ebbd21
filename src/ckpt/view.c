#include "ckpt/view.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/array.h"
#include "ckpt/blocks_write.h"
#include "ckpt/files.h"
#include "ckpt/image.h"
#include "ckpt/part.h"

/* Elements of one index of dimension `k`: those of all dimensions behind it. */
static int64_t stride_of(const struct ckpt_array *array, int k) {
    int64_t stride = 1;
    for (int i = k + 1; i < array->rank; i++) stride *= array->dim[i];
    return stride;
}

/* The largest box that begins with element `begin`, is made of elements that follow each other, and does not pass `end`: whole indices
 * of the first dimension in which `begin` stands at a border and one of them fits. Returns how many elements it has. */
static int64_t find_box(const struct ckpt_array *array, int64_t begin, int64_t end, hsize_t start[4],
                        hsize_t count[4]) {
    int k = 0;
    while (k < array->rank - 1 && (begin % stride_of(array, k) || begin + stride_of(array, k) > end)) k++;
    for (int i = 0; i < array->rank; i++) {
        start[i] = (hsize_t)(begin / stride_of(array, i) % array->dim[i]);
        count[i] = i <= k ? 1 : (hsize_t)array->dim[i];
    }
    int64_t stride = stride_of(array, k), fit = (end - begin) / stride, left = array->dim[k] - (int64_t)start[k];
    count[k] = (hsize_t)(fit < left ? fit : left);
    return (int64_t)count[k] * stride;
}

/* Elements [begin, end) of the array are those from `place` on in the shard's dataset of `elems`. */
static int map_range(hid_t creation, const struct ckpt_array *array, const char *shard, int64_t begin, int64_t end,
                     int64_t place, int64_t elems) {
    hsize_t dims[4], start[4], count[4], size = (hsize_t)elems;
    for (int i = 0; i < array->rank; i++) dims[i] = (hsize_t)array->dim[i];
    hid_t whole = H5Screate_simple(array->rank, dims, NULL), part = H5Screate_simple(1, &size, NULL);
    int ok = whole >= 0 && part >= 0;
    while (begin < end && ok) {
        int64_t box = find_box(array, begin, end, start, count);
        hsize_t from = (hsize_t)place, length = (hsize_t)box;
        ok = H5Sselect_hyperslab(whole, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
             H5Sselect_hyperslab(part, H5S_SELECT_SET, &from, NULL, &length, NULL) >= 0 &&
             H5Pset_virtual(creation, whole, shard, array->name, part) >= 0;
        begin += box;
        place += box;
    }
    H5Sclose(part);
    H5Sclose(whole);
    return ok;
}

/* A shard's dataset has its cuts of the array one after the other. */
static int map_cuts(hid_t creation, const struct manifest *manifest, const struct manifest_array *array, int64_t *elems,
                    int64_t *place) {
    int ok = 1;
    memset(elems, 0, (size_t)manifest->ranks * sizeof *elems);
    memset(place, 0, (size_t)manifest->ranks * sizeof *place);
    for (int i = 0; i < array->cuts; i++) elems[array->cut[i].shard] += array->cut[i].end - array->cut[i].begin;
    for (int i = 0; i < array->cuts && ok; i++) {
        const struct cut *cut = &array->cut[i];
        char name[SHARD_NAME];
        shard_name(name, cut->shard, manifest->ranks);
        ok = map_range(creation, &array->array, name, cut->begin, cut->end, place[cut->shard], elems[cut->shard]);
        place[cut->shard] += cut->end - cut->begin;
    }
    return ok;
}

static int add_array(hid_t file, const struct manifest *manifest, const struct manifest_array *array, int64_t *counts) {
    struct manifest_array shown = *array;
    if (shown.array.rank == 0) { /* one element; a virtual dataset needs a dimension */
        shown.array.rank = 1;
        shown.array.dim[0] = 1;
    }
    hsize_t dims[4];
    for (int i = 0; i < shown.array.rank; i++) dims[i] = (hsize_t)shown.array.dim[i];
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE), link = H5Pcreate(H5P_LINK_CREATE), dataset = H5I_INVALID_HID;
    hid_t space = H5Screate_simple(shown.array.rank, dims, NULL);
    if (map_cuts(creation, manifest, &shown, counts, counts + manifest->ranks) &&
        H5Pset_obj_track_times(creation, 0) >= 0 && H5Pset_create_intermediate_group(link, 1) >= 0)
        dataset = H5Dcreate2(file, shown.array.name, part_type(shown.array.type), space, link, creation, H5P_DEFAULT);
    H5Sclose(space);
    H5Pclose(link);
    H5Pclose(creation);
    return dataset >= 0 && H5Dclose(dataset) >= 0;
}

static int add_arrays(void *context, const char *path, hid_t file) {
    const struct manifest *manifest = context;
    int64_t *counts = calloc((size_t)manifest->ranks * 2, sizeof *counts);
    int status = counts ? 0 : fail(STATUS_FAILED, "%s: out of memory", path);
    for (int i = 0; i < manifest->arrays && !status; i++)
        if (!add_array(file, manifest, &manifest->array[i], counts))
            status = fail(STATUS_FAILED, "%s: HDF5 cannot write array '%s'", path, manifest->array[i].array.name);
    free(counts);
    return status;
}

static int fill(void *context, int64_t at, char *block, int64_t length) {
    image_read(context, at, block, length);
    return 0;
}

int view_write(const char *folder, const struct manifest *manifest, struct manifest_file *file) {
    char path[PATH_SIZE];
    struct image image;
    TRY(path_join(path, folder, VIEW_NAME));
    int status = image_make(&image, path, add_arrays, (void *)(uintptr_t)manifest);
    if (!status) status = blocks_write(path, image.size, 1, fill, &image, file);
    image_free(&image);
    return status;
}
