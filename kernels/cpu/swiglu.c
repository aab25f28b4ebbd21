/* SwiGLU and its gradient, with gate and up side by side in a row. */
#include "swiglu.h"

void K(swiglu)(const struct kernel_args *a) {
    const value *x = a->in[0].data;
    value *y = a->out[0].data;
    int64_t rows = a->out[0].dim[0], width = a->out[0].dim[1];
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *gate = x + row * 2 * width;
        swiglu_row(gate, gate + width, width, y + row * width);
    }
}

void K(swiglu_grad)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *x = a->in[1].data;
    value *dx = a->out[0].data;
    int64_t rows = a->in[0].dim[0], width = a->in[0].dim[1];
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *gate = x + row * 2 * width;
        value *d_gate = dx + row * 2 * width;
        swiglu_grad_row(dy + row * width, gate, gate + width, width, d_gate, d_gate + width);
    }
}
