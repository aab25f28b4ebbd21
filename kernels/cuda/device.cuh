/* What the CUDA kernels share: the types `value` and `real`, the names of the kernels, 16-byte loads, and sums over a team of threads.
 *
 * A file of kernels/cuda is compiled three times: as it is values are float; with -DKERNEL_BF16 or -DKERNEL_F16 they are of that
 * type. Everything between a load and a store is `real`, a float; a value is rounded once, when it is stored. op.def is
 * the manual of each kernel; kernels/cpu says the same in plainer words.
 *
 * K(name) is host code: it chooses a grid and launches. It may do nothing else, for it is captured into graphs: `attr` and shapes
 * are read on the host, and the step block on the device alone. Bits never depend on the device: a grid, and who adds what in which
 * order, follow from shapes. There are no atomics on floats.
 *
 * All shared memory is dynamic (SHARED), sized by the launch. Blocks are whole warps, and all of their threads reach every
 * __syncthreads(). tests/shim runs this code on a CPU and holds it to that. */
#ifndef CUDA_DEVICE_CUH
#define CUDA_DEVICE_CUH

#include <cuda_runtime.h>
#if defined KERNEL_BF16
#include <cuda_bf16.h>
#elif defined KERNEL_F16
#include <cuda_fp16.h>
#endif

#include "base/kernel.h"

typedef float real;
#if defined KERNEL_F16
typedef __half value;
#define K(name) cuda_##name##_f16
#elif defined KERNEL_BF16
typedef __nv_bfloat16 value;
#define K(name) cuda_##name##_bf16
#else
typedef float value;
#define K(name) cuda_##name##_f32
#endif

#define OP(name, outs, ins, reuse, lane) extern "C" void K(name)(const struct kernel_args *a, cudaStream_t stream);
#include "plan/op.def"
#undef OP

#ifdef __CUDACC__
#define LAUNCH(kernel, grid, block, shared, stream, ...)                                                               \
    do {                                                                                                               \
        allow_shared((const void *)(kernel), (shared));                                                                \
        (kernel)<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__);                                                \
    } while (0)
#define SHARED(type, name)                                                                                             \
    extern __shared__ __align__(128) unsigned char shared_memory[];                                                    \
    type *name = reinterpret_cast<type *>(shared_memory)
#else
#define LAUNCH(kernel, grid, block, shared, stream, ...)                                                               \
    shim_launch(#kernel, (grid), (block), (shared), (stream), [=] { (kernel)(__VA_ARGS__); })
#define SHARED(type, name) type *name = static_cast<type *>(shim_now.shared)
#endif

enum { WARP = 32, PLAIN_SHARED = 48 << 10 /* bytes that every launch may have */ };

#ifdef __CUDACC__
static inline void allow_shared(const void *kernel, size_t bytes) {
    if (bytes > PLAIN_SHARED) cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
}
#endif

__device__ static inline real get(float v) { return v; }
__device__ static inline void put(real r, float *to) { *to = r; }
#if defined KERNEL_F16
__device__ static inline real get(__half v) { return __half2float(v); }
__device__ static inline void put(real r, __half *to) { *to = __float2half_rn(r); }
#elif defined KERNEL_BF16
__device__ static inline real get(__nv_bfloat16 v) { return __bfloat162float(v); }
__device__ static inline void put(real r, __nv_bfloat16 *to) { *to = __float2bfloat16_rn(r); }
#endif

/* The number that r becomes when it is stored. */
__device__ static inline real rounded(real r) {
    value v;
    put(r, &v);
    return get(v);
}

/* ---- host side: shapes ---- */

static inline int64_t elements(const struct view *view) {
    return view->dim[0] * view->dim[1] * view->dim[2] * view->dim[3];
}

static inline int64_t divide_up(int64_t n, int64_t parts) { return (n + parts - 1) / parts; }
__host__ __device__ static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int is_aligned(const void *at) { return ((uintptr_t)at & 15) == 0; }

/* ---- 16 bytes at a time ---- */

enum { PACK = 16 / (int)sizeof(value) }; /* values in 16 bytes */

/* WIDE elements that a thread takes at a time: as many as 16 bytes hold, or 1 where rows do not begin at multiples of 16 bytes. */
template <int WIDE> struct part { real at[WIDE]; };

/* What moves so many bytes at once. */
template <int BYTES> struct word {
    static_assert(BYTES % 16 == 0, "whole words of 16 bytes");
    typedef int4 type;
};
template <> struct word<8> { typedef int2 type; };
template <> struct word<4> { typedef int type; };
template <> struct word<2> { typedef short type; };

template <int WIDE, class T> __device__ static inline part<WIDE> load(const T *from) {
    typedef typename word<WIDE *(int)sizeof(T)>::type bits;
    enum { STEPS = WIDE * (int)sizeof(T) / (int)sizeof(bits), EACH = WIDE / STEPS };
    part<WIDE> p;
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        bits word = reinterpret_cast<const bits *>(from)[s];
        T values[EACH];
        memcpy(values, &word, sizeof word);
#pragma unroll
        for (int i = 0; i < EACH; i++) p.at[s * EACH + i] = get(values[i]);
    }
    return p;
}

template <int WIDE, class T> __device__ static inline void store(const part<WIDE> &p, T *to) {
    typedef typename word<WIDE *(int)sizeof(T)>::type bits;
    enum { STEPS = WIDE * (int)sizeof(T) / (int)sizeof(bits), EACH = WIDE / STEPS };
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        T values[EACH];
#pragma unroll
        for (int i = 0; i < EACH; i++) put(p.at[s * EACH + i], &values[i]);
        bits word;
        memcpy(&word, values, sizeof word);
        reinterpret_cast<bits *>(to)[s] = word;
    }
}

/* ---- sums over a warp, or over a team of warps that is a whole block ---- */

/* In a fixed order; all lanes get the result. */
__device__ static inline real warp_sum(real v) {
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) v += __shfl_xor_sync(~0u, v, bits);
    return v;
}

__device__ static inline double warp_sum(double v) {
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) v += __shfl_xor_sync(~0u, v, bits);
    return v;
}

__device__ static inline real warp_max(real v) {
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) {
        real other = __shfl_xor_sync(~0u, v, bits);
        v = other > v ? other : v;
    }
    return v;
}

/* Over WARPS warps, which are the block; `room` is shared memory for WARPS numbers. Warps are added in order. */
template <int WARPS, class T> __device__ static inline T team_sum(T v, T *room) {
    v = warp_sum(v);
    if (WARPS == 1) return v;
    __syncthreads(); /* room may still be read */
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = v;
    __syncthreads();
    T total = 0;
#pragma unroll
    for (int w = 0; w < WARPS; w++) total += room[w];
    return total;
}

template <int WARPS> __device__ static inline real team_max(real v, real *room) {
    v = warp_max(v);
    if (WARPS == 1) return v;
    __syncthreads();
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = v;
    __syncthreads();
    real top = room[0];
#pragma unroll
    for (int w = 1; w < WARPS; w++) top = room[w] > top ? room[w] : top;
    return top;
}

#endif
