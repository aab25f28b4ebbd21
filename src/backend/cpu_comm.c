/* The communication ops of the plan, by way of a transport (comm/comm.h). They only start it; a wait ends it. */
#include "backend/cpu.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"

int cpu_prepare_comm(struct exec *exec) {
    const struct plan *plan = exec->plan;
    if (!plan->lines) return 0;
    size_t lines = (size_t)plan->lines + 1, most = 1;
    int *messages = calloc(lines, sizeof *messages);
    exec->started = calloc(lines, sizeof *exec->started);
    exec->started_in = calloc(lines, sizeof *exec->started_in);
    exec->slices = calloc(lines, sizeof *exec->slices);
    exec->counts = calloc((size_t)plan->request.ranks, sizeof *exec->counts);
    if (!messages || !exec->started || !exec->started_in || !exec->slices || !exec->counts) {
        free(messages);
        return fail(STATUS_FAILED, "backend cpu: out of memory");
    }
    for (int line = 1; line <= plan->lines; line++) {
        messages[line] = plan_line_messages(plan, line);
        if ((size_t)messages[line] > most) most = (size_t)messages[line];
    }
    int status = comm_reserve(exec->comm, plan->lines, messages);
    free(messages);
    TRY(status);
    exec->sends = calloc(most, sizeof *exec->sends);
    exec->receives = calloc(most, sizeof *exec->receives);
    return exec->sends && exec->receives ? 0 : fail(STATUS_FAILED, "backend cpu: out of memory");
}

struct letters {
    struct exec *exec;
    int sends, receives;
};

static void address(void *context, const struct wire *wire) {
    struct letters *letters = context;
    struct exec *exec = letters->exec;
    struct comm_message message = {wire->peer, (char *)exec->data[wire->buf] + wire->offset, wire->bytes};
    if (wire->receives)
        exec->receives[letters->receives++] = message;
    else
        exec->sends[letters->sends++] = message;
}

static int start_messages(struct exec *exec, const struct op *op) {
    struct letters letters = {exec, 0, 0};
    const struct step_block *step = exec->data[exec->plan->step];
    plan_wire(exec->plan, op, step->round, address, &letters);
    return comm_start(exec->comm, op->attr.line, exec->sends, letters.sends, exec->receives, letters.receives);
}

static int start_sum(struct exec *exec, const struct op *op) {
    struct comm_sum sum = backend_sum(exec->plan, exec->data, op, exec->counts);
    return comm_start_sum(exec->comm, op->attr.line, &sum);
}

static int wait(struct exec *exec, const struct op *op) {
    const struct op *started = exec->started[op->attr.line];
    char text[96];
    if (!started) return 0;                    /* before the first step nothing is on its way */
    backend_name_communication(started, text); /* what a rank that waits says of it */
    const struct comm_phase before = exec->comm->phase;
    exec->comm->phase.doing = text;
    exec->comm->phase.step = exec->started_in[op->attr.line];
    int status = comm_wait(exec->comm, op->attr.line);
    exec->comm->phase = before;
    return status;
}

static int traced_wait(struct exec *exec, const struct op *op) {
    struct trace *trace = exec->trace;
    const struct op *ops = exec->plan->ops, *started = exec->started[op->attr.line];
    if (!trace) return wait(exec, op);
    double begin = clock_seconds();
    TRY(wait(exec, op));
    trace_add(trace, TRACE_WAITING, &trace->ops[op - ops], started ? &trace->ops[started - ops] : NULL, begin,
              clock_seconds());
    trace_end(trace, exec->slices[op->attr.line], 0);
    exec->slices[op->attr.line] = -1; /* a second wait, in another segment, finds nothing under way */
    return 0;
}

/* Parameters that come back are waited for in the next step: messages say the step that sent them. */
static void note_start(struct exec *exec, const struct op *op) {
    exec->started[op->attr.line] = op;
    exec->started_in[op->attr.line] = exec->comm->phase.step;
    if (exec->trace)
        exec->slices[op->attr.line] =
            trace_begin(exec->trace, TRACE_COMM, &exec->trace->ops[op - exec->plan->ops], exec->comm->phase.step);
}

int cpu_communicate(struct exec *exec, const struct op *op) {
    switch (op->kind) {
    case OP_wait:
        return traced_wait(exec, op);
    case OP_exchange:
    case OP_all_gather:
    case OP_gather_losses:
    case OP_gather_norms:
        note_start(exec, op);
        return start_messages(exec, op);
    case OP_all_reduce:
    case OP_reduce_scatter:
        note_start(exec, op);
        return start_sum(exec, op);
    default:
        return fail(STATUS_FAILED, "backend cpu: op %s has no transport", op_info[op->kind].name);
    }
}
