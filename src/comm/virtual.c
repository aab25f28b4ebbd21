#include "comm/virtual.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* A send or a receive that waits for its other half, in a list of those between two ranks, oldest first. */
struct half {
    struct half *next;
    struct rank *owner;
    int line, peer;
    char *data;
    int64_t bytes;
};

struct pair {
    struct half *sends, *receives; /* from one rank to another; at most one of the two lists has halves of a line */
};

struct line {
    struct half *half; /* room for all that a start posts */
    int open;          /* halves that are not through */
};

struct rank {
    struct virtual_world *world;
    int rank, lines;
    struct line *line;
    struct half *halves;
};

struct virtual_world {
    int size;
    pthread_mutex_t mutex;
    struct pair *pair; /* [from][to] */
    struct rank *rank;
    int mismatch; /* two halves of different sizes have met */
};

int virtual_new(int size, struct virtual_world **out) {
    struct virtual_world *world = calloc(1, sizeof *world);
    *out = world;
    if (!world) return fail(STATUS_FAILED, "out of memory");
    world->size = size;
    world->pair = calloc((size_t)size * (size_t)size, sizeof *world->pair);
    world->rank = calloc((size_t)size, sizeof *world->rank);
    pthread_mutex_init(&world->mutex, NULL);
    if (world->pair && world->rank) return 0;
    virtual_free(world);
    *out = NULL;
    return fail(STATUS_FAILED, "out of memory");
}

void virtual_free(struct virtual_world *world) {
    if (!world) return;
    pthread_mutex_destroy(&world->mutex);
    free(world->pair);
    free(world->rank);
    free(world);
}

int virtual_join(struct virtual_world *world, int rank, struct comm *comm) {
    world->rank[rank] = (struct rank){.world = world, .rank = rank};
    return comm_open_with(comm, &transport_virtual, &world->rank[rank]);
}

static int virtual_open(struct comm *comm) {
    const struct rank *me = comm->own;
    comm->threads = 1;
    comm->rank = me->rank;
    comm->size = comm->local_size = me->world->size;
    return 0;
}

static int virtual_reserve(struct comm *comm, int lines, const int *messages) {
    struct rank *me = comm->own;
    size_t all = 0, at = 0;
    for (int i = 0; i < lines; i++) all += 2 * (size_t)messages[i];
    free(me->line);
    free(me->halves);
    me->line = calloc((size_t)lines, sizeof *me->line);
    me->halves = calloc(all + 1, sizeof *me->halves);
    if (!me->line || !me->halves) return fail(STATUS_FAILED, "out of memory for %zu messages", all);
    me->lines = lines;
    for (int i = 0; i < lines; i++) {
        me->line[i].half = me->halves + at;
        at += 2 * (size_t)messages[i];
    }
    return 0;
}

/* The first of a list that is on this line, taken out of it. */
static struct half *take(struct half **list, int line) {
    for (; *list; list = &(*list)->next)
        if ((*list)->line == line) {
            struct half *found = *list;
            *list = found->next;
            return found;
        }
    return NULL;
}

static void append(struct half **list, struct half *half) {
    while (*list) list = &(*list)->next;
    *list = half;
}

static void post(struct rank *me, struct half *half, int sends) {
    struct virtual_world *world = me->world;
    int from = sends ? me->rank : half->peer, to = sends ? half->peer : me->rank;
    struct pair *pair = &world->pair[from * world->size + to];
    me->line[half->line].open++;
    struct half *other = take(sends ? &pair->receives : &pair->sends, half->line);
    if (!other) {
        append(sends ? &pair->sends : &pair->receives, half);
        return;
    }
    if (other->bytes != half->bytes) world->mismatch = 1;
    if (!world->mismatch)
        memcpy(sends ? other->data : half->data, sends ? half->data : other->data, (size_t)half->bytes);
    other->owner->line[other->line].open--;
    me->line[half->line].open--;
}

static int virtual_start(struct comm *comm, int line, const struct comm_message *sends, int n_sends,
                         const struct comm_message *receives, int n_receives) {
    struct rank *me = comm->own;
    struct half *half = me->line[line].half;
    pthread_mutex_lock(&me->world->mutex);
    for (int i = 0; i < n_sends + n_receives; i++) {
        const struct comm_message *m = i < n_sends ? &sends[i] : &receives[i - n_sends];
        half[i] = (struct half){NULL, me, line, m->peer, m->data, m->bytes};
        post(me, &half[i], i < n_sends);
    }
    pthread_mutex_unlock(&me->world->mutex);
    return 0;
}

static int virtual_test(struct comm *comm, int line, int *done) {
    struct rank *me = comm->own;
    pthread_mutex_lock(&me->world->mutex);
    *done = !me->line[line].open;
    int mismatch = me->world->mismatch;
    pthread_mutex_unlock(&me->world->mutex);
    return mismatch ? fail(STATUS_FAILED, "comm virtual: a message and its receiver differ in size") : 0;
}

static int virtual_missing(struct comm *comm, int line, int after) {
    struct rank *me = comm->own;
    int peer = -1;
    pthread_mutex_lock(&me->world->mutex);
    for (int from = after + 1; from < me->world->size && peer < 0; from++)
        for (int way = 0; way < 2 && peer < 0; way++) {
            const struct pair *pair = way ? &me->world->pair[me->rank * me->world->size + from]
                                          : &me->world->pair[from * me->world->size + me->rank];
            for (const struct half *h = way ? pair->sends : pair->receives; h; h = h->next)
                if (h->line == line) peer = from;
        }
    pthread_mutex_unlock(&me->world->mutex);
    return peer;
}

static void virtual_close(struct comm *comm) {
    struct rank *me = comm->own;
    free(me->line);
    free(me->halves);
    me->line = NULL;
    me->halves = NULL;
}

static void virtual_warn(struct comm *comm) { (void)comm; }
static int virtual_warned(struct comm *comm) {
    (void)comm;
    return 0;
}
static void virtual_tell(struct comm *comm, int64_t word) { (void)comm, (void)word; }
static void virtual_hear(struct comm *comm, int64_t *words) { (void)comm, (void)words; }
static void virtual_stop(struct comm *comm, int status) { (void)comm, (void)status; }

const struct transport transport_virtual = {
    .name = "virtual",
    .open = virtual_open,
    .reserve = virtual_reserve,
    .start = virtual_start,
    .test = virtual_test,
    .missing = virtual_missing,
    .close = virtual_close,
    .warn = virtual_warn,
    .warned = virtual_warned,
    .tell = virtual_tell,
    .hear = virtual_hear,
    .stop = virtual_stop,
};
