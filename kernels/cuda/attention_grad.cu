/* Causal softmax attention, backward (Dao et al. 2022, algorithm 4). With P the probabilities, M the dropout factors, S the scaled
 * scores and delta = rowsum(dO * O):
 *
 *     dV = (P*M)^T dO,  dP = (dO V^T) * M,  dS = P * (dP - delta),  dQ = scale dS K,  dK = scale dS^T Q
 *
 * P is made again from the scores and lse. Two kernels, one that owns queries and one that owns keys: each sum is made by one warp, in
 * order, and nothing is added by atomics. They compute S and dP twice. */
#include "attention_plain.cuh"
#include "kernels.h"

static plain_args args_of(const struct kernel_args *a) {
    plain_args p = {};
    p.d_o = (const value *)a->in[0].data;
    p.qkv = (const value *)a->in[1].data;
    p.o = (const value *)a->in[2].data;
    p.lse = (real *)a->in[3].data;
    p.starts = (const int32_t *)a->in[4].data;
    p.dqkv = (value *)a->out[0].data;
    p.delta = (real *)a->scratch;
    p.time = a->attr->time;
    p.heads = a->attr->heads;
    p.kv_heads = a->attr->kv_heads;
    p.columns = a->in[1].dim[1];
    p.size = a->in[0].dim[1] / p.heads;
    p.scale = (real)a->attr->scale;
    p.site = draw_site_of(a);
    p.dropout = a->attr->rate > 0;
    return p;
}

/* One pair of a query and a key: from score and dO . V to P * M and dS. */
struct pair {
    real p_kept, ds;
};

static __device__ inline struct pair pair_grad(const plain_args &p, const struct draws &d, int64_t index, int64_t query,
                                               int64_t key, real score, real dp, real lse, real delta) {
    const real probability = expf(score - lse), keep = p.dropout ? keep_of(d, index, p.time, query, key) : 1;
    struct pair result = {probability * keep, probability * (keep * dp - delta)};
    return result;
}

/* Block: PLAIN_WARPS queries of one head. Leaves delta for the other kernel. */
template <int CHANNELS> static __global__ void __launch_bounds__(PLAIN_WARPS *WARP, 2) query_grad(plain_args p) {
    SHARED(real, room); /* keys[TILE][size + 1], values, then for each warp its query and its row of dO; weights */
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, size = (int)p.size;
    real *keys = room, *values = keys + TILE * (size + 1), *q = values + TILE * (size + 1) + warp * 2 * size,
         *d_o = q + size;
    real *weights = values + TILE * (size + 1) + PLAIN_WARPS * 2 * size + warp * TILE;
    const int64_t head = blockIdx.x % p.heads, sequence = blockIdx.x / p.heads, index = blockIdx.x;
    const int64_t begin = (int64_t)(gridDim.y - 1 - blockIdx.y) * PLAIN_WARPS, query = begin + warp;
    const int64_t first = sequence * p.time * p.columns, row = sequence * p.time + query, width = p.heads * size;
    const value *k = p.qkv + first + (p.heads + head * p.kv_heads / p.heads) * size, *v = k + p.kv_heads * size;
    const int live = query < p.time;
    const int64_t start = live && p.starts ? p.starts[row] : 0;
    const struct draws d = draws_of(p.site);
    real dq[CHANNELS] = {}, delta = 0;
    for (int c = lane; c < size; c += WARP) {
        q[c] = live ? p.scale * get(p.qkv[first + query * p.columns + head * size + c]) : 0;
        d_o[c] = live ? get(p.d_o[row * width + head * size + c]) : 0;
        if (live) delta += d_o[c] * get(p.o[row * width + head * size + c]);
    }
    delta = warp_sum(delta);
    if (live && lane == 0) p.delta[index * p.time + query] = delta;
    const real lse = live ? p.lse[index * p.time + query] : 0;
    const int64_t end = smaller(begin + PLAIN_WARPS, p.time);
    for (int64_t from = 0; from < end; from += TILE) {
        __syncthreads();
        load_tile(k, from, end, p.columns, size, threadIdx.x, PLAIN_WARPS * WARP, keys);
        load_tile(v, from, end, p.columns, size, threadIdx.x, PLAIN_WARPS * WARP, values);
        __syncthreads();
        if (!live) continue;
        const int64_t key = from + lane;
        real ds = 0;
        if (key <= query && key >= start)
            ds = pair_grad(p, d, index, query, key, dot(q, keys + lane * (size + 1), size),
                           dot(d_o, values + lane * (size + 1), size), lse, delta)
                     .ds;
        add_weighted<CHANNELS>(keys, size, ds, lane, weights, dq);
    }
    if (!live) return;
    value *out = p.dqkv + first + query * p.columns + head * size;
#pragma unroll
    for (int r = 0; r < CHANNELS; r++)
        if (lane + r * WARP < size) put(p.scale * dq[r], &out[lane + r * WARP]);
}

