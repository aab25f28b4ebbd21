/* Ops that are matrix products, with what comes before or after: layers, their gradients, and the head with its loss. */
#include "backend/cuda/cuda.h"

#include "base/check.h"
#include "kernels/cuda/kernels.h"

/* x w^T and what follows, of an op that begins with the operands of `linear`: where it is made, and what the product itself may do. */
static int is_half(enum dtype type) { return type == DTYPE_BF16 || type == DTYPE_F16; }

static int64_t rows_of(const struct view *view, int64_t columns) {
    return view->dim[0] * view->dim[1] * view->dim[2] * view->dim[3] / columns;
}

static struct product_shape shape_of(const struct exec *exec, int op) {
    return (struct product_shape){.type = exec->types[op], .c_type = exec->types[op], .count = 1, .scale = 1};
}

/* ---- linear, linear_gelu, linear_swiglu, linear_rope ---- */

/* Where x w^T + b goes. GELU and RoPE take its place where nobody else reads it. */
static void *before_layer(const struct kernel_args *a, enum op_kind kind) {
    if (kind == OP_linear_swiglu || (kind == OP_linear_gelu && a->out[1].data)) return a->out[1].data;
    return a->out[0].data;
}

/* The product makes the GELU as well, from sums that are not rounded yet: where that is asked for, since it has other bits than the two
 * ops; and of halves, since the library's GELU is not held to the last bits of a float. It wants rows of whole 16 bytes (cuBLAS documentation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD). */
static int makes_gelu(const struct exec *exec, int op, int64_t columns) {
    return exec->args[op].attr->by_library && is_half(exec->types[op]) && columns % 8 == 0;
}

int cuda_prepare_linear(struct exec *exec, int op, int64_t *bytes) {
    const struct kernel_args *a = &exec->args[op];
    const enum op_kind kind = exec->plan->ops[op].kind;
    struct product_shape shape = shape_of(exec, op);
    struct product_data data = {.a = a->in[0].data, .b = a->in[1].data, .bias = a->in[2].data};
    const int fused = kind == OP_linear_gelu && makes_gelu(exec, op, a->in[1].dim[0]);
    shape.n = a->in[1].dim[0];
    shape.k = a->in[1].dim[1];
    shape.m = rows_of(&a->in[0], shape.k);
    shape.a_stride = shape.b_stride = shape.k;
    shape.c_stride = shape.aux_stride = shape.n;
    shape.b_transposed = 1;
    shape.with_bias = exec->plan->ops[op].in[2] != NONE;
    shape.with_aux = fused;
    shape.epilogue = fused ? EPILOGUE_GELU : shape.with_bias ? EPILOGUE_BIAS : EPILOGUE_NONE;
    data.c = fused ? a->out[0].data : before_layer(a, kind);
    if (fused) { /* x w^T + b is always written, if to nobody: a clone that recomputes it must not take another algorithm */
        const int wanted = exec->plan->ops[op].out[1] != NONE;
        data.aux = wanted ? a->out[1].data : exec->workspace;
        *bytes = wanted ? 0 : shape.m * shape.n * (int64_t)dtype_size(shape.type);
    }
    return cuda_add_product(exec, &shape, &data);
}

int cuda_run_linear(struct exec *exec, int op) {
    const struct kernel_args *a = &exec->args[op];
    const enum op_kind kind = exec->plan->ops[op].kind;
    const struct cuda_pieces *pieces = cuda_pieces_of(exec->types[op]);
    const int64_t n = a->in[1].dim[0], rows = rows_of(&a->in[0], a->in[1].dim[1]);
    TRY(cuda_run_product(exec, exec->first_product[op]));
    if (kind == OP_linear_gelu && !makes_gelu(exec, op, n))
        pieces->gelu(before_layer(a, kind), rows * n, a->out[0].data, exec->stream);
    if (kind == OP_linear_swiglu) pieces->swiglu(a->out[1].data, rows, n / 2, a->out[0].data, exec->stream);
    if (kind == OP_linear_rope) pieces->rope(a, 3, a->out[0].data, exec->stream);
    return 0;
}

/* ---- linear_dx, linear_dx_gelu, linear_dx_swiglu ---- */

