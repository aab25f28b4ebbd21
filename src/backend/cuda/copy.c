/* Copies between the host and a plan's buffers. What the host writes for each micro-batch (tokens, targets, the step block) is small and must not
 * make anyone wait: it goes through a ring of places. Everything else is copied while the host waits. */
#include "backend/cuda/cuda.h"

#include <string.h>

#include "base/check.h"

/* The largest buffer that a step is given: its inputs and the step block. */
int64_t cuda_slot_bytes(const struct plan *plan) {
    int64_t most = buf_bytes(&plan->bufs[plan->step]);
    for (int b = 0; b < plan->n_bufs; b++)
        if (plan->bufs[b].kind == BUF_INPUT && buf_bytes(&plan->bufs[b]) > most) most = buf_bytes(&plan->bufs[b]);
    return (most + 255) / 256 * 256;
}

int cuda_open_inputs(struct exec *exec) {
    struct inputs *in = &exec->inputs;
    const char *doing = "making room for inputs";
    in->slot_bytes = cuda_slot_bytes(exec->plan);
    TRY(cuda_check(cudaStreamCreateWithFlags(&in->stream, cudaStreamNonBlocking), doing));
    TRY(cuda_check(cudaHostAlloc((void **)&in->host, (size_t)in->slot_bytes * SLOTS, cudaHostAllocDefault), doing));
    TRY(cuda_check(cudaMalloc((void **)&in->device, (size_t)in->slot_bytes * SLOTS), doing));
    for (int i = 0; i < SLOTS; i++) {
        TRY(cuda_check(cudaEventCreateWithFlags(&in->arrived[i], cudaEventDisableTiming), doing));
        TRY(cuda_check(cudaEventCreateWithFlags(&in->taken[i], cudaEventDisableTiming), doing));
    }
    return 0;
}

void cuda_close_inputs(struct exec *exec) {
    struct inputs *in = &exec->inputs;
    for (int i = 0; i < SLOTS; i++) {
        if (in->arrived[i]) cudaEventDestroy(in->arrived[i]);
        if (in->taken[i]) cudaEventDestroy(in->taken[i]);
    }
    if (in->stream) cudaStreamDestroy(in->stream);
    if (in->host) cudaFreeHost(in->host);
    if (in->device) cudaFree(in->device);
    memset(in, 0, sizeof *in);
}

/* A place is free for the host once its last content has arrived on the device, and for the device once it has been taken from there. */
static int send_input(struct exec *exec, char *to, const void *from, int64_t bytes) {
    struct inputs *in = &exec->inputs;
    const int slot = (int)(in->next++ % SLOTS);
    char *host = in->host + slot * in->slot_bytes, *device = in->device + slot * in->slot_bytes;
    const char *doing = "sending inputs";
    TRY(cuda_await_event(exec, in->arrived[slot], doing));
    memcpy(host, from, (size_t)bytes);
    TRY(cuda_check(cudaStreamWaitEvent(in->stream, in->taken[slot], 0), doing));
    TRY(cuda_check(cudaMemcpyAsync(device, host, (size_t)bytes, cudaMemcpyHostToDevice, in->stream), doing));
    TRY(cuda_check(cudaEventRecord(in->arrived[slot], in->stream), doing));
    TRY(cuda_check(cudaStreamWaitEvent(exec->stream, in->arrived[slot], 0), doing));
    TRY(cuda_check(cudaMemcpyAsync(to, device, (size_t)bytes, cudaMemcpyDeviceToDevice, exec->stream), doing));
    return cuda_check(cudaEventRecord(in->taken[slot], exec->stream), doing);
}

int cuda_copy(struct exec *exec, int buf, int64_t offset, void *host, int64_t bytes, enum copy_direction direction) {
    const struct buf *b = &exec->plan->bufs[buf];
    if (offset < 0 || offset + bytes > buf_bytes(b))
        return fail(STATUS_FAILED, "backend cuda: copy beyond buffer %s", b->name);
    if (!bytes) return 0;
    char *device = (char *)exec->data[buf] + offset;
    const int is_input = b->kind == BUF_INPUT || buf == exec->plan->step;
    if (direction == COPY_TO_DEVICE && buf == exec->plan->step && bytes == (int64_t)sizeof exec->block)
        memcpy(&exec->block, host, sizeof exec->block);
    if (direction == COPY_TO_DEVICE && is_input) return send_input(exec, device, host, bytes);
    /* Copies of memory that is not pinned wait inside the runtime, which knows no limit. */
    if (exec->channel.nccl) TRY(cuda_await_stream(exec, exec->stream, "running what came before a copy"));
    if (direction == COPY_TO_DEVICE)
        TRY(cuda_check(cudaMemcpyAsync(device, host, (size_t)bytes, cudaMemcpyHostToDevice, exec->stream),
                       "copying to it"));
    else
        TRY(cuda_check(cudaMemcpyAsync(host, device, (size_t)bytes, cudaMemcpyDeviceToHost, exec->stream),
                       "copying from it"));
    return cuda_await_stream(exec, exec->stream,
                             direction == COPY_TO_DEVICE ? "copying to it" : "running what came before a copy");
}

int cuda_fill(struct exec *exec, void *memory, int byte, int64_t bytes) {
    if (!bytes) return 0;
    return cuda_check(cudaMemsetAsync(memory, byte, (size_t)bytes, exec->stream), "filling memory");
}
