/* GELU in the tanh form (Hendrycks & Gimpel 2016) over a part of a row, for the op of its own and for those that are fused with it. Since
 * (1 + tanh u) / 2 = 1 / (1 + e^-2u), it is x times a logistic function; that keeps small values exact where 1 + tanh u would cancel,
 * and needs no tanh. */
#ifndef CPU_GELU_H
#define CPU_GELU_H

#include "real.h"

/* u2 = 2u, the argument of the logistic function: 2 sqrt(2/pi) (x + 0.044715 x^3). */
#define GELU_LINEAR ((real)1.5957691216057307)
#define GELU_CUBIC  ((real)(1.5957691216057307 * 0.044715))

/* y may be x. */
static inline void gelu_row(const value *x, int64_t n, value *y) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        real from = get(x[i]), u = from * (GELU_LINEAR + GELU_CUBIC * from * from);
        y[i] = put(from / (1 + real_exp(-u)));
    }
}

/* dx = dy gelu'(x), gelu'(x) = s + x s (1 - s) u', s = 1 / (1 + e), 1 - s = e / (1 + e), e = e^-u. Beyond |x| = 10 it is 1 or 0 to
 * within 1e-35; the limit keeps powers of x and e from overflowing. dx may be dy or x. */
static inline void gelu_grad_row(const value *dy, const value *x, int64_t n, value *dx) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        real from = get(x[i]), limited = from > 10 ? 10 : from;
        limited = limited < -10 ? -10 : limited;
        real square = limited * limited;
        real e = real_exp(-limited * (GELU_LINEAR + GELU_CUBIC * square));
        real s = 1 / (1 + e);
        real slope = limited * (GELU_LINEAR + 3 * GELU_CUBIC * square);
        dx[i] = put(get(dy[i]) * s * (1 + slope * (e * s)));
    }
}

#endif
