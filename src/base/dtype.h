/* Element types of buffers and arrays. */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

enum dtype { DTYPE_F32, DTYPE_F64, DTYPE_BF16, DTYPE_F16, DTYPE_I32, DTYPE_U8, DTYPE_COUNT };

size_t dtype_size(enum dtype type);
/* Element i of an array of real numbers of any type. */
double dtype_read(enum dtype type, const void *array, int64_t i);

const char *dtype_name(enum dtype type); /* "f32", "f64", "bf16", "f16", "i32", "u8" */

/* What sums, statistics and gradients of parameters are kept in where values are of `type`: f64 for f64, else f32. */
enum dtype dtype_of_sums(enum dtype type);

#endif
