/* What all ranks do together, made of messages between pairs. Each rank talks to each other one directly, so that who waits knows
 * for whom; all but the gathering of gradients and parameters is a few bytes. */
#include <string.h>

#include "base/check.h"
#include "comm/comm.h"

int comm_start_gather(struct comm *comm, int line, void *base, const int64_t *offset, const int64_t *bytes) {
    struct comm_message *sends = comm->room, *receives = comm->room + comm->size;
    int n_sends = 0, n_receives = 0, mine = comm->rank;
    for (int step = 1; step < comm->size; step++) { /* not all to the same rank at once */
        int to = (mine + step) % comm->size, from = (mine + comm->size - step) % comm->size;
        if (bytes[mine]) sends[n_sends++] = (struct comm_message){to, (char *)base + offset[mine], bytes[mine]};
        if (bytes[from]) receives[n_receives++] = (struct comm_message){from, (char *)base + offset[from], bytes[from]};
    }
    return comm_start(comm, line, sends, n_sends, receives, n_receives);
}

int comm_gather(struct comm *comm, void *base, const int64_t *offset, const int64_t *bytes) {
    if (comm->size == 1) return 0;
    TRY(comm_start_gather(comm, 0, base, offset, bytes));
    return comm_wait(comm, 0);
}

int comm_gather_equal(struct comm *comm, const void *mine, void *all, int64_t bytes) {
    struct comm_message *sends = comm->room, *receives = comm->room + comm->size;
    char *own = (char *)all + comm->rank * bytes;
    if (own != mine) memcpy(own, mine, (size_t)bytes);
    if (comm->size == 1) return 0;
    int n = 0;
    for (int r = 0; r < comm->size; r++) {
        if (r == comm->rank) continue;
        sends[n] = (struct comm_message){r, own, bytes};
        receives[n++] = (struct comm_message){r, (char *)all + r * bytes, bytes};
    }
    TRY(comm_start(comm, 0, sends, n, receives, n));
    return comm_wait(comm, 0);
}

int comm_broadcast(struct comm *comm, void *data, int64_t bytes) {
    int n = 0;
    if (comm->size == 1) return 0;
    if (comm->rank) {
        comm->room[0] = (struct comm_message){0, data, bytes};
        TRY(comm_start(comm, 0, NULL, 0, comm->room, 1));
    } else {
        for (int r = 1; r < comm->size; r++) comm->room[n++] = (struct comm_message){r, data, bytes};
        TRY(comm_start(comm, 0, comm->room, n, NULL, 0));
    }
    return comm_wait(comm, 0);
}

int comm_largest(struct comm *comm, int *value) {
    if (comm->size == 1) return 0;
    TRY(comm_gather_equal(comm, value, comm->values, sizeof *value));
    for (int r = 0; r < comm->size; r++)
        if (comm->values[r] > *value) *value = comm->values[r];
    return 0;
}

int comm_to_first(struct comm *comm, int from, void *data, int64_t bytes) {
    if (from == 0 || (comm->rank != 0 && comm->rank != from)) return 0;
    comm->room[0] = (struct comm_message){comm->rank ? 0 : from, data, bytes};
    TRY(comm_start(comm, 0, comm->room, comm->rank != 0, comm->room, comm->rank == 0));
    return comm_wait(comm, 0);
}
