/* Preloaded into a program (LD_PRELOAD), this library counts the calls that change files under a folder, writes them down, and lets one
 * of them go wrong.
 *
 *   CRASH_UNDER  the folder, absolute
 *   CRASH_LOG    a file that gets a record of every such call, once it is done; record.h
 *   CRASH_AT     the call that goes wrong: the so-many-th of its rank, from 1 on
 *   CRASH_RANK   its rank; without it rank 0
 *   CRASH_DO     kill   the process is gone before the call
 *                torn   half of what the call was to write is written, then the process is gone; other calls as with kill
 *                enospc, eio   the call does nothing and fails so; a call that cannot fail for want of space does its work
 *                short  half of what the call was to write is written, and the call says so
 *   CRASH_MARK   a file that is made when that call is met
 *   CRASH_NO_THREADS  the program's own threads cannot be made
 *   CRASH_PIDS   with kill and torn: a folder in which each rank leaves its process id; all of them are killed, not one alone
 *
 * Calls of ranks count under OMPI_COMM_WORLD_RANK. Writes of stdio are calls inside of libc, which are not seen: of such files the
 * log has what they hold when they are synced. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crash/record.h"

enum action { NOTHING, KILL, TORN, NO_SPACE, IO_ERROR, SHORT };

static const char *const action_names[] = {"", "kill", "torn", "enospc", "eio", "short"};

static struct {
    const char *under, *pids;
    int log, rank;
    long at;
    enum action action;
    long calls; /* so far; under the lock */
    pthread_mutex_t lock;
} shim = {.log = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

/* A word of the shim's own failures: a test must not pass because nothing was watched. */
static void give_up(const char *what) {
    fprintf(stderr, "crash shim: %s\n", what);
    _exit(98);
}

static void leave_pid(void) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%d", shim.pids, (int)getpid());
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0) give_up("cannot leave the process id");
    syscall(SYS_close, fd);
}

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("CRASH_AT"), *action = getenv("CRASH_DO"), *log = getenv("CRASH_LOG");
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *meant = getenv("CRASH_RANK");
    shim.under = getenv("CRASH_UNDER");
    if (!shim.under) return;
    shim.rank = rank ? atoi(rank) : 0;
    shim.pids = getenv("CRASH_PIDS");
    if (shim.pids) leave_pid();
    if (log) {
        shim.log = (int)syscall(SYS_openat, AT_FDCWD, log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0666);
        if (shim.log < 0) give_up("cannot open the log");
    }
    if (!at || shim.rank != (meant ? atoi(meant) : 0)) return;
    shim.at = atol(at);
    for (int i = KILL; i <= SHORT; i++)
        if (action && !strcmp(action, action_names[i])) shim.action = (enum action)i;
    if (!shim.action) give_up("CRASH_DO must say kill, torn, enospc, eio or short");
}

/* The path under the folder, or NULL for what lies elsewhere. The folder itself is "". */
static const char *inside(const char *path) {
    size_t length = strlen(shim.under);
    if (strncmp(path, shim.under, length) || (path[length] && path[length] != '/')) return NULL;
    return path[length] ? path + length + 1 : path + length;
}

static const char *of_fd(int fd, char path[PATH_MAX]) {
    char link[40];
    if (!shim.under || fd < 0) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0) return NULL;
    path[n] = 0;
    return inside(path);
}

/* Ours has no links and no ".." in the paths of a run. */
static const char *of_path(int folder, const char *name, char path[PATH_MAX]) {
    if (!shim.under) return NULL;
    if (*name == '/') {
        if (strlen(name) >= PATH_MAX) return NULL;
        strcpy(path, name);
        return inside(path);
    }
    char here[PATH_MAX];
    if (folder == AT_FDCWD) {
        if (!getcwd(here, sizeof here)) return NULL;
    } else {
        char link[40];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t n = readlink(link, here, sizeof here - 1);
        if (n < 0) return NULL;
        here[n] = 0;
    }
    while (!strncmp(name, "./", 2)) name += 2;
    if (snprintf(path, PATH_MAX, "%s/%s", here, name) >= PATH_MAX) return NULL;
    return inside(path);
}

static void kill_all(void) {
    DIR *pids = shim.pids ? opendir(shim.pids) : NULL;
    for (struct dirent *entry; pids && (entry = readdir(pids));) {
        int pid = atoi(entry->d_name);
        if (pid > 0 && pid != getpid()) kill(pid, SIGKILL);
    }
    kill(getpid(), SIGKILL);
}

/* What the call is to do, and its number. */
static enum action next_call(long *number) {
    pthread_mutex_lock(&shim.lock);
    *number = ++shim.calls;
    pthread_mutex_unlock(&shim.lock);
    enum action action = *number == shim.at ? shim.action : NOTHING;
    const char *mark = action ? getenv("CRASH_MARK") : NULL;
    if (mark) syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
    if (action == KILL) kill_all();
    return action;
}

