/* Element types of buffers and arrays. */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stddef.h>

enum dtype { DTYPE_F32, DTYPE_F64, DTYPE_I32, DTYPE_U8, DTYPE_COUNT };

size_t dtype_size(enum dtype type);
const char *dtype_name(enum dtype type); /* "f32", "f64", "i32", "u8" */

#endif
