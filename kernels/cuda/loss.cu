/* Cross-entropy and what happens to the loss: clamped, recorded, and turned into the seed of the backward pass. Losses are double. A
 * block takes a row of logits; the first `vocab` of its columns count. */
#include "activation.cuh"
#include "kernels.h"

enum { ROW_WARPS = 8, ROW_THREADS = ROW_WARPS * WARP, MEAN_WARPS = 32 };

static int wide_rows(const void *a, const void *b, int64_t columns) {
    return columns % PACK == 0 && is_aligned(a) && is_aligned(b);
}

/* The largest element so far, and the sum of e^(x - top), in one pass over the row (Milakov & Gimelshein 2018). NaN stays in the sum. */
struct running {
    real top, sum;
};

template <int WIDE> static __device__ inline void take(running *r, const part<WIDE> &p) {
    real top = r->top;
#pragma unroll
    for (int k = 0; k < WIDE; k++) top = p.at[k] > top ? p.at[k] : top;
    if (top > r->top) r->sum *= expf(r->top - top);
    r->top = top;
#pragma unroll
    for (int k = 0; k < WIDE; k++) r->sum += expf(p.at[k] - top);
}

/* log(sum of e^row), shifted by the largest element so that nothing overflows; all threads get it. */
template <int WIDE> static __device__ real log_sum_exp(const value *row, int64_t n, real *room) {
    running r = {-INFINITY, 0};
    for (int64_t c = (int64_t)threadIdx.x * WIDE; c < n; c += ROW_THREADS * WIDE) {
        if (c + WIDE <= n)
            take<WIDE>(&r, load<WIDE>(row + c));
        else
            for (int64_t i = c; i < n; i++) take<1>(&r, load<1>(row + i));
    }
    const real top = team_max<ROW_WARPS>(r.top, room);
    const real mine = r.sum == 0 ? 0 : r.sum * expf(r.top - top);
    return top + logf(team_sum<ROW_WARPS>(mine, room));
}

template <int WIDE>
static __global__ void __launch_bounds__(ROW_THREADS)
    xent_rows(const value *logits, const int32_t *targets, int64_t vocab, int64_t columns, real *lse,
              double *row_loss) {
    SHARED(real, room);
    const int64_t row = blockIdx.x;
    const value *from = logits + row * columns;
    const real shift = log_sum_exp<WIDE>(from, vocab, room);
    if (threadIdx.x) return;
    const int target = targets[row];
    lse[row] = shift;
    row_loss[row] = target < 0 ? 0 : (double)shift - (double)get(from[target]);
}

extern "C" void K(xent_rows)(const struct kernel_args *a, const void *logits, const int32_t *targets, int64_t rows,
                             int64_t columns, float *lse, double *row_loss, cudaStream_t stream) {
    const value *from = (const value *)logits;
    const dim3 grid((unsigned)rows), block(ROW_THREADS);
    const size_t room = ROW_WARPS * sizeof(real);
    if (wide_rows(logits, NULL, columns))
        LAUNCH(xent_rows<PACK>, grid, block, room, stream, from, targets, a->attr->vocab, columns, lse, row_loss);
    else
        LAUNCH(xent_rows<1>, grid, block, room, stream, from, targets, a->attr->vocab, columns, lse, row_loss);
}

static __global__ void __launch_bounds__(MEAN_WARPS *WARP)
    mean_loss(const double *row_loss, const int32_t *targets, int64_t rows, double *loss) {
    SHARED(double, room);
    double sum = 0, count = 0;
    for (int64_t row = threadIdx.x; row < rows; row += MEAN_WARPS * WARP) {
        if (targets[row] < 0) continue;
        sum += row_loss[row];
        count++;
    }
    sum = team_sum<MEAN_WARPS>(sum, room);
    count = team_sum<MEAN_WARPS>(count, room);
    if (threadIdx.x) return;
    loss[0] = count > 0 ? sum / count : 0;
    loss[1] = count;
}

extern "C" void K(mean_loss)(const double *row_loss, const int32_t *targets, int64_t rows, double *loss,
                             cudaStream_t stream) {
    LAUNCH(mean_loss, dim3(1), dim3(MEAN_WARPS * WARP), MEAN_WARPS * sizeof(double), stream, row_loss, targets, rows,
           loss);
}

#if !defined KERNEL_BF16 && !defined KERNEL_F16
extern "C" int64_t cuda_loss_workspace(const struct kernel_args *a) {
    return a->in[0].dim[0] * (int64_t)sizeof(double);
}
#endif

