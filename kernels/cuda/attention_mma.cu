/* Causal softmax attention on tensor cores, forward (Dao 2023, "FlashAttention-2"). A block has 128 queries of a head, 32 a warp, and
 * meets the keys that they see a tile at a time, from the last to the first. A row's sum and output are relative to its largest
 * score so far. From the last: so the first tile that a warp looks at has each of its queries' own key, and no largest
 * score is ever -infinity. */
#include "attention.cuh"

#if defined KERNEL_BF16 || defined KERNEL_F16

#include "attention_tiles.cuh"

namespace {

/* 32 queries a warp, for each key and value that is read from shared memory is used twice then. Above 96 channels the output alone takes 128
 * registers, so that a tile has 32 keys. */
template <int D, bool DROPS> struct attend_form {
    enum { M = D == 128 && DROPS ? 1 : 2, KEYS = D <= (DROPS ? 64 : 80) ? 64 : 32, HELD = D <= (DROPS ? 32 : 64) };
    enum { QUERIES = ATTENTION_WARPS * 16 * M };
    enum { TILE = KEYS * row_form<D>::STRIDE, QUERY_ROOM = QUERIES * row_form<D>::STRIDE };
    enum { BYTES = (QUERY_ROOM + 4 * TILE) * (int)sizeof(value) };
    static_assert(KEYS % (16 * M) == 0, "a warp's queries have their own keys in one tile");
};

/* Of a warp's queries: lane / 4 + 8 * half + 16 * m. The sums are of the lane's own columns until the end. */
template <int D, int M> struct attended { real top[M][2], sum[M][2], o[M][D / 8][4]; };

/* Scores in, probabilities relative to the largest score so far out; what was summed before is made relative to it too. to_power: what
 * makes of scores exponents of 2. */
template <int D, int M, int N>
__device__ __forceinline__ static void softmax_step(real (&score)[M][N][4], attended<D, M> &row, real to_power) {
    real factor[M][2];
    bool risen = false;
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            real top = row.top[m][half];
#pragma unroll
            for (int n = 0; n < N; n++) top = fmaxf(top, fmaxf(score[m][n][half * 2], score[m][n][half * 2 + 1]));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
            risen |= top > row.top[m][half];
            factor[m][half] = power_of_two((row.top[m][half] - top) * to_power);
            row.top[m][half] = top;
        }
    }
    if (__any_sync(~0u, risen)) { /* else the factors are 1 */
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int n = 0; n < D / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) row.o[m][n][i] *= factor[m][i / 2];
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            real shift = row.top[m][half] * to_power, sum = 0;
#pragma unroll
            for (int n = 0; n < N; n++) {
#pragma unroll
                for (int i = half * 2; i < half * 2 + 2; i++) {
                    score[m][n][i] = power_of_two(fmaf(score[m][n][i], to_power, -shift));
                    sum += score[m][n][i];
                }
            }
            row.sum[m][half] = row.sum[m][half] * factor[m][half] + sum;
        }
    }
}

/* The rest of the sums; writes the warp's part of lse and makes `o` the output. lse: of the warp's first query; count: how many rows of
 * it there are. */
template <int D, int M>
__device__ __forceinline__ static void finish_rows(attended<D, M> &row, real *lse, int count, real scale, real kept) {
    const int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            real sum = row.sum[m][half];
            sum += __shfl_xor_sync(~0u, sum, 1);
            sum += __shfl_xor_sync(~0u, sum, 2);
            const int at = m * 16 + half * 8 + lane / 4;
            if (lane % 4 == 0 && at < count) lse[at] = row.top[m][half] * scale + logf(sum);
            const real factor = __fdividef(kept, sum);
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                row.o[m][n][half * 2] *= factor;
                row.o[m][n][half * 2 + 1] *= factor;
            }
        }
    }
}

template <int D, int M> __device__ __forceinline__ static void begin_rows(attended<D, M> &row) {
    clear(row.o);
#pragma unroll
    for (int m = 0; m < M; m++) {
        row.top[m][0] = row.top[m][1] = -INFINITY;
        row.sum[m][0] = row.sum[m][1] = 0;
    }
}

