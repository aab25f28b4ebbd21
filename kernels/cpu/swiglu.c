/* SwiGLU (Shazeer 2020): silu(gate) * up, with gate and up side by side in a row. */
#include "real.h"

void K(swiglu)(const struct kernel_args *a) {
    const value *x = a->in[0].data;
    value *y = a->out[0].data;
    int64_t rows = a->out[0].dim[0], width = a->out[0].dim[1];
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *gate = x + row * 2 * width, *up = gate + width;
        value *to = y + row * width;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            real g = get(gate[i]);
            to[i] = put(g / (1 + real_exp(-g)) * get(up[i]));
        }
    }
}

/* silu'(g) = s + g s (1 - s) with s = 1 / (1 + e^-g); where e^-g is infinite, s is 0 and nothing is NaN. */
void K(swiglu_grad)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *x = a->in[1].data;
    value *dx = a->out[0].data;
    int64_t rows = a->in[0].dim[0], width = a->in[0].dim[1];
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *gate = x + row * 2 * width, *up = gate + width, *d = dy + row * width;
        value *d_gate = dx + row * 2 * width, *d_up = d_gate + width;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            real g = get(gate[i]), u = get(up[i]), s = 1 / (1 + real_exp(-g)), slope = get(d[i]);
            d_gate[i] = put(slope * u * (s * (1 + g * (1 - s))));
            d_up[i] = put(slope * (g * s));
        }
    }
}
