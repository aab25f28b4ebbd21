/* Normalization of rows. */
#include "norm.cuh"
#include "kernels.h"

static norm_args args_of(const struct kernel_args *a, int sums, int weight) {
    norm_args n = {};
    n.a = (const value *)a->in[0].data;
    n.b = sums ? (const value *)a->in[1].data : NULL;
    n.w = (const value *)a->in[weight].data;
    n.sum = sums ? (value *)a->out[0].data : NULL;
    n.y = (value *)a->out[sums].data;
    n.width = a->in[weight].dim[0];
    n.rows = elements(&a->in[0]) / n.width;
    n.eps = (real)a->attr->eps;
    return n;
}

static norm_args with_center(norm_args n, const struct kernel_args *a, int out, int bias) {
    n.bias = (const value *)a->in[bias].data;
    n.mean = (real *)a->out[out].data;
    n.rstd = (real *)a->out[out + 1].data;
    return n;
}

static norm_args without_center(norm_args n, const struct kernel_args *a, int out) {
    n.rstd = (real *)a->out[out].data;
    return n;
}

extern "C" void K(layernorm)(const struct kernel_args *a, cudaStream_t stream) {
    launch_norm<true>(with_center(args_of(a, 0, 1), a, 1, 2), stream);
}

extern "C" void K(add_layernorm)(const struct kernel_args *a, cudaStream_t stream) {
    launch_norm<true>(with_center(args_of(a, 1, 2), a, 2, 3), stream);
}

extern "C" void K(rmsnorm)(const struct kernel_args *a, cudaStream_t stream) {
    launch_norm<false>(without_center(args_of(a, 0, 1), a, 1), stream);
}

extern "C" void K(add_rmsnorm)(const struct kernel_args *a, cudaStream_t stream) {
    launch_norm<false>(without_center(args_of(a, 1, 2), a, 2), stream);
}

#if !defined KERNEL_BF16 && !defined KERNEL_F16
extern "C" int64_t cuda_norm_grad_workspace(const struct kernel_args *a) {
    int64_t width = a->out[1].dim[0], rows = elements(&a->in[0]) / width;
    return norm_grad_blocks(rows, width) * 2 * width * (int64_t)sizeof(real);
}
#endif

static norm_grad_args grad_args_of(const struct kernel_args *a, int weight) {
    norm_grad_args n = {};
    n.dy = (const value *)a->in[0].data;
    n.x = (const value *)a->in[1].data;
    n.w = (const value *)a->in[weight].data;
    n.prev = (const value *)a->in[weight + 1].data;
    n.rstd = (const real *)a->in[weight - 1].data;
    n.dx = (value *)a->out[0].data;
    n.partial = (real *)a->scratch;
    n.width = a->in[weight].dim[0];
    n.rows = elements(&a->in[0]) / n.width;
    return n;
}

extern "C" void K(layernorm_grad)(const struct kernel_args *a, cudaStream_t stream) {
    norm_grad_args n = grad_args_of(a, 4);
    real *db = (real *)a->out[2].data;
    n.mean = (const real *)a->in[2].data;
    n.with_bias = db != NULL;
    launch_norm_grad<true>(n, a->add >> 1 & 1, a->add >> 2 & 1, (real *)a->out[1].data, db, stream);
}

extern "C" void K(rmsnorm_grad)(const struct kernel_args *a, cudaStream_t stream) {
    launch_norm_grad<false>(grad_args_of(a, 3), a->add >> 1 & 1, 0, (real *)a->out[1].data, NULL, stream);
}
