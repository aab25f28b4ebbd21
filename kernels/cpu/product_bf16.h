#ifndef CPU_PRODUCT_BF16_H
#define CPU_PRODUCT_BF16_H
#include <stdint.h>
void cpu_product_bf16(int ta, int tb, int64_t m, int64_t n, int64_t k, const uint16_t *a, const uint16_t *b, int add, uint16_t *c);
void cpu_product_bf16_f32(int ta, int tb, int64_t m, int64_t n, int64_t k, const uint16_t *a, const uint16_t *b, int add, float *c);
#endif
