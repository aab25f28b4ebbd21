/* The host waits for the device. With other ranks it may wait for ever: so it looks, again and again, at NCCL and at them. */
#include "backend/cuda/cuda.h"

#include <sched.h>

#include "base/check.h"
#include "base/clock.h"
#include "comm/nccl.h"

/* An error of NCCL's is mostly another rank's end, of which comm_watch() can say more within this time. */
enum { PATIENCE_S = 3 };

struct waiting {
    struct comm_watch watch;
    double failed_at; /* of NCCL; 0: it has not */
};

static int look(struct exec *exec, struct waiting *w) {
    TRY(comm_watch(exec->comm, &w->watch));
    int status = nccl_check(exec->channel.nccl);
    if (!status) return 0;
    if (w->failed_at == 0) w->failed_at = clock_seconds();
    if (clock_seconds() - w->failed_at < PATIENCE_S) return 0;
    exec->comm->broken = 1;
    return status;
}

int cuda_await_stream(struct exec *exec, cudaStream_t stream, const char *doing) {
    struct waiting w = {0};
    cudaError_t error;
    if (!exec->channel.nccl) return cuda_check(cudaStreamSynchronize(stream), doing);
    while ((error = cudaStreamQuery(stream)) == cudaErrorNotReady) {
        cudaGetLastError(); /* else the next launch would seem to have failed with it */
        TRY(look(exec, &w));
        sched_yield();
    }
    return cuda_check(error, doing);
}

int cuda_await_event(struct exec *exec, cudaEvent_t event, const char *doing) {
    struct waiting w = {0};
    cudaError_t error;
    if (!exec->channel.nccl) return cuda_check(cudaEventSynchronize(event), doing);
    while ((error = cudaEventQuery(event)) == cudaErrorNotReady) {
        cudaGetLastError(); /* else the next launch would seem to have failed with it */
        TRY(look(exec, &w));
        sched_yield();
    }
    return cuda_check(error, doing);
}
