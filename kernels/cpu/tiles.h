/* How a matrix product is cut into tiles, each the work of one thread: by shapes alone, so that the bits do not depend on threads. */
#ifndef CPU_TILES_H
#define CPU_TILES_H

#include "real.h"
#include "tile_work.h"

enum {
    TILE_HEIGHT = 256, /* at most: b is packed once for so many rows */
    TILE_MIN = 64,     /* sides are halved down to it */
    TILES = 8,         /* the count that is wanted, and below twice that a multiple of 4: threads get equal shares */
    TILE_STEP = 16,    /* sides and depths are multiples of it: whole vectors, and no pair of bf16 in two blocks */
    ALONE = 32768,     /* products of fewer multiplications take one thread */
};

/* Sides of tiles of an [m, n] result, the depth of blocks of the inner dimension, and which tiles follow each other: those of a column, or
 * of a row. That changes time and no bit. */
struct tiling {
    int64_t m, n, height, width, depth;
    int along_rows;
};

static inline int64_t divide_up(int64_t n, int64_t parts) { return (n + parts - 1) / parts; }

/* n / parts, at least, in whole steps. */
static inline int64_t tile_side(int64_t n, int64_t parts, int64_t step) {
    return divide_up(divide_up(n, parts), step) * step;
}

/* The least common multiple of TILE_STEP and the grain of some work, which may be 0. */
static inline int64_t tile_step(int64_t grain) {
    int64_t step = TILE_STEP;
    while (grain && step % grain) step += TILE_STEP;
    return step;
}

/* Low tiles pack b more often; narrow ones pack a transposed a more often, and cost little else. Widths are multiples of `step`, a multiple
 * of TILE_STEP that is no more than most_width. */
static inline struct tiling tiling_of(int64_t m, int64_t n, int64_t k, int a_transposed, int64_t step,
                                      int64_t most_width, int64_t most_depth) {
    int64_t r = divide_up(m, TILE_HEIGHT), c = divide_up(n, most_width / step * step);
    while (r * c < TILES || (r * c < 2 * TILES && r * c % 4 != 0)) {
        int64_t height = m / r, width = n / c * (a_transposed ? 1 : 4);
        if (height < 2 * TILE_MIN && width < 2 * TILE_MIN) break;
        if (width >= height)
            c *= 2;
        else
            r *= 2;
    }
    return (struct tiling){
        m, n, tile_side(m, r, TILE_STEP), tile_side(n, c, step), tile_side(k, divide_up(k, most_depth), TILE_STEP), 0};
}

static inline int64_t tiling_count(const struct tiling *t) {
    return divide_up(t->m, t->height) * divide_up(t->n, t->width);
}

static inline struct tile tile_at(const struct tiling *t, int64_t index) {
    int64_t rows = divide_up(t->m, t->height), columns = divide_up(t->n, t->width);
    int64_t row = (t->along_rows ? index / columns : index % rows) * t->height;
    int64_t column = (t->along_rows ? index % columns : index / rows) * t->width;
    return (struct tile){row, column, smaller(t->height, t->m - row), smaller(t->width, t->n - column)};
}

/* `after` for a result that is finished in memory, c[m, n]. */
static inline void work_after(const struct tile_work *work, int64_t m, int64_t n, value *c) {
    if (!work->after) return;
#pragma omp parallel for schedule(static) if (m * n >= SMALL)
    for (int64_t row = 0; row < m; row += TILE_STEP) {
        const struct tile tile = {row, 0, smaller(TILE_STEP, m - row), n - work->twin};
        work->after(work->context, &tile, c + row * n, n);
    }
}

#endif
