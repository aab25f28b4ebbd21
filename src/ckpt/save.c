/* Saving: the ranks go through phases together. After each they agree on the worst status, so that none goes on
 * alone and none waits for one that has given up. A phase that talks to other ranks does so first, before anything that
 * can fail on one rank only. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "ckpt/array.h"
#include "ckpt/blocks_write.h"
#include "ckpt/commit.h"
#include "ckpt/files.h"
#include "ckpt/folder.h"
#include "ckpt/shard.h"
#include "ckpt/slices.h"
#include "ckpt/view.h"

/* However much ranks have to tell, the talks take little memory. */
enum { AT_ONCE = 16384 };

enum { REASON_SIZE = 1024, SHARD_EXTRA = 1 << 20 /* for HDF5's own structures */ };

/* What ranks tell each other before they write. */
struct greeting {
    int64_t step, adam_step, skipped;
    int64_t arrays, slices;   /* the slices are this rank's own, without empty ones */
    int64_t bytes;            /* that this rank will write */
    XXH128_canonical_t names; /* hash of the arrays' names, types and shapes */
};

struct held {
    int64_t array;
    struct cut cut;
};

struct ckpt_save {
    const char *dir;
    struct ckpt_meta meta; /* its texts are the caller's */
    const struct ckpt_array *arrays;
    int count;
    const struct ckpt_group *group;
    const char *tokenizer;
    const struct ckpt_keep *keep;
    char final[PATH_SIZE], temporary[PATH_SIZE], shard[PATH_SIZE];

    struct greeting greeting, *greetings; /* mine; those of all ranks */
    struct slice *slices;                 /* mine, and AT_ONCE / sizeof empty ones */
    char *block;                          /* AT_ONCE bytes of every rank's */
    int64_t *at;                          /* where my slices lie */
    int64_t most_slices;                  /* of any rank */
    struct held *held;                    /* all ranks' slices, on rank 0 */
    int64_t held_count;
    struct manifest_file file;
    int64_t *bytes; /* of each rank's file */
    int written;    /* the status of write_shard() */
    char (*reasons)[REASON_SIZE];
    struct manifest manifest; /* rank 0 */
};

static int gather(struct ckpt_save *save, const void *mine, void *all, size_t bytes) {
    const struct ckpt_group *group = save->group;
    if (group->size > 1) return group->gather(group->context, mine, all, (int64_t)bytes);
    memcpy(all, mine, bytes);
    return 0;
}

/* Phase: nothing is allocated between ranks' talks, so that this phase alone ends without a talk about the reason. */
static int allocate(struct ckpt_save *save) {
    size_t ranks = (size_t)save->group->size, count = (size_t)save->count;
    save->greetings = calloc(ranks, sizeof(*save->greetings));
    save->bytes = calloc(ranks, sizeof(*save->bytes));
    save->slices = calloc(count + 1, sizeof(*save->slices));
    save->at = calloc(count + 1, sizeof(*save->at));
    save->block = calloc(ranks + 1, AT_ONCE);
    save->reasons = calloc(ranks, REASON_SIZE);
    if (!save->greetings || !save->bytes || !save->slices || !save->at || !save->block || !save->reasons)
        return fail(STATUS_FAILED, "%s: out of memory for a checkpoint", save->dir);
    return 0;
}

/* Phase: what this rank was given makes sense by itself. */
static int check_own(struct ckpt_save *save) {
    const struct ckpt_meta *meta = &save->meta;
    if (meta->step < 0 || meta->step > EXACT_MAX || meta->adam_step < 0 || meta->adam_step > EXACT_MAX ||
        meta->skipped < 0 || meta->skipped > EXACT_MAX)
        return fail(STATUS_FAILED, "a counter of the checkpoint is negative or above 2^53");
    TRY(slices_check(save->arrays, save->count));
    struct greeting *mine = &save->greeting;
    *mine = (struct greeting){.step = meta->step, .adam_step = meta->adam_step, .skipped = meta->skipped};
    mine->slices = slices_list(save->arrays, save->count, save->slices);
    mine->bytes = shard_bytes(save->arrays, save->count);

    char name[FOLDER_NAME], temporary[FOLDER_NAME + 8], shard[SHARD_NAME];
    folder_name(name, meta->step);
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    shard_name(shard, save->group->rank, save->group->size);
    TRY(path_join(save->final, save->dir, name));
    TRY(path_join(save->temporary, save->dir, temporary));
    TRY(path_join(save->shard, save->temporary, shard));
    return slices_describe(save->arrays, save->count, &mine->arrays, &mine->names);
}

