/* Reading checkpoints: which one, whether it is whole, and its arrays, however they were cut. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/array.h"
#include "ckpt/blocks.h"
#include "ckpt/files.h"
#include "ckpt/folder.h"
#include "ckpt/manifest.h"

int ckpt_read_meta(const char *path, struct ckpt_meta *meta) {
    struct manifest manifest;
    *meta = (struct ckpt_meta){0};
    TRY(manifest_read(path, &manifest));
    *meta = manifest.meta;
    manifest.meta = (struct ckpt_meta){0}; /* its text is the caller's now */
    manifest_free(&manifest);
    return 0;
}

int ckpt_verify(const char *path) {
    struct manifest manifest;
    TRY(manifest_read(path, &manifest));
    int status = manifest_check_sizes(path, &manifest); /* the quick check of all first */
    for (int i = 0; i < manifest.files && !status; i++) status = blocks_check(path, &manifest, i);
    manifest_free(&manifest);
    return status;
}

/* The newest whole one among the entries; its number, or -1. */
static int find_latest(const char *dir, const struct folder_entry *entries, int count, char path[PATH_SIZE],
                       FILE *passed_over, int *found) {
    for (*found = 0; *found < count; ++*found) {
        TRY(path_join(path, dir, entries[*found].name));
        if (ckpt_verify(path) == 0) return 0;
        if (passed_over) fprintf(passed_over, "passed over %s: %s\n", entries[*found].name, fail_message());
    }
    *found = -1;
    if (count == 0) return fail(STATUS_BAD_DATA, "%s: there is no checkpoint in this folder", dir);
    return fail(STATUS_BAD_DATA,
                "%s: none of the %d checkpoints in this folder is whole (`lockstep ckpt ls %s` lists them)", dir, count,
                dir);
}

int ckpt_latest(const char *dir, char *path, int64_t size, FILE *passed_over) {
    struct folder_entry *entries;
    char found[PATH_SIZE];
    int count, number;
    TRY(folder_list(dir, &entries, &count));
    int status = find_latest(dir, entries, count, found, passed_over, &number);
    free(entries);
    TRY(status);
    if (snprintf(path, (size_t)size, "%s", found) < size) return 0;
    return fail(STATUS_FAILED, "%s: this path is too long", found);
}

int ckpt_prune(const char *dir, const struct ckpt_keep *keep, int only_tell, FILE *told) {
    struct folder_entry *entries;
    char path[PATH_SIZE];
    int count, number;
    TRY(folder_list(dir, &entries, &count));
    int status = find_latest(dir, entries, count, path, NULL, &number);
    int64_t step = status ? -1 : entries[number].step;
    int old = !status && entries[number].old;
    free(entries);
    TRY(status);
    if (old)
        return fail(STATUS_BAD_DATA,
                    "%s: the newest whole checkpoint is the one before a broken one of the same step; resume the run, "
                    "which makes it "
                    "new, before anything is deleted",
                    path);
    if (!only_tell) ckpt_sweep(dir);
    return folder_retain(dir, keep, step, only_tell, told);
}

/* One read: elements [begin, end) of an asked array, from one shard. */
struct piece {
    const struct ckpt_array *ask;
    const struct manifest_array *held;
    const struct cut *cut;
    int64_t begin, end;
};

struct pieces {
    struct piece *piece;
    size_t count, capacity;
};

static int add_piece(struct pieces *pieces, const struct piece *piece) {
    if (pieces->count == pieces->capacity) {
        size_t capacity = pieces->capacity ? 2 * pieces->capacity : 64;
        struct piece *more = realloc(pieces->piece, capacity * sizeof(*more));
        if (!more) return fail(STATUS_FAILED, "out of memory");
        pieces->piece = more;
        pieces->capacity = capacity;
    }
    pieces->piece[pieces->count++] = *piece;
    return 0;
}

