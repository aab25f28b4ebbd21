#include "backend/backend.h"

static const struct backend *const backends[] = {
    [BACKEND_AUTO] = &backend_cpu,
    [BACKEND_CPU] = &backend_cpu,
    [BACKEND_NULL] = &backend_null,
};

const struct backend *backend_choose(int choice) { return backends[choice]; }
