/* Turning heads for rotary position embedding (Su et al. 2021), for the op of its own and for the product that is fused with it. */
#ifndef CPU_ROPE_H
#define CPU_ROPE_H

#include "real.h"

/* One head: channels i and i + half turn together. y may be x. */
static inline void turn_halves(const value *x, const real *cosine, const real *sine, real sign, int64_t half,
                               value *y) {
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        real first = get(x[i]), second = get(x[i + half]), s = sign * sine[i];
        y[i] = put(first * cosine[i] - second * s);
        y[i + half] = put(first * s + second * cosine[i]);
    }
}

/* Channels 2i and 2i + 1 turn together. */
static inline void turn_pairs(const value *x, const real *cosine, const real *sine, real sign, int64_t half, value *y) {
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        real first = get(x[2 * i]), second = get(x[2 * i + 1]), s = sign * sine[i];
        y[2 * i] = put(first * cosine[i] - second * s);
        y[2 * i + 1] = put(first * s + second * cosine[i]);
    }
}

/* Heads [head, last) of row `row` of the micro-batch, queries first, keys after them; x and y are where head `head` begins. y may be x.
 * `table` and `starts` are the operands of op rope. */
static inline void turn_heads(const struct op_attr *attr, const real *table, const int32_t *starts, int64_t row,
                              int64_t head, int64_t last, int64_t size, const value *x, value *y) {
    int64_t place = row % attr->time - (starts ? starts[row] : 0), half = attr->turning / 2;
    const real *cosine = table + place * attr->turning, *sine = cosine + half;
    real sign = attr->inverse ? -1 : 1;
    for (; head < last; head++, x += size, y += size)
        if (attr->pairs)
            turn_pairs(x, cosine, sine, sign, half, y);
        else
            turn_halves(x, cosine, sine, sign, half, y);
}

#endif
