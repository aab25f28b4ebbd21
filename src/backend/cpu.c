/* The CPU backend: pointers are resolved at load, and running a segment is one loop over its ops. */
#include "backend/cpu.h"

#include <cblas.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"

/* One row an op: its kernels by the type of its values. Ops of LANE_COMM have none. */
#define COMPUTE(name)                                                                                                  \
    {                                                                                                                  \
        [DTYPE_F32] = cpu_##name##_f32, [DTYPE_F64] = cpu_##name##_f64, [DTYPE_BF16] = cpu_##name##_bf16,              \
        [DTYPE_F16] = cpu_##name##_f16                                                                                 \
    }
#define COMM(name)                                                                                                     \
    { NULL }
#define DECLARE_COMPUTE(name) cpu_kernel cpu_##name##_f32, cpu_##name##_f64, cpu_##name##_bf16, cpu_##name##_f16;
#define DECLARE_COMM(name)
#define OP(name, outs, ins, reuse, lane) DECLARE_##lane(name)
#include "plan/op.def"
#undef OP
static cpu_kernel *const kernels[OP_COUNT][DTYPE_COUNT] = {
#define OP(name, outs, ins, reuse, lane) [OP_##name] = lane(name),
#include "plan/op.def"
#undef OP
};

static int new_entry(void *context, void **memory, int64_t bytes, const char *what) {
    (void)context;
    return arena_new(memory, bytes, what);
}

static int prepare_ops(struct exec *exec) {
    const struct plan *plan = exec->plan;
    for (int i = 0; i < plan->n_ops; i++) {
        const struct op *op = &plan->ops[i];
        exec->kernel[i] = kernels[op->kind][backend_type_of_values(plan, op)];
        if (op_info[op->kind].lane == LANE_COMPUTE && !exec->kernel[i])
            return fail(STATUS_FAILED, "backend cpu: op %s has no kernel", op_info[op->kind].name);
        struct kernel_args *args = &exec->args[i];
        backend_set_args(plan, exec->data, op, args);
        args->attr = &op->attr;
        args->scratch = exec->scratch;
        args->scratch_stride = (size_t)plan->scratch_bytes;
    }
    return 0;
}

static void cpu_unload(struct exec *exec) {
    if (!exec) return;
    arena_free(exec->arena, exec->plan->arena_bytes);
    arena_free(exec->scratch, exec->scratch_bytes);
    free(exec->data);
    free(exec->args);
    free(exec->kernel);
    free(exec->sends);
    free(exec->receives);
    free(exec->started);
    free(exec->started_in);
    free(exec->slices);
    free(exec->counts);
    free(exec);
}

/* Kernels divide products among threads themselves, in a way that shapes fix; a library that did it would make the bits
 * depend on the number of threads. The OpenMP build of OpenBLAS is serial inside a parallel region, and there this call
 * would set OpenMP's own number of threads. */
static void keep_blas_serial(void) {
    enum { OPENMP_BUILD = 2 };
    if (openblas_get_parallel() != OPENMP_BUILD) openblas_set_num_threads(1);
}

/* Everything that this plan adds on this host is there at once, on all its ranks: memory is only taken when it is touched, so
 * a lack of it would show in the middle of a step. */
static int check_memory(const struct exec *exec, const struct store *store) {
    const struct plan *plan = exec->plan;
    int64_t ranks = exec->comm && exec->comm->local_size > 1 ? exec->comm->local_size : 1;
    int64_t bytes = plan->arena_bytes + exec->scratch_bytes + (store->count ? 0 : plan_store_bytes(plan));
    return arena_check(bytes * ranks, ranks > 1 ? "all ranks of this host" : "this plan");
}

