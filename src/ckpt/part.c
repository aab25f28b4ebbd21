#include "ckpt/part.h"

#include <stdlib.h>

#include "base/check.h"

/* Below, an id that was never opened is handed to a close function now and then: HDF5 only says no. */

hid_t part_type(enum dtype type) {
    switch (type) {
    case DTYPE_F32:
        return H5T_IEEE_F32LE;
    case DTYPE_F64:
        return H5T_IEEE_F64LE;
    case DTYPE_I32:
        return H5T_STD_I32LE;
    case DTYPE_U8:
        return H5T_STD_U8LE;
    case DTYPE_F16:
    case DTYPE_BF16: /* HDF5 1.10 has no such type, and nothing that is saved is bf16: parameters and moments are kept in f32 */
    case DTYPE_COUNT:
        break;
    }
    return H5I_INVALID_HID;
}

/* A line of `count` elements; with none of them a space that holds nothing. */
static hid_t line(int64_t count) {
    hsize_t size = (hsize_t)count;
    return count > 0 ? H5Screate_simple(1, &size, NULL) : H5Screate(H5S_NULL);
}

static int write_attribute(hid_t dataset, const char *name, const int64_t *values, int64_t count) {
    hid_t space = line(count);
    hid_t attribute = H5Acreate2(dataset, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    int ok = attribute >= 0 && (count == 0 || H5Awrite(attribute, H5T_NATIVE_INT64, values) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    return ok;
}

static int set_creation(hid_t creation, int64_t slices) {
    /* A place at once, for elements that come from elsewhere; no fill values, since every element is written; no times, so that the same
     * state is the same file. */
    int ok = H5Pset_layout(creation, H5D_CONTIGUOUS) >= 0 && H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) >= 0 &&
             H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0 && H5Pset_obj_track_times(creation, 0) >= 0;
    /* The older form of a dataset's header takes attributes of at most 64 KiB. With this it has the newer one, which keeps
     * larger ones elsewhere in the file. */
    return ok && (slices == 1 || H5Pset_attr_creation_order(creation, H5P_CRT_ORDER_TRACKED) >= 0);
}

/* `range` has the begins of the slices that are not empty, then their ends. */
static int make_part(hid_t file, const struct ckpt_array *slices, int count, const int64_t *range, int64_t held) {
    int64_t elems = 0;
    for (int i = 0; i < count; i++) elems += slices[i].end - slices[i].begin;
    hid_t link = H5Pcreate(H5P_LINK_CREATE); /* a '/' in the name makes a group */
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space = line(elems), dataset = H5I_INVALID_HID;
    if (set_creation(creation, held) && H5Pset_create_intermediate_group(link, 1) >= 0)
        dataset = H5Dcreate2(file, slices->name, part_type(slices->type), space, link, creation, H5P_DEFAULT);
    int ok = dataset >= 0 && write_attribute(dataset, "shape", slices->dim, slices->rank) &&
             write_attribute(dataset, "begin", range, held) &&
             (held == 1 || write_attribute(dataset, "end", range + held, held));
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(creation);
    H5Pclose(link);
    return ok;
}

int part_make(const char *path, hid_t file, const struct ckpt_array *slices, int count) {
    int64_t held = 0, next = 0, *range = calloc((size_t)count * 2, sizeof(*range));
    if (!range) return fail(STATUS_FAILED, "%s: out of memory", path);
    for (int i = 0; i < count; i++) held += slices[i].begin < slices[i].end;
    for (int i = 0; i < count; i++) {
        if (slices[i].begin == slices[i].end) continue;
        range[next] = slices[i].begin;
        range[held + next++] = slices[i].end;
    }
    int ok = make_part(file, slices, count, range, held);
    free(range);
    return ok ? 0 : fail(STATUS_FAILED, "%s: HDF5 cannot make a dataset of array '%s'", path, slices->name);
}

int64_t part_place(hid_t file, const struct ckpt_array *slices, int count) {
    int64_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += (slices[i].end - slices[i].begin) * (int64_t)dtype_size(slices[i].type);
    hid_t dataset = H5Dopen2(file, slices->name, H5P_DEFAULT), type = H5Dget_type(dataset);
    haddr_t place = H5Dget_offset(dataset);
    int found = dataset >= 0 && place != HADDR_UNDEF && H5Tequal(type, part_type(slices->type)) > 0 &&
                H5Dget_storage_size(dataset) == (hsize_t)bytes;
    H5Tclose(type);
    H5Dclose(dataset);
    return found ? (int64_t)place : -1;
}
