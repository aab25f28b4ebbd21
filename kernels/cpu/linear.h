/* What `linear` and the ops that are fused with it share. */
#ifndef CPU_LINEAR_H
#define CPU_LINEAR_H

#include "product.h"
#include "tiles.h"

/* y[M] = w[M,K] x[K] + b[M], for generation: reads w once, where a product would first copy it. */
static inline void matrix_vector(const value *x, const value *w, const value *b, int64_t outputs, int64_t inputs,
                                 value *y) {
#pragma omp parallel for schedule(static) if (outputs * inputs >= SMALL)
    for (int64_t i = 0; i < outputs; i++)
        y[i] = put((real)(row_dot(x, w + i * inputs, inputs) + (b ? (double)get(b[i]) : 0)));
}

/* For tile_work.before, whose context begins with the bias: what the product is added to. */
static inline void begin_with_bias(const void *context, const struct tile *tile, void *c, int64_t stride) {
    const value *bias = *(const value *const *)context;
    value *to = c;
    for (int64_t row = 0; row < tile->height; row++, to += stride)
        memcpy(to, bias + tile->column, (size_t)tile->width * sizeof *to);
}

/* y = x w^T + b of an op that begins with the operands of `linear`, and the work on its tiles, whose context must begin with b. */
static inline void linear_with(const struct kernel_args *a, value *y, struct tile_work work) {
    const value *x = a->in[0].data, *w = a->in[1].data, *b = a->in[2].data;
    int64_t outputs = a->in[1].dim[0], inputs = a->in[1].dim[1], rows = elements(&a->in[0]) / inputs;
    if (rows == 1) {
        matrix_vector(x, w, b, outputs, inputs, y);
        work_after(&work, 1, outputs, y);
        return;
    }
    if (b) work.before = begin_with_bias;
    value_product_with(0, 1, rows, outputs, inputs, x, w, 0, y, &work);
}

#endif
