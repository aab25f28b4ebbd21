/* What a power cut leaves: makes the folder that the shim watched anew as far as it was on the disk after so many of its calls.
 *
 *   replay LOG                       lists the calls: number, rank, number in the rank, what, path [other path]
 *   replay LOG CALLS MODEL OUT       makes OUT, which must not be there yet, as after CALLS of them
 *
 * Models of what is lost:
 *
 *   strict   everything that was not synced: names count from the sync of their folder on, contents from the sync of their file on
 *   names    names are as they were; of a content what was not synced reads as zeros
 *   SEED     a number: one journal has the names of all folders, and is on the disk up to some call since the last sync of any; each
 *            write to a file since its last sync is there or not, as chance has it
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash/record.h"

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("replay: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

static void *must(void *memory) {
    if (!memory) die("out of memory");
    return memory;
}

/* ---- the log ---- */

struct call {
    struct record record;
    char *path, *other, *data;
};

static struct {
    struct call *call;
    long count;
} the_log;

static char *take(FILE *f, int64_t bytes) {
    char *text = must(calloc((size_t)bytes + 1, 1));
    if (fread(text, 1, (size_t)bytes, f) != (size_t)bytes) die("the log is cut short");
    return text;
}

static void read_log(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) die("%s: %s", path, strerror(errno));
    struct call c;
    while (fread(&c.record, sizeof c.record, 1, f) == 1) {
        if (c.record.magic != RECORD_MAGIC || c.record.kind >= RECORD_KINDS) die("%s is no log of the shim", path);
        c.path = take(f, c.record.path_bytes);
        c.other = take(f, c.record.other_bytes);
        c.data = take(f, c.record.bytes);
        the_log.call = must(realloc(the_log.call, (size_t)(the_log.count + 1) * sizeof c));
        the_log.call[the_log.count++] = c;
    }
    fclose(f);
}

static int is_of_names(int kind) {
    return kind == RECORD_CREATE || kind == RECORD_MKDIR || kind == RECORD_RENAME || kind == RECORD_UNLINK ||
           kind == RECORD_RMDIR;
}

/* ---- the files ---- */

struct entry {
    char *name;
    struct node *node;
};

struct entries {
    struct entry *entry;
    int count;
};

struct node {
    int is_folder;
    struct entries now, synced; /* of a folder */
    char *data;                 /* of a file, when it was synced */
    int64_t bytes, size;        /* of the data; the size that it has now */
    long *pending;              /* calls since then that changed it */
    int n_pending;
};

static struct node *new_node(int is_folder) {
    struct node *node = must(calloc(1, sizeof *node));
    node->is_folder = is_folder;
    return node;
}

static int find(const struct entries *entries, const char *name, size_t length) {
    for (int i = 0; i < entries->count; i++)
        if (strlen(entries->entry[i].name) == length && !memcmp(entries->entry[i].name, name, length)) return i;
    return -1;
}

static void put(struct entries *entries, const char *name, struct node *node) {
    int i = find(entries, name, strlen(name));
    if (i < 0) {
        entries->entry = must(realloc(entries->entry, (size_t)(entries->count + 1) * sizeof *entries->entry));
        i = entries->count++;
        entries->entry[i].name = must(strdup(name));
    }
    entries->entry[i].node = node;
}

static void drop(struct entries *entries, const char *name) {
    int i = find(entries, name, strlen(name));
    if (i >= 0) entries->entry[i] = entries->entry[--entries->count];
}

static struct entries copy(const struct entries *from) {
    struct entries to = {must(calloc((size_t)from->count + 1, sizeof *to.entry)), from->count};
    memcpy(to.entry, from->entry, (size_t)from->count * sizeof *to.entry);
    return to;
}

/* The node at `path` under `root` as it is now; with `last` the folder that it is in, and its name there. NULL: there is none. */
static struct node *look(struct node *root, const char *path, const char **last) {
    struct node *node = root;
    for (;;) {
        const char *end = strchr(path, '/');
        if (!node || !node->is_folder) return NULL;
        if (last && !end) {
            *last = path;
            return node;
        }
        if (!*path) return node;
        int i = find(&node->now, path, end ? (size_t)(end - path) : strlen(path));
        node = i < 0 ? NULL : node->now.entry[i].node;
        if (!end) return node;
        path = end + 1;
    }
}

static void change_file(struct node *file, long call) {
    const struct record *record = &the_log.call[call].record;
    file->pending = must(realloc(file->pending, (size_t)(file->n_pending + 1) * sizeof *file->pending));
    file->pending[file->n_pending++] = call;
    int64_t end = record->offset + record->bytes;
    if (record->kind == RECORD_CUT || end > file->size) file->size = end;
}

static void sync_file(struct node *file, const struct call *c) {
    file->data = c->data;
    file->bytes = file->size = c->record.bytes;
    file->n_pending = 0;
}

