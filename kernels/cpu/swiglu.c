/* SwiGLU (Shazeer 2020): silu(gate) * up, with gate and up side by side in a row. */
#include "real.h"

void K(swiglu)(const struct kernel_args *a) {
    const real *x = a->in[0].data;
    real *y = a->out[0].data;
    int64_t rows = a->out[0].dim[0], width = a->out[0].dim[1];
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const real *gate = x + row * 2 * width, *up = gate + width;
        real *to = y + row * width;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) to[i] = gate[i] / (1 + real_exp(-gate[i])) * up[i];
    }
}

/* silu'(g) = s + g s (1 - s) with s = 1 / (1 + e^-g); where e^-g is infinite, s is 0 and nothing is NaN. */
void K(swiglu_grad)(const struct kernel_args *a) {
    const real *dy = a->in[0].data, *x = a->in[1].data;
    real *dx = a->out[0].data;
    int64_t rows = a->in[0].dim[0], width = a->in[0].dim[1];
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const real *gate = x + row * 2 * width, *up = gate + width, *d = dy + row * width;
        real *d_gate = dx + row * 2 * width, *d_up = d_gate + width;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            real g = gate[i], u = up[i], s = 1 / (1 + real_exp(-g));
            d_gate[i] = d[i] * u * (s * (1 + g * (1 - s)));
            d_up[i] = d[i] * (g * s);
        }
    }
}
