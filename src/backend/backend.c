#include "backend/backend.h"

static const struct backend *const backends[] = {
    [BACKEND_AUTO] = &backend_cpu,
    [BACKEND_CPU] = &backend_cpu,
    [BACKEND_NULL] = &backend_null,
};

const struct backend *backend_choose(int choice) { return backends[choice]; }

enum ceiling ceiling_of_products(enum dtype type) {
    return type == DTYPE_F64 ? CEILING_MATRIX_F64 : type == DTYPE_BF16 ? CEILING_MATRIX_BF16 : CEILING_MATRIX_F32;
}
