/* The host waits for the device. With other ranks it may wait for ever: so it looks, again and again, at NCCL and at them. */
#include "backend/cuda/cuda.h"

#include <sched.h>

#include "base/check.h"
#include "comm/nccl.h"

/* Of the stream, or where `event` is given of that. */
static int await(struct exec *exec, cudaStream_t stream, cudaEvent_t event, const char *doing) {
    struct comm_watch watch = {0};
    cudaError_t error;
    if (!exec->channel.nccl)
        return cuda_check(event ? cudaEventSynchronize(event) : cudaStreamSynchronize(stream), doing);
    while ((error = event ? cudaEventQuery(event) : cudaStreamQuery(stream)) == cudaErrorNotReady) {
        cudaGetLastError(); /* else the next launch would seem to have failed with it */
        TRY(comm_watch(exec->comm, &watch));
        TRY(nccl_check(exec->channel.nccl));
        sched_yield();
    }
    return cuda_check(error, doing);
}

int cuda_await_stream(struct exec *exec, cudaStream_t stream, const char *doing) {
    return await(exec, stream, NULL, doing);
}

int cuda_await_event(struct exec *exec, cudaEvent_t event, const char *doing) {
    return await(exec, NULL, event, doing);
}
