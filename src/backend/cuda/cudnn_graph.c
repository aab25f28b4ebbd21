/* Attention as cuDNN sees it: a graph of matrix products, reductions and elementwise operations on tensors of four
 * dimensions, most of which are virtual, i.e. never in memory. The library recognizes the pattern as a whole, so the order
 * of operations, the types in between and the transposed operands are those of its front end (cudnn-frontend,
 * scaled_dot_product_flash_attention.h), where they are known to be found. */
#include "backend/cuda/cudnn_graph.h"

#ifdef CUDNN_HEADERS

#include <stdbool.h>

#include "base/check.h"

typedef cudnnBackendDescriptor_t descriptor;

static descriptor create(struct cudnn_graph *g, cudnnBackendDescriptorType_t type) {
    descriptor made = NULL;
    if (g->status) return NULL;
    if (g->n_made == sizeof g->made / sizeof *g->made) {
        g->status = fail(STATUS_FAILED, "cuDNN: a graph of more than %d descriptors", g->n_made);
        return NULL;
    }
    g->status = cudnn_check(g->library, g->library->BackendCreateDescriptor(type, &made), "creating a descriptor");
    if (!g->status) g->made[g->n_made++] = made;
    return made;
}

static void set(struct cudnn_graph *g, descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                int64_t count, const void *values) {
    if (g->status) return;
    cudnnStatus_t status = g->library->BackendSetAttribute(d, name, type, count, values);
    g->status = cudnn_check(g->library, status, "setting an attribute");
}

