/* What the attention kernels on tensor cores share: tiles of rows in shared memory, their products, masks and draws.
 *
 * A block is four warps. Its own rows (queries, or keys) lie in shared memory while it runs, 16 * M of them a warp; the rows that it meets
 * come in tiles, each on its way while the block computes with the one before. Rows have D channels, D a multiple of 16: those
 * of the head (`size`), then zeros. */
#ifndef CUDA_ATTENTION_TILES_CUH
#define CUDA_ATTENTION_TILES_CUH

#include "mma.cuh"
#include "random.cuh"

enum { ATTENTION_WARPS = 4, ATTENTION_THREADS = ATTENTION_WARPS * WARP };

/* Base 2 is what the hardware has: e^x = 2^(LOG2_E x). */
#define LOG2_E 1.44269504f

/* In which order blocks take (head, tile): those of `at_once` heads by tile, so that the longest come first; then the next heads. So
 * many heads are at once as the second-level cache holds. */
struct tile_order {
    int heads, tiles, at_once;
    int from_last; /* the last tile is the longest, not the first */
};

struct attention_job {
    const value *qkv;
    const int32_t *starts;  /* [batch, time]; NULL: a sequence is one document */
    int columns, width;     /* of qkv and of o: values from a row to the next, */
    int qkv_bytes, o_bytes; /* and bytes */
    int time, size, heads, kv_heads;
    real scale;
    struct draw_site site;
    struct tile_order order;
};

/* Keeps the compiler from working out, before a loop, what follows from n, and holding it in registers that the sums need. */
__device__ __forceinline__ static int fresh(int n) {
#ifdef __CUDACC__
    asm volatile("" : "+r"(n));
#endif
    return n;
}

struct tile_place {
    int head, tile;
};

__device__ static inline struct tile_place tile_place_of(const struct tile_order &order, int block) {
    int each = order.at_once * order.tiles, section = block / each, rest = block % each,
        first = section * order.at_once;
    int count = order.heads - first < order.at_once ? order.heads - first : order.at_once;
    int tile = rest / count;
    return {first + rest % count, order.from_last ? order.tiles - 1 - tile : tile};
}

/* ---- host side ---- */

/* `rows` of the `time` in a tile. `met`: how many pairs of rows (of keys and values, say) `sharers` heads meet, the same for each of them. */
static inline struct tile_order tile_order_of(int64_t heads, int64_t time, int rows, int64_t met, int64_t size,
                                              int64_t sharers, int from_last) {
    enum { CACHE = 16 << 20 };
    const int64_t fit = CACHE / (2 * met * size * (int64_t)sizeof(value));
    const int64_t at_once = smaller(heads, (fit > 1 ? fit : 1) * sharers);
    return {(int)heads, (int)divide_up(time, rows), (int)at_once, from_last};
}

/* Whether the kernels can do this: `o` and `qkv` give the shape. */
static inline int attention_fits(const struct kernel_args *a, const struct view *qkv, const struct view *o) {
    const struct op_attr *attr = a->attr;
    if (attr->heads <= 0 || attr->kv_heads <= 0 || attr->heads % attr->kv_heads || !(attr->scale > 0)) return 0;
    int64_t size = o->dim[1] / attr->heads;
    if (size <= 0 || size > 128 || size % PACK || qkv->dim[1] % PACK || qkv->dim[1] > 1 << 28) return 0;
    return attr->time < 1 << 24 && attr->batch * attr->heads * attr->time <= 1 << 30 && is_aligned(qkv->data) &&
           is_aligned(o->data);
}

static inline struct attention_job attention_job_of(const struct kernel_args *a, const struct view *qkv,
                                                    const struct view *starts, const struct view *o) {
    struct attention_job job = {};
    job.qkv = (const value *)qkv->data;
    job.starts = (const int32_t *)starts->data;
    job.columns = (int)qkv->dim[1];
    job.width = (int)o->dim[1];
    job.qkv_bytes = job.columns * (int)sizeof(value);
    job.o_bytes = job.width * (int)sizeof(value);
    job.time = (int)a->attr->time;
    job.heads = (int)a->attr->heads;
    job.kv_heads = (int)a->attr->kv_heads;
    job.size = (int)(job.width / job.heads);
    job.scale = (real)a->attr->scale;
    job.site = draw_site_of(a);
    return job;
}

