#include "base/dtype.h"

static const struct {
    const char *name;
    size_t size;
} types[DTYPE_COUNT] = {
    [DTYPE_F32] = {"f32", 4},
    [DTYPE_F64] = {"f64", 8},
    [DTYPE_I32] = {"i32", 4},
    [DTYPE_U8] = {"u8", 1},
};

size_t dtype_size(enum dtype type) { return types[type].size; }
const char *dtype_name(enum dtype type) { return types[type].name; }
