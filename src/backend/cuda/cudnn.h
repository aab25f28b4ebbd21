/* Attention through NVIDIA's cuDNN, which is opened when a run asks for it: nothing links against it.
 *
 * The ops attention and attention_grad (plan/op.def) without dropout and without documents: causal, in bf16 or fp16, with
 * queries, keys and values as they lie in the rows of qkv. cuDNN is given the arithmetic as a graph of small operations and
 * finds the kernel that does all of them at once; the graphs are those that the library's own front end makes.
 *
 * A library belongs to the device that was current when it was opened, and to one thread. A graph is made once for a shape
 * (making it compiles its kernel: about half a second), bound once for each op to the operands of that op, and then run. run
 * allocates nothing here, and may be captured into a CUDA graph. Free in the order calls, graphs, library. */
#ifndef BACKEND_CUDA_CUDNN_H
#define BACKEND_CUDA_CUDNN_H

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

struct cudnn;                /* the library, opened */
struct cudnn_attention;      /* a graph of one shape, with the engine that runs it */
struct cudnn_attention_call; /* that graph with the operands of one op */

/* Makes *library; NULL where it cannot be used, which is no failure: then `why_not` says why, for the user. Fails only when
 * the environment variable LOCKSTEP_CUDNN names a library that cannot be opened. */
int cudnn_open(struct cudnn **library, char *why_not, size_t size);

/* The same for a device that is not here: `properties` is cuDNN's JSON about it (tests/test_cudnn.c has an H200's). Graphs
 * are made up to the compiled kernel; calls can be bound, but running them fails. It needs a libcuda, be it the toolkit's
 * stub, loaded or to be found. */
int cudnn_open_without_device(const char *properties, struct cudnn **library, char *why_not, size_t size);
void cudnn_close(struct cudnn *library);

int64_t cudnn_version(const struct cudnn *library); /* 91900 is 9.19.0 */

struct cudnn_attention_shape {
    int64_t batch, time;     /* sequences, tokens a sequence */
    int64_t heads, kv_heads; /* heads / kv_heads query heads share keys and values */
    int64_t size;            /* D, channels of a head: a multiple of 8 */
    double scale;            /* of the scores, before the mask */
    enum dtype type;         /* of all operands but lse: DTYPE_BF16 or DTYPE_F16 */
    int deterministic;       /* the same bits each time, of which only the backward pass of cuDNN must take care */
};

/* `choice` NULL: the first engine that the library's heuristics name and that works. Otherwise a text from
 * cudnn_attention_describe(): that very engine, so that a run that goes on has the bits of the run before, or a failure.
 * Fails with STATUS_USAGE on a shape that cuDNN has nothing for: the caller may then use a kernel of its own.
 *
 * Deterministic means that the gradient of queries is not added up with atomics, and that engines are passed over that say
 * that they are not deterministic; engines that do not say so may still be, so compare bits. */
int cudnn_attention_make(struct cudnn *library, const struct cudnn_attention_shape *shape, int backward,
                         const char *choice, struct cudnn_attention **graph);
void cudnn_attention_free(struct cudnn_attention *graph);

/* Bytes of device memory that a call needs while it runs; calls that follow each other on a stream may share them. */
int64_t cudnn_attention_workspace(const struct cudnn_attention *graph);

/* "cuDNN 9.19.0 engine 6 knobs 24=26 14=-1": the numbers of cudnnBackendKnobType_t. It lives as long as the graph. */
const char *cudnn_attention_describe(const struct cudnn_attention *graph);

/* Addresses on the device, 16-byte aligned (the workspace: 256), rows packed. Forward reads qkv and writes o and lse;
 * backward reads d_o, qkv, o and lse and overwrites all of dqkv. */
struct cudnn_attention_operands {
    const void *qkv; /* [batch time, (heads + 2 kv_heads) size] */
    void *o;         /* [batch time, heads size] */
    float *lse;      /* [batch heads, time]: natural logarithm of the sum of e^score over the keys that a query sees */
    const void *d_o; /* as o; backward only */
    void *dqkv;      /* as qkv; backward only */
    void *workspace; /* NULL where 0 bytes are needed */
};

/* `graph` stays the caller's and must outlive *call. */
int cudnn_attention_bind(const struct cudnn_attention *graph, const struct cudnn_attention_operands *operands,
                         struct cudnn_attention_call **call);
void cudnn_attention_unbind(struct cudnn_attention_call *call);

/* Puts the call on `stream` (a cudaStream_t) and does not wait for it. */
int cudnn_attention_run(const struct cudnn_attention_call *call, void *stream);

#endif
