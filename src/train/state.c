/* Between a trainer and its checkpoints. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "train/trainer.h"

/* Every rank must start from the same checkpoint of `name`, a run or a checkpoint: rank 0 chooses where, and all verify together. */
static int choose(struct trainer *t, const char *name, char *path, int64_t size) {
    const struct ckpt_group group = trainer_group(t);
    int among = 0, status = t->comm->rank ? 0 : run_find_checkpoints(name, path, size, &among);
    TRY(comm_agree(t->comm, status));
    TRY(comm_largest(t->comm, &among));
    TRY(comm_broadcast(t->comm, path, size));
    if (!among) return 0;
    char *folder = strdup(path);
    status = folder ? 0 : fail(STATUS_FAILED, "out of memory");
    status = comm_agree(t->comm, status);
    if (!status) status = comm_agree(t->comm, ckpt_latest(folder, &group, path, size, stderr));
    free(folder);
    return status;
}

void trainer_tokenizer_hash(const struct trainer *t, char digits[2 * TOKENIZER_HASH + 1]) {
    static const uint8_t unknown[TOKENIZER_HASH];
    uint8_t hash[TOKENIZER_HASH] = {0};
    if (t->data.tokenizer) tokenizer_hash(t->data.tokenizer, hash);
    for (int i = 0; i < t->data.parts && !t->data.tokenizer; i++) {
        memcpy(hash, t->data.train[i].tokenizer, TOKENIZER_HASH);
        if (memcmp(hash, unknown, TOKENIZER_HASH)) break;
    }
    digits[0] = '\0';
    for (int i = 0; i < TOKENIZER_HASH && memcmp(hash, unknown, TOKENIZER_HASH); i++)
        sprintf(digits + 2 * i, "%02x", hash[i]);
}

/* Tokens of another tokenizer mean other things than those that the weights were trained on. */
static int same_tokenizer(const struct trainer *t, const char *path, const char *there) {
    char here[2 * TOKENIZER_HASH + 1];
    trainer_tokenizer_hash(t, here);
    if (!*here || !there || !strcmp(there, here)) return 0;
    return fail(STATUS_BAD_DATA,
                "%s: this checkpoint was trained with another tokenizer (hash %.8s…) than that of data.train (%.8s…); "
                "train on data of its own tokenizer",
                path, there, here);
}

/* Where the data does not bring its tokenizer (any more), the run keeps that of the checkpoint. */
static int check_tokenizer(struct trainer *t, const char *path) {
    struct ckpt_meta meta;
    struct tokenizer *made_with;
    int64_t length;
    TRY(ckpt_read_meta(path, &meta));
    int status = same_tokenizer(t, path, meta.tokenizer);
    ckpt_meta_free(&meta);
    TRY(status);
    if (t->data.tokenizer) return 0;
    TRY(run_tokenizer(path, &made_with));
    t->data.tokenizer = made_with;
    return made_with ? tokenizer_to_json(made_with, &t->tokenizer_json, &length) : 0;
}

/* Parameters are saved in fp64 or in fp32, and not converted. */
static int check_precision(const struct config *config, const struct config *made_with, const char *path) {
    int now = config->train.precision == PRECISION_FP64, then = made_with->train.precision == PRECISION_FP64;
    if (now == then) return 0;
    return fail(STATUS_BAD_DATA,
                "train.precision: %s: its parameters are %s and those of this run %s; fp64 goes on in fp64 alone, the "
                "others in each other",
                path, then ? "fp64" : "fp32", now ? "fp64" : "fp32");
}

static int check_origin(const struct config *config, const struct config *made_with) {
    const struct config_train *now = &config->train, *then = &made_with->train;
    if (now->stage == then->stage && !strcmp(now->init_from, then->init_from)) return 0;
    return fail(
        STATUS_USAGE,
        "train.stage, train.init_from: they say where the run started (stage %lld%s%s), which cannot change when "
        "it goes on; start a new run with --run NAME",
        (long long)then->stage, then->init_from[0] ? ", " : "", then->init_from);
}

/* Of matrix products on a GPU: those that the run had, if this GPU and library have them. */
static int use_algorithms(struct trainer *t, const char *algorithms) {
    const struct backend *backend = t->run.backend;
    int missing = 0;
    int status = backend->use_choices ? backend->use_choices(t->run.exec, algorithms, &missing) : 0;
    TRY(comm_agree(t->comm, status));
    TRY(comm_largest(t->comm, &missing));
    if (missing || (algorithms && !backend->use_choices))
        log_line("warning: the checkpoint was made on another kind of device, or with another version of its library, "
                 "so the bits differ "
                 "from a run that never stopped");
    return 0;
}

