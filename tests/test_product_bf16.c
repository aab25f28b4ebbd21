/* Products of bf16, with the instruction that multiplies pairs where there is one and without; and the conversions. */
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/product_bf16.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

typedef void value_product(int, int, int64_t, int64_t, int64_t, const uint16_t *, const uint16_t *, int, uint16_t *);
typedef void real_product(int, int, int64_t, int64_t, int64_t, const uint16_t *, const uint16_t *, int, float *);
/* product_bf16.c, compiled once more with -DPRODUCT_BF16_PORTABLE. */
value_product cpu_product_bf16_portable;
real_product cpu_product_bf16_f32_portable;

static const struct {
    const char *name;
    value_product *values;
    real_product *reals;
} paths[] = {
    {"this processor", cpu_product_bf16, cpu_product_bf16_f32},
    {"portable", cpu_product_bf16_portable, cpu_product_bf16_f32_portable},
};
enum { PATHS = sizeof paths / sizeof *paths };

/* m, n, k. Tiles, blocks, slivers, strips and vectors end in the middle, or one element late. */
static const int64_t shapes[][3] = {
    {1, 1, 1},        {1, 3, 2},       {3, 1, 17},      {17, 67, 3},     {67, 17, 1},    {2, 1013, 5},
    {1013, 3, 67},    {8, 48, 32},     {9, 49, 33},     {67, 67, 67},    {64, 192, 512}, {65, 193, 513},
    {3, 17, 1013},    {256, 192, 384}, {257, 384, 31},  {130, 50, 96},   {1, 768, 768},  {128, 128, 192},
    {300, 200, 1025}, {1013, 67, 131}, {17, 1013, 769}, {33, 100, 1537},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Between -1 and 1. Sizes are exact, so that a sanitizer sees reads beyond the end. */
static uint16_t *random_values(int64_t n, uint32_t seed) {
    uint16_t *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = float_to_bf16((float)next_random(&seed) * 0x1p-23f - 1);
    return x;
}

struct result {
    uint16_t *values;
    float *reals;
};

static struct result compute(int path, int transposed, const int64_t *shape, const uint16_t *a, const uint16_t *b,
                             int add) {
    int64_t m = shape[0], n = shape[1], k = shape[2];
    struct result r = {random_values(m * n, 7), malloc((size_t)(m * n) * sizeof *r.reals)};
    assert_non_null(r.reals);
    for (int64_t i = 0; i < m * n; i++) r.reals[i] = bf16_to_float(r.values[i]) * 1.001f;
    paths[path].values(transposed & 1, transposed >> 1, m, n, k, a, b, add, r.values);
    paths[path].reals(transposed & 1, transposed >> 1, m, n, k, a, b, add, r.reals);
    return r;
}

static void release(struct result r) {
    free(r.values);
    free(r.reals);
}

/* The sum in double, and how far one in float may be from it: each of up to 768 additions of a block, one
 * for each block and one for c are wrong by 2^-24 of what is added up so far, at most. */
static double exact(int transposed, const int64_t *shape, const uint16_t *a, const uint16_t *b, int64_t i, int64_t j,
                    double start, double *bound) {
    int64_t m = shape[0], n = shape[1], k = shape[2];
    double sum = start, size = fabs(start);
    for (int64_t l = 0; l < k; l++) {
        double term = (double)bf16_to_float(a[transposed & 1 ? l * m + i : i * k + l]) *
                      (double)bf16_to_float(b[transposed & 2 ? j * k + l : l * n + j]);
        sum += term;
        size += fabs(term);
    }
    *bound = size * 0x1p-24 * (double)((k < 768 ? k : 768) + k / 768 + 2);
    return sum;
}

static void check(int path, int transposed, const int64_t *shape, int add) {
    int64_t m = shape[0], n = shape[1], k = shape[2];
    uint16_t *a = random_values(m * k, 1), *b = random_values(k * n, 2), *start = random_values(m * n, 7);
    struct result r = compute(path, transposed, shape, a, b, add);
    for (int64_t e = 0; e < m * n; e++) {
        float value = bf16_to_float(start[e]);
        double bound, sum = exact(transposed, shape, a, b, e / n, e % n, add ? (double)value : 0, &bound);
        double real_sum = sum + (add ? (double)(value * 1.001f) - (double)value : 0);
        /* a bf16 has 8 bits: half a step is at most 2^-8 of the number */
        int good = fabs((double)r.reals[e] - real_sum) <= bound &&
                   fabs((double)bf16_to_float(r.values[e]) - sum) <= bound + (fabs(sum) + bound) * 0x1p-8;
        if (good && !add) good = r.values[e] == float_to_bf16(r.reals[e]); /* rounded once */
        if (!good)
            fail_msg("%s, transposed %d, %ld x %ld x %ld, add %d: element %ld is %.9g and %.9g, not %.9g and %.9g",
                     paths[path].name, transposed, (long)m, (long)n, (long)k, add, (long)e,
                     (double)bf16_to_float(r.values[e]), (double)r.reals[e], sum, real_sum);
    }
    release(r);
    free(a);
    free(b);
    free(start);
}

static void products_are_right(void **state) {
    (void)state;
    for (int path = 0; path < PATHS; path++)
        for (int s = 0; s < SHAPES; s++)
            for (int i = 0; i < 8; i++) check(path, i >> 1, shapes[s], i & 1);
}

/* Threads and processors change nothing. */
static void bits_are_of_shapes_alone(void **state) {
    (void)state;
    for (int s = 0; s < SHAPES; s++) {
        int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        uint16_t *a = random_values(m * k, 3), *b = random_values(k * n, 4);
        for (int i = 0; i < 8; i++) {
            struct result first = {NULL, NULL};
            for (int run = 0; run < 3 * PATHS; run++) {
                omp_set_num_threads(run % 3 + 1);
                struct result r = compute(run / 3, i >> 1, shapes[s], a, b, i & 1);
                if (run == 0) {
                    first = r;
                    continue;
                }
                if (memcmp(r.values, first.values, (size_t)(m * n) * sizeof *r.values) != 0 ||
                    memcmp(r.reals, first.reals, (size_t)(m * n) * sizeof *r.reals) != 0)
                    fail_msg("%s, %d threads, transposed %d, %ld x %ld x %ld, add %d: other bits", paths[run / 3].name,
                             run % 3 + 1, i >> 1, (long)m, (long)n, (long)k, i & 1);
                release(r);
            }
            release(first);
        }
        free(a);
        free(b);
    }
    omp_set_num_threads(2);
}

/* A row of a and a column of b that are not finite spoil theirs, and nothing beside them, in memory or in a tile. */
static void infinity_stays_where_it_is(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{3, 5, 3}, {17, 67, 33}, {70, 200, 515}};
    for (int s = 0; s < 3; s++) {
        int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2], row = m / 2, column = n / 2;
        for (int i = 0; i < 4 * PATHS; i++) {
            int transposed = i % 4;
            uint16_t *a = random_values(m * k, 5), *b = random_values(k * n, 6);
            for (int64_t l = 0; l < k; l++) {
                a[transposed & 1 ? l * m + row : row * k + l] = 0x7fc0;
                b[transposed & 2 ? column * k + l : l * n + column] = l ? 0 : 0x7f80;
            }
            struct result r = compute(i / 4, transposed, sizes[s], a, b, 0);
            for (int64_t e = 0; e < m * n; e++) {
                float value = bf16_to_float(r.values[e]);
                if (e / n == row)
                    assert_true(isnan(value) && isnan(r.reals[e]));
                else if (e % n == column)
                    assert_true(isinf(value) && isinf(r.reals[e]));
                else
                    assert_true(isfinite(value) && isfinite(r.reals[e]));
            }
            release(r);
            free(a);
            free(b);
        }
    }
}

