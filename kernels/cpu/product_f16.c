/* Matrix products of fp16 values, for which processors here have no instruction: tiles are turned into floats and multiplied as such.
 * Correct and not fast; on GPUs fp16 is what tensor cores take. Tiles and blocks are fixed by shapes alone. */
#include <cblas.h>

#include "product.h"

enum { SIDE = 64, DEPTH = 256 };

struct product {
    int a_transposed, b_transposed;
    int64_t m, n, k;
    const value *a, *b;
};

/* to[rows, columns] = the block of `from` whose upper left corner is (row, column), where `from`, [height, width], is stored transposed if
 * `transposed`. */
static void load(const value *from, int transposed, int64_t height, int64_t width, int64_t row, int64_t column,
                 int64_t rows, int64_t columns, float *to) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            to[i * columns + j] =
                get(transposed ? from[(column + j) * height + row + i] : from[(row + i) * width + column + j]);
}

/* sum[rows, columns] += the product's tile at (row, column). */
static void tile(const struct product *p, int64_t row, int64_t column, int64_t rows, int64_t columns, float *sum) {
    float a[SIDE * DEPTH], b[DEPTH * SIDE];
    for (int64_t begin = 0; begin < p->k; begin += DEPTH) {
        int64_t depth = smaller(DEPTH, p->k - begin);
        load(p->a, p->a_transposed, p->m, p->k, row, begin, rows, depth, a);
        load(p->b, p->b_transposed, p->k, p->n, begin, column, depth, columns, b);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)columns, (int)depth, 1, a, (int)depth, b,
                    (int)columns, 1, sum, (int)columns);
    }
}

/* Either `values` or `reals` is the result. */
static void multiply(const struct product *p, int add, value *values, real *reals) {
    int64_t across = (p->n + SIDE - 1) / SIDE, tiles = (p->m + SIDE - 1) / SIDE * across;
    /* Always a parallel region, in which CBLAS takes one thread: divided by CBLAS, a product would be rounded in other ways. */
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tiles; t++) {
        int64_t row = t / across * SIDE, column = t % across * SIDE;
        int64_t rows = smaller(SIDE, p->m - row), columns = smaller(SIDE, p->n - column);
        float sum[SIDE * SIDE] = {0};
        tile(p, row, column, rows, columns, sum);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) {
                int64_t at = (row + i) * p->n + column + j;
                real total = sum[i * columns + j];
                if (reals)
                    reals[at] = add ? reals[at] + total : total;
                else
                    values[at] = put(add ? get(values[at]) + total : total);
            }
    }
}

void cpu_product_f16(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const value *a,
                     const value *b, int add, value *c) {
    const struct product p = {a_transposed, b_transposed, m, n, k, a, b};
    multiply(&p, add, c, NULL);
}

void cpu_product_f16_f32(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const value *a,
                         const value *b, int add, real *c) {
    const struct product p = {a_transposed, b_transposed, m, n, k, a, b};
    multiply(&p, add, NULL, c);
}
