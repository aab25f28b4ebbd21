/* The host side of the shim: memory, streams, events, launches, and failures on demand. A stream is a queue of work. It is worked off when
 * somebody waits for it, or at once where the schedule is not lazy. */
#include "fibers.h"
#include "include/cuda_runtime_api.h"
#include "shim.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <time.h>

struct shim_event {
    shim_stream *stream; /* where it was recorded last; NULL: never, or that is done */
    uint64_t number;     /* of the record, counted over all events */
    double at;
};

namespace {
struct work {
    std::function<void()> run;
    shim_event *record; /* what it marks as passed, */
    uint64_t number;
    shim_event *wait; /* or waits for, in its record `number` */
};
} // namespace

struct shim_stream {
    std::deque<work> queue;
};

namespace {

struct {
    int count = 1, major = 9, minor = 0;
    size_t memory = (size_t)8 << 30;
} device;

struct failure {
    int left, error;
};

const size_t FILLED = 8 << 20;

bool lazy = false;
shim_stream default_stream;
std::map<shim_stream *, bool> streams;
std::map<void *, size_t> blocks, pinned;
size_t in_use = 0;
std::map<std::string, failure> failures;
cudaError_t sticky = cudaSuccess, last = cudaSuccess;
uint64_t launches = 0, threads = 0, records = 0;

double seconds() {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* What a call of this function returns before it does anything. */
cudaError_t begins(const char *function) {
    auto found = failures.find(function);
    if (found != failures.end() && --found->second.left <= 0) {
        last = (cudaError_t)found->second.error;
        if (last == cudaErrorECCUncorrectable || last == cudaErrorIllegalAddress || last == cudaErrorLaunchFailure)
            sticky = last; /* the device is lost to this process */
        return last;
    }
    return sticky;
}

#define BEGIN(name)                                                                                                    \
    do {                                                                                                               \
        cudaError_t error_ = begins(name);                                                                             \
        if (error_ != cudaSuccess) return error_;                                                                      \
    } while (0)

shim_stream *stream_of(cudaStream_t stream) { return stream ? stream : &default_stream; }

void drain(shim_stream *stream, shim_event *until, uint64_t number);

void work_off(shim_stream *stream) {
    work next = std::move(stream->queue.front());
    stream->queue.pop_front();
    if (next.wait && next.wait->stream && next.wait->number <= next.number && next.wait->stream != stream)
        drain(next.wait->stream, next.wait, next.number);
    if (next.run) next.run();
    if (next.record && next.record->number == next.number) {
        next.record->stream = nullptr;
        next.record->at = seconds();
    }
}

/* All of it, or up to a record of an event. */
void drain(shim_stream *stream, shim_event *until, uint64_t number) {
    while (!stream->queue.empty()) {
        const bool reached = until && stream->queue.front().record == until && stream->queue.front().number == number;
        work_off(stream);
        if (reached) return;
    }
}

void add(cudaStream_t name, work what) {
    shim_stream *stream = stream_of(name);
    stream->queue.push_back(std::move(what));
    if (!lazy) drain(stream, nullptr, 0);
}

void drain_all() {
    drain(&default_stream, nullptr, 0);
    for (auto &s : streams) drain(s.first, nullptr, 0);
}

/* Where the allocation that has this address begins and ends; a plain host address has none. */
bool inside(const std::map<void *, size_t> &all, const void *at, size_t bytes) {
    auto next = all.upper_bound((void *)at);
    if (next == all.begin()) return false;
    --next;
    return (const char *)at < (const char *)next->first + next->second &&
           (const char *)at + bytes <= (const char *)next->first + next->second;
}

bool on_device(const void *at, size_t bytes) { return inside(blocks, at, bytes); }

} // namespace

/* ---- shim.h ---- */

void shim_schedule(int order, uint64_t seed, int is_lazy) {
    drain_all();
    shim_set_order(order, seed);
    lazy = is_lazy;
}

void shim_fail(const char *function, int n, int error) { failures[function] = {n, error}; }

void shim_device(int count, size_t memory, int major, int minor) {
    device.count = count;
    device.memory = memory;
    device.major = major;
    device.minor = minor;
}

size_t shim_memory_in_use(void) { return in_use; }
uint64_t shim_launches(void) { return launches; }
uint64_t shim_threads(void) { return threads; }

/* For programs that are started by scripts: SHIM_DEVICES, SHIM_MEMORY (bytes), SHIM_CAPABILITY (90), SHIM_FAIL (function:call:error). */
static struct from_environment {
    from_environment() {
        const char *devices = getenv("SHIM_DEVICES"), *memory = getenv("SHIM_MEMORY");
        const char *capability = getenv("SHIM_CAPABILITY"), *fail = getenv("SHIM_FAIL");
        if (devices) device.count = atoi(devices);
        if (memory) device.memory = (size_t)atoll(memory);
        if (capability) device.major = atoi(capability) / 10, device.minor = atoi(capability) % 10;
        char name[64];
        int call, error;
        if (fail && sscanf(fail, "%63[^:]:%d:%d", name, &call, &error) == 3) failures[name] = {call, error};
    }
} from_environment;

/* ---- launches ---- */

void shim_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, shim_stream *stream,
                 std::function<void()> thread) {
    const size_t size = (size_t)block.x * block.y * block.z;
    cudaError_t error = begins("launch");
    if (error == cudaSuccess &&
        (!grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535 || !size || size > 1024))
        error = cudaErrorInvalidConfiguration;
    const int capability = 10 * device.major + device.minor;
    const size_t most = capability >= 90 ? 227 << 10 : capability == 80 ? 163 << 10 : 99 << 10;
    if (error == cudaSuccess && shared_bytes > most) error = cudaErrorInvalidValue;
    if (error != cudaSuccess) {
        last = error;
        return;
    }
    launches++;
    threads += size * grid.x * grid.y * grid.z;
    add(stream, {[=] { shim_run_grid(name, grid, block, shared_bytes, thread); }, nullptr, 0, nullptr});
}

