/* Loops over elements: a thread computes one element, or as many as 16 bytes hold. */
#ifndef CUDA_POINTWISE_CUH
#define CUDA_POINTWISE_CUH

#include "device.cuh"

enum { POINTWISE_THREADS = 256 };

/* F has the operands; `f.apply<WIDE>(i)` computes elements [i, i + WIDE). */
template <int WIDE, class F> __global__ void __launch_bounds__(POINTWISE_THREADS) pointwise(F f, int64_t n) {
    int64_t i = ((int64_t)blockIdx.x * POINTWISE_THREADS + threadIdx.x) * WIDE;
    if (i + WIDE <= n) {
        f.template apply<WIDE>(i);
    } else {
        for (; i < n; i++) f.template apply<1>(i);
    }
}

/* `aligned`: whether all operands begin at multiples of 16 bytes. */
template <class F> static void for_elements(const F &f, int64_t n, int aligned, cudaStream_t stream) {
    if (n <= 0) return;
    int64_t wide = aligned ? PACK : 1, blocks = divide_up(n, POINTWISE_THREADS * wide);
    if (aligned)
        LAUNCH((pointwise<PACK, F>), dim3((unsigned)blocks), dim3(POINTWISE_THREADS), 0, stream, f, n);
    else
        LAUNCH((pointwise<1, F>), dim3((unsigned)blocks), dim3(POINTWISE_THREADS), 0, stream, f, n);
}

#endif
