/* cuBLASLt on the CPU. It has three algorithms, which cut the inner dimension into parts of other lengths, so that another choice
 * shows as other bits, as it does on a GPU. Like the library it does its work on the stream, and refuses what that refuses. */
#include "include/cublasLt.h"
#include "fibers.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/f16.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

struct shim_blas {
    int nothing;
};
struct shim_desc {
    int trans_a = 0, trans_b = 0, epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void *bias = nullptr;
    void *aux = nullptr;
    int64_t aux_ld = 0;
};
struct shim_layout {
    cudaDataType_t type;
    uint64_t rows, columns;
    int64_t stride, apart = 0;
    int32_t batch = 1;
};
struct shim_preference {
    uint64_t workspace = 0;
};

namespace {

enum { ALGORITHMS = 3 };
const int64_t part_length[ALGORITHMS] = {1 << 30, 64, 24};
const uint64_t signature = 0x73686d316c74616c;

float read(cudaDataType_t type, const void *at, int64_t i) {
    if (type == CUDA_R_32F) return ((const float *)at)[i];
    const uint16_t v = ((const uint16_t *)at)[i];
    return type == CUDA_R_16F ? f16_to_float(v) : bf16_to_float(v);
}

void write(cudaDataType_t type, void *at, int64_t i, float x) {
    if (type == CUDA_R_32F)
        ((float *)at)[i] = x;
    else
        ((uint16_t *)at)[i] = type == CUDA_R_16F ? float_to_f16(x) : float_to_bf16(x);
}

const double gelu_linear = 1.5957691216057308, gelu_cubic = gelu_linear * 0.044715; /* 2 sqrt(2/pi) */

double gelu(double x) { return x / (1 + exp(-x * (gelu_linear + gelu_cubic * x * x))); }

double gelu_slope(double x) {
    const double s = 1 / (1 + exp(-x * (gelu_linear + gelu_cubic * x * x)));
    return s + x * s * (1 - s) * (gelu_linear + 3 * gelu_cubic * x * x);
}

size_t size_of(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

/* Reads what gather() has made, and nothing that was given; with sanitizers it would be half of the tests' time. */
__attribute__((no_sanitize("address", "undefined"))) float sum_of_products(const float *a, const float *b, int64_t n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t x = 0; x < n; x++) sum += a[x] * b[x];
    return sum;
}

/* Columns first, as the library has them. */
struct call {
    shim_desc desc;
    shim_layout a, b, c, d;
    const void *A, *B, *C;
    void *D;
    float alpha, beta;
    int64_t part;

    const void *batch_of(const shim_layout &l, const void *at, int64_t i) const {
        return (const char *)at + (size_t)(i * l.apart) * size_of(l.type);
    }

    float element(const std::vector<float> &left, const std::vector<float> &right, int64_t i, int64_t j,
                  int64_t k) const {
        float total = 0;
        for (int64_t from = 0; from < k; from += part) {
            const int64_t to = from + part < k ? from + part : k;
            total += sum_of_products(&left[(size_t)(i * k + from)], &right[(size_t)(j * k + from)], to - from);
        }
        return total;
    }

    /* Rows of op(A), columns of op(B), as they are multiplied. */
    static std::vector<float> gather(const shim_layout &l, const void *at, bool along_rows, int64_t outer,
                                     int64_t inner) {
        std::vector<float> out((size_t)(outer * inner));
        for (int64_t o = 0; o < outer; o++)
            for (int64_t i = 0; i < inner; i++)
                out[(size_t)(o * inner + i)] = read(l.type, at, along_rows ? o + i * l.stride : i + o * l.stride);
        return out;
    }

    float finish(float x, int64_t i, int64_t j) const {
        const bool biased = desc.epilogue == CUBLASLT_EPILOGUE_BIAS || desc.epilogue == CUBLASLT_EPILOGUE_GELU_BIAS ||
                            desc.epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
        if (biased) x += read(d.type, desc.bias, i);
        if (desc.epilogue == CUBLASLT_EPILOGUE_GELU_AUX || desc.epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS)
            write(d.type, desc.aux, i + j * desc.aux_ld, x);
        if (desc.epilogue == CUBLASLT_EPILOGUE_DGELU)
            return (float)(x * gelu_slope(read(d.type, desc.aux, i + j * desc.aux_ld)));
        return desc.epilogue & CUBLASLT_EPILOGUE_GELU ? (float)gelu(x) : x;
    }

