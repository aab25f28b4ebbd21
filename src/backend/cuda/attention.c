/* Attention: by the op's own kernel, or through cuDNN. A graph of cuDNN is made once for a shape, which takes half a second, and bound to
 * the operands of each op. */
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda.h"
#include "base/check.h"
#include "base/log.h"
#include "kernels/cuda/kernels.h"

static struct cudnn *library; /* of this process's GPU */

static int open_library(void) {
    char why_not[512] = "";
    if (library) return 0;
    TRY(cudnn_open(&library, why_not, sizeof why_not));
    if (library) return 0;
    return fail(STATUS_USAGE, "model.attention_impl: cudnn: %s; 'own' does without", why_not);
}

static int is_backward(const struct exec *exec, int op) { return exec->plan->ops[op].kind == OP_attention_grad; }

static int check_op(const struct exec *exec, int op) {
    const struct op_attr *attr = exec->args[op].attr;
    const int starts = is_backward(exec, op) ? 4 : 1;
    const char *what = attr->rate > 0 ? "dropout of attention weights (model.dropout.attention)"
                       : exec->plan->ops[op].in[starts] != NONE ? "documents that share a sequence (data.documents)"
                                                                : NULL;
    if (!what) return 0;
    return fail(STATUS_USAGE, "model.attention_impl: cudnn: Lockstep does not use cuDNN for %s; 'own' does that", what);
}

static struct cudnn_attention_shape shape_of(const struct exec *exec, int op) {
    const struct kernel_args *a = &exec->args[op];
    const struct view *qkv = &a->in[is_backward(exec, op)];
    return (struct cudnn_attention_shape){.batch = a->attr->batch,
                                          .time = a->attr->time,
                                          .heads = a->attr->heads,
                                          .kv_heads = a->attr->kv_heads,
                                          .size = qkv->dim[1] / (a->attr->heads + 2 * a->attr->kv_heads),
                                          .scale = a->attr->scale,
                                          .type = exec->types[op],
                                          .deterministic = 1};
}

static int same_shape(const struct cudnn_attention_shape *a, const struct cudnn_attention_shape *b) {
    return a->batch == b->batch && a->time == b->time && a->heads == b->heads && a->kv_heads == b->kv_heads &&
           a->size == b->size && a->type == b->type;
}

/* The graph of this op's shape: one that is there, or a new one. */
static int graph_of(struct exec *exec, int op, struct cudnn_attention **graph) {
    const struct cudnn_attention_shape shape = shape_of(exec, op);
    const int backward = is_backward(exec, op);
    for (int i = 0; i < exec->n_graphs; i++)
        if (exec->graphs[i].backward == backward && same_shape(&exec->graphs[i].shape, &shape)) {
            *graph = exec->graphs[i].graph;
            return 0;
        }
    struct attention_graph *graphs = realloc(exec->graphs, (size_t)(exec->n_graphs + 1) * sizeof *graphs);
    if (!graphs) return fail(STATUS_FAILED, "backend cuda: out of memory");
    exec->graphs = graphs;
    if (cudnn_attention_make(library, &shape, backward, NULL, graph))
        return fail_within(STATUS_USAGE, "model.attention_impl: cudnn: ");
    graphs[exec->n_graphs++] = (struct attention_graph){shape, backward, *graph};
    log_line("attention %s by %s", backward ? "backward" : "forward", cudnn_attention_describe(*graph));
    return 0;
}

static int bind(struct exec *exec, int op, const struct cudnn_attention *graph) {
    const struct kernel_args *a = &exec->args[op];
    struct cudnn_attention_operands operands = {.workspace = exec->workspace};
    if (is_backward(exec, op)) {
        operands.d_o = a->in[0].data;
        operands.qkv = a->in[1].data;
        operands.o = a->in[2].data;
        operands.lse = a->in[3].data;
        operands.dqkv = a->out[0].data;
    } else {
        operands.qkv = a->in[0].data;
        operands.o = a->out[0].data;
        operands.lse = a->out[1].data;
    }
    return cudnn_attention_bind(graph, &operands, &exec->calls[op]);
}

/* Which sizes of heads the kernels have, and which are slow. */
static int check_size(const struct exec *exec, int op) {
    enum { MOST = 256, MOST_FAST = 128 };
    static int told;
    const struct cudnn_attention_shape shape = shape_of(exec, op);
    if (shape.size > MOST)
        return fail(
            STATUS_USAGE,
            "backend cuda: a head has %lld channels, and at most %d are possible: more model.heads, or 'backend: cpu'",
            (long long)shape.size, MOST);
    if (shape.type != DTYPE_F32 && (shape.size % 8 || shape.size > MOST_FAST) && !told++)
        log_line("warning: heads of %lld channels take attention without tensor cores, which is many times as slow; "
                 "those of up to %d, a "
                 "multiple of 8, take it with them",
                 (long long)shape.size, MOST_FAST);
    return 0;
}

int cuda_prepare_attention(struct exec *exec, int op, int64_t *bytes) {
    struct cudnn_attention *graph;
    TRY(check_size(exec, op));
    if (is_backward(exec, op)) *bytes = cuda_attention_workspace(&exec->args[op]);
    if (!exec->args[op].attr->by_library) return 0;
    TRY(check_op(exec, op));
    TRY(open_library());
    TRY(graph_of(exec, op, &graph));
    if (cudnn_attention_workspace(graph) > *bytes) *bytes = cudnn_attention_workspace(graph);
    return exec->arena ? bind(exec, op, graph) : 0; /* there are no addresses before there is memory */
}

int cuda_run_attention(struct exec *exec, int op) {
    if (exec->calls[op]) return cudnn_attention_run(exec->calls[op], exec->stream);
    cuda_ops[exec->plan->ops[op].kind].kernel[exec->types[op]](&exec->args[op], exec->stream);
    return 0;
}

int cuda_prepare_cached_attention(struct exec *exec, int op, int64_t *bytes) {
    (void)bytes;
    return check_size(exec, op);
}

int cuda_run_cached_attention(struct exec *exec, int op) {
    cuda_ops[OP_attention_cached].kernel[exec->types[op]](&exec->args[op], exec->stream);
    return 0;
}

void cuda_close_attention(struct exec *exec) {
    for (int i = 0; exec->calls && i < exec->plan->n_ops; i++) cudnn_attention_unbind(exec->calls[i]);
    for (int i = 0; i < exec->n_graphs; i++) cudnn_attention_free(exec->graphs[i].graph);
    free(exec->graphs);
    free(exec->calls);
}
