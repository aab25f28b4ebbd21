/* How far the device has come, in words that the host can read meanwhile. */
#include "device.cuh"
#include "kernels.h"

#if !defined KERNEL_BF16 && !defined KERNEL_F16
static __global__ void mark(const struct step_block *step, int64_t place, int by_round, volatile int64_t *word) {
    if (threadIdx.x == 0) *word = CUDA_MARK((int64_t)step->step, by_round ? (int64_t)step->round : 0, place);
}

static __global__ void tick(volatile int64_t *word) {
    if (threadIdx.x == 0) *word = *word + 1;
}

extern "C" void cuda_mark(const struct step_block *step, int64_t place, int by_round, int64_t *word,
                          cudaStream_t stream) {
    LAUNCH(mark, dim3(1), dim3(WARP), 0, stream, step, place, by_round, word);
}

extern "C" void cuda_tick(int64_t *word, cudaStream_t stream) { LAUNCH(tick, dim3(1), dim3(WARP), 0, stream, word); }
#endif
