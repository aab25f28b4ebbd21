#include "backend/cuda/product.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static cudaDataType_t library_type(enum dtype type) {
    return type == DTYPE_BF16 ? CUDA_R_16BF : type == DTYPE_F16 ? CUDA_R_16F : CUDA_R_32F;
}

/* The largest power of two up to 256 that divides it. */
static unsigned alignment(const void *at) {
    unsigned most = 256;
    while (most > 1 && (uintptr_t)at % most) most /= 2;
    return most;
}

/* Everything that an algorithm may depend on; pointers by their alignment. */
static void write_key(struct product *p) {
    const struct product_shape *s = &p->shape;
    snprintf(p->key, sizeof p->key,
             "%s>%s m%lld n%lld k%lld %c%c lda%lld ldb%lld ldc%lld x%lld+%lld+%lld+%lld e%d%d%d add%d al%u.%u.%u",
             dtype_name(s->type), dtype_name(s->c_type), (long long)s->m, (long long)s->n, (long long)s->k,
             s->a_transposed ? 't' : 'n', s->b_transposed ? 't' : 'n', (long long)s->a_stride, (long long)s->b_stride,
             (long long)s->c_stride, (long long)s->count, (long long)s->a_apart, (long long)s->b_apart,
             (long long)s->c_apart, (int)s->epilogue, s->with_bias, s->with_aux, s->add, alignment(p->data.a),
             alignment(p->data.b), alignment(p->data.c));
}

static int make_layout(cublasLtMatrixLayout_t *layout, enum dtype type, int64_t rows, int64_t columns, int64_t stride,
                       int64_t count, int64_t apart) {
    const char *doing = "describing a matrix";
    const int32_t batch = (int32_t)count;
    TRY(cuda_blas_check(
        cuda_blas.cublasLtMatrixLayoutCreate(layout, library_type(type), (uint64_t)rows, (uint64_t)columns, stride),
        doing));
    if (count == 1) return 0;
    TRY(cuda_blas_check(
        cuda_blas.cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch),
        doing));
    return cuda_blas_check(cuda_blas.cublasLtMatrixLayoutSetAttribute(
                               *layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &apart, sizeof apart),
                           doing);
}

static int set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const void *value, size_t bytes) {
    return cuda_blas_check(cuda_blas.cublasLtMatmulDescSetAttribute(desc, attribute, value, bytes),
                           "describing a product");
}

