/* What the tests of checkpoints share: a state to save, ranks to save it, and files to look at.
 *
 * Ranks are forked processes that talk through shared memory. Everything is written in a new folder inside the current
 * one. */
#ifndef TESTS_CKPT_FIXTURE_H
#define TESTS_CKPT_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <omp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#undef fail /* cmocka's macro; fail() is ours below */
#include "base/check.h"
#include "ckpt/ckpt.h"

/* ---- the state that is saved ---- */

enum { ARRAYS = 6, RANKS = 65, BIG = 1200001 /* f32: more than one block of 4 MiB */ };

/* The whole state; values depend on the salt, so that states of two steps differ. */
static const struct ckpt_array plain[ARRAYS] = {
    {.name = "params/h0.w", .type = DTYPE_F32, .rank = 2, .dim = {37, 11}},
    {.name = "params/h0.b", .type = DTYPE_F64, .rank = 1, .dim = {13}},
    {.name = "adam.m/h0/w", .type = DTYPE_I32, .rank = 4, .dim = {2, 3, 5, 7}},
    {.name = "bytes", .type = DTYPE_U8, .rank = 3, .dim = {5, 1, 19}},
    {.name = "one", .type = DTYPE_F64, .rank = 0},
    {.name = "none", .type = DTYPE_F32, .rank = 2, .dim = {0, 4}},
};
static const struct ckpt_array big = {.name = "z/big", .type = DTYPE_F32, .rank = 1, .dim = {BIG}};

struct state {
    struct ckpt_array array[ARRAYS + 1];
    int count;
    struct ckpt_meta meta;
};

static inline int64_t elems_of(const struct ckpt_array *array) {
    int64_t elems = 1;
    for (int i = 0; i < array->rank; i++) elems *= array->dim[i];
    return elems;
}

static inline void fill_bytes(struct ckpt_array *array, int salt) {
    unsigned char *data = array->data;
    size_t size = dtype_size(array->type), first = (size_t)array->begin * size, last = (size_t)array->end * size;
    for (size_t i = first; i < last; i++)
        data[i - first] =
            (unsigned char)((i * 2654435761u + (unsigned)salt * 40503u + (unsigned char)array->name[0]) >> 7);
}

/* Where rank `rank` of `ranks` begins: odd places, now and then nothing for a rank. */
static inline int64_t cut_at(const struct ckpt_array *array, int rank, int ranks, int shift) {
    int64_t elems = elems_of(array);
    if (rank == 0) return 0;
    if (rank == ranks) return elems;
    int64_t at = elems * rank / ranks + shift;
    return at < 0 ? 0 : at > elems ? elems : at;
}

static inline void state_make(struct state *state, int64_t step, int salt, int with_big, int rank, int ranks,
                              int shift) {
    memset(state, 0, sizeof *state);
    state->meta = (struct ckpt_meta){.step = step, .adam_step = step - 1, .skipped = 1, .config = "name: \"a b\"\n"};
    state->meta.build = salt % 2 ? "1.0 \"(abc)\"" : NULL;
    state->count = ARRAYS + (with_big ? 1 : 0);
    for (int i = 0; i < state->count; i++) {
        struct ckpt_array *array = &state->array[i];
        *array = i < ARRAYS ? plain[i] : big;
        array->begin = cut_at(array, rank, ranks, shift);
        array->end = cut_at(array, rank + 1, ranks, shift);
        if (array->end < array->begin) array->end = array->begin;
        array->data = calloc((size_t)(array->end - array->begin) + 1, dtype_size(array->type));
        fill_bytes(array, salt);
    }
}

static inline void state_free(struct state *state) {
    for (int i = 0; i <= ARRAYS; i++) free(state->array[i].data);
}

