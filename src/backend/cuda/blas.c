#include "backend/cuda/blas.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda.h"
#include "base/check.h"

struct blas cuda_blas;

/* Names in words: the library's own function for it came late. */
static const char *status_name(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "out of memory";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "invalid value";
    case CUBLAS_STATUS_ARCH_MISMATCH:
        return "not on this architecture";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "execution failed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "not supported";
    default:
        return "internal error";
    }
}

int cuda_blas_check(cublasStatus_t status, const char *doing) {
    if (status == CUBLAS_STATUS_SUCCESS) return 0;
    return fail(STATUS_FAILED, "cuBLASLt: %s (%d) while %s", status_name(status), (int)status, doing);
}

#ifdef LOCKSTEP_SHIM /* tests bring their own */

static int find_functions(void) {
#define FUNCTION(name) cuda_blas.name = name;
    BLAS_FUNCTIONS(FUNCTION)
#undef FUNCTION
    return 0;
}

#else

static void *open_library(void) {
    char versioned[64];
    const char *named = getenv("LOCKSTEP_CUBLASLT");
    if (named) return dlopen(named, RTLD_NOW | RTLD_LOCAL);
    snprintf(versioned, sizeof versioned, "libcublasLt.so.%d", CUBLAS_VER_MAJOR);
    void *library = dlopen(versioned, RTLD_NOW | RTLD_LOCAL);
    if (library) return library;
    snprintf(versioned, sizeof versioned, "%s/libcublasLt.so.%d", CUDA_LIBRARY_FOLDER, CUBLAS_VER_MAJOR);
    return dlopen(versioned, RTLD_NOW | RTLD_LOCAL);
}

static int find_functions(void) {
    void *library = open_library();
    if (!library)
        return fail(STATUS_FAILED,
                    "backend cuda: cannot open libcublasLt.so.%d (%s); install the CUDA libraries, or name the file in "
                    "LOCKSTEP_CUBLASLT",
                    CUBLAS_VER_MAJOR, dlerror());
#define FUNCTION(name)                                                                                                 \
    *(void **)&cuda_blas.name = dlsym(library, #name);                                                                 \
    if (!cuda_blas.name) return fail(STATUS_FAILED, "backend cuda: this cuBLASLt has no " #name);
    BLAS_FUNCTIONS(FUNCTION)
#undef FUNCTION
    return 0;
}

#endif

int cuda_open_blas(void) {
    if (cuda_blas.handle) return 0;
    TRY(find_functions());
    setenv("NVIDIA_TF32_OVERRIDE", "0", 1); /* fp32 means fp32 */
    return cuda_blas_check(cuda_blas.cublasLtCreate(&cuda_blas.handle), "starting");
}

const char *cuda_blas_version(void) {
    static char text[32];
    size_t version = cuda_blas.handle ? cuda_blas.cublasLtGetVersion() : 0;
    snprintf(text, sizeof text, "%zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
    return text;
}
