/* Half precision for the shim: what Lockstep uses of it. */
#ifndef SHIM_CUDA_FP16_H
#define SHIM_CUDA_FP16_H

#include "kernels/cpu/f16.h"

struct __half {
    uint16_t bits;
};

static inline float __half2float(__half v) { return f16_to_float(v.bits); }
static inline __half __float2half_rn(float x) { return {float_to_f16(x)}; }

#endif
