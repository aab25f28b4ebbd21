/* Attention with all its weights in memory: the products, a head at a time for all sequences at once. */
#include "backend/cuda/cuda.h"

#include "base/check.h"

/* Where things lie in qkv[N, (H + 2K) D], o[N, H D] and w[B H T, padded], in elements from the first sequence's first token. */
struct places {
    int64_t batch, time, size, heads, kv_heads, columns, padded;
};

static struct places places_of(const struct exec *exec, int op, int64_t columns) {
    const struct op_attr *attr = exec->args[op].attr;
    struct places p = {.batch = attr->batch, .time = attr->time, .heads = attr->heads, .kv_heads = attr->kv_heads};
    p.columns = columns;
    p.size = columns / (p.heads + 2 * p.kv_heads);
    p.padded = (p.time + 3) / 4 * 4;
    return p;
}

static const void *element(const void *data, int64_t at, enum dtype type) {
    return data ? (const char *)data + at * (int64_t)dtype_size(type) : NULL;
}

static int64_t query_at(const struct places *p, int64_t head) { return head * p->size; }
static int64_t key_at(const struct places *p, int64_t head) {
    return (p->heads + head * p->kv_heads / p->heads) * p->size;
}
static int64_t value_at(const struct places *p, int64_t head) { return key_at(p, head) + p->kv_heads * p->size; }
static int64_t weight_at(const struct places *p, int64_t head) { return head * p->time * p->padded; }

static struct product_shape shape_of(const struct exec *exec, int op, const struct places *p) {
    return (struct product_shape){.type = exec->types[op], .c_type = exec->types[op], .count = p->batch, .scale = 1};
}

/* w[query, key] = scale * x[query] . y[key] of one head: x and y in rows of a matrix. */
struct rows {
    const void *data;
    int64_t at, stride;
};

static int add_outer(struct exec *exec, int op, const struct places *p, int64_t head, float scale, struct rows x,
                     struct rows y, void *w) {
    struct product_shape s = shape_of(exec, op, p);
    s.m = s.n = p->time;
    s.k = p->size;
    s.b_transposed = 1;
    s.scale = scale;
    s.a_stride = x.stride;
    s.b_stride = y.stride;
    s.c_stride = p->padded;
    s.a_apart = x.stride * p->time;
    s.b_apart = y.stride * p->time;
    s.c_apart = p->heads * p->time * p->padded;
    return cuda_add_product(exec, &s,
                            &(struct product_data){.a = element(x.data, x.at, s.type),
                                                   .b = element(y.data, y.at, s.type),
                                                   .c = (void *)(uintptr_t)element(w, weight_at(p, head), s.type)});
}

/* to[row] (+)= scale * the sum of w[row, i] (transposed: w[i, row]) y[i]. */
static int add_inner(struct exec *exec, int op, const struct places *p, int64_t head, float scale, int transposed,
                     const void *w, struct rows y, int add, struct rows to) {
    struct product_shape s = shape_of(exec, op, p);
    s.m = s.k = p->time;
    s.n = p->size;
    s.a_transposed = transposed;
    s.scale = scale;
    s.add = add;
    s.a_stride = p->padded;
    s.b_stride = y.stride;
    s.c_stride = to.stride;
    s.a_apart = p->heads * p->time * p->padded;
    s.b_apart = y.stride * p->time;
    s.c_apart = to.stride * p->time;
    void *c = (void *)(uintptr_t)element(to.data, to.at, s.type);
    return cuda_add_product(
        exec, &s,
        &(struct product_data){
            .a = element(w, weight_at(p, head), s.type), .b = element(y.data, y.at, s.type), .c = c, .before = c});
}

