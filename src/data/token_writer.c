/* The native format, written: a shard at a time, under a temporary name until it is whole and synced. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/check.h"
#include "data/token_format.h"

enum { BUFFER = 1 << 20, NAME = 4200 };

struct token_writer {
    struct token_writer_options options;
    char path[4096];
    int width, shards;
    /* The shard at hand; file -1: none. */
    int file;
    char name[NAME], temporary[NAME + 8];
    int64_t count, documents;
    XXH3_state_t *hash;
    uint8_t *buffer, *mask;
    int64_t used, mask_room;
    /* The document at hand: it is written when it is whole, or when it fills a shard alone. */
    int32_t *ids;
    uint8_t *counts;
    int64_t held, room;
};

int token_writer_open(const struct token_writer_options *options, struct token_writer **writer) {
    struct token_writer *w = *writer = calloc(1, sizeof *w);
    if (!w) return fail(STATUS_FAILED, "out of memory");
    w->options = *options;
    w->file = -1;
    w->width = options->vocab <= 65536 ? 2 : 4;
    w->buffer = malloc(BUFFER);
    w->hash = XXH3_createState();
    int status = w->buffer && w->hash ? 0 : fail(STATUS_FAILED, "out of memory");
    if (!status && snprintf(w->path, sizeof w->path, "%s", options->path) >= (int)sizeof w->path)
        status = fail(STATUS_USAGE, "%.200s…: this path is too long", options->path);
    w->options.path = w->path;
    if (!status) return 0;
    token_writer_close(w);
    *writer = NULL;
    return status;
}

static int cannot_write(const struct token_writer *w) {
    return fail(STATUS_FAILED, "%s: cannot write: %s", w->temporary, strerror(errno));
}

