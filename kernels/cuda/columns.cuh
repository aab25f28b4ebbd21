/* Sums over rows in two stages of a fixed order: blocks leave partial sums in workspace, and finish_columns() adds those. */
#ifndef CUDA_COLUMNS_CUH
#define CUDA_COLUMNS_CUH

#include "device.cuh"

enum { FINISH_COLUMNS = 32, FINISH_GROUPS = 8 };

/* out[c] = the sum over p of partial[p * stride + c], `add`ed to what is there: group g takes p = g, g + 8, …, and groups are added in
 * order. */
static __global__ void __launch_bounds__(FINISH_COLUMNS *FINISH_GROUPS)
    finish(const real *partial, int64_t parts, int64_t stride, int64_t width, int add, real *out) {
    SHARED(real, room);
    int lane = threadIdx.x % FINISH_COLUMNS, group = threadIdx.x / FINISH_COLUMNS;
    int64_t c = (int64_t)blockIdx.x * FINISH_COLUMNS + lane;
    real sum = 0;
    if (c < width) {
#pragma unroll 4
        for (int64_t p = group; p < parts; p += FINISH_GROUPS) sum += partial[p * stride + c];
    }
    room[threadIdx.x] = sum;
    __syncthreads();
    if (group || c >= width) return;
    real total = 0;
#pragma unroll
    for (int g = 0; g < FINISH_GROUPS; g++) total += room[g * FINISH_COLUMNS + lane];
    out[c] = add ? out[c] + total : total;
}

static inline void finish_columns(const real *partial, int64_t parts, int64_t stride, int64_t width, int add, real *out,
                                  cudaStream_t stream) {
    unsigned blocks = (unsigned)divide_up(width, FINISH_COLUMNS), threads = FINISH_COLUMNS * FINISH_GROUPS;
    LAUNCH(finish, dim3(blocks), dim3(threads), threads * sizeof(real), stream, partial, parts, stride, width, add,
           out);
}

#endif
