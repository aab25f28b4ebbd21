/* The training loop. All ranks walk it in step: what one rank alone knows (a signal) is agreed on before it is acted on. */

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "train/trainer.h"

static const struct trace_label evaluation = TRACE_LABEL("evaluation"), step_label = TRACE_LABEL("step"),
                                ranks_label = TRACE_LABEL("ranks");

/* An evaluation that a signal cuts short is not reported: the caller checks for a stop next. */
static int evaluate(struct trainer *t, struct step_report *report) {
    int64_t tokens;
    if (!t->data.val.count) return 0;
    report->evaluated = 1;
    const struct comm_phase before = t->comm->phase;
    t->comm->phase.doing = "the evaluation";
    int64_t slice = trace_begin(t->trace, TRACE_EVALUATION, &evaluation, t->step);
    int status =
        run_evaluate(&t->run, &t->val, t->config->train.eval_batches, &stop_signal, &report->val_loss, &tokens);
    trace_end(t->trace, slice, 0);
    t->comm->phase = before;
    if (!status && t->config->ckpt.keep_best && !t->comm->rank)
        status = metrics_add_loss(&t->losses, t->step, report->val_loss);
    return status;
}

/* What one rank alone knows. STATUS_STOPPED when any was asked to stop; a checkpoint that all have written is made to count. */
static int check_stop(struct trainer *t) {
    int mine = 2 * stop_signal + saving_is_under_way(t), signal = 0, writing = 0;
    int *all = t->comm->size > 1 ? t->comm->values : &mine;
    double begin = t->trace ? clock_seconds() : 0;
    TRY(comm_gather_equal(t->comm, &mine, all, sizeof mine));
    if (t->trace) trace_add(t->trace, TRACE_WAITING, &ranks_label, NULL, begin, clock_seconds());
    for (int r = 0; r < t->comm->size; r++) {
        signal |= all[r] / 2;
        writing |= all[r] % 2;
    }
    if (!writing) TRY(saving_finish(t));
    return signal ? STATUS_STOPPED : 0;
}

/* Counts the step; too many skipped ones in a row end the run, with its state saved. */
static int count_step(struct trainer *t, const struct step_report *report) {
    t->step++;
    t->adam_step += !report->skipped;
    t->skipped += report->skipped;
    int searching = report->skipped && t->scale.scale > 1; /* a scale that is too large is not a run that fails */
    t->scale = loss_scale_next(t->scale, &t->config->train, report->skipped && t->targets);
    t->skipped_in_a_row = report->skipped && !searching ? t->skipped_in_a_row + 1 : 0;
    if (t->skipped_in_a_row <= t->config->guard.max_skipped) return 0;
    TRY(trainer_save(t, 0));
    fail(STATUS_FAILED,
         "%lld steps in a row were skipped because a loss or gradient was not finite (guard.max_skipped is "
         "%lld); the state before step %lld is saved in %s; a lower train.lr or another train.seed may help",
         (long long)t->skipped_in_a_row, (long long)t->config->guard.max_skipped, (long long)t->step, t->folder);
    return comm_agree(t->comm, STATUS_FAILED);
}

static int one_step(struct trainer *t) {
    const struct config *c = t->config;
    struct step_report report = {0};
    t->comm->phase.step = t->step;
    tracing_begin_step(t);
    if (c->train.eval_every && t->step > 0 && t->step % c->train.eval_every == 0) TRY(evaluate(t, &report));
    TRY(check_stop(t));
    int64_t slice = trace_begin(t->trace, TRACE_STEP, &step_label, t->step);
    int status = trainer_step(t, &report);
    trace_end(t->trace, slice, report.loss);
    if (status && !t->comm->agreed && *fail_message()) return fail_within(status, "step %lld: ", (long long)t->step);
    TRY(status);
    TRY(metrics_write(t, &report));
    progress_step(t, &report);
    TRY(count_step(t, &report));
    if (c->ckpt.every && t->step % c->ckpt.every == 0) TRY(trainer_save(t, 1));
    TRY(tracing_end_step(t));
    return t->options->on_step ? t->options->on_step(t->options->context, report.step) : 0;
}

/* The state after the last step: evaluated, reported, saved. */
static int finish(struct trainer *t) {
    struct step_report report = {.step = t->step};
    report.tokens = t->step * t->run.plan->slots * t->run.plan->micro_batches * t->run.rows;
    if (t->config->ckpt.last) TRY(trainer_save(t, 0));
    TRY(saving_finish(t));
    TRY(evaluate(t, &report));
    TRY(check_stop(t));
    if (!report.evaluated) return 0;
    TRY(metrics_write(t, &report));
    progress_step(t, &report);
    return 0;
}

static int loop(struct trainer *t) {
    while (t->step < t->config->train.steps) TRY(one_step(t));
    TRY(finish(t));
    fault_end_run(t);
    return 0;
}

int train_run(const struct config *config, struct comm *comm, const struct train_options *options) {
    struct trainer t;
    signals_install();
    int status = trainer_open(&t, config, comm, options);
    if (!status) {
        t.started = clock_seconds();
        progress_start(&t);
        status = loop(&t);
        if (status == STATUS_STOPPED) {
            int saved = trainer_save(&t, 0);
            if (!saved) saved = tracing_finish(&t);
            if (saved) status = saved;
        }
        if (status && status != STATUS_STOPPED && (comm->agreed || comm->size == 1))
            status = saving_finish_after(&t, status);
        progress_end(&t, status);
    }
    if (!status || status == STATUS_STOPPED || comm->agreed) { /* all ranks end here: what is on its way arrives */
        int arrived = comm_wait_all(comm);
        if (arrived) { /* not in order, then */
            status = arrived;
            comm->agreed = 0;
        }
    }
    comm->stop_signal = NULL;
    t.in_use = status && status != STATUS_STOPPED && !comm->agreed && comm->size > 1;
    if (t.in_use) comm_thread_stop(comm);
    trainer_close(&t);
    signals_restore();
    return status;
}