static int load(struct trainer *t, const char *path) {
    struct config made_with;
    struct ckpt_meta meta;
    TRY(run_config(path, &made_with));
    if (config_same_architecture(t->config, "this run", &made_with, "the checkpoint"))
        return fail_within(STATUS_BAD_DATA,
                           "%s: this checkpoint is of another architecture; resume without the --set that changes it, "
                           "or start a new run: ",
                           path);
    TRY(check_precision(t->config, &made_with, path));
    TRY(check_origin(t->config, &made_with));
    if (config_same_training(t->config, "now", &made_with, "the checkpoint"))
        log_line(
            "warning: the run goes on with changed settings, so its bits differ from a run that never stopped:\n%s",
            fail_message());
    if (t->config->train.steps != made_with.train.steps && t->config->train.schedule != SCHEDULE_CONSTANT)
        log_line("warning: train.steps is %lld now and was %lld: the schedule stretches, so the bits differ from a run "
                 "that had "
                 "this length from the start",
                 (long long)t->config->train.steps, (long long)made_with.train.steps);
    TRY(check_tokenizer(t, path));
    TRY(ckpt_read_meta(path, &meta));
    if (meta.data && !dataset_same(meta.data, t->data_text))
        log_line(
            "warning: the training data has changed since the checkpoint, so the run goes on with other windows: it "
            "was (weight, tokens, fingerprint, name)\n%sand is now\n%s",
            meta.data, t->data_text);
    t->step = meta.step;
    t->adam_step = meta.adam_step;
    t->skipped = meta.skipped;
    /* Who asks for another first scale gets it. */
    if (meta.loss_scale && t->scale.scale && made_with.train.loss_scale == t->config->train.loss_scale)
        t->scale = (struct loss_scale){meta.loss_scale, meta.scale_steps};
    t->saved_step = meta.step;
    int status = use_algorithms(t, meta.algorithms);
    ckpt_meta_free(&meta);
    TRY(status);
    return run_load(&t->run, path);
}

/* Only the weights: the optimizer, the counters and the order of the data start anew. */
static int load_weights(struct trainer *t, const char *path) {
    struct config made_with;
    TRY(run_config(path, &made_with));
    if (config_same_architecture(t->config, "this run", &made_with, "the checkpoint"))
        return fail_within(STATUS_BAD_DATA,
                           "train.init_from: %s: stage 2 needs the architecture of these weights (keys that 'lockstep "
                           "train --help-config' does not mark [architecture] are free): ",
                           path);
    TRY(check_precision(t->config, &made_with, path));
    TRY(check_tokenizer(t, path));
    return run_load_params(&t->run, path);
}

int trainer_begin(struct trainer *t) {
    char path[2048] = "";
    if (t->config->train.stage == 1) return comm_agree(t->comm, run_init(&t->run));
    TRY(choose(t, t->config->train.init_from, path, sizeof path));
    TRY(comm_agree(t->comm, load_weights(t, path)));
    /* The checkpoint itself, so that it is known what the run came from, and a run that begins again starts there. */
    if (strlen(path) < sizeof t->own.train.init_from) memcpy(t->own.train.init_from, path, strlen(path) + 1);
    return 0;
}

/* By rank 0. Whether the run was stopped before its first checkpoint. Where metrics tell that one was written, its absence
 * is an error: starting again would throw the run away. */
static int look_for_any(const struct trainer *t, int *unsaved) {
    char folder[1200], metrics[1200];
    *unsaved = 0;
    snprintf(folder, sizeof folder, "%s/ckpt", t->folder);
    snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", t->folder);
    DIR *entries = opendir(folder);
    int saved = 0;
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        saved |= !strncmp(entry->d_name, "step-", 5) && !strstr(entry->d_name, ".tmp");
    if (entries) closedir(entries);
    if (saved) return 0;
    int64_t steps = metrics_steps(metrics), every = t->config->ckpt.every;
    /* The first is written beside the steps behind it, and is there when the second begins. */
    if ((every && steps > 2 * every) || steps >= t->config->train.steps + 1)
        return fail(STATUS_BAD_DATA,
                    "%s: there is no checkpoint, but metrics.jsonl tells of %lld steps, so there was one; put it "
                    "back, or start a new run with --run NAME",
                    folder, (long long)steps);
    *unsaved = 1;
    return 0;
}

int trainer_resume(struct trainer *t) {
    char path[2048] = "", metrics[1200];
    int unsaved = 0;
    TRY(comm_agree(t->comm, t->comm->rank ? 0 : look_for_any(t, &unsaved)));
    TRY(comm_largest(t->comm, &unsaved));
    if (unsaved) {
        log_line("%s has no checkpoint yet: it begins again", t->folder);
        TRY(trainer_begin(t));
    } else {
        double begin = clock_seconds();
        TRY(choose(t, t->folder, path, sizeof path));
        double verified = clock_seconds();
        TRY(comm_agree(t->comm, load(t, path)));
        log_line("%s: verified in %.2f s, loaded in %.2f s", path, verified - begin, clock_seconds() - verified);
    }
    t->start_step = t->step;
    snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", t->folder);
    snprintf(path, sizeof path, "%s/ckpt", t->folder);
    if (!t->comm->rank) ckpt_sweep(path);
    int status = t->comm->rank ? 0 : metrics_cut(metrics, t->step);
    if (!status && t->config->ckpt.keep_best && !t->comm->rank) status = metrics_read_losses(metrics, &t->losses);
    return comm_agree(t->comm, status);
}