/* Sums of 0 leave what was in c, down to the smallest number, though vdpbf16ps knows no denormals. */
static void nothing_is_added_exactly(void **state) {
    (void)state;
    enum { M = 9, N = 67, K = 5 };
    for (int path = 0; path < PATHS; path++) {
        uint16_t a[M * K] = {0}, *b = random_values(K * N, 8), c[M * N];
        for (int i = 0; i < M * N; i++)
            c[i] = (uint16_t)(i * 0x4321 & (i % 3 ? 0xff7f : 0x807f)); /* finite; a third denormal */
        uint16_t start[M * N];
        memcpy(start, c, sizeof c);
        paths[path].values(0, 0, M, N, K, a, b, 1, c);
        for (int i = 0; i < M * N; i++) assert_float_equal(bf16_to_float(c[i]), bf16_to_float(start[i]), 0);
        free(b);
    }
}

/* The value of a finite bf16 of that magnitude, from its fields; what follows the largest is 2^128. */
static double magnitude(uint32_t bits) {
    int exponent = (int)(bits >> 7), fraction = (int)(bits & 0x7f);
    return exponent ? ldexp(128 + fraction, exponent - 134) : ldexp(fraction, -133);
}

static void every_value_becomes_a_float_and_returns(void **state) {
    (void)state;
    for (uint32_t v = 0; v < 0x10000; v++) {
        float x = bf16_to_float((uint16_t)v);
        uint32_t size = v & 0x7fff;
        if (size > 0x7f80) {
            assert_true(isnan(x));
            assert_int_equal(float_to_bf16(x), v | 0x40);
            continue;
        }
        assert_true(size == 0x7f80 ? isinf(x) : fabs((double)x) == magnitude(size));
        assert_int_equal(signbit(x) != 0, v >> 15);
        assert_int_equal(float_to_bf16(x), v);
    }
}