static void put(struct record *record, const char *path, const char *other, const void *data) {
    int error = errno;
    if (shim.log < 0) return;
    record->magic = RECORD_MAGIC;
    record->rank = (uint16_t)shim.rank;
    record->path_bytes = (uint32_t)strlen(path);
    record->other_bytes = other ? (uint32_t)strlen(other) : 0;
    const struct iovec parts[] = {{record, sizeof *record},
                                  {(char *)path, record->path_bytes},
                                  {(char *)other, record->other_bytes},
                                  {(char *)data, (size_t)record->bytes}};
    ssize_t all = 0;
    for (int i = 0; i < 4; i++) all += (ssize_t)parts[i].iov_len;
    if (writev(shim.log, parts, 4) != all) give_up("cannot write the log");
    errno = error;
}

/* Calls without data. `action` is what next_call() said. 1: it fails, errno says how. */
static int fails(enum action action, int wants_space) {
    if (action == TORN) kill_all();
    if (action == NO_SPACE && wants_space) {
        errno = ENOSPC;
        return 1;
    }
    if (action == IO_ERROR) {
        errno = EIO;
        return 1;
    }
    return 0;
}

/* ---- opening ---- */

static int open_at(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    long number = 0;
    const char *at = flags & (O_CREAT | O_TRUNC) ? of_path(folder, name, path) : NULL;
    if (!at) return (int)syscall(SYS_openat, folder, name, flags, mode);
    if (fails(next_call(&number), 1)) return -1;
    int fd = (int)syscall(SYS_openat, folder, name, flags, mode);
    if (fd < 0) return fd;
    struct record record = {.kind = RECORD_CREATE, .at = number};
    put(&record, at, NULL, NULL);
    if (!(flags & O_TRUNC)) return fd;
    record = (struct record){.kind = RECORD_CUT, .at = number};
    put(&record, at, NULL, NULL);
    return fd;
}

#define MODE_OF(flags)                                                                                                 \
    mode_t mode = 0;                                                                                                   \
    if ((flags)&O_CREAT) {                                                                                             \
        va_list args;                                                                                                  \
        va_start(args, flags);                                                                                         \
        mode = va_arg(args, mode_t);                                                                                   \
        va_end(args);                                                                                                  \
    }

int open(const char *name, int flags, ...) {
    MODE_OF(flags)
    return open_at(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) {
    MODE_OF(flags)
    return open_at(AT_FDCWD, name, flags | O_LARGEFILE, mode);
}
int openat(int folder, const char *name, int flags, ...) {
    MODE_OF(flags)
    return open_at(folder, name, flags, mode);
}
int openat64(int folder, const char *name, int flags, ...) {
    MODE_OF(flags)
    return open_at(folder, name, flags | O_LARGEFILE, mode);
}

static FILE *open_stream(const char *symbol, const char *name, const char *mode) {
    FILE *(*real)(const char *, const char *) = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, symbol);
    char path[PATH_MAX];
    long number = 0;
    const char *at = *mode != 'r' ? of_path(AT_FDCWD, name, path) : NULL;
    if (!at) return real(name, mode);
    if (fails(next_call(&number), 1)) return NULL;
    FILE *f = real(name, mode);
    if (!f) return f;
    struct record record = {.kind = RECORD_CREATE, .at = number};
    put(&record, at, NULL, NULL);
    if (*mode != 'w') return f;
    record = (struct record){.kind = RECORD_CUT, .at = number};
    put(&record, at, NULL, NULL);
    return f;
}

FILE *fopen(const char *name, const char *mode) { return open_stream("fopen", name, mode); }
FILE *fopen64(const char *name, const char *mode) { return open_stream("fopen64", name, mode); }

/* ---- writing ---- */

/* offset -1: where the file stands. */
static ssize_t write_at(int fd, const void *data, size_t size, off_t offset) {
    char path[PATH_MAX];
    long number = 0;
    const char *at = of_fd(fd, path);
    enum action action = at ? next_call(&number) : NOTHING;
    if (action == NO_SPACE || action == IO_ERROR) {
        errno = action == NO_SPACE ? ENOSPC : EIO;
        return -1;
    }
    size_t now = (action == TORN || action == SHORT) && size > 1 ? size / 2 : size;
    off_t place = offset < 0 && at ? lseek(fd, 0, SEEK_CUR) : offset;
    ssize_t n = offset < 0 ? syscall(SYS_write, fd, data, now) : syscall(SYS_pwrite64, fd, data, now, offset);
    if (action == TORN) kill_all();
    if (!at || n < 0) return n;
    struct record record = {.kind = RECORD_WRITE, .offset = place, .bytes = n, .at = number};
    put(&record, at, NULL, data);
    return n;
}