/* Loads into other memory under another cut, and compares. The status of the load, or -1 for wrong content. */
static inline int load_and_compare(const char *path, int salt, int with_big, int rank, int ranks, int shift) {
    struct state meant, found;
    state_make(&meant, 1, salt, with_big, rank, ranks, shift);
    state_make(&found, 1, salt + 1000, with_big, rank, ranks, shift);
    int status = ckpt_load(path, found.array, found.count);
    for (int i = 0; i < meant.count && !status; i++) {
        size_t bytes = (size_t)(meant.array[i].end - meant.array[i].begin) * dtype_size(meant.array[i].type);
        if (memcmp(meant.array[i].data, found.array[i].data, bytes)) status = -1;
    }
    state_free(&meant);
    state_free(&found);
    return status;
}

/* ---- ranks ---- */

static struct shared {
    pthread_barrier_t barrier;
    int status[RANKS];
    char data[RANKS][16384];
    char message[RANKS][2048];
} * shared;

static inline int shared_agree(void *context, int status) {
    const struct ckpt_group *group = context;
    shared->status[group->rank] = status;
    pthread_barrier_wait(&shared->barrier);
    int worst = 0;
    for (int i = 0; i < group->size; i++)
        if (shared->status[i] > worst) worst = shared->status[i];
    pthread_barrier_wait(&shared->barrier);
    return worst;
}

static inline int shared_gather(void *context, const void *mine, void *all, int64_t bytes) {
    const struct ckpt_group *group = context;
    if (bytes > (int64_t)sizeof shared->data[0]) return fail(STATUS_FAILED, "the test's shared memory is too small");
    memcpy(shared->data[group->rank], mine, (size_t)bytes);
    pthread_barrier_wait(&shared->barrier);
    for (int i = 0; i < group->size; i++) memcpy((char *)all + i * bytes, shared->data[i], (size_t)bytes);
    pthread_barrier_wait(&shared->barrier);
    return 0;
}

struct job {
    const char *dir;
    int64_t step;
    int salt, with_big, shift, beside, buffered, later, keep, keep_every, keep_best, n_losses;
    const struct ckpt_loss *losses;
    const char *tokenizer;                                        /* may be NULL */
    void (*change)(struct state *state, int rank);                /* may be NULL */
    int (*save)(const struct job *job, struct ckpt_group *group); /* NULL: save_rank() */
    unsigned seed;                                                /* for such a function */
};

struct beside {
    struct ckpt_save *save;
    struct failure failure;
};

static inline void *write_beside(void *argument) {
    struct beside *b = argument;
    failure_keep(&b->failure, ckpt_save_write(b->save));
    return NULL;
}

/* In parts, the writing on a thread of its own. */
static inline int save_beside(const struct job *job, const struct state *state, const struct ckpt_group *group,
                              const struct ckpt_keep *keep) {
    struct beside b = {0};
    pthread_t thread;
    TRY(ckpt_save_begin(job->dir, &state->meta, state->array, state->count, job->tokenizer, group, &b.save));
    if (pthread_create(&thread, NULL, write_beside, &b)) abort();
    pthread_join(thread, NULL);
    return ckpt_save_end(b.save, failure_raise(&b.failure), keep);
}

static inline int save_rank(const struct job *job, struct ckpt_group *group) {
    struct state state;
    state_make(&state, job->step, job->salt, job->with_big, group->rank, group->size, job->shift);
    if (job->change) job->change(&state, group->rank);
    struct ckpt_keep keep = {.newest = job->keep, .every = job->keep_every, .best = job->keep_best};
    keep.later = job->later;
    keep.losses = job->losses;
    keep.count = job->n_losses;
    int status = job->beside ? save_beside(job, &state, group, &keep)
                             : ckpt_save(job->dir, &state.meta, state.array, state.count, job->tokenizer, group, &keep);
    state_free(&state);
    return status;
}

/* Saves with `ranks` processes. Statuses and messages are in `shared`. The number of ranks that failed; a rank that
 * crashes, also in HDF5's own work at exit, ends the test. */
