/* Inside the cuDNN part of the CUDA backend: the functions of the library, and graphs of its operations. */
#ifndef BACKEND_CUDA_CUDNN_GRAPH_H
#define BACKEND_CUDA_CUDNN_GRAPH_H

#include "backend/cuda/cudnn.h"

#if !defined LOCKSTEP_SHIM && __has_include(<cudnn.h>) && __has_include(<cuda_runtime_api.h>)
#include <cudnn.h>
#if CUDNN_VERSION >= 91002
#define CUDNN_HEADERS 1
#endif
#endif

#ifdef CUDNN_HEADERS

/* 9.10.0 and 9.10.1 had wrong attention; before 9.10 a mask of -infinity gave NaN, before 9.6 accumulators had to be cleared. */
enum { OLDEST_CUDNN = 91002 };

#define CUDNN_FUNCTIONS(F)                                                                                             \
    F(GetVersion)                                                                                                      \
    F(GetErrorString)                                                                                                  \
    F(GetLastErrorString)                                                                                              \
    F(Create)                                                                                                          \
    F(Destroy)                                                                                                         \
    F(SetStream)                                                                                                       \
    F(BackendCreateDescriptor)                                                                                         \
    F(BackendDestroyDescriptor)                                                                                        \
    F(BackendFinalize)                                                                                                 \
    F(BackendSetAttribute)                                                                                             \
    F(BackendGetAttribute)                                                                                             \
    F(BackendExecute)

struct cudnn {
#define F(name) __typeof__(cudnn##name) *name;
    CUDNN_FUNCTIONS(F)
#undef F
    cudnnHandle_t handle;                /* NULL: no device */
    cudnnBackendDescriptor_t properties; /* of the device that is not here; NULL where there is a handle */
};

/* Records "cuDNN: <doing>: <what the library says>" and returns STATUS_FAILED, or 0 where `status` is success. */
int cudnn_check(const struct cudnn *library, cudnnStatus_t status, const char *doing);

/* Names of the tensors whose data a call gives; those in between get numbers from FIRST_VIRTUAL on. The last three lie in
 * host memory and are read when the call is made. */
enum cudnn_tensor {
    TENSOR_Q = 1,
    TENSOR_K,
    TENSOR_V,
    TENSOR_O,
    TENSOR_LSE,
    TENSOR_DO,
    TENSOR_DQ,
    TENSOR_DK,
    TENSOR_DV,
    TENSOR_DELTA,  /* rowsum(dO * O): float[batch, heads, time] of workspace */
    TENSOR_DQ_SUM, /* float[batch, heads, time, D] of workspace; none where deterministic */
    TENSOR_SCALE,
    TENSOR_UNSEEN, /* the score of a key that is masked */
    TENSOR_ONE,
    TENSOR_END,
    FIRST_VIRTUAL = 100,
};

/* A list of operations in the making, and all descriptors that it made, which live as long as it. After its first failure,
 * kept in `status`, what is added does nothing. */
struct cudnn_graph {
    const struct cudnn *library;
    int status, n_made, n_operations;
    int64_t next_virtual;
    cudnnBackendDescriptor_t made[192], operations[32];
    cudnnBackendDescriptor_t whole; /* the finished graph; one of `made` */
};

/* {0} is ready but for `library`. Returns graph->status; graph_free() is due in any case. */
int graph_of_attention(struct cudnn_graph *graph, const struct cudnn_attention_shape *shape, int backward);
void graph_free(struct cudnn_graph *graph);

#endif
#endif