/* Block: PLAIN_WARPS keys of one head of keys. The heads of queries that share it come in order. */
template <int CHANNELS> static __global__ void __launch_bounds__(PLAIN_WARPS *WARP, 2) key_grad(plain_args p) {
    SHARED(real, room); /* queries[TILE][size + 1], rows of dO, then for each warp its key and its value; weights */
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, size = (int)p.size;
    real *queries = room, *d_o = queries + TILE * (size + 1), *k = d_o + TILE * (size + 1) + warp * 2 * size,
         *v = k + size;
    real *weights = d_o + TILE * (size + 1) + PLAIN_WARPS * 2 * size + warp * TILE;
    const int64_t kv_head = blockIdx.x % p.kv_heads, sequence = blockIdx.x / p.kv_heads, group = p.heads / p.kv_heads;
    const int64_t begin = (int64_t)blockIdx.y * PLAIN_WARPS, key = begin + warp;
    const int64_t first = sequence * p.time * p.columns, width = p.heads * size;
    const int64_t at = first + key * p.columns + (p.heads + kv_head) * size, past = p.kv_heads * size;
    const int live = key < p.time;
    const struct draws d = draws_of(p.site);
    real dk[CHANNELS] = {}, dv[CHANNELS] = {};
    for (int c = lane; c < size; c += WARP) {
        k[c] = live ? p.scale * get(p.qkv[at + c]) : 0;
        v[c] = live ? get(p.qkv[at + past + c]) : 0;
    }
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        const int64_t index = sequence * p.heads + head;
        for (int64_t from = begin / TILE * TILE; from < p.time; from += TILE) {
            __syncthreads();
            load_tile(p.qkv + first + head * size, from, p.time, p.columns, size, threadIdx.x, PLAIN_WARPS * WARP,
                      queries);
            load_tile(p.d_o + sequence * p.time * width + head * size, from, p.time, width, size, threadIdx.x,
                      PLAIN_WARPS * WARP, d_o);
            __syncthreads();
            const int64_t query = from + lane;
            struct pair pair = {0, 0};
            if (live && query < p.time && key <= query && !(p.starts && key < p.starts[sequence * p.time + query]))
                pair = pair_grad(p, d, index, query, key, dot(queries + lane * (size + 1), k, size),
                                 dot(d_o + lane * (size + 1), v, size), p.lse[index * p.time + query],
                                 p.delta[index * p.time + query]);
            add_weighted<CHANNELS>(queries, size, pair.ds, lane, weights, dk);
            add_weighted<CHANNELS>(d_o, size, pair.p_kept, lane, weights, dv);
        }
    }
    if (!live) return;
#pragma unroll
    for (int r = 0; r < CHANNELS; r++) {
        if (lane + r * WARP >= size) continue;
        put(p.scale * dk[r], &p.dqkv[at + lane + r * WARP]);
        put(dv[r], &p.dqkv[at + past + lane + r * WARP]);
    }
}

#if !defined KERNEL_BF16 && !defined KERNEL_F16
extern "C" int64_t cuda_attention_workspace(const struct kernel_args *a) {
    return a->attr->batch * a->attr->heads * a->attr->time * (int64_t)sizeof(real);
}
#endif

extern "C" void K(attention_grad)(const struct kernel_args *a, cudaStream_t stream) {
    const plain_args p = args_of(a);
    const unsigned batch = (unsigned)a->attr->batch, tiles = (unsigned)divide_up(p.time, PLAIN_WARPS);
    const size_t room = sizeof(real) * (size_t)(2 * TILE * (p.size + 1) + PLAIN_WARPS * (2 * p.size + TILE));
#if defined KERNEL_BF16 || defined KERNEL_F16
    if (K(attention_mma_grad)(a, stream)) return;
#endif
    PLAIN_LAUNCH(query_grad, p.size, dim3(batch * (unsigned)p.heads, tiles), dim3(PLAIN_WARPS * WARP), room, stream, p);
    PLAIN_LAUNCH(key_grad, p.size, dim3(batch * (unsigned)p.kv_heads, tiles), dim3(PLAIN_WARPS * WARP), room, stream,
                 p);
}
