#include "data/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/check.h"

enum { BLOCK = 1 << 17, WINDOW_LOG_MOST = 27 /* 128 MiB: what `zstd -d` takes without asking */ };

enum kind { PLAIN, GZIP, ZSTD };

struct stream {
    char *path;
    int file;
    enum kind kind;
    uint8_t *block; /* what was read and not yet taken: [at, end) */
    int64_t at, end, position;
    int ended;  /* the file */
    int inside; /* a member or frame has begun and not ended */
    z_stream gzip;
    ZSTD_DStream *zstd;
};

static int refill(struct stream *s) {
    while (s->at == s->end && !s->ended) {
        ssize_t n = read(s->file, s->block, BLOCK);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(STATUS_BAD_DATA, "%s: cannot read data: %s", s->path, strerror(errno));
        s->at = 0;
        s->end = n;
        s->position += n;
        s->ended = n == 0;
    }
    return 0;
}

/* A frame, or a skippable one (0x184D2A50 to 0x184D2A5F, RFC 8878, 3.1.2), with which the files of pzstd begin. */
static int is_zstd(const uint8_t *p) {
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd}, skippable[] = {0x2a, 0x4d, 0x18};
    return !memcmp(p, frame, 4) || ((p[0] & 0xf0) == 0x50 && !memcmp(p + 1, skippable, 3));
}

/* The first bytes decide; a file shorter than a magic number is plain. */
static int choose(struct stream *s) {
    static const uint8_t gzip[] = {0x1f, 0x8b};
    while (s->end < 4 && !s->ended) { /* a pipe may give less */
        ssize_t n = read(s->file, s->block + s->end, (size_t)(BLOCK - s->end));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(STATUS_BAD_DATA, "%s: cannot read data: %s", s->path, strerror(errno));
        s->end += n;
        s->position += n;
        s->ended = n == 0;
    }
    if (s->end >= 2 && !memcmp(s->block, gzip, 2)) s->kind = GZIP;
    if (s->end >= 4 && is_zstd(s->block)) s->kind = ZSTD;
    if (s->kind == GZIP && inflateInit2(&s->gzip, 16 + MAX_WBITS) != Z_OK) {
        s->kind = PLAIN;
        return fail(STATUS_FAILED, "out of memory for zlib");
    }
    if (s->kind == ZSTD) {
        s->zstd = ZSTD_createDStream();
        if (!s->zstd) return fail(STATUS_FAILED, "out of memory for zstd");
        ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MOST);
    }
    return 0;
}

int stream_open(const char *path, struct stream **stream) {
    struct stream *s = *stream = calloc(1, sizeof *s);
    if (!s) return fail(STATUS_FAILED, "out of memory");
    s->file = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    s->path = strdup(strcmp(path, "-") ? path : "standard input");
    s->block = malloc(BLOCK);
    int status = 0;
    if (s->file < 0)
        status = fail(STATUS_BAD_DATA, "%s: cannot read data: %s", path, strerror(errno));
    else if (!s->path || !s->block)
        status = fail(STATUS_FAILED, "out of memory");
    else
        status = choose(s);
    if (!status) return 0;
    stream_close(s);
    *stream = NULL;
    return status;
}

void stream_close(struct stream *s) {
    if (!s) return;
    if (s->kind == GZIP) inflateEnd(&s->gzip);
    ZSTD_freeDStream(s->zstd);
    if (s->file >= 0) close(s->file);
    free(s->path);
    free(s->block);
    free(s);
}

int64_t stream_position(const struct stream *s) { return s->position - (s->end - s->at); }

static int damaged(const struct stream *s, const char *form, const char *what) {
    return fail(STATUS_BAD_DATA, "%s: the %s data is damaged or truncated near byte %" PRId64 " (%s)", s->path, form,
                stream_position(s), what);
}

/* What follows the last member must be another one; zeros are padding, as gzip(1) takes them. */
static int next_member(struct stream *s) {
    while (!s->ended) {
        TRY(refill(s));
        while (s->at < s->end && !s->block[s->at]) s->at++;
        if (s->at == s->end) continue;
        if (s->block[s->at] != 0x1f) return damaged(s, "gzip", "something else follows its end");
        return inflateReset(&s->gzip) == Z_OK ? 0 : damaged(s, "gzip", "cannot go on");
    }
    return 0;
}

static int read_gzip(struct stream *s, char *out, int64_t room, int64_t *got) {
    while (!*got) {
        if (!s->inside) TRY(next_member(s));
        TRY(refill(s));
        if (s->at == s->end) return s->inside ? damaged(s, "gzip", "it ends too early") : 0;
        s->inside = 1;
        s->gzip.next_in = s->block + s->at;
        s->gzip.avail_in = (uInt)(s->end - s->at);
        s->gzip.next_out = (Bytef *)out;
        s->gzip.avail_out = (uInt)(room < BLOCK ? room : BLOCK);
        int result = inflate(&s->gzip, Z_NO_FLUSH);
        s->at = s->end - (int64_t)s->gzip.avail_in;
        *got = (char *)s->gzip.next_out - out;
        if (result == Z_STREAM_END)
            s->inside = 0;
        else if (result != Z_OK && result != Z_BUF_ERROR)
            return damaged(s, "gzip", s->gzip.msg ? s->gzip.msg : "cannot be read");
    }
    return 0;
}

static int read_zstd(struct stream *s, char *out, int64_t room, int64_t *got) {
    while (!*got) {
        /* What was read may still hold output back: only an empty output with no input is the end. */
        TRY(refill(s));
        ZSTD_inBuffer in = {s->block + s->at, (size_t)(s->end - s->at), 0};
        ZSTD_outBuffer to = {out, (size_t)room, 0};
        int empty = in.size == 0;
        if (empty && !s->inside) return 0;
        size_t result = ZSTD_decompressStream(s->zstd, &to, &in);
        s->at += (int64_t)in.pos;
        *got = (int64_t)to.pos;
        if (ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge)
            return fail(STATUS_BAD_DATA,
                        "%s: needs a window of more than %d MiB; compress it without --long or --ultra", s->path,
                        1 << (WINDOW_LOG_MOST - 20));
        if (ZSTD_isError(result)) return damaged(s, "zstd", ZSTD_getErrorName(result));
        s->inside = result != 0;
        if (empty && !*got) return s->inside ? damaged(s, "zstd", "it ends too early") : 0;
    }
    return 0;
}

int stream_read(struct stream *s, char *out, int64_t room, int64_t *got) {
    *got = 0;
    if (s->kind == GZIP) return read_gzip(s, out, room, got);
    if (s->kind == ZSTD) return read_zstd(s, out, room, got);
    TRY(refill(s));
    *got = s->end - s->at < room ? s->end - s->at : room;
    memcpy(out, s->block + s->at, (size_t)*got);
    s->at += *got;
    return 0;
}
