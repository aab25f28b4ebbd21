#include "data/input_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"

enum { DEPTH_MOST = 64 }; /* of folders: links may lead in circles */

static int add(struct input_files *files, const char *path, int64_t bytes) {
    if (files->count == files->capacity) {
        int64_t capacity = files->capacity ? 2 * files->capacity : 64;
        struct input_file *grown = realloc(files->file, (size_t)capacity * sizeof *grown);
        if (!grown) return fail(STATUS_FAILED, "out of memory");
        files->file = grown;
        files->capacity = capacity;
    }
    char *copy = strdup(path);
    if (!copy) return fail(STATUS_FAILED, "out of memory");
    files->file[files->count++] = (struct input_file){copy, bytes};
    files->bytes += bytes;
    return 0;
}

static int visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }
static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int list(struct input_files *files, const char *path, int depth);

static int list_folder(struct input_files *files, const char *path, int depth) {
    struct dirent **entries;
    char inside[4096];
    int status = 0, n = scandir(path, &entries, visible, by_bytes);
    if (n < 0) return fail(STATUS_BAD_DATA, "%s: cannot read this folder: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        int fits = snprintf(inside, sizeof inside, "%s/%s", path, entries[i]->d_name) < (int)sizeof inside;
        if (!status) status = fits ? list(files, inside, depth + 1) : fail(STATUS_BAD_DATA, "%s: is too long", path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static int list(struct input_files *files, const char *path, int depth) {
    struct stat info;
    if (depth > DEPTH_MOST)
        return fail(STATUS_BAD_DATA, "%s: more than %d folders deep; does a link lead in a circle?", path, DEPTH_MOST);
    if (stat(path, &info)) return fail(STATUS_BAD_DATA, "%s: cannot read data: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) return list_folder(files, path, depth);
    return add(files, path, S_ISREG(info.st_mode) ? (int64_t)info.st_size : 0);
}

int input_files_list(const char *const *paths, int n, struct input_files *files) {
    *files = (struct input_files){0};
    for (int i = 0; i < n; i++) {
        int64_t before = files->count;
        int status = strcmp(paths[i], "-") ? list(files, paths[i], 0) : add(files, "-", 0);
        if (!status && files->count == before) status = fail(STATUS_BAD_DATA, "%s: there are no files in it", paths[i]);
        if (!status) continue;
        input_files_free(files);
        return status;
    }
    return 0;
}

void input_files_free(struct input_files *files) {
    for (int64_t i = 0; i < files->count; i++) free(files->file[i].path);
    free(files->file);
    *files = (struct input_files){0};
}
