/* The shim itself: what it runs right, and that it finds what it is there to find. A case that must end the process runs in a child. */
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "kernels/cuda/device.cuh"
#include "shim.h"

namespace {

int failed = 0;

void check(bool right, const char *what) {
    printf("%s %s\n", right ? "ok      " : "FAILED  ", what);
    failed += !right;
}

float *device_array(int64_t n) {
    void *memory = nullptr;
    if (cudaMalloc(&memory, (size_t)n * sizeof(float))) abort();
    return (float *)memory;
}

/* ---- kernels, right and wrong ---- */

__global__ void block_sum(const float *x, float *sum) {
    SHARED(real, room);
    real total = team_sum<8>(x[blockIdx.x * 256 + threadIdx.x], room);
    if (threadIdx.x == 0) sum[blockIdx.x] = total;
}

/* y[i] = x[n - 1 - i] through shared memory. */
__global__ void turn_around(const float *x, float *y, int barrier) {
    SHARED(real, room);
    room[threadIdx.x] = x[threadIdx.x];
    if (barrier) __syncthreads();
    y[threadIdx.x] = room[blockDim.x - 1 - threadIdx.x];
}

__global__ void add_one(const float *x, float *y, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n) y[i] = x[i] + 1;
}

__global__ void read_beyond(const float *x, float *y) { y[threadIdx.x] = x[threadIdx.x + 1]; }

__global__ void write_beyond_shared(float *y) {
    SHARED(real, room);
    room[threadIdx.x] = 1;
    y[threadIdx.x] = room[threadIdx.x];
}

__global__ void barrier_of_some(int some) {
    if ((int)threadIdx.x < some) __syncthreads();
}

__global__ void two_barriers(int some) {
    if ((int)threadIdx.x < some)
        __syncthreads();
    else
        __syncthreads();
}

__global__ void shuffle_of_some(float *y) {
    if (threadIdx.x % 32 < 16) y[threadIdx.x] = __shfl_xor_sync(~0u, 1.0f, 1);
}

__global__ void copy_through(const float *x, float *y, int wait) {
    SHARED(real, room);
    shim_copy_later(room + threadIdx.x, x + threadIdx.x, sizeof(float), 0);
    shim_commit();
    if (wait) shim_wait_groups(0);
    y[threadIdx.x] = room[threadIdx.x];
    shim_wait_groups(0);
}

/* ---- cases ---- */

enum { N = 1024 };

/* Runs `body` in a child: whether it ends in another way than in order, and says `message` (NULL: anything). */
template <class F> bool ends_badly(const char *message, F body) {
    int ends[2];
    if (pipe(ends)) abort();
    fflush(nullptr);
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        body();
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char part[512];
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) said.append(part, (size_t)n);
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    const bool bad = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    const bool told = !message || said.find(message) != std::string::npos;
    if (!bad || !told) printf("         it said: %s\n", said.c_str());
    return bad && told;
}

void test_sum() {
    float *x = device_array(N), *sum = device_array(4);
    uint32_t bits[SHIM_ORDERS][4];
    for (int i = 0; i < N; i++) x[i] = (float)i / 7;
    for (int order = 0; order < SHIM_ORDERS; order++) {
        shim_schedule(order, 3, 0);
        LAUNCH(block_sum, dim3(4), dim3(256), 8 * sizeof(real), nullptr, x, sum);
        memcpy(bits[order], sum, sizeof bits[order]);
    }
    double want = 0;
    for (int i = 256; i < 512; i++) want += i / 7.0;
    check(fabs(sum[1] - want) < 1e-3 && !memcmp(bits[0], bits[1], 16) && !memcmp(bits[0], bits[2], 16),
          "a sum over a block has its value, and the same bits in all orders");
    shim_schedule(SHIM_FORWARD, 1, 0);
    cudaFree(x);
    cudaFree(sum);
}

/* How many of the orders give what is right. */
int orders_right(int barrier) {
    float *x = device_array(256), *y = device_array(256);
    int right = 0;
    for (int i = 0; i < 256; i++) x[i] = (float)i;
    for (int order = 0; order < SHIM_ORDERS; order++) {
        shim_schedule(order, 3, 0);
        LAUNCH(turn_around, dim3(1), dim3(256), 256 * sizeof(real), nullptr, x, y, barrier);
        int good = 1;
        for (int i = 0; i < 256; i++) good &= y[i] == (float)(255 - i);
        right += good;
    }
    shim_schedule(SHIM_FORWARD, 1, 0);
    cudaFree(x);
    cudaFree(y);
    return right;
}

