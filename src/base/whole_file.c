#include "base/whole_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/folders.h"

int whole_file_write(const char *path, const char *text, int64_t length) {
    char temporary[PATH_SIZE + 8], folder[PATH_SIZE];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return fail(STATUS_USAGE, "%.200s…: this path is too long", path);
    FILE *f = fopen(temporary, "wb");
    int failed =
        !f || fwrite(text, 1, (size_t)length, f) != (size_t)length || fflush(f) || fsync(fileno(f)) ? errno : 0;
    if (f && fclose(f) && !failed) failed = errno;
    if (!failed && rename(temporary, path)) failed = errno;
    if (!failed) return path_parent(folder, path) ? STATUS_FAILED : folder_sync(folder);
    if (f) unlink(temporary);
    return fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(failed));
}

/* Reads to the end of an open file; returns 0 or an errno. */
static int read_all(FILE *f, char **text, int64_t *length) {
    size_t room = 0, used = 0, n;
    do {
        if (used + 1 >= room) {
            room = room ? 2 * room : 1 << 16;
            char *moved = realloc(*text, room);
            if (!moved) return ENOMEM;
            *text = moved;
        }
        n = fread(*text + used, 1, room - used - 1, f);
        used += n;
    } while (n > 0);
    (*text)[used] = '\0';
    *length = (int64_t)used;
    return ferror(f) ? errno : 0;
}

int whole_file_read(const char *path, char **text, int64_t *length) {
    *text = NULL;
    *length = 0;
    FILE *f = fopen(path, "rb");
    if (!f) return errno == ENOENT ? 0 : fail(STATUS_FAILED, "%s: cannot read: %s", path, strerror(errno));
    int failed = read_all(f, text, length);
    fclose(f);
    if (!failed) return 0;
    free(*text);
    *text = NULL;
    return fail(STATUS_FAILED, "%s: cannot read: %s", path, strerror(failed));
}
