/* Causal softmax attention, forward; and which of the ways is taken. */
#include "attention_plain.cuh"
#include "kernels.h"

/* What a query has seen so far: the largest score, the sum of e^(score - top), and this lane's channels of the weighted values. */
template <int CHANNELS> struct seen { real top, sum, o[CHANNELS]; };

/* A tile of keys: a lane has the score of its key, or sees it not. `keep`: dropout of its probability. v: the values. */
template <int CHANNELS>
static __device__ inline void see(seen<CHANNELS> *s, real score, int visible, real keep, const real *v, int size,
                                  int lane, real *weights) {
    const real top = warp_max(visible ? score : -INFINITY), next = top > s->top ? top : s->top;
    const real p = visible ? expf(score - next) : 0, shrink = next == s->top ? 1 : expf(s->top - next);
    s->top = next;
    s->sum = s->sum * shrink + warp_sum(p);
#pragma unroll
    for (int r = 0; r < CHANNELS; r++) s->o[r] *= shrink;
    add_weighted<CHANNELS>(v, size, p * keep, lane, weights, s->o);
}

/* Block: PLAIN_WARPS queries of one head, the last ones first, since they see the most keys. */
template <int CHANNELS> static __global__ void __launch_bounds__(PLAIN_WARPS *WARP, 2) attend(plain_args p) {
    SHARED(real, room); /* keys[TILE][size + 1], values, queries[PLAIN_WARPS][size], weights[PLAIN_WARPS][TILE] */
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, size = (int)p.size;
    real *keys = room, *values = keys + TILE * (size + 1), *q = values + TILE * (size + 1) + warp * size;
    real *weights = values + TILE * (size + 1) + PLAIN_WARPS * size + warp * TILE;
    const int64_t head = blockIdx.x % p.heads, sequence = blockIdx.x / p.heads, index = blockIdx.x;
    const int64_t begin = (int64_t)(gridDim.y - 1 - blockIdx.y) * PLAIN_WARPS, query = begin + warp;
    const value *row = p.qkv + sequence * p.time * p.columns;
    const value *k = row + (p.heads + head * p.kv_heads / p.heads) * size, *v = k + p.kv_heads * size;
    const int live = query < p.time;
    const int64_t start = live && p.starts ? p.starts[sequence * p.time + query] : 0;
    const struct draws d = draws_of(p.site);
    seen<CHANNELS> s = {-INFINITY, 0, {}};
    for (int c = lane; c < size; c += WARP) q[c] = live ? p.scale * get(row[query * p.columns + head * size + c]) : 0;
    const int64_t end = smaller(begin + PLAIN_WARPS, p.time);
    for (int64_t from = 0; from < end; from += TILE) {
        __syncthreads();
        load_tile(k, from, end, p.columns, size, threadIdx.x, PLAIN_WARPS * WARP, keys);
        load_tile(v, from, end, p.columns, size, threadIdx.x, PLAIN_WARPS * WARP, values);
        __syncthreads();
        if (!live) continue; /* a whole warp */
        const int64_t key = from + lane;
        const int visible = key <= query && key >= start;
        const real keep = p.dropout && visible ? keep_of(d, index, p.time, query, key) : 1;
        see<CHANNELS>(&s, dot(q, keys + lane * (size + 1), size), visible, keep, values, size, lane, weights);
    }
    if (!live) return;
    value *out = p.out + (sequence * p.time + query) * p.heads * size + head * size;
#pragma unroll
    for (int r = 0; r < CHANNELS; r++)
        if (lane + r * WARP < size) put(s.o[r] / s.sum, &out[lane + r * WARP]);
    if (lane == 0) p.lse[index * p.time + query] = s.top + logf(s.sum);
}

static plain_args args_of(const struct kernel_args *a) {
    plain_args p = {};
    p.qkv = (const value *)a->in[0].data;
    p.starts = (const int32_t *)a->in[1].data;
    p.out = (value *)a->out[0].data;
    p.lse = (real *)a->out[1].data;
    p.time = a->attr->time;
    p.heads = a->attr->heads;
    p.kv_heads = a->attr->kv_heads;
    p.columns = a->in[0].dim[1];
    p.size = a->out[0].dim[1] / p.heads;
    p.scale = (real)a->attr->scale;
    p.site = draw_site_of(a);
    p.dropout = a->attr->rate > 0;
    return p;
}

extern "C" void K(attention)(const struct kernel_args *a, cudaStream_t stream) {
    const plain_args p = args_of(a);
    const dim3 grid((unsigned)(a->attr->batch * p.heads), (unsigned)divide_up(p.time, PLAIN_WARPS));
    const size_t room = sizeof(real) * (size_t)(2 * TILE * (p.size + 1) + PLAIN_WARPS * (p.size + TILE));
#if defined KERNEL_BF16 || defined KERNEL_F16
    if (K(attention_mma)(a, stream)) return;
#endif
    PLAIN_LAUNCH(attend, p.size, grid, dim3(PLAIN_WARPS * WARP), room, stream, p);
}

/* ---- onto a cache of keys and values, for generation ----
 *
 * Tokens whose position is beyond the cache are the padding of a prefill: they are not stored, and their rows of o are zero. */

