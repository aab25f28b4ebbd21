/* Matrix products of fp16 values, for which processors here have no instruction: tiles are turned into floats and multiplied as such.
 * Correct and not fast; on GPUs fp16 is what tensor cores take. Tiles and blocks are fixed by shapes alone. */
#include <cblas.h>

#include "product.h"
#include "tiles.h"

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

/* Either `values` or `reals` is the result, unless the work is apart. Twins and grains are for products that tiles of this size would slow
 * down: here they are done at the end. */
static void multiply(const struct product *p, int add, value *values, real *reals, const struct tile_work *work) {
    int64_t across = (p->n + SIDE - 1) / SIDE, tiles = (p->m + SIDE - 1) / SIDE * across;
    int at_end = work->twin || work->grain;
    /* Always a parallel region, in which CBLAS takes one thread: divided by CBLAS, a product would be rounded in other ways. */
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tiles; t++) {
        int64_t row = t / across * SIDE, column = t % across * SIDE;
        const struct tile part = {row, column, smaller(SIDE, p->m - row), smaller(SIDE, p->n - column)};
        float sum[SIDE * SIDE] = {0};
        value own[SIDE * SIDE], *c = reals || work->apart ? own : values + row * p->n + column;
        int64_t stride = work->apart ? SIDE : p->n;
        if (work->before) work->before(work->context, &part, c, stride);
        tile(p, row, column, part.height, part.width, sum);
        for (int64_t i = 0; i < part.height; i++)
            for (int64_t j = 0; j < part.width; j++) {
                real total = sum[i * part.width + j];
                if (reals) {
                    real *to = reals + (row + i) * p->n + column + j;
                    *to = add ? *to + total : total;
                } else {
                    c[i * stride + j] = put(add || work->before ? get(c[i * stride + j]) + total : total);
                }
            }
        if (work->after && !at_end) work->after(work->context, &part, c, stride);
    }
    if (at_end) work_after(work, p->m, p->n, values);
}

static const struct tile_work no_work;

void cpu_product_f16_with(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const value *a,
                          const value *b, int add, value *c, const struct tile_work *work) {
    const struct product p = {a_transposed, b_transposed, m, n, k, a, b};
    multiply(&p, add, c, NULL, work);
}

void cpu_product_f16(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const value *a,
                     const value *b, int add, value *c) {
    cpu_product_f16_with(a_transposed, b_transposed, m, n, k, a, b, add, c, &no_work);
}

void cpu_product_f16_f32(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const value *a,
                         const value *b, int add, real *c) {
    const struct product p = {a_transposed, b_transposed, m, n, k, a, b};
    multiply(&p, add, NULL, c, &no_work);
}
