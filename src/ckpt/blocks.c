#include "ckpt/blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/check.h"

int64_t blocks_in(int64_t bytes) { return bytes / BLOCK_BYTES + (bytes % BLOCK_BYTES != 0); }

int64_t block_length(int64_t bytes, int64_t block) {
    int64_t left = bytes - block * BLOCK_BYTES;
    return left < BLOCK_BYTES ? left : BLOCK_BYTES;
}

/* 0, or a number of errno; -1: the file ends before. */
static int read_fully(int fd, int64_t at, int64_t bytes, char *data) {
    while (bytes > 0) {
        ssize_t n = pread(fd, data, (size_t)bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? errno : -1;
        data += n;
        at += n;
        bytes -= n;
    }
    return 0;
}

int blocks_open(struct blocks *blocks, const char *folder, const struct manifest *manifest, int index) {
    *blocks = (struct blocks){.folder = folder, .file = &manifest->file[index], .held = -1};
    TRY(manifest_check_size(folder, manifest, index));
    manifest_file_name(blocks->name, manifest, index);
    TRY(path_join(blocks->path, folder, blocks->name));
    blocks->block = malloc(BLOCK_BYTES);
    if (!blocks->block) return fail(STATUS_FAILED, "%s: out of memory", blocks->path);
    blocks->fd = open(blocks->path, O_RDONLY | O_CLOEXEC);
    if (blocks->fd >= 0) return 0;
    int error = errno;
    free(blocks->block);
    return manifest_no_file(folder, blocks->name, error);
}

void blocks_close(struct blocks *blocks) {
    free(blocks->block);
    close(blocks->fd);
}

/* Block `i`, checked, at `to`: the reader's own, or the caller's memory. */
static int fetch(struct blocks *b, int64_t i, char *to) {
    int64_t length = block_length(b->file->bytes, i), at = i * BLOCK_BYTES;
    int error = read_fully(b->fd, at, length, to);
    if (error > 0) return manifest_no_file(b->folder, b->name, error);
    if (error || XXH3_64bits(to, (size_t)length) != b->file->block[i])
        return manifest_bad_file(b->folder, b->name,
                                 "the content of bytes [%" PRId64 ", %" PRId64 ") is not what was saved", at,
                                 at + length);
    return 0;
}

int blocks_read(struct blocks *b, int64_t at, int64_t bytes, void *data) {
    char *to = data;
    if (at < 0 || bytes < 0 || at > b->file->bytes - bytes)
        return manifest_bad_file(b->folder, b->name, "bytes [%" PRId64 ", %" PRId64 ") are not in it", at, at + bytes);
    while (bytes > 0) {
        int64_t i = at / BLOCK_BYTES, from = at % BLOCK_BYTES, length = block_length(b->file->bytes, i) - from;
        if (length > bytes) length = bytes;
        if (length == BLOCK_BYTES) {
            TRY(fetch(b, i, to));
        } else {
            if (b->held != i) {
                b->held = -1;
                TRY(fetch(b, i, b->block));
                b->held = i;
            }
            memcpy(to, b->block + from, (size_t)length);
        }
        to += length;
        at += length;
        bytes -= length;
    }
    return 0;
}

int blocks_check(const char *folder, const struct manifest *manifest, int index, int64_t first, int64_t step) {
    struct failure failure = {0};
    int64_t count = blocks_in(manifest->file[index].bytes),
            mine = first < count ? (count - first + step - 1) / step : 0;
    if (!mine) return 0;
#pragma omp parallel num_threads(mine < omp_get_max_threads() ? (int)mine : omp_get_max_threads())
    {
        struct blocks blocks;
        int closed = blocks_open(&blocks, folder, manifest, index), status = closed;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < mine; i++)
            if (!status) status = fetch(&blocks, first + i * step, blocks.block);
        failure_keep(&failure, status);
        if (!closed) blocks_close(&blocks);
    }
    return failure_raise(&failure);
}
