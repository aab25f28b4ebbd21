/* Causal softmax attention on tensor cores, backward. With P the probabilities, M the dropout factors (0 or 1 / (1 - rate)):
 *
 *     dV = (P*M)^T dO,  dP = (dO V^T) * M,  dS = P * (dP - rowsum(dO * O)),  dQ = scale dS K,  dK = scale dS^T Q
 *
 * Three kernels, without atomics: one for rowsum(dO * O), which is scratch (`delta`); one whose blocks own keys and meet the queries that
 * see them, of one head of the group after the other; one whose blocks own queries and meet the keys that they see. The last two both
 * make P and dP, for a price of two products in seven. In the first of them scores stand transposed, so that those that a
 * warp makes are, as they lie in its registers, the left sides of the products that sum over queries. */
#include "attention.cuh"

#if defined KERNEL_BF16 || defined KERNEL_F16

#include "attention_tiles.cuh"

namespace {

/* What attention_grad reads and writes besides. */
struct grad_job {
    struct attention_job shape;
    const value *d_o;
    const real *lse, *delta; /* [batch * heads, time] */
    value *d_qkv;
};

/* ---- delta ---- */

/* LANES lanes for each (token, head): head_row = token * heads + head. */
template <int LANES>
__global__ void __launch_bounds__(ATTENTION_THREADS)
    sum_rows(const value *__restrict__ d_o, const value *__restrict__ o, real *__restrict__ delta, int head_rows,
             int heads, int time, int size) {
    const int64_t thread = (int64_t)blockIdx.x * ATTENTION_THREADS + threadIdx.x;
    const int head_row = (int)(thread / LANES), column = (int)(thread % LANES) * PACK;
    real sum = 0;
    if (head_row < head_rows && column < size) {
        const int64_t at = (int64_t)head_row * size + column;
        const part<PACK> x = load<PACK>(d_o + at), y = load<PACK>(o + at);
#pragma unroll
        for (int i = 0; i < PACK; i++) sum += x.at[i] * y.at[i];
    }
#pragma unroll
    for (int bits = LANES / 2; bits > 0; bits /= 2) sum += __shfl_xor_sync(~0u, sum, bits);
    const int token = head_row / heads, head = head_row % heads;
    if (head_row < head_rows && column == 0)
        delta[((int64_t)(token / time) * heads + head) * time + token % time] = sum;
}

/* ---- both: P and dS ---- */

/* p: probabilities in, negative where dropped; g: dO V^T in, dS out. */
template <bool DROPS> __device__ __forceinline__ static real score_grad(real p, real g, real delta, real factor) {
    if (!DROPS) return p * (g - delta);
    return p < 0 ? p * delta : p * (g * factor - delta);
}

/* Makes dropped probabilities negative, so that no bit has to be kept for them. */
template <int M, int N, class KEPT>
__device__ __forceinline__ static void mark_dropped(real (&p)[M][N][4], const KEPT &kept) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) p[m][n][i] = kept.keeps(m, n, i) ? p[m][n][i] : -p[m][n][i];
}

/* ---- dK, dV ---- */

/* 32 keys a warp where the sums leave registers for it. */
template <int D, bool DROPS> struct key_form {
    enum { M = D <= 64 ? 2 : 1, QUERIES = D <= 64 || D > 96 ? 32 : 64, HELD = 0, KEYS = ATTENTION_WARPS * 16 * M };
    enum { TILE = QUERIES * row_form<D>::STRIDE, KEY_ROOM = KEYS * row_form<D>::STRIDE };
    enum { BYTES = (2 * KEY_ROOM + 4 * TILE) * (int)sizeof(value) + 2 * 3 * QUERIES * 4 };
    static_assert(KEYS % QUERIES == 0, "keys begin where a tile of queries does");
};

