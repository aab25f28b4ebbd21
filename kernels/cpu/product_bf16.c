/* Matrix products of bf16, the sibling of product.c: the same tiles, blocks, slivers and strips, of pairs.
 *
 * A pair is two neighbours along the inner dimension in 32 bits, the first in the lower half. Processors with
 * AVX512-BF16 multiply vectors of pairs in one instruction, twice as fast as floats. For others pairs become floats as
 * they are packed, and products take about as long as those of product.c.
 *
 * An element of the result is, in a block, one chain of multiply-adds in float that takes the second of each pair before
 * the first, as vdpbf16ps does on a Zen 4 (measured: two multiply-adds that round to nearest even). An odd inner
 * dimension is made even by zeros. Blocks are added in order, then what was in c; a bf16 is rounded last. Products of two
 * bf16 fit a float, so that all processors with that order find the same bits, except that vdpbf16ps takes denormals
 * (below 1.2e-38) for 0, and makes 0 of them, when other instructions keep them. */
#include <omp.h>
#if defined __AVX512BF16__ && defined __AVX512DQ__ && !defined PRODUCT_BF16_PORTABLE
#define PAIRS_INSTRUCTION
#include <immintrin.h>
#endif

#ifdef PRODUCT_BF16_PORTABLE /* tests link both */
#define cpu_product_bf16      cpu_product_bf16_portable
#define cpu_product_bf16_with cpu_product_bf16_with_portable
#define cpu_product_bf16_f32  cpu_product_bf16_f32_portable
#endif
#include "bf16.h"
#include "product_bf16.h"
#include "tiles.h"

/* ROWS * VECTORS sums, VECTORS vectors of b and an element of a fill the vector registers. */
#if defined __AVX512F__
enum { VECTOR_BYTES = 64, ROWS = 8 };
#elif defined __AVX2__
enum { VECTOR_BYTES = 32, ROWS = 4 };
#elif defined __ARM_NEON
enum { VECTOR_BYTES = 16, ROWS = 8 };
#else
enum { VECTOR_BYTES = 16, ROWS = 4 };
#endif

typedef uint32_t pair;
typedef pair pair_at __attribute__((aligned(2), may_alias));
typedef pair pairs __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef pair pairs_at __attribute__((vector_size(VECTOR_BYTES), aligned(2), may_alias));
typedef uint16_t halves __attribute__((vector_size(VECTOR_BYTES / 2)));
typedef uint16_t halves_at __attribute__((vector_size(VECTOR_BYTES / 2), aligned(2), may_alias));
typedef float floats __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef float floats_at __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));

/* A packed pair takes CELLS cells of 32 bits: one as it is, or two floats, the second of the pair before the first. */
#ifdef PAIRS_INSTRUCTION
typedef pair_at cell;
enum { CELLS = 1, TILE_WIDTH = 192, GROUP = 64, LINES = 2 };
#else
typedef float cell __attribute__((may_alias));
enum { CELLS = 2, TILE_WIDTH = 96, GROUP = 32, LINES = 1 };
#endif

/* TILE_WIDTH: at most; a multiple of SLIVER, and a block of b fits the cache beside what passes by.
 * GROUP: rows of a that are packed at a time. LINES: how many are requested a step. */
enum {
    LANES = VECTOR_BYTES / sizeof(pair),
    VECTORS = 3,
    SLIVER = VECTORS * LANES,

    DEPTH = 768,                               /* of a block, at most; results depend on it */
    LINE = 64 / sizeof(uint16_t),              /* elements that one request brings */
    STRIP = ROWS * CELLS * DEPTH / 2 + 2 * 16, /* cells; no power of two: strips would share places in the cache */

    AHEAD = 8, /* rows of b that are requested before they are packed */
};

#define UNROLL       _Pragma("GCC unroll 16")
#define FORCE_INLINE static inline __attribute__((always_inline))

static const uint16_t zeros[TILE_WIDTH + SLIVER]; /* the row that makes an odd inner dimension even */

struct product {
    int a_transposed, b_transposed, add;
    int64_t m, n, k;
    const uint16_t *a, *b;
    uint16_t *values; /* the result, or NULL and */
    float *reals;
    int64_t a_stride, b_stride; /* of rows as they are stored */
    int64_t depth;              /* of blocks of the inner dimension */
    struct tile kept;           /* the part of the result that is in memory; its rows are c_stride apart */
    int64_t c_stride;
};

