/* fp16 (IEEE 754 binary16: 5 bits of exponent, 10 of mantissa), stored as uint16_t. Both functions choose without branches, so that loops
 * over them vectorize on any processor. */
#ifndef CPU_F16_H
#define CPU_F16_H

#include <stdint.h>
#include <string.h>

static inline float f16_of_bits(uint32_t bits) {
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* Exponent and mantissa stand where a float has them, but for the bias, which a product takes out: also of what is denormal. */
static inline float f16_to_float(uint16_t v) {
    uint32_t rest = v & 0x7fff, bits;
    float number = f16_of_bits(rest << 13) * 0x1p112f;
    memcpy(&bits, &number, sizeof bits);
    bits |= rest >= 0x7c00 ? 0x7f800000 : 0; /* infinite, or NaN */
    return f16_of_bits(bits | (uint32_t)(v & 0x8000) << 16);
}

/* Rounds to nearest, ties to even. What is beyond 65504 by half a step or more becomes infinite; NaN stays NaN. */
static inline uint16_t float_to_f16(float x) {
    uint32_t bits, small;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rest = bits & 0x7fffffff;
    float sum = f16_of_bits(rest) + 0.5f; /* below 2^-14 a step is 2^-24: that of floats from 0.5 on, so this rounds */
    memcpy(&small, &sum, sizeof small);
    uint32_t normal = (rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13;
    uint32_t result = rest < 0x38800000 ? small - 0x3f000000 : normal;
    result = rest >= 0x477ff000 ? 0x7c00 : result;
    result = rest > 0x7f800000 ? 0x7e00 : result;
    return (uint16_t)(result | (bits >> 16 & 0x8000));
}

#endif