/* Phase: all ranks mean the same checkpoint. */
static int check_together(struct ckpt_save *save) {
    TRY(gather(save, &save->greeting, save->greetings, sizeof save->greeting));
    int64_t slices = 0;
    for (int rank = 0; rank < save->group->size; rank++) {
        slices += save->greetings[rank].slices;
        if (save->greetings[rank].slices > save->most_slices) save->most_slices = save->greetings[rank].slices;
    }
    if (save->group->rank != 0) return 0;
    const struct greeting *mine = &save->greeting;
    for (int rank = 1; rank < save->group->size; rank++) {
        const struct greeting *other = &save->greetings[rank];
        if (other->step != mine->step || other->adam_step != mine->adam_step || other->skipped != mine->skipped)
            return fail(STATUS_FAILED,
                        "ranks save different states: rank 0 is at step %" PRId64 " (%" PRId64 " updates, %" PRId64
                        " skipped), rank %d at step %" PRId64 " (%" PRId64 " updates, %" PRId64 " skipped)",
                        mine->step, mine->adam_step, mine->skipped, rank, other->step, other->adam_step,
                        other->skipped);
        if (other->arrays != mine->arrays || memcmp(&other->names, &mine->names, sizeof mine->names))
            return fail(STATUS_FAILED, "ranks 0 and %d were given different lists of arrays", rank);
    }
    save->held = calloc((size_t)slices + 1, sizeof(*save->held));
    return save->held ? 0 : fail(STATUS_FAILED, "%s: out of memory for a checkpoint", save->dir);
}

/* Rank 0 takes a list of every rank, some of each at a time: `mine` of `count` items, where no rank has more than `most`. Ranks that have
 * fewer send zeros. */
static int gather_list(struct ckpt_save *save, const void *mine, int64_t count, int64_t most, size_t size,
                       void (*take)(struct ckpt_save *save, int rank, int64_t index, const void *item)) {
    int64_t room = AT_ONCE / (int64_t)size;
    char *out = save->block + (size_t)save->group->size * AT_ONCE; /* the room behind that of all ranks */
    for (int64_t sent = 0; sent < most; sent += room) {
        int64_t now = most - sent < room ? most - sent : room, own = count - sent;
        if (own > now) own = now;
        memset(out, 0, (size_t)now * size);
        if (own > 0) memcpy(out, (const char *)mine + (size_t)sent * size, (size_t)own * size);
        TRY(gather(save, out, save->block, (size_t)now * size));
        for (int64_t i = 0; i < now * save->group->size && save->group->rank == 0; i++)
            take(save, (int)(i / now), sent + i % now, save->block + (size_t)i * size);
    }
    return 0;
}

static void take_slice(struct ckpt_save *save, int rank, int64_t index, const void *item) {
    const struct slice *slice = item;
    struct cut cut = {rank, slice->begin, slice->end, slice->at};
    (void)index;
    if (cut.begin < cut.end) save->held[save->held_count++] = (struct held){slice->array, cut};
}

static int gather_slices(struct ckpt_save *save) {
    save->held_count = 0;
    return gather_list(save, save->slices, save->greeting.slices, save->most_slices, sizeof *save->slices, take_slice);
}

static int by_place(const void *a, const void *b) {
    const struct held *left = a, *right = b;
    if (left->array != right->array) return left->array < right->array ? -1 : 1;
    if (left->cut.begin != right->cut.begin) return left->cut.begin < right->cut.begin ? -1 : 1;
    return left->cut.shard - right->cut.shard;
}