/* What the layer before gets is made in workspace where it cannot be made in its place: SwiGLU's is half as wide, and dx may be where x,
 * which is read after the product, lies. */
static int needs_room(const struct exec *exec, int op) {
    const enum op_kind kind = exec->plan->ops[op].kind;
    const struct op *o = &exec->plan->ops[op];
    if (kind == OP_linear_dx_swiglu) return 1;
    return kind == OP_linear_dx_gelu && exec->plan->bufs[o->out[0]].takes == o->in[2];
}

int cuda_prepare_linear_dx(struct exec *exec, int op, int64_t *bytes) {
    const struct kernel_args *a = &exec->args[op];
    const enum op_kind kind = exec->plan->ops[op].kind;
    struct product_shape shape = shape_of(exec, op);
    struct product_data data = {.a = a->in[0].data, .b = a->in[1].data, .c = a->out[0].data};
    shape.k = a->in[1].dim[0];
    shape.n = a->in[1].dim[1];
    shape.m = rows_of(&a->in[0], shape.k);
    shape.a_stride = shape.k;
    shape.b_stride = shape.c_stride = shape.aux_stride = shape.n;
    if (needs_room(exec, op)) {
        *bytes = shape.m * shape.n * (int64_t)dtype_size(shape.type);
        data.c = exec->workspace;
    } else if (kind == OP_linear_dx_gelu && makes_gelu(exec, op, shape.n)) {
        shape.epilogue = EPILOGUE_GELU_GRAD;
        shape.with_aux = 1;
        data.aux = a->in[2].data;
    } else if (kind == OP_linear_dx) {
        shape.add = exec->plan->ops[op].in[2] != NONE;
        data.before = a->in[2].data;
    }
    return cuda_add_product(exec, &shape, &data);
}

int cuda_run_linear_dx(struct exec *exec, int op) {
    const struct kernel_args *a = &exec->args[op];
    const enum op_kind kind = exec->plan->ops[op].kind;
    const struct cuda_pieces *pieces = cuda_pieces_of(exec->types[op]);
    const int64_t n = a->in[1].dim[1], rows = rows_of(&a->in[0], a->in[1].dim[0]);
    const void *dy = needs_room(exec, op) ? (void *)exec->workspace : a->out[0].data;
    TRY(cuda_run_product(exec, exec->first_product[op]));
    if (kind == OP_linear_dx_gelu && (needs_room(exec, op) || !makes_gelu(exec, op, n)))
        pieces->gelu_grad(dy, a->in[2].data, rows * n, a->out[0].data, exec->stream);
    if (kind == OP_linear_dx_swiglu) pieces->swiglu_grad(dy, a->in[2].data, rows, n, a->out[0].data, exec->stream);
    return 0;
}

/* ---- linear_dw: sums over micro-batches are made in the product itself ---- */

int cuda_prepare_linear_dw(struct exec *exec, int op, int64_t *bytes) {
    const struct kernel_args *a = &exec->args[op];
    struct product_shape shape = shape_of(exec, op);
    struct product_data data = {.a = a->in[0].data, .b = a->in[1].data, .c = a->out[0].data, .before = a->out[0].data};
    shape.m = a->out[0].dim[0];
    shape.n = a->out[0].dim[1];
    shape.k = rows_of(&a->in[1], shape.n);
    shape.a_transposed = 1;
    shape.a_stride = shape.m;
    shape.b_stride = shape.c_stride = shape.n;
    shape.c_type = DTYPE_F32;
    shape.add = a->add & 1;
    if (exec->plan->ops[op].out[1] != NONE) *bytes = cuda_sum_rows_workspace(shape.k, shape.m);
    return cuda_add_product(exec, &shape, &data);
}

int cuda_run_linear_dw(struct exec *exec, int op) {
    const struct kernel_args *a = &exec->args[op];
    const int64_t outputs = a->out[0].dim[0], rows = rows_of(&a->in[1], a->out[0].dim[1]);
    TRY(cuda_run_product(exec, exec->first_product[op]));
    if (a->out[1].data)
        cuda_pieces_of(exec->types[op])
            ->sum_rows(a->in[0].data, rows, outputs, a->add >> 1 & 1, a->out[1].data, exec->workspace, exec->stream);
    return 0;
}

