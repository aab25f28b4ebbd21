/* Matrix products. The result is cut into tiles in a way that shapes alone fix; a tile is the work of one thread.
 *
 * A tile is computed in blocks of the inner dimension. A block of b is packed into slivers, SLIVER columns wide and
 * contiguous in the order in which they are read; it stays in the L2 cache while all rows of the tile pass over it,
 * ROWS at a time. Rows of a are read where they lie, which makes narrow tiles as fast as wide ones; columns of a
 * transposed one are packed into strips first. A sum runs over its block in one chain of multiply-adds wherever in a
 * tile it stands, and blocks are added in order.
 *
 * Packing waits for memory while nothing is computed. So the innermost loop requests, a cache line a step, what will
 * be packed next.
 *
 * Builds for processors that may lack vector multiply-adds, and builds without optimization, leave tiles to CBLAS, each
 * in one call from inside a parallel region, where an OpenBLAS built for OpenMP uses one thread: divided by OpenBLAS, a
 * product would be rounded differently for each number of threads. */
#include <cblas.h>
#include <omp.h>

#include "product.h"
#include "rows_product.h"
#include "tiles.h"

enum {
    TILE_WIDTH = 192, /* at most: a multiple of SLIVER, and a block of b fits the cache beside what passes by */
    FEW = 8,          /* a product with a shorter side would leave vectors half empty: CBLAS knows what to do */
};

struct product {
    int a_transposed, b_transposed, add;
    int64_t m, n, k;
    const real *a, *b;
    real *c;
    int64_t a_stride, b_stride; /* of rows as they are stored */
    int64_t depth;              /* of blocks of the inner dimension */
    struct tile kept;           /* the part of the result that is at c; its rows are c_stride apart */
    int64_t c_stride;
};

static const real *a_at(const struct product *p, int64_t row, int64_t k) {
    return p->a + (p->a_transposed ? k * p->a_stride + row : row * p->a_stride + k);
}

static const real *b_at(const struct product *p, int64_t k, int64_t column) {
    return p->b + (p->b_transposed ? column * p->b_stride + k : k * p->b_stride + column);
}

static real *c_at(const struct product *p, int64_t row, int64_t column) {
    return p->c + (row - p->kept.row) * p->c_stride + column - p->kept.column;
}

static void leave_to_cblas(const struct product *p, const struct tile *t) {
    real_gemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans, p->b_transposed ? CblasTrans : CblasNoTrans,
              (int)t->height, (int)t->width, (int)p->k, 1, a_at(p, t->row, 0), (int)p->a_stride, b_at(p, 0, t->column),
              (int)p->b_stride, p->add, c_at(p, t->row, t->column), (int)p->c_stride);
}

#if defined __OPTIMIZE__ && (defined __AVX512F__ || (defined __AVX2__ && defined __FMA__) || defined __ARM_FEATURE_FMA)

/* ROWS * VECTORS sums, VECTORS vectors of b and an element of a fill the vector registers. */
#if defined __AVX512F__
enum { VECTOR_BYTES = 64, ROWS = 8 };
#elif defined __AVX2__
enum { VECTOR_BYTES = 32, ROWS = 4 };
#else
enum { VECTOR_BYTES = 16, ROWS = 8 };
#endif

typedef real vector __attribute__((vector_size(VECTOR_BYTES)));
typedef real anywhere __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

#ifdef KERNEL_DOUBLE
typedef int64_t lane_index __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int32_t lane_index __attribute__((vector_size(VECTOR_BYTES)));
#endif

#define IN_TILES 1

enum {
    LANES = VECTOR_BYTES / sizeof(real),
    VECTORS = 3,
    SLIVER = VECTORS * LANES,
    DEPTH = 256,                     /* of a block, at most */
    LINE = 64 / sizeof(real),        /* elements that one request brings */
    GROUP = 64,                      /* columns of a transposed a that are packed at a time */
    STRIP = DEPTH * ROWS + 2 * LINE, /* no power of two: strips would share places in the cache */

    AHEAD = 8, /* rows of b that are requested before they are packed */
};

#define UNROLL       _Pragma("GCC unroll 16")
#define FORCE_INLINE static inline __attribute__((always_inline))

/* ROWS rows of a against one sliver of b. */
struct piece {
    const real *row[ROWS]; /* of a, or of a strip of it; those beyond `rows` repeat the last */
    const real *b;
    real *c;
    int64_t depth, stride; /* stride: of c */
    int rows, columns, add;
    const real *ahead; /* what is requested: a line a step, ahead_step elements apart */
    int64_t ahead_step;
};

