/* From a config to a trainer that is ready for its first step. Every stage ends with all ranks agreeing that it worked, so
 * that one rank's error ends all of them in order. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/folders.h"
#include "base/log.h"
#include "base/whole_file.h"
#include "train/trainer.h"

static int exists(const char *folder, const char *name) {
    char path[1300];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return !stat(path, &info);
}

int trainer_config_text(const struct trainer *t, char **text) {
    size_t length;
    *text = NULL;
    FILE *out = open_memstream(text, &length);
    if (!out) return fail(STATUS_FAILED, "out of memory");
    config_print(t->config, out);
    return fclose(out) ? fail(STATUS_FAILED, "out of memory") : 0;
}

/* By rank 0. The old file stays until the new one is whole: without it the run could not be resumed. */
static int write_config(const struct trainer *t) {
    char path[1200], *text;
    if (t->comm->rank) return 0;
    snprintf(path, sizeof path, "%s/config.yaml", t->folder);
    int status = trainer_config_text(t, &text);
    if (!status) status = whole_file_write(path, text, (int64_t)strlen(text));
    free(text);
    return status;
}

/* Two jobs in one folder would take each other's files away: a requeued job, say, beside one that still runs. */
int train_lock(const char *folder, const char *instead, int *fd) {
    char path[1200];
    snprintf(path, sizeof path, "%s/lock", folder);
    *fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (*fd < 0) return fail(STATUS_FAILED, "%s: cannot write: %s", path, strerror(errno));
    if (!flock(*fd, LOCK_EX | LOCK_NB)) return 0;
    if (errno != EWOULDBLOCK) return 0; /* a file system without locks */
    return fail(STATUS_USAGE, "%s: another process trains in this folder; wait for it, stop it%s", folder, instead);
}

/* An empty folder of checkpoints, and no config yet, is what a run leaves that ends before its first step. */
static int holds_a_run(const struct trainer *t) {
    char path[1200];
    if (exists(t->folder, "config.yaml") || exists(t->folder, "metrics.jsonl")) return 1;
    snprintf(path, sizeof path, "%s/ckpt", t->folder);
    DIR *entries = opendir(path);
    int entry = 0;
    for (struct dirent *found; entries && (found = readdir(entries));) entry |= found->d_name[0] != '.';
    if (entries) closedir(entries);
    return entry;
}

/* By rank 0: the folder of a new run must be new; that of a resumed run must be there. */
static int open_folder(struct trainer *t) {
    char path[1200];
    snprintf(t->folder, sizeof t->folder, "%s/%s", t->config->runs_dir, t->config->name);
    if (t->options->resume) snprintf(t->folder, sizeof t->folder, "%s", t->options->resume);
    if (t->comm->rank) return 0;
    if (!t->options->resume) {
        if (holds_a_run(t))
            return fail(STATUS_USAGE,
                        "%s: a run of this name is there already; go on with 'lockstep train --resume %s', or choose "
                        "another name with --run NAME",
                        t->folder, t->folder);
        snprintf(path, sizeof path, "%s/ckpt", t->folder);
        if (folders_make(path)) {
            char reason[1500];
            snprintf(reason, sizeof reason, "%s", fail_message());
            return fail(STATUS_FAILED, "%s; set runs_dir to a folder that can be written", reason);
        }
    }
    TRY(train_lock(t->folder, ", or choose another --run NAME", &t->lock));
    snprintf(path, sizeof path, "%s/log.txt", t->folder);
    log_close();
    return log_open(path, t->comm->rank);
}

static int open_data(struct trainer *t) {
    const struct dataset_options options = run_dataset_options(t->config);
    const struct sampler_options order = run_sampler_options(t->config);
    int64_t length;
    TRY(dataset_open(&t->data, &options));
    TRY(sampler_open(&t->sampler, t->data.train, t->data.parts, &order));
    if (t->data.val.count) TRY(windows_open(&t->val, &t->data.val, order.window, order.documents));
    if (t->data.tokenizer) TRY(tokenizer_to_json(t->data.tokenizer, &t->tokenizer_json, &length));
    return dataset_describe(&t->data, &t->data_text);
}

