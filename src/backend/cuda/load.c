/* The CUDA backend: memory, pointers and products are made at load. */
#include "backend/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

static int64_t missing_bytes;

static int64_t cuda_short_of(void) { return missing_bytes; }

/* What all of it takes, against what there is, before any of it is taken. */
static int check_memory(const struct exec *exec, const struct store *store) {
    const struct plan *plan = exec->plan;
    const int64_t kernels = 256 << 20; /* that the runtime still loads, and their stacks */
    int64_t need = kernels + SLOTS * cuda_slot_bytes(plan) + plan->arena_bytes + exec->workspace_bytes +
                   PRODUCT_WORKSPACE + (store->count ? 0 : plan_store_bytes(plan));
    size_t available, total;
    const double gib = 1 << 30;
    TRY(cuda_check(cudaMemGetInfo(&available, &total), "asking for its free memory"));
    missing_bytes = need > (int64_t)available ? need - (int64_t)available : 0;
    if (!missing_bytes) return 0;
    return fail(STATUS_FAILED, "backend cuda: the plan needs %.3f GiB on %s, which has %.3f GiB free of %.3f GiB",
                (double)need / gib, cuda_device()->name, (double)available / gib, (double)total / gib);
}

static int allocate(void **memory, int64_t bytes, const char *what) {
    char doing[96];
    *memory = NULL;
    if (!bytes) return 0;
    snprintf(doing, sizeof doing, "allocating %.2f GiB for %s", (double)bytes / (1 << 30), what);
    return cuda_check(cudaMalloc(memory, (size_t)bytes), doing);
}

static int new_entry(void *context, void **memory, int64_t bytes, const char *what) {
    TRY(allocate(memory, bytes, what));
    return cuda_fill(context, *memory, 0, bytes);
}

/* ---- attributes that point to tables: copies of those on the device ---- */

static int64_t program_length(const struct op_attr *attr) { return attr->program[attr->rounds > 1 ? attr->rounds : 1]; }

static int64_t order_length(const struct plan *plan, const struct op *op) { return buf_elems(&plan->bufs[op->in[0]]); }

/* Copies each op's tables to `to` (NULL: only counts), and points its attributes there. Returns how many numbers they are. */
static int64_t place_tables(struct exec *exec, int *to) {
    const struct plan *plan = exec->plan;
    int64_t used = 0;
    for (int i = 0; i < plan->n_ops; i++) {
        const struct op_attr *from = &plan->ops[i].attr;
        if (from->program) {
            int64_t count = program_length(from);
            if (to) memcpy(to + used, from->program, (size_t)count * sizeof *to);
            exec->attrs[i].program = exec->tables + used;
            used += count;
        }
        if (from->order) {
            int64_t count = order_length(plan, &plan->ops[i]);
            if (to) memcpy(to + used, from->order, (size_t)count * sizeof *to);
            exec->attrs[i].order = exec->tables + used;
            used += count;
        }
    }
    return used;
}

static int make_tables(struct exec *exec) {
    const struct plan *plan = exec->plan;
    for (int i = 0; i < plan->n_ops; i++) exec->attrs[i] = plan->ops[i].attr;
    int64_t count = place_tables(exec, NULL);
    if (!count) return 0;
    int *host = malloc((size_t)count * sizeof *host);
    if (!host) return fail(STATUS_FAILED, "backend cuda: out of memory");
    int status = allocate((void **)&exec->tables, count * (int64_t)sizeof *host, "tables");
    if (!status) {
        place_tables(exec, host);
        status = cuda_check(
            cudaMemcpyAsync(exec->tables, host, (size_t)count * sizeof *host, cudaMemcpyHostToDevice, exec->stream),
            "copying tables");
    }
    if (!status) status = cuda_check(cudaStreamSynchronize(exec->stream), "copying tables");
    free(host);
    return status;
}

/* ---- ops ---- */

/* Shapes and types, which say how much workspace is needed; data come later. */
static int prepare_op(struct exec *exec, int i) {
    const struct op *op = &exec->plan->ops[i];
    const struct cuda_op *row = &cuda_ops[op->kind];
    struct kernel_args *args = &exec->args[i];
    exec->types[i] = backend_type_of_values(exec->plan, op);
    backend_set_args(exec->plan, exec->data, op, args);
    args->attr = &exec->attrs[i];
    exec->first_product[i] = exec->products.count;
    if (op_info[op->kind].lane == LANE_COMM) return 0;
    if (!row->run && !row->kernel[exec->types[i]])
        return fail(STATUS_FAILED, "backend cuda: op %s has no kernel for %s", op_info[op->kind].name,
                    dtype_name(exec->types[i]));
    int64_t bytes = row->workspace ? row->workspace(args) : 0;
    if (row->prepare) TRY(row->prepare(exec, i, &bytes));
    if (bytes > exec->workspace_bytes) exec->workspace_bytes = bytes;
    return 0;
}

/* Twice: workspace must be known before any memory is taken, and what products are given only after it. */
static int prepare_ops(struct exec *exec) {
    cuda_free_products(exec);
    for (int i = 0; i < exec->plan->n_ops; i++) TRY(prepare_op(exec, i));
    for (int i = 0; i < exec->plan->n_ops; i++) {
        exec->args[i].scratch = exec->workspace;
        exec->args[i].scratch_stride = (size_t)exec->workspace_bytes;
    }
    return 0;
}

