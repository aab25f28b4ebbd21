/* Column sums of dy: the gradient of a bias. Stage 1: a block adds some of the rows of 32 packs of columns. */
#include "columns.cuh"
#include "kernels.h"

enum { ROW_GROUPS = 8, ROWS_A_PART = 128, MOST_PARTS = 128 };

static int64_t parts_of(int64_t rows) { return smaller(divide_up(rows, ROWS_A_PART), MOST_PARTS); }

#if !defined KERNEL_BF16 && !defined KERNEL_F16
extern "C" int64_t cuda_sum_rows_workspace(int64_t rows, int64_t columns) {
    return parts_of(rows) * columns * (int64_t)sizeof(real);
}
#endif

template <int WIDE>
static __global__ void __launch_bounds__(WARP *ROW_GROUPS)
    sum_part(const value *x, int64_t rows, int64_t columns, real *partial) {
    SHARED(real, room); /* [ROW_GROUPS][WARP * WIDE] */
    int lane = threadIdx.x % WARP, group = threadIdx.x / WARP;
    int64_t c = ((int64_t)blockIdx.x * WARP + lane) * WIDE;
    part<WIDE> sum = {};
    if (c < columns) {
#pragma unroll 4
        for (int64_t row = (int64_t)blockIdx.y * ROW_GROUPS + group; row < rows;
             row += (int64_t)gridDim.y * ROW_GROUPS) {
            part<WIDE> p = load<WIDE>(x + row * columns + c);
#pragma unroll
            for (int k = 0; k < WIDE; k++) sum.at[k] += p.at[k];
        }
    }
    store<WIDE>(sum, room + threadIdx.x * WIDE);
    __syncthreads();
    if (group || c >= columns) return;
    for (int g = 1; g < ROW_GROUPS; g++) {
        part<WIDE> other = load<WIDE>(room + (g * WARP + lane) * WIDE);
#pragma unroll
        for (int k = 0; k < WIDE; k++) sum.at[k] += other.at[k];
    }
#pragma unroll
    for (int k = 0; k < WIDE; k++) partial[blockIdx.y * columns + c + k] = sum.at[k];
}

extern "C" void K(sum_rows)(const void *x, int64_t rows, int64_t columns, int add, real *out, void *workspace,
                            cudaStream_t stream) {
    const value *from = (const value *)x;
    real *partial = (real *)workspace;
    int64_t parts = parts_of(rows);
    int wide = columns % PACK == 0 && is_aligned(x) ? PACK : 1;
    dim3 grid((unsigned)divide_up(columns, WARP * wide), (unsigned)parts), block(WARP * ROW_GROUPS);
    size_t room = sizeof(real) * WARP * ROW_GROUPS * (size_t)wide;
    if (wide == 1)
        LAUNCH(sum_part<1>, grid, block, room, stream, from, rows, columns, partial);
    else
        LAUNCH(sum_part<PACK>, grid, block, room, stream, from, rows, columns, partial);
    finish_columns(partial, parts, columns, columns, add, out, stream);
}
