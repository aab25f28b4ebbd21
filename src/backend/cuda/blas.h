/* The functions of cuBLASLt that Lockstep calls. The library is opened when a GPU is used first: a program that has none starts without
 * it, and one build runs beside any version of the same major number. */
#ifndef BACKEND_CUDA_BLAS_H
#define BACKEND_CUDA_BLAS_H

#include <cublasLt.h>

#define BLAS_FUNCTIONS(F)                                                                                              \
    F(cublasLtCreate)                                                                                                  \
    F(cublasLtGetVersion)                                                                                              \
    F(cublasLtMatmul)                                                                                                  \
    F(cublasLtMatmulDescCreate)                                                                                        \
    F(cublasLtMatmulDescDestroy)                                                                                       \
    F(cublasLtMatmulDescSetAttribute)                                                                                  \
    F(cublasLtMatrixLayoutCreate)                                                                                      \
    F(cublasLtMatrixLayoutDestroy)                                                                                     \
    F(cublasLtMatrixLayoutSetAttribute)                                                                                \
    F(cublasLtMatmulPreferenceCreate)                                                                                  \
    F(cublasLtMatmulPreferenceDestroy)                                                                                 \
    F(cublasLtMatmulPreferenceSetAttribute)                                                                            \
    F(cublasLtMatmulAlgoGetHeuristic)

struct blas {
#define FUNCTION(name) __typeof__(&name) name;
    BLAS_FUNCTIONS(FUNCTION)
#undef FUNCTION
    cublasLtHandle_t handle;
};

/* Open after cuda_open_blas(). */
extern struct blas cuda_blas;

/* 0, or the failure that a status is. `doing` completes "while …". */
int cuda_blas_check(cublasStatus_t status, const char *doing);

#endif
