#include "comm/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "comm/peer.h"

enum { START_TIMEOUT_S = 600 };

/* Where launchers tell a process its rank. */
static const char *const launcher_rank[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"};

static const char *launched_as(void) {
    for (size_t i = 0; i < sizeof launcher_rank / sizeof *launcher_rank; i++)
        if (getenv(launcher_rank[i])) return getenv(launcher_rank[i]);
    return NULL;
}

/* Everybody's host and process, so that a message can name them. */
static int meet(struct comm *comm) {
    size_t size = (size_t)comm->size;
    comm->room = calloc(2 * size, sizeof *comm->room);
    comm->values = calloc(size, sizeof *comm->values);
    comm->peers = calloc(size, sizeof *comm->peers);
    comm->words = calloc(size, sizeof *comm->words);
    if (!comm->room || !comm->values || !comm->peers || !comm->words)
        return fail(STATUS_FAILED, "out of memory for %d ranks", comm->size);
    TRY(comm_reserve(comm, 0, NULL));
    struct comm_peer mine;
    peer_self(comm, &mine);
    TRY(comm_gather_equal(comm, &mine, comm->peers, sizeof mine));
    for (int r = 0; r < comm->size; r++) peer_is_gone(comm, r); /* those that can be seen, while all live */
    return 0;
}

int comm_open_with(struct comm *comm, const struct transport *transport, void *own) {
    memset(comm, 0, sizeof *comm);
    comm->size = comm->local_size = 1;
    comm->phase = (struct comm_phase){"the start", -1, START_TIMEOUT_S, "the limit before the configuration is read"};
    comm->own = own;
    gethostname(comm->host, sizeof comm->host - 1);
    comm->transport = transport;
    TRY(transport->open(comm));
    return meet(comm);
}

int comm_open(struct comm *comm) {
    const struct transport *transport = launched_as() ? &transport_mpi : &transport_self;
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    int strangers = tasks && atoi(tasks) > 1 && !getenv("OMPI_COMM_WORLD_RANK"); /* else mpirun has started this one */
    memset(comm, 0, sizeof *comm);
    if (!strangers || transport != &transport_self) TRY(comm_open_with(comm, transport, NULL));
    if (!strangers || comm->size > 1) return 0;
    return fail(STATUS_USAGE,
                "srun started %s tasks that do not know of each other; use 'srun --mpi=pmix lockstep …' ('srun "
                "--mpi=list' tells what there is), or mpirun inside the allocation",
                tasks);
}

int comm_part(struct comm *comm) {
    int nothing = 0;
    comm->phase.doing = "the end";
    comm->phase.step = -1;
    return comm_largest(comm, &nothing);
}

void comm_close(struct comm *comm) {
    comm_thread_stop(comm);
    if (comm->transport) comm->transport->close(comm);
    comm->transport = NULL;
    free(comm->room);
    free(comm->values);
    free(comm->peers);
    free(comm->busy);
    free(comm->words);
    comm->words = NULL;
    comm->room = NULL;
    comm->values = NULL;
    comm->peers = NULL;
    comm->busy = NULL;
}

int comm_reserve(struct comm *comm, int lines, const int *messages) {
    if (comm->under_way) return fail(STATUS_FAILED, "comm: no new lines while messages are under way");
    int *counts = malloc(((size_t)lines + 1) * sizeof *counts);
    unsigned char *busy = calloc((size_t)lines + 1, 1);
    free(comm->busy);
    comm->busy = busy;
    comm->lines = comm->under_way = 0;
    int status = counts && busy ? 0 : fail(STATUS_FAILED, "out of memory for %d messages", lines);
    if (!status) {
        counts[0] = comm->size;
        for (int i = 1; i <= lines; i++) counts[i] = messages[i];
        comm->lines = lines + 1;
        status = comm->transport->reserve(comm, comm->lines, counts);
    }
    free(counts);
    return status;
}

int comm_agree(struct comm *comm, int status) {
    if (comm->agreed) return status; /* inside of another agreement: all have failed, and the first to tell is known */
    int largest = status, first = status ? comm->size - comm->rank : 0;
    TRY(comm_largest(comm, &largest));
    if (!largest) return 0;
    TRY(comm_largest(comm, &first));
    comm->agreed = 1;
    comm->speaker = comm->size - first;
    return status ? largest : fail(largest, "rank %d failed", comm->speaker);
}

void comm_stop(struct comm *comm, int status) {
    if (comm->size == 1) return;
    comm_lock(comm);
    comm->transport->warn(comm);
    comm_unlock(comm);
    if (comm->device) {
        const struct timespec moment = {0, 300000000}; /* in which the others see the warning, and leave as well */
        comm->device->leave(comm->device->context);
        nanosleep(&moment, NULL);
    }
    comm_lock(comm);
    comm->transport->stop(comm, status);
    comm_unlock(comm);
}
