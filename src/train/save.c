/* Saving: at once, or beside training (ckpt.async). Beside it the state is copied first, so that a step may change it, and a thread writes the
 * copy; it says nothing to other ranks. Once all ranks' threads are done, which they tell each other with every step, the checkpoint is made to count. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/thread.h"
#include "train/trainer.h"

static int agree(void *context, int status) { return comm_agree(context, status); }

static int gather(void *context, const void *mine, void *all, int64_t bytes) {
    return comm_gather_equal(context, mine, all, bytes);
}

struct ckpt_group trainer_group(struct trainer *t) {
    return (struct ckpt_group){t->comm->rank,    t->comm->size,          t->comm, agree, gather,
                               &t->comm->broken, !t->config->ckpt.direct};
}

void trainer_file_phase(struct trainer *t, const char *doing) {
    t->comm->phase.doing = doing;
    t->comm->phase.timeout_s = t->config->ckpt.timeout_s;
    t->comm->phase.timeout_key = "ckpt.timeout_s";
}

int saving_open(struct trainer *t) {
    const struct config *c = t->config;
    struct saving *s = &t->saving;
    if (!c->ckpt.async || !c->ckpt.every || c->ckpt.every >= c->train.steps || !t->run.store.count) return 0;
    s->beside = 1;
    if (t->run.backend->host_new) return 0; /* what run_shard() gives are copies */
    s->room = plan_saved_bytes(t->run.plan);
    s->copy = malloc((size_t)s->room + 1);
    if (!s->copy)
        return fail(STATUS_FAILED,
                    "out of memory for a copy of what checkpoints hold, %lld bytes; ckpt.async: false does without",
                    (long long)s->room);
    memset(s->copy, 0, (size_t)s->room); /* the memory is there, not only promised */
    return 0;
}

static int write_files(struct saving *s) {
    static const struct trace_label label = TRACE_LABEL("write checkpoint");
    int64_t slice = trace_begin(s->trace, TRACE_CHECKPOINT, &label, s->step);
    int status = ckpt_save_write(s->save);
    trace_end(s->trace, slice, 0);
    return status;
}

static void *write_beside(void *argument) {
    struct saving *s = argument;
    failure_keep(&s->failure, write_files(s));
    s->done = 1;
    return NULL;
}

/* Where there can be no other thread, this one writes at once: ranks end a save together, so none may end it in another way. */
static void start_writing(struct saving *s) {
    s->failure.status = 0;
    s->done = 0;
    s->threaded = !thread_start(&s->thread, write_beside, s);
    if (!s->threaded) write_beside(s);
}

/* The slices, with copies of their elements. */
static int copy_state(struct saving *s, const struct ckpt_array *arrays, int count) {
    int64_t used = 0;
    if (s->count < count) {
        free(s->arrays);
        s->arrays = malloc((size_t)count * sizeof *s->arrays);
        if (!s->arrays) return fail(STATUS_FAILED, "out of memory for a checkpoint");
    }
    s->count = count;
    memcpy(s->arrays, arrays, (size_t)count * sizeof *arrays);
    for (int i = 0; i < count; i++) {
        int64_t bytes = (arrays[i].end - arrays[i].begin) * (int64_t)dtype_size(arrays[i].type);
        if (bytes > s->room - used)
            return fail(STATUS_FAILED, "a checkpoint has more than the %lld bytes planned", (long long)s->room);
        if (bytes) memcpy(s->copy + used, arrays[i].data, (size_t)bytes);
        s->arrays[i].data = s->copy + used;
        used += bytes;
    }
    return 0;
}

static void *sweep_beside(void *argument) {
    ckpt_sweep(((struct saving *)argument)->folder);
    return NULL;
}

static void end_sweep(struct saving *s) {
    if (s->sweeping) pthread_join(s->sweeper, NULL);
    s->sweeping = 0;
}

