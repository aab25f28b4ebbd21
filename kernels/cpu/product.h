/* Matrix products of whole buffers, divided among threads: what `linear` and its gradients are made of. */
#ifndef CPU_PRODUCT_H
#define CPU_PRODUCT_H

#include "real.h"
#include "tile_work.h"

/* c[m,n] = a b, or c + a b if `add`. a is [m,k], or [k,m] if a_transposed; b is [k,n], or [n,k] if b_transposed.
 * value_product() makes values, real_product() sums for gradients of parameters; value_product_with() does some work on the tiles too. */
#if defined KERNEL_F16
void cpu_product_f16(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const value *a,
                     const value *b, int add, value *c);
void cpu_product_f16_with(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const value *a,
                          const value *b, int add, value *c, const struct tile_work *work);
void cpu_product_f16_f32(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const value *a,
                         const value *b, int add, real *c);
#define value_product      cpu_product_f16
#define value_product_with cpu_product_f16_with
#define real_product       cpu_product_f16_f32
#elif defined KERNEL_BF16
#include "product_bf16.h"
#define value_product      cpu_product_bf16
#define value_product_with cpu_product_bf16_with
#define real_product       cpu_product_bf16_f32
#else
void K(product)(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const real *a, const real *b,
                int add, real *c);
void K(product_with)(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const real *a, const real *b,
                     int add, real *c, const struct tile_work *work);
#define value_product      K(product)
#define value_product_with K(product_with)
#define real_product       K(product)
#endif

#endif
