/* Layer normalization (Ba, Kiros & Hinton 2016) and RMSNorm (Zhang & Sennrich 2019) over rows, and their gradients. CENTER tells
 * which. A team of threads takes a row: a warp, or a block of eight where rows are long. A thread reads a row's columns again
 * where it has read them before, from shared memory if a row fits. */
#ifndef CUDA_NORM_CUH
#define CUDA_NORM_CUH

#include "columns.cuh"

enum {
    LONG_ROW = 2048,             /* values: from here on a block takes a row */
    TEAMS = 4,                   /* warps that share a block, where a warp takes a row */
    LONG_WARPS = 8,              /* of a block that takes a row */
    MOST_BLOCKS = 512,           /* whose partial sums of dw and db are added in the end */
    CACHE = PLAIN_SHARED - 1024, /* bytes of shared memory for rows */
};

struct norm_args {
    const value *a, *b, *w, *bias; /* x = a + b where there is a b */
    value *sum, *y;
    real *mean, *rstd;
    int64_t rows, width;
    real eps;
    int cached;
};

/* The row as it is normalized: x, or the sum as it is stored. */
template <int WIDE> __device__ static inline part<WIDE> first_read(const norm_args &n, int64_t row, int64_t c) {
    int64_t at = row * n.width + c;
    part<WIDE> x = load<WIDE>(n.a + at);
    if (!n.b) return x;
    part<WIDE> other = load<WIDE>(n.b + at);
#pragma unroll
    for (int k = 0; k < WIDE; k++) x.at[k] = rounded(x.at[k] + other.at[k]);
    store<WIDE>(x, n.sum + at);
    return x;
}

template <int WIDE, int WARPS, bool CENTER> static __global__ void __launch_bounds__(256) norm(norm_args n) {
    enum { TEAM = WARPS * WARP };
    SHARED(real, room); /* WARPS reals, rounded up to 16 bytes, then rows */
    int lane = threadIdx.x % TEAM, team = threadIdx.x / TEAM;
    int64_t row = (int64_t)blockIdx.x * (blockDim.x / TEAM) + team;
    if (row >= n.rows) return; /* a whole team, and WARPS is 1 */
    value *own = reinterpret_cast<value *>(room + 8) + team * n.width;
    const value *again = n.cached ? own : (n.b ? n.sum : n.a) + row * n.width;
    real sum = 0;
    for (int64_t c = lane * WIDE; c < n.width; c += TEAM * WIDE) {
        part<WIDE> x = first_read<WIDE>(n, row, c);
        if (n.cached) store<WIDE>(x, own + c);
#pragma unroll
        for (int k = 0; k < WIDE; k++) sum += CENTER ? x.at[k] : x.at[k] * x.at[k];
    }
    real center = 0, scale, total = team_sum<WARPS>(sum, room) / (real)n.width;
    if (CENTER) { /* in two passes the variance of a row with a large mean stays exact */
        center = total;
        real squares = 0;
        for (int64_t c = lane * WIDE; c < n.width; c += TEAM * WIDE) {
            part<WIDE> x = load<WIDE>(again + c);
#pragma unroll
            for (int k = 0; k < WIDE; k++) squares += (x.at[k] - center) * (x.at[k] - center);
        }
        total = team_sum<WARPS>(squares, room) / (real)n.width;
    }
    scale = 1 / sqrtf(total + n.eps);
    for (int64_t c = lane * WIDE; c < n.width; c += TEAM * WIDE) {
        part<WIDE> x = load<WIDE>(again + c), w = load<WIDE>(n.w + c);
#pragma unroll
        for (int k = 0; k < WIDE; k++) x.at[k] = (x.at[k] - center) * scale * w.at[k];
        if (n.bias) {
            part<WIDE> bias = load<WIDE>(n.bias + c);
#pragma unroll
            for (int k = 0; k < WIDE; k++) x.at[k] += bias.at[k];
        }
        store<WIDE>(x, n.y + row * n.width + c);
    }
    if (lane) return;
    if (CENTER) n.mean[row] = center;
    n.rstd[row] = scale;
}

template <int WIDE, bool CENTER> static void launch_norm_as(norm_args n, cudaStream_t stream) {
    int64_t bytes = n.width * (int64_t)sizeof(value);
    size_t room = 8 * sizeof(real);
    if (n.width >= LONG_ROW) {
        n.cached = bytes <= CACHE;
        LAUNCH((norm<WIDE, LONG_WARPS, CENTER>), dim3((unsigned)n.rows), dim3(LONG_WARPS * WARP),
               room + (n.cached ? (size_t)bytes : 0), stream, n);
    } else {
        n.cached = 1;
        LAUNCH((norm<WIDE, 1, CENTER>), dim3((unsigned)divide_up(n.rows, TEAMS)), dim3(TEAMS * WARP),
               room + TEAMS * (size_t)bytes, stream, n);
    }
}

template <bool CENTER> static void launch_norm(const norm_args &n, cudaStream_t stream) {
    int wide = n.width % PACK == 0 && is_aligned(n.a) && is_aligned(n.b) && is_aligned(n.w) && is_aligned(n.bias) &&
               is_aligned(n.sum) && is_aligned(n.y);
    if (wide)
        launch_norm_as<PACK, CENTER>(n, stream);
    else
        launch_norm_as<1, CENTER>(n, stream);
}

/* With g = dy w and h = (x - mean) rstd:  dx = rstd (g - mean(g) - h mean(g h)) + prev, without the mean of g where rows are not centred.
 * dx may be dy or prev: a thread reads an element for the last time when it writes it. */