static void store_part(const struct piece *p, vector sum[ROWS][VECTORS]) {
    for (int r = 0; r < p->rows; r++) {
        real *c = p->c + r * p->stride, number[SLIVER];
        memcpy(number, sum[r], sizeof number);
        for (int i = 0; i < p->columns; i++) c[i] = p->add ? c[i] + number[i] : number[i];
    }
}

/* vectors: of the sliver's columns, as many as matter; step: from one element of a row of a to the next. */
FORCE_INLINE void multiply(const struct piece *p, int vectors, int64_t step) {
    const real *row[ROWS], *b = p->b, *ahead = p->ahead;
    int64_t depth = p->depth, ahead_step = p->ahead_step, stride = p->stride;
    vector sum[ROWS][VECTORS];
    UNROLL for (int r = 0; r < ROWS; r++) {
        row[r] = p->row[r];
        UNROLL for (int v = 0; v < vectors; v++) {
            sum[r][v] = (vector){0};
            if (r < p->rows) __builtin_prefetch(p->c + r * stride + v * LANES, 1);
        }
    }
    for (int64_t k = 0; k < depth; k++) {
        vector x[VECTORS];
        __builtin_prefetch(ahead, 0, 2);
        ahead += ahead_step;
        UNROLL for (int v = 0; v < vectors; v++) x[v] = *(const vector *)(b + v * LANES);
        UNROLL for (int r = 0; r < ROWS; r++) {
            real y = row[r][k * step];
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] += x[v] * y;
        }
        b += SLIVER;
    }
    if (p->rows < ROWS || p->columns < vectors * LANES) {
        vector copy[ROWS][VECTORS];
        UNROLL for (int r = 0; r < ROWS; r++) { UNROLL for (int v = 0; v < vectors; v++) copy[r][v] = sum[r][v]; }
        store_part(p, copy);
        return;
    }
    UNROLL for (int r = 0; r < ROWS; r++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            anywhere *c = (anywhere *)(p->c + r * stride + v * LANES);
            if (p->add) sum[r][v] += *c;
            *c = sum[r][v];
        }
    }
}

static void multiply_piece(const struct piece *p, int strip) {
    int vectors = (p->columns + LANES - 1) / LANES;
    if (strip) {
        if (vectors == 1) multiply(p, 1, ROWS);
        if (vectors == 2) multiply(p, 2, ROWS);
        if (vectors == 3) multiply(p, 3, ROWS);
    } else {
        if (vectors == 1) multiply(p, 1, 1);
        if (vectors == 2) multiply(p, 2, 1);
        if (vectors == 3) multiply(p, 3, 1);
    }
}

/* low: x[0], y[0], x[1], y[1] and so on; high: the same of the upper halves. */
#ifdef __clang__
FORCE_INLINE void zip(vector x, vector y, vector *low, vector *high) {
    for (int i = 0; i < LANES; i++) {
        (*low)[i] = i % 2 ? y[i / 2] : x[i / 2];
        (*high)[i] = i % 2 ? y[(LANES + i) / 2] : x[(LANES + i) / 2];
    }
}
#else
FORCE_INLINE void zip(vector x, vector y, vector *low, vector *high) {
    lane_index first, second;
    UNROLL for (int i = 0; i < LANES; i++) {
        first[i] = i / 2 + i % 2 * LANES;
        second[i] = first[i] + LANES / 2;
    }
    *low = __builtin_shuffle(x, y, first);
    *high = __builtin_shuffle(x, y, second);
}
#endif

/* The transpose of LANES vectors: each round puts the halves together like the teeth of a zip. */
FORCE_INLINE void transpose(vector x[LANES]) {
    UNROLL for (int round = 1; round < LANES; round *= 2) {
        vector y[LANES];
        UNROLL for (int i = 0; i < LANES / 2; i++) zip(x[i], x[i + LANES / 2], &y[2 * i], &y[2 * i + 1]);
        UNROLL for (int i = 0; i < LANES; i++) x[i] = y[i];
    }
}

/* Packs b[k, column ..] of a tile for `depth` steps: slivers of [depth][SLIVER]. Columns beyond the tile hold what
 * follows in memory, or zeros where b ends. */
static void pack(const struct product *p, const struct tile *t, int64_t k, int64_t depth, real *to) {
    for (int64_t i = 0; i < depth; i++, to += SLIVER) {
        const real *from = b_at(p, k + i, t->column);
        int64_t left = (p->k - 1 - k - i) * p->b_stride + p->n - t->column; /* to where b ends */
        for (int64_t j = 0; j < t->width; j += LINE) __builtin_prefetch(from + AHEAD * p->b_stride + j);
        for (int64_t j = 0; j < t->width; j += SLIVER) {
            real *part = to + j * depth;
            if (j + SLIVER > left) {
                for (int64_t c = 0; c < SLIVER; c++) part[c] = j + c < left ? from[j + c] : 0;
                continue;
            }
            UNROLL for (int v = 0; v < SLIVER; v += LANES) * (vector *)(part + v) = *(const anywhere *)(from + j + v);
        }
    }
}

