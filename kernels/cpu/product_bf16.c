#include "bf16.h"
#include "product_bf16.h"
/* TEMPORARY */
static float dot(int ta, int tb, int64_t m, int64_t n, int64_t k, const uint16_t *a, const uint16_t *b, int64_t i, int64_t j) {
    float s = 0;
    for (int64_t t = 0; t < k; t++) s += bf16_to_float(ta ? a[t * m + i] : a[i * k + t]) * bf16_to_float(tb ? b[j * k + t] : b[t * n + j]);
    return s;
}
void cpu_product_bf16(int ta, int tb, int64_t m, int64_t n, int64_t k, const uint16_t *a, const uint16_t *b, int add, uint16_t *c) {
#pragma omp parallel for
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) c[i * n + j] = float_to_bf16((add ? bf16_to_float(c[i * n + j]) : 0) + dot(ta, tb, m, n, k, a, b, i, j));
}
void cpu_product_bf16_f32(int ta, int tb, int64_t m, int64_t n, int64_t k, const uint16_t *a, const uint16_t *b, int add, float *c) {
#pragma omp parallel for
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) c[i * n + j] = (add ? c[i * n + j] : 0) + dot(ta, tb, m, n, k, a, b, i, j);
}