extern "C" void K(xent)(const struct kernel_args *a, cudaStream_t stream) {
    const int32_t *targets = (const int32_t *)a->in[1].data;
    double *row_loss = (double *)a->scratch;
    const int64_t rows = a->in[0].dim[0];
    K(xent_rows)(a, a->in[0].data, targets, rows, a->in[0].dim[1], (real *)a->out[1].data, row_loss, stream);
    K(mean_loss)(row_loss, targets, rows, (double *)a->out[0].data, stream);
}

/* (softmax - onehot) * factor. The product is rounded before the difference is taken, in the loss in one and in parts: left to the compiler,
 * one might become a fused multiply-add and the other not. */
static __device__ inline real softmax_grad(real p, int is_target, real factor) {
    const real scaled = __fmul_rn(p, factor);
    return is_target ? scaled - factor : scaled;
}

/* One logit, through a soft cap at 1 / inverse where inverse is not 0. */
static __device__ inline real logit_grad(real logit, real shift, int is_target, real factor, real inverse) {
    return softmax_grad(expf(logit - shift), is_target, factor) * capped_slope(logit * inverse);
}

template <int WIDE>
static __global__ void __launch_bounds__(ROW_THREADS)
    xent_grad_rows(const value *logits, const int32_t *targets, const real *lse, const double *loss,
                   const double *dloss, int64_t vocab, int64_t columns, real inverse, value *grad) {
    const int64_t row = blockIdx.x, target = targets[row], live = target < 0 ? 0 : vocab;
    const real shift = lse[row], factor = loss[1] > 0 ? (real)(dloss[0] / loss[1]) : 0;
    for (int64_t c = (int64_t)threadIdx.x * WIDE; c < columns; c += ROW_THREADS * WIDE) {
        part<WIDE> p = load<WIDE>(logits + row * columns + c);
#pragma unroll
        for (int k = 0; k < WIDE; k++)
            p.at[k] = c + k < live ? logit_grad(p.at[k], shift, c + k == target, factor, inverse) : 0;
        store<WIDE>(p, grad + row * columns + c);
    }
}

extern "C" void K(xent_rows_grad)(const struct kernel_args *a, const void *logits, const int32_t *targets,
                                  const float *lse, const double *loss, const double *dloss, int64_t rows,
                                  int64_t columns, double cap, void *grad, cudaStream_t stream) {
    const value *from = (const value *)logits;
    value *to = (value *)grad;
    const real inverse = cap > 0 ? (real)(1 / cap) : 0;
    const dim3 grid((unsigned)rows), block(ROW_THREADS);
    if (wide_rows(logits, grad, columns))
        LAUNCH(xent_grad_rows<PACK>, grid, block, 0, stream, from, targets, lse, loss, dloss, a->attr->vocab, columns,
               inverse, to);
    else
        LAUNCH(xent_grad_rows<1>, grid, block, 0, stream, from, targets, lse, loss, dloss, a->attr->vocab, columns,
               inverse, to);
}

extern "C" void K(xent_grad)(const struct kernel_args *a, cudaStream_t stream) {
    K(xent_rows_grad)
    (a, a->in[0].data, (const int32_t *)a->in[1].data, (const real *)a->in[2].data, (const double *)a->in[3].data,
     (const double *)a->in[4].data, a->in[0].dim[0], a->in[0].dim[1], 0, a->out[0].data, stream);
}

/* ---- the same in parts, with all probabilities in memory ---- */

/* The sum is that of the loss in one, which takes as many elements at once. */
template <int WIDE>
static __global__ void __launch_bounds__(ROW_THREADS)
    softmax_rows(const value *logits, int64_t vocab, int64_t columns, real *p, real *lse) {
    SHARED(real, room);
    const int64_t row = blockIdx.x;
    const value *from = logits + row * columns;
    const real shift = log_sum_exp<WIDE>(from, vocab, room);
    if (threadIdx.x == 0) lse[row] = shift;
    for (int64_t c = threadIdx.x; c < columns; c += ROW_THREADS)
        p[row * columns + c] = c < vocab ? expf(get(from[c]) - shift) : 0;
}

extern "C" void K(softmax)(const struct kernel_args *a, cudaStream_t stream) {
    const value *logits = (const value *)a->in[0].data;
    real *p = (real *)a->out[0].data, *lse = (real *)a->out[1].data;
    const int64_t columns = a->in[0].dim[1];
    const dim3 grid((unsigned)a->in[0].dim[0]), block(ROW_THREADS);
    const size_t room = ROW_WARPS * sizeof(real);
    if (wide_rows(logits, NULL, columns))
        LAUNCH(softmax_rows<PACK>, grid, block, room, stream, logits, a->attr->vocab, columns, p, lse);
    else
        LAUNCH(softmax_rows<1>, grid, block, room, stream, logits, a->attr->vocab, columns, p, lse);
}

