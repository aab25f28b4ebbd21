/* The native format, written: a shard at a time, under a temporary name until it is whole and synced.
 *
 * Documents go to the shard at hand as they come, so that memory does not grow with them. One that does not fit after all
 * is moved: read back from that shard, which is cut off where the document began, and written to the next one. */
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

struct shard {
    int file; /* -1: none */
    char name[NAME], temporary[NAME + 8];
    int64_t count, documents;
    int64_t end;        /* of the file: where the next bytes go */
    XXH3_state_t *hash; /* of all tokens so far, those in the buffer included */
    uint8_t *mask;
    int64_t mask_room;
};

struct token_writer {
    struct token_writer_options options;
    char path[4096];
    int width, shards;
    struct shard shard, next; /* two are open only while a document is moved */
    uint8_t *buffer;          /* tokens of `shard` that are not written yet */
    int64_t used;
    int64_t begin;            /* the token of `shard` where the document at hand begins */
    XXH3_state_t *begin_hash; /* of the tokens before it, where there are any */
};

int token_writer_open(const struct token_writer_options *options, struct token_writer **writer) {
    struct token_writer *w = *writer = calloc(1, sizeof *w);
    if (!w) return fail(STATUS_FAILED, "out of memory");
    w->options = *options;
    w->shard.file = w->next.file = -1;
    w->width = options->vocab <= 65536 ? 2 : 4;
    w->buffer = malloc(BUFFER);
    w->shard.hash = XXH3_createState();
    w->next.hash = XXH3_createState();
    w->begin_hash = XXH3_createState();
    int status = w->buffer && w->shard.hash && w->next.hash && w->begin_hash ? 0 : fail(STATUS_FAILED, "out of memory");
    if (!status && snprintf(w->path, sizeof w->path, "%s", options->path) >= (int)sizeof w->path)
        status = fail(STATUS_USAGE, "%.200s…: this path is too long", options->path);
    if (!status && (options->shard_tokens < 1 || options->vocab < 1 || options->vocab > INT32_MAX))
        status = fail(STATUS_USAGE, "%s: a shard of %" PRId64 " tokens, or a vocabulary of %" PRId64 ", cannot be",
                      options->path, options->shard_tokens, options->vocab);
    w->options.path = w->path;
    if (!status) return 0;
    token_writer_close(w);
    *writer = NULL;
    return status;
}

static int cannot_write(const struct shard *s) {
    return fail(STATUS_FAILED, "%s: cannot write: %s", s->temporary, strerror(errno));
}

static int write_bytes(struct shard *s, const uint8_t *data, int64_t bytes) {
    while (bytes > 0) {
        ssize_t n = pwrite(s->file, data, (size_t)bytes, s->end);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cannot_write(s);
        data += n;
        bytes -= n;
        s->end += n;
    }
    return 0;
}

static int flush(struct token_writer *w) {
    TRY(write_bytes(&w->shard, w->buffer, w->used));
    w->used = 0;
    return 0;
}

static int begin_shard(const struct token_writer *w, struct shard *s, int number) {
    static const uint8_t zeros[NATIVE_HEADER];
    snprintf(s->name, sizeof s->name, "%s-%05d.tokens", w->path, number);
    snprintf(s->temporary, sizeof s->temporary, "%s.tmp", s->name);
    s->file = open(s->temporary, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0666);
    if (s->file < 0) return cannot_write(s);
    s->count = s->documents = s->end = 0;
    XXH3_64bits_reset(s->hash);
    return write_bytes(s, zeros, sizeof zeros);
}

static void fill_header(const struct token_writer *w, const struct shard *s, uint8_t h[NATIVE_HEADER]) {
    memset(h, 0, NATIVE_HEADER);
    memcpy(h, NATIVE_MAGIC, 8);
    put_u32(h + 8, NATIVE_VERSION);
    put_u32(h + 12, (uint32_t)w->width);
    put_u64(h + 16, (uint64_t)s->count);
    put_u64(h + 24, (uint64_t)w->options.vocab);
    memcpy(h + 32, w->options.tokenizer, TOKENS_HASH);
    put_u64(h + 48, (uint64_t)s->documents);
    put_u32(h + 56, (uint32_t)w->options.end_of_text);
    put_u32(h + 60, w->options.mask != 0);
    put_u64(h + 64, XXH3_64bits_digest(s->hash));
    put_u64(h + 72, XXH3_64bits(h, 72));
}