static int add_scores_grad(struct exec *exec, int op, const struct places *p, int64_t head) {
    const struct kernel_args *a = &exec->args[op];
    const float scale = (float)a->attr->scale;
    const void *ds = a->in[0].data, *qkv = a->in[1].data;
    const struct rows q = {qkv, query_at(p, head), p->columns}, k = {qkv, key_at(p, head), p->columns};
    const struct rows dq = {a->out[0].data, query_at(p, head), p->columns};
    const struct rows dk = {a->out[0].data, key_at(p, head), p->columns};
    TRY(add_inner(exec, op, p, head, scale, 0, ds, k, 1, dq));
    return add_inner(exec, op, p, head, scale, 1, ds, q, 1, dk);
}

static int add_head(struct exec *exec, int op, enum op_kind kind, const struct places *p, int64_t head) {
    const struct kernel_args *a = &exec->args[op];
    const int64_t width = p->heads * p->size;
    const void *qkv = a->in[kind == OP_attention_scores ? 0 : 1].data;
    const struct rows q = {qkv, query_at(p, head), p->columns}, k = {qkv, key_at(p, head), p->columns};
    const struct rows v = {qkv, value_at(p, head), p->columns}, o = {a->out[0].data, query_at(p, head), width};
    const struct rows d_o = {a->in[0].data, query_at(p, head), width};
    const struct rows dv = {a->out[0].data, value_at(p, head), p->columns};
    switch (kind) {
    case OP_attention_scores:
        return add_outer(exec, op, p, head, (float)a->attr->scale, q, k, a->out[0].data);
    case OP_attention_mix:
        return add_inner(exec, op, p, head, 1, 0, a->in[0].data, v, 0, o);
    case OP_attention_mix_dp:
        return add_outer(exec, op, p, head, 1, d_o, v, a->out[0].data);
    case OP_attention_mix_dv: /* heads that share values are added in their order; all starts from zeros */
        return add_inner(exec, op, p, head, 1, 1, a->in[1].data, d_o, 1, dv);
    default:
        return add_scores_grad(exec, op, p, head);
    }
}

int cuda_prepare_naive(struct exec *exec, int op, int64_t *bytes) {
    const struct kernel_args *a = &exec->args[op];
    const enum op_kind kind = exec->plan->ops[op].kind;
    const struct view *qkv = kind == OP_attention_scores   ? &a->in[0]
                             : kind == OP_attention_mix_dv ? &a->out[0]
                                                           : &a->in[1];
    const struct places p = places_of(exec, op, qkv->dim[1]);
    (void)bytes;
    for (int64_t head = 0; head < p.heads; head++) TRY(add_head(exec, op, kind, &p, head));
    return 0;
}

/* What products add to, and what none of them writes: padding of rows of weights, and gradients that come from elsewhere. */
static int begin(struct exec *exec, int op) {
    const struct kernel_args *a = &exec->args[op];
    const enum op_kind kind = exec->plan->ops[op].kind;
    const size_t bytes = (size_t)(a->out[0].dim[0] * a->out[0].dim[1]) * dtype_size(exec->types[op]);
    void *out = a->out[0].data;
    const void *prev = kind == OP_attention_scores_grad ? a->in[2].data : NULL;
    const int is_weights = kind == OP_attention_scores || kind == OP_attention_mix_dp;
    if (kind == OP_attention_mix || prev == out) return 0;
    if (is_weights && a->attr->time % 4 == 0) return 0;
    if (prev)
        return cuda_check(cudaMemcpyAsync(out, prev, bytes, cudaMemcpyDeviceToDevice, exec->stream),
                          "copying a gradient");
    return cuda_check(cudaMemsetAsync(out, 0, bytes, exec->stream), "clearing a gradient");
}

int cuda_run_naive(struct exec *exec, int op) {
    const struct plan *plan = exec->plan;
    const int end = op + 1 < plan->n_ops ? exec->first_product[op + 1] : exec->products.count;
    TRY(begin(exec, op));
    for (int i = exec->first_product[op]; i < end; i++) TRY(cuda_run_product(exec, i));
    return 0;
}