/* The same of a transposed b; columns beyond the tile are zeros. */
static void pack_transposed(const struct product *p, const struct tile *t, int64_t k, int64_t depth, real *to) {
    int64_t stride = p->b_stride;
    for (int64_t j = 0; j < t->width; j += LANES) {
        const real *from = b_at(p, k, t->column + j);
        real *part = to + j / SLIVER * SLIVER * depth + j % SLIVER;
        int64_t columns = smaller(LANES, t->width - j), i = 0;
        for (; columns == LANES && i + LANES <= depth; i += LANES) {
            vector x[LANES];
            UNROLL for (int l = 0; l < LANES; l++) x[l] = *(const anywhere *)(from + l * stride + i);
            transpose(x);
            UNROLL for (int l = 0; l < LANES; l++) * (vector *)(part + (i + l) * SLIVER) = x[l];
        }
        for (; i < depth; i++) {
            for (int l = 0; l < LANES; l++) part[i * SLIVER + l] = l < columns ? from[l * stride + i] : 0;
        }
    }
}

/* Packs `rows` columns of a transposed a, from (k, row) on, into strips of [depth][ROWS]. */
static void pack_strips(const struct product *p, int64_t row, int64_t k, int64_t rows, int64_t depth, real *to) {
    for (int64_t i = 0; i < depth; i++, to += ROWS) {
        const real *from = a_at(p, row, k + i);
        int64_t r = 0;
        for (; r + ROWS <= rows; r += ROWS) memcpy(to + r / ROWS * STRIP, from + r, ROWS * sizeof *to);
        for (real *last = to + r / ROWS * STRIP; r < rows; r++) *last++ = from[r];
    }
}

/* Sets what the piece requests. It is the call-th piece of the strips at `group`, in the block that begins at k. The
 * first pieces of a block request the block of b that is packed next, perhaps that of the next tile; after them, and
 * first in later groups, pieces request the next columns of a transposed a. Rows of a transposed b and of a plain a are
 * long enough for the processor to read ahead by itself. */
static void look_ahead(const struct product *p, const struct tile *t, const struct tile *next, int64_t k, int64_t group,
                       int64_t call, struct piece *piece) {
    int64_t lines = p->b_transposed ? 0 : (t->width + LINE - 1) / LINE, next_k = k + p->depth;
    const struct tile *then = t;
    if (next_k >= p->k) {
        next_k = 0;
        then = next;
    }
    piece->ahead = piece->b;
    piece->ahead_step = 0;
    if (group == 0 && call < lines) {
        piece->ahead = b_at(p, next_k, then->column) + call * LINE;
        piece->ahead_step = p->b_stride;
        return;
    }
    if (group == 0) call -= lines;
    if (!p->a_transposed || call >= GROUP / LINE) return;
    group += GROUP;
    piece->ahead = (group < t->height ? a_at(p, t->row + group, k) : a_at(p, then->row, next_k)) + call * LINE;
    piece->ahead_step = p->a_stride;
}

/* Rows [group, group + GROUP) of the tile, or fewer, in the block that begins at k. */
static void multiply_group(const struct product *p, const struct tile *t, const struct tile *next, int64_t k,
                           int64_t group, const real *slivers) {
    int64_t depth = smaller(p->depth, p->k - k), rows = smaller(GROUP, t->height - group), call = 0;
    real strips[GROUP / ROWS * STRIP] __attribute__((aligned(64)));
    if (p->a_transposed) pack_strips(p, t->row + group, k, rows, depth, strips);
    for (int64_t row = 0; row < rows; row += ROWS) {
        struct piece piece = {
            .depth = depth,
            .stride = p->c_stride,
            .rows = (int)smaller(ROWS, rows - row),
            .add = p->add || k > 0,
        };
        for (int i = 0; i < ROWS; i++) {
            int64_t r = smaller(i, piece.rows - 1);
            piece.row[i] = p->a_transposed ? strips + row / ROWS * STRIP + r : a_at(p, t->row + group + row + r, k);
        }
        for (int64_t column = 0; column < t->width; column += SLIVER) {
            piece.b = slivers + column * depth;
            piece.c = c_at(p, t->row + group + row, t->column + column);
            piece.columns = (int)smaller(SLIVER, t->width - column);
            look_ahead(p, t, next, k, group, call++, &piece);
            multiply_piece(&piece, p->a_transposed);
        }
    }
}

