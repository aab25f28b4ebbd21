#include "ckpt/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* HDF5 takes the first member for the driver's own. */
struct image_file {
    H5FD_t base;
    struct image *image;
    haddr_t end_of_allocation, end_of_file;
};

/* What the property list carries. */
struct image_access {
    struct image *image;
};

/* ---- pages ---- */

static char *page_for_writing(struct image *image, int64_t number) {
    if (number >= image->pages) {
        int64_t pages = 2 * number + 16;
        char **more = realloc(image->page, (size_t)pages * sizeof *more);
        if (!more) return NULL;
        memset(more + image->pages, 0, (size_t)(pages - image->pages) * sizeof *more);
        image->page = more;
        image->pages = pages;
    }
    if (!image->page[number]) image->page[number] = calloc(1, IMAGE_PAGE);
    return image->page[number];
}

/* Bytes of this many that are in the page of the first. */
static int64_t in_page(int64_t at, int64_t bytes) {
    int64_t left = IMAGE_PAGE - at % IMAGE_PAGE;
    return left < bytes ? left : bytes;
}

void image_read(const struct image *image, int64_t at, char *to, int64_t bytes) {
    for (int64_t now; bytes > 0; at += now, to += now, bytes -= now) {
        int64_t number = at / IMAGE_PAGE;
        const char *page = number < image->pages ? image->page[number] : NULL;
        now = in_page(at, bytes);
        if (page)
            memcpy(to, page + at % IMAGE_PAGE, (size_t)now);
        else
            memset(to, 0, (size_t)now);
    }
}

static void image_write(struct image *image, int64_t at, const char *from, int64_t bytes) {
    for (int64_t now; bytes > 0; at += now, from += now, bytes -= now) {
        char *page = page_for_writing(image, at / IMAGE_PAGE);
        now = in_page(at, bytes);
        if (page)
            memcpy(page + at % IMAGE_PAGE, from, (size_t)now);
        else
            image->no_memory = 1;
    }
}

void image_free(struct image *image) {
    for (int64_t i = 0; i < image->pages; i++) free(image->page[i]);
    free(image->page);
    *image = (struct image){0};
}

/* ---- the driver ---- */

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t max_address) {
    (void)name, (void)flags, (void)max_address;
    const struct image_access *given = H5Pget_driver_info(access);
    struct image_file *file = given ? calloc(1, sizeof(*file)) : NULL;
    if (!file) return NULL;
    file->image = given->image;
    return &file->base;
}

static herr_t driver_close(H5FD_t *base) {
    free(base);
    return 0;
}

static herr_t driver_query(const H5FD_t *base, unsigned long *flags) {
    (void)base; /* HDF5 also asks before there is a file */
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *base, H5FD_mem_t type) {
    (void)type;
    return ((const struct image_file *)base)->end_of_allocation;
}

static herr_t driver_set_eoa(H5FD_t *base, H5FD_mem_t type, haddr_t address) {
    (void)type;
    ((struct image_file *)base)->end_of_allocation = address;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *base, H5FD_mem_t type) {
    (void)type;
    return ((const struct image_file *)base)->end_of_file;
}

static herr_t driver_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size, void *data) {
    (void)type, (void)transfer;
    image_read(((struct image_file *)base)->image, (int64_t)address, data, (int64_t)size);
    return 0;
}

static herr_t driver_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                           const void *data) {
    (void)type, (void)transfer;
    struct image_file *file = (struct image_file *)base;
    if (address + size > file->end_of_file) file->end_of_file = address + size;
    image_write(file->image, (int64_t)address, data, (int64_t)size);
    return 0;
}

static herr_t driver_truncate(H5FD_t *base, hid_t transfer, hbool_t closing) {
    (void)transfer, (void)closing;
    struct image_file *file = (struct image_file *)base;
    file->end_of_file = file->end_of_allocation;
    file->image->size = (int64_t)file->end_of_allocation;
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 14, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)H5_VFD_RESERVED,
#endif
    .name = "lockstep_image",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct image_access),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* Whatever is opened with `access` is the image. */
static herr_t use_driver(hid_t access, struct image *image) {
    hid_t id = H5FDregister(&driver);
    if (id < 0) return -1;
    struct image_access given = {image};
    herr_t status = H5Pset_driver(access, id, &given);
    H5FDunregister(id); /* the property list holds on to it */
    return status;
}

int image_make(struct image *image, const char *path, int (*fill)(void *context, const char *path, hid_t file),
               void *context) {
    *image = (struct image){0};
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = H5I_INVALID_HID;
    if (use_driver(access, image) >= 0) file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    int status = file >= 0 ? fill(context, path, file) : fail(STATUS_FAILED, "%s: HDF5 cannot create this file", path);
    if (file >= 0 && H5Fclose(file) < 0 && !status) status = fail(STATUS_FAILED, "%s: HDF5 cannot close", path);
    H5Pclose(access);
    if (image->no_memory) status = fail(STATUS_FAILED, "%s: out of memory", path);
    return status;
}