/* The first cut that ends behind this element. */
static int find_cut(const struct manifest_array *held, int64_t element) {
    int low = 0, high = held->cuts;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (held->cut[middle].end <= element)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where the elements of one asked array lie. */
static int locate(const char *path, const struct ckpt_array *ask, const struct manifest_array *held,
                  struct pieces *pieces) {
    if (!held)
        return fail(STATUS_BAD_DATA,
                    "%s: this checkpoint has no array '%s' (`lockstep ckpt show %s` lists what it has)", path,
                    ask->name, path);
    if (!array_alike(ask, &held->array)) {
        char there[ARRAY_TEXT], wanted[ARRAY_TEXT];
        array_text(&held->array, there);
        array_text(ask, wanted);
        return fail(STATUS_BAD_DATA, "%s: array '%s' is %s in the checkpoint, but %s is asked for", path, ask->name,
                    there, wanted);
    }
    int64_t reached = ask->begin;
    for (int i = find_cut(held, reached); i < held->cuts && reached < ask->end; i++) {
        const struct cut *cut = &held->cut[i];
        struct piece piece = {ask, held, cut, reached, cut->end < ask->end ? cut->end : ask->end};
        if (cut->begin > reached) break;
        TRY(add_piece(pieces, &piece));
        reached = piece.end;
    }
    if (reached < ask->end)
        return fail(STATUS_BAD_DATA, "%s: elements [%" PRId64 ", %" PRId64 ") of array '%s' are in no shard", path,
                    reached, ask->end, ask->name);
    return 0;
}

static int by_shard(const void *a, const void *b) {
    const struct piece *left = a, *right = b;
    if (left->cut->shard != right->cut->shard) return left->cut->shard - right->cut->shard;
    return left->cut->at < right->cut->at ? -1 : left->cut->at > right->cut->at;
}

static int read_piece(struct blocks *shard, const struct piece *piece) {
    int64_t size = (int64_t)dtype_size(piece->held->array.type);
    return blocks_read(shard, piece->cut->at + (piece->begin - piece->cut->begin) * size,
                       (piece->end - piece->begin) * size,
                       (char *)piece->ask->data + (piece->begin - piece->ask->begin) * size);
}

/* Reads pieces that lie in the same shard, and moves *next behind them. */
static int read_shard(const char *path, const struct manifest *manifest, const struct pieces *pieces, size_t *next) {
    int number = pieces->piece[*next].cut->shard;
    struct blocks shard;
    int status = 0;
    TRY(blocks_open(&shard, path, manifest, number));
    for (; *next < pieces->count && pieces->piece[*next].cut->shard == number && !status; ++*next)
        status = read_piece(&shard, &pieces->piece[*next]);
    blocks_close(&shard);
    return status;
}

static int load(const char *path, const struct manifest *manifest, const struct ckpt_array *arrays, int count,
                struct pieces *pieces) {
    const struct manifest_array **sorted = manifest_sorted(manifest);
    if (!sorted) return fail(STATUS_FAILED, "%s: out of memory", path);
    int status = 0;
    for (int i = 0; i < count && !status; i++) {
        status = array_check_slice(&arrays[i]);
        if (!status) status = locate(path, &arrays[i], manifest_find(sorted, manifest->arrays, arrays[i].name), pieces);
    }
    free(sorted);
    TRY(status);
    if (pieces->count == 0) return 0;
    qsort(pieces->piece, pieces->count, sizeof(*pieces->piece), by_shard);
    for (size_t next = 0; next < pieces->count;) TRY(read_shard(path, manifest, pieces, &next));
    return 0;
}

int ckpt_load(const char *path, const struct ckpt_array *arrays, int count) {
    struct manifest manifest;
    struct pieces pieces = {0};
    TRY(manifest_read(path, &manifest));
    int status = manifest_check_sizes(path, &manifest);
    if (!status) status = load(path, &manifest, arrays, count, &pieces);
    free(pieces.piece);
    manifest_free(&manifest);
    return status;
}

static int read_tokenizer(const char *path, const struct manifest *manifest, char **json, int64_t *length) {
    int index = manifest_tokenizer(manifest);
    if (index < 0) return 0;
    struct blocks blocks;
    *length = manifest->file[index].bytes;
    *json = malloc((size_t)*length + 1);
    if (!*json) return fail(STATUS_FAILED, "%s: out of memory", path);
    (*json)[*length] = '\0';
    TRY(blocks_open(&blocks, path, manifest, index));
    int status = blocks_read(&blocks, 0, *length, *json);
    blocks_close(&blocks);
    return status;
}

int ckpt_tokenizer(const char *path, char **json, int64_t *length) {
    struct manifest manifest;
    *json = NULL;
    *length = 0;
    TRY(manifest_read(path, &manifest));
    int status = read_tokenizer(path, &manifest, json, length);
    if (status) {
        free(*json);
        *json = NULL;
    }
    manifest_free(&manifest);
    return status;
}
