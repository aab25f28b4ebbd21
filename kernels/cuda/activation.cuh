/* GELU, SiLU and the soft cap of one number, with their slopes: for ops of their own and for those that are fused with them.
 *
 * GELU in the tanh form (Hendrycks & Gimpel 2016) is x times a logistic function, since (1 + tanh u) / 2 = 1 / (1 + e^-2u): small
 * values stay exact where 1 + tanh u would cancel. */
#ifndef CUDA_ACTIVATION_CUH
#define CUDA_ACTIVATION_CUH

#include "device.cuh"

/* 2u = 2 sqrt(2/pi) (x + 0.044715 x^3). */
#define GELU_LINEAR 1.5957691216057307f
#define GELU_CUBIC  (1.5957691216057307f * 0.044715f)

__device__ static inline real gelu_of(real x) { return x / (1 + expf(-x * (GELU_LINEAR + GELU_CUBIC * x * x))); }

/* s + x s (1 - s) u', s = 1 / (1 + e), 1 - s = e / (1 + e). Beyond |x| = 10 it is 1 or 0 to within 1e-35; the limit keeps powers from
 * overflowing. */
__device__ static inline real gelu_slope(real x) {
    real limited = x > 10 ? 10 : x < -10 ? -10 : x, square = limited * limited;
    real e = expf(-limited * (GELU_LINEAR + GELU_CUBIC * square)), s = 1 / (1 + e);
    return s * (1 + limited * (GELU_LINEAR + 3 * GELU_CUBIC * square) * (e * s));
}

__device__ static inline real silu_of(real g) { return g / (1 + expf(-g)); }

/* s + g s (1 - s); where e^-g is infinite, s is 0 and nothing is NaN. */
__device__ static inline real silu_slope(real g) {
    real s = 1 / (1 + expf(-g));
    return s * (1 + g * (1 - s));
}

/* The slope of tanh where it is `part`, which rounding may have put beyond 1. */
__device__ static inline real capped_slope(real part) {
    real square = part * part;
    return square < 1 ? 1 - square : 0;
}

#endif