/* next: the tile that this thread is likely to take after it. */
static void compute(const struct product *p, const struct tile *t, const struct tile *next) {
    real slivers[DEPTH * TILE_WIDTH] __attribute__((aligned(64)));
    for (int64_t k = 0; k < p->k; k += p->depth) {
        int64_t depth = smaller(p->depth, p->k - k);
        if (p->b_transposed)
            pack_transposed(p, t, k, depth, slivers);
        else
            pack(p, t, k, depth, slivers);
        for (int64_t group = 0; group < t->height; group += GROUP) multiply_group(p, t, next, k, group, slivers);
    }
}

#else

#define IN_TILES 0

enum { DEPTH = 256 };

static void compute(const struct product *p, const struct tile *t, const struct tile *next) {
    (void)next;
    leave_to_cblas(p, t);
}

#endif

/* One tile and all that is done to it, in p->c. */
static void take_tile(const struct product *p, const struct tiling *tiling, int64_t index, int few,
                      const struct tile_work *work) {
    int64_t later = smaller(index + omp_get_num_threads(), tiling_count(tiling) - 1);
    const struct tile tile = tile_at(tiling, index), next = tile_at(tiling, later);
    for (int half = 0; half <= (work->twin > 0); half++) {
        struct tile part = tile, then = next;
        part.column += half * work->twin;
        if (work->twin && !half) {
            then = part;
            then.column += work->twin;
        }
        if (work->before) work->before(work->context, &part, c_at(p, part.row, part.column), p->c_stride);
        if (few)
            leave_to_cblas(p, &part);
        else
            compute(p, &part, &then);
    }
    if (work->after) work->after(work->context, &tile, c_at(p, tile.row, tile.column), p->c_stride);
}

/* The same in memory of the thread's. A function of its own: in one frame with the blocks of b this memory costs all products 2.5%. */
static __attribute__((noinline)) void take_tile_apart(const struct product *whole, const struct tiling *tiling,
                                                      int64_t index, int few, const struct tile_work *work) {
    real own[TILE_HEIGHT * TILE_WIDTH] __attribute__((aligned(64)));
    struct product p = *whole;
    p.c = own;
    p.c_stride = TILE_WIDTH;
    p.kept = tile_at(tiling, index);
    take_tile(&p, tiling, index, few, work);
}

void K(product_with)(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const real *a, const real *b,
                     int add, real *c, const struct tile_work *work) {
    struct product p = {
        .a_transposed = a_transposed,
        .b_transposed = b_transposed,
        .add = add || work->before,
        .m = m,
        .n = n,
        .k = k,
        .a = a,
        .b = b,
        .c = c,
        .a_stride = a_transposed ? m : k,
        .b_stride = b_transposed ? k : n,
        .c_stride = n,
    };
    int few = smaller(smaller(m, n), k) < FEW;
    int64_t step = tile_step(work->grain);
    if ((work->twin || work->grain) && (!IN_TILES || few || step > TILE_WIDTH)) {
        /* CBLAS may round a tile of another shape in another way, so that the cut must be that of the product alone. */
        const struct tile_work first = {.before = work->before, .context = work->context};
        K(product_with)(a_transposed, b_transposed, m, n, k, a, b, add, c, &first);
        work_after(work, m, n, c);
        return;
    }
    const struct tiling tiling = tiling_of(m, n - work->twin, k, a_transposed, step, TILE_WIDTH, DEPTH);
    p.depth = tiling.depth;
    int64_t tiles = tiling_count(&tiling);
#pragma omp parallel for schedule(dynamic) if (m * n * k >= ALONE)
    for (int64_t i = 0; i < tiles; i++)
        if (work->apart)
            take_tile_apart(&p, &tiling, i, few, work);
        else
            take_tile(&p, &tiling, i, few, work);
}

void K(rows_product)(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, struct rows a, struct rows b,
                     int add, struct rows c) {
    const struct product p = {
        .a_transposed = a_transposed,
        .b_transposed = b_transposed,
        .add = add,
        .m = m,
        .n = n,
        .k = k,
        .a = a.at,
        .b = b.at,
        .c = c.at,
        .a_stride = a.stride,
        .b_stride = b.stride,
        .c_stride = c.stride,
        .depth = tile_side(k, divide_up(k, DEPTH), TILE_STEP),
    };
    int few = smaller(smaller(m, n), k) < FEW;
    for (int64_t column = 0; column < n; column += TILE_WIDTH) {
        const struct tile tile = {0, column, m, smaller(TILE_WIDTH, n - column)};
        if (few)
            leave_to_cblas(&p, &tile);
        else
            compute(&p, &tile, &tile);
    }
}

void K(product)(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const real *a, const real *b,
                int add, real *c) {
    const struct tile_work none = {0};
    K(product_with)(a_transposed, b_transposed, m, n, k, a, b, add, c, &none);
}
