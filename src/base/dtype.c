#include "base/dtype.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} types[DTYPE_COUNT] = {
    [DTYPE_F32] = {"f32", 4}, [DTYPE_F64] = {"f64", 8}, [DTYPE_BF16] = {"bf16", 2},
    [DTYPE_F16] = {"f16", 2}, [DTYPE_I32] = {"i32", 4}, [DTYPE_U8] = {"u8", 1},
};

size_t dtype_size(enum dtype type) { return types[type].size; }
enum dtype dtype_of_sums(enum dtype type) { return type == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32; }
const char *dtype_name(enum dtype type) { return types[type].name; }

/* IEEE 754 binary16, by its definition. */
static double read_f16(uint16_t half) {
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double size = ldexp(exponent ? 1024 + mantissa : mantissa, exponent ? exponent - 25 : -24);
    if (exponent == 31) size = mantissa ? NAN : INFINITY;
    return half & 0x8000 ? -size : size;
}

double dtype_read(enum dtype type, const void *array, int64_t i) {
    if (type == DTYPE_F64) return ((const double *)array)[i];
    if (type == DTYPE_F32) return (double)((const float *)array)[i];
    uint16_t half = ((const uint16_t *)array)[i];
    if (type == DTYPE_F16) return read_f16(half);
    uint32_t bits = (uint32_t)half << 16; /* bf16 is the upper half of a float */
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}