/* ---- rows in shared memory ---- */

/* They are 16 bytes farther apart than they are long: an odd number of 16 bytes, so that eight rows below each other lie in different
 * banks. */
template <int D> struct row_form {
    enum {
        STRIDE = D + 8,
        BYTES = STRIDE * (int)sizeof(value),
        LANES = D <= 32   ? 4
                : D <= 64 ? 8
                          : 16 /* copy a row */
    };
};

/* Fetches rows [begin, begin + ROWS) of a matrix whose first row is at `from`; what the matrix does not have becomes 0. By all threads.
 * A multiplication of ints that gives an address is one instruction: hence a stride in bytes, and an int. */
template <int D, int ROWS>
__device__ __forceinline__ static void fetch_rows(value *to, const value *from, int stride_bytes, int begin, int time,
                                                  int size) {
    typedef row_form<D> form;
    enum { AT_ONCE = ATTENTION_THREADS / form::LANES };
    static_assert(ROWS % AT_ONCE == 0, "all threads copy the same number of rows");
    const int row = (int)threadIdx.x / form::LANES, column = (int)threadIdx.x % form::LANES * PACK;
    if (column >= D) return;
    const char *source = reinterpret_cast<const char *>(from + column);
    to += row * form::STRIDE + column;
    begin += row;
    time = column < size ? time : 0;
#pragma unroll
    for (int i = 0; i < ROWS; i += AT_ONCE)
        copy_async_16(to + i * form::STRIDE, source + (int64_t)(begin + i) * stride_bytes, begin + i < time ? 16 : 0);
}

/* The same for a number of each row, by the block's first ROWS threads. */
template <int ROWS, class T>
__device__ __forceinline__ static void fetch_numbers(T *to, const T *from, int begin, int time) {
    static_assert(sizeof(T) == 4 && (int)ROWS <= (int)ATTENTION_THREADS, "copies of 4 bytes, one a thread");
    const int row = (int)threadIdx.x;
    if (row < ROWS) copy_async_4(to + row, begin + row < time ? from + begin + row : from, begin + row < time ? 4 : 0);
}

/* Writes the sums of a warp, 16 * M rows, to memory: by way of `room`, its own rows in shared memory, which no lane reads any more.
 * `count`: how many rows there are. */
template <int D, int M>
__device__ __forceinline__ static void store_rows(const real (&d)[M][D / 8][4], value *room, value *to, int64_t stride,
                                                  int count, int size) {
    typedef row_form<D> form;
    enum { AT_ONCE = WARP / form::LANES };
    const int lane = (int)threadIdx.x % WARP, row = lane / form::LANES, column = lane % form::LANES * PACK;
    __syncwarp();
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            value *at = room + (m * 16 + lane / 4) * form::STRIDE + n * 8 + lane % 4 * 2;
            *reinterpret_cast<uint32_t *>(at) = pack_values(d[m][n][0], d[m][n][1]);
            *reinterpret_cast<uint32_t *>(at + 8 * form::STRIDE) = pack_values(d[m][n][2], d[m][n][3]);
        }
    }
    __syncwarp();
    if (column >= size) return;
    for (int i = row; i < 16 * M && i < count; i += AT_ONCE)
        *reinterpret_cast<int4 *>(to + i * stride + column) =
            *reinterpret_cast<const int4 *>(room + i * form::STRIDE + column);
}

/* ---- products ---- */

/* A warp's 16 * M rows as the left side of products: kept in registers where those suffice (HELD), else read each time. */
template <int D, int M, bool HELD> struct left_rows {
    const value *at;
    uint32_t held[HELD ? M : 1][HELD ? D / 16 : 1][4];

    __device__ __forceinline__ void begin(const value *rows) {
        const int lane = (int)threadIdx.x % WARP;
        at = rows + lane % 16 * row_form<D>::STRIDE + lane / 16 * 8;
#pragma unroll
        for (int m = 0; m < (HELD ? M : 0); m++)
#pragma unroll
            for (int k = 0; k < D / 16; k++)
                load_matrices_x4(held[m][HELD ? k : 0], at + m * 16 * row_form<D>::STRIDE + k * 16);
    }

    __device__ __forceinline__ void take(int m, int k, uint32_t a[4]) const {
        if (HELD)
            memcpy(a, held[HELD ? m : 0][HELD ? k : 0], sizeof held[0][0]);
        else
            load_matrices_x4(a, at + m * 16 * row_form<D>::STRIDE + k * 16);
    }
};

