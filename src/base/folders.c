#include "base/folders.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"

int folders_make(const char *path) {
    char part[1200];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1;; p++) {
        if (*p && *p != '/') continue;
        char end = *p;
        *p = '\0';
        if (mkdir(part, 0777) && errno != EEXIST)
            return fail(STATUS_FAILED, "%s: cannot make this folder: %s", part, strerror(errno));
        if (!end) return 0;
        *p = '/';
    }
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info, (void)type, (void)where;
    return remove(path);
}

void folders_remove(const char *path) {
    enum { OPEN_FOLDERS = 16 };
    (void)nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}