template <int D, bool DROPS>
__global__ void __launch_bounds__(ATTENTION_THREADS)
    attend(const struct attention_job job, value *__restrict__ out, real *__restrict__ lse) {
    typedef attend_form<D, DROPS> form;
    enum { M = form::M, KEYS = form::KEYS, ROWS = 16 * M };
    SHARED(value, room);
    const struct tile_place place = tile_place_of(job.order, (int)blockIdx.x);
    const int warp = __shfl_sync(~0u, (int)threadIdx.x / WARP, 0), sequence = place.head / job.heads;
    const int head = place.head % job.heads, begin = place.tile * form::QUERIES, query = begin + warp * ROWS;
    const int64_t row = (int64_t)sequence * job.time;
    const value *q = job.qkv + row * job.columns + head * job.size;
    const value *k = job.qkv + row * job.columns + job.width + head / (job.heads / job.kv_heads) * job.size;
    const value *v = k + job.kv_heads * job.size;
    const int32_t *starts = job.starts ? job.starts + row : NULL;
    value *tiles = room + form::QUERY_ROOM, *own = room + warp * ROWS * row_form<D>::STRIDE;
    const int last = (begin + form::QUERIES < job.time ? begin + form::QUERIES - 1 : job.time - 1) / KEYS;
    const int first = start_of(starts, begin, job.time) / KEYS;
    const struct queries_view view = view_of(starts, query, ROWS, job.time);
    const real to_power = job.scale * LOG2_E;

    fetch_rows<D, form::QUERIES>(room, q, job.qkv_bytes, begin, job.time, job.size);
    copy_async_commit();
    fetch_rows<D, KEYS>(tiles, k, job.qkv_bytes, last * KEYS, job.time, job.size);
    fetch_rows<D, KEYS>(tiles + form::TILE, v, job.qkv_bytes, last * KEYS, job.time, job.size);
    copy_async_commit();
    copy_async_wait<1>();
    __syncthreads();
    left_rows<D, M, form::HELD> queries;
    queries.begin(own);
    attended<D, M> rows;
    begin_rows(rows);
    for (int tile = last, stage = 0; tile >= first; tile--, stage ^= 1) {
        copy_async_wait<0>();
        __syncthreads(); /* the tile is there, and nobody reads the other stage any more */
        const value *keys = tiles + stage * 2 * form::TILE;
        if (tile > first) {
            value *next = tiles + (stage ^ 1) * 2 * form::TILE;
            fetch_rows<D, KEYS>(next, k, job.qkv_bytes, (tile - 1) * KEYS, job.time, job.size);
            fetch_rows<D, KEYS>(next + form::TILE, v, job.qkv_bytes, (tile - 1) * KEYS, job.time, job.size);
            copy_async_commit();
        }
        if (view.misses(tile * KEYS, KEYS)) continue;
        kept_keys<M, KEYS / 8> kept;
        if (DROPS)
            kept.draw_all(draws_of(job.site), first_draw(place.head, job.time, query) + (unsigned)(tile * KEYS / 4),
                          (job.time + 3) / 4);
        real score[M][KEYS / 8][4];
        product_across(score, queries, keys);
        if (!view.sees_all(tile * KEYS, KEYS)) hide_keys(score, starts, query, tile * KEYS, job.time);
        softmax_step(score, rows, to_power);
        if (DROPS) kept.drop(score);
        product_down<D, M, KEYS / 8, false>(rows.o, score, keys + form::TILE);
    }
    const int count = job.time - query;
    finish_rows(rows, lse + (int64_t)place.head * job.time + query, count, job.scale, DROPS ? job.site.factor : 1);
    store_rows<D, M>(rows.o, own, out + (row + query) * job.width + head * job.size, job.width, count, job.size);
}

template <int D, bool DROPS>
void launch_form(struct attention_job job, const struct kernel_args *a, cudaStream_t stream) {
    typedef attend_form<D, DROPS> form;
    const int64_t group = job.heads / job.kv_heads;
    job.order = tile_order_of(a->attr->batch * job.heads, job.time, form::QUERIES, job.time, job.size, group, 1);
    const dim3 blocks((unsigned)(job.order.heads * job.order.tiles)), threads(ATTENTION_THREADS);
    LAUNCH((attend<D, DROPS>), blocks, threads, form::BYTES, stream, job, (value *)a->out[0].data,
           (real *)a->out[1].data);
}

template <int D> void launch_attend(const struct attention_job &job, const struct kernel_args *a, cudaStream_t stream) {
    if (a->attr->rate > 0)
        launch_form<D, true>(job, a, stream);
    else
        launch_form<D, false>(job, a, stream);
}

} // namespace

extern "C" int K(attention_mma)(const struct kernel_args *a, cudaStream_t stream) {
    const struct view *qkv = &a->in[0], *o = &a->out[0];
    if (!attention_fits(a, qkv, o)) return 0;
    if (a->attr->batch <= 0 || a->attr->time <= 0) return 1;
    const struct attention_job job = attention_job_of(a, qkv, &a->in[1], o);
    if (job.size <= 32)
        launch_attend<32>(job, a, stream);
    else if (job.size <= 64)
        launch_attend<64>(job, a, stream);
    else if (job.size <= 80)
        launch_attend<80>(job, a, stream);
    else if (job.size <= 96)
        launch_attend<96>(job, a, stream);
    else
        launch_attend<128>(job, a, stream);
    return 1;
}

#endif
