#include "base/check.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/cpu.h"
#include "cudnn_case.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/f16.h"

cpu_kernel cpu_attention_bf16, cpu_attention_f16, cpu_attention_grad_bf16, cpu_attention_grad_f16;

enum { GUARD = 64, OPERANDS = 6 }; /* bytes behind each buffer; buffers of one call */

static void *new_buffer(int64_t bytes) {
    char *at = aligned_alloc(256, (size_t)(bytes + GUARD + 255) / 256 * 256);
    assert_non_null(at);
    memset(at, 0x5a, (size_t)(bytes + GUARD));
    return at;
}

static void free_buffer(void *buffer, int64_t bytes) {
    for (int i = 0; i < GUARD; i++) assert_int_equal(((const char *)buffer)[bytes + i], 0x5a);
    free(buffer);
}

static void fill(enum dtype type, uint16_t *to, int64_t n, uint32_t seed) {
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        float x = (float)(seed >> 8) / (1 << 22) - 2;
        to[i] = type == DTYPE_BF16 ? float_to_bf16(x) : float_to_f16(x);
    }
}

struct cudnn_buffers new_buffers(const struct cudnn_attention_shape *s) {
    struct cudnn_buffers b = {.shape = *s, .rows = s->batch * s->time, .narrow = s->heads * s->size};
    b.wide = b.narrow + 2 * s->kv_heads * s->size;
    b.qkv = new_buffer(2 * b.rows * b.wide);
    b.dqkv = new_buffer(2 * b.rows * b.wide);
    b.o = new_buffer(2 * b.rows * b.narrow);
    b.d_o = new_buffer(2 * b.rows * b.narrow);
    b.lse = new_buffer(4 * b.rows * s->heads);
    fill(s->type, b.qkv, b.rows * b.wide, 1);
    fill(s->type, b.d_o, b.rows * b.narrow, 2);
    return b;
}

void free_buffers(struct cudnn_buffers *b) {
    free_buffer(b->qkv, 2 * b->rows * b->wide);
    free_buffer(b->dqkv, 2 * b->rows * b->wide);
    free_buffer(b->o, 2 * b->rows * b->narrow);
    free_buffer(b->d_o, 2 * b->rows * b->narrow);
    free_buffer(b->lse, 4 * b->rows * b->shape.heads);
}

static struct view view(void *data, int64_t rows, int64_t columns) {
    return (struct view){data, {rows, columns, 1, 1}};
}

/* o and lse, then dqkv, by the kernels of the CPU backend. */
static void expect(struct cudnn_buffers *b) {
    const struct cudnn_attention_shape *s = &b->shape;
    int brain = s->type == DTYPE_BF16;
    struct op_attr attr = {
        .batch = s->batch, .time = s->time, .heads = s->heads, .kv_heads = s->kv_heads, .scale = s->scale};
    struct step_block step = {0};
    size_t scratch = 1 << 22; /* more than the rules ask for here */
    struct view qkv = view(b->qkv, b->rows, b->wide), o = view(b->o, b->rows, b->narrow),
                lse = view(b->lse, s->batch * s->heads, s->time);
    struct kernel_args forward = {.out = {o, lse},
                                  .in = {qkv},
                                  .attr = &attr,
                                  .step = &step,
                                  .scratch = aligned_alloc(64, scratch * (size_t)omp_get_max_threads()),
                                  .scratch_stride = scratch};
    struct kernel_args backward = forward;
    backward.out[0] = view(b->dqkv, b->rows, b->wide);
    backward.in[0] = view(b->d_o, b->rows, b->narrow);
    backward.in[1] = qkv;
    backward.in[2] = o;
    backward.in[3] = lse;
    (brain ? cpu_attention_bf16 : cpu_attention_f16)(&forward);
    (brain ? cpu_attention_grad_bf16 : cpu_attention_grad_f16)(&backward);
    free(forward.scratch);
}

