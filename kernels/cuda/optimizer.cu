/* The gradient's norm and the update: one pass each over the flat space. These are reals in all builds. */
#include "kernels.h"
#include "pointwise.cuh"

enum { SQUARE_WARPS = 16, CLIP_WARPS = 8 };

/* A block takes a chunk. */
template <int WIDE>
static __global__ void __launch_bounds__(SQUARE_WARPS *WARP)
    sum_squares(const real *grads, int64_t n, double *partial) {
    SHARED(double, room);
    const int64_t begin = (int64_t)blockIdx.x * CHUNK, end = smaller(begin + CHUNK, n);
    double sum = 0;
    for (int64_t i = begin + (int64_t)threadIdx.x * WIDE; i < end; i += SQUARE_WARPS * WARP * WIDE) {
        part<WIDE> g = load<WIDE>(grads + i);
#pragma unroll
        for (int k = 0; k < WIDE; k++) sum += (double)g.at[k] * (double)g.at[k];
    }
    sum = team_sum<SQUARE_WARPS>(sum, room);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

extern "C" void K(sum_squares)(const struct kernel_args *a, cudaStream_t stream) {
    const real *grads = (const real *)a->in[0].data;
    double *partial = (double *)a->out[0].data;
    const int64_t n = elements(&a->in[0]);
    const dim3 grid((unsigned)divide_up(n, CHUNK)), block(SQUARE_WARPS * WARP);
    const size_t room = SQUARE_WARPS * sizeof(double);
    if (!n) return;
    if (n % 4 == 0 && is_aligned(grads))
        LAUNCH(sum_squares<4>, grid, block, room, stream, grads, n, partial);
    else
        LAUNCH(sum_squares<1>, grid, block, room, stream, grads, n, partial);
}

/* Chunks are added in the order of their numbers, wherever ranks have put their sums, so all numbers of ranks give the same norm. */
static __global__ void __launch_bounds__(CLIP_WARPS *WARP)
    clip(const double *partial, const int *order, int64_t chunks, const double *slots, int64_t count, double max_norm,
         struct step_block *step) {
    SHARED(double, room);
    double sum = 0, odd = 0;
    for (int64_t i = threadIdx.x; i < chunks; i += CLIP_WARPS * WARP) sum += partial[order ? order[i] : i];
    for (int64_t i = threadIdx.x; i < count; i += CLIP_WARPS * WARP) odd += isfinite(slots[i]) ? 0 : 1;
    sum = team_sum<CLIP_WARPS>(sum, room);
    odd = team_sum<CLIP_WARPS>(odd, room);
    if (threadIdx.x) return;
    const double scale = step->loss_scale > 0 ? step->loss_scale : 1;
    const double norm = sqrt(sum) / scale, ratio = max_norm / (norm + 1e-6);
    step->grad_norm = norm;
    step->clip_scale = (max_norm > 0 && ratio < 1 ? ratio : 1) / scale;
    step->skip = !(isfinite(norm) && odd == 0);
}

extern "C" void K(clip)(const struct kernel_args *a, cudaStream_t stream) {
    LAUNCH(clip, dim3(1), dim3(CLIP_WARPS * WARP), CLIP_WARPS * sizeof(double), stream, (const double *)a->in[0].data,
           a->attr->order, elements(&a->in[0]), (const double *)a->in[1].data, elements(&a->in[1]), a->attr->max_norm,
           a->step);
}

/* What is the same for all elements of one update. */
struct update {
    real grad_factor, beta1, beta2, rest1, rest2; /* rest: 1 - beta */
    real rate, root_factor, eps, decay;           /* lr / c1, 1 / sqrt(c2), c = 1 - beta^t */
    int skip;
};

static __global__ void prepare(const struct step_block *step, double beta1, double beta2, double eps, double decay,
                               struct update *u) {
    if (threadIdx.x) return;
    const double t = (double)step->adam_step + 1;
    u->grad_factor = (real)step->clip_scale;
    u->beta1 = (real)beta1;
    u->beta2 = (real)beta2;
    u->rest1 = (real)(1 - beta1);
    u->rest2 = (real)(1 - beta2);
    u->rate = (real)(step->lr / (1 - pow(beta1, t)));
    u->root_factor = (real)(1 / sqrt(1 - pow(beta2, t)));
    u->eps = (real)eps;
    u->decay = (real)(step->lr * decay);
    u->skip = step->skip;
}

namespace {

/* m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
 * p = p - (lr decay p + lr m / c1 / (sqrt(v / c2) + eps)).  p is rounded once. */
struct adamw_op {
    const real *grads;
    real *params, *first, *second;
    const struct update *shared;
    int64_t decay_end;
    template <int WIDE> __device__ void apply(int64_t i) const {
        const struct update u = *shared;
        if (u.skip) return;
        part<WIDE> g = load<WIDE>(grads + i), p = load<WIDE>(params + i);
        part<WIDE> m = load<WIDE>(first + i), v = load<WIDE>(second + i);
#pragma unroll
        for (int k = 0; k < WIDE; k++) {
            const real grad = g.at[k] * u.grad_factor, decay = i + k < decay_end ? u.decay : 0;
            m.at[k] = u.beta1 * m.at[k] + u.rest1 * grad;
            v.at[k] = u.beta2 * v.at[k] + u.rest2 * grad * grad;
            p.at[k] -= decay * p.at[k] + u.rate * m.at[k] / (sqrtf(v.at[k]) * u.root_factor + u.eps);
        }
        store<WIDE>(m, first + i);
        store<WIDE>(v, second + i);
        store<WIDE>(p, params + i);
    }
};

} // namespace

#if !defined KERNEL_BF16 && !defined KERNEL_F16
extern "C" int64_t cuda_adamw_workspace(const struct kernel_args *a) {
    (void)a;
    return (int64_t)sizeof(struct update);
}
#endif

extern "C" void K(adamw)(const struct kernel_args *a, cudaStream_t stream) {
    const struct op_attr *attr = a->attr;
    struct update *shared = (struct update *)a->scratch;
    adamw_op f = {(const real *)a->in[0].data,
                  (real *)a->out[0].data,
                  (real *)a->out[1].data,
                  (real *)a->out[2].data,
                  shared,
                  attr->decay_end};
    LAUNCH(prepare, dim3(1), dim3(WARP), 0, stream, a->step, attr->beta1, attr->beta2, attr->eps, attr->decay, shared);
    const int aligned = is_aligned(f.grads) && is_aligned(f.params) && is_aligned(f.first) && is_aligned(f.second);
    for_elements(f, elements(&a->in[0]), aligned, stream);
}