static void cuda_unload(struct exec *exec) {
    if (!exec) return;
    cuda_close_wire(exec); /* first: nothing waits for other ranks then */
    if (exec->stream) cudaStreamSynchronize(exec->stream);
    cuda_drop_graphs(exec);
    cuda_close_inputs(exec);
    cuda_close_trace(exec);
    cuda_close_attention(exec);
    cuda_free_products(exec);
    cudaFree(exec->products.workspace);
    free(exec->products.list);
    free(exec->products.choices);
    free(exec->products.others);
    cudaFree(exec->arena);
    cudaFree(exec->workspace);
    cudaFree(exec->tables);
    if (exec->stream) cudaStreamDestroy(exec->stream);
    free(exec->data);
    free(exec->attrs);
    free(exec->args);
    free(exec->types);
    free(exec->first_product);
    free(exec);
}

static int open_device(struct exec *exec) {
    const struct plan *plan = exec->plan;
    exec->data = calloc((size_t)plan->n_bufs + 1, sizeof *exec->data);
    exec->attrs = calloc((size_t)plan->n_ops + 1, sizeof *exec->attrs);
    exec->args = calloc((size_t)plan->n_ops + 1, sizeof *exec->args);
    exec->types = calloc((size_t)plan->n_ops + 1, sizeof *exec->types);
    exec->calls = calloc((size_t)plan->n_ops + 1, sizeof *exec->calls);
    exec->first_product = calloc((size_t)plan->n_ops + 1, sizeof *exec->first_product);
    if (!exec->data || !exec->attrs || !exec->args || !exec->types || !exec->calls || !exec->first_product)
        return fail(STATUS_FAILED, "backend cuda: out of memory");
    TRY(cuda_open_device(exec->comm));
    TRY(cuda_open_blas());
    return cuda_check(cudaStreamCreateWithFlags(&exec->stream, cudaStreamNonBlocking), "starting");
}

static int take_memory(struct exec *exec, struct store *store) {
    enum {
        SOMETHING = 0x3c
    }; /* bytes of numbers near 0.01 in all types: products of zeros would be timed with less power */
    const struct plan *plan = exec->plan;
    TRY(make_tables(exec));
    TRY(prepare_ops(exec));
    TRY(check_memory(exec, store));
    TRY(allocate((void **)&exec->arena, plan->arena_bytes, "the arena"));
    TRY(allocate((void **)&exec->workspace, exec->workspace_bytes, "workspace"));
    TRY(allocate((void **)&exec->products.workspace, PRODUCT_WORKSPACE, "matrix products"));
    TRY(backend_place(plan, store, exec->arena, new_entry, exec, exec->data));
    TRY(prepare_ops(exec));
    TRY(cuda_open_inputs(exec));
    return cuda_fill(exec, exec->arena, SOMETHING, plan->arena_bytes);
}

/* What one rank cannot do, none goes on from: the others would wait for it in what comes next. */
static int together(struct exec *exec, int status) {
    return exec->comm && exec->comm->size > 1 ? comm_agree(exec->comm, status) : status;
}

static int load(struct exec *exec, struct store *store) {
    const struct plan *plan = exec->plan;
    TRY(together(exec, open_device(exec)));
    TRY(cuda_open_wire(exec));
    TRY(together(exec, take_memory(exec, store)));
    TRY(cuda_choose_algorithms(exec));
    TRY(cuda_fill(exec, exec->arena, 0, plan->arena_bytes));
    if (exec->poison)
        TRY(cuda_fill(exec, exec->arena + plan->persistent_bytes, 0xff, plan->arena_bytes - plan->persistent_bytes));
    return cuda_check(cudaStreamSynchronize(exec->stream), "loading the plan");
}

/* Graphs hold the algorithms that they were recorded with. */
static int use_choices(struct exec *exec, const char *choices, int *missing) {
    cuda_drop_graphs(exec);
    return cuda_use_choices(exec, choices, missing);
}

static int cuda_load(const struct plan *plan, struct store *store, struct comm *comm, struct exec **out) {
    missing_bytes = 0;
    struct exec *exec = calloc(1, sizeof *exec);
    if (!exec) return fail(STATUS_FAILED, "backend cuda: out of memory");
    exec->plan = plan;
    exec->comm = comm;
    exec->poison = backend_poisons();
    int status = load(exec, store);
    if (status)
        cuda_unload(exec);
    else
        *out = exec;
    return status;
}

static void cuda_free_store(struct store *store) {
    for (int i = 0; i < store->count; i++) cudaFree(store->entry[i].data);
    store->count = 0;
}

static int cuda_host_new(void **memory, int64_t bytes) {
    return cuda_check(cudaHostAlloc(memory, (size_t)bytes, cudaHostAllocDefault),
                      "allocating pinned memory of the host");
}

static void cuda_host_free(void *memory) {
    if (memory) cudaFreeHost(memory);
}

const struct backend backend_cuda = {
    .name = "cuda",
    .describe = cuda_describe,
    .load = cuda_load,
    .run = cuda_run,
    .run_op = cuda_run_op,
    .wait = cuda_wait,
    .trace = cuda_trace,
    .copy = cuda_copy,
    .unload = cuda_unload,
    .free_store = cuda_free_store,
    .short_of = cuda_short_of,
    .choices = cuda_choices,
    .use_choices = use_choices,
    .host_new = cuda_host_new,
    .host_free = cuda_host_free,
    .ceiling = cuda_ceiling,
};
