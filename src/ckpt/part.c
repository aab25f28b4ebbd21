#include "ckpt/part.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/array.h"

/* Below, an id that was never opened is handed to a close function now and then: HDF5 only says no. */

static hid_t element_type(enum dtype type) {
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

/* ---- writing ---- */

static int write_attribute(hid_t dataset, const char *name, const int64_t *values, int64_t count) {
    hid_t space = line(count);
    hid_t attribute = H5Acreate2(dataset, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    int ok = attribute >= 0 && (count == 0 || H5Awrite(attribute, H5T_NATIVE_INT64, values) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    return ok;
}

static int set_creation(hid_t creation, int64_t slices) {
    /* No fill values, since every element is written; no times, so that the same state is the same file. */
    int ok = H5Pset_layout(creation, H5D_CONTIGUOUS) >= 0 && H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0 &&
             H5Pset_obj_track_times(creation, 0) >= 0;
    /* The older form of a dataset's header takes attributes of at most 64 KiB. With this it has the newer one, which keeps
     * larger ones elsewhere in the file. */
    return ok && (slices == 1 || H5Pset_attr_creation_order(creation, H5P_CRT_ORDER_TRACKED) >= 0);
}

/* Elements [place, …) of the dataset. */
static int write_slice(hid_t dataset, hid_t space, int64_t place, const struct ckpt_array *slice) {
    hid_t memory = line(slice->end - slice->begin);
    hsize_t start = (hsize_t)place, length = (hsize_t)(slice->end - slice->begin);
    int ok = H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &length, NULL) >= 0 &&
             H5Dwrite(dataset, element_type(slice->type), memory, space, H5P_DEFAULT, slice->data) >= 0;
    H5Sclose(memory);
    return ok;
}

/* `range` has the begins of the slices that are not empty, then their ends. */
static int write_part(hid_t file, hid_t link, const struct ckpt_array *slices, int count, const int64_t *range,
                      int64_t held) {
    int64_t elems = 0, place = 0;
    for (int i = 0; i < count; i++) elems += slices[i].end - slices[i].begin;
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space = line(elems), dataset = H5I_INVALID_HID;
    if (set_creation(creation, held))
        dataset = H5Dcreate2(file, slices->name, element_type(slices->type), space, link, creation, H5P_DEFAULT);
    int ok = dataset >= 0 && write_attribute(dataset, "shape", slices->dim, slices->rank) &&
             write_attribute(dataset, "begin", range, held) &&
             (held == 1 || write_attribute(dataset, "end", range + held, held));
    for (int i = 0; i < count && ok; i++) {
        if (slices[i].begin == slices[i].end) continue;
        ok = write_slice(dataset, space, place, &slices[i]);
        place += slices[i].end - slices[i].begin;
    }
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(creation);
    return ok;
}

int part_write(const char *path, hid_t file, hid_t link, const struct ckpt_array *slices, int count) {
    int64_t held = 0, next = 0, *range = calloc((size_t)count * 2, sizeof(*range));
    if (!range) return fail(STATUS_FAILED, "%s: out of memory", path);
    for (int i = 0; i < count; i++) held += slices[i].begin < slices[i].end;
    for (int i = 0; i < count; i++) {
        if (slices[i].begin == slices[i].end) continue;
        range[next] = slices[i].begin;
        range[held + next++] = slices[i].end;
    }
    int ok = write_part(file, link, slices, count, range, held);
    free(range);
    return ok ? 0 : fail(STATUS_FAILED, "%s: HDF5 cannot write array '%s'", path, slices->name);
}

/* ---- reading ---- */

/* How many values the attribute has; below 0 if there is none. */
static int64_t attribute_count(hid_t dataset, const char *name) {
    hid_t attribute = H5Aopen(dataset, name, H5P_DEFAULT), space = H5Aget_space(attribute);
    int64_t count = space >= 0 ? (int64_t)H5Sget_simple_extent_npoints(space) : -1;
    H5Sclose(space);
    H5Aclose(attribute);
    return count;
}

/* The attribute has exactly `count` values. */
static int read_attribute(hid_t dataset, const char *name, int64_t *values, int64_t count) {
    if (attribute_count(dataset, name) != count) return 0;
    hid_t attribute = H5Aopen(dataset, name, H5P_DEFAULT);
    int ok = attribute >= 0 && (count == 0 || H5Aread(attribute, H5T_NATIVE_INT64, values) >= 0);
    H5Aclose(attribute);
    return ok;
}

static int has_type_and_shape(const struct part *part) {
    int64_t dim[4];
    hid_t type = H5Dget_type(part->dataset);
    int ok = type >= 0 && H5Tequal(type, element_type(part->array.type)) > 0 &&
             H5Sget_simple_extent_ndims(part->space) == 1 &&
             read_attribute(part->dataset, "shape", dim, part->array.rank) &&
             memcmp(dim, part->array.dim, (size_t)part->array.rank * sizeof dim[0]) == 0;
    H5Tclose(type);
    return ok;
}

/* The slices make sense, and fill the dataset. */
static int read_slices(struct part *part) {
    int64_t whole = array_elems(&part->array), elems = (int64_t)H5Sget_simple_extent_npoints(part->space);
    int64_t reached = 0, place = 0;
    if (!read_attribute(part->dataset, "begin", part->begin, part->slices)) return 0;
    if (part->slices == 1)
        part->end[0] = part->begin[0] >= 0 && elems <= whole - part->begin[0] ? part->begin[0] + elems : -1;
    else if (!read_attribute(part->dataset, "end", part->end, part->slices))
        return 0;
    for (int64_t i = 0; i < part->slices; i++) {
        if (part->begin[i] < reached || part->end[i] <= part->begin[i] || part->end[i] > whole) return 0;
        part->place[i] = place;
        place += part->end[i] - part->begin[i];
        reached = part->end[i];
    }
    return place == elems;
}

/* 1: the part is open; 0: it is not what the manifest says, and not open; -1: out of memory. */
static int open_part(struct part *part, hid_t file, const struct ckpt_array *array) {
    part->array = *array;
    part->dataset = H5Dopen2(file, array->name, H5P_DEFAULT);
    part->space = H5Dget_space(part->dataset);
    int64_t slices = part->dataset >= 0 ? attribute_count(part->dataset, "begin") : 0;
    int opened = slices > 0 && has_type_and_shape(part);
    if (opened) {
        part->begin = calloc((size_t)slices, 3 * sizeof(*part->begin));
        opened = part->begin ? 1 : -1;
    }
    if (opened > 0) {
        part->slices = slices;
        part->end = part->begin + slices;
        part->place = part->end + slices;
        opened = read_slices(part);
    }
    if (opened <= 0) part_close(part);
    return opened;
}

void part_close(struct part *part) {
    H5Sclose(part->space);
    H5Dclose(part->dataset);
    free(part->begin);
    *part = (struct part){0};
}

/* Which of the part's slices this is; below 0 if none. */
static int64_t find_slice(const struct part *part, const struct ckpt_array *slice) {
    int64_t low = 0, high = part->slices;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (part->begin[middle] < slice->begin)
            low = middle + 1;
        else
            high = middle;
    }
    return low < part->slices && part->begin[low] == slice->begin && part->end[low] == slice->end ? low : -1;
}

int part_read(struct part *part, const char *path, hid_t file, const struct ckpt_array *slice, int64_t begin,
              int64_t end, void *data) {
    int opened = part->slices && strcmp(part->array.name, slice->name) == 0 && array_alike(&part->array, slice);
    if (!opened) {
        if (part->slices) part_close(part);
        opened = open_part(part, file, slice);
    }
    if (opened < 0) return fail(STATUS_FAILED, "%s: out of memory", path);
    int64_t found = opened ? find_slice(part, slice) : -1;
    if (found < 0)
        return fail(STATUS_BAD_DATA, "%s: does not hold [%" PRId64 ", %" PRId64 ") of array '%s' as the manifest says",
                    path, slice->begin, slice->end, slice->name);
    hid_t memory = line(end - begin);
    hsize_t start = (hsize_t)(part->place[found] + begin - slice->begin), length = (hsize_t)(end - begin);
    int status = 0;
    errno = 0;
    if (H5Sselect_hyperslab(part->space, H5S_SELECT_SET, &start, NULL, &length, NULL) < 0 ||
        H5Dread(part->dataset, element_type(slice->type), memory, part->space, H5P_DEFAULT, data) < 0)
        status = fail(STATUS_BAD_DATA, "%s: HDF5 cannot read array '%s'%s%s", path, slice->name, errno ? ": " : "",
                      errno ? strerror(errno) : "");
    H5Sclose(memory);
    return status;
}
