/* Dropout. The gradient is the same op on dy: its draws belong to the site and the element, not to the call. */
#include "real.h"

void K(dropout)(const struct kernel_args *a) {
    const value *x = a->in[0].data;
    value *y = a->out[0].data;
    int64_t n = elements(&a->out[0]);
    struct draws draws = draws_of(a);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t block = 0; block < n; block += BLOCK) {
        int64_t block_end = smaller(block + BLOCK, n);
        for (int64_t begin = block; begin < block_end; begin += DRAWS) {
            real keep[DRAWS];
            draw(&draws, (uint64_t)begin / 4, keep);
            int64_t count = smaller(DRAWS, block_end - begin);
#pragma omp simd
            for (int64_t i = 0; i < count; i++) y[begin + i] = put(keep[i] != 0 ? get(x[begin + i]) * keep[i] : 0);
        }
    }
}
