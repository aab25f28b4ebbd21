/* bf16: the upper half of a float (8 bits of exponent, 7 of mantissa), stored as uint16_t. Both functions are
 * branch-free, so that loops over them vectorize. The instruction vcvtneps2bf16 would differ: it makes denormals 0. */
#ifndef CPU_BF16_H
#define CPU_BF16_H

#include <stdint.h>
#include <string.h>

static inline float bf16_to_float(uint16_t v) {
    uint32_t bits = (uint32_t)v << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* Rounds to nearest, ties to even. NaN stays NaN, and is made quiet; what is beyond the largest bf16 by half a step or
 * more becomes infinite. */
static inline uint16_t float_to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
    return (uint16_t)(((bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : rounded) >> 16);
}

#endif
