/* Ranks over MPI. Only MPI-3 calls, so that Open MPI and MPICH both serve. */
#include <limits.h>
#include <mpi.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "comm/comm.h"

enum {
    LARGEST_MESSAGE = 1 << 30, /* bytes: MPI counts are ints */
    WARNING = 32767,           /* a tag; every MPI has tags up to here */
    WORD = 32766,              /* another. Those below are lines */
};

/* What is under way on a line. */
struct line {
    MPI_Request *request;
    int *peer;
    int count;
    int *counts; /* of a reduce-scatter: must live until it is done */
};

struct mpi {
    struct line *line;
    int lines;
    MPI_Request *requests;
    int *peers, *counts;
    MPI_Op add_bf16;
};

/* The error handler returns, so that a failed call says which it was; a dead peer still ends the job through mpirun. */
static int check(int code, const char *call) {
    if (code == MPI_SUCCESS) return 0;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    return fail(STATUS_FAILED, "MPI: %s: %.*s", call, length, text);
}

static float widen(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To nearest, ties to even; what is not a number stays so. */
static uint16_t narrow(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

static void add_bf16(void *in, void *inout, int *count, MPI_Datatype *type) {
    const uint16_t *a = in;
    uint16_t *b = inout;
    (void)type;
    for (int i = 0; i < *count; i++) b[i] = narrow(widen(a[i]) + widen(b[i]));
}

static int mpi_open(struct comm *comm) {
    int provided;
    TRY(check(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread"));
    comm->threads = provided >= MPI_THREAD_SERIALIZED;
    /* A connection that breaks must not end this rank before it has told whose it was; srun leaves the default. */
    signal(SIGPIPE, SIG_IGN);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    struct mpi *mpi = calloc(1, sizeof *mpi);
    if (!mpi) return fail(STATUS_FAILED, "MPI: out of memory");
    comm->own = mpi;
    TRY(check(MPI_Op_create(add_bf16, 1, &mpi->add_bf16), "MPI_Op_create"));
    TRY(check(MPI_Comm_rank(MPI_COMM_WORLD, &comm->rank), "MPI_Comm_rank"));
    TRY(check(MPI_Comm_size(MPI_COMM_WORLD, &comm->size), "MPI_Comm_size"));
    MPI_Comm local;
    TRY(check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local),
              "MPI_Comm_split_type"));
    TRY(check(MPI_Comm_size(local, &comm->local_size), "MPI_Comm_size"));
    return check(MPI_Comm_free(&local), "MPI_Comm_free");
}

static void free_lines(struct mpi *mpi) {
    free(mpi->line);
    free(mpi->requests);
    free(mpi->peers);
    free(mpi->counts);
    mpi->line = NULL;
    mpi->requests = NULL;
    mpi->peers = mpi->counts = NULL;
    mpi->lines = 0;
}

static int mpi_reserve(struct comm *comm, int lines, const int *messages) {
    struct mpi *mpi = comm->own;
    size_t all = 0, at = 0;
    for (int i = 0; i < lines; i++) all += 2 * (size_t)messages[i] + 1;
    if (lines > WORD) return fail(STATUS_FAILED, "MPI: %d lines, but it has tags for %d", lines, WORD);
    free_lines(mpi);
    mpi->line = calloc((size_t)lines, sizeof *mpi->line);
    mpi->requests = calloc(all, sizeof *mpi->requests);
    mpi->peers = calloc(all, sizeof *mpi->peers);
    mpi->counts = calloc((size_t)lines * (size_t)comm->size, sizeof *mpi->counts);
    if (!mpi->line || !mpi->requests || !mpi->peers || !mpi->counts)
        return fail(STATUS_FAILED, "MPI: out of memory for %zu messages", all);
    mpi->lines = lines;
    for (int i = 0; i < lines; i++) {
        mpi->line[i] =
            (struct line){mpi->requests + at, mpi->peers + at, 0, mpi->counts + (size_t)i * (size_t)comm->size};
        at += 2 * (size_t)messages[i] + 1;
    }
    return 0;
}

static int check_size(int64_t bytes) {
    return bytes <= LARGEST_MESSAGE
               ? 0
               : fail(STATUS_FAILED, "MPI: a message of %lld bytes; set dist.bucket_mb lower", (long long)bytes);
}

/* The line is the tag, so that messages of different lines never meet. */
static int mpi_start(struct comm *comm, int line, const struct comm_message *sends, int n_sends,
                     const struct comm_message *receives, int n_receives) {
    struct line *l = &((struct mpi *)comm->own)->line[line];
    l->count = 0;
    for (int i = 0; i < n_receives; i++) {
        const struct comm_message *m = &receives[i];
        TRY(check_size(m->bytes));
        l->peer[l->count] = m->peer;
        TRY(check(MPI_Irecv(m->data, (int)m->bytes, MPI_BYTE, m->peer, line, MPI_COMM_WORLD, &l->request[l->count]),
                  "MPI_Irecv"));
        l->count++;
    }
    for (int i = 0; i < n_sends; i++) {
        const struct comm_message *m = &sends[i];
        TRY(check_size(m->bytes));
        l->peer[l->count] = m->peer;
        TRY(check(MPI_Isend(m->data, (int)m->bytes, MPI_BYTE, m->peer, line, MPI_COMM_WORLD, &l->request[l->count]),
                  "MPI_Isend"));
        l->count++;
    }
    return 0;
}

static int mpi_start_sum(struct comm *comm, int line, const struct comm_sum *sum) {
    struct mpi *mpi = comm->own;
    struct line *l = &mpi->line[line];
    MPI_Datatype type = sum->type == COMM_F32 ? MPI_FLOAT : sum->type == COMM_F64 ? MPI_DOUBLE : MPI_UINT16_T;
    MPI_Op op = sum->type == COMM_BF16 ? mpi->add_bf16 : MPI_SUM;
    const void *in = sum->in == sum->out ? MPI_IN_PLACE : sum->in;
    l->count = 1;
    l->peer[0] = -1;
    if (sum->elems > INT_MAX) return check_size(sum->elems);
    if (!sum->counts)
        return check(MPI_Iallreduce(in, sum->out, (int)sum->elems, type, op, MPI_COMM_WORLD, l->request),
                     "MPI_Iallreduce");
    for (int r = 0; r < comm->size; r++) l->counts[r] = (int)sum->counts[r];
    return check(MPI_Ireduce_scatter(in, sum->out, l->counts, type, op, MPI_COMM_WORLD, l->request),
                 "MPI_Ireduce_scatter");
}

static int mpi_test(struct comm *comm, int line, int *done) {
    struct line *l = &((struct mpi *)comm->own)->line[line];
    return check(MPI_Testall(l->count, l->request, done, MPI_STATUSES_IGNORE), "MPI_Testall");
}

static int mpi_missing(struct comm *comm, int line, int after) {
    const struct line *l = &((struct mpi *)comm->own)->line[line];
    int first = -1;
    for (int i = 0; i < l->count; i++) {
        int done = 1, peer = l->peer[i];
        if (peer <= after || (first >= 0 && peer >= first)) continue;
        if (MPI_Request_get_status(l->request[i], &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && !done) first = peer;
    }
    return first;
}

/* MPI_Finalize waits for all ranks, and knows no limit. */
static void end_without(int number) {
    static const char text[] = "lockstep: MPI_Finalize did not end in dist.timeout_s: this process ends without it\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1)) _exit(STATUS_FAILED);
    _exit(STATUS_FAILED);
}

static void finalize(double timeout_s) {
    struct sigaction action = {.sa_handler = end_without};
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    if (timeout_s > 0) alarm((unsigned)timeout_s + 1);
    MPI_Finalize();
    alarm(0);
}

static void mpi_close(struct comm *comm) {
    struct mpi *mpi = comm->own;
    if (mpi) {
        MPI_Op_free(&mpi->add_bf16);
        free_lines(mpi);
    }
    free(mpi);
    comm->own = NULL;
    finalize(comm->phase.timeout_s);
}

/* Small enough to leave at once, also to a rank that does not listen. */
static void mpi_warn(struct comm *comm) {
    static char nothing;
    for (int r = 0; r < comm->size; r++) {
        MPI_Request request;
        if (r == comm->rank) continue;
        if (MPI_Isend(&nothing, 0, MPI_BYTE, r, WARNING, MPI_COMM_WORLD, &request) == MPI_SUCCESS)
            MPI_Request_free(&request);
    }
}

/* Open MPI moves messages on after it has looked for one: so it is asked twice. */
static int there_is(int tag, MPI_Status *from) {
    int there = 0;
    for (int i = 0; i < 2 && !there; i++)
        if (MPI_Iprobe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &there, from) != MPI_SUCCESS) return 0;
    return there;
}

static int mpi_warned(struct comm *comm) {
    (void)comm;
    return there_is(WARNING, MPI_STATUS_IGNORE);
}

/* What is sent must stay until it is gone: the process ends soon. */
static void mpi_tell(struct comm *comm, int64_t word) {
    static int64_t kept;
    kept = word;
    for (int r = 0; r < comm->size; r++) {
        MPI_Request request;
        if (r == comm->rank) continue;
        if (MPI_Isend(&kept, (int)sizeof kept, MPI_BYTE, r, WORD, MPI_COMM_WORLD, &request) == MPI_SUCCESS)
            MPI_Request_free(&request);
    }
}

static void mpi_hear(struct comm *comm, int64_t *words) {
    MPI_Status from;
    for (int i = 0; i < comm->size && there_is(WORD, &from); i++)
        MPI_Recv(&words[from.MPI_SOURCE], (int)sizeof *words, MPI_BYTE, from.MPI_SOURCE, WORD, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
}

static void mpi_stop(struct comm *comm, int status) {
    (void)comm;
    MPI_Abort(MPI_COMM_WORLD, status);
}

/* Some tell a page of text. */
static void mpi_library(char text[128]) {
    char all[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;
    MPI_Get_library_version(all, &length);
    all[strcspn(all, ",\n")] = '\0';
    snprintf(text, 128, "%.127s", all);
}

const struct transport transport_mpi = {
    .name = "mpi",
    .open = mpi_open,
    .reserve = mpi_reserve,
    .start = mpi_start,
    .start_sum = mpi_start_sum,
    .test = mpi_test,
    .missing = mpi_missing,
    .close = mpi_close,
    .warn = mpi_warn,
    .warned = mpi_warned,
    .tell = mpi_tell,
    .hear = mpi_hear,
    .stop = mpi_stop,
    .library = mpi_library,
};
