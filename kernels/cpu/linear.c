/* Affine maps and their gradients. */
#include "product.h"

/* y[M] = w[M,K] x[K] + b[M], for generation: reads w once, where a product would first copy it. */
static void matrix_vector(const value *x, const value *w, const value *b, int64_t outputs, int64_t inputs, value *y) {
#pragma omp parallel for schedule(static) if (outputs * inputs >= SMALL)
    for (int64_t i = 0; i < outputs; i++)
        y[i] = put((real)(row_dot(x, w + i * inputs, inputs) + (b ? (double)get(b[i]) : 0)));
}

void K(linear)(const struct kernel_args *a) {
    const value *x = a->in[0].data, *w = a->in[1].data, *b = a->in[2].data;
    value *y = a->out[0].data;
    int64_t outputs = a->in[1].dim[0], inputs = a->in[1].dim[1], rows = elements(&a->in[0]) / inputs;
    if (rows == 1) {
        matrix_vector(x, w, b, outputs, inputs, y);
        return;
    }
    if (b) {
#pragma omp parallel for schedule(static) if (rows * outputs >= SMALL)
        for (int64_t row = 0; row < rows; row++) memcpy(y + row * outputs, b, (size_t)outputs * sizeof *y);
    }
    value_product(0, 1, rows, outputs, inputs, x, w, b != NULL, y);
}

void K(linear_dx)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *w = a->in[1].data, *prev = a->in[2].data;
    value *dx = a->out[0].data;
    int64_t outputs = a->in[1].dim[0], inputs = a->in[1].dim[1], rows = elements(&a->in[0]) / outputs;
    if (prev && prev != dx) {
#pragma omp parallel for schedule(static) if (rows * inputs >= SMALL)
        for (int64_t row = 0; row < rows; row++)
            memcpy(dx + row * inputs, prev + row * inputs, (size_t)inputs * sizeof *dx);
    }
    value_product(0, 0, rows, inputs, outputs, dy, w, prev != NULL, dx);
}

void K(linear_dw)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *x = a->in[1].data;
    real *dw = a->out[0].data, *db = a->out[1].data;
    int64_t outputs = a->out[0].dim[0], inputs = a->out[0].dim[1], rows = elements(&a->in[1]) / inputs;
    real_product(1, 0, outputs, inputs, rows, dy, x, a->add & 1, dw);
    if (db) sum_rows(dy, rows, outputs, a->add >> 1 & 1, db);
}
