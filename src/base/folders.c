#include "base/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

int path_parent(char out[PATH_SIZE], const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    size_t name = end - begin;
    int dots = (name == 1 && path[begin] == '.') || (name == 2 && path[begin] == '.' && path[begin + 1] == '.');
    if (dots) {
        if (snprintf(out, PATH_SIZE, "%s/..", path) < PATH_SIZE) return 0;
        return fail(STATUS_FAILED, "%s: this path is too long", path);
    }
    while (begin > 1 && path[begin - 1] == '/') begin--;
    if (begin >= PATH_SIZE) return fail(STATUS_FAILED, "%s: this path is too long", path);
    if (begin == 0)
        strcpy(out, ".");
    else {
        memcpy(out, path, begin);
        out[begin] = 0;
    }
    return 0;
}

int path_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int folders_make(const char *path) {
    char part[PATH_SIZE], parent[PATH_SIZE];
    size_t length = strlen(path);
    if (length >= PATH_SIZE) return fail(STATUS_FAILED, "%s: this path is too long", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0777)) { /* on some read-only places the reason is not that it is there */
            int error = errno;
            if (path_is_folder(part)) continue;
            return fail(STATUS_FAILED, "%s: cannot make this folder: %s", part, strerror(error));
        }
        TRY(path_parent(parent, part));
        TRY(folder_sync(parent));
    }
    return 0;
}

int folder_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail(STATUS_FAILED, "%s: cannot open this folder: %s", path, strerror(errno));
    int error = fsync(fd) ? errno : 0;
    close(fd);
    /* Some network file systems cannot sync a folder, and say so with EINVAL: they keep its entries by other means. */
    if (error && error != EINVAL) return fail(STATUS_FAILED, "%s: cannot sync this folder: %s", path, strerror(error));
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info, (void)type, (void)where;
    return remove(path);
}

void folders_remove(const char *path) {
    enum { OPEN_FOLDERS = 16 };
    (void)nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}