static inline int save_together(int ranks, const struct job *job) {
    pthread_barrierattr_t attr;
    pthread_barrierattr_init(&attr);
    pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attr, (unsigned)ranks);
    pid_t child[RANKS];
    fflush(NULL);
    omp_pause_resource_all(omp_pause_hard); /* or a child may wait for ever for what one of its threads had locked */
    for (int rank = 0; rank < ranks; rank++) {
        child[rank] = fork();
        if (child[rank]) continue;
        omp_set_num_threads(1); /* the parent's threads are not here, and libgomp would wait for them */
        struct ckpt_group group = {rank, ranks, &group, shared_agree, shared_gather, NULL, job->buffered};
        int status = (job->save ? job->save : save_rank)(job, &group);
        snprintf(shared->message[rank], sizeof shared->message[rank], "%s", fail_message());
        exit(status);
    }
    int failed = 0;
    for (int rank = 0; rank < ranks; rank++) {
        int how;
        assert_int_equal(waitpid(child[rank], &how, 0), child[rank]);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) <= STATUS_BAD_DATA);
        failed += WEXITSTATUS(how) != 0;
    }
    pthread_barrier_destroy(&shared->barrier);
    return failed;
}

static inline int save_alone(const char *dir, int64_t step, int salt, int keep) {
    struct job job = {.dir = dir, .step = step, .salt = salt, .keep = keep};
    struct ckpt_group group = {.rank = 0, .size = 1};
    return save_rank(&job, &group);
}

/* ---- files ---- */

static inline int remove_one(const char *path, const struct stat *info, int flag, struct FTW *at) {
    (void)info, (void)flag, (void)at;
    return remove(path);
}

static char root[64], dir[128], text[4096];

static inline int new_folder(void **unused) {
    (void)unused;
    strcpy(root, "ckpt-test-XXXXXX");
    if (!mkdtemp(root)) return -1;
    snprintf(dir, sizeof dir, "%s/runs/ckpt", root); /* not there yet: saving makes it */
    return 0;
}

static inline int old_folder(void **unused) {
    (void)unused;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* In a ring, so that a few results can be held at once. */
static inline const char *at(const char *format, ...) {
    static char ring[8][512];
    static int next;
    char *path = ring[next++ % 8];
    int used = snprintf(path, sizeof ring[0], "%s/", dir);
    va_list args;
    va_start(args, format);
    vsnprintf(path + used, sizeof ring[0] - (size_t)used, format, args);
    va_end(args);
    return path;
}

static inline int64_t size_of(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (int64_t)info.st_size;
}

static inline void flip(const char *path, int64_t offset) {
    int fd = open(path, O_RDWR);
    unsigned char byte;
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

static inline char *slurp(const char *path, int64_t *length) {
    *length = size_of(path);
    char *content = calloc((size_t)*length + 1, 1);
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(content, 1, (size_t)*length, file), *length);
    fclose(file);
    return content;
}

static inline void spit(const char *path, const char *content, int64_t length) {
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(content, 1, (size_t)length, file), length);
    fclose(file);
}

/* Names in `dir`, joined by spaces in order. */
static inline const char *listing(void) {
    struct dirent **names;
    int count = scandir(dir, &names, NULL, alphasort);
    text[0] = 0;
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') strcat(strcat(text, *text ? " " : ""), names[i]->d_name);
        free(names[i]);
    }
    if (count >= 0) free(names);
    return text;
}

/* A message has these parts; the recorded one has. */
static inline void message_says(const char *message, const char *first, const char *second) {
    int said = strstr(message, first) && strstr(message, second);
    if (!said) print_error("the message lacks '%s' or '%s': %s\n", first, second, message);
    assert_true(said);
}

static inline void says(const char *first, const char *second) { message_says(fail_message(), first, second); }

static inline int map_shared(void **unused) {
    (void)unused;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? -1 : 0;
}

#endif