static int load(struct exec *exec, struct store *store) {
    const struct plan *plan = exec->plan;
    cpu_choose_threads(exec->comm);
    keep_blas_serial();
    exec->data = calloc((size_t)plan->n_bufs + 1, sizeof *exec->data);
    exec->args = calloc((size_t)plan->n_ops + 1, sizeof *exec->args);
    exec->kernel = calloc((size_t)plan->n_ops + 1, sizeof *exec->kernel);
    if (!exec->data || !exec->args || !exec->kernel) return fail(STATUS_FAILED, "backend cpu: out of memory");
    exec->threads = omp_get_max_threads();
    exec->scratch_bytes = plan->scratch_bytes * exec->threads;
    TRY(check_memory(exec, store));
    TRY(arena_new((void **)&exec->arena, plan->arena_bytes, "arena"));
    TRY(arena_new((void **)&exec->scratch, exec->scratch_bytes, "scratch"));
    TRY(backend_place(plan, store, exec->arena, new_entry, NULL, exec->data));
    TRY(cpu_prepare_comm(exec));
    if (exec->poison && exec->arena)
        memset(exec->arena + plan->persistent_bytes, 0xff, (size_t)(plan->arena_bytes - plan->persistent_bytes));
    return prepare_ops(exec);
}

static int cpu_load(const struct plan *plan, struct store *store, struct comm *comm, struct exec **out) {
    struct exec *exec = calloc(1, sizeof *exec);
    if (!exec) return fail(STATUS_FAILED, "backend cpu: out of memory");
    exec->plan = plan;
    exec->comm = comm;
    exec->poison = backend_poisons();
    int status = load(exec, store);
    if (status)
        cpu_unload(exec);
    else
        *out = exec;
    return status;
}

static int poison(void *context, int buf) {
    struct exec *exec = context;
    memset(exec->data[buf], 0xff, (size_t)buf_bytes(&exec->plan->bufs[buf]));
    return 0;
}

/* Messages move on only while the transport is called. */
static int cpu_run_op(struct exec *exec, int i) {
    if (!exec->kernel[i]) return cpu_communicate(exec, &exec->plan->ops[i]);
    struct trace *trace = exec->trace;
    double begin = trace ? clock_seconds() : 0;
    exec->kernel[i](&exec->args[i]);
    if (trace) trace_add(trace, TRACE_COMPUTE, &trace->ops[i], NULL, begin, clock_seconds());
    return exec->comm && exec->comm->under_way ? comm_poll(exec->comm) : 0;
}

static int cpu_run(struct exec *exec, enum segment segment) {
    const struct plan *plan = exec->plan;
    if (omp_get_max_threads() > exec->threads) omp_set_num_threads(exec->threads); /* no scratch for more */
    for (int i = plan->segment_begin[segment]; i < plan->segment_end[segment]; i++) {
        TRY(cpu_run_op(exec, i));
        if (exec->poison) TRY(backend_each_dead(plan, &plan->ops[i], poison, exec));
    }
    return 0;
}

/* run() returns when the work is done. */
static int cpu_wait(struct exec *exec) {
    (void)exec;
    return 0;
}

static int cpu_trace(struct exec *exec, struct trace *trace) {
    exec->trace = trace;
    for (int line = 0; exec->slices && line <= exec->plan->lines; line++) exec->slices[line] = -1;
    return 0;
}

static int cpu_copy(struct exec *exec, int buf, int64_t offset, void *host, int64_t bytes,
                    enum copy_direction direction) {
    if (offset < 0 || offset + bytes > buf_bytes(&exec->plan->bufs[buf]))
        return fail(STATUS_FAILED, "backend cpu: copy beyond buffer %s", exec->plan->bufs[buf].name);
    if (!bytes) return 0; /* an empty buffer may have no memory */
    char *device = (char *)exec->data[buf] + offset;
    if (direction == COPY_TO_DEVICE)
        memcpy(device, host, (size_t)bytes);
    else
        memcpy(host, device, (size_t)bytes);
    return 0;
}

static void cpu_free_store(struct store *store) {
    for (int i = 0; i < store->count; i++) arena_free(store->entry[i].data, store->entry[i].bytes);
    store->count = 0;
}

const struct backend backend_cpu = {
    .name = "cpu",
    .describe = cpu_describe,
    .load = cpu_load,
    .run = cpu_run,
    .run_op = cpu_run_op,
    .wait = cpu_wait,
    .trace = cpu_trace,
    .copy = cpu_copy,
    .unload = cpu_unload,
    .free_store = cpu_free_store,
    .ceiling = cpu_ceiling,
};
