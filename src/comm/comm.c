#include "comm/comm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

/* Where launchers tell a process its rank. */
static const char *const launcher_rank[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"};

static const char *launched_as(void) {
    for (size_t i = 0; i < sizeof launcher_rank / sizeof *launcher_rank; i++)
        if (getenv(launcher_rank[i])) return getenv(launcher_rank[i]);
    return NULL;
}

int comm_open(struct comm *comm) {
    memset(comm, 0, sizeof *comm);
    comm->size = comm->local_size = 1;
    gethostname(comm->host, sizeof comm->host - 1);
    comm->transport = launched_as() ? &transport_mpi : &transport_self;
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    if (comm->transport == &transport_self && tasks && atoi(tasks) > 1) {
        comm->transport = NULL;
        return fail(STATUS_USAGE,
                    "srun started %s tasks that do not know of each other; use 'srun --mpi=pmix lockstep …', or mpirun "
                    "inside the allocation",
                    tasks);
    }
    return comm->transport->open(comm);
}

void comm_close(struct comm *comm) {
    if (comm->transport) comm->transport->close(comm);
    comm->transport = NULL;
}

int comm_agree(struct comm *comm, int status) {
    int largest = status, first = status ? comm->size - comm->rank : 0;
    TRY(comm->transport->largest(comm, &largest));
    if (!largest) return 0;
    TRY(comm->transport->largest(comm, &first));
    comm->agreed = 1;
    comm->speaker = comm->size - first;
    return status ? largest : fail(largest, "rank %d failed", comm->speaker);
}