/* A tile of queries in shared memory. */
template <int D, int QUERIES> struct query_tile {
    value *q, *d_o;
    real *lse, *delta;
    int32_t *starts;

    __device__ __forceinline__ query_tile(value *tiles, int stage) {
        enum { TILE = QUERIES * row_form<D>::STRIDE };
        q = tiles + stage * 2 * TILE;
        d_o = q + TILE;
        lse = reinterpret_cast<real *>(tiles + 4 * TILE) + stage * 3 * QUERIES;
        delta = lse + QUERIES;
        starts = reinterpret_cast<int32_t *>(delta + QUERIES);
    }

    /* begin: the first query; head: in its sequence. */
    __device__ __forceinline__ void fetch(const struct grad_job &job, int sequence, int head, int begin) const {
        const struct attention_job &shape = job.shape;
        const int64_t row = (int64_t)fresh(sequence) * shape.time;
        const int64_t head_row = (row * shape.heads) + (int64_t)head * shape.time;
        const int column = head * shape.size;
        fetch_rows<D, QUERIES>(q, shape.qkv + row * shape.columns + column, shape.qkv_bytes, begin, shape.time,
                               shape.size);
        fetch_rows<D, QUERIES>(d_o, job.d_o + row * shape.width + column, shape.o_bytes, begin, shape.time, shape.size);
        fetch_numbers<QUERIES>(lse, job.lse + head_row, begin, shape.time);
        fetch_numbers<QUERIES>(delta, job.delta + head_row, begin, shape.time);
        if (shape.starts) fetch_numbers<QUERIES>(starts, shape.starts + row, begin, shape.time);
        copy_async_commit();
    }
};

/* The first tile of queries that sees no key before `end`, or `tiles`: starts never fall. */
template <int QUERIES>
__device__ __forceinline__ static int end_of_queries(const int32_t *starts, int first, int tiles, int end) {
    if (!starts) return tiles;
    const int lane = (int)threadIdx.x % WARP;
    for (int at = first; at < tiles; at += WARP) {
        const unsigned later = __ballot_sync(~0u, at + lane < tiles && starts[(at + lane) * QUERIES] >= end);
        if (later) return at + __ffs((int)later) - 1;
    }
    return tiles;
}

/* Scores of 16 * M keys from `key` on in, transposed, probabilities out. */
template <int D, int QUERIES, int M, int N>
__device__ __forceinline__ static void key_probabilities(real (&p)[M][N][4], const query_tile<D, QUERIES> &tile,
                                                         real to_power) {
    const int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const real shift = tile.lse[n * 8 + lane % 4 * 2 + i] * LOG2_E;
#pragma unroll
            for (int m = 0; m < M; m++) {
                p[m][n][i] = power_of_two(fmaf(p[m][n][i], to_power, -shift));
                p[m][n][i + 2] = power_of_two(fmaf(p[m][n][i + 2], to_power, -shift));
            }
        }
    }
}

/* Probabilities of queries, from `query` on, that do not see the key become 0. */
template <int D, int QUERIES, int M, int N>
__device__ __forceinline__ static void hide_queries(real (&p)[M][N][4], const query_tile<D, QUERIES> &tile,
                                                    bool documents, int key, int query) {
    const int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int at = n * 8 + lane % 4 * 2 + i, start = documents ? tile.starts[at] : 0;
#pragma unroll
            for (int m = 0; m < M; m++) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const unsigned after = (unsigned)(key + m * 16 + half * 8 + lane / 4 - start);
                    if (after > (unsigned)(query + at - start)) p[m][n][half * 2 + i] = 0;
                }
            }
        }
    }
}

/* The sums of a warp's keys. */
template <int D, int M> struct key_sums { real dk[M][D / 8][4], dv[M][D / 8][4]; };

/* What a tile of queries brings; k, v: the warp's rows. Nothing if none of its queries sees any of the warp's keys. */
template <int D, bool DROPS>
__device__ __forceinline__ static void
add_queries(key_sums<D, key_form<D, DROPS>::M> &sums,
            const left_rows<D, key_form<D, DROPS>::M, key_form<D, DROPS>::HELD> &k,
            const left_rows<D, key_form<D, DROPS>::M, key_form<D, DROPS>::HELD> &v,
            const query_tile<D, key_form<D, DROPS>::QUERIES> &tile, const struct attention_job &shape, int head,
            int key, int query) {
    typedef key_form<D, DROPS> form;
    enum { M = form::M, QUERIES = form::QUERIES, N = QUERIES / 8, ROWS = 16 * M };
    const int lane = (int)threadIdx.x % WARP, left = shape.time - query;
    const bool documents = shape.starts != NULL;
    const int first_start = documents ? tile.starts[0] : 0;
    const int last_start = documents ? tile.starts[left < QUERIES ? left - 1 : QUERIES - 1] : 0;
    if (key >= shape.time || query + QUERIES <= key || first_start >= key + ROWS) return;

    kept_queries<M, N> kept;
    if (DROPS)
        kept.draw_all(draws_of(shape.site), first_draw(fresh(head), shape.time, query) + (unsigned)(key / 4),
                      (shape.time + 3) / 4);
    real p[M][N][4], g[M][N][4];
    product_across(p, k, tile.q);
    key_probabilities(p, tile, shape.scale * LOG2_E);
    if (query < key + ROWS - 1 || last_start > key) hide_queries(p, tile, documents, key, query);
    if (DROPS) mark_dropped(p, kept);
    product_down<D, M, N, DROPS>(sums.dv, p, tile.d_o);
    product_across(g, v, tile.d_o);
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const real delta = tile.delta[n * 8 + lane % 4 * 2 + i % 2];
#pragma unroll
            for (int m = 0; m < M; m++)
                g[m][n][i] = score_grad<DROPS>(p[m][n][i], g[m][n][i], delta, shape.site.factor);
        }
    }
    product_down<D, M, N, false>(sums.dk, g, tile.q);
}

