/* What the CUDA backend calls besides the kernels that op.def names: bytes of workspace (kernel_args.scratch) that some of them need,
 * which follow from shapes, and pieces of ops that the backend puts together with matrix products. C and C++. */
#ifndef CUDA_KERNELS_H
#define CUDA_KERNELS_H

#include <cuda_runtime_api.h>

#include "base/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

int64_t cuda_norm_grad_workspace(const struct kernel_args *a);
int64_t cuda_qk_norm_grad_workspace(const struct kernel_args *a);
int64_t cuda_loss_workspace(const struct kernel_args *a);
int64_t cuda_hash_workspace(const struct kernel_args *a);
int64_t cuda_adamw_workspace(const struct kernel_args *a);
int64_t cuda_attention_workspace(const struct kernel_args *a); /* of the gradient */
int64_t cuda_sum_rows_workspace(int64_t rows, int64_t columns);

/* word = value, when the stream has come so far. */
void cuda_mark(int64_t *word, int64_t value, cudaStream_t stream);

/* Pieces of ops, by the type of values. */
#define CUDA_PIECES(type)                                                                                              \
    /* out[columns] = the sum of the rows of x, added to what is there if `add`. */                                    \
    void cuda_sum_rows_##type(const void *x, int64_t rows, int64_t columns, int add, float *out, void *workspace,      \
                              cudaStream_t stream);                                                                    \
    void cuda_gelu_values_##type(const void *x, int64_t n, void *y, cudaStream_t stream);                              \
    void cuda_gelu_grad_values_##type(const void *dy, const void *x, int64_t n, void *dx, cudaStream_t stream);        \
    void cuda_swiglu_values_##type(const void *x, int64_t rows, int64_t width, void *y, cudaStream_t stream);          \
    void cuda_swiglu_grad_values_##type(const void *dy, const void *x, int64_t rows, int64_t width, void *dx,          \
                                        cudaStream_t stream);                                                          \
    void cuda_softcap_values_##type(const void *x, int64_t n, double cap, void *y, cudaStream_t stream);               \
    /* As op rope, in place, on the result of a linear layer: in[table], in[table + 1] are the operands of rope. */    \
    void cuda_rope_values_##type(const struct kernel_args *a, int table, void *qkv, cudaStream_t stream);              \
    /* Of `rows` rows of logits, `columns` apart: lse, and the loss of each row in `row_loss` (0 where left out). */   \
    void cuda_xent_rows_##type(const struct kernel_args *a, const void *logits, const int32_t *targets, int64_t rows,  \
                               int64_t columns, float *lse, double *row_loss, cudaStream_t stream);                    \
    /* loss = {the mean of row_loss over targets >= 0, their count}. */                                                \
    void cuda_mean_loss_##type(const double *row_loss, const int32_t *targets, int64_t rows, double *loss,             \
                               cudaStream_t stream);                                                                   \
    /* grad = (softmax - onehot) * dloss / count, through a soft cap where cap is positive; grad may be logits. */     \
    void cuda_xent_rows_grad_##type(const struct kernel_args *a, const void *logits, const int32_t *targets,           \
                                    const float *lse, const double *loss, const double *dloss, int64_t rows,           \
                                    int64_t columns, double cap, void *grad, cudaStream_t stream);

CUDA_PIECES(f32)
CUDA_PIECES(bf16)
CUDA_PIECES(f16)

#ifdef __cplusplus
}
#endif
#endif
