#include "ckpt/folder.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "ckpt/files.h"
#include "ckpt/manifest.h"

void folder_name(char name[FOLDER_NAME], int64_t step) { snprintf(name, FOLDER_NAME, "step-%08" PRId64, step); }

static int ends_in(const char *name, const char *end) {
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* Takes only names that this program writes. */
static int parse_name(const char *name, struct folder_entry *entry) {
    *entry = (struct folder_entry){.old = ends_in(name, ".old")};
    if (strncmp(name, "step-", 5) || strlen(name) >= sizeof entry->name) return 0;
    char *end, canonical[FOLDER_NAME];
    errno = 0;
    entry->step = strtoll(name + 5, &end, 10);
    if (errno || entry->step < 0) return 0;
    folder_name(canonical, entry->step);
    size_t length = strlen(canonical);
    if (strncmp(name, canonical, length) || strcmp(name + length, entry->old ? ".old" : "")) return 0;
    strcpy(entry->name, name);
    return 1;
}

static int has_manifest(const char *dir, const char *name) {
    char path[PATH_SIZE], manifest[PATH_SIZE];
    return !path_join(path, dir, name) && !path_join(manifest, path, MANIFEST_NAME) && path_exists(manifest);
}

static int newest_first(const void *a, const void *b) {
    const struct folder_entry *left = a, *right = b;
    if (left->step != right->step) return left->step < right->step ? 1 : -1;
    return left->old - right->old;
}

static int read_entries(DIR *open_dir, const char *dir, struct folder_entry **entries, int *count) {
    int capacity = 0;
    for (;;) {
        struct folder_entry entry;
        errno = 0;
        struct dirent *found = readdir(open_dir);
        if (!found && errno) return fail(STATUS_BAD_DATA, "%s: cannot read this folder: %s", dir, strerror(errno));
        if (!found) return 0;
        if (!parse_name(found->d_name, &entry) || !has_manifest(dir, entry.name)) continue;
        if (*count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            struct folder_entry *more = realloc(*entries, (size_t)capacity * sizeof(*more));
            if (!more) return fail(STATUS_FAILED, "%s: out of memory", dir);
            *entries = more;
        }
        (*entries)[(*count)++] = entry;
    }
}

int folder_list(const char *dir, struct folder_entry **entries, int *count) {
    *entries = NULL;
    *count = 0;
    DIR *open_dir = opendir(dir);
    if (!open_dir) return fail(STATUS_BAD_DATA, "%s: cannot open this folder of checkpoints: %s", dir, strerror(errno));
    int status = read_entries(open_dir, dir, entries, count);
    closedir(open_dir);
    if (status) {
        free(*entries);
        *entries = NULL;
        *count = 0;
        return status;
    }
    if (*count) qsort(*entries, (size_t)*count, sizeof(**entries), newest_first);
    return 0;
}

int folder_remove_checkpoint(const char *path, int later) {
    char manifest[PATH_SIZE], parent[PATH_SIZE], dying[PATH_SIZE];
    if (!path_exists(path)) return 0;
    TRY(path_parent(parent, path));
    int length = snprintf(dying, sizeof dying, "%s.tmp", path);
    /* Under this name it does not count, and the next sweep finds it should this deletion be cut short. Without the new
     * name the deletion is as good: the manifest goes first. */
    if (length > 0 && (size_t)length < sizeof dying && rename(path, dying) == 0) path = dying;
    TRY(folder_sync(parent));
    if (later && path == dying) return 0;
    TRY(path_join(manifest, path, MANIFEST_NAME));
    if (unlink(manifest) && errno != ENOENT)
        return fail(STATUS_FAILED, "%s: cannot delete: %s", manifest, strerror(errno));
    TRY(folder_sync(path));
    return folder_remove(path);
}

void folder_sweep(const char *dir) {
    DIR *open_dir = opendir(dir);
    if (!open_dir) return;
    for (struct dirent *found; (found = readdir(open_dir));) {
        char path[PATH_SIZE];
        if (strncmp(found->d_name, "step-", 5) || !ends_in(found->d_name, ".tmp")) continue;
        /* What cannot be deleted only takes space, and the next sweep tries again. */
        if (!path_join(path, dir, found->d_name)) folder_remove(path);
    }
    closedir(open_dir);
}

static int is_whole(const char *path) {
    struct manifest manifest;
    if (manifest_read(path, &manifest)) return 0;
    int whole = manifest_check_sizes(path, &manifest) == 0;
    manifest_free(&manifest);
    return whole;
}

static int find_entry(const struct folder_entry *entries, int count, int64_t step) {
    for (int i = 0; i < count; i++)
        if (entries[i].step == step && !entries[i].old) return i;
    return -1;
}

struct candidate {
    int entry;
    double loss;
};

static int lower_first(const void *a, const void *b) {
    const struct candidate *left = a, *right = b;
    if (left->loss != right->loss) return left->loss < right->loss ? -1 : 1;
    return left->entry - right->entry; /* the newer */
}

/* Marks the whole ones with the lowest losses. */
static int mark_best(const char *dir, const struct folder_entry *entries, int count, const struct ckpt_keep *keep,
                     unsigned char *marked) {
    struct candidate *list = calloc((size_t)count + 1, sizeof *list);
    if (!list) return fail(STATUS_FAILED, "%s: out of memory", dir);
    int n = 0;
    for (int i = 0; i < count; i++) list[i] = (struct candidate){i, NAN};
    for (int i = 0; i < keep->count; i++) {
        int entry = find_entry(entries, count, keep->losses[i].step);
        if (entry >= 0) list[entry].loss = keep->losses[i].loss;
    }
    for (int i = 0; i < count; i++)
        if (!isnan(list[i].loss)) list[n++] = list[i];
    qsort(list, (size_t)n, sizeof *list, lower_first);
    for (int i = 0, found = 0; i < n && found < keep->best; i++) {
        char path[PATH_SIZE];
        if (path_join(path, dir, entries[list[i].entry].name) || !is_whole(path)) continue;
        marked[list[i].entry] = 1;
        found++;
    }
    free(list);
    return 0;
}

/* Whether it may go; *kept counts those that stay, from the newest on. What is being replaced is the sweep's business. */
static int goes(const char *path, const struct folder_entry *entry, const struct ckpt_keep *keep, int marked,
                int64_t step, int *kept) {
    if (entry->old) return 0;
    int just_written = entry->step == step, whole = just_written || is_whole(path);
    int beside = whole && (marked || (keep->every > 0 && entry->step % keep->every == 0));
    if (*kept >= keep->newest && !just_written && !beside) return 1;
    *kept += whole;
    return 0;
}

static int retain(const char *dir, const struct folder_entry *entries, int count, const struct ckpt_keep *keep,
                  const unsigned char *marked, int64_t step, int only_tell, FILE *told) {
    int kept = 0;
    for (int i = 0; i < count; i++) {
        char path[PATH_SIZE];
        TRY(path_join(path, dir, entries[i].name));
        if (!goes(path, &entries[i], keep, marked[i], step, &kept)) continue;
        if (!only_tell) TRY(folder_remove_checkpoint(path, keep->later));
        if (told) fprintf(told, "%s\n", entries[i].name);
    }
    return 0;
}

int folder_retain(const char *dir, const struct ckpt_keep *keep, int64_t step, int only_tell, FILE *told) {
    if (keep->newest <= 0) return 0;
    struct folder_entry *entries;
    int count;
    if (folder_list(dir, &entries, &count)) return STATUS_FAILED;
    unsigned char *marked = calloc((size_t)count + 1, 1);
    int status = marked ? 0 : fail(STATUS_FAILED, "%s: out of memory", dir);
    if (!status && keep->best) status = mark_best(dir, entries, count, keep, marked);
    if (!status) status = retain(dir, entries, count, keep, marked, step, only_tell, told);
    free(marked);
    free(entries);
    return status;
}
