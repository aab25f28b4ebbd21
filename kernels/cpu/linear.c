/* Matrix products, by CBLAS.
 *
 * A library that divides a product among threads may round differently for each number of them. OpenBLAS does: its
 * AVX2 kernels nearly always, its AVX-512 kernels when the inner dimension is above 320 and no multiple of 32. So the
 * result is cut into tiles here, in a way that shapes alone fix, and each tile is one call from inside a parallel
 * region, where an OpenBLAS built for OpenMP uses one thread. */
#include <cblas.h>

#include "real.h"

enum {
    TILE = 256,          /* sides of a tile at most: larger ones gain little, as the library blocks for the caches */
    TILE_MIN = 64,       /* and at least: smaller ones spend their time on copying operands */
    TILE_MIN_WIDTH = 96, /* cutting rows copies the second operand, the weights, once more: columns go first */
    TILES = 8,           /* the count that is wanted, and below twice that a multiple of 4: threads get equal shares */
    TILE_STEP = 16,      /* sides are multiples of it: whole vectors */
    ALONE = 32768,       /* products of fewer multiplications take one thread, here and in the library */
};

/* The number of tiles along rows and columns of an [m, n] result. */
static void cut(int64_t m, int64_t n, int64_t *row_tiles, int64_t *column_tiles) {
    int64_t r = (m + TILE - 1) / TILE, c = (n + TILE - 1) / TILE;
    while (r * c < TILES || (r * c < 2 * TILES && r * c % 4 != 0)) {
        int64_t height = m / (r + 1), width = n / (c + 1);
        if (height < TILE_MIN && width < TILE_MIN) break;
        if (width >= TILE_MIN_WIDTH || width > height)
            c++;
        else
            r++;
    }
    *row_tiles = r;
    *column_tiles = c;
}

static int64_t tile_side(int64_t n, int64_t tiles) {
    int64_t side = (n + tiles - 1) / tiles;
    return (side + TILE_STEP - 1) / TILE_STEP * TILE_STEP;
}

/* c[m,n] = a b, or c + a b if `add`. a is [m,k], or [k,m] if a_transposed; b is [k,n], or [n,k] if b_transposed. */
static void product(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const real *a, const real *b,
                    int add, real *c) {
    int64_t row_tiles, column_tiles;
    cut(m, n, &row_tiles, &column_tiles);
    int64_t height = tile_side(m, row_tiles), width = tile_side(n, column_tiles);
    int64_t a_stride = a_transposed ? m : k, b_stride = b_transposed ? k : n;
#pragma omp parallel for collapse(2) schedule(dynamic) if (m * n * k >= ALONE)
    for (int64_t column = 0; column < n; column += width) {
        for (int64_t row = 0; row < m; row += height)
            real_gemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans, b_transposed ? CblasTrans : CblasNoTrans,
                      (int)smaller(height, m - row), (int)smaller(width, n - column), (int)k, 1,
                      a + row * (a_transposed ? 1 : k), (int)a_stride, b + column * (b_transposed ? k : 1),
                      (int)b_stride, add, c + row * n + column, (int)n);
    }
}

/* y[M] = w[M,K] x[K] + b[M], for generation: reads w once, where a product would first copy it. */
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
    product(0, 1, rows, outputs, inputs, x, w, b != NULL, y);
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
    product(0, 0, rows, inputs, outputs, dy, w, prev != NULL, dx);
}

void K(linear_dw)(const struct kernel_args *a) {
    const real *dy = a->in[0].data, *x = a->in[1].data;
    real *dw = a->out[0].data, *db = a->out[1].data;
    int64_t outputs = a->out[0].dim[0], inputs = a->out[0].dim[1], rows = elements(&a->in[1]) / inputs;
    product(1, 0, outputs, inputs, rows, dy, x, a->add & 1, dw);
    if (db) sum_rows(dy, rows, outputs, a->add >> 1 & 1, db);
}