static int write_all(struct token_writer *w, const void *data, int64_t bytes) {
    const char *at = data;
    while (bytes > 0) {
        ssize_t n = write(w->file, at, (size_t)bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cannot_write(w);
        at += n;
        bytes -= n;
    }
    return 0;
}

static int flush(struct token_writer *w) {
    XXH3_64bits_update(w->hash, w->buffer, (size_t)w->used);
    TRY(write_all(w, w->buffer, w->used));
    w->used = 0;
    return 0;
}

static int put(struct token_writer *w, const void *bytes, int64_t n) {
    if (w->used + n > BUFFER) TRY(flush(w));
    memcpy(w->buffer + w->used, bytes, (size_t)n);
    w->used += n;
    return 0;
}

static int begin_shard(struct token_writer *w) {
    static const uint8_t zeros[NATIVE_HEADER];
    snprintf(w->name, sizeof w->name, "%s-%05d.tokens", w->path, w->shards);
    snprintf(w->temporary, sizeof w->temporary, "%s.tmp", w->name);
    w->file = open(w->temporary, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
    if (w->file < 0) return cannot_write(w);
    w->count = w->documents = w->used = 0;
    XXH3_64bits_reset(w->hash);
    return write_all(w, zeros, sizeof zeros);
}

static void fill_header(const struct token_writer *w, uint8_t h[NATIVE_HEADER]) {
    memset(h, 0, NATIVE_HEADER);
    memcpy(h, NATIVE_MAGIC, 8);
    put_u32(h + 8, NATIVE_VERSION);
    put_u32(h + 12, (uint32_t)w->width);
    put_u64(h + 16, (uint64_t)w->count);
    put_u64(h + 24, (uint64_t)w->options.vocab);
    memcpy(h + 32, w->options.tokenizer, TOKENS_HASH);
    put_u64(h + 48, (uint64_t)w->documents);
    put_u32(h + 56, (uint32_t)w->options.end_of_text);
    put_u32(h + 60, w->options.mask != 0);
    put_u64(h + 64, XXH3_64bits_digest(w->hash));
    put_u64(h + 72, XXH3_64bits(h, 72));
}

static int sync_folder(const struct token_writer *w) {
    char folder[NAME];
    snprintf(folder, sizeof folder, "%s", w->name);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    int fd = open(slash ? (*folder ? folder : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int bad = fd < 0 || (fsync(fd) && errno != EINVAL);
    if (fd >= 0) close(fd);
    return bad ? fail(STATUS_FAILED, "%s: cannot make sure that it is on the disk: %s", w->name, strerror(errno)) : 0;
}

static int end_shard(struct token_writer *w) {
    static const uint8_t zeros[8];
    uint8_t header[NATIVE_HEADER];
    if (w->file < 0) return 0;
    if (w->options.mask) {
        TRY(put(w, zeros, (8 - w->count * w->width % 8) % 8));
        TRY(flush(w));
        XXH3_64bits_update(w->hash, w->mask, (size_t)(w->count + 7) / 8);
        TRY(write_all(w, w->mask, (w->count + 7) / 8));
    }
    TRY(flush(w));
    fill_header(w, header);
    if (pwrite(w->file, header, sizeof header, 0) != (ssize_t)sizeof header || fsync(w->file)) return cannot_write(w);
    int failed = close(w->file);
    w->file = -1;
    if (failed || rename(w->temporary, w->name)) {
        cannot_write(w);
        unlink(w->temporary);
        return STATUS_FAILED;
    }
    w->shards++;
    return sync_folder(w);
}

static int put_mask(struct token_writer *w, int64_t n) {
    int64_t needed = (w->count + n + 7) / 8;
    if (!w->options.mask) return 0;
    if (needed > w->mask_room) {
        int64_t room = w->mask_room ? w->mask_room : 4096;
        while (room < needed) room *= 2;
        uint8_t *grown = realloc(w->mask, (size_t)room);
        if (!grown) return fail(STATUS_FAILED, "out of memory for a loss mask");
        w->mask = grown;
        w->mask_room = room;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t bit = w->count + i;
        if (bit % 8 == 0) w->mask[bit / 8] = 0;
        if (w->counts[i]) w->mask[bit / 8] |= (uint8_t)(1 << bit % 8);
    }
    return 0;
}

/* Writes the first n held tokens to the shard at hand. */
static int write_held(struct token_writer *w, int64_t n, int ends) {
    uint8_t bytes[4];
    if (w->file < 0) TRY(begin_shard(w));
    TRY(put_mask(w, n));
    for (int64_t i = 0; i < n; i++) {
        put_u32(bytes, (uint32_t)w->ids[i]);
        TRY(put(w, bytes, w->width));
    }
    w->count += n;
    w->documents += ends;
    w->held -= n;
    memmove(w->ids, w->ids + n, (size_t)w->held * sizeof *w->ids);
    memmove(w->counts, w->counts + n, (size_t)w->held);
    return 0;
}

/* The document at hand goes where there is room for it; longer than a shard, it is cut. */
static int place_document(struct token_writer *w, int ends) {
    int64_t shard = w->options.shard_tokens;
    if (w->count + w->held > shard && w->file >= 0 && w->count) TRY(end_shard(w));
    if (w->file < 0) w->count = 0;
    while (w->held > shard) {
        TRY(write_held(w, shard, 0));
        TRY(end_shard(w));
    }
    if (!ends) return 0; /* what follows fills the shard */
    if (w->held) return write_held(w, w->held, 1);
    if (w->file >= 0) w->documents++;
    return 0;
}

static int hold(struct token_writer *w, const int32_t *ids, const uint8_t *counts, int64_t n) {
    if (w->held + n > w->room) {
        int64_t room = w->room ? w->room : 65536;
        while (room < w->held + n) room *= 2;
        int32_t *more = realloc(w->ids, (size_t)room * sizeof *more);
        if (more) w->ids = more;
        uint8_t *flags = realloc(w->counts, (size_t)room);
        if (flags) w->counts = flags;
        if (!more || !flags) return fail(STATUS_FAILED, "out of memory for a document");
        w->room = room;
    }
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= w->options.vocab)
            return fail(STATUS_FAILED, "token %d is outside the vocabulary of %" PRId64, ids[i], w->options.vocab);
    memcpy(w->ids + w->held, ids, (size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++) w->counts[w->held + i] = counts ? counts[i] : 1;
    w->held += n;
    return 0;
}

int token_writer_add(struct token_writer *w, const int32_t *ids, const uint8_t *counts, int64_t n, int ends) {
    TRY(hold(w, ids, counts, n));
    /* A document that fills a shard is cut anyway: it need not be held any longer. */
    if (!ends && w->held <= w->options.shard_tokens) return 0;
    return place_document(w, ends);
}

int token_writer_finish(struct token_writer *w, int *shards) {
    if (w->held) TRY(place_document(w, 1));
    TRY(end_shard(w));
    *shards = w->shards;
    return w->shards ? 0 : fail(STATUS_BAD_DATA, "%s: there are no tokens to write", w->path);
}

void token_writer_close(struct token_writer *w) {
    if (!w) return;
    if (w->file >= 0) {
        close(w->file);
        unlink(w->temporary);
    }
    XXH3_freeState(w->hash);
    free(w->buffer);
    free(w->mask);
    free(w->ids);
    free(w->counts);
    free(w);
}