static int open_run(struct trainer *t) {
    const struct config *c = t->config;
    struct plan_request request = {.segments = 1u << SEG_MICRO_FIRST | 1u << SEG_EVAL,
                                   .rank = t->comm->rank,
                                   .ranks = t->comm->size,
                                   .batch = (int)c->train.micro_batch,
                                   .time = (int)c->train.seq_len};
    const struct comm_phase before = t->comm->phase; /* no files are read here, but devices of all ranks meet */
    t->comm->phase = (struct comm_phase){"the loading of the plan", -1, c->dist.timeout_s, "dist.timeout_s"};
    int status = run_open(&t->run, c, &request, t->comm, t->options->backend);
    t->comm->phase = before;
    TRY(status);
    TRY(tracing_open(t));
    if (c->dist.progress == PROGRESS_THREAD) TRY(comm_thread_start(t->comm));
    t->slot_losses = calloc((size_t)c->train.slots, sizeof *t->slot_losses);
    if (!t->slot_losses) return fail(STATUS_FAILED, "out of memory");
    TRY(fault_open(&t->fault, t->comm->size, c->train.steps));
    TRY(saving_open(t));
    TRY(guard_open(t));
    return audit_open(t);
}

static int open_prefetch(struct trainer *t) {
    const struct plan *plan = t->run.plan;
    const struct prefetch_slots slots = {plan->slot_lo, plan->slot_step, plan_n_slots(plan)};
    return prefetch_open(&t->prefetch, &t->sampler, slots, t->step, t->config->data.prefetch, t->trace);
}

/* A signal while there is nothing to save yet. */
static int poll_stop(struct trainer *t) {
    int asked = stop_signal != 0;
    TRY(comm_largest(t->comm, &asked));
    if (!asked) return 0;
    log_line("stopped by %s before the first step; run the same command again",
             stop_signal ? strsignal(stop_signal) : "a signal on another rank");
    return STATUS_STOPPED;
}

/* Stages in which ranks read different amounts; the time limit is that of files. */
static int open_stages(struct trainer *t) {
    struct comm *comm = t->comm;
    const struct train_options *options = t->options;
    TRY(trainer_same_config(t));
    TRY(comm_agree(comm, tracing_check(t)));
    TRY(comm_agree(comm, open_data(t)));
    TRY(trainer_same_data(t));
    TRY(poll_stop(t));
    TRY(comm_agree(comm, open_run(t)));
    TRY(poll_stop(t));
    if (!options->resume) TRY(trainer_begin(t)); /* before the folder: what is refused leaves nothing behind */
    TRY(poll_stop(t));
    TRY(comm_agree(comm, open_folder(t)));
    if (!options->resume && t->config->train.stage == 2)
        log_line("stage 2: starts from the weights of %s", t->config->train.init_from);
    if (options->resume) TRY(trainer_resume(t));
    TRY(comm_agree(comm, tracing_open_file(t)));
    TRY(comm_agree(comm, open_prefetch(t)));
    TRY(comm_agree(comm, write_config(t))); /* not before it is certain that a resumed run can go on with it */
    TRY(comm_agree(comm, guard_seal(t)));   /* of what was loaded, until the first update */
    return comm_agree(comm, metrics_open(t));
}

int trainer_open(struct trainer *t, const struct config *config, struct comm *comm,
                 const struct train_options *options) {
    memset(t, 0, sizeof *t);
    t->own = *config;
    t->config = &t->own;
    t->comm = comm;
    t->options = options;
    t->saved_step = t->lock = t->audit.slot = -1;
    t->scale = loss_scale_start(&config->train);
    comm->stop_signal = &stop_signal;
    trainer_file_phase(t, "the start of the run");
    TRY(open_stages(t));
    comm->phase = (struct comm_phase){NULL, t->step, config->dist.timeout_s, "dist.timeout_s"};
    const struct plan *plan = t->run.plan;
    enum ceiling products = ceiling_of_products(plan->bufs[plan->flat_copy].type);
    t->peak_flops = t->run.backend->ceiling(products, 0) * comm->size;
    return 0;
}

void trainer_close(struct trainer *t) {
    if (t->in_use) return; /* nor may anything wait here, for files that are out of reach, before the failure is told */
    if (t->metrics) fclose(t->metrics);
    saving_close(t);
    guard_close(t);
    audit_close(t);
    run_close(&t->run);
    prefetch_close(&t->prefetch);
    tracing_close(t);
    sampler_close(&t->sampler);
    windows_close(&t->val);
    dataset_close(&t->data);
    free(t->tokenizer_json);
    free(t->data_text);
    free(t->slot_losses);
    free(t->losses.list);
    if (t->lock >= 0) close(t->lock);
    log_close();
}
