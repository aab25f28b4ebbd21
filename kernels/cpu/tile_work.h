/* What is done to each tile of a product's result by the thread that computes it, while the tile is in its cache: how the layer after a
 * matrix product is computed without another pass over memory. */
#ifndef CPU_TILE_WORK_H
#define CPU_TILE_WORK_H

#include <stdint.h>

/* A part of the result by its upper left corner. */
struct tile {
    int64_t row, column, height, width;
};

/* Tiles cover the result, each element once; their sizes are the product's affair. `c` is the tile's corner in memory, in values, its rows
 * `stride` apart. Work must treat elements alike wherever in a tile they stand, or bits would depend on the cut. All zero: no work. */
struct tile_work {
    /* Makes what the product is then added to. */
    void (*before)(const void *context, const struct tile *tile, void *c, int64_t stride);
    /* Takes the finished tile, and may change it. */
    void (*after)(const void *context, const struct tile *tile, void *c, int64_t stride);
    const void *context;
    /* The tile goes into memory of the thread's and is lost but for what `after` makes of it: there is no c. Without `before` and twin. */
    int apart;
    /* If not 0: tiles cover the first n - twin columns; with each, the tile `twin` columns to the right is computed too, before `after`. */
    int64_t twin;
    /* If not 0: tiles begin and end at multiples of it, and at the last column. */
    int64_t grain;
};

#endif
