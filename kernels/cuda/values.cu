/* Ops that treat each element alike: sums, copies, dropout, activations. */
#include "activation.cuh"
#include "kernels.h"
#include "pointwise.cuh"
#include "random.cuh"

namespace {

struct add_op {
    const value *a, *b;
    value *y;
    template <int WIDE> __device__ void apply(int64_t i) const {
        part<WIDE> x = load<WIDE>(a + i), z = load<WIDE>(b + i);
#pragma unroll
        for (int k = 0; k < WIDE; k++) x.at[k] += z.at[k];
        store<WIDE>(x, y + i);
    }
};

/* Also from reals to values and back. */
template <class FROM, class TO> struct copy_op {
    const FROM *x;
    TO *y;
    template <int WIDE> __device__ void apply(int64_t i) const { store<WIDE>(load<WIDE>(x + i), y + i); }
};

struct take_row_op {
    const value *x;
    value *y;
    const struct step_block *step;
    int64_t width;
    template <int WIDE> __device__ void apply(int64_t i) const {
        store<WIDE>(load<WIDE>(x + step->row * width + i), y + i);
    }
};

struct dropout_op {
    const value *x;
    value *y;
    struct draw_site site;
    template <int WIDE> __device__ void apply(int64_t i) const {
        struct draws d = draws_of(site);
        part<WIDE> p = load<WIDE>(x + i);
#pragma unroll
        for (int k = 0; k < WIDE; k += 4) {
            const struct philox random = draw(d, (uint64_t)(i + k) / 4);
#pragma unroll
            for (int w = 0; w < 4 && k + w < WIDE; w++) {
                const real keep = kept(d, word_of(random, WIDE < 4 ? i : w));
                p.at[k + w] = keep != 0 ? p.at[k + w] * keep : 0;
            }
        }
        store<WIDE>(p, y + i);
    }
};

struct gelu_op {
    const value *x;
    value *y;
    template <int WIDE> __device__ void apply(int64_t i) const {
        part<WIDE> p = load<WIDE>(x + i);
#pragma unroll
        for (int k = 0; k < WIDE; k++) p.at[k] = gelu_of(p.at[k]);
        store<WIDE>(p, y + i);
    }
};

struct gelu_grad_op {
    const value *dy, *x;
    value *dx;
    template <int WIDE> __device__ void apply(int64_t i) const {
        part<WIDE> d = load<WIDE>(dy + i), p = load<WIDE>(x + i);
#pragma unroll
        for (int k = 0; k < WIDE; k++) d.at[k] *= gelu_slope(p.at[k]);
        store<WIDE>(d, dx + i);
    }
};

struct softcap_op {
    const value *x;
    value *y;
    real cap, inverse;
    template <int WIDE> __device__ void apply(int64_t i) const {
        part<WIDE> p = load<WIDE>(x + i);
#pragma unroll
        for (int k = 0; k < WIDE; k++) p.at[k] = cap * tanhf(p.at[k] * inverse);
        store<WIDE>(p, y + i);
    }
};

struct softcap_grad_op {
    const value *dy, *y;
    value *dx;
    real inverse;
    template <int WIDE> __device__ void apply(int64_t i) const {
        part<WIDE> d = load<WIDE>(dy + i), p = load<WIDE>(y + i);
#pragma unroll
        for (int k = 0; k < WIDE; k++) d.at[k] *= capped_slope(p.at[k] * inverse);
        store<WIDE>(d, dx + i);
    }
};

/* Element i is in row i / width; gate and up stand side by side in a row of x. */
struct swiglu_op {
    const value *x;
    value *y;
    int64_t width;
    template <int WIDE> __device__ void apply(int64_t i) const {
        const value *gate = x + i / width * 2 * width + i % width;
        part<WIDE> g = load<WIDE>(gate), u = load<WIDE>(gate + width);
#pragma unroll
        for (int k = 0; k < WIDE; k++) g.at[k] = silu_of(g.at[k]) * u.at[k];
        store<WIDE>(g, y + i);
    }
};

struct swiglu_grad_op {
    const value *dy, *x;
    value *dx;
    int64_t width;
    template <int WIDE> __device__ void apply(int64_t i) const {
        int64_t at = i / width * 2 * width + i % width;
        part<WIDE> d = load<WIDE>(dy + i), g = load<WIDE>(x + at), u = load<WIDE>(x + at + width);
#pragma unroll
        for (int k = 0; k < WIDE; k++) {
            real gate = g.at[k];
            g.at[k] = d.at[k] * u.at[k] * silu_slope(gate);
            u.at[k] = d.at[k] * silu_of(gate);
        }
        store<WIDE>(g, dx + at);
        store<WIDE>(u, dx + at + width);
    }
};

} // namespace

