/* The inside of training, shared by its files. */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "base/check.h"
#include "base/trace.h"
#include "data/dataset.h"
#include "data/prefetch.h"
#include "run/run.h"
#include "train/loss_scale.h"
#include "train/train.h"

/* What one step reports. */
struct step_report {
    int64_t step, tokens; /* tokens of the run, this step included */
    double loss, lr, grad_norm, time_s, tok_per_s, mfu, val_loss;
    int evaluated; /* val_loss is there; it may be NaN */
    int skipped;
};

enum { GUARD_MOST = 4 };

/* See guard.c, audit.c, fault.c. */
struct guard {
    uint64_t mine[GUARD_MOST], seal[GUARD_MOST], (*all)[GUARD_MOST], *tensor;
    int sealed;
    void *values;
};

struct audit {
    struct sampler sampler;
    int slot, owner, auditor; /* of the step at hand; slot -1: none */
    int64_t bytes;            /* of what is compared: a hash for each bucket, and the loss */
    char *mine, *all;
};

enum fault_kind {
    FAULT_NONE,
    FAULT_FLIP_PARAMS,
    FAULT_FLIP_MOMENTS,
    FAULT_FLIP_COMPUTE,
    FAULT_KILL,
    FAULT_STOP,
    FAULT_STOP_SAVE,
    FAULT_STOP_FILES,
    FAULT_STOP_END,
    FAULT_FAIL
};

struct fault {
    enum fault_kind kind;
    int rank;
    int64_t step;
};

/* The checkpoint that is being written; save.c. */
struct saving {
    struct ckpt_save *save; /* NULL: none is */
    int64_t step;
    struct ckpt_group group;
    char folder[1200], tokenizer[2 * TOKENIZER_HASH + 1], *yaml;
    int beside; /* files are written beside training */
    char *copy; /* of what this rank saves; NULL: what the run gives is a copy already */
    int64_t room;
    struct ckpt_array *arrays; /* slices in the copy */
    int count;
    pthread_t thread;
    int threaded;           /* there is one */
    pthread_t sweeper;      /* on rank 0 deletes what retention let go */
    int sweeping;           /* there is one */
    _Atomic int done;       /* what it writes is written, */
    struct failure failure; /* or has failed */
    struct trace *trace;    /* or NULL */
    double stall_s; /* for how long training has stood still for checkpoints, since the last step that told it */
};

/* The timeline of --trace; tracing.c. */
struct tracing {
    struct trace trace;
    struct trace_label *labels; /* of the plan's ops */
    int64_t first, end;         /* steps that it shows */
    FILE *file;                 /* rank 0; NULL once it is written */
    int error;                  /* of writing it: a number of errno */
    char *piece;                /* of its text, on its way */
    struct tracing_rank {       /* of all ranks */
        double entered, left;   /* of a meeting, by its clock */
        double ahead, doubt;    /* of rank 0's clock, and by how much that may be wrong; s */
        double begin;           /* of its first slice */
        int64_t slices, left_out;
    } * ranks;
};

struct trainer {
    const struct config *config; /* = &own */
    struct config own;
    const struct train_options *options;
    struct comm *comm;
    struct run run;
    struct dataset data;
    struct sampler sampler;
    struct prefetch prefetch;
    struct windows val;   /* the windows of data.val, where there is one */
    char *tokenizer_json; /* of data.tokenizer, for checkpoints; NULL: not known */
    char *data_text;      /* dataset_describe() */
    double *slot_losses;  /* host copy, one a slot */
    char folder[1100];    /* runs_dir/name */
    int lock;             /* rank 0: the open file that keeps other processes out of the folder; -1: none */
    FILE *metrics;        /* rank 0 */

    int64_t targets; /* of the step at hand, on all ranks */
    int64_t step, adam_step, skipped, skipped_in_a_row;
    struct loss_scale scale;
    int64_t saved_step;        /* the last checkpoint's; -1: none */
    struct ckpt_losses losses; /* rank 0, where ckpt.keep_best asks for them: of the states that were evaluated */
    int in_use; /* messages may still come into its memory: it is not freed, nothing is closed, and the job ends */
    struct saving saving;
    struct guard guard;
    struct audit audit;
    struct tracing tracing;
    struct trace *trace; /* = &tracing.trace; NULL without --trace */
    struct fault fault;
    double peak_flops;  /* of all ranks together */
    double started;     /* monotonic seconds when the loop began, */
    int64_t start_step; /* and its first step */
};

