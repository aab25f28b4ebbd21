/* Training: from a config to a run folder with metrics and checkpoints. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "backend/backend.h"
#include "comm/comm.h"
#include "config/config.h"

struct train_options {
    const char *build;              /* what program this is; ranks of one run must have the same. NULL: not told */
    const char *resume;             /* the run folder to go on with; NULL: a new run */
    const struct backend *backend;  /* NULL: what the config says; tests pass their own */
    const char *trace;              /* the file of a timeline; NULL: none */
    int64_t trace_first, trace_end; /* the steps that it shows; 0, 0: five, after the first two */
    int (*on_step)(void *context, int64_t step); /* called after each step; may be NULL */
    void *context;
};

/* Trains until train.steps are done. Collective over the ranks of `comm`. Returns 0; STATUS_STOPPED after a signal, with
 * the state saved; another status with the reason in fail_message(). */
int train_run(const struct config *config, struct comm *comm, const struct train_options *options);

/* The learning rate of a step, counted from 0 (schedule.c). */
double train_learning_rate(const struct config_train *train, int64_t step);

/* Takes a run's folder for this process, until it ends or closes *fd. STATUS_USAGE where another process trains there; `instead`
 * ends the sentence that says what else to do. */
int train_lock(const char *folder, const char *instead, int *fd);

/* Validation losses; list is its owner's: free(). */
struct ckpt_losses {
    struct ckpt_loss *list;
    int count, room;
};

/* Adds those that a metrics file tells of; a file that is not there tells of none. And one more. */
int metrics_read_losses(const char *path, struct ckpt_losses *losses);
int metrics_add_loss(struct ckpt_losses *losses, int64_t step, double loss);

/* Cuts a metrics file back to the steps before `step`; what a killed run left half-written goes too. A file that is not
 * there is fine. */
int metrics_cut(const char *path, int64_t step);

#endif
