/* cuDNN itself, with no GPU: which graphs of attention it has an engine for on an H200, of which it is told the properties.
 * Their kernels are compiled but not run; test_cudnn_cpu.c is about what the graphs mean. */
#include "base/check.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "backend/cuda/cudnn.h"

#ifndef CUDA_STUB /* the driver's library of the toolkit, whose functions all fail: cuDNN wants one for being there */
#define CUDA_STUB "/usr/local/cuda/lib64/stubs/libcuda.so"
#endif

static const char h200[] =
    "{\"cudaDeviceId\":0,\"deviceVer\":900,\"driverVer\":13000,\"deviceName\":\"NVIDIA H200\","
    "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,"
    "\"multiProcessorCount\":132,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"
    "\"maxSharedMemoryPerBlockOptin\":232448,\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"
    "\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,"
    "\"supportCoopLaunch\":1,\"totalGlobalMem\":150000000000,\"smClockRateKHz\":1980000,"
    "\"memClockRateKHz\":3201000,\"l2CacheSize\":62914560}";

/* cuDNN keeps kernels whose loading failed, and without a GPU all do. That nothing of ours is left is in test_cudnn_cpu.c. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }

static struct cudnn *library;
static char why_not[512];

static int open_library(void **state) {
    (void)state;
    if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL)) dlopen(CUDA_STUB, RTLD_NOW | RTLD_GLOBAL);
    return cudnn_open_without_device(h200, &library, why_not, sizeof why_not);
}

static int close_library(void **state) {
    (void)state;
    cudnn_close(library);
    return 0;
}

static void skip_without_library(void) {
    if (library) return;
    print_message("skipped: no cuDNN: %s\n", why_not);
    skip();
}

enum pass { FORWARD, BACKWARD, BACKWARD_DETERMINISTIC };

static void check_pass(struct cudnn_attention_shape s, enum pass pass) {
    struct cudnn_attention *graph;
    s.deterministic = pass == BACKWARD_DETERMINISTIC;
    if (cudnn_attention_make(library, &s, pass != FORWARD, NULL, &graph)) fail_msg("%s", fail_message());
    int64_t rows = s.batch * s.heads * s.time, bytes = cudnn_attention_workspace(graph);
    int64_t scores = s.batch * s.heads * ((s.time + 63) / 64 * 64) * ((s.time + 63) / 64 * 64);
    int64_t own = pass == FORWARD ? 0 : rows * 4 + (pass == BACKWARD ? rows * 4 * s.size : scores * 2);
    const char *text = cudnn_attention_describe(graph);
    /* Beside what the comment of backward() says there may be dK and dV of all heads, before groups are summed. */
    int64_t most = own + (pass != FORWARD && s.heads != s.kv_heads ? 2 * rows * 2 * s.size : 0) + (1 << 20);
    if (bytes < own || bytes > most || bytes % 256) fail_msg("a workspace of %lld bytes", (long long)bytes);
    if (strncmp(text, "cuDNN ", 6) || !strstr(text, " engine ") || strstr(text, "engine -1")) fail_msg("\"%s\"", text);
    print_message("D %3lld heads %lld/%-2lld time %5lld %s %s: %lld bytes, %s\n", (long long)s.size, (long long)s.heads,
                  (long long)s.kv_heads, (long long)s.time, dtype_name(s.type),
                  pass == FORWARD   ? "forward"
                  : s.deterministic ? "backward, deterministic"
                                    : "backward",
                  (long long)bytes, text);
    cudnn_attention_free(graph);
}

/* Not every shape in every pass: each takes half a second or more. */
static void shapes_have_engines(void **state) {
    (void)state;
    static const int64_t kv_heads[] = {16, 4, 1}, sizes[] = {64, 128, 80};
    skip_without_library();
    for (int i = 0; i < 9; i++) {
        struct cudnn_attention_shape s = {2, 1024, 16, kv_heads[i % 3], sizes[i / 3], 0.125, DTYPE_BF16, 0};
        for (int pass = FORWARD; pass <= BACKWARD_DETERMINISTIC; pass++)
            if (i < 6 || pass == i % 3) check_pass(s, pass);
        s.type = DTYPE_F16;
        s.time = i % 2 ? 1000 : 16384;
        check_pass(s, (i + 1) % 3);
    }
    struct cudnn_attention_shape widest = {1, 1024, 8, 8, 256, 0.0625, DTYPE_BF16, 0};
    check_pass(widest, FORWARD);
    check_pass(widest, BACKWARD);
}

