/* tanh for logits. */
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

#endif