enum {
    CACHED_WARPS = 4,
    WIDE_HEAD = 128 /* channels: above, half as many warps, for their tiles must fit in shared memory */
};

struct cached_args {
    const value *qkv;
    value *o, *keys, *values;
    const struct step_block *step;
    int64_t time, heads, kv_heads, size, columns, places;
    real scale;
};

/* Block: a new token; its keys and values go to their place. */
static __global__ void __launch_bounds__(256) store_new(cached_args c) {
    const int64_t width = c.kv_heads * c.size, t = blockIdx.x, place = c.step->position + t, sequence = blockIdx.y;
    const value *from = c.qkv + (sequence * c.time + t) * c.columns + c.columns - 2 * width;
    if (place >= c.places) return;
    for (int64_t i = threadIdx.x; i < width; i += 256) {
        c.keys[(sequence * c.places + place) * width + i] = from[i];
        c.values[(sequence * c.places + place) * width + i] = from[width + i];
    }
}

/* Block: a query of one head; its warps take tiles of keys in turn, and what they have seen is put together in their order. */
template <int CHANNELS> static __global__ void __launch_bounds__(CACHED_WARPS *WARP) attend_cache(cached_args c) {
    SHARED(
        real,
        room); /* query[size], then for each warp a tile[TILE][size + 1], then top, sum and o[size] of each warp; weights */
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, size = (int)c.size;
    const int64_t head = blockIdx.x % c.heads, sequence = blockIdx.x / c.heads, t = blockIdx.y;
    const int64_t width = c.kv_heads * size, query = c.step->position + t;
    const int64_t cached = sequence * c.places * width + head * c.kv_heads / c.heads * size;
    const int warps = blockDim.x / WARP;
    real *q = room, *tile = q + size + warp * TILE * (size + 1);
    real *all = q + size + warps * TILE * (size + 1), *mine = all + warp * (size + 2);
    real *weights = all + warps * (size + 2) + warp * TILE;
    value *out = c.o + (sequence * c.time + t) * c.heads * size + head * size;
    if (query >= c.places) {
        for (int i = threadIdx.x; i < size; i += blockDim.x) put(0, &out[i]);
        return; /* the whole block */
    }
    seen<CHANNELS> s = {-INFINITY, 0, {}};
    for (int i = threadIdx.x; i < size; i += blockDim.x)
        q[i] = c.scale * get(c.qkv[(sequence * c.time + t) * c.columns + head * size + i]);
    __syncthreads();
    for (int64_t from = warp * TILE; from <= query; from += warps * TILE) {
        load_tile(c.keys + cached, from, query + 1, width, size, lane, WARP, tile);
        __syncwarp();
        const real score = dot(q, tile + lane * (size + 1), size);
        __syncwarp();
        load_tile(c.values + cached, from, query + 1, width, size, lane, WARP, tile);
        __syncwarp();
        see<CHANNELS>(&s, score, from + lane <= query, 1, tile, size, lane, weights);
        __syncwarp();
    }
    mine[0] = s.top;
    mine[1] = s.sum;
#pragma unroll
    for (int r = 0; r < CHANNELS; r++)
        if (lane + r * WARP < size) mine[2 + lane + r * WARP] = s.o[r];
    __syncthreads();
    real top = all[0], sum = 0;
    for (int w = 1; w < warps; w++) top = all[w * (size + 2)] > top ? all[w * (size + 2)] : top;
    for (int w = 0; w < warps; w++) sum += all[w * (size + 2) + 1] * expf(all[w * (size + 2)] - top);
    for (int i = threadIdx.x; i < size; i += blockDim.x) {
        real o = 0;
        for (int w = 0; w < warps; w++) o += all[w * (size + 2) + 2 + i] * expf(all[w * (size + 2)] - top);
        put(o / sum, &out[i]);
    }
}

extern "C" void K(attention_cached)(const struct kernel_args *a, cudaStream_t stream) {
    cached_args c = {};
    c.qkv = (const value *)a->in[0].data;
    c.o = (value *)a->out[0].data;
    c.keys = (value *)a->out[1].data;
    c.values = (value *)a->out[2].data;
    c.step = a->step;
    c.time = a->attr->time;
    c.heads = a->attr->heads;
    c.kv_heads = a->attr->kv_heads;
    c.columns = a->in[0].dim[1];
    c.size = a->out[0].dim[1] / c.heads;
    c.places = a->out[1].dim[1];
    c.scale = (real)a->attr->scale;
    const unsigned batch = (unsigned)a->attr->batch, time = (unsigned)c.time;
    const int warps = c.size > WIDE_HEAD ? CACHED_WARPS / 2 : CACHED_WARPS;
    const size_t room = sizeof(real) * (size_t)(c.size + warps * (TILE * (c.size + 1) + c.size + 2 + TILE));
    LAUNCH(store_new, dim3(time, batch), dim3(256), 0, stream, c);
    PLAIN_LAUNCH(attend_cache, c.size, dim3(batch * (unsigned)c.heads, time), dim3((unsigned)(warps * WARP)), room,
                 stream, c);
}
