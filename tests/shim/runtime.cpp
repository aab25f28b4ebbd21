/* The host side of the shim: memory, launches, and failures on demand. */
#include "runtime.h"
#include "shim.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <time.h>

namespace {

struct {
    int count = 1, major = 9, minor = 0;
    size_t memory = (size_t)8 << 30;
} device;

struct failure {
    int left, error;
};

const size_t FILLED = 8 << 20;

std::map<void *, size_t> blocks, pinned;
size_t in_use = 0;
std::map<std::string, failure> failures;
cudaError_t sticky = cudaSuccess, last = cudaSuccess;
uint64_t launches = 0, threads = 0;
int current = 0;   /* device */
std::string hangs; /* a kernel that never ends, from its launch `hangs_at` on */
int hangs_at = 0;

/* Where the allocation that has this address begins and ends; a plain host address has none. */
bool inside(const std::map<void *, size_t> &all, const void *at, size_t bytes) {
    auto next = all.upper_bound((void *)at);
    if (next == all.begin()) return false;
    --next;
    return (const char *)at < (const char *)next->first + next->second &&
           (const char *)at + bytes <= (const char *)next->first + next->second;
}

} // namespace

bool shim_on_device(const void *at, size_t bytes) { return inside(blocks, at, bytes); }

double shim_seconds() {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int shim_failure(const char *function) {
    auto found = failures.find(function);
    return found != failures.end() && --found->second.left <= 0 ? found->second.error : 0;
}

cudaError_t shim_begins(const char *function) {
    const int error = shim_failure(function);
    if (error) {
        last = (cudaError_t)error;
        if (last == cudaErrorECCUncorrectable || last == cudaErrorIllegalAddress || last == cudaErrorLaunchFailure)
            sticky = last; /* the device is lost to this process */
        return last;
    }
    return sticky;
}

cudaError_t shim_begins_outside(const char *function) {
    if (shim_is_capturing()) return shim_spoil_capture(cudaErrorStreamCaptureUnsupported);
    return shim_begins(function);
}

cudaError_t shim_failed(cudaError_t error) { return last = error; }

/* ---- shim.h ---- */

void shim_schedule(int order, uint64_t seed, int is_lazy) {
    shim_drain_all();
    shim_set_order(order, seed);
    shim_lazy = is_lazy;
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

/* For programs that are started by scripts: SHIM_DEVICES, SHIM_MEMORY (bytes), SHIM_CAPABILITY (90), SHIM_FAIL (function:call:error),
 * SHIM_HANG (kernel:launch), SHIM_LAZY (1). */
static struct from_environment {
    from_environment() {
        const char *devices = getenv("SHIM_DEVICES"), *memory = getenv("SHIM_MEMORY");
        const char *capability = getenv("SHIM_CAPABILITY"), *fail = getenv("SHIM_FAIL");
        if (devices) device.count = atoi(devices);
        if (memory) device.memory = (size_t)atoll(memory);
        if (capability) device.major = atoi(capability) / 10, device.minor = atoi(capability) % 10;
        const char *hang = getenv("SHIM_HANG"), *lazy = getenv("SHIM_LAZY");
        shim_lazy = lazy && *lazy == '1';
        char name[64];
        int call, error;
        if (hang && sscanf(hang, "%63[^:]:%d", name, &hangs_at) == 2) hangs = name;
        if (fail && sscanf(fail, "%63[^:]:%d:%d", name, &call, &error) == 3) failures[name] = {call, error};
    }
} from_environment;

/* ---- launches ---- */

void shim_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, shim_stream *stream,
                 std::function<void()> thread) {
    const size_t size = (size_t)block.x * block.y * block.z;
    cudaError_t error = shim_begins("launch");
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
    if (name == hangs && --hangs_at <= 0) {
        shim_work never;
        never.begin = [] { return [] { return false; }; };
        shim_add(stream, never);
        return;
    }
    shim_enqueue(stream, [=] { shim_run_grid(name, grid, block, shared_bytes, thread); });
}

/* ---- include/cuda_runtime_api.h ---- */

cudaError_t cudaGetDeviceCount(int *count) {
    BEGIN("cudaGetDeviceCount");
    *count = device.count;
    return device.count ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int number) {
    BEGIN("cudaSetDevice");
    if (number >= device.count) return cudaErrorInvalidDevice;
    current = number;
    return cudaSuccess;
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
    memset(&properties->uuid, number + 1, sizeof properties->uuid);
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
    BEGIN_OUTSIDE("cudaMalloc");
    if (in_use + bytes > device.memory || posix_memalign(memory, 256, bytes)) return last = cudaErrorMemoryAllocation;
    memset(*memory, 0xff, bytes < FILLED ? bytes : FILLED);
    blocks[*memory] = bytes;
    in_use += bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory) {
    shim_drain_all();
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
    BEGIN_OUTSIDE("cudaHostAlloc");
    if (posix_memalign(memory, 256, bytes)) return last = cudaErrorMemoryAllocation;
    memset(*memory, 0xff, bytes);
    pinned[*memory] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory) {
    shim_drain_all();
    pinned.erase(memory);
    free(memory);
    return cudaSuccess;
}

/* Of memory that is not pinned the runtime makes a copy first, or waits: here the copy is done at once. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    BEGIN("cudaMemcpyAsync");
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (shim_on_device(to, bytes) != to_device || shim_on_device(from, bytes) != from_device)
        return last = cudaErrorInvalidValue;
    const bool waits = (!to_device && !inside(pinned, to, bytes)) || (!from_device && !inside(pinned, from, bytes));
    if (waits && shim_is_captured(stream)) return shim_spoil_capture(cudaErrorStreamCaptureUnsupported);
    shim_enqueue(stream, [=] { memmove(to, from, bytes); });
    if (waits) shim_drain(shim_stream_of(stream), nullptr);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t stream) {
    BEGIN("cudaMemsetAsync");
    if (!shim_on_device(memory, bytes)) return last = cudaErrorInvalidValue;
    shim_enqueue(stream, [=] { memset(memory, byte, bytes); });
    return cudaSuccess;
}

cudaError_t cudaHostGetDevicePointer(void **device_pointer, void *host, unsigned flags) {
    (void)flags;
    BEGIN("cudaHostGetDevicePointer");
    if (!inside(pinned, host, 1)) return last = cudaErrorInvalidValue;
    *device_pointer = host;
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
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
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
