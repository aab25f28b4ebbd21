/* What a person sees of a run: a bar on a terminal, else about twenty lines. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "train/trainer.h"

static void format_time(double seconds, char text[32]) {
    long s = seconds > 0 && seconds < 1e9 ? (long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
}

static void format_rate(double rate, char text[32]) {
    if (rate >= 1e6)
        snprintf(text, 32, "%.2fM", rate * 1e-6);
    else if (rate >= 1e4)
        snprintf(text, 32, "%.1fk", rate * 1e-3);
    else
        snprintf(text, 32, "%.0f", rate);
}

static void describe_data(const struct trainer *t) {
    const struct dataset *data = &t->data;
    for (int i = 0; i < data->parts; i++)
        log_line("data: train %s, %lld tokens", data->train[i].name, (long long)data->train[i].count);
    for (int i = 0; i < data->parts && data->parts > 1; i++)
        log_line("data: %.2f%% of sequences from %s", 100.0 * t->sampler.share[i] / MIXTURE_BLOCK, data->train[i].name);
    log_line("data: val %s, %lld tokens", data->val.count ? data->val.name : "none", (long long)data->val.count);
    for (int i = 0; i < data->parts; i++) {
        const struct windows *w = &t->sampler.part[i];
        if (w->documents == PACKED)
            log_line("data: %s is packed into %lld windows, %.1f%% full; %lld tokens of documents longer than a window "
                     "are cut off",
                     data->train[i].name, (long long)w->count,
                     100.0 * (double)w->held / ((double)w->count * (double)w->window), (long long)w->dropped);
    }
    if (data->val.count && data->val.floor_nats >= 0)
        log_line("floor: the validation text holds exactly %.4f nats a token; no honest model gets below it",
                 data->val.floor_nats);
}

/* "", or " on 4 hosts" and the ZeRO stage. */
static void describe_ranks(const struct trainer *t, char text[64]) {
    int hosts = 0, used = 0;
    for (int r = 0; r < t->comm->size && t->comm->peers; r++) {
        int new = 1;
        for (int k = 0; k < r; k++) new = new &&strcmp(t->comm->peers[k].host, t->comm->peers[r].host) != 0;
        hosts += new;
    }
    text[0] = 0;
    if (hosts > 1) used = snprintf(text, 64, " of %d hosts", hosts);
    if (t->run.plan->zero) snprintf(text + used, 64 - (size_t)used, ", ZeRO %d", t->run.plan->zero);
}

void progress_start(const struct trainer *t) {
    const struct plan *plan = t->run.plan;
    double mib = 1.0 / 1048576;
    char ranks[64];
    describe_ranks(t, ranks);
    log_line("%s: %lld parameters, %d rank%s on backend %s%s, %lld tokens a step, %.1f MiB a rank", t->folder,
             (long long)plan->param_elems, t->comm->size, t->comm->size == 1 ? "" : "s", t->run.backend->name, ranks,
             (long long)plan->slots * plan->micro_batches * t->run.rows,
             (double)(plan_store_bytes(plan) + plan->arena_bytes) * mib);
    describe_data(t);
    if (t->start_step) log_line("resumed at step %lld", (long long)t->start_step);
}

/* The last part of both forms: validation loss and the floor that it falls towards. */
static void describe(const struct trainer *t, const struct step_report *r, char *text, size_t size) {
    char rate[32], left[32];
    double done = (double)(r->step + 1 - t->start_step), elapsed = clock_seconds() - t->started;
    format_rate(r->tok_per_s, rate);
    format_time(elapsed / done * (double)(t->config->train.steps - r->step - 1), left);
    snprintf(text, size, "loss %.4f  norm %.3f  lr %.2e  %s tok/s  %s left%s", r->loss, r->grad_norm, r->lr, rate, left,
             r->skipped ? "  SKIPPED" : "");
}

static void show_bar(const struct trainer *t, const struct step_report *r, const char *text) {
    enum { WIDTH = 24 };
    char bar[WIDTH + 1], line[400];
    int full = (int)((double)WIDTH * (double)(r->step + 1) / (double)t->config->train.steps);
    for (int i = 0; i < WIDTH; i++) bar[i] = i < full ? '#' : '.';
    bar[WIDTH] = '\0';
    snprintf(line, sizeof line, "[%s] %" PRId64 "/%" PRId64 "  %s", bar, r->step + 1, t->config->train.steps, text);
    log_bar(line);
}

void progress_step(const struct trainer *t, const struct step_report *r) {
    char text[300];
    int64_t steps = t->config->train.steps, every = steps / 20 > 0 ? steps / 20 : 1;
    describe(t, r, text, sizeof text);
    if (r->skipped) {
        const struct sampler_options *o = &t->sampler.options;
        long long sequences = (long long)(o->slots * o->micro_batches * o->batch);
        log_line("step %lld is skipped: %s; its data are sequences %lld to %lld of %s", (long long)r->step,
                 t->targets ? t->scale.scale > 1 ? "its loss or gradient is not finite, so the loss scale is halved"
                                                 : "its loss or gradient is not finite"
                            : "none of its tokens counts as a target",
                 (long long)r->step * sequences, (long long)(r->step + 1) * sequences - 1, t->config->data.train);
    }
    if (r->evaluated) {
        char floor[48] = "";
        if (t->data.val.floor_nats >= 0) snprintf(floor, sizeof floor, " (floor %.4f)", t->data.val.floor_nats);
        log_line("step %lld/%lld  val_loss %.4f%s", (long long)r->step, (long long)steps, r->val_loss, floor);
    }
    if (r->step >= steps) return;
    if (log_has_bar())
        show_bar(t, r, text);
    else if (r->step % every == 0 || r->step == steps - 1)
        log_line("step %lld/%lld  %s", (long long)r->step, (long long)steps, text);
}

void progress_end(const struct trainer *t, int status) {
    char took[32];
    format_time(clock_seconds() - t->started, took);
    log_bar("");
    if (status == STATUS_STOPPED)
        log_line("stopped by %s at step %lld; the state is saved: go on with 'lockstep train --resume %s'",
                 stop_signal ? strsignal(stop_signal) : "a signal on another rank", (long long)t->step, t->folder);
    else if (!status)
        log_line("done: %lld steps in %s; %s%s", (long long)(t->step - t->start_step), took, t->folder,
                 t->saved_step == t->step ? "/ckpt holds the weights"
                                          : " holds no weights of the last step (ckpt.last)");
}
