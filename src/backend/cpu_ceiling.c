/* What this machine's cores can do at most: what kernels and steps are measured against. Every thread has its own operands, so
 * that nothing is shared but the machine. */
#include <cblas.h>
#include <omp.h>
#include <string.h>

#include "backend/cpu.h"
#include "base/arena.h"
#include "base/clock.h"
#include "kernels/cpu/product_bf16.h"

enum {
    SIDE = 1024,      /* of a matrix product: OpenBLAS gains nothing from larger ones */
    COPY_MIB = 64,    /* a thread, from and to: beyond the caches */
    FEWEST_ROUNDS = 4 /* however short the time is */
};

/* One round of one thread: a product, or a copy of `half` bytes from the first half of `memory` to the second. */
static void work(enum ceiling kind, char *memory, int64_t half) {
    enum { ELEMENTS = SIDE * SIDE };
    float *f = (float *)memory;
    double *d = (double *)memory;
    uint16_t *h = (uint16_t *)memory;
    if (kind == CEILING_COPY)
        memcpy(memory + half, memory, (size_t)half);
    else if (kind == CEILING_MATRIX_BF16) /* our own kernel: inside a parallel region it is the work of one thread */
        cpu_product_bf16(0, 1, SIDE, SIDE, SIDE, h, h + ELEMENTS, 0, h + 2 * ELEMENTS);
    else if (kind == CEILING_MATRIX_F64)
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SIDE, SIDE, SIDE, 1, d, SIDE, d + ELEMENTS, SIDE, 0,
                    d + 2 * ELEMENTS, SIDE);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SIDE, SIDE, SIDE, 1, f, SIDE, f + ELEMENTS, SIDE, 0,
                    f + 2 * ELEMENTS, SIDE);
}

/* Operands without denormals, which would be slow. */
static void fill(enum ceiling kind, char *memory, int64_t bytes) {
    if (kind == CEILING_MATRIX_BF16)
        for (int64_t i = 0; i < bytes / 2; i++) ((uint16_t *)memory)[i] = (uint16_t)(0x3f80 + i % 7); /* from 1 on */
    else if (kind == CEILING_MATRIX_F64)
        for (int64_t i = 0; i < bytes / 8; i++) ((double *)memory)[i] = (double)(i % 7) - 3;
    else
        for (int64_t i = 0; i < bytes / 4; i++) ((float *)memory)[i] = (float)(i % 7) - 3;
}

double cpu_ceiling(enum ceiling kind, double seconds) {
    int threads = omp_get_max_threads();
    int64_t size = kind == CEILING_MATRIX_F64 ? 8 : kind == CEILING_MATRIX_BF16 ? 2 : 4;
    int64_t bytes = kind == CEILING_COPY ? 2ll * COPY_MIB << 20 : 3ll * SIDE * SIDE * size;
    double amount = kind == CEILING_COPY ? (double)bytes : 2.0 * SIDE * SIDE * SIDE; /* a copy reads and writes */
    double best = 0, start = clock_seconds();
    char *memory;
    if (arena_new((void **)&memory, bytes * threads, "measuring the machine's ceilings")) return 0;
#pragma omp parallel num_threads(threads)
    fill(kind, memory + omp_get_thread_num() * bytes, bytes);
    for (int round = 0; round < FEWEST_ROUNDS || clock_seconds() - start < seconds; round++) {
        double begin = clock_seconds();
#pragma omp parallel num_threads(threads)
        work(kind, memory + omp_get_thread_num() * bytes, bytes / 2);
        double rate = amount * threads / (clock_seconds() - begin);
        if (rate > best) best = rate;
    }
    arena_free(memory, bytes * threads);
    return best;
}
