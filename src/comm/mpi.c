/* Ranks over MPI. Only MPI-3 calls, so that Open MPI and MPICH both serve. */
#include "comm/comm.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>

#include "base/check.h"

enum { TAG = 7, LARGEST_MESSAGE = 1 << 30 /* bytes: MPI counts are ints */ };

/* The error handler returns, so that a failed call says which it was; a dead peer still ends the job through mpirun. */
static int check(int code, const char *call) {
    if (code == MPI_SUCCESS) return 0;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    return fail(STATUS_FAILED, "MPI: %s: %.*s", call, length, text);
}

static int mpi_open(struct comm *comm) {
    int provided;
    TRY(check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread"));
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    TRY(check(MPI_Comm_rank(MPI_COMM_WORLD, &comm->rank), "MPI_Comm_rank"));
    TRY(check(MPI_Comm_size(MPI_COMM_WORLD, &comm->size), "MPI_Comm_size"));
    MPI_Comm local;
    TRY(check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local),
              "MPI_Comm_split_type"));
    TRY(check(MPI_Comm_size(local, &comm->local_size), "MPI_Comm_size"));
    return check(MPI_Comm_free(&local), "MPI_Comm_free");
}

/* Requests are kept between calls, so that a step allocates nothing after the first. */
static int requests(struct comm *comm, int count, MPI_Request **list) {
    if (comm->scratch_count < count) {
        void *more = realloc(comm->scratch, (size_t)count * sizeof(MPI_Request));
        if (!more) return fail(STATUS_FAILED, "MPI: out of memory for %d messages", count);
        comm->scratch = more;
        comm->scratch_count = count;
    }
    *list = comm->scratch;
    return 0;
}

static int mpi_exchange(struct comm *comm, const struct comm_message *sends, int n_sends,
                        const struct comm_message *receives, int n_receives) {
    MPI_Request *list = NULL;
    TRY(requests(comm, n_sends + n_receives, &list));
    int count = 0;
    for (int i = 0; i < n_receives; i++) {
        const struct comm_message *m = &receives[i];
        if (m->bytes > LARGEST_MESSAGE)
            return fail(STATUS_FAILED, "MPI: a message of %lld bytes; set dist.bucket_mb lower", (long long)m->bytes);
        TRY(check(MPI_Irecv(m->data, (int)m->bytes, MPI_BYTE, m->peer, TAG, MPI_COMM_WORLD, &list[count++]),
                  "MPI_Irecv"));
    }
    for (int i = 0; i < n_sends; i++) {
        const struct comm_message *m = &sends[i];
        TRY(check(MPI_Isend(m->data, (int)m->bytes, MPI_BYTE, m->peer, TAG, MPI_COMM_WORLD, &list[count++]),
                  "MPI_Isend"));
    }
    return check(MPI_Waitall(count, list, MPI_STATUSES_IGNORE), "MPI_Waitall");
}

/* Every rank's part goes to every other as a message of its own: parts may be empty, large and anywhere. */
static int mpi_gather(struct comm *comm, void *base, const int64_t *offset, const int64_t *bytes) {
    MPI_Request *list = NULL;
    TRY(requests(comm, 2 * comm->size, &list));
    int count = 0;
    for (int r = 0; r < comm->size; r++) {
        if (bytes[r] > LARGEST_MESSAGE)
            return fail(STATUS_FAILED, "MPI: a part of %lld bytes; set dist.bucket_mb lower", (long long)bytes[r]);
        if (r == comm->rank || !bytes[r]) continue;
        TRY(check(MPI_Irecv((char *)base + offset[r], (int)bytes[r], MPI_BYTE, r, TAG, MPI_COMM_WORLD, &list[count++]),
                  "MPI_Irecv"));
    }
    for (int step = 1; step < comm->size && bytes[comm->rank]; step++) {
        int r = (comm->rank + step) % comm->size; /* not all to the same rank at once */
        TRY(check(MPI_Isend((char *)base + offset[comm->rank], (int)bytes[comm->rank], MPI_BYTE, r, TAG, MPI_COMM_WORLD,
                            &list[count++]),
                  "MPI_Isend"));
    }
    return check(MPI_Waitall(count, list, MPI_STATUSES_IGNORE), "MPI_Waitall");
}

static int mpi_largest(struct comm *comm, int *value) {
    (void)comm;
    int mine = *value;
    return check(MPI_Allreduce(&mine, value, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD), "MPI_Allreduce");
}

static int mpi_broadcast(struct comm *comm, void *data, int64_t bytes) {
    (void)comm;
    for (int64_t at = 0; at < bytes; at += LARGEST_MESSAGE) {
        int64_t part = bytes - at < LARGEST_MESSAGE ? bytes - at : LARGEST_MESSAGE;
        TRY(check(MPI_Bcast((char *)data + at, (int)part, MPI_BYTE, 0, MPI_COMM_WORLD), "MPI_Bcast"));
    }
    return 0;
}

static void mpi_close(struct comm *comm) {
    free(comm->scratch);
    comm->scratch = NULL;
    MPI_Finalize();
}

static void mpi_stop(struct comm *comm, int status) {
    (void)comm;
    MPI_Abort(MPI_COMM_WORLD, status);
}

const struct transport transport_mpi = {
    "mpi", mpi_open, mpi_exchange, mpi_gather, mpi_largest, mpi_broadcast, mpi_close, mpi_stop,
};