struct norm_grad_args {
    const value *dy, *x, *w, *prev;
    const real *mean, *rstd;
    value *dx;
    real *partial; /* [blocks][2][width]: of dw and db */
    int64_t rows, width;
    int with_bias, in_shared;
};

/* A block takes the rows blockIdx + i gridDim, or as many in its teams; its sums of dw and db are in shared memory, or where rows
 * are too long for that in `partial`, each column the affair of one thread of a team. */
template <int WIDE, int WARPS, bool CENTER> static __global__ void __launch_bounds__(256) norm_grad(norm_grad_args n) {
    enum { TEAM = WARPS * WARP };
    SHARED(real, room);
    const int lane = threadIdx.x % TEAM, team = threadIdx.x / TEAM, teams = blockDim.x / TEAM;
    real *sums = room + 8, *mine = n.in_shared ? sums + team * 2 * n.width : n.partial + blockIdx.x * 2 * n.width;
    const part<WIDE> zero = {};
    for (int64_t c = lane * WIDE; c < n.width; c += TEAM * WIDE) {
        store<WIDE>(zero, mine + c);
        store<WIDE>(zero, mine + n.width + c);
    }
    for (int64_t row = (int64_t)blockIdx.x * teams + team; row < n.rows; row += (int64_t)gridDim.x * teams) {
        const int64_t at = row * n.width;
        const real center = CENTER ? n.mean[row] : 0, scale = n.rstd[row];
        real sum_g = 0, sum_gh = 0;
        for (int64_t c = lane * WIDE; c < n.width; c += TEAM * WIDE) {
            part<WIDE> dy = load<WIDE>(n.dy + at + c), x = load<WIDE>(n.x + at + c), w = load<WIDE>(n.w + c);
            part<WIDE> dw = load<WIDE>(mine + c), db = load<WIDE>(mine + n.width + c);
#pragma unroll
            for (int k = 0; k < WIDE; k++) {
                real h = (x.at[k] - center) * scale, g = dy.at[k] * w.at[k];
                sum_g += g;
                sum_gh += g * h;
                dw.at[k] += dy.at[k] * h;
                db.at[k] += dy.at[k];
            }
            store<WIDE>(dw, mine + c);
            if (n.with_bias) store<WIDE>(db, mine + n.width + c);
        }
        const real mean_g = CENTER ? team_sum<WARPS>(sum_g, room) / (real)n.width : 0;
        const real mean_gh = team_sum<WARPS>(sum_gh, room) / (real)n.width;
        for (int64_t c = lane * WIDE; c < n.width; c += TEAM * WIDE) {
            part<WIDE> dy = load<WIDE>(n.dy + at + c), x = load<WIDE>(n.x + at + c), w = load<WIDE>(n.w + c);
            part<WIDE> prev = n.prev ? load<WIDE>(n.prev + at + c) : zero;
#pragma unroll
            for (int k = 0; k < WIDE; k++)
                dy.at[k] = scale * (dy.at[k] * w.at[k] - mean_g - (x.at[k] - center) * scale * mean_gh) + prev.at[k];
            store<WIDE>(dy, n.dx + at + c);
        }
    }
    __syncthreads();
    if (!n.in_shared) return;
    for (int64_t c = threadIdx.x; c < 2 * n.width; c += blockDim.x) {
        real total = 0;
        for (int t = 0; t < teams; t++) total += sums[t * 2 * n.width + c];
        n.partial[blockIdx.x * 2 * n.width + c] = total;
    }
}

static inline int64_t norm_grad_blocks(int64_t rows, int64_t width) {
    return smaller(divide_up(rows, width >= LONG_ROW ? 4 : 4 * TEAMS), MOST_BLOCKS);
}

template <int WIDE, bool CENTER>
static void launch_norm_grad_as(norm_grad_args n, int64_t blocks, cudaStream_t stream) {
    const size_t room = 8 * sizeof(real), row = 2 * sizeof(real) * (size_t)n.width;
    if (n.width >= LONG_ROW) {
        n.in_shared = row <= CACHE;
        LAUNCH((norm_grad<WIDE, LONG_WARPS, CENTER>), dim3((unsigned)blocks), dim3(LONG_WARPS * WARP),
               room + (n.in_shared ? row : 0), stream, n);
    } else {
        n.in_shared = 1;
        LAUNCH((norm_grad<WIDE, 1, CENTER>), dim3((unsigned)blocks), dim3(TEAMS * WARP), room + TEAMS * row, stream, n);
    }
}

/* dw and db (or NULL): added to what is there if `add_w`, `add_b`. */
template <bool CENTER>
static void launch_norm_grad(const norm_grad_args &n, int add_w, int add_b, real *dw, real *db, cudaStream_t stream) {
    const int64_t blocks = norm_grad_blocks(n.rows, n.width);
    const int wide = n.width % PACK == 0 && is_aligned(n.dy) && is_aligned(n.x) && is_aligned(n.w) &&
                     is_aligned(n.prev) && is_aligned(n.dx);
    if (wide)
        launch_norm_grad_as<PACK, CENTER>(n, blocks, stream);
    else
        launch_norm_grad_as<1, CENTER>(n, blocks, stream);
    finish_columns(n.partial, blocks, 2 * n.width, n.width, add_w, dw, stream);
    if (db) finish_columns(n.partial + n.width, blocks, 2 * n.width, n.width, add_b, db, stream);
}

#endif
