/* Cross-entropy of rows of logits, for the loss as an op of its own and for the head in chunks. The first `vocabulary` logits of a row count;
 * rows are `stride` apart. */
#ifndef CPU_XENT_H
#define CPU_XENT_H

#include "softcap.h"

/* log(sum of e^row), shifted by the largest element so that nothing overflows. NaN in, NaN out. */
static inline real log_sum_exp(const value *row, int64_t n) {
    real top = row_max(row, n);
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += ROW_PART) {
        int64_t end = smaller(begin + ROW_PART, n);
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++) sum += real_exp(get(row[i]) - top);
        total += (double)sum;
    }
    return (real)((double)top + log(total));
}

/* Adds to the loss what rows say of their targets, in order: loss[0] the sum, loss[1] how many there are. */
static inline void xent_add(const value *logits, const int32_t *targets, const real *lse, int64_t rows, int64_t stride,
                            double loss[2]) {
    for (int64_t row = 0; row < rows; row++) {
        if (targets[row] < 0) continue;
        loss[0] += (double)lse[row] - (double)get(logits[row * stride + targets[row]]);
        loss[1]++;
    }
}

/* Sets lse of `rows` rows, and adds to the loss what they say of their targets. */
static inline void xent_rows(const value *logits, const int32_t *targets, int64_t rows, int64_t vocabulary,
                             int64_t stride, real *lse, double loss[2]) {
#pragma omp parallel for schedule(static) if (rows * vocabulary >= SMALL)
    for (int64_t row = 0; row < rows; row++) lse[row] = log_sum_exp(logits + row * stride, vocabulary);
    xent_add(logits, targets, lse, rows, stride, loss);
}

/* From the sum over targets to their mean. */
static inline void xent_mean(double loss[2]) { loss[0] = loss[1] > 0 ? loss[0] / loss[1] : 0; }

/* grad = (softmax - onehot) * factor, through a soft cap at 1 / inverse where inverse is not 0; 0 where the target is left out. grad may be
 * logits. */
static inline void xent_rows_grad(const value *logits, const int32_t *targets, const real *lse, int64_t rows,
                                  int64_t vocabulary, int64_t stride, real factor, real inverse, value *grad) {
#pragma omp parallel for schedule(static) if (rows * vocabulary >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *from = logits + row * stride;
        value *to = grad + row * stride;
        real shift = lse[row];
        int64_t live = targets[row] < 0 ? 0 : vocabulary;
        real target = live ? get(from[targets[row]]) : 0;
        memset(to + live, 0, (size_t)(stride - live) * sizeof *to);
        if (!live) continue;
#pragma omp simd
        for (int64_t i = 0; i < vocabulary; i++) {
            real logit = get(from[i]);
            to[i] = put(real_exp(logit - shift) * factor * capped_slope(logit * inverse));
        }
        to[targets[row]] = put((real_exp(target - shift) * factor - factor) * capped_slope(target * inverse));
    }
}

/* p = softmax of rows that are `stride` apart there too, 0 behind the vocabulary, and lse as xent_rows() sets it. */
static inline void softmax_rows(const value *logits, int64_t rows, int64_t vocabulary, int64_t stride, real *p,
                                real *lse) {
#pragma omp parallel for schedule(static) if (rows * vocabulary >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *from = logits + row * stride;
        real *to = p + row * stride, shift = lse[row] = log_sum_exp(from, vocabulary);
#pragma omp simd
        for (int64_t i = 0; i < vocabulary; i++) to[i] = real_exp(get(from[i]) - shift);
        memset(to + vocabulary, 0, (size_t)(stride - vocabulary) * sizeof *to);
    }
}

/* What xent_rows_grad() makes without a soft cap, from probabilities. grad may be p where values are reals. */
static inline void softmax_rows_grad(const real *p, const int32_t *targets, int64_t rows, int64_t vocabulary,
                                     int64_t stride, real factor, value *grad) {
#pragma omp parallel for schedule(static) if (rows * vocabulary >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const real *from = p + row * stride;
        value *to = grad + row * stride;
        int64_t live = targets[row] < 0 ? 0 : vocabulary;
        real target = live ? from[targets[row]] : 0;
        memset(to + live, 0, (size_t)(stride - live) * sizeof *to);
        if (!live) continue;
#pragma omp simd
        for (int64_t i = 0; i < vocabulary; i++) to[i] = put(from[i] * factor);
        to[targets[row]] = put(target * factor - factor);
    }
}

#endif
