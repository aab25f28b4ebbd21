#include "ckpt/blocks_write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/thread.h"

/* What reads and writes past the page cache must be a multiple of, in memory and in the file. */
enum { ALIGNMENT = 4096 };

struct writing {
    const char *path;
    int fd;     /* through the page cache */
    int direct; /* past it; -1: there is no such way */
    int out;    /* whole blocks are written to this one of the two */
    int64_t bytes;
    uint64_t *hash;      /* of each block */
    char *block, *again; /* one that is written, one that is read back */
    pthread_mutex_t lock;
    pthread_cond_t news;
    int64_t written;        /* blocks that can be read back; this and the next under the lock */
    int ended;              /* no more will come */
    _Atomic int cached;     /* the way past the page cache is none: what was read back proves nothing */
    _Atomic int differs;    /* the reader has met an error, */
    struct failure failure; /* this one */
};

/* ---- reading back ---- */

/* Fills w->again with bytes [at, at + length). Past the page cache all is in multiples, of which a file's end may be a part. */
static int read_block(struct writing *w, int64_t at, int64_t length) {
    int direct = w->direct >= 0 && !w->cached;
    for (int64_t have = 0; have < length;) {
        int64_t left = length - have, ask = direct ? (left + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : left;
        ssize_t n = pread(direct ? w->direct : w->fd, w->again + have, (size_t)ask, (off_t)(at + have));
        if (n < 0 && errno == EINTR) continue;
        if (direct && ((n < 0 && errno == EINVAL) || (n > 0 && n < left && n % ALIGNMENT))) {
            w->cached = 1;
            direct = 0;
            continue;
        }
        if (n <= 0)
            return fail(STATUS_FAILED, "%s: cannot read back: %s", w->path, n < 0 ? strerror(errno) : "it ends early");
        have += n;
    }
    return 0;
}

static int check_block(struct writing *w, int64_t i) {
    int64_t at = i * BLOCK_BYTES, length = block_length(w->bytes, i);
    TRY(read_block(w, at, length));
    if (XXH3_64bits(w->again, (size_t)length) == w->hash[i]) return 0;
    return fail(STATUS_FAILED,
                "%s: bytes [%" PRId64 ", %" PRId64 ") read back differently from what was written; the disk or the "
                "memory is not to be trusted",
                w->path, at, at + length);
}

/* Waits for block `i`. 0: there will be none. */
static int comes(struct writing *w, int64_t i) {
    pthread_mutex_lock(&w->lock);
    while (w->written <= i && !w->ended) pthread_cond_wait(&w->news, &w->lock);
    int here = w->written > i;
    pthread_mutex_unlock(&w->lock);
    return here;
}

static int check_blocks(struct writing *w) {
    for (int64_t i = 0; i < blocks_in(w->bytes) && comes(w, i); i++) TRY(check_block(w, i));
    return 0;
}

static void *follow(void *argument) {
    struct writing *w = argument;
    failure_keep(&w->failure, check_blocks(w));
    w->differs = w->failure.status != 0;
    return NULL;
}

/* ---- writing ---- */

/* Room for all of it, so that a disk that is too full says so at once; not every file system can tell. */
static int reserve(const struct writing *w) {
#ifdef FALLOC_FL_KEEP_SIZE
    int status;
    do status = fallocate(w->fd, 0, 0, (off_t)w->bytes);
    while (status && errno == EINTR);
    if (status && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT || errno == EIO))
        return fail(STATUS_FAILED, "%s: cannot write: %s", w->path, strerror(errno));
#endif
    (void)w;
    return 0;
}

static int write_block(struct writing *w, int64_t at, int64_t length) {
    const char *from = w->block;
    int fd = length == BLOCK_BYTES ? w->out : w->fd;
    while (length > 0) {
        ssize_t n = pwrite(fd, from, (size_t)length, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EINVAL && fd == w->direct) { /* opened so, but not to be written so */
            fd = w->out = w->fd;
            w->cached = 1;
            continue;
        }
        if (n <= 0) return fail(STATUS_FAILED, "%s: cannot write: %s", w->path, strerror(n < 0 ? errno : EIO));
        from += n;
        at += n;
        length -= n;
        if (n % ALIGNMENT) fd = w->fd;
    }
    return 0;
}

