/* A matrix product as cuBLASLt has it. The library counts columns first: of row-major matrices it is given the transposed product,
 * c^T[n,m] = op(b)^T op(a)^T. */
#ifndef BACKEND_CUDA_PRODUCT_H
#define BACKEND_CUDA_PRODUCT_H

#include "backend/cuda/blas.h"
#include "backend/cuda/cuda.h"

enum { KEY_SIZE = 160 };

struct product {
    struct product_shape shape;
    struct product_data data;
    char key[KEY_SIZE]; /* the shape, in text: products of one key have one algorithm */
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
    int chosen;
};

/* Runs it with an algorithm of its own choice. */
cublasStatus_t product_run_with(struct exec *exec, const struct product *p, const cublasLtMatmulAlgo_t *algorithm);

/* The library's proposals, best first by its own estimate; returns how many, at most `most`; fewer than 1: none. */
int product_proposals(struct exec *exec, const struct product *p, cublasLtMatmulHeuristicResult_t *list, int most);

#endif
