/* What a GPU is measured against: its maker's figure, by name, or what large products and copies reach here. */
#include "backend/cuda/product.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

/* Dense, without sparsity, sums in float, in TFLOP/s: NVIDIA's data sheets of these products. A longer name stands before a shorter. */
static const struct {
    const char *name;
    double half, single;
} known[] = {
    {"H200", 989, 67},    {"H100 PCIe", 756, 51},    {"H100 NVL", 835, 60},  {"GH200", 989, 67},
    {"H100", 989, 67},    {"A100", 312, 19.5},       {"L40S", 362, 91.6},    {"L4", 121, 30.3},
    {"A40", 149.7, 37.4}, {"RTX 4090", 165.2, 82.6}, {"RTX 3090", 71, 35.6},
};

static double figure(enum ceiling kind) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(cuda_device()->name, known[i].name))
            return 1e12 * (kind == CEILING_MATRIX_BF16  ? known[i].half
                           : kind == CEILING_MATRIX_F32 ? known[i].single
                                                        : 0);
    return 0;
}

/* Work of `units` that is put on the stream again and again: units a second at its best. */
static double best_rate(struct exec *exec, int (*work)(struct exec *exec), double units, double seconds) {
    cudaEvent_t begin = NULL, end = NULL;
    const double stop = clock_seconds() + seconds;
    double best = 0;
    int status = cuda_check(cudaEventCreateWithFlags(&begin, cudaEventDefault), "measuring it");
    if (!status) status = cuda_check(cudaEventCreateWithFlags(&end, cudaEventDefault), "measuring it");
    do {
        float time = 0; /* milliseconds */
        if (!status) status = cuda_check(cudaEventRecord(begin, exec->stream), "measuring it");
        if (!status) status = work(exec);
        if (!status) status = cuda_check(cudaEventRecord(end, exec->stream), "measuring it");
        if (!status) status = cuda_check(cudaEventSynchronize(end), "measuring it");
        if (!status) status = cuda_check(cudaEventElapsedTime(&time, begin, end), "measuring it");
        if (!status && time > 0 && units / (1e-3 * (double)time) > best) best = units / (1e-3 * (double)time);
    } while (!status && clock_seconds() < stop);
    if (begin) cudaEventDestroy(begin);
    if (end) cudaEventDestroy(end);
    return best;
}

static int run_product(struct exec *exec) { return cuda_run_product(exec, 0); }

static int run_copy(struct exec *exec) {
    const size_t half = (size_t)exec->workspace_bytes / 2;
    return cuda_check(
        cudaMemcpyAsync(exec->workspace, exec->workspace + half, half, cudaMemcpyDeviceToDevice, exec->stream),
        "copying inside it");
}

/* A product of square matrices, `side` long, of one type; the exec has memory for three. */
static int add_square(struct exec *exec, int64_t side, enum dtype type) {
    const int64_t bytes = side * side * (int64_t)dtype_size(type);
    const struct product_shape shape = {.m = side,
                                        .n = side,
                                        .k = side,
                                        .b_transposed = 1,
                                        .count = 1,
                                        .scale = 1,
                                        .type = type,
                                        .c_type = type,
                                        .a_stride = side,
                                        .b_stride = side,
                                        .c_stride = side};
    const struct product_data data = {
        .a = exec->workspace, .b = exec->workspace + bytes, .c = exec->workspace + 2 * bytes};
    TRY(cuda_add_product(exec, &shape, &data));
    return cuda_choose_algorithms(exec);
}

static int measure(struct exec *exec, enum ceiling kind, double seconds, double *rate) {
    const int large = cuda_device()->totalGlobalMem > (size_t)16 << 30;
    const int64_t side = large ? 8192 : 1024;
    const enum dtype type = kind == CEILING_MATRIX_F32 ? DTYPE_F32 : DTYPE_BF16;
    exec->workspace_bytes = 3 * side * side * 4;
    TRY(cuda_open_blas());
    TRY(cuda_check(cudaStreamCreateWithFlags(&exec->stream, cudaStreamNonBlocking), "starting"));
    TRY(cuda_check(cudaMalloc((void **)&exec->workspace, (size_t)exec->workspace_bytes), "measuring it"));
    TRY(cuda_check(cudaMalloc((void **)&exec->products.workspace, PRODUCT_WORKSPACE), "measuring it"));
    TRY(cuda_check(cudaMemsetAsync(exec->workspace, 0x3c, (size_t)exec->workspace_bytes, exec->stream),
                   "measuring it"));
    if (kind == CEILING_COPY) { /* each byte is read and written */
        *rate = best_rate(exec, run_copy, (double)exec->workspace_bytes, seconds);
        return 0;
    }
    TRY(add_square(exec, side, type));
    *rate = best_rate(exec, run_product, 2.0 * (double)side * (double)side * (double)side, seconds);
    return 0;
}

double cuda_ceiling(enum ceiling kind, double seconds) {
    struct exec exec = {0};
    double rate = 0;
    if (kind == CEILING_MATRIX_F64 || cuda_open_device(NULL)) return 0;
    if (seconds <= 0) return figure(kind);
    measure(&exec, kind, seconds, &rate);
    if (exec.stream) cudaStreamSynchronize(exec.stream);
    cuda_free_products(&exec);
    free(exec.products.list);
    cudaFree(exec.products.workspace);
    cudaFree(exec.workspace);
    if (exec.stream) cudaStreamDestroy(exec.stream);
    return rate;
}
