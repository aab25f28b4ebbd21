/* The loss of a text: batches are shared out over the ranks, and their losses are added in order on every rank. */
#include "run/run.h"

#include <math.h>
#include <stdlib.h>

#include "base/check.h"

/* This rank's contiguous share of the batches. */
static int64_t first_of(const struct run *run, int64_t batches, int rank) { return batches * rank / run->comm->size; }

static int compute(struct run *run, const struct windows *windows, int64_t batches, int64_t total,
                   const volatile int *stop, struct eval_part *parts) {
    const struct plan *plan = run->plan;
    int64_t batch = plan->request.batch;
    int64_t end = first_of(run, batches, run->comm->rank + 1);
    for (int64_t i = first_of(run, batches, run->comm->rank); i < end; i++) {
        if (stop && *stop) {
            parts[i] = (struct eval_part){NAN, 1};
            continue;
        }
        TRY(windows_eval_batch(windows, batch, i * total / batches, run->config->model.vocab, &run->batch));
        TRY(run_write_batch(run, &run->batch, run->rows));
        TRY(run->backend->run(run->exec, SEG_EVAL));
        TRY(run->backend->copy(run->exec, plan->eval_loss, 0, &parts[i], sizeof parts[i], COPY_TO_HOST));
    }
    return run->backend->wait(run->exec);
}

static int share(struct run *run, int64_t batches) {
    int64_t *offset = run->spans, *bytes = run->spans + run->comm->size, size = sizeof *run->parts;
    for (int r = 0; r < run->comm->size; r++) {
        offset[r] = first_of(run, batches, r) * size;
        bytes[r] = first_of(run, batches, r + 1) * size - offset[r];
    }
    return comm_gather(run->comm, run->parts, offset, bytes);
}

static int make_room(struct run *run, int64_t batches) {
    if (run->n_parts >= batches) return 0;
    free(run->parts);
    run->n_parts = 0;
    run->parts = calloc((size_t)batches, sizeof *run->parts);
    if (!run->parts) return fail(STATUS_FAILED, "out of memory for an evaluation of %lld batches", (long long)batches);
    run->n_parts = batches;
    return 0;
}

int run_evaluate(struct run *run, const struct windows *windows, int64_t batches, const volatile int *stop,
                 double *loss, int64_t *tokens) {
    const struct plan *plan = run->plan;
    int64_t total = windows_eval_batches(windows, plan->request.batch);
    if (!batches || batches > total) batches = total;
    TRY(make_room(run, batches));
    run->block.position = 0;
    TRY(run_write_block(run));
    TRY(compute(run, windows, batches, total, stop, run->parts));
    TRY(share(run, batches));
    double sum = 0, count = 0;
    for (int64_t i = 0; i < batches; i++) {
        sum += run->parts[i].mean * run->parts[i].count;
        count += run->parts[i].count;
    }
    if (count == 0) {
        fail(STATUS_BAD_DATA, "%s: none of the tokens that were evaluated counts as a target", windows->source->name);
        return comm_agree(run->comm, STATUS_BAD_DATA); /* all find that, and one tells it */
    }
    *loss = sum / count;
    *tokens = (int64_t)count;
    return 0;
}
