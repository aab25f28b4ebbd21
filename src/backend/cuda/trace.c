/* When ops ran, for the timeline of --trace. Around each op an event is put on the stream; when the step is over their times, against an
 * event whose time the host knows, become slices. */
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
    if (!t->events || !t->ops) return fail(STATUS_FAILED, "backend cuda: out of memory for a timeline");
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
    if (t->used == t->room) return 0;
    t->ops[t->used] = op;
    return cuda_check(cudaEventRecord(t->events[2 * t->used], exec->stream), "timing ops");
}

int cuda_mark_end(struct exec *exec) {
    struct timeline *t = &exec->timeline;
    if (t->used == t->room) return 0;
    TRY(cuda_check(cudaEventRecord(t->events[2 * t->used + 1], exec->stream), "timing ops"));
    if (++t->used == t->room) log_line("timeline: a step has more than %d ops; the rest of it is left out", t->room);
    return 0;
}

int cuda_report_marks(struct exec *exec) {
    struct timeline *t = &exec->timeline;
    if (!t->trace) return 0;
    for (int i = 0; i < t->used; i++) {
        float begin, end; /* milliseconds */
        TRY(cuda_check(cudaEventElapsedTime(&begin, t->anchor, t->events[2 * i]), "timing ops"));
        TRY(cuda_check(cudaEventElapsedTime(&end, t->anchor, t->events[2 * i + 1]), "timing ops"));
        trace_add(t->trace, TRACE_COMPUTE, &t->trace->ops[t->ops[i]], NULL, t->anchor_s + 1e-3 * (double)begin,
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
}