/* The cuts of one array over all ranks, which must cover it and not overlap; *next is the first of them. */
static int fill_cuts(struct ckpt_save *save, int index, const struct ckpt_array *slice, int64_t *next) {
    struct manifest_array *array = &save->manifest.array[index];
    array->array = *slice;
    array->array.data = NULL;
    array->array.begin = 0;
    array->array.end = array_elems(slice);
    int64_t end = *next;
    while (end < save->held_count && save->held[end].array == index) end++;
    if (end - *next > INT_MAX) return fail(STATUS_FAILED, "array '%s': more than %d slices", slice->name, INT_MAX);
    array->cut = calloc((size_t)(end - *next) + 1, sizeof(*array->cut));
    if (!array->cut) return fail(STATUS_FAILED, "out of memory");
    while (*next < end) array->cut[array->cuts++] = save->held[(*next)++].cut;
    return manifest_check_cuts(array);
}

static int fill_arrays(struct ckpt_save *save) {
    struct manifest *manifest = &save->manifest;
    int64_t next = 0;
    qsort(save->held, (size_t)save->held_count, sizeof(*save->held), by_place);
    for (int i = 0; i < save->count; i += slices_alike(&save->arrays[i], save->count - i))
        TRY(fill_cuts(save, manifest->arrays++, &save->arrays[i], &next));
    return 0;
}

/* A copy whose texts are its own. */
static int copy_meta(const struct ckpt_meta *from, struct ckpt_meta *to) {
    struct meta_text texts[META_TEXTS];
    int whole = 1;
    *to = *from;
    to->config = strdup(from->config ? from->config : "");
    manifest_texts(to, texts);
    for (int i = 0; i < META_TEXTS; i++)
        if (*texts[i].text) whole = (*texts[i].text = strdup(*texts[i].text)) && whole;
    return whole && to->config ? 0 : fail(STATUS_FAILED, "out of memory");
}

static int fill_manifest(struct ckpt_save *save) {
    struct manifest *manifest = &save->manifest;
    TRY(copy_meta(&save->meta, &manifest->meta));
    manifest->ranks = save->group->size;
    manifest->files = manifest->ranks + 1 + !!save->tokenizer;
    manifest->file = calloc((size_t)manifest->files, sizeof(*manifest->file));
    manifest->array = calloc((size_t)save->greeting.arrays + 1, sizeof(*manifest->array));
    if (!manifest->file || !manifest->array) return fail(STATUS_FAILED, "out of memory");
    TRY(fill_arrays(save));
    time_t now = time(NULL);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || !strftime(manifest->written, sizeof manifest->written, "%Y-%m-%dT%H:%M:%SZ", &utc))
        return fail(STATUS_FAILED, "cannot tell the time");
    return 0;
}

/* A folder that a sweep could not delete, as where a dying process holds a file in it over NFS, must not be in the way for ever. */
static void move_away(const char *temporary) {
    char other[PATH_SIZE];
    if (path_exists(temporary) &&
        snprintf(other, sizeof other, "%.*s.%d.tmp", (int)(strlen(temporary) - strlen(".tmp")), temporary,
                 (int)getpid()) < (int)sizeof other)
        rename(temporary, other);
}

/* Phase: rank 0 makes the temporary folder, once it is certain that the slices make whole arrays and will fit. */
static int prepare(struct ckpt_save *save) {
    TRY(gather_slices(save));
    if (save->group->rank != 0) return 0;
    TRY(fill_manifest(save));
    TRY(folders_make(save->dir));
    if (path_exists(save->final) && !path_is_folder(save->final))
        return fail(STATUS_FAILED, "%s: this is in the way of the checkpoint, and no folder", save->final);
    ckpt_sweep(save->dir);
    move_away(save->temporary);
    int64_t need = 0;
    for (int rank = 0; rank < save->group->size; rank++)
        if (__builtin_add_overflow(need, save->greetings[rank].bytes, &need) ||
            __builtin_add_overflow(need, SHARD_EXTRA, &need))
            need = INT64_MAX;
    TRY(space_check(save->dir, need));
    if (mkdir(save->temporary, 0777))
        return fail(STATUS_FAILED, "%s: cannot make this folder: %s", save->temporary, strerror(errno));
    return folder_sync(save->dir);
}

