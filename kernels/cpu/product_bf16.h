/* Matrix products of bf16 with sums in float: what `linear` and its gradients are made of in mixed precision. */
#ifndef CPU_PRODUCT_BF16_H
#define CPU_PRODUCT_BF16_H

#include <stdint.h>

#include "tile_work.h"

/* c[m,n] = a b, or c + a b if `add`. a is [m,k], or [k,m] if a_transposed; b is [k,n], or [n,k] if b_transposed. An
 * element of c is rounded to bf16 once, after all is added in float. */
void cpu_product_bf16(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const uint16_t *a,
                      const uint16_t *b, int add, uint16_t *c);

/* The same, with some work on the tiles. */
void cpu_product_bf16_with(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const uint16_t *a,
                           const uint16_t *b, int add, uint16_t *c, const struct tile_work *work);

/* The same into floats, for gradients of parameters. */
void cpu_product_bf16_f32(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, const uint16_t *a,
                          const uint16_t *b, int add, float *c);

#endif