/* signals.c: SIGINT, SIGTERM and SIGUSR1 ask for a stop; a second SIGINT ends the process at once. */
extern volatile sig_atomic_t stop_signal; /* 0, or the signal's number */
void signals_install(void);
void signals_restore(void);

/* setup.c: folder, data, plan, weights; open after a failure may be closed. */
int trainer_open(struct trainer *trainer, const struct config *config, struct comm *comm,
                 const struct train_options *options);
void trainer_close(struct trainer *trainer);
int trainer_config_text(const struct trainer *trainer, char **text); /* YAML, the caller's: free() */

/* same.c: fail on all ranks where one has another configuration, program or data than rank 0; collective. */
int trainer_same_config(struct trainer *trainer);
int trainer_same_data(struct trainer *trainer);

/* save.c. file_phase: from here on ranks wait for each other's files, up to ckpt.timeout_s; the caller puts comm->phase back. save: of
 * the state at hand; `beside`: a thread may write it while training goes on. saving_finish: waits for that, and makes it count;
 * saving_finish_after: the same after a failure that all ranks know, whose status and message stay. All but open, is_under_way and close are collective. */
void trainer_file_phase(struct trainer *trainer, const char *doing);
struct ckpt_group trainer_group(struct trainer *trainer); /* all ranks, for ckpt/ckpt.h */
int trainer_save(struct trainer *trainer, int beside);
int saving_open(struct trainer *trainer);
int saving_is_under_way(const struct trainer *trainer); /* on this rank */
int saving_finish(struct trainer *trainer);
int saving_finish_after(struct trainer *trainer, int status);
void saving_close(struct trainer *trainer);

/* state.c */
int trainer_resume(struct trainer *trainer);
int trainer_begin(
    struct trainer *trainer); /* the weights of step 0: random, or with train.stage 2 those of train.init_from */
/* Of the data's tokenizer, or what its files say that they were made with; "" if neither is known. */
void trainer_tokenizer_hash(const struct trainer *trainer, char digits[2 * TOKENIZER_HASH + 1]);

/* step.c: one optimizer step over all slots of this rank. */
int trainer_step(struct trainer *trainer, struct step_report *report);
/* For the audit: a slot of another rank, into this one's gradients, which its own slots then overwrite. */
int trainer_compute_again(struct trainer *trainer, int slot);

/* guard.c; all but open and close are collective. compare: of what all ranks have; seal and check_seal: of what this rank alone has. */
int guard_open(struct trainer *trainer);
void guard_close(struct trainer *trainer);
int guard_compare(struct trainer *trainer);
int guard_seal(struct trainer *trainer);
int guard_check_seal(struct trainer *trainer);

/* audit.c: begin is before a step's slots, keep after the slot that is audited (by its owner, and by the auditor), compare after all. */
int audit_open(struct trainer *trainer);
void audit_close(struct trainer *trainer);
int audit_begin(struct trainer *trainer);
int audit_keep(struct trainer *trainer);
int audit_compare(struct trainer *trainer);

/* fault.c */
int fault_open(struct fault *fault, int ranks, int64_t steps);
int fault_begin_step(struct trainer *trainer);
void fault_begin_save(struct trainer *trainer);
void fault_begin_files(struct trainer *trainer);
int fault_end_slots(struct trainer *trainer);
void fault_end_run(struct trainer *trainer);

/* tracing.c. check: before anything is made; what can be known to fail then. open: memory, once there is a plan. open_file: on rank 0, once the
 * run's folder is there. begin_step and end_step: around a step and what comes before and after it. finish: what was recorded is written;
 * nothing where it is already. end_step and finish are collective, and a file that cannot be written does not end the run. */
int tracing_check(const struct trainer *trainer);
int tracing_open(struct trainer *trainer);
int tracing_open_file(struct trainer *trainer);
void tracing_begin_step(struct trainer *trainer);
int tracing_end_step(struct trainer *trainer);
int tracing_finish(struct trainer *trainer);
void tracing_close(struct trainer *trainer);

/* metrics.c */
int metrics_open(struct trainer *trainer);
int64_t metrics_steps(const char *path); /* how many steps a metrics file tells of */
int metrics_write(struct trainer *trainer, const struct step_report *report);

/* progress.c */
void progress_start(const struct trainer *trainer);
void progress_step(const struct trainer *trainer, const struct step_report *report);
void progress_end(const struct trainer *trainer, int status);

#endif
