/* What is asked of cuDNN, on a cuDNN that computes on the processor (cudnn_cpu.c): that the graphs of both passes and the
 * places of their operands mean what op.def says, by comparison with the kernels of the CPU backend; which engine is taken;
 * and that every failure of the library is told and leaves nothing behind. */
#include "base/check.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cudnn_case.h"
#include "cudnn_cpu.h"

#ifndef CUDNN_CPU
#define CUDNN_CPU "./libcudnn_cpu.so"
#endif

static cudnn_cpu_fail_function *fail_call;
static cudnn_cpu_alive_function *alive;

static void *make(int64_t bytes) {
    void *made = aligned_alloc(256, (size_t)(bytes + 255) / 256 * 256);
    assert_non_null(made);
    return made;
}

static void copy(void *to, const void *from, int64_t bytes) { memcpy(to, from, (size_t)bytes); }

static const struct cudnn_memory host = {make, free, copy, copy};

static struct cudnn *open_one(void) {
    struct cudnn *library;
    char why_not[256] = "";
    if (cudnn_open(&library, why_not, sizeof why_not)) fail_msg("%s", fail_message());
    if (!library) fail_msg("%s", why_not);
    return library;
}

static void the_graphs_are_attention(void **state) {
    (void)state;
    static const int64_t heads[][2] = {{3, 3}, {4, 2}, {4, 1}}, sizes[] = {8, 24}, times[] = {1, 7, 33};
    struct cudnn *library = open_one();
    for (int i = 0; i < 3 * 2 * 3 * 2 * 2; i++) {
        const int64_t *of = heads[i % 3];
        struct cudnn_attention_shape s = {
            2, times[i / 6 % 3], of[0], of[1], sizes[i / 3 % 2], 0.3, i / 18 % 2 ? DTYPE_F16 : DTYPE_BF16, i / 36};
        check_attention(library, &s, &host);
    }
    cudnn_close(library);
    assert_int_equal(alive(), 0);
}

static void the_engine_is_the_first_that_works_or_the_chosen_one(void **state) {
    (void)state;
    struct cudnn *library = open_one();
    struct cudnn_attention_shape s = {1, 4, 2, 2, 8, 1, DTYPE_BF16, 0};
    struct cudnn_attention *graph;
    static const struct {
        int deterministic;
        const char *choice, *taken;
    } cases[] = {
        {0, NULL, "cuDNN 9.19.0 engine 0 knobs 24=0"},
        {1, NULL, "cuDNN 9.19.0 engine 2 knobs 24=2"}, /* 0 is not deterministic, 1 does not work */
        {0, "cuDNN 9.19.0 engine 2 knobs 24=2", "cuDNN 9.19.0 engine 2 knobs 24=2"},
        {0, "cuDNN 9.19.0 engine 3 knobs 24=3", "cuDNN 9.19.0 engine 3 knobs 24=3"}, /* named by the second heuristic */
        {1, "cuDNN 9.19.0 engine 0 knobs 24=0", NULL},
        {0, "cuDNN 9.19.0 engine 1 knobs 24=1", NULL},
        {0, "cuDNN 9.18.0 engine 2 knobs 24=2", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        s.deterministic = cases[i].deterministic;
        int status = cudnn_attention_make(library, &s, 1, cases[i].choice, &graph);
        assert_int_equal(status, cases[i].taken ? 0 : STATUS_USAGE);
        if (graph) assert_string_equal(cudnn_attention_describe(graph), cases[i].taken);
        if (!graph) assert_non_null(strstr(fail_message(), cases[i].choice));
        cudnn_attention_free(graph);
    }
    cudnn_close(library);
    assert_int_equal(alive(), 0);
}

static void operands_are_checked(void **state) {
    (void)state;
    struct cudnn *library = open_one();
    struct cudnn_attention_shape s = {1, 4, 2, 2, 8, 1, DTYPE_BF16, 0};
    struct cudnn_attention *graph;
    struct cudnn_attention_call *call;
    assert_int_equal(cudnn_attention_make(library, &s, 1, NULL, &graph), 0);
    /* The engine's 300 bytes, rowsum(dO * O) and the sum of dQ, each rounded up to 256. */
    assert_int_equal(cudnn_attention_workspace(graph), 512 + 256 + 256);
    char *any = make(1024);
    const struct cudnn_attention_operands good = {any, any, (float *)any, any, any, any};
    struct cudnn_attention_operands bad[] = {good, good, good, good, good, good};
    bad[0].qkv = NULL;
    bad[1].o = any + 2;
    bad[2].lse = NULL;
    bad[3].d_o = NULL;
    bad[4].dqkv = any + 8;
    bad[5].workspace = any + 16;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cudnn_attention_bind(graph, &bad[i], &call), STATUS_FAILED);
        assert_null(call);
    }
    assert_int_equal(cudnn_attention_bind(graph, &good, &call), 0);
    cudnn_attention_unbind(call);
    cudnn_attention_free(graph);
    cudnn_close(library);
    free(any);
    assert_int_equal(alive(), 0);
}

