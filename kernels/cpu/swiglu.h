/* SwiGLU (Shazeer 2020) over a part of a row, for the op of its own and for those that are fused with it. */
#ifndef CPU_SWIGLU_H
#define CPU_SWIGLU_H

#include "real.h"

/* y = silu(gate) * up, silu(g) = g / (1 + e^-g). */
static inline void swiglu_row(const value *gate, const value *up, int64_t n, value *y) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        real g = get(gate[i]);
        y[i] = put(g / (1 + real_exp(-g)) * get(up[i]));
    }
}

/* silu'(g) = s + g s (1 - s) with s = 1 / (1 + e^-g); where e^-g is infinite, s is 0 and nothing is NaN. d_gate and d_up may be gate and
 * up. */
static inline void swiglu_grad_row(const value *dy, const value *gate, const value *up, int64_t n, value *d_gate,
                                   value *d_up) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        real g = get(gate[i]), u = get(up[i]), s = 1 / (1 + real_exp(-g)), slope = get(dy[i]);
        d_gate[i] = put(slope * u * (s * (1 + g * (1 - s))));
        d_up[i] = put(slope * (g * s));
    }
}

#endif