static void set_descriptor(struct cudnn_graph *g, descriptor d, cudnnBackendAttributeName_t name, descriptor value) {
    set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void finalize(struct cudnn_graph *g, descriptor d, const char *doing) {
    if (!g->status) g->status = cudnn_check(g->library, g->library->BackendFinalize(d), doing);
}

void graph_free(struct cudnn_graph *g) {
    while (g->n_made) g->library->BackendDestroyDescriptor(g->made[--g->n_made]);
}

/* Elements between neighbours in each dimension: sequence, head, token (a row of a matrix), channel (a column). */
struct layout {
    int64_t dim[4], stride[4];
};

static struct layout packed(int64_t batch, int64_t heads, int64_t rows, int64_t columns) {
    return (struct layout){{batch, heads, rows, columns}, {heads * rows * columns, rows * columns, columns, 1}};
}

/* The heads of a row lie side by side, rows `width` apart. */
static struct layout in_rows(const struct cudnn_attention_shape *s, int64_t heads, int64_t width) {
    return (struct layout){{s->batch, heads, s->time, s->size}, {s->time * width, s->size, width, 1}};
}

static struct layout transposed(struct layout l) {
    return (struct layout){{l.dim[0], l.dim[1], l.dim[3], l.dim[2]},
                           {l.stride[0], l.stride[1], l.stride[3], l.stride[2]}};
}

/* The same matrix dimensions, stored column by column. */
static struct layout by_columns(struct layout l) {
    return (struct layout){{l.dim[0], l.dim[1], l.dim[2], l.dim[3]}, {l.stride[0], l.stride[1], l.stride[3], l.dim[2]}};
}

enum place { IN_MEMORY, VIRTUAL, BY_VALUE };

static descriptor tensor(struct cudnn_graph *g, int64_t id, cudnnDataType_t type, struct layout layout,
                         enum place place) {
    const int64_t alignment = 16; /* bytes; a head begins at a multiple of 8 values */
    const bool yes = true;
    descriptor t = create(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(g, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(g, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, layout.dim);
    set(g, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, layout.stride);
    set(g, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(g, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    if (place == VIRTUAL) set(g, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &yes);
    if (place == BY_VALUE) set(g, t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &yes);
    finalize(g, t, "making a tensor");
    return t;
}

static descriptor between(struct cudnn_graph *g, cudnnDataType_t type, struct layout layout) {
    return tensor(g, FIRST_VIRTUAL + g->next_virtual++, type, layout, VIRTUAL);
}

static descriptor scalar(struct cudnn_graph *g, int64_t id) {
    return tensor(g, id, CUDNN_DATA_FLOAT, packed(1, 1, 1, 1), BY_VALUE);
}

static void add_operation(struct cudnn_graph *g, descriptor operation) {
    finalize(g, operation, "making an operation");
    if (g->status) return;
    if (g->n_operations == sizeof g->operations / sizeof *g->operations)
        g->status = fail(STATUS_FAILED, "cuDNN: a graph of more than %d operations", g->n_operations);
    else
        g->operations[g->n_operations++] = operation;
}

static void add_product(struct cudnn_graph *g, descriptor a, descriptor b, descriptor c) {
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    descriptor how = create(g, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    set(g, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    finalize(g, how, "making a matrix product");
    descriptor operation = create(g, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
    add_operation(g, operation);
}

/* Over the dimensions in which y is shorter than x. */
static void add_reduction(struct cudnn_graph *g, cudnnReduceTensorOp_t kind, descriptor x, descriptor y) {
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    descriptor how = create(g, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    set(g, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &kind);
    set(g, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    finalize(g, how, "making a reduction");
    descriptor operation = create(g, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
    add_operation(g, operation);
}

/* y[i,j] = x[j,i], or the same elements under other strides: what the two layouts say. */
static void add_reshape(struct cudnn_graph *g, descriptor x, descriptor y) {
    descriptor operation = create(g, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
    add_operation(g, operation);
}

/* What an elementwise operation is: its mode, the type it computes in, and for GEN_INDEX the dimension. */
struct elementwise {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t computes;
    int64_t axis; /* 0: none */
};

/* b and choose may be NULL; choose: where it is true x is taken, else b. */
static void add_elementwise(struct cudnn_graph *g, struct elementwise how, descriptor x, descriptor b,
                            descriptor choose, descriptor y) {
    descriptor mode = create(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(g, mode, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &how.mode);
    set(g, mode, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &how.computes);
    if (how.axis) set(g, mode, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &how.axis);
    finalize(g, mode, "making an elementwise operation");
    descriptor operation = create(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, mode);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b) set_descriptor(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    if (choose) set_descriptor(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, choose);
    set_descriptor(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    add_operation(g, operation);
}

static void into(struct cudnn_graph *g, cudnnPointwiseMode_t mode, descriptor x, descriptor b, descriptor y) {
    add_elementwise(g, (struct elementwise){.mode = mode, .computes = CUDNN_DATA_FLOAT}, x, b, NULL, y);
}

/* The result is float. */
static descriptor apply(struct cudnn_graph *g, cudnnPointwiseMode_t mode, descriptor x, descriptor b,
                        struct layout layout) {
    descriptor y = between(g, CUDNN_DATA_FLOAT, layout);
    into(g, mode, x, b, y);
    return y;
}

static descriptor reduce(struct cudnn_graph *g, cudnnReduceTensorOp_t kind, descriptor x, struct layout layout) {
    descriptor y = between(g, CUDNN_DATA_FLOAT, layout);
    add_reduction(g, kind, x, y);
    return y;
}

static descriptor product(struct cudnn_graph *g, descriptor a, descriptor b, struct layout layout) {
    descriptor c = between(g, CUDNN_DATA_FLOAT, layout);
    add_product(g, a, b, c);
    return c;
}

/* The shapes of one attention and the tensors that both passes read. */
struct operands {
    cudnnDataType_t type;
    struct layout q, kv, o, scores, row; /* row: one number for each query */
    struct layout full;                  /* as q and kv, for each query head, packed by head */
    int grouped;
    descriptor scale, unseen;
};

static struct operands operands_of(struct cudnn_graph *g, const struct cudnn_attention_shape *s) {
    int64_t width = (s->heads + 2 * s->kv_heads) * s->size;
    return (struct operands){
        .type = s->type == DTYPE_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF,
        .q = in_rows(s, s->heads, width),
        .kv = in_rows(s, s->kv_heads, width),
        .o = in_rows(s, s->heads, s->heads * s->size),
        .scores = packed(s->batch, s->heads, s->time, s->time),
        .row = packed(s->batch, s->heads, s->time, 1),
        .full = packed(s->batch, s->heads, s->time, s->size),
        .grouped = s->heads != s->kv_heads,
        .scale = scalar(g, TENSOR_SCALE),
        .unseen = scalar(g, TENSOR_UNSEEN),
    };
}

/* Scores of keys behind the query (key index > query index) become -infinity. */
static descriptor causal(struct cudnn_graph *g, const struct operands *a, descriptor scores) {
    const struct elementwise query = {CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_FLOAT, 2},
                             key = {CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_FLOAT, 3},
                             sees = {CUDNN_POINTWISE_CMP_GE, CUDNN_DATA_BOOLEAN, 0},
                             select = {CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT, 0};
    descriptor query_index = between(g, CUDNN_DATA_INT32, a->scores);
    descriptor key_index = between(g, CUDNN_DATA_INT32, a->scores);
    descriptor seen = between(g, CUDNN_DATA_BOOLEAN, a->scores);
    descriptor masked = between(g, CUDNN_DATA_FLOAT, a->scores);
    add_elementwise(g, query, scores, NULL, NULL, query_index);
    add_elementwise(g, key, scores, NULL, NULL, key_index);
    add_elementwise(g, sees, query_index, key_index, NULL, seen);
    add_elementwise(g, select, scores, a->unseen, seen, masked);
    return masked;
}

/* scale Q K^T; the library wants K as the transposed matrix that it is multiplied as. */
static descriptor scaled_scores(struct cudnn_graph *g, const struct operands *a, descriptor q, descriptor k) {
    return apply(g, CUDNN_POINTWISE_MUL, product(g, q, k, a->scores), a->scale, a->scores);
}

/* P = softmax(mask(scale Q K^T)), O = P V, lse = max + log(sum(e^(score - max))). P is rounded to the type of values. */
static void forward(struct cudnn_graph *g, const struct operands *a) {
    descriptor q = tensor(g, TENSOR_Q, a->type, a->q, IN_MEMORY);
    descriptor k = tensor(g, TENSOR_K, a->type, transposed(a->kv), IN_MEMORY);
    descriptor v = tensor(g, TENSOR_V, a->type, a->kv, IN_MEMORY);
    descriptor o = tensor(g, TENSOR_O, a->type, a->o, IN_MEMORY);
    descriptor lse = tensor(g, TENSOR_LSE, CUDNN_DATA_FLOAT, a->row, IN_MEMORY);
    descriptor p = between(g, a->type, a->scores);

    descriptor scores = causal(g, a, scaled_scores(g, a, q, k));
    descriptor largest = reduce(g, CUDNN_REDUCE_TENSOR_MAX, scores, a->row);
    descriptor shifted = apply(g, CUDNN_POINTWISE_SUB, scores, largest, a->scores);
    descriptor powers = apply(g, CUDNN_POINTWISE_EXP, shifted, NULL, a->scores);
    descriptor sum = reduce(g, CUDNN_REDUCE_TENSOR_ADD, powers, a->row);
    into(g, CUDNN_POINTWISE_ADD, largest, apply(g, CUDNN_POINTWISE_LOG, sum, NULL, a->row), lse);
    into(g, CUDNN_POINTWISE_DIV, powers, sum, p);
    add_product(g, p, v, o);
}

/* dv or dk: the transpose of `weights` times `values` (dO or Q), summed over the query heads of a group. */
static void weighted_sum(struct cudnn_graph *g, const struct operands *a, descriptor weights, descriptor values,
                         descriptor gradient) {
    descriptor turned = between(g, a->type, by_columns(a->scores));
    add_reshape(g, weights, turned);
    if (!a->grouped) {
        add_product(g, turned, values, gradient);
        return;
    }
    descriptor of_heads = between(g, a->type, a->full);
    add_product(g, turned, values, of_heads);
    add_reduction(g, CUDNN_REDUCE_TENSOR_ADD, of_heads, gradient);
}

/* rowsum(dO * O), which stays in memory: a kernel of its own computes it first. */
static descriptor row_sums(struct cudnn_graph *g, const struct operands *a, descriptor d_o) {
    descriptor o = tensor(g, TENSOR_O, a->type, a->o, IN_MEMORY);
    descriptor delta = tensor(g, TENSOR_DELTA, CUDNN_DATA_FLOAT, a->row, IN_MEMORY);
    descriptor sum = reduce(g, CUDNN_REDUCE_TENSOR_ADD, apply(g, CUDNN_POINTWISE_MUL, d_o, o, a->o), a->row);
    into(g, CUDNN_POINTWISE_MUL, sum, scalar(g, TENSOR_ONE), delta); /* the place where the keep rate of dropout goes */
    return delta;
}

/* P = e^(mask(scale Q K^T - lse)), dV = P^T dO, dS = scale P (dO V^T - rowsum(dO * O)), dK = dS^T Q, dQ = dS K.
 *
 * Blocks of keys add to the same rows of dQ. Where it is a float buffer they do so with atomics, in any order; where it is
 * the output itself the library keeps all of dS in its workspace (2 bytes a score) and dQ is a product of its own. */
static void backward(struct cudnn_graph *g, const struct operands *a, int deterministic) {
    descriptor q = tensor(g, TENSOR_Q, a->type, a->q, IN_MEMORY);
    descriptor k = tensor(g, TENSOR_K, a->type, transposed(a->kv), IN_MEMORY);
    descriptor v = tensor(g, TENSOR_V, a->type, transposed(a->kv), IN_MEMORY);
    descriptor lse = tensor(g, TENSOR_LSE, CUDNN_DATA_FLOAT, a->row, IN_MEMORY);
    descriptor d_o = tensor(g, TENSOR_DO, a->type, a->o, IN_MEMORY);
    descriptor dq = tensor(g, TENSOR_DQ, a->type, a->q, IN_MEMORY);
    descriptor dk = tensor(g, TENSOR_DK, a->type, a->kv, IN_MEMORY);
    descriptor dv = tensor(g, TENSOR_DV, a->type, a->kv, IN_MEMORY);

    descriptor delta = row_sums(g, a, d_o);
    descriptor shifted = apply(g, CUDNN_POINTWISE_SUB, scaled_scores(g, a, q, k), lse, a->scores);
    descriptor p = apply(g, CUDNN_POINTWISE_EXP, causal(g, a, shifted), NULL, a->scores);
    weighted_sum(g, a, p, d_o, dv);

    descriptor centred = apply(g, CUDNN_POINTWISE_SUB, product(g, d_o, v, a->scores), delta, a->scores);
    descriptor ds = apply(g, CUDNN_POINTWISE_MUL, centred, p, a->scores);
    descriptor scaled = apply(g, CUDNN_POINTWISE_MUL, ds, a->scale, a->scores);
    weighted_sum(g, a, scaled, q, dk);

    descriptor keys = between(g, CUDNN_DATA_FLOAT, a->kv);
    add_reshape(g, k, keys);
    if (deterministic) {
        add_product(g, scaled, keys, dq);
        return;
    }
    descriptor sum = tensor(g, TENSOR_DQ_SUM, CUDNN_DATA_FLOAT, a->full, IN_MEMORY);
    add_product(g, scaled, keys, sum);
    into(g, CUDNN_POINTWISE_IDENTITY, sum, NULL, dq);
}

int graph_of_attention(struct cudnn_graph *g, const struct cudnn_attention_shape *shape, int backwards) {
    const struct operands operands = operands_of(g, shape);
    if (backwards)
        backward(g, &operands, shape->deterministic);
    else
        forward(g, &operands);
    g->whole = create(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (g->library->handle)
        set(g, g->whole, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &g->library->handle);
    set(g, g->whole, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->n_operations, g->operations);
    finalize(g, g->whole, "making the graph of attention");
    return g->status;
}

#endif
