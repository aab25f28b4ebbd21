/* Attention by cuDNN on some memory, against the kernels of the CPU backend; shared by test_cudnn_cpu.c and test_cudnn_gpu.c. */
#ifndef TESTS_CUDNN_CASE_H
#define TESTS_CUDNN_CASE_H

#include "backend/cuda/cudnn.h"

/* Where a library computes. The copies end when all that was started before has ended. */
struct cudnn_memory {
    void *(*make)(int64_t bytes); /* begins at 256 bytes */
    void (*drop)(void *memory);
    void (*put)(void *to, const void *from, int64_t bytes);
    void (*get)(void *to, const void *from, int64_t bytes);
};

/* All operands of one attention and its gradient, in memory of the host, each with a guard behind it. */
struct cudnn_buffers {
    struct cudnn_attention_shape shape;
    int64_t rows, wide, narrow; /* elements of a row of qkv and of o */
    uint16_t *qkv, *o, *d_o, *dqkv;
    float *lse;
};

/* qkv and d_o are numbers in [-2, 2) that differ from place to place; they depend on nothing but their number. */
struct cudnn_buffers new_buffers(const struct cudnn_attention_shape *shape);
/* The test fails if something was written behind a buffer. */
void free_buffers(struct cudnn_buffers *buffers);

/* One pass; 0, or the status of what failed, and then nothing is left of it. */
int compute_attention(struct cudnn *library, struct cudnn_buffers *buffers, const struct cudnn_memory *memory,
                      int backward);

/* Both passes against the CPU backend's. Where the shape says deterministic, the gradient twice, to the same bits. */
void check_attention(struct cudnn *library, const struct cudnn_attention_shape *shape,
                     const struct cudnn_memory *memory);

#endif