/* Runs twice, since nothing may be left in the workspace that the second run could not bear. */
static int run_twice(const struct cudnn_attention *graph, const struct cudnn_attention_operands *operands) {
    struct cudnn_attention_call *call;
    TRY(cudnn_attention_bind(graph, operands, &call));
    int status = cudnn_attention_run(call, NULL);
    if (!status) status = cudnn_attention_run(call, NULL);
    cudnn_attention_unbind(call);
    return status;
}

int compute_attention(struct cudnn *library, struct cudnn_buffers *b, const struct cudnn_memory *memory, int backward) {
    struct cudnn_attention *graph;
    TRY(cudnn_attention_make(library, &b->shape, backward, NULL, &graph));
    int64_t space = cudnn_attention_workspace(graph);
    char *workspace = new_buffer(space);
    void *const host[OPERANDS] = {b->qkv, b->o, b->lse, b->d_o, b->dqkv, workspace};
    const int64_t bytes[OPERANDS] = {2 * b->rows * b->wide,   2 * b->rows * b->narrow, 4 * b->rows * b->shape.heads,
                                     2 * b->rows * b->narrow, 2 * b->rows * b->wide,   space};
    void *at[OPERANDS];
    for (int i = 0; i < OPERANDS; i++) {
        at[i] = memory->make(bytes[i] + GUARD);
        memory->put(at[i], host[i], bytes[i] + GUARD);
    }
    const struct cudnn_attention_operands operands = {at[0], at[1], at[2], at[3], at[4], at[5]};
    int status = run_twice(graph, &operands);
    for (int i = 0; i < OPERANDS; i++) {
        memory->get(host[i], at[i], bytes[i] + GUARD);
        memory->drop(at[i]);
    }
    cudnn_attention_free(graph);
    free_buffer(workspace, space);
    return status;
}

/* Within some roundings of the largest number: both sides round probabilities or sums on the way, at other places. */
static void compare(const struct cudnn_attention_shape *s, const char *what, const uint16_t *got, const uint16_t *want,
                    int64_t n) {
    double largest = 0, error = 0, rounding = s->type == DTYPE_BF16 ? 0x1p-8 : 0x1p-11;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(dtype_read(s->type, want, i)));
        double off = fabs(dtype_read(s->type, got, i) - dtype_read(s->type, want, i));
        error = off <= error ? error : off; /* NaN too */
    }
    if (error <= 2 * rounding * largest) return;
    fail_msg("%s is off by %g where the largest number is %g: time %lld, heads %lld and %lld of %lld, %s%s", what,
             error, largest, (long long)s->time, (long long)s->heads, (long long)s->kv_heads, (long long)s->size,
             dtype_name(s->type), s->deterministic ? ", deterministic" : "");
}

void check_attention(struct cudnn *library, const struct cudnn_attention_shape *s, const struct cudnn_memory *memory) {
    struct cudnn_buffers want = new_buffers(s), got = new_buffers(s);
    size_t bytes = (size_t)(2 * want.rows * want.wide);
    expect(&want);
    if (compute_attention(library, &got, memory, 0)) fail_msg("%s", fail_message());
    compare(s, "o", got.o, want.o, want.rows * want.narrow);
    for (int64_t i = 0; i < want.rows * s->heads; i++)
        if (!(fabsf(got.lse[i] - want.lse[i]) < 1e-4f))
            fail_msg("lse[%lld] is %g, not %g", (long long)i, (double)got.lse[i], (double)want.lse[i]);
    if (compute_attention(library, &got, memory, 1)) fail_msg("%s", fail_message());
    compare(s, "dqkv", got.dqkv, want.dqkv, want.rows * want.wide);
    for (int again = 0; s->deterministic && again < 2; again++) {
        memcpy(want.dqkv, got.dqkv, bytes);
        if (compute_attention(library, &got, memory, 1)) fail_msg("%s", fail_message());
        if (memcmp(want.dqkv, got.dqkv, bytes)) fail_msg("the gradient has other bits the next time");
    }
    free_buffers(&want);
    free_buffers(&got);
}
