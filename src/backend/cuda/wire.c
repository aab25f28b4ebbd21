/* The communication ops of the plan, by NCCL. A start waits, on the device, for what the step has computed so far, and goes on beside it; an
 * op wait holds the step up until that is done. The host only puts them on their streams. */
#include "backend/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "comm/nccl.h"
#include "kernels/cuda/kernels.h"

static int starts(const struct op *op) { return op_info[op->kind].lane == LANE_COMM && op->kind != OP_wait; }

/* ---- what is said of a device that hangs ---- */

static int64_t reached(void *context) {
    const struct exec *exec = context;
    return exec->channel.words[WORD_BEGUN];
}

static int64_t moving(void *context) {
    const struct exec *exec = context;
    uint64_t sum = 0;
    for (int i = 0; i < WORDS; i++) sum = sum * 0x9e3779b97f4a7c15u + (uint64_t)exec->channel.words[i];
    return (int64_t)sum;
}

/* The communication op of that place; the same on all ranks, whose other ops differ. */
static const struct op *op_at(const struct plan *plan, int64_t place) {
    for (int i = 0; i < plan->n_ops; i++)
        if (starts(&plan->ops[i]) && place-- == 0) return &plan->ops[i];
    return NULL;
}

static void describe(void *context, int64_t word, char text[160]) {
    const struct exec *exec = context;
    const struct op *op = op_at(exec->plan, (word & ((1 << MARK_PLACE) - 1)) - 1);
    char range[64] = "";
    if (!op) {
        snprintf(text, 160, "the first exchange");
        return;
    }
    if (op->attr.end > op->attr.begin)
        snprintf(range, sizeof range, " of elements [%lld, %lld)", (long long)op->attr.begin, (long long)op->attr.end);
    snprintf(text, 160, "%s%s of step %lld", op_info[op->kind].name, range,
             (long long)(word >> (MARK_PLACE + MARK_ROUND)));
}

static void leave(void *context) {
    struct exec *exec = context;
    nccl_abort(exec->channel.nccl);
}

/* ---- load ---- */

/* A GPU of its own is what each rank needs. For tests NCCL can be told that ranks of one GPU are on hosts of their own. */
static int check_crowd(struct exec *exec) {
    struct comm *comm = exec->comm;
    struct gpu_survey survey;
    TRY(cuda_survey(comm, &survey));
    exec->channel.crowded = survey.sharing != NONE;
    if (!exec->channel.crowded || cuda_may_share()) return 0;
    comm->common = 1;
    return fail(
        STATUS_USAGE,
        "backend cuda: rank %d on %s has the same GPU as another rank: start one rank a GPU (mpirun -np with as "
        "many ranks as there are GPUs, or --gpus-per-task=1 in Slurm)",
        survey.sharing, comm->peers[survey.sharing].host);
}

static int make_events(struct exec *exec) {
    struct channel *w = &exec->channel;
    TRY(cuda_check(cudaEventCreateWithFlags(&w->ready, cudaEventDisableTiming), "starting"));
    TRY(cuda_check(cudaEventCreateWithFlags(&w->last, cudaEventDisableTiming), "starting"));
    for (int line = 0; line <= exec->plan->lines; line++) {
        TRY(cuda_check(cudaEventCreateWithFlags(&w->done[line], cudaEventDisableTiming), "starting"));
        w->started[line] = NONE;
    }
    return 0;
}

static int make_room(struct exec *exec) {
    struct channel *w = &exec->channel;
    const struct plan *plan = exec->plan;
    size_t lines = (size_t)plan->lines + 1, most = 1;
    for (int line = 1; line <= plan->lines; line++)
        if ((size_t)plan_line_messages(plan, line) > most) most = (size_t)plan_line_messages(plan, line);
    w->done = calloc(lines, sizeof *w->done);
    w->started = calloc(lines, sizeof *w->started);
    w->counts = calloc((size_t)plan->request.ranks, sizeof *w->counts);
    w->sends = calloc(most, sizeof *w->sends);
    w->receives = calloc(most, sizeof *w->receives);
    if (!w->done || !w->started || !w->counts || !w->sends || !w->receives)
        return fail(STATUS_FAILED, "backend cuda: out of memory for %d lines", plan->lines);
    TRY(make_events(exec));
    TRY(cuda_check(cudaHostAlloc((void **)&w->words, WORDS * sizeof *w->words, cudaHostAllocMapped), "starting"));
    memset((void *)w->words, 0, WORDS * sizeof *w->words);
    TRY(cuda_check(cudaHostGetDevicePointer((void **)&w->words_device, (void *)w->words, 0), "starting"));
    return cuda_check(cudaStreamCreateWithPriority(&w->stream, cudaStreamNonBlocking, -1), "starting");
}

int cuda_open_wire(struct exec *exec) {
    struct channel *w = &exec->channel;
    if (!exec->plan->lines) return 0;
    int status = check_crowd(exec);
    if (!status) status = make_room(exec);
    TRY(comm_agree(exec->comm, status));
    TRY(nccl_open(exec->comm, &w->nccl));
    if (w->crowded)
        log_line("ranks of %s share a GPU: for tests; nothing is computed beside a message", exec->comm->host);
    w->device = (struct comm_device){exec, reached, moving, describe, leave};
    exec->comm->device = &w->device;
    return 0;
}

