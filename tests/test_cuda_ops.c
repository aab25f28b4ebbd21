/* Every op on the CUDA backend, on a GPU that the shim plays, or built with -DON_A_GPU on one: against the CPU in double, and with the same bits whatever the order of threads,
 * blocks and streams. The rows are those of the CPU's tests. */
#include "backend/cuda/cuda.h"
#include "base/log.h"
#include "op_compare.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif
#include <string.h>

#ifdef ON_A_GPU /* whose order is its own affair: the same bits each time */
enum { SHIM_ORDERS = 3 };
static void shim_schedule(int order, int seed, int lazy) { (void)order, (void)seed, (void)lazy; }
#else
#include "shim/shim.h"
#endif

#ifdef __SANITIZE_ADDRESS__ /* there steps beyond memory are looked for, in one order: everything takes several times as long */
enum { CHECK_ORDERS = 0 };
#else
enum { CHECK_ORDERS = 1 };
#endif

static const enum dtype types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};

/* In float 1e-5 of a vector's length; halves nearly as on the CPU: what is fused into a product there is computed before it is rounded. */
static double rounding_of(enum dtype type) { return type == DTYPE_F32 ? 1e-5 : type == DTYPE_F16 ? 1.5e-3 : 1.2e-2; }

/* Between buffers of the arena there is nothing to read or write. */
static void fence(struct trial *t) {
#ifdef __SANITIZE_ADDRESS__
    const struct plan *plan = t->plan;
    if (t->backend != &backend_cuda) return;
    ASAN_POISON_MEMORY_REGION(t->exec->arena, (size_t)plan->arena_bytes);
    for (int b = 0; b < plan->n_bufs; b++)
        if (trial_in_arena(plan, b))
            ASAN_UNPOISON_MEMORY_REGION(t->exec->arena + plan->bufs[b].offset, (size_t)buf_bytes(&plan->bufs[b]));
#else
    (void)t;
#endif
}

/* The first order against the CPU, the others against the first. */
static void check_orders(const struct op_case *row, enum dtype type) {
    struct trial t;
    trial_open_on(&t, row, type, &backend_cuda);
    double **kept = calloc((size_t)t.plan->n_bufs, sizeof *kept);
    assert_non_null(kept);
    for (int order = 0; order < SHIM_ORDERS; order++) {
        shim_schedule(order, 7, order > 0);
        trial_fill(&t);
        trial_run_all(&t);
        if (order == 0) op_compare_run_with_double(&t, rounding_of(type));
        op_keep_or_compare(&t, kept, "another order of threads", order);
    }
    for (int buf = 0; buf < t.plan->n_bufs; buf++) free(kept[buf]);
    free(kept);
    trial_close(&t);
    shim_schedule(0, 1, 0);
}

/* Fused ops leave the bits of their parts; products that make the GELU do not, and are near. */
static void check_fused(const struct op_case *row, enum dtype type) {
    struct op_case epilogue = *row;
    epilogue.epilogue = 1;
    op_compare_parts(row, type, &backend_cuda);
    op_compare_with_double(&epilogue, type, &backend_cuda, rounding_of(type));
}

static void test_case(void **state) {
    const struct op_case *row = *state;
    for (int i = 0; i < (CHECK_ORDERS ? 3 : 2); i++) { /* fp16 has the kernels of bf16 */
        if (CHECK_ORDERS && types[i] != DTYPE_F16)
            check_orders(row, types[i]);
        else
            op_compare_with_double(row, types[i], &backend_cuda, rounding_of(types[i]));
        if (row->checks & PARTS) check_fused(row, types[i]);
    }
}

/* Fibers are slow. Rows with many tokens are there for the CPU's blocks of keys, which no kernel here has. */
static int is_wanted(const struct op_case *row) { return (row->checks & PRECISION) && row->time <= 256; }

int main(void) {
    enum { MOST = 400 };
    struct CMUnitTest tests[MOST];
    size_t count = 0;
    if (!cuda_devices()) {
        printf("skipped: there is no GPU\n");
        return 77;
    }
    setenv("LOCKSTEP_ALGORITHMS", "first", 1); /* the same ones each time */
    log_open(NULL, 1);
    trial_loaded = fence;
    for (int i = 0; i < op_table_count && count < MOST; i++)
        if (is_wanted(&op_table[i]))
            tests[count++] =
                (struct CMUnitTest){op_table[i].name, test_case, NULL, NULL, (void *)(uintptr_t)&op_table[i]};
    return _cmocka_run_group_tests("cuda_ops", tests, count, NULL, NULL);
}
