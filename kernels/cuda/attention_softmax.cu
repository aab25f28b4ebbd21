/* The softmax of attention with all its weights in memory, and its gradient; products are the backend's. A warp takes a row. */
#include "kernels.h"
#include "device.cuh"

enum { WARPS = 4 };

/* w[row] = softmax of the keys that the query sees, 0 elsewhere; may be where the scores are. */
static __global__ void __launch_bounds__(WARPS *WARP)
    softmax_seen(const value *scores, const int32_t *starts, int64_t rows, int64_t time, int64_t heads, int64_t padded,
                 value *w) {
    const int lane = threadIdx.x % WARP;
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP;
    if (row >= rows) return;
    const int64_t query = row % time, sequence = row / time / heads,
                  first = starts ? starts[sequence * time + query] : 0;
    const value *from = scores + row * padded;
    real top = -INFINITY, sum = 0;
    for (int64_t c = first + lane; c <= query; c += WARP) top = get(from[c]) > top ? get(from[c]) : top;
    top = warp_max(top);
    for (int64_t c = first + lane; c <= query; c += WARP) sum += expf(get(from[c]) - top);
    const real factor = 1 / warp_sum(sum);
    for (int64_t c = lane; c < padded; c += WARP)
        put(c >= first && c <= query ? expf(get(from[c]) - top) * factor : 0, &w[row * padded + c]);
}

extern "C" void K(attention_softmax)(const struct kernel_args *a, cudaStream_t stream) {
    const int64_t rows = a->in[0].dim[0];
    LAUNCH(softmax_seen, dim3((unsigned)divide_up(rows, WARPS)), dim3(WARPS * WARP), 0, stream,
           (const value *)a->in[0].data, (const int32_t *)a->in[1].data, rows, a->attr->time, a->attr->heads,
           a->in[0].dim[1], (value *)a->out[0].data);
}

/* ds = p (dp - sum(p dp)); p is 0 where there is nothing to see. ds may be dp. */
static __global__ void __launch_bounds__(WARPS *WARP)
    softmax_seen_grad(const value *dp, const value *p, int64_t rows, int64_t padded, value *ds) {
    const int lane = threadIdx.x % WARP;
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP, at = row * padded;
    if (row >= rows) return;
    real sum = 0;
    for (int64_t c = lane; c < padded; c += WARP) sum += get(dp[at + c]) * get(p[at + c]);
    sum = warp_sum(sum);
    for (int64_t c = lane; c < padded; c += WARP) put(get(p[at + c]) * (get(dp[at + c]) - sum), &ds[at + c]);
}

extern "C" void K(attention_softmax_grad)(const struct kernel_args *a, cudaStream_t stream) {
    const int64_t rows = a->in[0].dim[0];
    LAUNCH(softmax_seen_grad, dim3((unsigned)divide_up(rows, WARPS)), dim3(WARPS * WARP), 0, stream,
           (const value *)a->in[0].data, (const value *)a->in[1].data, rows, a->in[0].dim[1], (value *)a->out[0].data);
}
