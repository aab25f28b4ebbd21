/* Launching: a segment is one loop over its ops. */
#include "backend/cuda/cuda.h"

#include "base/check.h"

#ifdef LOCKSTEP_NVTX /* ranges that NVIDIA's profilers show */
#include <nvtx3/nvToolsExt.h>
#define RANGE_BEGIN(name) nvtxRangePushA(name)
#define RANGE_END()       nvtxRangePop()
#else
#define RANGE_BEGIN(name) (void)(name)
#define RANGE_END()       (void)0
#endif

int cuda_launch(struct exec *exec, int i) {
    const enum op_kind kind = exec->plan->ops[i].kind;
    const struct cuda_op *row = &cuda_ops[kind];
    int status = 0;
    RANGE_BEGIN(op_info[kind].name);
    if (op_info[kind].lane == LANE_COMM)
        status = cuda_communicate(exec, i);
    else if (row->run)
        status = row->run(exec, i);
    else
        row->kernel[exec->types[i]](&exec->args[i], exec->stream);
    RANGE_END();
    return status;
}

/* Starts mark themselves: they wait on a stream of their own first. */
static int launch_and_time(struct exec *exec, int i) {
    if (op_starts(&exec->plan->ops[i])) return cuda_launch(exec, i);
    TRY(cuda_mark_begin(exec, i));
    TRY(cuda_launch(exec, i));
    return cuda_mark_end(exec);
}

static int poison(void *context, int buf) {
    struct exec *exec = context;
    return cuda_fill(exec, exec->data[buf], 0xff, buf_bytes(&exec->plan->bufs[buf]));
}

int cuda_run_ops(struct exec *exec, enum segment segment) {
    const struct plan *plan = exec->plan;
    for (int i = plan->segment_begin[segment]; i < plan->segment_end[segment]; i++) {
        TRY(cuda_keep_pace(exec));
        TRY(exec->timeline.trace ? launch_and_time(exec, i) : cuda_launch(exec, i));
        if (exec->poison) TRY(cuda_check(cudaGetLastError(), op_info[plan->ops[i].kind].name));
        if (exec->poison) TRY(backend_each_dead(plan, &plan->ops[i], poison, exec));
    }
    return 0;
}

int cuda_run_op(struct exec *exec, int i) {
    TRY(cuda_launch(exec, i));
    TRY(cuda_check(cudaGetLastError(), "launching an op"));
    return cuda_await_stream(exec, exec->stream, op_info[exec->plan->ops[i].kind].name);
}

int cuda_wait(struct exec *exec) {
    TRY(cuda_await_stream(exec, exec->stream, "running a step"));
    return cuda_report_marks(exec);
}
