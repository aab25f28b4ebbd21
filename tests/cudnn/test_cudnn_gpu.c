/* Attention by cuDNN on a GPU against the kernels of the CPU backend. Skipped where there is no GPU or no cuDNN. Memory comes
 * from the driver, which is opened here, so that the test is linked without CUDA. */
#include "base/check.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "cudnn_case.h"

/* Of the driver; an address on the device is an unsigned long long there, and 0 is success. */
static struct {
    int (*cuInit)(unsigned);
    int (*cuDeviceGet)(int *, int);
    int (*cuDevicePrimaryCtxRetain)(void **, int);
    int (*cuCtxSetCurrent)(void *);
    int (*cuMemAlloc_v2)(unsigned long long *, size_t);
    int (*cuMemFree_v2)(unsigned long long);
    int (*cuMemcpyHtoD_v2)(unsigned long long, const void *, size_t);
    int (*cuMemcpyDtoH_v2)(void *, unsigned long long, size_t);
    int (*cuCtxSynchronize)(void);
} driver;

static struct cudnn *library;
static char why_not[512];

static int load_driver(void) {
    static const char *const names[] = {"cuInit",          "cuDeviceGet",     "cuDevicePrimaryCtxRetain",
                                        "cuCtxSetCurrent", "cuMemAlloc_v2",   "cuMemFree_v2",
                                        "cuMemcpyHtoD_v2", "cuMemcpyDtoH_v2", "cuCtxSynchronize"};
    void *file = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), *context;
    int device;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *function = file ? dlsym(file, names[i]) : NULL;
        if (!function) return snprintf(why_not, sizeof why_not, "no driver of a GPU"), 0;
        memcpy((char *)&driver + i * sizeof function, &function, sizeof function);
    }
    if (!driver.cuInit(0) && !driver.cuDeviceGet(&device, 0) && !driver.cuDevicePrimaryCtxRetain(&context, device) &&
        !driver.cuCtxSetCurrent(context))
        return 1;
    return snprintf(why_not, sizeof why_not, "no GPU"), 0;
}

static void *make(int64_t bytes) {
    unsigned long long made = 0;
    assert_int_equal(driver.cuMemAlloc_v2(&made, (size_t)bytes), 0);
    return (void *)(uintptr_t)made;
}

static void drop(void *memory) { assert_int_equal(driver.cuMemFree_v2((uintptr_t)memory), 0); }

static void put(void *to, const void *from, int64_t bytes) {
    assert_int_equal(driver.cuMemcpyHtoD_v2((uintptr_t)to, from, (size_t)bytes), 0);
}

static void get(void *to, const void *from, int64_t bytes) {
    assert_int_equal(driver.cuCtxSynchronize(), 0);
    assert_int_equal(driver.cuMemcpyDtoH_v2(to, (uintptr_t)from, (size_t)bytes), 0);
}

static const struct cudnn_memory device = {make, drop, put, get};

static int open_library(void **state) {
    (void)state;
    return load_driver() ? cudnn_open(&library, why_not, sizeof why_not) : 0;
}

static int close_library(void **state) {
    (void)state;
    cudnn_close(library);
    return 0;
}

static void the_gpu_agrees(void **state) {
    (void)state;
    static const struct cudnn_attention_shape shapes[] = {
        {2, 256, 4, 4, 64, 0.125, DTYPE_BF16, 0},  {2, 256, 4, 4, 64, 0.125, DTYPE_BF16, 1},
        {1, 1000, 8, 2, 64, 0.125, DTYPE_BF16, 0}, {1, 1000, 8, 2, 64, 0.125, DTYPE_BF16, 1},
        {2, 130, 6, 1, 80, 0.1, DTYPE_F16, 0},     {2, 130, 6, 1, 80, 0.1, DTYPE_F16, 1},
        {1, 512, 4, 2, 128, 0.09, DTYPE_BF16, 0},  {1, 512, 4, 2, 128, 0.09, DTYPE_BF16, 1},
        {1, 300, 2, 2, 256, 0.06, DTYPE_BF16, 0},  {3, 1, 2, 2, 64, 0.125, DTYPE_BF16, 1},
    };
    if (!library) {
        print_message("skipped: %s\n", why_not);
        skip();
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_attention(library, &shapes[i], &device);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_gpu_agrees)};
    return cmocka_run_group_tests_name("cudnn_gpu", tests, open_library, close_library);
}
