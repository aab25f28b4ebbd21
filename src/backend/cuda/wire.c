/* The communication ops of the plan, by NCCL. A start waits, on the device, for what the step has computed so far, and goes on beside it; an
 * op wait holds the step up until that is done. The host only puts them on their streams. */
#include "backend/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "comm/nccl.h"
#include "kernels/cuda/kernels.h"

/* ---- what is said of a device that hangs ---- */

/* Messages begun, and one: 0 would be no word. */
static int64_t reached(void *context) {
    const struct exec *exec = context;
    return exec->channel.words[WORD_BEGUN] + 1;
}

static int64_t moving(void *context) {
    const struct exec *exec = context;
    uint64_t sum = 0;
    for (int i = 0; i < WORDS; i++) sum = sum * 0x9e3779b97f4a7c15u + (uint64_t)exec->channel.words[i];
    return (int64_t)sum;
}

static void describe(void *context, int64_t word, char text[160]) {
    const struct exec *exec = context;
    const struct channel *w = &exec->channel;
    const int64_t number = word - 1;
    char name[96];
    if (number < 1 || number > w->count || number + REMEMBERED <= w->count) {
        snprintf(text, 160, "message %lld of this job", (long long)number);
        return;
    }
    const struct start *start = &w->newest[number % REMEMBERED];
    backend_name_communication(&exec->plan->ops[start->op], name);
    snprintf(text, 160, "%s of step %lld", name, (long long)start->step);
}

static int settle(void *context) {
    struct exec *exec = context;
    TRY(cuda_await_stream(exec, exec->stream, "finishing"));
    return cuda_await_stream(exec, exec->channel.stream, "finishing");
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
    if (!exec->channel.crowded || survey.may_share) return 0;
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
    for (int i = 0; i < 2; i++)
        TRY(cuda_check(cudaEventCreateWithFlags(&w->pace[i], cudaEventDisableTiming), "starting"));
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

/* NCCL connects, and takes memory for it, when ranks first talk: that is now, before the plan's memory is taken. What arrives means nothing. */
static int connect_all(struct exec *exec) {
    enum { BYTES = 1 << 20 };
    struct channel *w = &exec->channel;
    char *room = NULL;
    int n = 0, ranks = exec->comm->size;
    struct comm_message *messages = calloc(2 * (size_t)ranks, sizeof *messages);
    int status = messages ? 0 : fail(STATUS_FAILED, "backend cuda: out of memory for %d ranks", ranks);
    if (!status) status = cuda_check(cudaMalloc((void **)&room, 2 * BYTES), "starting");
    status = comm_agree(exec->comm, status);
    for (int r = 0; r < ranks && !status; r++) {
        if (r == exec->comm->rank) continue;
        messages[n] = (struct comm_message){r, room, BYTES};
        messages[ranks + n++] = (struct comm_message){r, room + BYTES, BYTES};
    }
    if (!status) status = nccl_exchange(w->nccl, messages, n, messages + ranks, n, w->stream);
    if (!status) status = cuda_await_stream(exec, w->stream, "meeting the other ranks");
    free(messages);
    TRY(status);
    return cuda_check(cudaFree(room), "starting");
}

int cuda_open_wire(struct exec *exec) {
    struct channel *w = &exec->channel;
    if (!exec->plan->lines) return 0;
    int status = check_crowd(exec);
    if (!status) status = make_room(exec);
    TRY(comm_agree(exec->comm, status));
    const struct comm_phase before = exec->comm->phase;
    exec->comm->phase.doing = "the start of NCCL";
    status = nccl_open(exec->comm, &w->nccl);
    if (!status) status = connect_all(exec);
    exec->comm->phase = before;
    TRY(status);
    if (w->crowded)
        log_line("ranks of %s share a GPU: for tests; nothing is computed beside a message", exec->comm->host);
    w->device = (struct comm_device){exec, reached, moving, describe, settle, leave};
    exec->comm->device = &w->device;
    return 0;
}

/* What is under way arrives; or else it is given up. */
void cuda_close_wire(struct exec *exec) {
    struct channel *w = &exec->channel;
    if (w->nccl && (exec->comm->broken || settle(exec))) nccl_abort(w->nccl);
    if (exec->comm && exec->comm->device == &w->device) exec->comm->device = NULL;
    nccl_close(w->nccl);
    for (int line = 0; w->done && line <= exec->plan->lines; line++)
        if (w->done[line]) cudaEventDestroy(w->done[line]);
    if (w->ready) cudaEventDestroy(w->ready);
    for (int i = 0; i < 2; i++)
        if (w->pace[i]) cudaEventDestroy(w->pace[i]);
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
    struct comm_sum sum = backend_sum(exec->plan, exec->data, op, exec->channel.counts);
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

/* In a graph, which has no start inside, what is waited for is an external event. */
static int hold_up(struct exec *exec, int line) {
    if (exec->channel.started[line] == NONE && !exec->recording) return 0; /* before the first step */
    const unsigned how = exec->recording ? cudaEventWaitExternal : cudaEventWaitDefault;
    return cuda_check(cudaStreamWaitEvent(exec->stream, exec->channel.done[line], how), "waiting for other ranks");
}

static int start(struct exec *exec, int i) {
    struct channel *w = &exec->channel;
    const struct op *op = &exec->plan->ops[i];
    const char *doing = "starting communication";
    TRY(cuda_check(cudaEventRecord(w->ready, exec->stream), doing));
    TRY(cuda_check(cudaStreamWaitEvent(w->stream, w->ready, 0), doing));
    if (exec->timeline.trace) TRY(cuda_mark_begin(exec, i));
    w->count++;
    w->newest[w->count % REMEMBERED] = (struct start){i, exec->block.step};
    cuda_mark(w->words_device + WORD_BEGUN, w->count, w->stream);
    TRY(put(exec, op));
    cuda_mark(w->words_device + WORD_DONE, w->count, w->stream);
    if (exec->timeline.trace) TRY(cuda_mark_end(exec));
    TRY(cuda_check(cudaEventRecord(w->done[op->attr.line], w->stream), doing));
    w->started[op->attr.line] = i;
    return w->crowded ? hold_up(exec, op->attr.line) : 0;
}

int cuda_communicate(struct exec *exec, int i) {
    const struct op *op = &exec->plan->ops[i];
    return op->kind == OP_wait ? hold_up(exec, op->attr.line) : start(exec, i);
}

void cuda_mark_step(struct exec *exec) {
    struct channel *w = &exec->channel;
    if (w->nccl) cuda_mark(w->words_device + WORD_STEP, ++w->segments, exec->stream);
}

/* The driver holds about a thousand launches; the next one waits inside, where nobody looks at a clock. */
int cuda_keep_pace(struct exec *exec) {
    enum { LAUNCHES = 200 };
    struct channel *w = &exec->channel;
    if (!w->nccl || ++w->launched % LAUNCHES) return 0;
    cudaEvent_t *pace = &w->pace[w->launched / LAUNCHES % 2];
    TRY(cuda_await_event(exec, *pace, "computing"));
    return cuda_check(cudaEventRecord(*pace, exec->stream), "computing");
}