ssize_t write(int fd, const void *data, size_t size) { return write_at(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return write_at(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return write_at(fd, data, size, offset); }

static int cut(int fd, off_t size) {
    char path[PATH_MAX];
    long number = 0;
    const char *at = of_fd(fd, path);
    if (at && fails(next_call(&number), 1)) return -1;
    int status = (int)syscall(SYS_ftruncate, fd, size);
    if (!at || status) return status;
    struct record record = {.kind = RECORD_CUT, .offset = size, .at = number};
    put(&record, at, NULL, NULL);
    return 0;
}

static int make_room(int fd, int mode, off_t offset, off_t bytes) {
    char path[PATH_MAX];
    long number = 0;
    struct stat before, after;
    const char *at = of_fd(fd, path);
    if (at && fails(next_call(&number), 1)) return -1;
    if (!at) return (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
    if (fstat(fd, &before) || syscall(SYS_fallocate, fd, mode, offset, bytes)) return -1;
    if (fstat(fd, &after) || after.st_size == before.st_size) return 0;
    struct record record = {.kind = RECORD_CUT, .offset = after.st_size, .at = number};
    put(&record, at, NULL, NULL);
    return 0;
}

int fallocate(int fd, int mode, off_t offset, off_t bytes) { return make_room(fd, mode, offset, bytes); }
int fallocate64(int fd, int mode, off_t offset, off_t bytes) { return make_room(fd, mode, offset, bytes); }

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off_t size) { return cut(fd, size); }

/* ---- syncing ---- */

/* All that the file holds, also where it is open for writing only. */
static char *content(const char *path, int64_t *bytes) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    struct stat info;
    if (fd < 0 || fstat(fd, &info)) give_up("cannot read what is synced");
    char *data = malloc((size_t)info.st_size + 1);
    *bytes = data ? read(fd, data, (size_t)info.st_size) : -1;
    if (*bytes != info.st_size) give_up("cannot read what is synced");
    syscall(SYS_close, fd);
    return data;
}

static int sync_with(long call, int fd) {
    char path[PATH_MAX];
    long number = 0;
    struct stat info;
    const char *at = of_fd(fd, path);
    if (at && fails(next_call(&number), 1)) return -1;
    int status = (int)syscall(call, fd);
    if (!at || status || shim.log < 0) return status;
    struct record record = {.kind = RECORD_SYNC, .at = number};
    char *data = NULL;
    if (!fstat(fd, &info) && S_ISDIR(info.st_mode)) {
        record.kind = RECORD_SYNC_FOLDER;
    } else {
        data = content(path, &record.bytes);
    }
    put(&record, at, NULL, data);
    free(data);
    return 0;
}

int fsync(int fd) { return sync_with(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }

/* ---- threads ---- */

/* Those of libraries can be made: their functions lie elsewhere than in the program. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    Dl_info where;
    if (getenv("CRASH_NO_THREADS") && dladdr((void *)(uintptr_t)start, &where) && strstr(where.dli_fname, "lockstep"))
        return EAGAIN;
    return ((create *)dlsym(RTLD_NEXT, "pthread_create"))(thread, attributes, start, argument);
}

/* ---- names ---- */

static int change(int kind, int wants_space, int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    long number = 0;
    const char *at = of_path(folder, name, path);
    if (at && fails(next_call(&number), wants_space)) return -1;
    int status = (int)(kind == RECORD_MKDIR ? syscall(SYS_mkdirat, folder, name, mode)
                                            : syscall(SYS_unlinkat, folder, name, flags));
    if (!at || status) return status;
    struct record record = {.kind = (uint16_t)kind, .at = number};
    put(&record, at, NULL, NULL);
    return 0;
}

int mkdir(const char *name, mode_t mode) { return change(RECORD_MKDIR, 1, AT_FDCWD, name, 0, mode); }
int unlink(const char *name) { return change(RECORD_UNLINK, 0, AT_FDCWD, name, 0, 0); }
int rmdir(const char *name) { return change(RECORD_RMDIR, 0, AT_FDCWD, name, AT_REMOVEDIR, 0); }
int unlinkat(int folder, const char *name, int flags) {
    return change(flags & AT_REMOVEDIR ? RECORD_RMDIR : RECORD_UNLINK, 0, folder, name, flags, 0);
}

int rename(const char *from, const char *to) {
    char path[PATH_MAX], other[PATH_MAX];
    long number = 0;
    const char *at = of_path(AT_FDCWD, from, path), *there = of_path(AT_FDCWD, to, other);
    if (at && there && fails(next_call(&number), 1)) return -1;
    int status = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (!at || !there || status) return status;
    struct record record = {.kind = RECORD_RENAME, .at = number};
    put(&record, at, there, NULL);
    return 0;
}