void shim_enqueue(shim_stream *stream, std::function<void()> what) { add(stream, {what, nullptr, 0, nullptr}); }

/* ---- include/cuda_runtime_api.h ---- */

cudaError_t cudaGetDeviceCount(int *count) {
    BEGIN("cudaGetDeviceCount");
    *count = device.count;
    return device.count ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int number) {
    BEGIN("cudaSetDevice");
    return number < device.count ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int number) {
    BEGIN("cudaGetDeviceProperties");
    if (number >= device.count) return cudaErrorInvalidDevice;
    *properties = {};
    strcpy(properties->name, "shim");
    properties->totalGlobalMem = device.memory;
    properties->sharedMemPerBlock = 48 << 10;
    properties->sharedMemPerBlockOptin = 227 << 10;
    properties->major = device.major;
    properties->minor = device.minor;
    properties->multiProcessorCount = 4;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    BEGIN("cudaMemGetInfo");
    *available = device.memory - in_use;
    *total = device.memory;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

/* New memory holds NaN, as far as FILLED. */
cudaError_t cudaMalloc(void **memory, size_t bytes) {
    BEGIN("cudaMalloc");
    if (in_use + bytes > device.memory || posix_memalign(memory, 256, bytes)) return last = cudaErrorMemoryAllocation;
    memset(*memory, 0xff, bytes < FILLED ? bytes : FILLED);
    blocks[*memory] = bytes;
    in_use += bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory) {
    drain_all();
    if (!memory) return cudaSuccess;
    auto found = blocks.find(memory);
    if (found == blocks.end()) return last = cudaErrorInvalidValue;
    in_use -= found->second;
    blocks.erase(found);
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags) {
    (void)flags;
    BEGIN("cudaHostAlloc");
    if (posix_memalign(memory, 256, bytes)) return last = cudaErrorMemoryAllocation;
    memset(*memory, 0xff, bytes);
    pinned[*memory] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory) {
    drain_all();
    pinned.erase(memory);
    free(memory);
    return cudaSuccess;
}

/* Of memory that is not pinned the runtime makes a copy first, or waits: here the copy is done at once. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    BEGIN("cudaMemcpyAsync");
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (on_device(to, bytes) != to_device || on_device(from, bytes) != from_device) return last = cudaErrorInvalidValue;
    add(stream, {[=] { memmove(to, from, bytes); }, nullptr, 0, nullptr});
    const bool waits = (!to_device && !inside(pinned, to, bytes)) || (!from_device && !inside(pinned, from, bytes));
    if (waits) drain(stream_of(stream), nullptr, 0);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t stream) {
    BEGIN("cudaMemsetAsync");
    if (!on_device(memory, bytes)) return last = cudaErrorInvalidValue;
    add(stream, {[=] { memset(memory, byte, bytes); }, nullptr, 0, nullptr});
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    (void)flags;
    BEGIN("cudaStreamCreateWithFlags");
    *stream = new shim_stream;
    streams[*stream] = true;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    drain(stream, nullptr, 0);
    streams.erase(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    BEGIN("cudaStreamSynchronize");
    drain(stream_of(stream), nullptr, 0);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    BEGIN("cudaStreamQuery");
    shim_stream *s = stream_of(stream);
    if (s->queue.empty()) return cudaSuccess;
    work_off(s);
    return cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)flags;
    BEGIN("cudaStreamWaitEvent");
    if (event->stream) add(stream, {nullptr, nullptr, event->number, event});
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    (void)flags;
    BEGIN("cudaEventCreateWithFlags");
    *event = new shim_event();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    drain_all();
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    BEGIN("cudaEventRecord");
    event->stream = stream_of(stream);
    event->number = ++records;
    add(stream, {nullptr, event, event->number, nullptr});
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    BEGIN("cudaEventSynchronize");
    if (event->stream) drain(event->stream, event, event->number);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    BEGIN("cudaEventQuery");
    return event->stream ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    BEGIN("cudaEventElapsedTime");
    if (begin->stream || end->stream) return cudaErrorNotReady;
    *milliseconds = (float)(1e3 * (end->at - begin->at));
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void) {
    BEGIN("cudaDeviceSynchronize");
    drain_all();
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void) {
    cudaError_t error = sticky ? sticky : last;
    last = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void) { return sticky ? sticky : last; }

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
};

const char *cudaGetErrorName(cudaError_t error) {
    for (const auto &e : errors)
        if (e.error == error) return e.name;
    return "cudaErrorUnknown";
}

const char *cudaGetErrorString(cudaError_t error) {
    for (const auto &e : errors)
        if (e.error == error) return e.text;
    return "unknown error";
}
