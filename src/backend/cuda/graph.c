/* CUDA graphs: the second time that a segment runs its launches are recorded, and from then on launched together: the host then does nothing
 * for each op. The first time all ops are launched one by one, since libraries load when they are used first.
 *
 * Communication is never inside: NCCL wants all ranks to record the same, an abort would wait for graphs that hold its work, and a graph is
 * over only when all of it is, while parameters may still come back during the next forward pass. So a segment is recorded in pieces, with the
 * starts of messages between them; ops that wait for one are inside, as waits for an external event. */
#include "backend/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

enum { FEWEST = 3 }; /* ops that are worth a graph */

static int make_pieces(struct exec *exec, enum segment segment) {
    const struct plan *plan = exec->plan;
    struct recording *r = &exec->recordings[segment];
    int begin = plan->segment_begin[segment], end = plan->segment_end[segment];
    r->pieces = calloc((size_t)(end - begin) + 1, sizeof *r->pieces);
    if (!r->pieces) return fail(STATUS_FAILED, "backend cuda: out of memory");
    for (int i = begin; i < end; i++) {
        int outside = op_starts(&plan->ops[i]);
        if (!r->count || outside != r->pieces[r->count - 1].outside)
            r->pieces[r->count++] = (struct piece){.begin = i, .outside = outside};
        r->pieces[r->count - 1].end = i + 1;
    }
    for (int k = 0; k < r->count; k++) r->pieces[k].outside |= r->pieces[k].end - r->pieces[k].begin < FEWEST;
    return 0;
}

static int record_piece(struct exec *exec, struct piece *piece) {
    cudaGraph_t graph = NULL;
    TRY(cuda_check(cudaStreamBeginCapture(exec->stream, cudaStreamCaptureModeThreadLocal), "recording a graph"));
    exec->recording = 1;
    int status = 0;
    for (int i = piece->begin; i < piece->end && !status; i++) status = cuda_launch(exec, i);
    exec->recording = 0;
    cudaError_t ended = cudaStreamEndCapture(exec->stream, &graph); /* in any case: nothing else can use the stream */
    if (!status) status = cuda_check(ended, "recording a graph");
    if (!status) status = cuda_check(cudaGraphInstantiate(&piece->graph, graph, 0), "making a graph");
    if (graph) cudaGraphDestroy(graph);
    return status;
}

static void drop(struct recording *r) {
    for (int i = 0; i < r->count; i++)
        if (r->pieces[i].graph) cudaGraphExecDestroy(r->pieces[i].graph);
    free(r->pieces);
    memset(r, 0, sizeof *r);
}

void cuda_drop_graphs(struct exec *exec) {
    for (int s = 0; s < SEG_COUNT; s++) drop(&exec->recordings[s]);
}

/* A step goes on without what could not be recorded: nothing of it has run. */
static int record(struct exec *exec, enum segment segment) {
    struct recording *r = &exec->recordings[segment];
    int status = make_pieces(exec, segment);
    for (int i = 0; i < r->count && !status; i++)
        if (!r->pieces[i].outside) status = record_piece(exec, &r->pieces[i]);
    if (!status) return 0;
    drop(r);
    r->given_up = 1;
    cudaGetLastError();
    log_line("warning: %s runs op by op, since it cannot be recorded as a graph: %s (train.graphs: false does not try)",
             segment_name(segment), fail_message());
    return 0;
}

static int use_graphs(struct exec *exec, enum segment segment, int *recorded) {
    struct recording *r = &exec->recordings[segment];
    *recorded = 0;
    if (!exec->plan->graphs || exec->poison || exec->timeline.trace) return 0;
    if (exec->plan->segment_begin[segment] == exec->plan->segment_end[segment]) return 0;
    if (r->runs < 2) r->runs++;
    if (r->runs < 2 || r->given_up) return 0;
    if (!r->pieces) TRY(record(exec, segment));
    *recorded = !r->given_up;
    return 0;
}

static int run_graphs(struct exec *exec, enum segment segment) {
    struct recording *r = &exec->recordings[segment];
    for (int i = 0; i < r->count; i++) {
        struct piece *piece = &r->pieces[i];
        if (piece->outside)
            for (int k = piece->begin; k < piece->end; k++) TRY(cuda_launch(exec, k));
        else
            TRY(cuda_check(cudaGraphLaunch(piece->graph, exec->stream), "launching a graph"));
    }
    return 0;
}

int cuda_run(struct exec *exec, enum segment segment) {
    int recorded = 0;
    TRY(use_graphs(exec, segment, &recorded));
    TRY(recorded ? run_graphs(exec, segment) : cuda_run_ops(exec, segment));
    cuda_mark_step(exec);
    return cuda_check(cudaGetLastError(), "launching a segment");
}
