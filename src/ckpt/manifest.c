#include "ckpt/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "ckpt/array.h"
#include "ckpt/files.h"

void shard_name(char name[SHARD_NAME], int rank, int ranks) {
    snprintf(name, SHARD_NAME, "shard-%05d-of-%05d.h5", rank, ranks);
}

void manifest_file_name(char name[SHARD_NAME], const struct manifest *manifest, int index) {
    if (index < manifest->ranks)
        shard_name(name, index, manifest->ranks);
    else
        snprintf(name, SHARD_NAME, "%s", index == manifest_view(manifest) ? VIEW_NAME : TOKENIZER_NAME);
}

void manifest_texts(struct ckpt_meta *meta, struct meta_text texts[META_TEXTS]) {
    texts[0] = (struct meta_text){"data", &meta->data};
    texts[1] = (struct meta_text){"tokenizer", &meta->tokenizer};
    texts[2] = (struct meta_text){"build", &meta->build};
    texts[3] = (struct meta_text){"algorithms", &meta->algorithms};
}

void ckpt_meta_free(struct ckpt_meta *meta) {
    struct meta_text texts[META_TEXTS];
    manifest_texts(meta, texts);
    for (int i = 0; i < META_TEXTS; i++) free((char *)*texts[i].text);
    free((char *)meta->config);
    *meta = (struct ckpt_meta){0};
}

void manifest_free(struct manifest *manifest) {
    for (int i = 0; manifest->array && i < manifest->arrays; i++) free(manifest->array[i].cut);
    for (int i = 0; manifest->file && i < manifest->files; i++) free(manifest->file[i].block);
    free(manifest->array);
    free(manifest->file);
    ckpt_meta_free(&manifest->meta);
    *manifest = (struct manifest){0};
}

int manifest_bad_file(const char *folder, const char *file, const char *format, ...) {
    char text[512], parent[PATH_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (path_parent(parent, folder)) strcpy(parent, "DIR");
    return fail(STATUS_BAD_DATA, "%s%s%s: %s; use an earlier checkpoint (`lockstep ckpt ls %s` lists them)", folder,
                *file ? "/" : "", file, text, parent);
}

int manifest_no_file(const char *folder, const char *file, int error) {
    if (error == EIO) return manifest_bad_file(folder, file, "cannot read: %s", strerror(error));
    return fail(STATUS_FAILED, "%s/%s: cannot read: %s", folder, file, strerror(error));
}

int manifest_check_cuts(const struct manifest_array *array) {
    const char *name = array->array.name;
    int64_t reached = 0;
    for (int i = 0; i < array->cuts; i++) {
        const struct cut *cut = &array->cut[i];
        if (cut->begin > reached)
            return fail(STATUS_FAILED, "array '%s': no rank holds elements [%" PRId64 ", %" PRId64 ")", name, reached,
                        cut->begin);
        if (cut->begin < reached)
            return fail(STATUS_FAILED, "array '%s': ranks %d and %d both hold element %" PRId64, name, cut[-1].shard,
                        cut->shard, cut->begin);
        reached = cut->end;
    }
    if (reached < array->array.end)
        return fail(STATUS_FAILED, "array '%s': no rank holds elements [%" PRId64 ", %" PRId64 ")", name, reached,
                    array->array.end);
    return 0;
}

static int compare_names(const void *a, const void *b) {
    const struct manifest_array *const *left = a, *const *right = b;
    return strcmp((*left)->array.name, (*right)->array.name);
}

const struct manifest_array **manifest_sorted(const struct manifest *manifest) {
    const struct manifest_array **sorted = calloc((size_t)manifest->arrays + 1, sizeof(*sorted));
    if (!sorted) return NULL;
    for (int i = 0; i < manifest->arrays; i++) sorted[i] = &manifest->array[i];
    qsort(sorted, (size_t)manifest->arrays, sizeof(*sorted), compare_names);
    return sorted;
}

const struct manifest_array *manifest_find(const struct manifest_array *const *sorted, int count, const char *name) {
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(sorted[middle]->array.name, name);
        if (order == 0) return sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

int manifest_check_size(const char *folder, const struct manifest *manifest, int index) {
    char name[SHARD_NAME], path[PATH_SIZE];
    manifest_file_name(name, manifest, index);
    TRY(path_join(path, folder, name));
    struct stat info;
    if (stat(path, &info) && errno == ENOENT) return manifest_bad_file(folder, name, "this file is missing");
    if (stat(path, &info)) return manifest_no_file(folder, name, errno);
    int64_t bytes = (int64_t)info.st_size, meant = manifest->file[index].bytes;
    if (bytes != meant)
        return manifest_bad_file(folder, name, "the file has %" PRId64 " bytes, %s the %" PRId64 " of the manifest",
                                 bytes, bytes < meant ? "less than" : "more than", meant);
    return 0;
}

int manifest_check_sizes(const char *folder, const struct manifest *manifest) {
    for (int i = 0; i < manifest->files; i++) TRY(manifest_check_size(folder, manifest, i));
    return 0;
}