/* What all of it is made of; the collective part in front of the writing. */
static int begin(struct trainer *t, int beside) {
    struct saving *s = &t->saving;
    const struct ckpt_array *arrays;
    int count;
    end_sweep(s);
    free(s->yaml);
    int status = trainer_config_text(t, &s->yaml);
    trainer_tokenizer_hash(t, s->tokenizer);
    struct ckpt_meta meta = {.step = t->step,
                             .adam_step = t->adam_step,
                             .skipped = t->skipped,
                             .loss_scale = t->scale.scale,
                             .scale_steps = t->scale.steps,
                             .config = s->yaml,
                             .data = t->data_text,
                             .tokenizer = *s->tokenizer ? s->tokenizer : NULL,
                             .build = t->options->build,
                             .algorithms = t->run.backend->choices ? t->run.backend->choices(t->run.exec) : NULL};
    if (!status && t->metrics && fsync(fileno(t->metrics))) /* a checkpoint's metrics must not be lost before it */
        status = fail(STATUS_FAILED, "%s/metrics.jsonl: cannot sync: %s", t->folder, strerror(errno));
    if (!status) status = run_shard(&t->run, &arrays, &count);
    if (!status && beside && s->copy) {
        status = copy_state(s, arrays, count);
        arrays = s->arrays;
    }
    TRY(comm_agree(t->comm, status));
    s->group = trainer_group(t);
    s->step = t->step;
    s->trace = t->trace;
    snprintf(s->folder, sizeof s->folder, "%s/ckpt", t->folder);
    return ckpt_save_begin(s->folder, &meta, arrays, count, t->tokenizer_json, &s->group, &s->save);
}

/* `status` is that of the writing. Beside training a thread deletes what goes. Collective. */
static int end(struct trainer *t, int status, int beside) {
    const struct config *c = t->config;
    struct saving *s = &t->saving;
    struct ckpt_keep keep = {(int)c->ckpt.keep, c->ckpt.keep_every, (int)c->ckpt.keep_best,
                             t->losses.list,    t->losses.count,    beside};
    status = ckpt_save_end(s->save, status, &keep);
    s->save = NULL;
    if (!status) t->saved_step = s->step;
    if (!status && beside && !t->comm->rank) {
        s->sweeping = !thread_start(&s->sweeper, sweep_beside, s);
        if (!s->sweeping) sweep_beside(s);
    }
    return status;
}

static int finish(struct trainer *t) {
    if (!t->saving.save) return 0;
    if (t->saving.threaded) pthread_join(t->saving.thread, NULL);
    return end(t, failure_raise(&t->saving.failure), 1);
}

/* Before files: all ranks have come, within dist.timeout_s, and hold what they should. */
static int meet(struct trainer *t) {
    fault_begin_save(t);
    TRY(guard_compare(t));
    TRY(guard_check_seal(t));
    return comm_agree(t->comm, 0);
}

static int save_now(struct trainer *t, int beside) {
    struct saving *s = &t->saving;
    fault_begin_files(t);
    TRY(finish(t));
    if (t->saved_step == t->step) return 0;
    TRY(begin(t, beside));
    if (!beside) return end(t, write_files(s), 0);
    start_writing(s);
    return 0;
}

/* For checkpoints training has stood still since then. */
static void add_stall(struct trainer *t, double start) {
    static const struct trace_label label = TRACE_LABEL("checkpoint");
    double now = clock_seconds();
    t->saving.stall_s += now - start;
    trace_add(t->trace, TRACE_WAITING, &label, NULL, start, now);
}

int trainer_save(struct trainer *t, int beside) {
    if (t->saved_step == t->step || !t->run.store.count) return 0; /* backend null has no weights to save */
    if (t->saving.save && t->saving.step == t->step && beside) return 0;
    const struct comm_phase before = t->comm->phase;
    double start = clock_seconds();
    t->comm->phase.doing = "the checkpoint";
    t->comm->phase.step = t->step;
    int status = meet(t);
    trainer_file_phase(t, "the files of the checkpoint");
    if (!status) status = save_now(t, beside && t->saving.beside);
    t->comm->phase = before;
    add_stall(t, start);
    return status;
}

int saving_is_under_way(const struct trainer *t) { return t->saving.save && !t->saving.done; }

int saving_finish(struct trainer *t) {
    if (!t->saving.save) return 0;
    const struct comm_phase before = t->comm->phase;
    double start = clock_seconds();
    trainer_file_phase(t, "the files of the checkpoint");
    t->comm->phase.step = t->saving.step;
    int status = finish(t);
    t->comm->phase = before;
    add_stall(t, start);
    return status;
}

int saving_finish_after(struct trainer *t, int status) {
    struct comm *comm = t->comm;
    char reason[FAIL_MESSAGE];
    int agreed = comm->agreed, speaker = comm->speaker, common = comm->common;
    if (!t->saving.save) return status;
    snprintf(reason, sizeof reason, "%s", fail_message());
    comm->agreed = 0; /* ranks go on together for this once more */
    if (saving_finish(t) && !comm->agreed) return STATUS_FAILED;
    comm->agreed = agreed;
    comm->speaker = speaker;
    comm->common = common;
    return fail(status, "%s", reason);
}

void saving_close(struct trainer *t) {
    end_sweep(&t->saving);
    free(t->saving.copy);
    free(t->saving.arrays);
    free(t->saving.yaml);
}
