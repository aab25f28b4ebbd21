/* CUDA graphs: the second time that a segment runs its launches are recorded, and from then on launched together: the host then does nothing
 * for each op. The first time all ops are launched one by one, since libraries load and connect when they are used first.
 *
 * A graph is over only when all of it is. So communication that goes on beyond its segment, such as parameters that the next forward
 * pass waits for, stays outside: a segment is recorded in pieces, with such starts between them. What comes into a piece from outside is waited
 * for through an external event. */
#include "backend/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

static int is_start(const struct op *op) { return op_info[op->kind].lane == LANE_COMM && op->kind != OP_wait; }

/* Where the wait for the start at `i` is in its segment; -1: elsewhere. */
static int wait_of(const struct plan *plan, int i, int end) {
    for (int k = i + 1; k < end; k++)
        if (plan->ops[k].kind == OP_wait && plan->ops[k].attr.line == plan->ops[i].attr.line) return k;
    return -1;
}

/* outside[i - begin]: the op stays outside. That cuts the segment, and a start whose wait is beyond the cut is then outside as well. */
static void find_outside(const struct plan *plan, int begin, int end, char *outside) {
    for (int again = 1; again;) {
        again = 0;
        for (int i = begin; i < end; i++) {
            if (!is_start(&plan->ops[i]) || outside[i - begin]) continue;
            int wait = wait_of(plan, i, end), cut = wait < 0;
            for (int k = i + 1; k < wait; k++) cut |= outside[k - begin];
            if (cut) again = outside[i - begin] = 1;
        }
    }
}

static int make_pieces(struct exec *exec, enum segment segment) {
    const struct plan *plan = exec->plan;
    struct recording *r = &exec->recordings[segment];
    int begin = plan->segment_begin[segment], end = plan->segment_end[segment];
    char *outside = calloc((size_t)(end - begin) + 1, 1);
    r->pieces = calloc((size_t)(end - begin) + 1, sizeof *r->pieces);
    if (!outside || !r->pieces) {
        free(outside);
        return fail(STATUS_FAILED, "backend cuda: out of memory");
    }
    find_outside(plan, begin, end, outside);
    for (int i = begin; i < end; i++) {
        int same = r->count && !outside[i - begin] && !r->pieces[r->count - 1].outside;
        if (!same) r->pieces[r->count++] = (struct piece){.begin = i, .outside = outside[i - begin]};
        r->pieces[r->count - 1].end = i + 1;
    }
    free(outside);
    return 0;
}

static int record_piece(struct exec *exec, struct piece *piece) {
    cudaGraph_t graph = NULL;
    TRY(cuda_check(cudaStreamBeginCapture(exec->stream, cudaStreamCaptureModeThreadLocal), "recording a graph"));
    exec->piece = piece;
    exec->channel.following = NULL;
    int status = 0;
    for (int i = piece->begin; i < piece->end && !status; i++) status = cuda_launch(exec, i);
    exec->piece = NULL;
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
    if (exec->comm && exec->comm->broken) return status;
    log_line("warning: %s runs op by op, since it cannot be recorded as a graph: %s (train.graphs: false does not try)",
             segment_name(segment), fail_message());
    return 0;
}

/* With ZeRO 2 not all ranks have a slot in the last round: its messages are others. */
static int is_uneven_round(const struct exec *exec, enum segment segment) {
    const struct plan *plan = exec->plan;
    if (plan->zero != 2) return 0;
    return segment == SEG_FOLD || (segment == SEG_MICRO_LAST && exec->block.round >= plan->slots / plan->request.ranks);
}

int cuda_use_graphs(struct exec *exec, enum segment segment, int *recorded) {
    struct recording *r = &exec->recordings[segment];
    *recorded = 0;
    if (!exec->plan->graphs || exec->poison || exec->timeline.trace || is_uneven_round(exec, segment)) return 0;
    if (exec->plan->segment_begin[segment] == exec->plan->segment_end[segment]) return 0;
    if (r->runs < 2) r->runs++;
    if (r->runs < 2 || r->given_up) return 0;
    if (!r->pieces) TRY(record(exec, segment));
    *recorded = !r->given_up;
    return 0;
}

int cuda_run_graphs(struct exec *exec, enum segment segment) {
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