template <int D, bool DROPS> __global__ void __launch_bounds__(ATTENTION_THREADS) key_grad(const struct grad_job job) {
    typedef key_form<D, DROPS> form;
    enum { M = form::M, QUERIES = form::QUERIES, ROWS = 16 * M };
    const struct attention_job &shape = job.shape;
    SHARED(value, room);
    const struct tile_place place = tile_place_of(shape.order, (int)blockIdx.x);
    /* Not by a shuffle, as in query_grad: there that saves registers, here it costs some. */
    const int warp = (int)threadIdx.x / WARP, sequence = place.head / shape.kv_heads;
    const int group = shape.heads / shape.kv_heads, kv_head = place.head % shape.kv_heads;
    const int begin = place.tile * form::KEYS, key = begin + warp * ROWS;
    const int64_t row = (int64_t)sequence * shape.time;
    const int k_column = shape.width + kv_head * shape.size, v_column = k_column + shape.kv_heads * shape.size;
    const value *rows = shape.qkv + row * shape.columns;
    value *tiles = room + 2 * form::KEY_ROOM, *own_k = room + warp * ROWS * row_form<D>::STRIDE;
    value *own_v = own_k + form::KEY_ROOM;
    const int first = begin / QUERIES, last_tile = (shape.time + QUERIES - 1) / QUERIES;
    const int end =
        end_of_queries<QUERIES>(shape.starts ? shape.starts + row : NULL, first, last_tile, begin + form::KEYS);

    fetch_rows<D, form::KEYS>(room, rows + k_column, shape.qkv_bytes, begin, shape.time, shape.size);
    fetch_rows<D, form::KEYS>(room + form::KEY_ROOM, rows + v_column, shape.qkv_bytes, begin, shape.time, shape.size);
    copy_async_commit();
    query_tile<D, QUERIES>(tiles, 0).fetch(job, sequence, kv_head * group, first * QUERIES);
    copy_async_wait<1>();
    __syncthreads();
    left_rows<D, M, form::HELD> k, v;
    k.begin(own_k);
    v.begin(own_v);
    key_sums<D, M> sums;
    clear(sums.dk);
    clear(sums.dv);
    for (int tile = first, head = kv_head * group, stage = 0; head < (kv_head + 1) * group; stage ^= 1) {
        const int next = tile + 1 < end ? tile + 1 : first, next_head = tile + 1 < end ? head : head + 1;
        copy_async_wait<0>();
        __syncthreads(); /* the tile is there, and nobody reads the other stage any more */
        if (next_head < (kv_head + 1) * group)
            query_tile<D, QUERIES>(tiles, stage ^ 1).fetch(job, sequence, next_head, next * QUERIES);
        add_queries<D, DROPS>(sums, k, v, query_tile<D, QUERIES>(tiles, stage), shape, sequence * shape.heads + head,
                              key, tile * QUERIES);
        tile = next;
        head = next_head;
    }
    multiply(sums.dk, shape.scale);
    if (DROPS) multiply(sums.dv, shape.site.factor);
    value *to = job.d_qkv + ((int64_t)fresh(sequence) * shape.time + key) * shape.columns;
    store_rows<D, M>(sums.dk, own_k, to + k_column, shape.columns, shape.time - key, shape.size);
    store_rows<D, M>(sums.dv, own_v, to + v_column, shape.columns, shape.time - key, shape.size);
}

/* ---- dQ ---- */

template <int D, bool DROPS> struct query_form {
    enum { M = D <= 64 ? 2 : 1, KEYS = 32, HELD = 1, QUERIES = ATTENTION_WARPS * 16 * M };
    enum { TILE = KEYS * row_form<D>::STRIDE, QUERY_ROOM = QUERIES * row_form<D>::STRIDE };
    enum { BYTES = (2 * QUERY_ROOM + 4 * TILE) * (int)sizeof(value) };
};

