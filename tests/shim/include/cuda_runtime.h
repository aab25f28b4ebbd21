/* CUDA C++ for the shim (shim.h): the words of the language, and the functions that kernels call. */
#ifndef SHIM_CUDA_RUNTIME_H
#define SHIM_CUDA_RUNTIME_H

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../fibers.h"
#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

#define threadIdx shim_now.place
#define blockIdx  shim_now.block
#define blockDim  shim_now.block_size
#define gridDim   shim_now.grid_size

struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

#define __syncthreads() shim_barrier(__LINE__)

static inline void __syncwarp(unsigned = ~0u) {
    char nothing = 0;
    shim_warp("__syncwarp", &nothing, 1);
}

template <class T> static inline T shim_lane_value(const char *what, T mine, int lane) {
    T value;
    memcpy(&value, &shim_warp(what, &mine, sizeof mine)[lane & 31], sizeof value);
    return value;
}

template <class T> static inline T __shfl_sync(unsigned, T value, int lane) {
    return shim_lane_value("__shfl_sync", value, lane);
}
template <class T> static inline T __shfl_xor_sync(unsigned, T value, int bits) {
    return shim_lane_value("__shfl_xor_sync", value, shim_lane() ^ bits);
}
template <class T> static inline T __shfl_up_sync(unsigned, T value, unsigned by) {
    int lane = shim_lane();
    return shim_lane_value("__shfl_up_sync", value, lane < (int)by ? lane : lane - (int)by);
}
template <class T> static inline T __shfl_down_sync(unsigned, T value, unsigned by) {
    int lane = shim_lane();
    return shim_lane_value("__shfl_down_sync", value, lane + (int)by > 31 ? lane : lane + (int)by);
}
static inline unsigned __ballot_sync(unsigned, int predicate) {
    int mine = predicate != 0;
    const shim_words *all = shim_warp("__ballot_sync", &mine, sizeof mine);
    unsigned bits = 0;
    for (int lane = 0; lane < 32; lane++) {
        int its;
        memcpy(&its, &all[lane], sizeof its);
        bits |= (unsigned)its << lane;
    }
    return bits;
}
static inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline float __fmul_rn(float a, float b) {
    volatile float product = a * b;
    return product;
}
static inline float __fdividef(float a, float b) { return a / b; }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
using std::isfinite;

#endif