/* ---- head_loss, head_loss_grad: chunks of rows whose logits exist at once ---- */

static const void *row_at(const struct view *view, int64_t row, enum dtype type) {
    if (!view->data) return NULL; /* before memory is there */
    return (const char *)view->data + row * view->dim[1] * (int64_t)dtype_size(type);
}

/* Products of a chunk: its logits, and with a gradient dw and dx. */
static int products_a_chunk(const struct exec *exec, int op) {
    return exec->plan->ops[op].kind == OP_head_loss_grad ? 3 : 1;
}

static int add_chunk(struct exec *exec, int op, int64_t begin, int64_t rows) {
    const struct kernel_args *a = &exec->args[op];
    const int64_t width = a->in[0].dim[1], columns = a->in[1].dim[0];
    struct product_shape logits = shape_of(exec, op), dw = logits, dx = logits;
    const void *x = row_at(&a->in[0], begin, logits.type);
    void *room = a->out[2].data;
    logits.m = dx.m = dw.k = rows;
    logits.n = dx.k = dw.m = columns;
    logits.k = dx.n = dw.n = width;
    logits.a_stride = logits.b_stride = dx.b_stride = dx.c_stride = dw.b_stride = dw.c_stride = width;
    logits.c_stride = dx.a_stride = dw.a_stride = columns;
    logits.b_transposed = dw.a_transposed = 1;
    TRY(cuda_add_product(exec, &logits, &(struct product_data){.a = x, .b = a->in[1].data, .c = room}));
    if (products_a_chunk(exec, op) == 1) return 0;
    dw.c_type = DTYPE_F32;
    dw.add = begin > 0 || (a->add >> 1 & 1);
    TRY(cuda_add_product(exec, &dw,
                         &(struct product_data){.a = room, .b = x, .c = a->out[1].data, .before = a->out[1].data}));
    void *to = (void *)(uintptr_t)row_at(&a->out[0], begin, dx.type);
    return cuda_add_product(exec, &dx, &(struct product_data){.a = room, .b = a->in[1].data, .c = to});
}

int cuda_prepare_head(struct exec *exec, int op, int64_t *bytes) {
    const struct kernel_args *a = &exec->args[op];
    const int64_t rows = a->in[0].dim[0], chunk = a->out[2].dim[0];
    *bytes = cuda_loss_workspace(a);
    for (int64_t begin = 0; begin < rows; begin += chunk)
        TRY(add_chunk(exec, op, begin, rows - begin < chunk ? rows - begin : chunk));
    return 0;
}

int cuda_run_head(struct exec *exec, int op) {
    const struct kernel_args *a = &exec->args[op];
    const struct cuda_pieces *pieces = cuda_pieces_of(exec->types[op]);
    const int64_t rows = a->in[0].dim[0], chunk = a->out[2].dim[0], columns = a->in[1].dim[0];
    const int32_t *targets = a->in[2].data;
    const int grad = exec->plan->ops[op].kind == OP_head_loss_grad;
    double *row_loss = (double *)exec->workspace;
    void *room = a->out[2].data;
    int product = exec->first_product[op];
    for (int64_t begin = 0; begin < rows; begin += chunk) {
        const int64_t count = rows - begin < chunk ? rows - begin : chunk;
        TRY(cuda_run_product(exec, product++));
        if (a->attr->cap > 0) pieces->softcap(room, count * columns, a->attr->cap, room, exec->stream);
        if (!grad) {
            pieces->xent_rows(a, room, targets + begin, count, columns, (float *)a->out[1].data + begin,
                              row_loss + begin, exec->stream);
            continue;
        }
        pieces->xent_rows_grad(a, room, targets + begin, (const float *)a->in[3].data + begin, a->in[4].data,
                               a->in[5].data, count, columns, a->attr->cap, room, exec->stream);
        TRY(cuda_run_product(exec, product++));
        TRY(cuda_run_product(exec, product++));
    }
    if (!grad) pieces->mean_loss(row_loss, targets, rows, a->out[0].data, exec->stream);
    return 0;
}