/* Says how many blocks there are now. */
static void tell(struct writing *w, int64_t written, int ended) {
    pthread_mutex_lock(&w->lock);
    w->written = written;
    w->ended = ended;
    pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
}

static int write_blocks(struct writing *w, int (*fill)(void *context, int64_t at, char *block, int64_t length),
                        void *context) {
    for (int64_t i = 0; i < blocks_in(w->bytes) && !w->differs; i++) {
        int64_t at = i * BLOCK_BYTES, length = block_length(w->bytes, i);
        TRY(fill(context, at, w->block, length));
        w->hash[i] = XXH3_64bits(w->block, (size_t)length);
        TRY(write_block(w, at, length));
        tell(w, i + 1, 0);
    }
    return 0;
}

static int sync_and_check_size(const struct writing *w) {
    struct stat info;
    TRY(file_sync(w->fd, w->path));
    if (fstat(w->fd, &info)) return fail(STATUS_FAILED, "%s: cannot read: %s", w->path, strerror(errno));
    if (info.st_size == w->bytes) return 0;
    return fail(STATUS_FAILED, "%s: the file has %" PRId64 " bytes where %" PRId64 " were written", w->path,
                (int64_t)info.st_size, w->bytes);
}

static int write_and_check(struct writing *w, int (*fill)(void *context, int64_t at, char *block, int64_t length),
                           void *context) {
    pthread_t reader;
    TRY(reserve(w));
    int following = w->direct >= 0 && blocks_in(w->bytes) > 1 && !thread_start(&reader, follow, w);
    int status = write_blocks(w, fill, context);
    if (!status && w->written == blocks_in(w->bytes)) status = sync_and_check_size(w);
    tell(w, status ? 0 : blocks_in(w->bytes), 1);
    if (following) {
        pthread_join(reader, NULL);
        if (!status) status = failure_raise(&w->failure);
        if (status || !w->cached) return status;
    }
#ifdef POSIX_FADV_DONTNEED
    posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED); /* what memory holds of it proves nothing */
#endif
    return status ? status : check_blocks(w);
}

/* ---- files and memory ---- */

static int open_file(struct writing *w, int buffered) {
    w->fd = open(w->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd < 0) return fail(STATUS_FAILED, "%s: cannot create: %s", w->path, strerror(errno));
#ifdef O_DIRECT
    if (!buffered) w->direct = open(w->path, O_RDWR | O_DIRECT | O_CLOEXEC);
#else
    (void)buffered;
#endif
    w->out = w->direct >= 0 ? w->direct : w->fd;
    return 0;
}

static int fill_text(void *context, int64_t at, char *block, int64_t length) {
    memcpy(block, (const char *)context + at, (size_t)length);
    return 0;
}

int blocks_write_text(const char *path, const char *text, int64_t length, struct manifest_file *file) {
    return blocks_write(path, length, 1, fill_text, (void *)(uintptr_t)text, file);
}

int blocks_write(const char *path, int64_t bytes, int buffered,
                 int (*fill)(void *context, int64_t at, char *block, int64_t length), void *context,
                 struct manifest_file *file) {
    struct writing w = {.path = path, .direct = -1, .bytes = bytes};
    *file = (struct manifest_file){bytes, calloc((size_t)blocks_in(bytes) + 1, sizeof *file->block)};
    w.hash = file->block;
    w.block = aligned_alloc(ALIGNMENT, BLOCK_BYTES);
    w.again = aligned_alloc(ALIGNMENT, BLOCK_BYTES);
    int status = w.hash && w.block && w.again ? 0 : fail(STATUS_FAILED, "%s: out of memory", path);
    if (!status) status = open_file(&w, buffered);
    if (!status) {
        pthread_mutex_init(&w.lock, NULL);
        pthread_cond_init(&w.news, NULL);
        status = write_and_check(&w, fill, context);
        pthread_cond_destroy(&w.news);
        pthread_mutex_destroy(&w.lock);
        if (w.direct >= 0) close(w.direct);
        if (close(w.fd) && !status) status = fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(errno));
    }
    free(w.block);
    free(w.again);
    return status;
}
