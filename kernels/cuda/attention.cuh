/* What the attention kernels share: where a head's parts lie, and which keys a query sees.
 *
 * Causal softmax attention (Vaswani et al. 2017) that never holds a T x T buffer: a tile of keys at a time, with the largest score and
 * the sum so far (Milakov & Gimelshein 2018; Dao et al. 2022). There are two ways, with the same operands: attention_mma.cu on tensor
 * cores, for halves and most sizes of heads; attention.cu for everything else. */
#ifndef CUDA_ATTENTION_CUH
#define CUDA_ATTENTION_CUH

#include "random.cuh"

/* On tensor cores: 1 if it was launched, 0 if it cannot do this shape. */
extern "C" int K(attention_mma)(const struct kernel_args *a, cudaStream_t stream);
extern "C" int K(attention_mma_grad)(const struct kernel_args *a, cudaStream_t stream);
extern "C" int64_t cuda_attention_mma_workspace(const struct kernel_args *a);

#endif
