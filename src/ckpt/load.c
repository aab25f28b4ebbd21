/* Reading checkpoints: their arrays, however they were cut. */
#include <inttypes.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/array.h"
#include "ckpt/blocks.h"
#include "ckpt/files.h"
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

enum { PIECE = 4 << 20 }; /* elements at most, so that threads have about the same to do */

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
        int64_t end = cut->end < ask->end ? cut->end : ask->end;
        while (cut->begin <= reached && reached < end) {
            struct piece piece = {ask, held, cut, reached, end - reached < PIECE ? end : reached + PIECE};
            TRY(add_piece(pieces, &piece));
            reached = piece.end;
        }
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

/* Reads pieces that lie in the same shard, from `next` on, and moves it behind them. */
static int read_shard(const char *path, const struct manifest *manifest, const struct piece *piece, size_t count,
                      size_t *next) {
    int number = piece[*next].cut->shard;
    struct blocks shard;
    int status = 0;
    TRY(blocks_open(&shard, path, manifest, number));
    for (; *next < count && piece[*next].cut->shard == number && !status; ++*next)
        status = read_piece(&shard, &piece[*next]);
    blocks_close(&shard);
    return status;
}

/* The first piece that begins behind this share of all bytes. */
static size_t piece_at(const struct pieces *pieces, double share) {
    double all = 0, before = 0;
    size_t i = 0;
    for (size_t k = 0; k < pieces->count; k++) all += (double)(pieces->piece[k].end - pieces->piece[k].begin);
    for (; i < pieces->count && before < share * all; i++)
        before += (double)(pieces->piece[i].end - pieces->piece[i].begin);
    return i;
}

/* In as many threads as there are, each a row of pieces that follow each other, so that few blocks are read twice. */
static int read_pieces(const char *path, const struct manifest *manifest, const struct pieces *pieces) {
    struct failure failure = {0};
#pragma omp parallel
    {
        double threads = omp_get_num_threads(), mine = omp_get_thread_num();
        size_t next = piece_at(pieces, mine / threads), end = piece_at(pieces, (mine + 1) / threads);
        int status = 0;
        if (mine + 1 == threads) end = pieces->count;
        while (next < end && !status) status = read_shard(path, manifest, pieces->piece, end, &next);
        failure_keep(&failure, status);
    }
    return failure_raise(&failure);
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
    return read_pieces(path, manifest, pieces);
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
