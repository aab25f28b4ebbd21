/* What the CPU kernels share: the types `value` and `real`, the names of the kernels, and a few loops over a row.
 *
 * Activations, their gradients and the parameters that ops read are stored as `value`. Sums, statistics, gradients of parameters and
 * everything between a load and a store are `real`. Files of kernels/cpu are compiled four times: as they are both are float; with
 * -DKERNEL_DOUBLE both are double, for tests; with -DKERNEL_BF16 or -DKERNEL_F16 values are of that type and reals float. get() and put() convert; a value is
 * rounded once, when it is stored. op.def is the manual of each kernel.
 *
 * Bits never depend on the number of threads. Each sum is made by one thread, in an order that shapes alone fix. Loops
 * over elements are cut into blocks of a fixed size and blocks are dealt to threads, so that an element is always in
 * the vector part of its loop or always in the rest, which the compiler may round differently.
 *
 * Outputs may take the place of inputs (column `reuse` of op.def). Loops marked `omp simd` may do so: they read element
 * i before they write it, and touch no other. */
#ifndef CPU_REAL_H
#define CPU_REAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/kernel.h"
#if defined KERNEL_BF16
#include "bf16.h"
#elif defined KERNEL_F16
#include "f16.h"
#endif

#if defined KERNEL_DOUBLE
typedef double real;
typedef double value;
#define K(name)   cpu_##name##_f64
#define real_gemm cblas_dgemm
#define real_sqrt sqrt
#elif defined KERNEL_F16
typedef float real;
typedef uint16_t value;
#define K(name)   cpu_##name##_f16
#define real_gemm cblas_sgemm
#define real_sqrt sqrtf
#elif defined KERNEL_BF16
typedef float real;
typedef uint16_t value;
#define K(name)   cpu_##name##_bf16
#define real_gemm cblas_sgemm
#define real_sqrt sqrtf
#else
typedef float real;
typedef float value;
#define K(name)   cpu_##name##_f32
#define real_gemm cblas_sgemm
#define real_sqrt sqrtf
#endif

#if defined KERNEL_F16
static inline real get(value v) { return f16_to_float(v); }
static inline value put(real r) { return float_to_f16(r); }
#elif defined KERNEL_BF16
static inline real get(value v) { return bf16_to_float(v); }
static inline value put(real r) { return float_to_bf16(r); }
#else
static inline real get(value v) { return v; }
static inline value put(real r) { return r; }
#endif

#define OP(name, outs, ins, reuse, lane) void K(name)(const struct kernel_args *a);
#include "plan/op.def"
#undef OP

enum {
    BLOCK = 4096,      /* elements that a thread takes at a time in loops over elements */
    SMALL = 16384,     /* loops over fewer elements are not worth waking threads for */
    ROW_PART = 1024,   /* elements of a row that are added in `real`; such sums are then added in double */
    COLUMN_BLOCK = 64, /* columns that a thread takes at a time when rows are summed */
    ROW_GROUP = 64,    /* rows that are added up before their sum joins the total */
    DRAWS = 64,        /* dropout: elements that are drawn at a time */
};

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t elements(const struct view *view) {
    return view->dim[0] * view->dim[1] * view->dim[2] * view->dim[3];
}

/* e^x, to about 1 ulp. The float version is branch-free so that loops vectorize: x = n ln 2 + r with |r| <= ln 2 / 2,
 * e^r is a polynomial (fitted at Chebyshev nodes, relative error 1e-8), and 2^n is put together from its bits. Adding
 * `magic` rounds to an integer, which then stands in the low bits of the sum. Results below e^-86.5 are 0; NaN stays
 * NaN. */
#if defined KERNEL_DOUBLE
static inline double real_exp(double x) { return exp(x); }
#else
static inline float real_exp(float x) {
    const float magic = 0x1.8p23f, lowest = -86.5f, highest = 89.0f;
    float limited = x > highest ? highest : x;
    float shifted = limited * 1.44269504f + magic;
    float n = shifted - magic;
    float r = limited - n * 0x1.62e4p-1f - n * 0x1.7f7d1cp-20f;
    float tail = 0x1.6d12p-10f;
    tail = tail * r + 0x1.120c62p-7f;
    tail = tail * r + 0x1.555518p-5f;
    tail = tail * r + 0x1.5554dcp-3f;
    tail = tail * r + 0.5f;
    float power = (tail * r) * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 126) << 23; /* 2^(n - 1): n = 128 is needed and would not fit */
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    float result = (power + power) * scale;
    return x < lowest ? 0.0f : result;
}
#endif

/* The largest of row[0 .. n), NaN passed over. */
static inline real row_max(const value *row, int64_t n) {
    real top = -INFINITY;
#pragma omp simd reduction(max : top)
    for (int64_t i = 0; i < n; i++) top = get(row[i]) > top ? get(row[i]) : top;
    return top;
}

