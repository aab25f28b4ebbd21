/* How far the device has come, in words that the host can read meanwhile. */
#include "device.cuh"
#include "kernels.h"

#if !defined KERNEL_BF16 && !defined KERNEL_F16
static __global__ void mark(const struct step_block *step, int64_t op, volatile int64_t *word) {
    if (threadIdx.x == 0) *word = CUDA_MARK((int64_t)step->step, (int64_t)step->round, (int64_t)step->micro, op);
}

extern "C" void cuda_mark(const struct step_block *step, int64_t op, int64_t *word, cudaStream_t stream) {
    LAUNCH(mark, dim3(1), dim3(WARP), 0, stream, step, op, word);
}
#endif