/* ROWS rows of a against one sliver of b. */
struct piece {
    const cell *row[ROWS]; /* of a; those beyond `rows` repeat the last. Or only row[0], a strip */
    const cell *b;
    int64_t depth;   /* in cells */
    int odd;         /* one element more follows, where rows lie */
    float *sum;      /* where the sums go, added to what is there if `add` */
    uint16_t *value; /* or, if not NULL, where they go after that, added to what is there if `add_value` */
    int64_t stride, value_stride;
    int rows, columns, add, add_value;
    const uint16_t *ahead; /* what is requested: LINES lines a step, ahead_step elements apart */
    int64_t ahead_step;
};

static const uint16_t *a_at(const struct product *p, int64_t row, int64_t k) {
    return p->a + (p->a_transposed ? k * p->a_stride + row : row * p->a_stride + k);
}

static const uint16_t *b_at(const struct product *p, int64_t k, int64_t column) {
    return p->b + (p->b_transposed ? column * p->b_stride + k : k * p->b_stride + column);
}

static int64_t c_offset(const struct product *p, int64_t row, int64_t column) {
    return (row - p->kept.row) * p->c_stride + column - p->kept.column;
}

FORCE_INLINE pairs widen(const uint16_t *from) { return __builtin_convertvector(*(const halves_at *)from, pairs); }

/* float_to_bf16() of each lane. vcvtneps2bf16 does the same, but makes denormals 0: it serves where there are none. */
FORCE_INLINE void round_to(floats x, uint16_t *to) {
#ifdef PAIRS_INSTRUCTION
    enum { DENORMAL = 0x20 };
    if (__builtin_expect(_mm512_fpclass_ps_mask((__m512)x, DENORMAL) == 0, 1)) {
        *(halves_at *)to = (halves)_mm512_cvtneps_pbh((__m512)x);
        return;
    }
#endif
    pairs bits = (pairs)x, rounded = bits + 0x7fff + (bits >> 16 & 1), is_nan = (pairs)(x != x);
    *(halves_at *)to = __builtin_convertvector(((is_nan & (bits | 0x400000)) | (~is_nan & rounded)) >> 16, halves);
}

/* The sums of LANES columns from `column` on. */
FORCE_INLINE void store(const struct piece *p, int row, int column, floats s) {
    float *sum = p->sum + row * p->stride + column;
    if (p->add) s += *(floats_at *)sum;
    if (!p->value) {
        *(floats_at *)sum = s;
        return;
    }
    uint16_t *to = p->value + row * p->value_stride + column;
    if (p->add_value) s += (floats)(widen(to) << 16);
    round_to(s, to);
}

/* Of a piece that is not whole. */
static void store_part(const struct piece *p, float number[ROWS][SLIVER]) {
    for (int r = 0; r < p->rows; r++) {
        int i = 0;
        for (; i + LANES <= p->columns; i += LANES) store(p, r, i, *(const floats *)(number[r] + i));
        for (; i < p->columns; i++) {
            float *sum = p->sum + r * p->stride + i, s = p->add ? number[r][i] + *sum : number[r][i];
            if (!p->value) {
                *sum = s;
                continue;
            }
            uint16_t *to = p->value + r * p->value_stride + i;
            *to = float_to_bf16(p->add_value ? s + bf16_to_float(*to) : s);
        }
    }
}

FORCE_INLINE floats add_product(floats sum, pairs x, cell y) {
#ifdef PAIRS_INSTRUCTION
    return (floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)_mm512_set1_epi32((int)y));
#else
    return sum + (floats)x * y;
#endif
}

/* vectors: of the sliver's columns, as many as matter; strip: whether a comes from one. */
FORCE_INLINE void multiply(const struct piece *p, int vectors, int strip) {
    const cell *row[ROWS], *b = p->b;
    const uint16_t *ahead = p->ahead;
    int64_t depth = p->depth, ahead_step = p->ahead_step;
    floats sum[ROWS][VECTORS];
    UNROLL for (int r = 0; r < ROWS; r++) {
        row[r] = p->row[strip ? 0 : r];
        UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = (floats){0};
    }
    for (int64_t k = 0; k < depth; k++) {
        pairs x[VECTORS];
        UNROLL for (int l = 0; l < LINES; l++) __builtin_prefetch(ahead + l * ahead_step, 0, 2);
        ahead += LINES * ahead_step;
        UNROLL for (int v = 0; v < vectors; v++) x[v] = *(const pairs *)(b + v * LANES);
        UNROLL for (int r = 0; r < ROWS; r++) {
            cell y = strip ? row[0][k * ROWS + r] : row[r][k];
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = add_product(sum[r][v], x[v], y);
        }
        b += SLIVER;
    }
    if (CELLS == 1 && !strip && p->odd) {
        UNROLL for (int r = 0; r < ROWS; r++) {
            cell y = *(const uint16_t *)(row[r] + depth);
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
                add_product(sum[r][v], *(const pairs *)(b + v * LANES), y);
        }
    }
    if (p->rows == ROWS && p->columns == vectors * LANES) {
        UNROLL for (int r = 0; r < ROWS; r++) {
            UNROLL for (int v = 0; v < vectors; v++) store(p, r, v * LANES, sum[r][v]);
        }
        return;
    }
    float number[ROWS][SLIVER] __attribute__((aligned(VECTOR_BYTES)));
    UNROLL for (int r = 0; r < ROWS; r++) {
        UNROLL for (int v = 0; v < vectors; v++) * (floats *)(number[r] + v * LANES) = sum[r][v];
    }
    store_part(p, number);
}