template <int M, int N> __device__ __forceinline__ static void clear(real (&d)[M][N][4]) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) d[m][n][i] = 0;
}

/* d[16 M, 8 N] = left[16 M, D] rows[8 N, D]^T */
template <int D, int M, int N, bool HELD>
__device__ __forceinline__ static void product_across(real (&d)[M][N][4], const left_rows<D, M, HELD> &left,
                                                      const value *rows) {
    enum { STRIDE = row_form<D>::STRIDE };
    const int lane = (int)threadIdx.x % WARP;
    rows += (lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 8;
    clear(d);
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t a[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) left.take(m, k, a[m]);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            uint32_t b[4]; /* of columns 8n .., then of 8 (n + 1) .. */
            load_matrices_x4(b, rows + n * 8 * STRIDE + k * 16);
#pragma unroll
            for (int m = 0; m < M; m++) {
                mma_16816(d[m][n], a[m], b);
                mma_16816(d[m][n + 1], a[m], b + 2);
            }
        }
    }
}

/* d[16 M, D] += p[16 M, 8 N] rows[8 N, D], p rounded to values. POSITIVE: what is below 0 in p counts as 0. */
template <int D, int M, int N, bool POSITIVE>
__device__ __forceinline__ static void product_down(real (&d)[M][D / 8][4], const real (&p)[M][N][4],
                                                    const value *rows) {
    enum { STRIDE = row_form<D>::STRIDE };
    const int lane = (int)threadIdx.x % WARP;
    rows += lane % 16 * STRIDE + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < N; k += 2) {
        uint32_t a[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                real low = p[m][k + i / 2][i % 2 * 2], high = p[m][k + i / 2][i % 2 * 2 + 1];
                a[m][i] = POSITIVE ? pack_values(fmaxf(low, 0), fmaxf(high, 0)) : pack_values(low, high);
            }
        }
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            uint32_t b[4];
            load_matrices_x4_transposed(b, rows + k * 8 * STRIDE + n * 8);
#pragma unroll
            for (int m = 0; m < M; m++) {
                mma_16816(d[m][n], a[m], b);
                mma_16816(d[m][n + 1], a[m], b + 2);
            }
        }
    }
}

template <int M, int N> __device__ __forceinline__ static void multiply(real (&d)[M][N][4], real factor) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) d[m][n][i] *= factor;
}

/* ---- what is seen ---- */

/* Of the queries [begin, last] of a warp. Query i sees keys [starts[i], i]; starts never fall within a sequence. A query beyond the
 * sequence counts as one of its last document, so that each sees something; nobody reads what comes of it. */
struct queries_view {
    int begin, last, first_start, last_start;

    /* No query sees any of keys [key, key + keys). */
    __device__ __forceinline__ bool misses(int key, int keys) const { return key > last || key + keys <= first_start; }
    /* Each query sees all of them. */
    __device__ __forceinline__ bool sees_all(int key, int keys) const {
        return key + keys - 1 <= begin && key >= last_start;
    }
};

__device__ __forceinline__ static int start_of(const int32_t *starts, int query, int time) {
    return starts ? starts[query < time ? query : time - 1] : 0;
}

/* `starts`: of the sequence. */
__device__ __forceinline__ static struct queries_view view_of(const int32_t *starts, int begin, int count, int time) {
    if (begin >= time) return {begin, -1, 0, 0};
    return {begin, begin + count - 1, start_of(starts, begin, time), start_of(starts, begin + count - 1, time)};
}

/* Scores of keys from `key` on that queries from `query` on do not see become -infinity. */
template <int M, int N>
__device__ __forceinline__ static void hide_keys(real (&score)[M][N][4], const int32_t *starts, int query, int key,
                                                 int time) {
    const int lane = (int)threadIdx.x % WARP, first = key + lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = query + m * 16 + half * 8 + lane / 4, start = start_of(starts, row, time);
#pragma unroll
            for (int n = 0; n < N; n++) {
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const unsigned after = (unsigned)(first + n * 8 + i - start);
                    if (after > (unsigned)(row - start)) score[m][n][half * 2 + i] = -INFINITY;
                }
            }
        }
    }
}

