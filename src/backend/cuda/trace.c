/* When ops ran, for the timeline of --trace. Around each op an event is put on its stream; when the step is over their times, against an
 * event whose time the host knows, become slices. Messages that go on beyond a step are waited for then, too. */
#include "backend/cuda/cuda.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

enum { MARKS = 16384 }; /* ops of one step that there is room for */

/* The stream is idle: the event passes at once. */
static int anchor(struct exec *exec) {
    struct timeline *t = &exec->timeline;
    TRY(cuda_check(cudaEventRecord(t->anchor, exec->stream), "timing ops"));
    TRY(cuda_check(cudaEventSynchronize(t->anchor), "timing ops"));
    t->anchor_s = clock_seconds();
    return 0;
}

static int make_events(struct timeline *t) {
    t->events = calloc(2 * MARKS, sizeof(cudaEvent_t));
    t->ops = calloc(MARKS, sizeof *t->ops);
    t->of = calloc(MARKS, sizeof *t->of);
    if (!t->events || !t->ops || !t->of) return fail(STATUS_FAILED, "backend cuda: out of memory for a timeline");
    TRY(cuda_check(cudaEventCreateWithFlags(&t->anchor, cudaEventDefault), "timing ops"));
    for (int i = 0; i < 2 * MARKS; i++)
        TRY(cuda_check(cudaEventCreateWithFlags(&t->events[i], cudaEventDefault), "timing ops"));
    t->room = MARKS;
    return 0;
}

int cuda_trace(struct exec *exec, struct trace *trace) {
    struct timeline *t = &exec->timeline;
    t->trace = NULL;
    t->used = 0;
    if (!trace) return 0;
    if (!t->room) TRY(make_events(t));
    TRY(cuda_check(cudaStreamSynchronize(exec->stream), "timing ops"));
    TRY(anchor(exec));
    t->trace = trace;
    return 0;
}

int cuda_mark_begin(struct exec *exec, int op) {
    struct timeline *t = &exec->timeline;
    const struct op *o = &exec->plan->ops[op];
    if (t->used == t->room) return 0;
    t->ops[t->used] = op;
    t->of[t->used] = o->kind == OP_wait ? exec->channel.started[o->attr.line] : NONE;
    return cuda_check(cudaEventRecord(t->events[2 * t->used], cuda_stream_of(exec, op)), "timing ops");
}

int cuda_mark_end(struct exec *exec) {
    struct timeline *t = &exec->timeline;
    if (t->used == t->room) return 0;
    cudaStream_t stream = cuda_stream_of(exec, t->ops[t->used]);
    TRY(cuda_check(cudaEventRecord(t->events[2 * t->used + 1], stream), "timing ops"));
    if (++t->used == t->room) log_line("timeline: a step has more than %d ops; the rest of it is left out", t->room);
    return 0;
}

static enum trace_lane lane_of(const struct op *op) {
    if (op_info[op->kind].lane != LANE_COMM) return TRACE_COMPUTE;
    return op->kind == OP_wait ? TRACE_WAITING : TRACE_COMM;
}

int cuda_report_marks(struct exec *exec) {
    struct timeline *t = &exec->timeline;
    if (!t->trace) return 0;
    if (exec->channel.nccl) TRY(cuda_await_stream(exec, exec->channel.stream, "timing ops"));
    for (int i = 0; i < t->used; i++) {
        float begin, end; /* milliseconds */
        TRY(cuda_check(cudaEventElapsedTime(&begin, t->anchor, t->events[2 * i]), "timing ops"));
        TRY(cuda_check(cudaEventElapsedTime(&end, t->anchor, t->events[2 * i + 1]), "timing ops"));
        trace_add(t->trace, lane_of(&exec->plan->ops[t->ops[i]]), &t->trace->ops[t->ops[i]],
                  t->of[i] == NONE ? NULL : &t->trace->ops[t->of[i]], t->anchor_s + 1e-3 * (double)begin,
                  t->anchor_s + 1e-3 * (double)end);
    }
    t->used = 0;
    return anchor(exec);
}

void cuda_close_trace(struct exec *exec) {
    struct timeline *t = &exec->timeline;
    for (int i = 0; i < 2 * t->room; i++) cudaEventDestroy(t->events[i]);
    if (t->anchor) cudaEventDestroy(t->anchor);
    free(t->events);
    free(t->ops);
    free(t->of);
}
