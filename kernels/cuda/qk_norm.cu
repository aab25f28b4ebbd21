/* RMSNorm of each head's queries and keys, and its gradient. A warp takes a head of a row. */
#include "columns.cuh"
#include "kernels.h"

enum { WARPS = 4, MOST_BLOCKS = 2048, HEADS_A_WARP = 16 };

struct qk_args {
    const value *x, *dy, *wq, *wk;
    value *y;
    real *rstd, *partial; /* partial[blocks][2][size]: of dwq and dwk */
    int64_t rows, heads, normed, all, size;
    real eps;
};

static qk_args args_of(const struct kernel_args *a, int x, int weight) {
    qk_args q = {};
    q.x = (const value *)a->in[x].data;
    q.wq = (const value *)a->in[weight].data;
    q.wk = (const value *)a->in[weight + 1].data;
    q.y = (value *)a->out[0].data;
    q.rows = a->in[x].dim[0];
    q.heads = a->attr->heads;
    q.normed = q.heads + a->attr->kv_heads;
    q.all = q.normed + a->attr->kv_heads;
    q.size = a->in[weight].dim[0];
    q.eps = (real)a->attr->eps;
    return q;
}

/* Two values a lane where heads are multiples of 64. */
static int wide_of(const qk_args &q) {
    return q.size % (2 * WARP) == 0 && is_aligned(q.x) && is_aligned(q.y) && is_aligned(q.dy) ? 2 : 1;
}

template <int WIDE> static __global__ void __launch_bounds__(WARPS *WARP) qk_norm(qk_args q) {
    const int lane = threadIdx.x % WARP;
    const int64_t index = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP, row = index / q.all, head = index % q.all;
    if (row >= q.rows) return;
    const value *x = q.x + index * q.size, *w = head < q.heads ? q.wq : q.wk;
    value *y = q.y + index * q.size;
    if (head >= q.normed) { /* values are passed on */
        if (y != x)
            for (int64_t c = lane * WIDE; c < q.size; c += WARP * WIDE) store<WIDE>(load<WIDE>(x + c), y + c);
        return;
    }
    real squares = 0;
    for (int64_t c = lane * WIDE; c < q.size; c += WARP * WIDE) {
        part<WIDE> p = load<WIDE>(x + c);
#pragma unroll
        for (int k = 0; k < WIDE; k++) squares += p.at[k] * p.at[k];
    }
    const real scale = 1 / sqrtf(warp_sum(squares) / (real)q.size + q.eps);
    for (int64_t c = lane * WIDE; c < q.size; c += WARP * WIDE) {
        part<WIDE> p = load<WIDE>(x + c), weight = load<WIDE>(w + c);
#pragma unroll
        for (int k = 0; k < WIDE; k++) p.at[k] = p.at[k] * scale * weight.at[k];
        store<WIDE>(p, y + c);
    }
    if (lane == 0) q.rstd[row * q.normed + head] = scale;
}

/* Warps go through the heads of all rows; a warp's sums of dwq and dwk are in shared memory, a column the affair of one lane. */
template <int WIDE> static __global__ void __launch_bounds__(WARPS *WARP) qk_norm_grad(qk_args q) {
    SHARED(real, sums); /* [WARPS][2][size] */
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    real *mine = sums + warp * 2 * q.size;
    for (int64_t c = lane * WIDE; c < q.size; c += WARP * WIDE)
        for (int k = 0; k < WIDE; k++) mine[c + k] = mine[q.size + c + k] = 0;
    for (int64_t index = (int64_t)blockIdx.x * WARPS + warp; index < q.rows * q.all;
         index += (int64_t)gridDim.x * WARPS) {
        const int64_t row = index / q.all, head = index % q.all;
        const value *dy = q.dy + index * q.size, *x = q.x + index * q.size, *w = head < q.heads ? q.wq : q.wk;
        value *dx = q.y + index * q.size;
        if (head >= q.normed) {
            if (dx != dy)
                for (int64_t c = lane * WIDE; c < q.size; c += WARP * WIDE) store<WIDE>(load<WIDE>(dy + c), dx + c);
            continue;
        }
        const real scale = q.rstd[row * q.normed + head];
        real *dw = mine + (head < q.heads ? 0 : q.size), sum = 0;
        for (int64_t c = lane * WIDE; c < q.size; c += WARP * WIDE) {
            part<WIDE> d = load<WIDE>(dy + c), p = load<WIDE>(x + c), weight = load<WIDE>(w + c);
#pragma unroll
            for (int k = 0; k < WIDE; k++) {
                real h = p.at[k] * scale;
                sum += d.at[k] * weight.at[k] * h;
                dw[c + k] += d.at[k] * h;
            }
        }
        const real mean = warp_sum(sum) / (real)q.size;
        for (int64_t c = lane * WIDE; c < q.size; c += WARP * WIDE) {
            part<WIDE> d = load<WIDE>(dy + c), p = load<WIDE>(x + c), weight = load<WIDE>(w + c);
#pragma unroll
            for (int k = 0; k < WIDE; k++) d.at[k] = scale * (d.at[k] * weight.at[k] - p.at[k] * scale * mean);
            store<WIDE>(d, dx + c);
        }
    }
    __syncthreads();
    for (int64_t c = threadIdx.x; c < 2 * q.size; c += WARPS * WARP) {
        real total = 0;
        for (int w = 0; w < WARPS; w++) total += sums[w * 2 * q.size + c];
        q.partial[blockIdx.x * 2 * q.size + c] = total;
    }
}

extern "C" void K(qk_norm)(const struct kernel_args *a, cudaStream_t stream) {
    qk_args q = args_of(a, 0, 1);
    q.rstd = (real *)a->out[1].data;
    dim3 grid((unsigned)divide_up(q.rows * q.all, WARPS)), block(WARPS * WARP);
    if (wide_of(q) == 2)
        LAUNCH(qk_norm<2>, grid, block, 0, stream, q);
    else
        LAUNCH(qk_norm<1>, grid, block, 0, stream, q);
}

static int64_t blocks_of(const qk_args &q) {
    return smaller(divide_up(q.rows * q.all, WARPS * HEADS_A_WARP), MOST_BLOCKS);
}

#if !defined KERNEL_BF16 && !defined KERNEL_F16
extern "C" int64_t cuda_qk_norm_grad_workspace(const struct kernel_args *a) {
    qk_args q = args_of(a, 1, 3);
    return blocks_of(q) * 2 * q.size * (int64_t)sizeof(real);
}
#endif

extern "C" void K(qk_norm_grad)(const struct kernel_args *a, cudaStream_t stream) {
    qk_args q = args_of(a, 1, 3);
    q.dy = (const value *)a->in[0].data;
    q.rstd = (real *)a->in[2].data;
    q.partial = (real *)a->scratch;
    const int64_t blocks = blocks_of(q);
    const dim3 grid((unsigned)blocks), block(WARPS * WARP);
    const size_t room = sizeof(real) * WARPS * 2 * (size_t)q.size;
    if (wide_of(q) == 2)
        LAUNCH(qk_norm_grad<2>, grid, block, room, stream, q);
    else
        LAUNCH(qk_norm_grad<1>, grid, block, room, stream, q);
    finish_columns(q.partial, blocks, 2 * q.size, q.size, a->add >> 1 & 1, (real *)a->out[1].data, stream);
    finish_columns(q.partial + q.size, blocks, 2 * q.size, q.size, a->add >> 2 & 1, (real *)a->out[2].data, stream);
}
