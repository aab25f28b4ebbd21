/* ckpt_ls() and ckpt_show(): what people look at. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "ckpt/array.h"
#include "ckpt/blocks.h"
#include "ckpt/files.h"
#include "ckpt/folder.h"
#include "ckpt/manifest.h"

static int64_t whole_bytes(const struct ckpt_array *array) {
    return array_elems(array) * (int64_t)dtype_size(array->type);
}

static void list_one(const char *path, const struct folder_entry *entry, FILE *out) {
    struct manifest manifest;
    if (manifest_read(path, &manifest)) {
        fprintf(out, "%-18s  %s\n", entry->name, fail_message());
        return;
    }
    int64_t bytes = 0;
    char size[BYTES_TEXT];
    for (int i = 0; i < manifest.arrays; i++) bytes += whole_bytes(&manifest.array[i].array);
    bytes_text(bytes, size);
    fprintf(out, "%-18s  %10s  %5d rank%s  %s  ", entry->name, size, manifest.ranks, manifest.ranks == 1 ? " " : "s",
            manifest.written);
    fprintf(out, "%s\n", manifest_check_sizes(path, &manifest) ? fail_message() : "whole");
    manifest_free(&manifest);
}

int ckpt_ls(const char *dir, FILE *out) {
    struct folder_entry *entries;
    int count, status = 0;
    TRY(folder_list(dir, &entries, &count));
    for (int i = count - 1; i >= 0 && !status; i--) { /* the newest last, next to the prompt */
        char path[PATH_SIZE];
        status = path_join(path, dir, entries[i].name);
        if (!status) list_one(path, &entries[i], out);
    }
    free(entries);
    if (count == 0) fprintf(out, "%s: no checkpoints\n", dir);
    return status;
}

/* All cuts if they are few, else the first ones and the last. */
static void show_cuts(const struct manifest_array *array, FILE *out) {
    enum { CUTS_MAX = 8 };
    int many = array->cuts > CUTS_MAX;
    for (int i = 0; i < array->cuts; i++) {
        const struct cut *cut = &array->cut[i];
        if (many && i == CUTS_MAX - 2) {
            fprintf(out, "  …");
            i = array->cuts - 2;
            continue;
        }
        fprintf(out, "  %d:[%" PRId64 ", %" PRId64 ")", cut->shard, cut->begin, cut->end);
    }
    if (many) fprintf(out, "  (%d slices)", array->cuts);
}

static void show_arrays(const struct manifest *manifest, FILE *out) {
    fprintf(out, "\n%d arrays (and the shards that hold them)\n", manifest->arrays);
    for (int i = 0; i < manifest->arrays; i++) {
        const struct manifest_array *array = &manifest->array[i];
        char text[ARRAY_TEXT], size[BYTES_TEXT];
        array_text(&array->array, text);
        bytes_text(whole_bytes(&array->array), size);
        fprintf(out, "  %-32s %-24s %10s ", array->array.name, text, size);
        show_cuts(array, out);
        fprintf(out, "\n");
    }
}

int ckpt_show(const char *path, FILE *out) {
    struct manifest manifest;
    TRY(manifest_read(path, &manifest));
    const struct ckpt_meta *meta = &manifest.meta;
    fprintf(out, "%s\n", path);
    fprintf(out, "  step       %" PRId64 "\n  adam_step  %" PRId64 "\n  skipped    %" PRId64 "\n", meta->step,
            meta->adam_step, meta->skipped);
    if (meta->loss_scale)
        fprintf(out, "  loss scale %" PRId64 " for %" PRId64 " steps\n", meta->loss_scale, meta->scale_steps);
    fprintf(out, "  ranks      %d\n  written    %s\n", manifest.ranks, manifest.written);
    if (meta->build) fprintf(out, "  build      %s\n", meta->build);
    if (meta->tokenizer) fprintf(out, "  tokenizer  %s\n", meta->tokenizer);
    fprintf(out, "  state      %s\n", manifest_check_sizes(path, &manifest) ? fail_message() : "whole");
    fprintf(out, "\n%d files\n", manifest.files);
    for (int i = 0; i < manifest.files; i++) {
        char name[SHARD_NAME], size[BYTES_TEXT];
        manifest_file_name(name, &manifest, i);
        bytes_text(manifest.file[i].bytes, size);
        int64_t blocks = blocks_in(manifest.file[i].bytes);
        fprintf(out, "  %s  %10s  %" PRId64 " block%s\n", name, size, blocks, blocks == 1 ? "" : "s");
    }
    show_arrays(&manifest, out);
    if (meta->data) fprintf(out, "\ndata\n%s", meta->data);
    fprintf(out, "\nconfig\n%s", meta->config);
    manifest_free(&manifest);
    return 0;
}