void test_values() {
    float *x = device_array(N), *y = device_array(N);
    for (int i = 0; i < N; i++) x[i] = (float)i;
    LAUNCH(add_one, dim3(4), dim3(256), 0, nullptr, x, y, N - 1);
    check(y[N - 2] == N - 1 && std::isnan(y[N - 1]), "what no thread writes is NaN");
    LAUNCH(copy_through, dim3(1), dim3(32), 32 * sizeof(real), nullptr, x, y, 1);
    const bool arrived = y[31] == 31;
    LAUNCH(copy_through, dim3(1), dim3(32), 32 * sizeof(real), nullptr, x, y, 0);
    check(arrived && std::isnan(y[31]), "an asynchronous copy arrives when it is waited for, and no earlier");
    cudaFree(x);
    cudaFree(y);
}

/* Work on a stream is done no earlier than somebody waits for it: memory of the host that is changed before that was changed too early. */
void test_streams() {
    float *x = device_array(1), *host = nullptr;
    cudaStream_t one, two;
    cudaEvent_t event;
    cudaHostAlloc((void **)&host, sizeof *host, 0);
    cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    shim_schedule(SHIM_FORWARD, 1, 1);
    *host = 1;
    cudaMemcpyAsync(x, host, sizeof *host, cudaMemcpyHostToDevice, one);
    *host = 2;
    cudaStreamSynchronize(one);
    check(*x == 2, "a copy reads what the host has when it is done, not when it was asked for");
    *host = 3;
    cudaMemcpyAsync(x, host, sizeof *host, cudaMemcpyHostToDevice, one);
    cudaEventRecord(event, one);
    cudaStreamWaitEvent(two, event, 0);
    LAUNCH(add_one, dim3(1), dim3(32), 0, two, x, x, 1);
    cudaStreamSynchronize(two);
    check(*x == 4, "a stream that waits for an event comes after what was before it on the other stream");
    *host = 5;
    cudaMemcpyAsync(x, host, sizeof *host, cudaMemcpyHostToDevice, one);
    LAUNCH(add_one, dim3(1), dim3(32), 0, two, x, x, 1);
    cudaStreamSynchronize(two);
    cudaStreamSynchronize(one);
    check(*x == 5, "a stream that does not wait comes whenever it is asked for");
    shim_schedule(SHIM_FORWARD, 1, 0);
    cudaEventDestroy(event);
    cudaStreamDestroy(one);
    cudaStreamDestroy(two);
    cudaFreeHost(host);
    cudaFree(x);
}

void test_launches() {
    float *x = device_array(1);
    LAUNCH(add_one, dim3(0), dim3(32), 0, nullptr, x, x, 1);
    check(cudaGetLastError() == cudaErrorInvalidConfiguration, "a grid without blocks is refused");
    LAUNCH(add_one, dim3(1), dim3(2048), 0, nullptr, x, x, 1);
    check(cudaGetLastError() == cudaErrorInvalidConfiguration, "a block of 2048 threads is refused");
    LAUNCH(add_one, dim3(1), dim3(32), 228 << 10, nullptr, x, x, 1);
    check(cudaGetLastError() == cudaErrorInvalidValue, "more shared memory than there is is refused");
    cudaFree(x);
}

void test_stops() {
    float *x = device_array(33), *y = device_array(64);
    check(ends_badly("threads wait for their block in line",
                     [&] { LAUNCH(barrier_of_some, dim3(1), dim3(64), 0, nullptr, 32); }),
          "a barrier that a part of the block reaches ends the process");
    check(ends_badly("threads wait for their block in lines",
                     [&] { LAUNCH(two_barriers, dim3(1), dim3(64), 0, nullptr, 32); }),
          "a block that waits in two places ends the process");
    check(ends_badly("for lanes that have ended", [&] { LAUNCH(shuffle_of_some, dim3(1), dim3(32), 0, nullptr, y); }),
          "a shuffle of a part of a warp ends the process");
#ifdef __SANITIZE_ADDRESS__
    check(ends_badly("heap-buffer-overflow", [&] { LAUNCH(read_beyond, dim3(1), dim3(64), 0, nullptr, x, y); }),
          "reading beyond device memory ends the process");
    check(ends_badly("heap-buffer-overflow",
                     [&] { LAUNCH(write_beyond_shared, dim3(1), dim3(64), 32 * sizeof(real), nullptr, y); }),
          "writing beyond shared memory ends the process");
#else
    (void)read_beyond, (void)write_beyond_shared;
    printf("left out: steps beyond memory, which builds with the address sanitizer find\n");
#endif
    cudaFree(x);
    cudaFree(y);
}

} // namespace

int main() {
    test_sum();
    check(orders_right(1) == SHIM_ORDERS, "shared memory after a barrier holds what others wrote");
    check(orders_right(0) < SHIM_ORDERS, "without the barrier some order of threads shows it");
    test_values();
    test_streams();
    test_launches();
    test_stops();
    check(shim_memory_in_use() == 0, "all memory was given back");
    return failed != 0;
}
