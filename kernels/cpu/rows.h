/* Rows of values as the matrix products of attention take them: reals, `stride` apart. Where a value is a real they are read and written
 * where they lie; else they go through scratch memory, `rows * size` reals, which the caller's rule must have asked for. */
#ifndef CPU_ROWS_H
#define CPU_ROWS_H

#include "real.h"

struct rows {
    real *at;
    int64_t stride;
};

/* The rows times a factor, which always go through scratch memory. */
static inline struct rows rows_scaled(const value *from, int64_t rows, int64_t size, int64_t stride, real factor,
                                      real *scratch) {
    for (int64_t row = 0; row < rows; row++) {
#pragma omp simd
        for (int64_t i = 0; i < size; i++) scratch[row * size + i] = factor * get(from[row * stride + i]);
    }
    return (struct rows){scratch, size};
}

#if defined KERNEL_BF16 || defined KERNEL_F16

static inline struct rows rows_of(const value *from, int64_t rows, int64_t size, int64_t stride, real *scratch) {
    for (int64_t row = 0; row < rows; row++) {
#pragma omp simd
        for (int64_t i = 0; i < size; i++) scratch[row * size + i] = get(from[row * stride + i]);
    }
    return (struct rows){scratch, size};
}

static inline struct rows rows_for(value *to, int64_t size, int64_t stride, real *scratch) {
    (void)to, (void)stride;
    return (struct rows){scratch, size};
}

static inline void rows_store(struct rows from, int64_t rows, int64_t size, int64_t stride, value *to) {
    for (int64_t row = 0; row < rows; row++) {
#pragma omp simd
        for (int64_t i = 0; i < size; i++) to[row * stride + i] = put(from.at[row * from.stride + i]);
    }
}

#else

/* To read. */
static inline struct rows rows_of(const value *from, int64_t rows, int64_t size, int64_t stride, real *scratch) {
    (void)rows, (void)size, (void)scratch;
    return (struct rows){(real *)(uintptr_t)from, stride};
}

/* To write: results become values with rows_store(). */
static inline struct rows rows_for(value *to, int64_t size, int64_t stride, real *scratch) {
    (void)size, (void)scratch;
    return (struct rows){to, stride};
}

static inline void rows_store(struct rows from, int64_t rows, int64_t size, int64_t stride, value *to) {
    (void)from, (void)rows, (void)size, (void)stride, (void)to;
}

#endif
#endif