/* The numbers of a warp's queries: lane / 4 + 8 * half + 16 * m. */
template <int M> struct query_numbers {
    real shift[M][2], delta[M][2]; /* shift: lse, as an exponent of 2 */

    __device__ __forceinline__ query_numbers(const real *lse, const real *deltas, int count) {
        const int lane = (int)threadIdx.x % WARP;
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int at = m * 16 + half * 8 + lane / 4;
                shift[m][half] = at < count ? lse[at] * LOG2_E : 0;
                delta[m][half] = at < count ? deltas[at] : 0;
            }
        }
    }
};

/* What keys [key, key + KEYS) bring to dq; `keys`: of them and, TILE further on, of their values. */
template <int D, bool DROPS>
__device__ __forceinline__ static void
add_keys(real (&dq)[query_form<D, DROPS>::M][D / 8][4],
         const left_rows<D, query_form<D, DROPS>::M, query_form<D, DROPS>::HELD> &q,
         const left_rows<D, query_form<D, DROPS>::M, query_form<D, DROPS>::HELD> &d_o, const value *keys,
         const query_numbers<query_form<D, DROPS>::M> &of, const struct attention_job &shape,
         const struct queries_view &view, const int32_t *starts, int head, int key) {
    typedef query_form<D, DROPS> form;
    enum { M = form::M, N = form::KEYS / 8 };
    kept_keys<M, N> kept;
    if (DROPS)
        kept.draw_all(draws_of(shape.site), first_draw(head, shape.time, view.begin) + (unsigned)(key / 4),
                      (shape.time + 3) / 4);
    real p[M][N][4], g[M][N][4];
    product_across(p, q, keys);
    if (!view.sees_all(key, form::KEYS)) hide_keys(p, starts, view.begin, key, shape.time);
    const real to_power = shape.scale * LOG2_E;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) p[m][n][i] = power_of_two(fmaf(p[m][n][i], to_power, -of.shift[m][i / 2]));
    if (DROPS) mark_dropped(p, kept);
    product_across(g, d_o, keys + form::TILE);
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                g[m][n][i] = score_grad<DROPS>(p[m][n][i], g[m][n][i], of.delta[m][i / 2], shape.site.factor);
    product_down<D, M, N, false>(dq, g, keys);
}

template <int D, bool DROPS>
__global__ void __launch_bounds__(ATTENTION_THREADS) query_grad(const struct grad_job job) {
    typedef query_form<D, DROPS> form;
    enum { M = form::M, KEYS = form::KEYS, ROWS = 16 * M };
    const struct attention_job &shape = job.shape;
    SHARED(value, room);
    const struct tile_place place = tile_place_of(shape.order, (int)blockIdx.x);
    const int warp = __shfl_sync(~0u, (int)threadIdx.x / WARP, 0), sequence = place.head / shape.heads;
    const int head = place.head % shape.heads, kv_head = head / (shape.heads / shape.kv_heads);
    const int begin = place.tile * form::QUERIES, query = begin + warp * ROWS;
    const int64_t row = (int64_t)sequence * shape.time, number = (int64_t)place.head * shape.time + query;
    const value *q = shape.qkv + row * shape.columns + head * shape.size;
    const value *d_out = job.d_o + row * shape.width + head * shape.size;
    const value *k = shape.qkv + row * shape.columns + shape.width + kv_head * shape.size;
    const value *v = k + shape.kv_heads * shape.size;
    const int32_t *starts = shape.starts ? shape.starts + row : NULL;
    value *tiles = room + 2 * form::QUERY_ROOM, *own = room + warp * ROWS * row_form<D>::STRIDE;
    const int last = (begin + form::QUERIES < shape.time ? begin + form::QUERIES - 1 : shape.time - 1) / KEYS;
    const int first = start_of(starts, begin, shape.time) / KEYS;
    const struct queries_view view = view_of(starts, query, ROWS, shape.time);

    fetch_rows<D, form::QUERIES>(room, q, shape.qkv_bytes, begin, shape.time, shape.size);
    fetch_rows<D, form::QUERIES>(room + form::QUERY_ROOM, d_out, shape.o_bytes, begin, shape.time, shape.size);
    copy_async_commit();
    fetch_rows<D, KEYS>(tiles, k, shape.qkv_bytes, last * KEYS, shape.time, shape.size);
    fetch_rows<D, KEYS>(tiles + form::TILE, v, shape.qkv_bytes, last * KEYS, shape.time, shape.size);
    copy_async_commit();
    const query_numbers<M> of(job.lse + number, job.delta + number, shape.time - query);
    copy_async_wait<1>();
    __syncthreads();
    left_rows<D, M, form::HELD> left_q, left_d_o;
    left_q.begin(own);
    left_d_o.begin(own + form::QUERY_ROOM);
    real dq[M][D / 8][4];
    clear(dq);
    for (int tile = last, stage = 0; tile >= first; tile--, stage ^= 1) {
        copy_async_wait<0>();
        __syncthreads(); /* the tile is there, and nobody reads the other stage any more */
        if (tile > first) {
            value *next = tiles + (stage ^ 1) * 2 * form::TILE;
            fetch_rows<D, KEYS>(next, k, shape.qkv_bytes, (tile - 1) * KEYS, shape.time, shape.size);
            fetch_rows<D, KEYS>(next + form::TILE, v, shape.qkv_bytes, (tile - 1) * KEYS, shape.time, shape.size);
            copy_async_commit();
        }
        if (view.misses(tile * KEYS, KEYS)) continue;
        add_keys<D, DROPS>(dq, left_q, left_d_o, tiles + stage * 2 * form::TILE, of, shape, view, starts, place.head,
                           tile * KEYS);
    }
    multiply(dq, shape.scale);
    store_rows<D, M>(dq, own, job.d_qkv + (row + query) * shape.columns + head * shape.size, shape.columns,
                     shape.time - query, shape.size);
}