extern "C" void K(add)(const struct kernel_args *a, cudaStream_t stream) {
    add_op f = {(const value *)a->in[0].data, (const value *)a->in[1].data, (value *)a->out[0].data};
    for_elements(f, elements(&a->out[0]), is_aligned(f.a) && is_aligned(f.b) && is_aligned(f.y), stream);
}

extern "C" void K(take_row)(const struct kernel_args *a, cudaStream_t stream) {
    take_row_op f = {(const value *)a->in[0].data, (value *)a->out[0].data, a->step, a->in[0].dim[1]};
    for_elements(f, f.width, f.width % PACK == 0 && is_aligned(f.x) && is_aligned(f.y), stream);
}

extern "C" void K(cast)(const struct kernel_args *a, cudaStream_t stream) {
    copy_op<real, value> f = {(const real *)a->in[0].data, (value *)a->out[0].data};
    for_elements(f, elements(&a->out[0]), is_aligned(f.x) && is_aligned(f.y), stream);
}

extern "C" void K(widen)(const struct kernel_args *a, cudaStream_t stream) {
    copy_op<value, real> f = {(const value *)a->in[0].data, (real *)a->out[0].data};
    for_elements(f, elements(&a->out[0]), is_aligned(f.x) && is_aligned(f.y), stream);
}

extern "C" void K(clear)(const struct kernel_args *a, cudaStream_t stream) {
    int64_t n = elements(&a->out[0]);
    if (n) cudaMemsetAsync(a->out[0].data, 0, (size_t)n * sizeof(real), stream);
}

extern "C" void K(dropout)(const struct kernel_args *a, cudaStream_t stream) {
    dropout_op f = {(const value *)a->in[0].data, (value *)a->out[0].data, draw_site_of(a)};
    for_elements(f, elements(&a->out[0]), is_aligned(f.x) && is_aligned(f.y), stream);
}

extern "C" void K(gelu_values)(const void *x, int64_t n, void *y, cudaStream_t stream) {
    gelu_op f = {(const value *)x, (value *)y};
    for_elements(f, n, is_aligned(x) && is_aligned(y), stream);
}

extern "C" void K(gelu_grad_values)(const void *dy, const void *x, int64_t n, void *dx, cudaStream_t stream) {
    gelu_grad_op f = {(const value *)dy, (const value *)x, (value *)dx};
    for_elements(f, n, is_aligned(dy) && is_aligned(x) && is_aligned(dx), stream);
}

extern "C" void K(swiglu_values)(const void *x, int64_t rows, int64_t width, void *y, cudaStream_t stream) {
    swiglu_op f = {(const value *)x, (value *)y, width};
    for_elements(f, rows * width, width % PACK == 0 && is_aligned(x) && is_aligned(y), stream);
}

extern "C" void K(swiglu_grad_values)(const void *dy, const void *x, int64_t rows, int64_t width, void *dx,
                                      cudaStream_t stream) {
    swiglu_grad_op f = {(const value *)dy, (const value *)x, (value *)dx, width};
    int aligned = width % PACK == 0 && is_aligned(dy) && is_aligned(x) && is_aligned(dx);
    for_elements(f, rows * width, aligned, stream);
}

extern "C" void K(softcap_values)(const void *x, int64_t n, double cap, void *y, cudaStream_t stream) {
    softcap_op f = {(const value *)x, (value *)y, (real)cap, (real)(1 / cap)};
    for_elements(f, n, is_aligned(x) && is_aligned(y), stream);
}

extern "C" void K(gelu)(const struct kernel_args *a, cudaStream_t stream) {
    K(gelu_values)(a->in[0].data, elements(&a->out[0]), a->out[0].data, stream);
}

extern "C" void K(gelu_grad)(const struct kernel_args *a, cudaStream_t stream) {
    K(gelu_grad_values)(a->in[0].data, a->in[1].data, elements(&a->out[0]), a->out[0].data, stream);
}

extern "C" void K(swiglu)(const struct kernel_args *a, cudaStream_t stream) {
    K(swiglu_values)(a->in[0].data, a->out[0].dim[0], a->out[0].dim[1], a->out[0].data, stream);
}

extern "C" void K(swiglu_grad)(const struct kernel_args *a, cudaStream_t stream) {
    K(swiglu_grad_values)(a->in[0].data, a->in[1].data, a->in[0].dim[0], a->in[0].dim[1], a->out[0].data, stream);
}

extern "C" void K(softcap)(const struct kernel_args *a, cudaStream_t stream) {
    K(softcap_values)(a->in[0].data, elements(&a->out[0]), a->attr->cap, a->out[0].data, stream);
}

extern "C" void K(softcap_grad)(const struct kernel_args *a, cudaStream_t stream) {
    softcap_grad_op f = {(const value *)a->in[0].data, (const value *)a->in[1].data, (value *)a->out[0].data,
                         (real)(1 / a->attr->cap)};
    for_elements(f, elements(&a->out[0]), is_aligned(f.dy) && is_aligned(f.y) && is_aligned(f.dx), stream);
}
