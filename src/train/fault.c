/* Faults on purpose, to see that they are found: LOCKSTEP_FAULT=KIND:RANK:STEP.
 *
 *   flip-params   one bit of the parameters that ops read changes        (found by the guard)
 *   flip-moments  one bit of AdamW's first moments                       (by the guard)
 *   flip-compute  the same as flip-params, but only while slots are computed   (by the audit)
 *   kill, stop    SIGKILL, SIGSTOP,
 *   stop-save     SIGSTOP where a checkpoint begins,
 *   stop-files    and where its files are written,
 *   stop-end      and where a run of that many steps is over             (by the other ranks)
 *   fail          the rank reports an error */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "train/trainer.h"

static const char *const kinds[] = {[FAULT_NONE] = "",
                                    [FAULT_FLIP_PARAMS] = "flip-params",
                                    [FAULT_FLIP_MOMENTS] = "flip-moments",
                                    [FAULT_FLIP_COMPUTE] = "flip-compute",
                                    [FAULT_KILL] = "kill",
                                    [FAULT_STOP] = "stop",
                                    [FAULT_STOP_SAVE] = "stop-save",
                                    [FAULT_STOP_FILES] = "stop-files",
                                    [FAULT_STOP_END] = "stop-end",
                                    [FAULT_FAIL] = "fail"};

int fault_open(struct fault *fault, int ranks, int64_t steps) {
    const char *text = getenv("LOCKSTEP_FAULT");
    char kind[32];
    int rank, length = 0;
    long long step;
    *fault = (struct fault){0};
    if (!text || !*text) return 0;
    if (sscanf(text, "%31[a-z-]:%d:%lld%n", kind, &rank, &step, &length) == 3 && !text[length] && rank >= 0 &&
        rank < ranks && step >= 0)
        for (size_t i = 1; i < sizeof kinds / sizeof *kinds; i++)
            if (!strcmp(kind, kinds[i]) && step < steps + (i >= FAULT_STOP_SAVE && i <= FAULT_STOP_END))
                *fault = (struct fault){(enum fault_kind)i, rank, step};
    return fault->kind
               ? 0
               : fail(STATUS_USAGE,
                      "LOCKSTEP_FAULT: '%s' is not KIND:RANK:STEP with a kind of flip-params, flip-moments, "
                      "flip-compute, kill, stop, stop-save, stop-files, stop-end, fail, one of the %d ranks and one of "
                      "the %lld steps",
                      text, ranks, (long long)steps);
}

static int flip(struct trainer *t, int buf) {
    unsigned char byte;
    int64_t bytes = buf_bytes(&t->run.plan->bufs[buf]), at = bytes / 2 + 1;
    if (!bytes) return fail(STATUS_USAGE, "LOCKSTEP_FAULT: this rank owns nothing of %s", t->run.plan->bufs[buf].name);
    TRY(t->run.backend->copy(t->run.exec, buf, at, &byte, 1, COPY_TO_HOST));
    byte ^= 1;
    return t->run.backend->copy(t->run.exec, buf, at, &byte, 1, COPY_TO_DEVICE);
}

static int is_due(const struct trainer *t, enum fault_kind kind) {
    return t->fault.kind == kind && t->fault.rank == t->comm->rank && t->fault.step == t->step;
}

int fault_begin_step(struct trainer *t) {
    const struct plan *plan = t->run.plan;
    if (is_due(t, FAULT_FLIP_PARAMS) || is_due(t, FAULT_FLIP_COMPUTE)) {
        TRY(comm_wait_all(t->comm));
        TRY(flip(t, plan->flat_copy));
    }
    if (is_due(t, FAULT_FLIP_MOMENTS)) TRY(flip(t, plan->flat_m));
    if (is_due(t, FAULT_KILL)) raise(SIGKILL);
    if (is_due(t, FAULT_STOP)) raise(SIGSTOP);
    return is_due(t, FAULT_FAIL) ? fail(STATUS_FAILED, "LOCKSTEP_FAULT asked for this failure") : 0;
}

void fault_begin_save(struct trainer *t) {
    if (is_due(t, FAULT_STOP_SAVE)) raise(SIGSTOP);
}

void fault_begin_files(struct trainer *t) {
    if (is_due(t, FAULT_STOP_FILES)) raise(SIGSTOP);
}

void fault_end_run(struct trainer *t) {
    if (is_due(t, FAULT_STOP_END)) raise(SIGSTOP);
}

int fault_end_slots(struct trainer *t) { return is_due(t, FAULT_FLIP_COMPUTE) ? flip(t, t->run.plan->flat_copy) : 0; }
