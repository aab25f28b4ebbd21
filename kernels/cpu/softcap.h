/* The soft cap of logits, c tanh(x / c) (Bello et al. 2016, section 5.1). */
#ifndef CPU_SOFTCAP_H
#define CPU_SOFTCAP_H

#include "real.h"

/* tanh, to a few ulp: near 0, where 1 - 2 / (1 + e^2u) would cancel, its Taylor series. */
#ifdef KERNEL_DOUBLE
static inline double real_tanh(double u) { return tanh(u); }
#else
static inline float real_tanh(float u) {
    float square = u * u;
    float near =
        u + u * square * (-1 / 3.0f + square * (2 / 15.0f + square * (-17 / 315.0f + square * (62 / 2835.0f))));
    float far = 1 - 2 / (1 + real_exp(2 * u));
    return square < 0.0625f ? near : far;
}
#endif

/* The slope of tanh where it is `part`, which rounding may have put beyond 1. */
static inline real capped_slope(real part) {
    real square = part * part;
    return square < 1 ? 1 - square : 0;
}

/* y = cap tanh(x / cap). y may be x. */
static inline void softcap_values(const value *x, int64_t n, double cap, value *y) {
    real limit = (real)cap, inverse = (real)(1 / cap);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = smaller(begin + BLOCK, n);
#pragma omp simd
        for (int64_t i = begin; i < end; i++) y[i] = put(limit * real_tanh(get(x[i]) * inverse));
    }
}

#endif