static void multiply_piece(const struct piece *p, int strip) {
    int vectors = (p->columns + LANES - 1) / LANES;
    if (strip) {
        if (vectors == 1) multiply(p, 1, 1);
        if (vectors == 2) multiply(p, 2, 1);
        if (vectors == 3) multiply(p, 3, 1);
    } else {
        if (vectors == 1) multiply(p, 1, 0);
        if (vectors == 2) multiply(p, 2, 0);
        if (vectors == 3) multiply(p, 3, 0);
    }
}

/* low: x[0], y[0], x[1], y[1] and so on; high: the same of the upper halves. */
#ifdef __clang__
FORCE_INLINE void zip(pairs x, pairs y, pairs *low, pairs *high) {
    for (int i = 0; i < LANES; i++) {
        (*low)[i] = i % 2 ? y[i / 2] : x[i / 2];
        (*high)[i] = i % 2 ? y[(LANES + i) / 2] : x[(LANES + i) / 2];
    }
}
#else
FORCE_INLINE void zip(pairs x, pairs y, pairs *low, pairs *high) {
    pairs first, second;
    UNROLL for (int i = 0; i < LANES; i++) {
        first[i] = (pair)(i / 2 + i % 2 * LANES);
        second[i] = first[i] + LANES / 2;
    }
    *low = __builtin_shuffle(x, y, first);
    *high = __builtin_shuffle(x, y, second);
}
#endif

/* The transpose of LANES vectors: each round puts the halves together like the teeth of a zip. */
FORCE_INLINE void transpose(pairs x[LANES]) {
    UNROLL for (int round = 1; round < LANES; round *= 2) {
        pairs y[LANES];
        UNROLL for (int i = 0; i < LANES / 2; i++) zip(x[i], x[i + LANES / 2], &y[2 * i], &y[2 * i + 1]);
        UNROLL for (int i = 0; i < LANES; i++) x[i] = y[i];
    }
}

/* Packs a pair; its cells are `step` apart. */
FORCE_INLINE void pack_pair(pair x, cell *to, int64_t step) {
    pair_at *bits = (pair_at *)to;
    if (CELLS == 1) {
        bits[0] = x;
    } else {
        bits[0] = x & 0xffff0000;
        bits[step] = x << 16;
    }
}

FORCE_INLINE void pack_pairs(pairs x, cell *to, int64_t step) {
    if (CELLS == 1) {
        *(pairs *)to = x;
    } else {
        *(pairs *)to = x & 0xffff0000;
        *(pairs *)(to + step) = x << 16;
    }
}

/* Packs b[k, column ..] of a tile for `depth` steps: slivers of [depth / 2][CELLS][SLIVER] cells. Columns beyond the
 * tile hold what follows in memory, or zeros where b ends. */
static void pack(const struct product *p, const struct tile *t, int64_t k, int64_t depth, cell *to) {
    int64_t sliver = (depth + 1) / 2 * CELLS * SLIVER;
    for (int64_t i = 0; i < depth; i += 2, to += CELLS * SLIVER) {
        int odd = i + 1 == depth;
        const uint16_t *from = b_at(p, k + i, t->column), *then = odd ? zeros : from + p->b_stride;
        int64_t left = p->k * p->n - (from - p->b) - (odd ? 0 : p->b_stride);
        cell *part = to;
        for (int64_t j = 0; j < t->width; j += LINE) {
            __builtin_prefetch(from + AHEAD * p->b_stride + j);
            __builtin_prefetch(from + (AHEAD + 1) * p->b_stride + j);
        }
        for (int64_t j = 0; j < t->width; j += SLIVER, part += sliver) {
            if (j + SLIVER > left) {
                for (int64_t c = 0; c < SLIVER; c++)
                    pack_pair(j + c < left ? from[j + c] | (pair)then[j + c] << 16 : 0, part + c, SLIVER);
                continue;
            }
            UNROLL for (int v = 0; v < SLIVER; v += LANES)
                pack_pairs(widen(from + j + v) | widen(then + j + v) << 16, part + v, SLIVER);
        }
    }
}