static inline real real_max(const real *row, int64_t n) {
    real top = -INFINITY;
#pragma omp simd reduction(max : top)
    for (int64_t i = 0; i < n; i++) top = row[i] > top ? row[i] : top;
    return top;
}

/* y = a + b. y may be a or b. */
static inline void add_row(const value *a, const value *b, int64_t n, value *y) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = put(get(a[i]) + get(b[i]));
}

/* The sum of x[i] * y[i]. */
static inline double row_dot(const value *x, const value *y, int64_t n) {
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += ROW_PART) {
        int64_t end = smaller(begin + ROW_PART, n);
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++) sum += get(x[i]) * get(y[i]);
        total += (double)sum;
    }
    return total;
}

/* row[i] = e^(row[i] - shift); returns their sum. */
static inline double row_exp(real *row, int64_t n, real shift) {
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += ROW_PART) {
        int64_t end = smaller(begin + ROW_PART, n);
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++) {
            row[i] = real_exp(row[i] - shift);
            sum += row[i];
        }
        total += (double)sum;
    }
    return total;
}

/* Softmax over row[0 .. live); row[live .. n) becomes 0. Returns the log of the sum of e^row. */
static inline real softmax_row(real *row, int64_t live, int64_t n) {
    real top = real_max(row, live);
    double sum = row_exp(row, live, top);
    real factor = (real)(1 / sum);
#pragma omp simd
    for (int64_t i = 0; i < live; i++) row[i] *= factor;
    memset(row + live, 0, (size_t)(n - live) * sizeof *row);
    return (real)((double)top + log(sum));
}

/* out[columns] = the sum of the rows of x[rows, columns], added to what is there if `add`. A thread owns a block of
 * columns and walks all rows in order. */
static inline void sum_rows(const value *x, int64_t rows, int64_t columns, int add, real *out) {
#pragma omp parallel for schedule(static) if (rows * columns >= SMALL)
    for (int64_t begin = 0; begin < columns; begin += COLUMN_BLOCK) {
        int64_t count = smaller(COLUMN_BLOCK, columns - begin);
        real total[COLUMN_BLOCK] = {0};
        for (int64_t group = 0; group < rows; group += ROW_GROUP) {
            int64_t group_end = smaller(group + ROW_GROUP, rows);
            real sum[COLUMN_BLOCK] = {0};
            for (int64_t row = group; row < group_end; row++) {
#pragma omp simd
                for (int64_t c = 0; c < count; c++) sum[c] += get(x[row * columns + begin + c]);
            }
            for (int64_t c = 0; c < count; c++) total[c] += sum[c];
        }
        for (int64_t c = 0; c < count; c++) out[begin + c] = add ? out[begin + c] + total[c] : total[c];
    }
}

/* The random draws of one dropout op: Philox blocks of four, counted from the op's first element. */
struct draws {
    uint32_t site, leaf, seed, step; /* leaf: which micro-batch of the step */
    uint32_t threshold;              /* an element is kept when the upper 24 bits of its word are not below it */
    real factor;                     /* what a kept element is multiplied by */
};

static inline struct draws draws_of(const struct kernel_args *a) {
    const struct op_attr *attr = a->attr;
    const struct step_block *step = a->step;
    uint32_t micro_batches = attr->micro_batches > 0 ? (uint32_t)attr->micro_batches : 1;
    return (struct draws){
        .site = attr->site,
        .leaf = step->slot * micro_batches + step->micro,
        .seed = step->seed,
        .step = step->step,
        /* philox_unit(word) >= rate, without rounding: word / 2^8 is an integer. */
        .threshold = (uint32_t)ceil(attr->rate * 16777216.0),
        .factor = (real)(1 / (1 - attr->rate)),
    };
}

/* keep[i] = factor if the element is kept, 0 if it is dropped, for the DRAWS elements from Philox block `first` on. */
static inline void draw(const struct draws *draws, uint64_t first, real keep[DRAWS]) {
    const struct draws d = *draws;
    uint32_t word[DRAWS];
#pragma omp simd
    for (int i = 0; i < DRAWS / 4; i++) {
        uint64_t block = first + (uint64_t)i;
        struct philox random = philox((uint32_t)block, (uint32_t)(block >> 32), d.site, d.leaf, d.seed, d.step);
        word[4 * i] = random.word[0];
        word[4 * i + 1] = random.word[1];
        word[4 * i + 2] = random.word[2];
        word[4 * i + 3] = random.word[3];
    }
#pragma omp simd
    for (int i = 0; i < DRAWS; i++) keep[i] = word[i] >> 8 >= d.threshold ? d.factor : 0;
}

#endif
