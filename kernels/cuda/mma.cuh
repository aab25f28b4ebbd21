/* Tensor cores, the loads that fill their operands, and copies into shared memory that go on meanwhile (sm_80 and newer; PTX ISA,
 * "Matrix Fragments for mma.m16n8k16", "ldmatrix", "cp.async"). Values are bf16 or fp16.
 *
 * D[16, 8] += A[16, 16] B[16, 8]: a warp makes the product together. With g = lane / 4 and t = lane % 4 a lane holds
 *
 *     a[0] = A[g][2t, 2t + 1]    a[1] = A[g + 8][2t, 2t + 1]    a[2], a[3] = the same 8 columns on
 *     b[0] = B[2t, 2t + 1][g]    b[1] = B[2t + 8, 2t + 9][g]
 *     d[0], d[1] = D[g][2t, 2t + 1]    d[2], d[3] = D[g + 8][2t, 2t + 1]
 *
 * two values in a word, the first in its lower half. So two D side by side, packed, are an A. Under the shim tests/shim/include/shim_mma.h
 * says the same in plain C++. */
#ifndef CUDA_MMA_CUH
#define CUDA_MMA_CUH

#include "device.cuh"

#if defined KERNEL_BF16 || defined KERNEL_F16

#ifdef __CUDACC__

__device__ static inline uint32_t shared_address(const void *shared) {
    return (uint32_t)__cvta_generic_to_shared(shared);
}

/* D += A B. */
__device__ static inline void mma_16816(float d[4], const uint32_t a[4], const uint32_t b[2]) {
#ifdef KERNEL_BF16
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
#else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
#endif
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Four matrices of 8 rows of 16 bytes: lanes 8i .. 8i + 7 say where the rows of matrix i are. A lane gets the values 2t, 2t + 1 of row g
 * of each. Shared memory is written behind the compiler's back (copy_async_16), hence "memory". */
__device__ static inline void load_matrices_x4(uint32_t r[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* A lane gets the values g of rows 2t and 2t + 1. */
__device__ static inline void load_matrices_x4_transposed(uint32_t r[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* 16 bytes, both places at multiples of 16; bytes_valid 0: zeros, and nothing is read. */
__device__ static inline void copy_async_16(void *shared, const void *global, int bytes_valid) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(bytes_valid)
                 : "memory");
}

/* 4 bytes, or zeros. */
__device__ static inline void copy_async_4(void *shared, const void *global, int bytes_valid) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(bytes_valid)
                 : "memory");
}

/* The thread's copies since the last commit are a group. */
__device__ static inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/* Until all but the last LEFT groups have landed: for this thread's eyes; others see them after __syncthreads(). */
template <int LEFT> __device__ static inline void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

/* Both rounded to values. */
__device__ static inline uint32_t pack_values(real low, real high) {
    uint32_t both;
#ifdef KERNEL_BF16
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
#else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
#endif
    return both;
}

/* 2^x to 2 units in the last place; what would be denormal is 0. */
__device__ static inline real power_of_two(real x) {
    real y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#else
#include <shim_mma.h>
#endif

#endif
#endif