/* The same of a transposed b; columns beyond the tile are zeros. */
static void pack_transposed(const struct product *p, const struct tile *t, int64_t k, int64_t depth, cell *to) {
    int64_t stride = p->b_stride, sliver = (depth + 1) / 2 * CELLS * SLIVER;
    for (int64_t j = 0; j < t->width; j += LANES) {
        const uint16_t *from = b_at(p, k, t->column + j);
        cell *part = to + j / SLIVER * sliver + j % SLIVER;
        int64_t columns = smaller(LANES, t->width - j), i = 0;
        for (; columns == LANES && i + 2 * LANES <= depth; i += 2 * LANES) {
            pairs x[LANES];
            UNROLL for (int l = 0; l < LANES; l++) x[l] = *(const pairs_at *)(from + l * stride + i);
            transpose(x);
            UNROLL for (int l = 0; l < LANES; l++, part += CELLS * SLIVER) pack_pairs(x[l], part, SLIVER);
        }
        for (; i < depth; i += 2, part += CELLS * SLIVER) {
            for (int l = 0; l < LANES; l++) {
                const uint16_t *x = from + l * stride + i;
                pack_pair(l < columns ? x[0] | (i + 1 < depth ? (pair)x[1] << 16 : 0) : 0, part + l, SLIVER);
            }
        }
    }
}

/* Packs `rows` columns of a transposed a, from (k, row) on, into strips of [depth / 2][CELLS][ROWS] cells. */
static void pack_strips(const struct product *p, int64_t row, int64_t k, int64_t rows, int64_t depth, cell *to) {
    for (int64_t i = 0; i < depth; i += 2, to += CELLS * ROWS) {
        const uint16_t *from = a_at(p, row, k + i), *then = i + 1 < depth ? from + p->a_stride : zeros;
        cell *strip = to;
        int64_t r = 0;
        for (; r + ROWS <= rows; r += ROWS, strip += STRIP) {
            UNROLL for (int l = 0; l < ROWS; l++) pack_pair(from[r + l] | (pair)then[r + l] << 16, strip + l, ROWS);
        }
        for (; r < rows; r++, strip++) pack_pair(from[r] | (pair)then[r] << 16, strip, ROWS);
    }
}