static void shapes_without_engines_are_told(void **state) {
    (void)state;
    skip_without_library();
    static const struct {
        struct cudnn_attention_shape shape;
        const char *told;
    } cases[] = {
        {{2, 128, 4, 4, 70, 1, DTYPE_BF16, 0}, "multiple of 8 channels, not 70"},
        {{2, 128, 4, 4, 63, 1, DTYPE_BF16, 0}, "multiple of 8 channels, not 63"},
        {{2, 128, 4, 3, 64, 1, DTYPE_BF16, 0}, "4 heads do not share 3 heads"},
        {{2, 128, 4, 4, 64, 1, DTYPE_F32, 0}, "not f32"},
        {{2, 0, 4, 4, 64, 1, DTYPE_BF16, 0}, "at least 1"},
        {{2, 128, 4, 4, 264, 1, DTYPE_BF16, 0}, "no engine for the backward pass of batch 2, time 128"},
        {{2, 128, 4, 4, 264, 1, DTYPE_F16, 1}, "264 channels, f16, deterministic"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cudnn_attention *graph;
        assert_int_equal(cudnn_attention_make(library, &cases[i].shape, 1, NULL, &graph), STATUS_USAGE);
        assert_null(graph);
        if (!strstr(fail_message(), cases[i].told)) fail_msg("\"%s\", without \"%s\"", fail_message(), cases[i].told);
    }
}

static void a_choice_can_be_kept(void **state) {
    (void)state;
    skip_without_library();
    const struct cudnn_attention_shape s = {2, 512, 12, 12, 64, 0.125, DTYPE_BF16, 0};
    struct cudnn_attention *first, *again;
    assert_int_equal(cudnn_attention_make(library, &s, 1, NULL, &first), 0);
    assert_int_equal(cudnn_attention_make(library, &s, 1, cudnn_attention_describe(first), &again), 0);
    assert_string_equal(cudnn_attention_describe(first), cudnn_attention_describe(again));
    assert_int_equal(cudnn_attention_workspace(first), cudnn_attention_workspace(again));
    cudnn_attention_free(again);
    assert_int_equal(cudnn_attention_make(library, &s, 1, "cuDNN 9.0.0 engine 6", &again), STATUS_USAGE);
    assert_null(again);
    cudnn_attention_free(first);
}

/* Binding looks at no operand, so it can be tried with addresses of nothing. */
static void operands_are_bound(void **state) {
    (void)state;
    skip_without_library();
    const struct cudnn_attention_shape s = {2, 512, 12, 4, 64, 0.125, DTYPE_BF16, 0};
    struct cudnn_attention *graph;
    struct cudnn_attention_call *call;
    void *nothing = (void *)(uintptr_t)0x100000;
    const struct cudnn_attention_operands operands = {nothing, nothing, nothing, nothing, nothing, nothing};
    for (int backward = 0; backward < 2; backward++) {
        assert_int_equal(cudnn_attention_make(library, &s, backward, NULL, &graph), 0);
        if (cudnn_attention_bind(graph, &operands, &call)) fail_msg("%s", fail_message());
        assert_int_equal(cudnn_attention_run(call, NULL), STATUS_FAILED);
        assert_non_null(strstr(fail_message(), "no device"));
        cudnn_attention_unbind(call);
        cudnn_attention_free(graph);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_have_engines),
        cmocka_unit_test(shapes_without_engines_are_told),
        cmocka_unit_test(a_choice_can_be_kept),
        cmocka_unit_test(operands_are_bound),
    };
    return cmocka_run_group_tests_name("cudnn", tests, open_library, close_library);
}