/* Each rank writes its shard, which is read back from the disk. No talk: it may be on a thread of its own. */
static int write_shard(struct ckpt_save *save) {
    if (!path_exists(save->temporary))
        return fail(STATUS_FAILED,
                    "%s: rank %d does not see the folder that rank 0 made: the folder of checkpoints must be on a file "
                    "system that all ranks share",
                    save->temporary, save->group->rank);
    int64_t need;
    if (__builtin_add_overflow(save->greeting.bytes, SHARD_EXTRA, &need)) need = INT64_MAX;
    TRY(space_check(save->temporary, need));
    TRY(shard_write(save->shard, save->arrays, save->count, save->group->buffered, &save->file, save->at));
    TRY(folder_sync(save->temporary));
    for (int64_t i = 0; i < save->greeting.slices; i++) save->slices[i].at = save->at[i];
    return 0;
}

static int write_tokenizer(struct ckpt_save *save) {
    char path[PATH_SIZE];
    struct manifest_file *file = &save->manifest.file[manifest_tokenizer(&save->manifest)];
    TRY(path_join(path, save->temporary, TOKENIZER_NAME));
    return blocks_write_text(path, save->tokenizer, (int64_t)strlen(save->tokenizer), file);
}

/* Phase: all ranks have written. */
static int written(struct ckpt_save *save) { return save->written; }

static void take_hash(struct ckpt_save *save, int rank, int64_t index, const void *item) {
    struct manifest_file *file = &save->manifest.file[rank];
    if (index < blocks_in(file->bytes)) memcpy(&file->block[index], item, sizeof file->block[index]);
}

/* Phase: rank 0 learns what the files are. */
static int gather_files(struct ckpt_save *save) {
    int64_t most = 0;
    TRY(gather(save, &save->file.bytes, save->bytes, sizeof save->file.bytes));
    for (int rank = 0; rank < save->group->size; rank++)
        if (blocks_in(save->bytes[rank]) > most) most = blocks_in(save->bytes[rank]);
    int status = 0;
    for (int rank = 0; rank < save->group->size && save->group->rank == 0 && !status; rank++) {
        struct manifest_file *file = &save->manifest.file[rank];
        file->block = calloc((size_t)blocks_in(save->bytes[rank]) + 1, sizeof *file->block);
        file->bytes = file->block ? save->bytes[rank] : 0;
        if (!file->block) status = fail(STATUS_FAILED, "out of memory");
    }
    TRY(gather_list(save, save->file.block, blocks_in(save->file.bytes), most, sizeof *save->file.block, take_hash));
    TRY(gather_slices(save));
    return status;
}

/* The slices are the same as in prepare(), and so is their order. */
static void fill_places(struct ckpt_save *save) {
    int64_t next = 0;
    qsort(save->held, (size_t)save->held_count, sizeof(*save->held), by_place);
    for (int i = 0; i < save->manifest.arrays; i++)
        for (int k = 0; k < save->manifest.array[i].cuts; k++)
            save->manifest.array[i].cut[k].at = save->held[next++].cut.at;
}

/* Phase: rank 0 makes the folder count. */
static int make_it_count(struct ckpt_save *save) {
    if (save->group->rank != 0) return 0;
    if (save->tokenizer) TRY(write_tokenizer(save));
    fill_places(save);
    TRY(view_write(save->temporary, &save->manifest, &save->manifest.file[manifest_view(&save->manifest)]));
    return commit(save->dir, save->temporary, save->final, &save->manifest);
}

/* Phase: the checkpoint counts; older ones may go. */
static int retain(struct ckpt_save *save) {
    if (save->group->rank == 0 && save->keep && folder_retain(save->dir, save->keep, save->meta.step, 0, NULL))
        return fail_within(STATUS_FAILED, "%s is saved, but older ones cannot be deleted: ", save->final);
    return 0;
}

typedef int phase(struct ckpt_save *save);
static phase *const before[] = {allocate, check_own, check_together, prepare};
static phase *const after[] = {written, gather_files, make_it_count, retain};

