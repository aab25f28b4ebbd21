/* GELU and its gradient. */
#include "gelu.h"

void K(gelu)(const struct kernel_args *a) {
    const value *x = a->in[0].data;
    value *y = a->out[0].data;
    int64_t n = elements(&a->out[0]);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += BLOCK) gelu_row(x + begin, smaller(BLOCK, n - begin), y + begin);
}

void K(gelu_grad)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *x = a->in[1].data;
    value *dx = a->out[0].data;
    int64_t n = elements(&a->out[0]);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += BLOCK)
        gelu_grad_row(dy + begin, x + begin, smaller(BLOCK, n - begin), dx + begin);
}
