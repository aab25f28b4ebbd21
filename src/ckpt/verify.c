/* Which checkpoint is whole, and which may go because a newer one is. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/blocks.h"
#include "ckpt/files.h"
#include "ckpt/folder.h"
#include "ckpt/manifest.h"

/* One rank's share of the blocks of all files: each `ranks`-th of them in a row. */
static int verify_share(const char *path, int rank, int ranks) {
    struct manifest manifest;
    TRY(manifest_read(path, &manifest));
    int status = manifest_check_sizes(path, &manifest); /* the quick check of all first */
    int64_t next = rank;
    for (int i = 0; i < manifest.files && !status; i++) {
        int64_t count = blocks_in(manifest.file[i].bytes);
        status = blocks_check(path, &manifest, i, next, ranks);
        if (next < count) next += (count - next + ranks - 1) / ranks * ranks;
        next -= count;
    }
    manifest_free(&manifest);
    return status;
}

int ckpt_verify(const char *path) { return verify_share(path, 0, 1); }

/* The ranks that look together, and room for what they tell each other: of every rank a name, or what it found. */
struct verdict {
    int status;
    char message[FAIL_MESSAGE];
};
struct search {
    const struct ckpt_group *group;
    char (*names)[FOLDER_NAME];
    struct verdict *verdicts;
};

/* All take rank 0's. Nonzero: ranks do not hear of each other. */
static int share_name(const struct search *s, char name[FOLDER_NAME]) {
    if (s->group->size == 1) return 0;
    if (s->group->gather(s->group->context, name, s->names, FOLDER_NAME)) return STATUS_FAILED;
    memcpy(name, s->names[0], FOLDER_NAME);
    return 0;
}

/* *bad: what is wrong with it on any rank, STATUS_FAILED first, and recorded; 0: it is whole. Nonzero as above. */
static int verify_together(const struct search *s, const char *path, int *bad) {
    struct verdict mine = {verify_share(path, s->group->rank, s->group->size), ""};
    *bad = mine.status;
    if (s->group->size == 1) return 0;
    if (mine.status) snprintf(mine.message, sizeof mine.message, "%s", fail_message());
    if (s->group->gather(s->group->context, &mine, s->verdicts, sizeof mine)) return STATUS_FAILED;
    const struct verdict *worst = &s->verdicts[0];
    for (int r = 1; r < s->group->size; r++)
        if (worst->status != STATUS_FAILED && s->verdicts[r].status) worst = &s->verdicts[r];
    *bad = worst->status;
    return fail(STATUS_OK, "%s", worst->message);
}

/* Rank 0's list counts; of the entry that is found *found is the number there. */
static int find_latest(const char *dir, const struct search *s, const struct folder_entry *entries, int count,
                       char path[PATH_SIZE], FILE *passed_over, int *found) {
    for (*found = 0;; ++*found) {
        char name[FOLDER_NAME] = "";
        int bad;
        if (*found < count) snprintf(name, sizeof name, "%s", entries[*found].name);
        TRY(share_name(s, name));
        if (!*name) break;
        TRY(path_join(path, dir, name));
        TRY(verify_together(s, path, &bad));
        if (bad != STATUS_BAD_DATA) return bad;
        if (passed_over && !s->group->rank) fprintf(passed_over, "passed over %s: %s\n", name, fail_message());
    }
    if (*found == 0) return fail(STATUS_BAD_DATA, "%s: there is no checkpoint in this folder", dir);
    return fail(STATUS_BAD_DATA,
                "%s: none of the %d checkpoints in this folder is whole (`lockstep ckpt ls %s` lists them)", dir,
                *found, dir);
}

/* `entry` may be NULL. */
static int search(const char *dir, const struct ckpt_group *group, char path[PATH_SIZE], FILE *passed_over,
                  struct folder_entry *entry) {
    struct folder_entry *entries = NULL;
    size_t ranks = (size_t)group->size;
    struct search s = {group, calloc(ranks, sizeof *s.names), calloc(ranks, sizeof *s.verdicts)};
    int count = 0, number = 0, listed = group->rank ? 0 : folder_list(dir, &entries, &count);
    char reason[FAIL_MESSAGE];
    snprintf(reason, sizeof reason, "%s", fail_message());
    int status = s.names && s.verdicts ? 0 : fail(STATUS_FAILED, "%s: out of memory", dir);
    if (group->size > 1) status = group->agree(group->context, status);
    if (!status) status = find_latest(dir, &s, entries, count, path, passed_over, &number);
    if (listed) status = fail(listed, "%s", reason); /* the others have seen an empty list */
    if (!status && entry) *entry = entries[number];
    free(entries);
    free(s.names);
    free(s.verdicts);
    return status;
}

static const struct ckpt_group alone = {.rank = 0, .size = 1};

int ckpt_latest(const char *dir, const struct ckpt_group *group, char *path, int64_t size, FILE *passed_over) {
    char found[PATH_SIZE];
    TRY(search(dir, group ? group : &alone, found, passed_over, NULL));
    if (snprintf(path, (size_t)size, "%s", found) < size) return 0;
    return fail(STATUS_FAILED, "%s: this path is too long", found);
}

/* One that was being replaced: its successor is whole, or it takes its place again. Who cannot tell leaves both. */
static void settle(const char *dir, const struct folder_entry *entry) {
    char old[PATH_SIZE], new[PATH_SIZE], name[FOLDER_NAME];
    folder_name(name, entry->step);
    if (path_join(old, dir, entry->name) || path_join(new, dir, name)) return;
    int found = path_exists(new) ? ckpt_verify(new) : STATUS_BAD_DATA;
    if (!found)
        folder_remove_checkpoint(old, 0);
    else if (found == STATUS_BAD_DATA && !ckpt_verify(old) && !folder_remove_checkpoint(new, 0) && !rename(old, new))
        folder_sync(dir);
}

void ckpt_sweep(const char *dir) {
    struct folder_entry *entries;
    int count;
    if (folder_list(dir, &entries, &count)) return;
    for (int i = 0; i < count; i++)
        if (entries[i].old) settle(dir, &entries[i]);
    free(entries);
    folder_sweep(dir);
}

int ckpt_prune(const char *dir, const struct ckpt_keep *keep, int only_tell, FILE *told) {
    struct folder_entry newest;
    char path[PATH_SIZE];
    if (!only_tell) ckpt_sweep(dir);
    TRY(search(dir, &alone, path, NULL, &newest));
    if (newest.old)
        return fail(STATUS_BAD_DATA,
                    "%s: the newest whole checkpoint is the one before a broken one of the same step; without "
                    "--dry-run, or when the run is resumed, it takes that one's place",
                    path);
    return folder_retain(dir, keep, newest.step, only_tell, told);
}