static void rename_to(struct node *root, const struct call *c) {
    const char *name, *other;
    struct node *node = look(root, c->path, NULL), *from = look(root, c->path, &name),
                *to = look(root, c->other, &other);
    if (!node || !to) die("%s is renamed, and not there", c->path);
    drop(&from->now, name);
    put(&to->now, other, node);
}

/* `lost`: calls that change names are passed over now, so that later ones may speak of what is not there. */
static void apply(struct node *root, long call, int lost) {
    const struct call *c = &the_log.call[call];
    const char *name;
    int kind = c->record.kind;
    if (lost && is_of_names(kind)) return;
    struct node *node = look(root, c->path, NULL), *folder = look(root, c->path, &name);
    if (!folder || (!node && kind != RECORD_CREATE && kind != RECORD_MKDIR)) {
        if (lost) return;
        die("call %ld: %s is not there", call + 1, c->path);
    }
    if (kind == RECORD_CREATE && !node) put(&folder->now, name, new_node(0));
    if (kind == RECORD_MKDIR) put(&folder->now, name, new_node(1));
    if (kind == RECORD_UNLINK || kind == RECORD_RMDIR) drop(&folder->now, name);
    if (kind == RECORD_RENAME) rename_to(root, c);
    if (kind == RECORD_WRITE || kind == RECORD_CUT) change_file(node, call);
    if (kind == RECORD_SYNC) sync_file(node, c);
    if (kind == RECORD_SYNC_FOLDER) node->synced = copy(&node->now);
}

/* ---- what is left ---- */

static struct { int strict, chance; } model;

static int by_chance(void) { return rand() / 7 % 2; }

/* The content of a file, *bytes of it. */
static char *content(const struct node *file, int64_t *bytes) {
    int64_t size = model.strict ? file->bytes : file->size, room = size > file->bytes ? size : file->bytes;
    for (int i = 0; i < file->n_pending; i++) {
        const struct record *record = &the_log.call[file->pending[i]].record;
        if (record->offset + record->bytes > room) room = record->offset + record->bytes;
    }
    char *data = must(calloc((size_t)room + 1, 1));
    memcpy(data, file->data, (size_t)file->bytes);
    *bytes = size;
    if (!model.chance) return data;
    if (by_chance()) *bytes = file->bytes;
    for (int i = 0; i < file->n_pending; i++) {
        const struct call *c = &the_log.call[file->pending[i]];
        if (by_chance()) continue;
        memcpy(data + c->record.offset, c->data, (size_t)c->record.bytes);
        if (c->record.kind == RECORD_CUT && c->record.offset < room)
            memset(data + c->record.offset, 0, (size_t)(room - c->record.offset));
        int64_t end = c->record.offset + c->record.bytes;
        if (c->record.kind == RECORD_CUT || end > *bytes) *bytes = end;
    }
    return data;
}

static void write_out(const struct node *node, const char *path) {
    char inner[PATH_MAX];
    if (node->is_folder) {
        const struct entries *entries = model.strict ? &node->synced : &node->now;
        if (mkdir(path, 0777)) die("%s: %s", path, strerror(errno));
        for (int i = 0; i < entries->count; i++) {
            if (snprintf(inner, sizeof inner, "%s/%s", path, entries->entry[i].name) >= PATH_MAX)
                die("%s: this path is too long", path);
            write_out(entries->entry[i].node, inner);
        }
        return;
    }
    int64_t bytes;
    char *data = content(node, &bytes);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, (size_t)bytes, f) != (size_t)bytes || fclose(f)) die("%s: %s", path, strerror(errno));
    free(data);
}

/* Names as at a call from the last sync of a folder on. */
static long names_until(long calls) {
    long synced = 0;
    for (long i = 0; i < calls; i++)
        if (the_log.call[i].record.kind == RECORD_SYNC_FOLDER) synced = i + 1;
    return model.chance ? synced + rand() / 7 % (calls - synced + 1) : calls;
}

static void list(void) {
    static const char *const names[RECORD_KINDS] = {"create", "cut",    "write",  "sync", "sync-folder",
                                                    "mkdir",  "rename", "unlink", "rmdir"};
    for (long i = 0; i < the_log.count; i++) {
        const struct call *c = &the_log.call[i];
        printf("%ld %d %" PRId64 " %s %s %s\n", i + 1, c->record.rank, c->record.at, names[c->record.kind],
               *c->path ? c->path : ".", c->other);
    }
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 5) die("replay LOG [CALLS strict|names|SEED OUT]");
    read_log(argv[1]);
    if (argc == 2) {
        list();
        return 0;
    }
    long calls = atol(argv[2]);
    if (calls < 0 || calls > the_log.count) die("there are %ld calls", the_log.count);
    model.strict = !strcmp(argv[3], "strict");
    model.chance = !model.strict && strcmp(argv[3], "names");
    if (model.chance && atol(argv[3]) <= 0) die("a model is strict, names, or a number above 0");
    srand((unsigned)atol(argv[3]));
    struct node *root = new_node(1);
    long until = names_until(calls);
    for (long i = 0; i < calls; i++) apply(root, i, i >= until);
    write_out(root, argv[4]);
    return 0;
}
