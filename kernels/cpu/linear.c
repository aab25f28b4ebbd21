/* Matrix products, by CBLAS. Its bits do not depend on the number of threads at the shapes in use; a test watches that. */
#include <cblas.h>

#include "real.h"

/* y[M] = w[M,K] x[K] + b[M]: a product that only reads w once, for generation. A library would first copy w into its own
 * layout, or divide sums among threads. */
static void matrix_vector(const real *x, const real *w, const real *b, int64_t outputs, int64_t inputs, real *y) {
#pragma omp parallel for schedule(static) if (outputs * inputs >= SMALL)
    for (int64_t i = 0; i < outputs; i++) y[i] = (real)(row_dot(x, w + i * inputs, inputs) + (b ? (double)b[i] : 0));
}

void K(linear)(const struct kernel_args *a) {
    const real *x = a->in[0].data, *w = a->in[1].data, *b = a->in[2].data;
    real *y = a->out[0].data;
    int64_t outputs = a->in[1].dim[0], inputs = a->in[1].dim[1], rows = elements(&a->in[0]) / inputs;
    if (rows == 1) {
        matrix_vector(x, w, b, outputs, inputs, y);
        return;
    }
    if (b) {
#pragma omp parallel for schedule(static) if (rows * outputs >= SMALL)
        for (int64_t row = 0; row < rows; row++) memcpy(y + row * outputs, b, (size_t)outputs * sizeof *y);
    }
    real_gemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)outputs, (int)inputs, 1, x, (int)inputs, w,
              (int)inputs, b ? 1 : 0, y, (int)outputs);
}

void K(linear_dx)(const struct kernel_args *a) {
    const real *dy = a->in[0].data, *w = a->in[1].data, *prev = a->in[2].data;
    real *dx = a->out[0].data;
    int64_t outputs = a->in[1].dim[0], inputs = a->in[1].dim[1], rows = elements(&a->in[0]) / outputs;
    if (prev && prev != dx) {
#pragma omp parallel for schedule(static) if (rows * inputs >= SMALL)
        for (int64_t row = 0; row < rows; row++)
            memcpy(dx + row * inputs, prev + row * inputs, (size_t)inputs * sizeof *dx);
    }
    real_gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)inputs, (int)outputs, 1, dy, (int)outputs, w,
              (int)inputs, prev ? 1 : 0, dx, (int)inputs);
}

void K(linear_dw)(const struct kernel_args *a) {
    const real *dy = a->in[0].data, *x = a->in[1].data;
    real *dw = a->out[0].data, *db = a->out[1].data;
    int64_t outputs = a->out[0].dim[0], inputs = a->out[0].dim[1], rows = elements(&a->in[1]) / inputs;
    real_gemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)outputs, (int)inputs, (int)rows, 1, dy, (int)outputs, x,
              (int)inputs, a->add & 1 ? 1 : 0, dw, (int)inputs);
    if (db) sum_rows(dy, rows, outputs, a->add >> 1 & 1, db);
}