/* Of the two neighbours of a float the nearer one, of two as near the even one. */
static uint32_t nearest(uint32_t bits) {
    uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff, low = size >> 16;
    if (size > 0x7f800000) return sign | low | 0x40;
    if (size == 0x7f800000) return sign | low;
    float x;
    memcpy(&x, &size, sizeof x);
    double below = (double)x - magnitude(low), above = magnitude(low + 1) - (double)x;
    return sign | (below < above || (below == above && low % 2 == 0) ? low : low + 1);
}

static void floats_are_rounded_to_the_nearest(void **state) {
    (void)state;
    enum { COUNT = 32 };
    static const uint32_t ends[] = {0, 1, 2, 0x3fff, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0x8002, 0xc000, 0xfffe, 0xffff};
    uint32_t seed = 1;
    for (uint32_t upper = 0; upper < 0x10000; upper++) {
        uint32_t bits[COUNT];
        float x[COUNT];
        uint16_t in_vectors[COUNT];
        for (size_t i = 0; i < COUNT; i++)
            bits[i] = upper << 16 | (i < sizeof ends / sizeof *ends ? ends[i] : next_random(&seed) & 0xffff);
        memcpy(x, bits, sizeof x);
#pragma omp simd
        for (int i = 0; i < COUNT; i++) in_vectors[i] = float_to_bf16(x[i]);
        for (int i = 0; i < COUNT; i++) {
            volatile float alone = x[i];
            assert_int_equal(in_vectors[i], nearest(bits[i]));
            assert_int_equal(float_to_bf16(alone), nearest(bits[i]));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_becomes_a_float_and_returns),
        cmocka_unit_test(floats_are_rounded_to_the_nearest),
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(bits_are_of_shapes_alone),
        cmocka_unit_test(infinity_stays_where_it_is),
        cmocka_unit_test(nothing_is_added_exactly),
    };
    return cmocka_run_group_tests_name("product_bf16", tests, NULL, NULL);
}
