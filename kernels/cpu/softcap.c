/* The soft cap as an op of its own. */
#include "softcap.h"

void K(softcap)(const struct kernel_args *a) {
    softcap_values(a->in[0].data, elements(&a->out[0]), a->attr->cap, a->out[0].data);
}

void K(softcap_grad)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *y = a->in[1].data;
    value *dx = a->out[0].data;
    real inverse = (real)(1 / a->attr->cap);
    int64_t n = elements(&a->out[0]);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = smaller(begin + BLOCK, n);
#pragma omp simd
        for (int64_t i = begin; i < end; i++) {
            real part = get(y[i]) * inverse;
            dx[i] = put(get(dy[i]) * capped_slope(part));
        }
    }
}