void cuda_close_wire(struct exec *exec) {
    struct channel *w = &exec->channel;
    if (exec->comm && exec->comm->device == &w->device) exec->comm->device = NULL;
    if (w->stream && !exec->comm->broken) cudaStreamSynchronize(w->stream);
    nccl_close(w->nccl);
    for (int line = 0; w->done && line <= exec->plan->lines; line++)
        if (w->done[line]) cudaEventDestroy(w->done[line]);
    if (w->ready) cudaEventDestroy(w->ready);
    if (w->last) cudaEventDestroy(w->last);
    if (w->stream) cudaStreamDestroy(w->stream);
    if (w->words) cudaFreeHost((void *)w->words);
    free(w->done);
    free(w->started);
    free(w->counts);
    free(w->sends);
    free(w->receives);
}

/* ---- running ---- */

static void address(void *context, const struct wire *message) {
    struct exec *exec = context;
    struct channel *w = &exec->channel;
    struct comm_message m = {message->peer, (char *)exec->data[message->buf] + message->offset, message->bytes};
    if (message->receives)
        w->receives[w->n_receives++] = m;
    else
        w->sends[w->n_sends++] = m;
}

static int put_messages(struct exec *exec, const struct op *op) {
    struct channel *w = &exec->channel;
    w->n_sends = w->n_receives = 0;
    plan_wire(exec->plan, op, exec->block.round, address, exec);
    return nccl_exchange(w->nccl, w->sends, w->n_sends, w->receives, w->n_receives, w->stream);
}

static int put_sum(struct exec *exec, const struct op *op) {
    const struct plan *plan = exec->plan;
    const struct buf *in = &plan->bufs[op->in[0]];
    struct comm_sum sum = {.in = exec->data[op->in[0]], .out = exec->data[op->out[0]], .elems = buf_elems(in)};
    sum.type = in->type == DTYPE_BF16 ? COMM_BF16 : in->type == DTYPE_F64 ? COMM_F64 : COMM_F32;
    if (op->kind == OP_reduce_scatter) {
        for (int r = 0; r < plan->request.ranks; r++) {
            struct span piece = plan_piece(plan, op->attr.bucket, r);
            exec->channel.counts[r] = piece.end - piece.begin;
        }
        sum.counts = exec->channel.counts;
    }
    return nccl_sum(exec->channel.nccl, &sum, exec->channel.stream);
}

static int put(struct exec *exec, const struct op *op) {
    switch (op->kind) {
    case OP_exchange:
    case OP_all_gather:
    case OP_gather_losses:
    case OP_gather_norms:
        return put_messages(exec, op);
    case OP_all_reduce:
    case OP_reduce_scatter:
        return put_sum(exec, op);
    default:
        return fail(STATUS_FAILED, "backend cuda: op %s has no transport", op_info[op->kind].name);
    }
}

/* In a graph that is recorded, what was started outside of it is an external event. */
static int hold_up(struct exec *exec, int line) {
    const int started = exec->channel.started[line];
    if (started == NONE && !exec->piece) return 0; /* before the first step nothing is on its way */
    const int inside = !exec->piece || (started >= exec->piece->begin && started < exec->piece->end);
    return cuda_check(cudaStreamWaitEvent(exec->stream, exec->channel.done[line],
                                          inside ? cudaEventWaitDefault : cudaEventWaitExternal),
                      "waiting for other ranks");
}

static void mark(struct exec *exec, int i, int word) {
    const struct plan *plan = exec->plan;
    int64_t place = 0;
    for (int k = 0; k < i; k++) place += starts(&plan->ops[k]);
    cuda_mark(exec->data[plan->step], place, plan->zero == 2, exec->channel.words_device + word, exec->channel.stream);
}

/* Graphs run on streams of their own, and messages must leave in the plan's order on all ranks: the first of a graph follows the last that was
 * started outside, which the others then follow. */
static int follow(struct exec *exec) {
    struct channel *w = &exec->channel;
    if (!exec->piece || w->following == exec->piece) return 0;
    w->following = exec->piece;
    return cuda_check(cudaStreamWaitEvent(w->stream, w->last, cudaEventWaitExternal), "starting communication");
}

static int start(struct exec *exec, int i) {
    struct channel *w = &exec->channel;
    const struct op *op = &exec->plan->ops[i];
    const char *doing = "starting communication";
    TRY(cuda_check(cudaEventRecord(w->ready, exec->stream), doing));
    TRY(cuda_check(cudaStreamWaitEvent(w->stream, w->ready, 0), doing));
    TRY(follow(exec));
    mark(exec, i, WORD_BEGUN);
    TRY(put(exec, op));
    mark(exec, i, WORD_DONE);
    TRY(cuda_check(cudaEventRecord(w->done[op->attr.line], w->stream), doing));
    if (!exec->piece) TRY(cuda_check(cudaEventRecord(w->last, w->stream), doing));
    w->started[op->attr.line] = i;
    return w->crowded ? hold_up(exec, op->attr.line) : 0;
}

cudaStream_t cuda_stream_of(const struct exec *exec, int i) {
    return starts(&exec->plan->ops[i]) ? exec->channel.stream : exec->stream;
}

int cuda_communicate(struct exec *exec, int i) {
    const struct op *op = &exec->plan->ops[i];
    return op->kind == OP_wait ? hold_up(exec, op->attr.line) : start(exec, i);
}

void cuda_mark_step(struct exec *exec) {
    if (exec->channel.nccl) cuda_tick(exec->channel.words_device + WORD_STEP, exec->stream);
}
