#include "ckpt/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/check.h"

int path_join(char out[PATH_SIZE], const char *folder, const char *name) {
    int length = snprintf(out, PATH_SIZE, "%s/%s", folder, name);
    if (length < 0 || length >= PATH_SIZE) return fail(STATUS_FAILED, "%s/%s: this path is too long", folder, name);
    return 0;
}

int path_exists(const char *path) { return access(path, F_OK) == 0; }

int file_sync(int fd, const char *path) {
#ifdef F_FULLFSYNC /* macOS: fsync() stops at the drive's own cache */
    if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
#endif
    if (fsync(fd)) return fail(STATUS_FAILED, "%s: cannot sync: %s", path, strerror(errno));
    return 0;
}

/* Deletes the files of an open folder. A subfolder is not ours and stays. */
static int remove_files(DIR *entries, const char *path) {
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(entries);
        if (!entry && errno) return fail(STATUS_FAILED, "%s: cannot read this folder: %s", path, strerror(errno));
        if (!entry) return 0;
        struct stat info;
        if (fstatat(dirfd(entries), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode)) continue;
        if (unlinkat(dirfd(entries), entry->d_name, 0) && errno != ENOENT)
            return fail(STATUS_FAILED, "%s/%s: cannot delete: %s", path, entry->d_name, strerror(errno));
    }
}

int folder_remove(const char *path) {
    DIR *entries = opendir(path);
    if (!entries && errno == ENOENT) return 0;
    if (!entries) return fail(STATUS_FAILED, "%s: cannot open this folder: %s", path, strerror(errno));
    int status = remove_files(entries, path);
    closedir(entries);
    TRY(status);
    if (rmdir(path) && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY)
        return fail(STATUS_FAILED, "%s: cannot delete this folder: %s", path, strerror(errno));
    return 0;
}

int space_check(const char *folder, int64_t need) {
    struct statvfs info;
    if (statvfs(folder, &info))
        return fail(STATUS_FAILED, "%s: cannot tell the free space: %s", folder, strerror(errno));
    /* In floating point: the product overflows 64 bits on file systems that report "unlimited". */
    double available = (double)info.f_bavail * (double)info.f_frsize;
    if (available >= (double)need) return 0;
    char needed[BYTES_TEXT], left[BYTES_TEXT];
    bytes_text(need, needed);
    bytes_text((int64_t)available, left);
    return fail(STATUS_FAILED, "%s: the disk is too full for this checkpoint: %s needed, %s free", folder, needed,
                left);
}

int file_read(const char *path, char **text, int64_t *length) {
    *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(STATUS_FAILED, "%s: cannot open: %s", path, strerror(errno));
    struct stat info;
    int status = 0;
    if (fstat(fd, &info)) status = fail(STATUS_FAILED, "%s: cannot read: %s", path, strerror(errno));
    int64_t size = status ? 0 : (int64_t)info.st_size, done = 0;
    if (!status && !(*text = malloc((size_t)size + 1))) status = fail(STATUS_FAILED, "%s: out of memory", path);
    while (!status && done < size) {
        ssize_t n = read(fd, *text + done, (size_t)(size - done));
        if (n > 0)
            done += n;
        else if (n == 0)
            size = done; /* cut while it is read: the caller sees the shorter text */
        else if (errno != EINTR)
            status = fail(errno == EIO ? STATUS_BAD_DATA : STATUS_FAILED, "%s: cannot read: %s", path, strerror(errno));
    }
    close(fd);
    if (status) {
        free(*text);
        *text = NULL;
        return status;
    }
    (*text)[size] = 0;
    *length = size;
    return 0;
}

void bytes_text(int64_t bytes, char text[BYTES_TEXT]) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(text, BYTES_TEXT, "%d B", (int)bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++) value /= 1024;
    snprintf(text, BYTES_TEXT, "%.1f %s", value, units[unit]);
}