/* Makes floats of rows of a, STRIP / ROWS cells apart. */
static void pack_rows(const struct product *p, int64_t row, int64_t k, int64_t rows, int64_t depth, cell *to) {
    for (int64_t r = 0; r < rows; r++, to += STRIP / ROWS) {
        const uint16_t *from = a_at(p, row + r, k);
        int64_t i = 0;
        for (; i + 2 * LANES <= depth; i += 2 * LANES) {
            pairs x = *(const pairs_at *)(from + i), low, high;
            zip(x & 0xffff0000, x << 16, &low, &high);
            *(pairs_at *)(to + i) = low;
            *(pairs_at *)(to + i + LANES) = high;
        }
        for (; i + 1 < depth; i += 2) pack_pair(from[i] | (pair)from[i + 1] << 16, to + i, 1);
        if (depth % 2) pack_pair(from[depth - 1], to + depth - 1, 1);
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
    piece->ahead = p->b;
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

/* Rows [group, group + GROUP) of the tile, or fewer, in the block that begins at k. sums: of the whole tile, in rows of
 * TILE_WIDTH; for values only. */
static void multiply_group(const struct product *p, const struct tile *t, const struct tile *next, int64_t k,
                           int64_t group, const cell *slivers, float *sums) {
    int64_t depth = smaller(p->depth, p->k - k), rows = smaller(GROUP, t->height - group), call = 0;
    int64_t cells = (depth + 1) / 2 * CELLS;
    int in_place = CELLS == 1 && !p->a_transposed, last = p->values && k + depth == p->k;
    cell packed[GROUP / ROWS * STRIP] __attribute__((aligned(64)));
    if (p->a_transposed)
        pack_strips(p, t->row + group, k, rows, depth, packed);
    else if (!in_place)
        pack_rows(p, t->row + group, k, rows, depth, packed);
    for (int64_t row = 0; row < rows; row += ROWS) {
        int64_t at = c_offset(p, t->row + group + row, t->column);
        struct piece piece = {
            .depth = in_place ? depth / 2 : cells,
            .odd = in_place && depth % 2,
            .stride = p->values ? TILE_WIDTH : p->c_stride,
            .value_stride = p->c_stride,
            .rows = (int)smaller(ROWS, rows - row),
            .add = k > 0 || (p->add && !p->values),
            .add_value = p->add,
        };
        for (int i = 0; i < ROWS; i++) {
            int64_t r = smaller(i, piece.rows - 1);
            piece.row[i] = in_place ? (const cell *)a_at(p, t->row + group + row + r, k)
                                    : packed + row / ROWS * STRIP + (p->a_transposed ? 0 : r * (STRIP / ROWS));
        }
        for (int64_t column = 0; column < t->width; column += SLIVER) {
            piece.b = slivers + column * cells;
            piece.sum = p->values ? sums + (group + row) * TILE_WIDTH + column : p->reals + at + column;
            piece.value = last ? p->values + at + column : NULL;
            piece.columns = (int)smaller(SLIVER, t->width - column);
            look_ahead(p, t, next, k, group, call++, &piece);
            multiply_piece(&piece, p->a_transposed);
        }
    }
}

/* next: the tile that this thread is likely to take after it. */
static void compute(const struct product *p, const struct tile *t, const struct tile *next) {
    cell slivers[DEPTH / 2 * CELLS * TILE_WIDTH] __attribute__((aligned(64)));
    float sums[TILE_HEIGHT * TILE_WIDTH] __attribute__((aligned(64)));
    for (int64_t k = 0; k < p->k; k += p->depth) {
        int64_t depth = smaller(p->depth, p->k - k);
        if (p->b_transposed)
            pack_transposed(p, t, k, depth, slivers);
        else
            pack(p, t, k, depth, slivers);
        for (int64_t group = 0; group < t->height; group += GROUP) multiply_group(p, t, next, k, group, slivers, sums);
    }
}

/* One tile and all that is done to it, in p->values. */
static void take_tile(const struct product *p, const struct tiling *tiling, int64_t index,
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
        if (work->before)
            work->before(work->context, &part, p->values + c_offset(p, part.row, part.column), p->c_stride);
        compute(p, &part, &then);
    }
    if (work->after) work->after(work->context, &tile, p->values + c_offset(p, tile.row, tile.column), p->c_stride);
}

/* The same in memory of the thread's: see product.c. */
static __attribute__((noinline)) void take_tile_apart(const struct product *whole, const struct tiling *tiling,
                                                      int64_t index, const struct tile_work *work) {
    uint16_t own[TILE_HEIGHT * TILE_WIDTH];
    struct product p = *whole;
    p.values = own;
    p.c_stride = TILE_WIDTH;
    p.kept = tile_at(tiling, index);
    take_tile(&p, tiling, index, work);
}

static void multiply_all(struct product p, const struct tile_work *work) {
    int64_t step = tile_step(work->grain);
    p.a_stride = p.a_transposed ? p.m : p.k;
    p.b_stride = p.b_transposed ? p.k : p.n;
    p.c_stride = p.n;
    p.add |= work->before != NULL;
    if (step > TILE_WIDTH) {
        const struct tile_work first = {.before = work->before, .context = work->context};
        multiply_all(p, &first);
        work_after(work, p.m, p.n, p.values);
        return;
    }
    struct tiling tiling = tiling_of(p.m, p.n - work->twin, p.k, p.a_transposed, step, TILE_WIDTH, DEPTH);
    tiling.along_rows =
        p.m > p.n; /* rows of the larger operand then come from the cache; products of floats lose by it */
    p.depth = tiling.depth;
    int64_t tiles = tiling_count(&tiling);
#pragma omp parallel for schedule(dynamic) if (p.m * p.n * p.k >= ALONE)
    for (int64_t i = 0; i < tiles; i++)
        if (work->apart)
            take_tile_apart(&p, &tiling, i, work);
        else
            take_tile(&p, &tiling, i, work);
}

static const struct tile_work no_work;

void cpu_product_bf16(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const uint16_t *a,
                      const uint16_t *b, int add, uint16_t *c) {
    cpu_product_bf16_with(a_transposed, b_transposed, m, n, k, a, b, add, c, &no_work);
}

void cpu_product_bf16_with(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const uint16_t *a,
                           const uint16_t *b, int add, uint16_t *c, const struct tile_work *work) {
    multiply_all((struct product){a_transposed, b_transposed, add, m, n, k, a, b, .values = c}, work);
}

void cpu_product_bf16_f32(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const uint16_t *a,
                          const uint16_t *b, int add, float *c) {
    multiply_all((struct product){a_transposed, b_transposed, add, m, n, k, a, b, .reals = c}, &no_work);
}
