#include "data/source_files.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"

enum { PATH_MAX_BYTES = 4096 };

void source_files_free(struct file_list *files) {
    for (int i = 0; i < files->count; i++) free(files->path[i]);
    free(files->path);
    *files = (struct file_list){0};
}

static int add(struct file_list *files, const char *path) {
    char **grown = realloc(files->path, ((size_t)files->count + 1) * sizeof *grown);
    if (grown) files->path = grown;
    char *copy = grown ? strdup(path) : NULL;
    if (!copy) return fail(STATUS_FAILED, "%s: out of memory", path);
    files->path[files->count++] = copy;
    return 0;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The files that a shell's pattern matches, however few; glob() itself would sort as the locale says. */
static int match(const char *pattern, struct file_list *files) {
    glob_t found = {0};
    int status = 0, result = glob(pattern, GLOB_NOSORT, NULL, &found);
    if (result && result != GLOB_NOMATCH) status = fail(STATUS_FAILED, "%s: cannot look for files", pattern);
    for (size_t i = 0; i < found.gl_pathc && !status; i++) status = add(files, found.gl_pathv[i]);
    globfree(&found);
    if (status)
        source_files_free(files);
    else if (files->count)
        qsort(files->path, (size_t)files->count, sizeof *files->path, by_bytes);
    return status;
}

/* A name as part of a pattern stands for itself. */
static int literal(const char *name, const char *tail, char pattern[PATH_MAX_BYTES]) {
    size_t used = 0;
    for (; *name && used < PATH_MAX_BYTES - 64; name++) {
        if (strchr("*?[\\", *name)) pattern[used++] = '\\';
        pattern[used++] = *name;
    }
    if (*name) return fail(STATUS_BAD_DATA, "this path is too long");
    strcpy(pattern + used, tail);
    return 0;
}

/* Bytes of PREFIX in PREFIX-00000.tokens, or of all before the extension. */
static size_t prefix_length(const char *path) {
    size_t end = strlen(path) - strlen(".tokens"), digits = end;
    while (digits > 0 && path[digits - 1] >= '0' && path[digits - 1] <= '9') digits--;
    return digits < end && digits > 0 && path[digits - 1] == '-' ? digits - 1 : end;
}

/* Shards are numbered from 0 without gaps: a lost one must not go unseen. */
static int check_numbers(struct file_list *files) {
    for (int i = 0; i < files->count; i++) {
        char end[32];
        size_t length = strlen(files->path[i]);
        snprintf(end, sizeof end, "-%05d.tokens", i);
        if (length > strlen(end) && !strcmp(files->path[i] + length - strlen(end), end)) continue;
        int status = fail(STATUS_BAD_DATA, "%.*s%s: this shard is missing; there are %d of them",
                          (int)prefix_length(files->path[i]), files->path[i], end, files->count);
        source_files_free(files);
        return status;
    }
    return 0;
}

/* The token files of a folder, if they are of one prefix: train and val side by side must not be mixed up. */
static int of_folder(const char *folder, struct file_list *files) {
    char pattern[PATH_MAX_BYTES];
    TRY(literal(folder, "/*.tokens", pattern));
    TRY(match(pattern, files));
    int status = 0;
    if (!files->count)
        status =
            fail(STATUS_BAD_DATA,
                 "%s: is a folder without .tokens files; make some with lockstep data make, or name the files with "
                 "a pattern ('%s/*.bin')",
                 folder, folder);
    for (int i = 1; i < files->count && !status; i++) {
        size_t first = prefix_length(files->path[0]), length = prefix_length(files->path[i]);
        if (length != first || strncmp(files->path[0], files->path[i], length))
            status = fail(STATUS_BAD_DATA, "%s: has token files of several names; say which: %.*s or %.*s", folder,
                          (int)first, files->path[0], (int)length, files->path[i]);
    }
    if (status) source_files_free(files);
    if (status || files->count == 1) return status; /* one file may have any name */
    return check_numbers(files);
}

int source_files(const char *spec, struct file_list *files) {
    char pattern[PATH_MAX_BYTES];
    struct stat info;
    *files = (struct file_list){0};
    if (!stat(spec, &info)) return S_ISDIR(info.st_mode) ? of_folder(spec, files) : add(files, spec);
    TRY(literal(spec, "-[0-9][0-9][0-9][0-9][0-9].tokens", pattern));
    TRY(match(pattern, files));
    if (files->count) return check_numbers(files);
    if (!strpbrk(spec, "*?")) return add(files, spec); /* opening it tells what is wrong */
    TRY(match(spec, files));
    return files->count ? 0 : fail(STATUS_BAD_DATA, "%s: no file matches this pattern", spec);
}