static int sync_folder(const struct shard *s) {
    char folder[NAME];
    snprintf(folder, sizeof folder, "%s", s->name);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    int fd = open(slash ? (*folder ? folder : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int bad = fd < 0 || (fsync(fd) && errno != EINVAL);
    if (fd >= 0) close(fd);
    return bad ? fail(STATUS_FAILED, "%s: cannot make sure that it is on the disk: %s", s->name, strerror(errno)) : 0;
}

/* The mask follows the tokens, which are padded to 8 bytes. */
static int end_tokens(const struct token_writer *w, struct shard *s) {
    static const uint8_t zeros[8];
    int64_t padding = (8 - s->count * w->width % 8) % 8, bytes = (s->count + 7) / 8;
    if (!w->options.mask) return 0;
    XXH3_64bits_update(s->hash, zeros, (size_t)padding);
    XXH3_64bits_update(s->hash, s->mask, (size_t)bytes);
    TRY(write_bytes(s, zeros, padding));
    return write_bytes(s, s->mask, bytes);
}

/* All tokens of the shard must be in its file. */
static int end_shard(struct token_writer *w, struct shard *s) {
    uint8_t header[NATIVE_HEADER];
    TRY(end_tokens(w, s));
    fill_header(w, s, header);
    s->end = 0;
    TRY(write_bytes(s, header, sizeof header));
    if (fsync(s->file)) return cannot_write(s);
    int failed = close(s->file);
    s->file = -1;
    if (failed || rename(s->temporary, s->name)) {
        cannot_write(s);
        unlink(s->temporary);
        return STATUS_FAILED;
    }
    w->shards++;
    return sync_folder(s);
}

static int reserve_mask(struct shard *s, int64_t tokens) {
    int64_t needed = (tokens + 7) / 8, room = s->mask_room ? s->mask_room : 4096;
    if (needed <= s->mask_room) return 0;
    while (room < needed) room *= 2;
    uint8_t *grown = realloc(s->mask, (size_t)room);
    if (!grown) return fail(STATUS_FAILED, "out of memory for a loss mask");
    s->mask = grown;
    s->mask_room = room;
    return 0;
}

static void set_mask(struct shard *s, int64_t i, int counts) {
    uint8_t bit = (uint8_t)(1 << i % 8), *byte = s->mask + i / 8;
    *byte = (uint8_t)((i % 8 ? *byte & (bit - 1) : 0) | (counts ? bit : 0));
}

/* Copies the tokens from w->begin on to the next shard: its file and its hash. */
static int copy_tokens(struct token_writer *w) {
    struct shard *from = &w->shard, *to = &w->next;
    int64_t at = NATIVE_HEADER + w->begin * w->width;
    while (at < from->end) {
        int64_t most = from->end - at < BUFFER ? from->end - at : BUFFER;
        ssize_t n = pread(from->file, w->buffer, (size_t)most, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return fail(STATUS_FAILED, "%s: cannot read back: %s", from->temporary,
                        n ? strerror(errno) : "it has become shorter");
        XXH3_64bits_update(to->hash, w->buffer, (size_t)n);
        TRY(write_bytes(to, w->buffer, n));
        at += n;
    }
    return 0;
}

/* What w->shard had before the document stays; the document itself begins the next shard. */
static int move_document(struct token_writer *w) {
    struct shard *old = &w->shard, *new = &w->next;
    int64_t tokens = old->count - w->begin;
    TRY(begin_shard(w, new, w->shards + 1));
    TRY(copy_tokens(w));
    if (w->options.mask) {
        TRY(reserve_mask(new, tokens));
        for (int64_t i = 0; i < tokens; i++) set_mask(new, i, old->mask[(w->begin + i) / 8] >> (w->begin + i) % 8 & 1);
        if (w->begin % 8) old->mask[w->begin / 8] &= (uint8_t)((1 << w->begin % 8) - 1);
    }
    new->count = tokens;
    old->count = w->begin;
    old->end = NATIVE_HEADER + w->begin * w->width;
    XXH3_copyState(old->hash, w->begin_hash);
    if (ftruncate(old->file, old->end)) return cannot_write(old);
    TRY(end_shard(w, old));
    struct shard swapped = *old;
    *old = *new;
    *new = swapped;
    return 0;
}

/* A full shard gives way to the next one, which takes the document at hand along unless that fills the shard alone. */
static int next_shard(struct token_writer *w) {
    TRY(flush(w));
    if (w->begin) {
        TRY(move_document(w));
    } else {
        TRY(end_shard(w, &w->shard));
        TRY(begin_shard(w, &w->shard, w->shards));
    }
    w->begin = 0;
    return 0;
}

/* Appends n tokens, for which the shard has room. */
static int append(struct token_writer *w, const int32_t *ids, const uint8_t *counts, int64_t n) {
    struct shard *s = &w->shard;
    if (w->options.mask) {
        TRY(reserve_mask(s, s->count + n));
        for (int64_t i = 0; i < n; i++) set_mask(s, s->count + i, counts ? counts[i] : 1);
    }
    for (int64_t done = 0, part; done < n; done += part) {
        if (w->used == BUFFER) TRY(flush(w));
        uint8_t *to = w->buffer + w->used;
        part = (BUFFER - w->used) / w->width;
        if (part > n - done) part = n - done;
        if (w->width == 2) {
            for (int64_t i = 0; i < part; i++) {
                to[2 * i] = (uint8_t)ids[done + i];
                to[2 * i + 1] = (uint8_t)(ids[done + i] >> 8);
            }
        } else {
            for (int64_t i = 0; i < part; i++) put_u32(to + 4 * i, (uint32_t)ids[done + i]);
        }
        XXH3_64bits_update(s->hash, to, (size_t)(part * w->width));
        w->used += part * w->width;
    }
    s->count += n;
    return 0;
}

static void end_document(struct token_writer *w) {
    if (w->shard.file < 0 || w->shard.count == w->begin) return; /* one without tokens is none */
    w->shard.documents++;
    w->begin = w->shard.count;
    XXH3_copyState(w->begin_hash, w->shard.hash);
}

int token_writer_add(struct token_writer *w, const int32_t *ids, const uint8_t *counts, int64_t n, int ends) {
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= w->options.vocab)
            return fail(STATUS_FAILED, "%s: token %" PRId32 " is outside the vocabulary of %" PRId64, w->path, ids[i],
                        w->options.vocab);
    for (int64_t part; n > 0; n -= part) {
        if (w->shard.file < 0) TRY(begin_shard(w, &w->shard, 0));
        if (w->shard.count == w->options.shard_tokens) TRY(next_shard(w));
        part = w->options.shard_tokens - w->shard.count;
        if (part > n) part = n;
        TRY(append(w, ids, counts, part));
        ids += part;
        if (counts) counts += part;
    }
    if (ends) end_document(w);
    return 0;
}

int token_writer_finish(struct token_writer *w, int *shards) {
    *shards = 0;
    if (w->shard.file < 0) return fail(STATUS_BAD_DATA, "%s: there are no tokens to write", w->path);
    end_document(w);
    TRY(flush(w));
    TRY(end_shard(w, &w->shard));
    *shards = w->shards;
    return 0;
}

static void remove_shard(struct shard *s) {
    if (s->file >= 0) {
        close(s->file);
        unlink(s->temporary);
    }
    XXH3_freeState(s->hash);
    free(s->mask);
}

void token_writer_close(struct token_writer *w) {
    if (!w) return;
    remove_shard(&w->shard);
    remove_shard(&w->next);
    XXH3_freeState(w->begin_hash);
    free(w->buffer);
    free(w);
}
