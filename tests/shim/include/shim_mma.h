/* What kernels/cuda/mma.cuh says in PTX, for the shim: to the layouts of the PTX ISA. Products are added in double and rounded once;
 * a GPU rounds otherwise, within the bounds that tests have to allow. */
#ifndef SHIM_MMA_H
#define SHIM_MMA_H

#include "cuda_runtime.h"

/* Value `half` of a packed word. */
static inline float shim_unpacked(uint32_t word, int half) {
    value v;
    uint16_t bits = (uint16_t)(word >> 16 * half);
    memcpy(&v, &bits, sizeof v);
    return get(v);
}

static inline void mma_16816(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const shim_words *all = shim_warp("mma_16816", mine, sizeof mine);
    const int g = shim_lane() / 4, t = shim_lane() % 4;
    float row[2][16], column[2][16]; /* of A: g, g + 8; of B: 2t, 2t + 1 */
    for (int lane = 0; lane < 4; lane++) {
        for (int i = 0; i < 2; i++) {
            uint32_t left[6], right[6];
            memcpy(left, &all[g * 4 + lane], sizeof left);
            memcpy(right, &all[(2 * t + i) * 4 + lane], sizeof right);
            for (int k = 0; k < 4; k++) { /* which half of the 16, then of the word */
                row[i][k / 2 * 8 + lane * 2 + k % 2] = shim_unpacked(left[i + k / 2 * 2], k % 2);
                column[i][k / 2 * 8 + lane * 2 + k % 2] = shim_unpacked(right[4 + k / 2], k % 2);
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        double sum = d[i];
        for (int k = 0; k < 16; k++) sum += (double)row[i / 2][k] * column[i % 2][k];
        d[i] = (float)sum;
    }
}

/* A row is read when its lane arrives: the earliest that it could be on a GPU, so that what is written too late is missed. */
static inline const shim_words *shim_matrix_rows(const char *what, const void *row) {
    if ((uintptr_t)row % 16) shim_stop("%s: a row that does not begin at a multiple of 16 bytes", what);
    uint16_t mine[8];
    memcpy(mine, row, sizeof mine);
    return shim_warp(what, mine, sizeof mine);
}

static inline uint32_t shim_matrix_value(const shim_words *rows, int row, int column) {
    uint16_t values[8];
    memcpy(values, &rows[row], sizeof values);
    return values[column];
}

static inline void load_matrices_x4(uint32_t r[4], const void *row) {
    const shim_words *rows = shim_matrix_rows("load_matrices_x4", row);
    const int g = shim_lane() / 4, t = shim_lane() % 4;
    for (int i = 0; i < 4; i++)
        r[i] = shim_matrix_value(rows, 8 * i + g, 2 * t) | shim_matrix_value(rows, 8 * i + g, 2 * t + 1) << 16;
}

static inline void load_matrices_x4_transposed(uint32_t r[4], const void *row) {
    const shim_words *rows = shim_matrix_rows("load_matrices_x4_transposed", row);
    const int g = shim_lane() / 4, t = shim_lane() % 4;
    for (int i = 0; i < 4; i++)
        r[i] = shim_matrix_value(rows, 8 * i + 2 * t, g) | shim_matrix_value(rows, 8 * i + 2 * t + 1, g) << 16;
}

static inline void shim_copy_async(void *shared, const void *global, int bytes_valid, int bytes) {
    if ((uintptr_t)shared % (unsigned)bytes || (bytes_valid && (uintptr_t)global % (unsigned)bytes))
        shim_stop("an asynchronous copy of %d bytes from or to where no multiple of that is", bytes);
    if (bytes_valid != 0 && bytes_valid != bytes)
        shim_stop("an asynchronous copy of %d of %d bytes", bytes_valid, bytes);
    shim_copy_later(shared, global, (size_t)bytes_valid, (size_t)(bytes - bytes_valid));
}

static inline void copy_async_16(void *shared, const void *global, int bytes_valid) {
    shim_copy_async(shared, global, bytes_valid, 16);
}

static inline void copy_async_4(void *shared, const void *global, int bytes_valid) {
    shim_copy_async(shared, global, bytes_valid, 4);
}

static inline void copy_async_commit() { shim_commit(); }

template <int LEFT> static inline void copy_async_wait() { shim_wait_groups(LEFT); }

static inline uint32_t pack_values(real low, real high) {
    value values[2];
    uint32_t both;
    put(low, &values[0]);
    put(high, &values[1]);
    memcpy(&both, values, sizeof both);
    return both;
}

static inline real power_of_two(real x) {
    real y = exp2f(x);
    return y < 0x1p-126f ? 0 : y;
}

#endif