/* ---- dropout ---- */

/* Whether the 16 * M by 8 * N scores of a warp are kept, a bit each, of columns that are keys. Four keys share a Philox block, and with them
 * two lanes, t even and t + 1: the one draws for row g, the other for row g + 8, and they exchange. */
template <int M, int N> struct kept_keys {
    enum { WORDS = (M * N + 7) / 8, EACH = M * N < 8 ? M * N : 8 };
    uint32_t half
        [2]
        [WORDS]; /* bit 4 j: of the lane's first column in part j = m * N + n of row g, or g + 8; next to it the second */

    /* first: the Philox block of the first row and key; row_blocks: from a row to the next. */
    __device__ __forceinline__ void draw_all(const struct draws &d, uint64_t first, int row_blocks) {
        const int lane = (int)threadIdx.x % WARP, odd = lane % 2;
        first += (uint64_t)(lane / 4 + odd * 8) * (unsigned)row_blocks + lane % 4 / 2;
#pragma unroll
        for (int w = 0; w < WORDS; w++) {
            uint32_t mine = 0;
#pragma unroll 2
            for (int j = 0; j < EACH; j++) {
                const unsigned m = (unsigned)(w * 8 + j) / N, n = (unsigned)(w * 8 + j) % N;
                struct philox random = draw(d, first + (uint64_t)(m * 16) * (unsigned)row_blocks + n * 2);
#pragma unroll
                for (int i = 0; i < 4; i++) mine |= (uint32_t)(random.word[i] >> 8 >= d.threshold) << (j * 4 + i);
            }
            uint32_t other = __shfl_xor_sync(~0u, mine, 1);
            half[0][w] = (odd ? other : mine) >> odd * 2;
            half[1][w] = (odd ? mine : other) >> odd * 2;
        }
    }

    __device__ __forceinline__ bool keeps(int m, int n, int i) const {
        const int j = m * N + n;
        return half[i / 2][j / 8] >> (j % 8 * 4 + i % 2) & 1;
    }

    __device__ __forceinline__ void drop(real (&p)[M][N][4]) const {
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) p[m][n][i] = keeps(m, n, i) ? p[m][n][i] : 0;
    }
};

/* The same of columns that are queries, and rows that are keys. Lanes that differ in g % 4 alone need the same four blocks, those of d[0],
 * .., d[3]: each draws one of them, for all, and they exchange. */
template <int M, int N> struct kept_queries {
    enum { WORDS = (M * N + 7) / 8, EACH = M * N < 8 ? M * N : 8 };
    uint32_t of[4][WORDS]; /* bit 4 j: of d[i] in part j */

    /* first: the Philox block of the first query and key; query_blocks: from a query to the next. */
    __device__ __forceinline__ void draw_all(const struct draws &d, uint64_t first, int query_blocks) {
        const int lane = fresh((int)threadIdx.x) % WARP, mine = lane / 4 % 4;
        first += (uint64_t)(lane % 4 * 2 + mine % 2) * (unsigned)query_blocks + mine / 2 * 2 + lane / 16;
#pragma unroll
        for (int w = 0; w < WORDS; w++) {
            uint32_t drawn = 0;
#pragma unroll 2
            for (int j = 0; j < EACH; j++) {
                const unsigned m = (unsigned)(w * 8 + j) / N, n = (unsigned)(w * 8 + j) % N;
                struct philox random = draw(d, first + (uint64_t)(n * 8) * (unsigned)query_blocks + m * 4);
#pragma unroll
                for (int i = 0; i < 4; i++) drawn |= (uint32_t)(random.word[i] >> 8 >= d.threshold) << (j * 4 + i);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) of[i][w] = __shfl_sync(~0u, drawn, (lane & ~12) | i << 2) >> mine;
        }
    }

    __device__ __forceinline__ bool keeps(int m, int n, int i) const {
        const int j = m * N + n;
        return of[i][j / 8] >> j % 8 * 4 & 1;
    }
};

/* The Philox block of a query's first key: rows of draws begin at whole blocks. `head`: of all sequences. */
__device__ __forceinline__ static uint64_t first_draw(int head, int time, int query) {
    return ((uint64_t)head * (unsigned)time + (unsigned)query) * (unsigned)((time + 3) / 4);
}

#endif