static int set_epilogue(struct product *p) {
    const struct product_shape *s = &p->shape;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    if (s->epilogue == EPILOGUE_BIAS) epilogue = CUBLASLT_EPILOGUE_BIAS;
    if (s->epilogue == EPILOGUE_GELU_GRAD) epilogue = CUBLASLT_EPILOGUE_DGELU;
    if (s->epilogue == EPILOGUE_GELU && s->with_bias)
        epilogue = s->with_aux ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_BIAS;
    else if (s->epilogue == EPILOGUE_GELU)
        epilogue = s->with_aux ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU;
    TRY(set(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    if (s->with_bias) TRY(set(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->data.bias, sizeof p->data.bias));
    if (!s->with_aux) return 0;
    TRY(set(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &p->data.aux, sizeof p->data.aux));
    return set(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &s->aux_stride, sizeof s->aux_stride);
}

/* The library's a is our b, and the other way round. */
static int describe(struct product *p) {
    const struct product_shape *s = &p->shape;
    const cublasOperation_t a = s->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                            b = s->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    TRY(cuda_blas_check(cuda_blas.cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                        "describing a product"));
    TRY(set(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a));
    TRY(set(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b));
    TRY(set_epilogue(p));
    TRY(make_layout(&p->a, s->type, s->b_transposed ? s->k : s->n, s->b_transposed ? s->n : s->k, s->b_stride, s->count,
                    s->b_apart));
    TRY(make_layout(&p->b, s->type, s->a_transposed ? s->m : s->k, s->a_transposed ? s->k : s->m, s->a_stride, s->count,
                    s->a_apart));
    return make_layout(&p->c, s->c_type, s->n, s->m, s->c_stride, s->count, s->c_apart);
}

int cuda_add_product(struct exec *exec, const struct product_shape *shape, const struct product_data *data) {
    struct products *all = &exec->products;
    if (all->count == all->room) {
        const int room = all->room ? 2 * all->room : 64;
        struct product *list = realloc(all->list, (size_t)room * sizeof *list);
        if (!list) return fail(STATUS_FAILED, "backend cuda: out of memory");
        all->list = list;
        all->room = room;
    }
    struct product *p = &all->list[all->count++];
    memset(p, 0, sizeof *p);
    p->shape = *shape;
    p->data = *data;
    write_key(p);
    return describe(p);
}

void cuda_free_products(struct exec *exec) {
    for (int i = 0; i < exec->products.count; i++) {
        struct product *p = &exec->products.list[i];
        if (p->desc) cuda_blas.cublasLtMatmulDescDestroy(p->desc);
        if (p->a) cuda_blas.cublasLtMatrixLayoutDestroy(p->a);
        if (p->b) cuda_blas.cublasLtMatrixLayoutDestroy(p->b);
        if (p->c) cuda_blas.cublasLtMatrixLayoutDestroy(p->c);
    }
    exec->products.count = 0;
}

cublasStatus_t product_run_with(struct exec *exec, const struct product *p, const cublasLtMatmulAlgo_t *algorithm) {
    const float scale = p->shape.scale, add = p->shape.add ? 1 : 0;
    const void *before = p->shape.add ? p->data.before : p->data.c;
    return cuda_blas.cublasLtMatmul(cuda_blas.handle, p->desc, &scale, p->data.b, p->a, p->data.a, p->b, &add, before,
                                    p->c, p->data.c, p->c, algorithm, exec->products.workspace, PRODUCT_WORKSPACE,
                                    exec->stream);
}

int cuda_run_product(struct exec *exec, int product) {
    const struct product *p = &exec->products.list[product];
    cublasStatus_t status = product_run_with(exec, p, &p->algorithm);
    return status == CUBLAS_STATUS_SUCCESS ? 0 : cuda_blas_check(status, p->key);
}

/* Which proposals are looked for: no sums whose order may differ from run to run, and pointers as they are. */
static int make_preference(const struct product *p, cublasLtMatmulPreference_t *preference) {
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        const void *at;
    } pointers[] = {
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, p->data.b},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, p->data.a},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p->shape.add ? p->data.before : p->data.c},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, p->data.c},
    };
    const char *doing = "asking for algorithms";
    const uint64_t workspace = PRODUCT_WORKSPACE;
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* or none: sums of parts in float, in order */
    TRY(cuda_blas_check(cuda_blas.cublasLtMatmulPreferenceCreate(preference), doing));
    TRY(cuda_blas_check(cuda_blas.cublasLtMatmulPreferenceSetAttribute(
                            *preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace),
                        doing));
    TRY(cuda_blas_check(cuda_blas.cublasLtMatmulPreferenceSetAttribute(
                            *preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions),
                        doing));
    for (int i = 0; i < 4; i++) {
        const uint32_t bytes = alignment(pointers[i].at);
        TRY(cuda_blas_check(
            cuda_blas.cublasLtMatmulPreferenceSetAttribute(*preference, pointers[i].attribute, &bytes, sizeof bytes),
            doing));
    }
    return 0;
}

int product_proposals(struct exec *exec, const struct product *p, cublasLtMatmulHeuristicResult_t *list, int most) {
    cublasLtMatmulPreference_t preference = NULL;
    int count = 0;
    (void)exec;
    if (!make_preference(p, &preference) &&
        cuda_blas.cublasLtMatmulAlgoGetHeuristic(cuda_blas.handle, p->desc, p->a, p->b, p->c, p->c, preference, most,
                                                 list, &count) != CUBLAS_STATUS_SUCCESS)
        count = 0;
    if (preference) cuda_blas.cublasLtMatmulPreferenceDestroy(preference);
    int usable = 0;
    for (int i = 0; i < count; i++)
        if (list[i].state == CUBLAS_STATUS_SUCCESS) list[usable++] = list[i];
    return usable;
}