static __global__ void __launch_bounds__(ROW_THREADS)
    target_loss(const value *logits, const int32_t *targets, const real *lse, int64_t rows, int64_t columns,
                double *row_loss) {
    const int64_t row = (int64_t)blockIdx.x * ROW_THREADS + threadIdx.x;
    if (row >= rows) return;
    row_loss[row] = targets[row] < 0 ? 0 : (double)lse[row] - (double)get(logits[row * columns + targets[row]]);
}

extern "C" void K(nll)(const struct kernel_args *a, cudaStream_t stream) {
    const int32_t *targets = (const int32_t *)a->in[1].data;
    double *row_loss = (double *)a->scratch;
    const int64_t rows = a->in[0].dim[0];
    LAUNCH(target_loss, dim3((unsigned)divide_up(rows, ROW_THREADS)), dim3(ROW_THREADS), 0, stream,
           (const value *)a->in[0].data, targets, (const real *)a->in[2].data, rows, a->in[0].dim[1], row_loss);
    K(mean_loss)(row_loss, targets, rows, (double *)a->out[0].data, stream);
}

/* grad may be p where values are reals. */
static __global__ void __launch_bounds__(ROW_THREADS)
    nll_grad_rows(const real *p, const int32_t *targets, const double *loss, const double *dloss, int64_t vocab,
                  int64_t columns, value *grad) {
    const int64_t row = blockIdx.x, target = targets[row], live = target < 0 ? 0 : vocab;
    const real factor = loss[1] > 0 ? (real)(dloss[0] / loss[1]) : 0;
    for (int64_t c = threadIdx.x; c < columns; c += ROW_THREADS) {
        put(c < live ? softmax_grad(p[row * columns + c], c == target, factor) : 0, &grad[row * columns + c]);
    }
}

extern "C" void K(nll_grad)(const struct kernel_args *a, cudaStream_t stream) {
    LAUNCH(nll_grad_rows, dim3((unsigned)a->in[0].dim[0]), dim3(ROW_THREADS), 0, stream, (const real *)a->in[0].data,
           (const int32_t *)a->in[1].data, (const double *)a->in[2].data, (const double *)a->in[3].data, a->attr->vocab,
           a->in[0].dim[1], (value *)a->out[0].data);
}

/* ---- single numbers: one thread of one warp ---- */

static __global__ void clamp_loss(const double *x, double low, double high, double *y) {
    double loss = x[0];
    if (threadIdx.x) return;
    if (loss < low) loss = low;
    if (loss > high) loss = high;
    y[0] = loss; /* comparisons with NaN are false: it stays */
    y[1] = x[1];
}

extern "C" void K(clamp)(const struct kernel_args *a, cudaStream_t stream) {
    LAUNCH(clamp_loss, dim3(1), dim3(WARP), 0, stream, (const double *)a->in[0].data, a->attr->low, a->attr->high,
           (double *)a->out[0].data);
}

static __global__ void clamp_loss_grad(const double *dy, const double *x, double low, double high, double *dx) {
    if (threadIdx.x) return;
    dx[0] = low <= x[0] && x[0] <= high ? dy[0] : 0;
    dx[1] = 0; /* the count of targets */
}

extern "C" void K(clamp_grad)(const struct kernel_args *a, cudaStream_t stream) {
    LAUNCH(clamp_loss_grad, dim3(1), dim3(WARP), 0, stream, (const double *)a->in[0].data,
           (const double *)a->in[1].data, a->attr->low, a->attr->high, (double *)a->out[0].data);
}

static __global__ void record(const double *y, const double *x, const struct step_block *step, double micro_batches,
                              int add, double *slots) {
    if (threadIdx.x) return;
    const double part = isfinite(x[0]) ? y[0] * step->weight / micro_batches : x[0];
    double *slot = slots + step->slot;
    *slot = add && step->micro ? *slot + part : part; /* running sums of gradients go on over slots */
}

extern "C" void K(record_loss)(const struct kernel_args *a, cudaStream_t stream) {
    const double micro_batches = a->attr->micro_batches > 0 ? (double)a->attr->micro_batches : 1;
    LAUNCH(record, dim3(1), dim3(WARP), 0, stream, (const double *)a->in[0].data, (const double *)a->in[1].data,
           a->step, micro_batches, (int)(a->add & 1), (double *)a->out[0].data);
}

static __global__ void seed(const struct step_block *step, double *dloss) {
    if (threadIdx.x) return;
    dloss[0] = step->grad_scale * (step->loss_scale > 0 ? step->loss_scale : 1);
    dloss[1] = 0;
}

extern "C" void K(loss_seed)(const struct kernel_args *a, cudaStream_t stream) {
    LAUNCH(seed, dim3(1), dim3(WARP), 0, stream, a->step, (double *)a->out[0].data);
}