/* Records why the save failed: on a rank that failed its own reason, on rank 0 at least that of the first that did. */
static void share_reason(struct ckpt_save *save) {
    const struct ckpt_group *group = save->group;
    char mine[REASON_SIZE] = ""; /* all of it is sent */
    snprintf(mine, sizeof mine, "%s", fail_message());
    int known = group->size > 1 && group->gather(group->context, mine, save->reasons, REASON_SIZE) == 0;
    int first = 0;
    while (known && group->rank == 0 && first < group->size && !save->reasons[first][0]) first++;
    if (mine[0])
        fail(STATUS_FAILED, "%s", mine);
    else if (known && group->rank == 0 && first < group->size)
        fail(STATUS_FAILED, "rank %d: %s", first, save->reasons[first]);
    else
        fail(STATUS_FAILED, "%s: not saved, because another rank failed; rank 0 says which and why", save->final);
}

static int run_phases(struct ckpt_save *save, phase *const phases[], int count) {
    const struct ckpt_group *group = save->group;
    for (int i = 0; i < count; i++) {
        if (phases[i] != written) fail(STATUS_OK, "%s", ""); /* what is recorded after this is the reason */
        int status = phases[i](save) ? STATUS_FAILED : STATUS_OK;
        if (!status) fail(STATUS_OK, "%s", ""); /* what a phase has tried and got over */
        if (group->size > 1) status = group->agree(group->context, status);
        if (!status) continue;
        if (phases[i] != allocate) share_reason(save);
        return STATUS_FAILED;
    }
    return 0;
}

/* Deletes what a failed save has left, and keeps the reason. */
static void clean_up(struct ckpt_save *save) {
    char reason[REASON_SIZE];
    if (save->group->lost && *save->group->lost) return;
    snprintf(reason, sizeof reason, "%s", fail_message());
    if (save->group->rank == 0 && save->temporary[0]) folder_remove(save->temporary);
    fail(STATUS_FAILED, "%s", reason);
}

static void free_save(struct ckpt_save *save) {
    manifest_free(&save->manifest);
    free(save->greetings);
    free(save->bytes);
    free(save->file.block);
    free(save->at);
    free(save->slices);
    free(save->block);
    free(save->held);
    free(save->reasons);
    free(save);
}

int ckpt_save_begin(const char *dir, const struct ckpt_meta *meta, const struct ckpt_array *arrays, int count,
                    const char *tokenizer, const struct ckpt_group *group, struct ckpt_save **save) {
    *save = NULL;
    if (group->size < 1 || group->size > RANKS_MAX)
        return fail(STATUS_FAILED, "%d ranks cannot save together: 1 to %d can", group->size, RANKS_MAX);
    struct ckpt_save *new = calloc(1, sizeof *new);
    if (!new) {
        if (group->size > 1) group->agree(group->context, STATUS_FAILED);
        return fail(STATUS_FAILED, "%s: out of memory for a checkpoint", dir);
    }
    *new = (struct ckpt_save){.dir = dir, .meta = *meta, .arrays = arrays, .count = count, .group = group};
    new->tokenizer = tokenizer;
    int status = run_phases(new, before, sizeof before / sizeof *before);
    if (status) {
        clean_up(new);
        free_save(new);
        return status;
    }
    *save = new;
    return 0;
}

int64_t ckpt_save_bytes(int ranks) { return 2 * (int64_t)BLOCK_BYTES + (ranks + 1) * (int64_t)AT_ONCE; }

int ckpt_save_write(struct ckpt_save *save) { return write_shard(save); }

int ckpt_save_end(struct ckpt_save *save, int status, const struct ckpt_keep *keep) {
    save->written = status;
    save->keep = keep;
    int result = run_phases(save, after, sizeof after / sizeof *after);
    if (result) clean_up(save);
    free_save(save);
    return result;
}

int ckpt_save(const char *dir, const struct ckpt_meta *meta, const struct ckpt_array *arrays, int count,
              const char *tokenizer, const struct ckpt_group *group, const struct ckpt_keep *keep) {
    struct ckpt_save *save;
    TRY(ckpt_save_begin(dir, meta, arrays, count, tokenizer, group, &save));
    fail(STATUS_OK, "%s", "");
    return ckpt_save_end(save, ckpt_save_write(save), keep);
}