    void run() const {
        const int64_t m = (int64_t)d.rows, n = (int64_t)d.columns, k = (int64_t)(desc.trans_a ? a.rows : a.columns);
        for (int64_t batch = 0; batch < d.batch; batch++) {
            const auto left = gather(a, batch_of(a, A, batch), !desc.trans_a, m, k);
            const auto right = gather(b, batch_of(b, B, batch), desc.trans_b, n, k);
            const void *before = batch_of(c, C, batch);
            void *out = (void *)batch_of(d, D, batch);
            for (int64_t j = 0; j < n; j++)
                for (int64_t i = 0; i < m; i++) {
                    float x = alpha * element(left, right, i, j, k);
                    if (beta != 0) x += beta * read(c.type, before, i + j * c.stride);
                    write(d.type, out, i + j * d.stride, finish(x, i, j));
                }
        }
    }
};

bool fits(const shim_desc &desc, const shim_layout &a, const shim_layout &b, const shim_layout &d) {
    const uint64_t m = desc.trans_a ? a.columns : a.rows, k = desc.trans_a ? a.rows : a.columns;
    const uint64_t n = desc.trans_b ? b.rows : b.columns, inner = desc.trans_b ? b.columns : b.rows;
    const bool strides = a.stride >= (int64_t)a.rows && b.stride >= (int64_t)b.rows && d.stride >= (int64_t)d.rows;
    const bool aux = desc.epilogue & 128; /* GELU_AUX, GELU_AUX_BIAS, DGELU */
    if (aux && (desc.aux_ld % 8 || (uintptr_t)desc.aux % 16)) return false;
    return m == d.rows && n == d.columns && k == inner && strides && a.type == b.type && a.batch == d.batch &&
           b.batch == d.batch;
}

} // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    static shim_blas only;
    *handle = &only;
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void) { return 130100; }

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha, const void *A,
                              cublasLtMatrixLayout_t a, const void *B, cublasLtMatrixLayout_t b, const void *beta,
                              const void *C, cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algorithm, void *, size_t, cudaStream_t stream) {
    if (!fits(*desc, *a, *b, *d) || c->rows != d->rows || c->columns != d->columns || c->type != d->type)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!algorithm || algorithm->data[0] != signature || algorithm->data[1] >= ALGORITHMS)
        return CUBLAS_STATUS_INVALID_VALUE;
    call work = {*desc,
                 *a,
                 *b,
                 *c,
                 *d,
                 A,
                 B,
                 C,
                 D,
                 *(const float *)alpha,
                 *(const float *)beta,
                 part_length[algorithm->data[1]]};
    shim_enqueue(stream, [work] { work.run(); });
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale) {
    *desc = new shim_desc;
    return compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes) {
    const struct {
        int attribute;
        void *to;
        size_t bytes;
    } known[] = {{CUBLASLT_MATMUL_DESC_TRANSA, &desc->trans_a, 4},
                 {CUBLASLT_MATMUL_DESC_TRANSB, &desc->trans_b, 4},
                 {CUBLASLT_MATMUL_DESC_EPILOGUE, &desc->epilogue, 4},
                 {CUBLASLT_MATMUL_DESC_BIAS_POINTER, &desc->bias, sizeof(void *)},
                 {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &desc->aux, sizeof(void *)},
                 {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &desc->aux_ld, 8}};
    for (const auto &k : known)
        if (k.attribute == attribute && k.bytes == bytes) {
            memcpy(k.to, value, bytes);
            return CUBLAS_STATUS_SUCCESS;
        }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t stride) {
    *layout = new shim_layout{type, rows, columns, stride};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                                size_t bytes) {
    if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT && bytes == 4)
        memcpy(&layout->batch, value, bytes);
    else if (attribute == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET && bytes == 8)
        memcpy(&layout->apart, value, bytes);
    else
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
    *preference = new shim_preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes) {
    if (attribute != CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return bytes == 4 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&preference->workspace, value, sizeof preference->workspace);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t, int most,
                                              cublasLtMatmulHeuristicResult_t *list, int *count) {
    *count = 0;
    if (!fits(*desc, *a, *b, *d)) return CUBLAS_STATUS_INVALID_VALUE;
    for (; *count < most && *count < ALGORITHMS; ++*count) {
        list[*count] = {};
        list[*count].algo.data[0] = signature;
        list[*count].algo.data[1] = (uint64_t)*count;
    }
    return CUBLAS_STATUS_SUCCESS;
}