/* ---- launches ---- */

template <int LANES> void launch_sums(const struct kernel_args *a, const struct grad_job &job, cudaStream_t stream) {
    const struct attention_job &shape = job.shape;
    const int64_t head_rows = a->attr->batch * shape.heads * shape.time;
    const dim3 blocks((unsigned)divide_up(head_rows, ATTENTION_THREADS / LANES)), threads(ATTENTION_THREADS);
    LAUNCH((sum_rows<LANES>), blocks, threads, 0, stream, job.d_o, (const value *)a->in[2].data, (real *)a->scratch,
           (int)head_rows, shape.heads, shape.time, shape.size);
}

template <int D, bool DROPS> void launch_form(const struct kernel_args *a, struct grad_job job, cudaStream_t stream) {
    struct attention_job *shape = &job.shape;
    const int64_t batch = a->attr->batch, group = shape->heads / shape->kv_heads;
    const dim3 threads(ATTENTION_THREADS);
    typedef key_form<D, DROPS> keys;
    shape->order =
        tile_order_of(batch * shape->kv_heads, shape->time, keys::KEYS, shape->time * group, shape->size, 1, 0);
    LAUNCH((key_grad<D, DROPS>), dim3((unsigned)(shape->order.heads * shape->order.tiles)), threads, keys::BYTES,
           stream, job);
    typedef query_form<D, DROPS> queries;
    shape->order =
        tile_order_of(batch * shape->heads, shape->time, queries::QUERIES, shape->time, shape->size, group, 1);
    LAUNCH((query_grad<D, DROPS>), dim3((unsigned)(shape->order.heads * shape->order.tiles)), threads, queries::BYTES,
           stream, job);
}

template <int D> void launch_grads(const struct kernel_args *a, const struct grad_job &job, cudaStream_t stream) {
    launch_sums<row_form<D>::LANES>(a, job, stream);
    if (a->attr->rate > 0)
        launch_form<D, true>(a, job, stream);
    else
        launch_form<D, false>(a, job, stream);
}

} // namespace

extern "C" int K(attention_mma_grad)(const struct kernel_args *a, cudaStream_t stream) {
    const struct view *d_o = &a->in[0], *qkv = &a->in[1], *o = &a->in[2];
    if (!attention_fits(a, qkv, o) || !is_aligned(d_o->data) || !is_aligned(a->out[0].data)) return 0;
    if (a->attr->batch <= 0 || a->attr->time <= 0) return 1;
    struct grad_job job = {};
    job.shape = attention_job_of(a, qkv, &a->in[4], o);
    job.d_o = (const value *)d_o->data;
    job.lse = (const real *)a->in[3].data;
    job.delta = (const real *)a->scratch;
    job.d_qkv = (value *)a->out[0].data;
    if (job.shape.size <= 32)
        launch_grads<32>(a, job, stream);
    else if (job.shape.size <= 64)
        launch_grads<64>(a, job, stream);
    else if (job.shape.size <= 80)
        launch_grads<80>(a, job, stream);
    else if (job.shape.size <= 96)
        launch_grads<96>(a, job, stream);
    else
        launch_grads<128>(a, job, stream);
    return 1;
}

#endif
