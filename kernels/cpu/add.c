/* Sums and copies of values. */
#include "real.h"

void K(add)(const struct kernel_args *a) {
    const value *left = a->in[0].data, *right = a->in[1].data;
    value *y = a->out[0].data;
    int64_t n = elements(&a->out[0]);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += BLOCK)
        add_row(left + begin, right + begin, smaller(BLOCK, n - begin), y + begin);
}

void K(take_row)(const struct kernel_args *a) {
    const value *x = a->in[0].data;
    int64_t width = a->in[0].dim[1];
    memcpy(a->out[0].data, x + a->step->row * width, (size_t)width * sizeof *x);
}

void K(cast)(const struct kernel_args *a) {
    const real *x = a->in[0].data;
    value *y = a->out[0].data;
    int64_t n = elements(&a->out[0]);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = smaller(begin + BLOCK, n);
#pragma omp simd
        for (int64_t i = begin; i < end; i++) y[i] = put(x[i]);
    }
}

void K(clear)(const struct kernel_args *a) { memset(a->out[0].data, 0, (size_t)elements(&a->out[0]) * sizeof(real)); }

void K(widen)(const struct kernel_args *a) {
    const value *x = a->in[0].data;
    real *y = a->out[0].data;
    int64_t n = elements(&a->out[0]);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = smaller(begin + BLOCK, n);
#pragma omp simd
        for (int64_t i = begin; i < end; i++) y[i] = get(x[i]);
    }
}
