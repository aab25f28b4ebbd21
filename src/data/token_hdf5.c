/* Where a dataset of integers lies in an HDF5 file, so that it can be mapped like any other. */
#include <hdf5.h>
#include <string.h>

#include "base/check.h"
#include "data/token_format.h"

static int bad(const char *path, const char *what) {
    return fail(STATUS_BAD_DATA,
                "%s: %s; Lockstep maps one-dimensional, contiguous, little-endian datasets of 1, 2 or 4 byte integers "
                "(h5repack -l CONTI -f NONE IN OUT makes them contiguous)",
                path, what);
}

/* FILE.h5:DATASET into its parts; without a colon the dataset is empty. */
static int take_apart(const char *path, char file[LONGEST_NAME], char dataset[256]) {
    const char *colon = strstr(path, ".h5:");
    if (!colon) colon = strstr(path, ".hdf5:");
    if (colon) colon = strchr(colon, ':');
    size_t length = colon ? (size_t)(colon - path) : strlen(path);
    if (length >= LONGEST_NAME || (colon && strlen(colon + 1) >= 256))
        return fail(STATUS_BAD_DATA, "%s: is too long", path);
    snprintf(file, LONGEST_NAME, "%.*s", (int)length, path);
    snprintf(dataset, 256, "%s", colon ? colon + 1 : "");
    return 0;
}

struct found {
    int count;
    char names[256];
};

static herr_t note_dataset(hid_t root, const char *name, const H5L_info_t *info, void *context) {
    struct found *found = context;
    hid_t object = info->type == H5L_TYPE_HARD ? H5Oopen(root, name, H5P_DEFAULT) : H5I_INVALID_HID;
    if (object < 0) return 0;
    int is_dataset = H5Iget_type(object) == H5I_DATASET;
    H5Oclose(object);
    if (!is_dataset) return 0;
    size_t used = strlen(found->names);
    found->count++;
    snprintf(found->names + used, sizeof found->names - used, "%s%s", used ? ", " : "", name);
    return 0;
}

/* The only dataset of the root, or the one named "tokens". */
static int choose(hid_t file, const char *path, char dataset[256]) {
    struct found found = {0};
    if (*dataset) return 0;
    H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, note_dataset, &found);
    if (found.count == 1)
        snprintf(dataset, 256, "%s", found.names);
    else if (H5Lexists(file, "tokens", H5P_DEFAULT) > 0)
        snprintf(dataset, 256, "tokens");
    else
        return fail(STATUS_BAD_DATA, "%s: has %s; name one as %s:DATASET%s%s%s", path,
                    found.count ? "several datasets" : "no dataset in its root", path, found.count ? " (" : "",
                    found.names, found.count ? ")" : "");
    return 0;
}

/* Integers as they lie in memory: little-endian, and without unused bits. */
static int is_plain(hid_t type) {
    size_t size = H5Tget_size(type);
    return H5Tget_class(type) == H5T_INTEGER && (size == 1 || size == 2 || size == 4) &&
           (size == 1 || H5Tget_order(type) == H5T_ORDER_LE) && H5Tget_precision(type) == 8 * size;
}

static int read_shape(hid_t set, const char *path, int *width, int64_t *count) {
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    hsize_t size = 0;
    int one = H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_dims(space, &size, NULL) == 1;
    int plain = is_plain(type);
    *width = (int)H5Tget_size(type);
    *count = (int64_t)size;
    H5Tclose(type);
    H5Sclose(space);
    if (!one || size > INT64_MAX / 8) return bad(path, "the dataset is not one-dimensional");
    if (!plain) return bad(path, "its type cannot be mapped");
    return 0;
}

/* A link may lead to another file, whose offsets would be meant. */
static int is_elsewhere(hid_t file, hid_t set) {
    char here[LONGEST_NAME], there[LONGEST_NAME];
    return H5Fget_name(file, here, sizeof here) < 0 || H5Fget_name(set, there, sizeof there) < 0 || strcmp(here, there);
}

static int read_layout(hid_t set, const char *path, int64_t *offset) {
    hid_t plist = H5Dget_create_plist(set);
    int contiguous = H5Pget_layout(plist) == H5D_CONTIGUOUS, external = H5Pget_external_count(plist);
    H5Pclose(plist);
    haddr_t address = contiguous ? H5Dget_offset(set) : HADDR_UNDEF;
    if (!contiguous) return bad(path, "the dataset is chunked, compressed or virtual");
    if (external || address == HADDR_UNDEF) return bad(path, "the dataset has no content in this file");
    *offset = (int64_t)address;
    return 0;
}

static int find(hid_t file, const char *path, int *width, int64_t *count, int64_t *offset, char dataset[256]) {
    TRY(choose(file, path, dataset));
    hid_t set = H5Dopen2(file, dataset, H5P_DEFAULT);
    if (set < 0) return fail(STATUS_BAD_DATA, "%s: there is no dataset '%s'", path, dataset);
    int status = is_elsewhere(file, set) ? fail(STATUS_BAD_DATA, "%s: leads to another file; name that one", path)
                                         : read_shape(set, path, width, count);
    if (!status) status = read_layout(set, path, offset);
    H5Dclose(set);
    return status;
}

int find_hdf5(const char *path, char name[LONGEST_NAME], int *width, int64_t *count, int64_t *offset) {
    char dataset[256];
    H5E_auto2_t print;
    void *context;
    TRY(take_apart(path, name, dataset));
    H5Eget_auto2(H5E_DEFAULT, &print, &context);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* messages are ours */
    hid_t file = H5Fopen(name, H5F_ACC_RDONLY, H5P_DEFAULT);
    int status =
        file < 0 ? fail(STATUS_BAD_DATA, "%s: cannot be read as an HDF5 file: it is missing, damaged, or none", name)
                 : find(file, path, width, count, offset, dataset);
    if (file >= 0) H5Fclose(file);
    H5Eset_auto2(H5E_DEFAULT, print, context);
    return status;
}
