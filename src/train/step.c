/* One optimizer step: every slot of this rank, the sum over all slots in the fixed tree, the update. */
#include <math.h>

#include "base/check.h"
#include "base/clock.h"
#include "plan/tree.h"
#include "train/trainer.h"

/* The loss of a step is the mean over all of its targets: a micro-batch weighs as much as it has of them (`all`: of the step). */
static int compute(struct trainer *t, const struct batch *batch, int64_t counted_in_step, int slot, int micro,
                   enum segment segment) {
    struct run *run = &t->run;
    double counted = (double)batch->counted, all = counted_in_step > 0 ? (double)counted_in_step : 1;
    run->block.slot = (uint32_t)slot;
    run->block.micro = (uint32_t)micro;
    run->block.audit = slot == t->audit.slot && micro == run->plan->micro_batches - 1;
    run->block.grad_scale = counted / all;
    run->block.weight = counted * run->plan->slots * run->plan->micro_batches / all;
    if (!counted_in_step) run->block.weight = NAN; /* nothing to learn from: the step is skipped on all ranks */
    TRY(run_write_batch(run, batch, run->rows));
    TRY(run_write_block(run));
    TRY(run->backend->run(run->exec, segment));
    return run->block.audit ? audit_keep(t) : 0;
}

static int run_micro_batch(struct trainer *t, int slot, int micro, enum segment segment) {
    static const struct trace_label label = TRACE_LABEL("data");
    const struct prefetched *next;
    double begin = t->trace ? clock_seconds() : 0;
    TRY(prefetch_next(&t->prefetch, t->comm->size > 1 ? t->config->dist.timeout_s : 0, &next));
    if (t->trace) trace_add(t->trace, TRACE_WAITING, &label, NULL, begin, clock_seconds());
    if (next->step != t->step || next->slot != slot || next->micro != micro)
        return fail(STATUS_FAILED, "the data reader is at step %lld, training at step %lld", (long long)next->step,
                    (long long)t->step);
    t->targets = next->step_counted;
    return compute(t, &next->batch, next->step_counted, slot, micro, segment);
}

int trainer_compute_again(struct trainer *t, int slot) {
    struct sampler *sampler = &t->audit.sampler;
    int64_t counted;
    TRY(sampler_counted(sampler, t->step, &counted));
    for (int micro = 0; micro < t->run.plan->micro_batches; micro++) {
        TRY(sampler_batch(sampler, t->step, slot, micro, &t->run.batch));
        TRY(compute(t, &t->run.batch, counted, slot, micro, micro ? SEG_MICRO_NEXT : SEG_MICRO_FIRST));
    }
    return 0;
}

/* The i-th slot of this rank; with ZeRO 2 there may be one round more, in which it has none. */
static int run_slot(struct trainer *t, int i) {
    const struct plan *plan = t->run.plan;
    int slot = plan->slot_lo + i * plan->slot_step;
    t->run.block.round = i;
    if (i == plan_n_slots(plan)) TRY(run_write_block(&t->run));
    if (plan->zero < 2 && i < plan_n_slots(plan))
        tree_fold(plan->slots, plan->slot_lo, slot, &t->run.block.held, &t->run.block.fold);
    for (int micro = 0; i < plan_n_slots(plan) && micro < plan->micro_batches; micro++)
        TRY(run_micro_batch(t, slot, micro, plan_micro_segment(plan, i, micro)));
    enum segment after = plan_after_slot(plan, i);
    return after == SEG_COUNT ? 0 : t->run.backend->run(t->run.exec, after);
}

static int run_slots(struct trainer *t) {
    const struct plan *plan = t->run.plan;
    int rounds = plan_n_rounds(plan);
    TRY(fault_begin_step(t));
    TRY(audit_begin(t));
    for (int i = 0; i < rounds; i++) TRY(run_slot(t, i));
    TRY(fault_end_slots(t));
    return audit_compare(t);
}

/* Between the slots and the update nothing is on its way, and what the last update left must still be there. */
static int update(struct trainer *t) {
    int64_t every = t->config->guard.every;
    TRY(guard_check_seal(t));
    if (every && t->step % every == 0) TRY(guard_compare(t));
    TRY(t->run.backend->run(t->run.exec, SEG_UPDATE));
    return guard_seal(t);
}

/* Losses are added in the order of slots, so every rank finds the same bits. */
static double step_loss(const struct trainer *t) {
    double sum = 0;
    int slots = t->run.plan->slots;
    for (int i = 0; i < slots; i++) sum += t->slot_losses[i];
    return sum / slots;
}

int trainer_step(struct trainer *t, struct step_report *report) {
    struct run *run = &t->run;
    const struct plan *plan = run->plan;
    double begin = clock_seconds();
    run->block.step = (uint32_t)t->step;
    run->block.adam_step = t->adam_step;
    run->block.lr = train_learning_rate(&t->config->train, t->step);
    run->block.loss_scale = (double)t->scale.scale;
    t->comm->phase.step = t->step;
    TRY(run_slots(t));
    TRY(update(t));
    TRY(run->backend->wait(run->exec));
    TRY(run->backend->copy(run->exec, plan->step, 0, &run->block, sizeof run->block, COPY_TO_HOST));
    TRY(run->backend->copy(run->exec, plan->slot_losses, 0, t->slot_losses, plan->slots * (int64_t)sizeof(double),
                           COPY_TO_HOST));

    const struct config_model *m = &t->config->model;
    double tokens = (double)plan->slots * plan->micro_batches * (double)run->rows;
    double flops = 6.0 * (double)plan->param_elems + 12.0 * (double)(m->layers * m->width * plan->request.time);
    report->step = t->step;
    report->tokens = (int64_t)tokens * (t->step + 1);
    report->loss = step_loss(t);
    report->lr = run->block.lr;
    report->grad_norm = run->block.grad_norm;
    report->skipped = run->block.skip;
    report->time_s = clock_seconds() - begin;
    report->tok_per_s = tokens / report->time_s;
    report->mfu = t->peak_flops > 0 ? report->tok_per_s * flops / t->peak_flops : 0;
    return 0;
}
