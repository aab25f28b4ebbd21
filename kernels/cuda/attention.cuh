/* Causal softmax attention (Vaswani et al. 2017) that never holds a T x T buffer: a tile of keys at a time, with the largest score and
 * the sum so far (Milakov & Gimelshein 2018; Dao et al. 2022). There are two ways, with the same operands: attention_mma.cu and
 * attention_mma_grad.cu on tensor cores, for halves and most sizes of heads; attention.cu and attention_grad.cu for everything else. */
#ifndef CUDA_ATTENTION_CUH
#define CUDA_ATTENTION_CUH

#include "device.cuh"

#if defined KERNEL_BF16 || defined KERNEL_F16

/* The ops attention and attention_grad, for heads of up to 128 channels, a multiple of 8, whose operands begin at multiples of 16 bytes.
 * They need sm_80. 1: launched. 0: not for this shape, and nothing is done. */
extern "C" int K(attention_mma)(const struct kernel_args *a, cudaStream_t stream);
extern "C" int K(attention_mma_grad)(const struct kernel_args *a, cudaStream_t stream);

#endif

#endif