static void each_failure_is_told_and_leaves_nothing(void **state) {
    (void)state;
    for (int backward = 0; backward < 2; backward++) {
        struct cudnn_attention_shape s = {1, 4, 4, 2, 8, 1, DTYPE_BF16, 1};
        struct cudnn_buffers b = new_buffers(&s);
        memset(b.o, 0, (size_t)(2 * b.rows * b.narrow));
        memset(b.lse, 0, (size_t)(4 * b.rows * s.heads));
        int call = 0, failures = 0, count;
        do {
            struct cudnn *library;
            char why_not[256] = "";
            fail_call(++call);
            (fail)(STATUS_OK, "%s", "");
            assert_int_equal(cudnn_open(&library, why_not, sizeof why_not), 0);
            if (!library) assert_true(*why_not);
            if (library && compute_attention(library, &b, &host, backward)) {
                assert_non_null(strstr(fail_message(), "cuDNN"));
                failures++;
            }
            cudnn_close(library);
            assert_int_equal(alive(), 0);
            count = fail_call(0);
        } while (call <= count);
        assert_true(failures > 100); /* of the others each costs no more than one engine of several */
        free_buffers(&b);
    }
}

static void a_library_that_is_named_must_be_there(void **state) {
    (void)state;
    struct cudnn *library;
    char why_not[256] = "";
    setenv("LOCKSTEP_CUDNN", "/nowhere/libcudnn.so", 1);
    assert_int_equal(cudnn_open(&library, why_not, sizeof why_not), STATUS_USAGE);
    assert_null(library);
    assert_non_null(strstr(fail_message(), "/nowhere/libcudnn.so"));
    setenv("LOCKSTEP_CUDNN", "libm.so.6", 1); /* there, but another library */
    assert_int_equal(cudnn_open(&library, why_not, sizeof why_not), 0);
    assert_null(library);
    assert_non_null(strstr(why_not, "cudnnGetVersion"));
    setenv("LOCKSTEP_CUDNN", CUDNN_CPU, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_graphs_are_attention),
        cmocka_unit_test(the_engine_is_the_first_that_works_or_the_chosen_one),
        cmocka_unit_test(operands_are_checked),
        cmocka_unit_test(each_failure_is_told_and_leaves_nothing),
        cmocka_unit_test(a_library_that_is_named_must_be_there),
    };
    void *file = dlopen(CUDNN_CPU, RTLD_NOW | RTLD_LOCAL), *functions[2] = {NULL};
    if (file) functions[0] = dlsym(file, "cudnn_cpu_fail");
    if (file) functions[1] = dlsym(file, "cudnn_cpu_alive");
    if (!functions[0] || !functions[1]) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    memcpy(&fail_call, &functions[0], sizeof fail_call);
    memcpy(&alive, &functions[1], sizeof alive);
    setenv("LOCKSTEP_CUDNN", CUDNN_CPU, 1);
    return cmocka_run_group_tests_name("cudnn_cpu", tests, NULL, NULL);
}
