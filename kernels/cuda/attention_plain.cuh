/* Attention without tensor cores: for float, and for sizes of heads that those cannot do. A warp takes one query (or one key), a tile of
 * TILE keys (or queries) at a time in shared memory. Lanes divide the tile for dot products, and channels for sums of rows. */
#ifndef CUDA_ATTENTION_PLAIN_CUH
#define CUDA_ATTENTION_PLAIN_CUH

#include "attention.cuh"
#include "random.cuh"

enum { TILE = WARP, PLAIN_WARPS = 8, MOST_CHANNELS = 8 /* that a lane sums: heads of up to 256 */ };

struct plain_args {
    const value *qkv, *o, *d_o;
    const int32_t *starts;
    value *out, *dqkv;
    real *lse, *delta;
    int64_t time, heads, kv_heads, size, columns;
    real scale;
    struct draw_site site;
    int dropout;
};

/* Rows [begin, begin + TILE) of a matrix of heads, `stride` apart, as reals, TILE rows size + 1 apart; zeros from row `end` on. By
 * `threads` threads, of which this is `thread`. */
static __device__ inline void load_tile(const value *from, int64_t begin, int64_t end, int64_t stride, int size,
                                        int thread, int threads, real *tile) {
    for (int i = thread; i < TILE * size; i += threads) {
        const int row = i / size, c = i % size;
        tile[row * (size + 1) + c] = begin + row < end ? get(from[(begin + row) * stride + c]) : 0;
    }
}

static __device__ inline real dot(const real *x, const real *y, int size) {
    real sum = 0;
    for (int c = 0; c < size; c++) sum += x[c] * y[c];
    return sum;
}

/* sum[r] += the sum over rows of weight(row) * tile[row][lane + r WARP]; a lane has the weight of its row. `weights`: TILE reals of shared
 * memory of this warp's own. */
template <int CHANNELS>
static __device__ inline void add_weighted(const real *tile, int size, real weight, int lane, real *weights,
                                           real *sum) {
    weights[lane] = weight;
    __syncwarp();
    for (int row = 0; row < TILE; row++) {
#pragma unroll
        for (int r = 0; r < CHANNELS; r++) {
            const int c = lane + r * WARP;
            if (c < size) sum[r] += weights[row] * tile[row * (size + 1) + c];
        }
    }
    __syncwarp(); /* all have read them */
}

/* What the probability of this key is multiplied by. Rows of draws begin at whole Philox blocks: keys are padded to four. */
static __device__ inline real keep_of(const struct draws &d, int64_t head, int64_t time, int64_t query, int64_t key) {
    const int64_t padded = (time + 3) / 4 * 4;
    return kept(d, word_of(draw(d, (uint64_t)((head * time + query) * padded + key) / 4), key));
}

/* A kernel for heads of this size: CHANNELS is a power of two. */
#define PLAIN_LAUNCH(kernel, size, grid, threads, room, stream, ...)                                                   \
    do {                                                                                                               \
        if ((size) <= WARP)                                                                                            \
            LAUNCH(kernel<1>, grid, threads, room, stream, __VA_ARGS__);                                               \
        else if ((size) <= 2 * WARP)                                                                                   \
            LAUNCH(kernel<2>, grid, threads, room, stream, __VA_ARGS__);                                               \
        else if ((size) <= 4 * WARP)                                                                                   \
            LAUNCH(kernel<4>, grid, threads, room, stream, __VA_ARGS__);                                               \
        else                                                                                                           \
            LAUNCH(kernel<MOST_CHANNELS>, grid, threads, room, stream, __VA_ARGS__);                                   \
    } while (0)

#endif
