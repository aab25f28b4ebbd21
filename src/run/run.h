/* A model loaded on a backend: config, plan, store and exec together, and the names under which checkpoints know its arrays.
 * What train and infer share. */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include "backend/backend.h"
#include "ckpt/ckpt.h"
#include "config/config.h"
#include "data/dataset.h"
#include "data/sampler.h"
#include "data/windows.h"

struct run {
    const struct config *config;
    const struct backend *backend;
    struct comm *comm;
    struct plan *plan;
    struct store store;
    void *mirror[16]; /* where the host cannot read the store: its copy of an entry, for checkpoints; NULL otherwise */
    struct exec *exec;
    struct step_block block; /* the host's copy; run_write_block() sends it */

    struct batch batch; /* for evaluation and generation: one micro-batch on its way to the device */
    int64_t rows;       /* its tokens */

    struct ckpt_array *arrays; /* see run_shard() */
    int n_arrays;

    struct eval_part { /* the loss of one evaluation batch */
        double mean, count;
    } * parts;
    int64_t n_parts, *spans; /* spans: offset and size of each rank's parts */
};

/* Builds the plan for this rank and loads it; parameters are zero. config, comm and backend must outlive the run.
 * backend NULL: the one that the config asks for. */
int run_open(struct run *run, const struct config *config, const struct plan_request *request, struct comm *comm,
             const struct backend *backend);
void run_close(struct run *run);

/* After a load() that failed by `missing` bytes of the device: its message, and which settings would have fitted. Returns status. */
int run_cannot_fit(const struct config *config, const struct plan_request *request, const struct plan *plan,
                   int64_t missing, int status);

/* Initial values, a function of train.seed. This and loading are collective where the plan shards parameters (plan->zero). */
int run_init(struct run *run);

/* Reads parameters, and optimizer moments if the plan has them, from the checkpoint folder `path`. */
int run_load(struct run *run, const char *path);

/* Reads parameters alone; moments stay as they are. */
int run_load_params(struct run *run, const char *path);

/* This rank's part of everything that a checkpoint holds, for ckpt_save(); valid until the next call of this function or of those that load.
 * Where the backend has a host_new() the data are copies, which steps do not change. */
int run_shard(struct run *run, const struct ckpt_array **arrays, int *count);

/* The config that a checkpoint was made with. */
int run_config(const char *path, struct config *config);
/* The same for using its weights here, where other hardware may be: on the backend of this name (NULL: auto), not on the run's. */
int run_config_here(const char *path, const char *backend, struct config *config);

/* Resolves what a user names: a checkpoint's folder, or a run's, whose newest whole checkpoint is meant. find_checkpoints looks no further
 * than where that one is to be found: *among says whether `path` is a folder of checkpoints. */
int run_find_checkpoint(const char *name, char *path, int64_t size);
int run_find_checkpoints(const char *name, char *path, int64_t size, int *among);

/* Copies the step block, or `rows` tokens of a batch with what else the plan reads of it, to the device. */
int run_write_block(struct run *run);
int run_write_batch(struct run *run, const struct batch *batch, int64_t rows);

/* A batch of tokens drawn evenly, the same everywhere, for measuring: each one's target is the next. */
int run_write_random(struct run *run);

/* How documents of a sequence are treated, by data.documents. */
enum documents run_documents(const struct config *config);

/* What a config says of its data, for dataset_open(), and of their order, for sampler_open(). */
struct dataset_options run_dataset_options(const struct config *config);
struct sampler_options run_sampler_options(const struct config *config);

/* The tokenizer that the model of the checkpoint folder `path` was trained with; the caller's. NULL where it is not known. */
int run_tokenizer(const char *path, struct tokenizer **tokenizer);

/* The mean loss of a source over `batches` evenly spread batches (0: over all of it), the same on all ranks and the same bits
 * on any number of ranks: each batch's loss is computed by one rank and all are added in order. `stop` (may be NULL) is
 * polled; when it is set the evaluation ends early with *loss NaN. Space
 * for the losses is allocated at the first call and kept. */
int run_evaluate(struct run *run, const struct windows *windows, int64_t batches, const volatile int *stop,
                 double *loss, int64_t *tokens);

#endif
