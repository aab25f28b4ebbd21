#include "run/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/philox.h"
#include "model/model.h"
#include "plan/tree.h"

/* Copies on the host of what checkpoints hold, where the host cannot read the store. */
static int open_mirror(struct run *run) {
    const struct plan *plan = run->plan;
    const int flat[] = {plan->flat_params, plan->flat_m, plan->flat_v};
    for (int i = 0; run->backend->host_new && i < run->store.count; i++) {
        const struct store_entry *entry = &run->store.entry[i];
        for (int k = 0; k < 3; k++)
            if (flat[k] != NONE && !strcmp(entry->name, plan->bufs[flat[k]].name) && entry->bytes)
                TRY(run->backend->host_new(&run->mirror[i], entry->bytes));
    }
    return 0;
}

static void close_mirror(struct run *run) {
    for (int i = 0; run->backend->host_free && i < run->store.count; i++) run->backend->host_free(run->mirror[i]);
}

int run_open(struct run *run, const struct config *config, const struct plan_request *request, struct comm *comm,
             const struct backend *backend) {
    memset(run, 0, sizeof *run);
    run->config = config;
    run->comm = comm;
    if (backend)
        run->backend = backend;
    else
        TRY(backend_choose(config->backend, comm, &run->backend));
    TRY(plan_build(config, request, model_forward, &run->plan));
    run->rows = buf_elems(&run->plan->bufs[run->plan->tokens]);
    run->batch.tokens = calloc((size_t)run->rows, sizeof(int32_t));
    run->batch.targets = calloc((size_t)run->rows, sizeof(int32_t));
    run->batch.starts = run->plan->starts == NONE ? NULL : calloc((size_t)run->rows, sizeof(int32_t));
    run->arrays = calloc(3 * ((size_t)run->plan->n_params + (size_t)run->plan->n_buckets + 1), sizeof *run->arrays);
    run->spans = calloc(2 * (size_t)comm->size, sizeof *run->spans);
    if (!run->batch.tokens || !run->batch.targets || (run->plan->starts != NONE && !run->batch.starts) ||
        !run->arrays || !run->spans)
        return fail(STATUS_FAILED, "out of memory");
    int status = run->backend->load(run->plan, &run->store, comm, &run->exec);
    int64_t missing = status && run->backend->short_of ? run->backend->short_of() : 0;
    if (missing) status = run_cannot_fit(config, request, run->plan, missing, status);
    TRY(status);
    TRY(open_mirror(run));
    run->block.seed = (uint32_t)config->train.seed;
    return run_write_block(run);
}

void run_close(struct run *run) {
    if (run->backend) {
        close_mirror(run);
        run->backend->unload(run->exec);
        run->backend->free_store(&run->store);
    }
    plan_free(run->plan);
    free(run->batch.tokens);
    free(run->batch.targets);
    free(run->batch.starts);
    free(run->arrays);
    free(run->parts);
    free(run->spans);
    memset(run, 0, sizeof *run);
}

/* What this rank keeps of the flat space. With ZeRO that is its shard; without, everything, of which it saves one part. */
static int n_spans(const struct run *run) { return run->plan->zero ? run->plan->n_buckets : 1; }

static struct span span_of(const struct run *run, int i, int saving) {
    const struct plan *plan = run->plan;
    struct span span = {0, plan->flat_elems};
    if (plan->zero) return plan_piece(plan, i, run->comm->rank);
    if (saving) tree_piece(0, plan->flat_elems, run->comm->size, run->comm->rank, &span.begin, &span.end);
    return span;
}

/* Where element `begin` of span `i` is in a buffer: one of the whole space, or of the shard alone. */
static int64_t index_in(const struct run *run, int flat, int i, int64_t begin) {
    const struct plan *plan = run->plan;
    if (plan->bufs[flat].dim[0] == plan->flat_elems) return begin;
    return plan->shard_at[i] + begin - plan_piece(plan, i, run->comm->rank).begin;
}

/* The part of a parameter that is in span `i`; empty where there is none. */
static struct span part_of(const struct run *run, const struct param *param, int i, int saving) {
    struct span span = span_of(run, i, saving);
    int64_t end = param->offset + param->elems;
    if (span.begin < param->offset) span.begin = param->offset;
    if (span.end > end) span.end = end;
    if (span.begin >= span.end) span.begin = span.end = param->offset;
    return span;
}

static int init_param(struct run *run, const struct param *param, const char *values) {
    int64_t size = (int64_t)dtype_size(run->plan->bufs[run->plan->flat_params].type);
    for (int i = 0; i < n_spans(run); i++) {
        struct span part = part_of(run, param, i, 0);
        if (part.begin == part.end) continue;
        int64_t at = index_in(run, run->plan->flat_params, i, part.begin);
        void *from = (void *)(values + (part.begin - param->offset) * size);
        TRY(run->backend->copy(run->exec, run->plan->flat_params, at * size, from, (part.end - part.begin) * size,
                               COPY_TO_DEVICE));
    }
    return 0;
}

/* What ops read of the parameters. With ZeRO ranks send them to each other, which none must wait for in vain. */
static int start(struct run *run, int status) {
    if (run->plan->zero) status = comm_agree(run->comm, status);
    return status ? status : run->backend->run(run->exec, SEG_START);
}

int run_init(struct run *run) {
    const struct plan *plan = run->plan;
    enum dtype type = plan->bufs[plan->flat_params].type;
    int64_t largest = 0;
    for (int i = 0; i < plan->n_params; i++)
        if (plan->params[i].elems > largest) largest = plan->params[i].elems;
    void *values = malloc((size_t)largest * dtype_size(type));
    int status = values ? 0 : fail(STATUS_FAILED, "out of memory for initial values");
    for (int i = 0; i < plan->n_params && !status; i++) {
        model_init(&plan->params[i], i, (uint32_t)run->config->train.seed, type, values);
        status = init_param(run, &plan->params[i], values);
    }
    free(values);
    return start(run, status);
}

/* A slice of one kind of array (parameters or a moment), under its checkpoint name. */
static int add_slice(struct run *run, const char *kind, const struct param *param, int flat, int span,
                     struct span part) {
    const struct plan *plan = run->plan;
    const struct buf *shape = &plan->bufs[param->buf];
    struct ckpt_array *array = &run->arrays[run->n_arrays++];
    memset(array, 0, sizeof *array);
    snprintf(array->name, sizeof array->name, "%s/%s", kind, param->name);
    array->type = plan->bufs[flat].type;
    array->rank = shape->rank;
    memcpy(array->dim, shape->dim, sizeof array->dim);
    array->begin = part.begin - param->offset;
    array->end = part.end - param->offset;
    int64_t at = part.begin < part.end ? index_in(run, flat, span, part.begin) : 0;
    for (int i = 0; i < run->store.count; i++)
        if (!strcmp(run->store.entry[i].name, plan->bufs[flat].name)) {
            char *host = run->mirror[i] ? run->mirror[i] : run->store.entry[i].data;
            if (run->store.entry[i].bytes) /* a rank may own nothing */
                array->data = host + at * (int64_t)dtype_size(array->type);
            return 0;
        }
    return fail(STATUS_FAILED, "backend %s has no checkpoint access", run->backend->name);
}

/* All slices that this rank has of it; one that is empty where it has none. */
static int add_array(struct run *run, const char *kind, const struct param *param, int flat, int saving) {
    int found = 0;
    for (int i = 0; i < n_spans(run); i++) {
        struct span part = part_of(run, param, i, saving);
        if (part.begin == part.end) continue;
        TRY(add_slice(run, kind, param, flat, i, part));
        found = 1;
    }
    return found ? 0 : add_slice(run, kind, param, flat, 0, (struct span){param->offset, param->offset});
}

static int make_arrays(struct run *run, int saving, int with_moments) {
    const struct plan *plan = run->plan;
    run->n_arrays = 0;
    for (int i = 0; i < plan->n_params; i++) {
        TRY(add_array(run, "params", &plan->params[i], plan->flat_params, saving));
        if (plan->flat_m == NONE || !with_moments) continue;
        TRY(add_array(run, "adam.m", &plan->params[i], plan->flat_m, saving));
        TRY(add_array(run, "adam.v", &plan->params[i], plan->flat_v, saving));
    }
    return 0;
}

/* Between the store and its copies on the host, if there are any: whole entries, whose parts lie scattered. */
static int copy_mirror(struct run *run, enum copy_direction direction, int with_moments) {
    const struct plan *plan = run->plan;
    const int flat[] = {plan->flat_params, plan->flat_m, plan->flat_v};
    for (int i = 0; i < run->store.count; i++)
        for (int k = 0; k < (with_moments ? 3 : 1); k++)
            if (run->mirror[i] && flat[k] != NONE && !strcmp(run->store.entry[i].name, plan->bufs[flat[k]].name))
                TRY(run->backend->copy(run->exec, flat[k], 0, run->mirror[i], run->store.entry[i].bytes, direction));
    return 0;
}

static int load(struct run *run, const char *path, int with_moments) {
    int status = make_arrays(run, 0, with_moments);
    if (!status) status = copy_mirror(run, COPY_TO_HOST, with_moments); /* padding between arrays stays as it is */
    if (!status) status = ckpt_load(path, run->arrays, run->n_arrays);
    if (!status) status = copy_mirror(run, COPY_TO_DEVICE, with_moments);
    return start(run, status);
}

int run_load(struct run *run, const char *path) { return load(run, path, 1); }

int run_load_params(struct run *run, const char *path) { return load(run, path, 0); }

int run_shard(struct run *run, const struct ckpt_array **arrays, int *count) {
    TRY(make_arrays(run, 1, 1));
    TRY(copy_mirror(run, COPY_TO_HOST, 1));
    *arrays = run->arrays;
    *count = run->n_arrays;
    return 0;
}

int run_config(const char *path, struct config *config) {
    struct ckpt_meta meta;
    TRY(ckpt_read_meta(path, &meta));
    config_defaults(config);
    int status = config_load_text(config, meta.config, strlen(meta.config), path);
    ckpt_meta_free(&meta);
    if (!status) status = config_check(config);
    return status ? fail_within(STATUS_BAD_DATA, "the config inside the checkpoint: ") : 0;
}

int run_config_here(const char *path, const char *backend, struct config *config) {
    TRY(run_config(path, config));
    return config_set(config, "backend", backend ? backend : "auto", "--backend");
}

static int exists(const char *folder, const char *name) {
    char path[2048];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return !stat(path, &info);
}

int run_find_checkpoints(const char *name, char *path, int64_t size, int *among) {
    if (!exists(name, "."))
        return fail(STATUS_BAD_DATA,
                    "%s: no such folder; name a checkpoint (runs/NAME/ckpt/step-…) or a run (runs/NAME)", name);
    *among = !exists(name, "manifest.json");
    if (snprintf(path, (size_t)size, *among && exists(name, "ckpt") ? "%s/ckpt" : "%s", name) < size) return 0;
    return fail(STATUS_BAD_DATA, "%s: this path is too long", name);
}

int run_find_checkpoint(const char *name, char *path, int64_t size) {
    char folder[1024];
    int among = 0;
    TRY(run_find_checkpoints(name, folder, sizeof folder, &among));
    if (among) return ckpt_latest(folder, NULL, path, size, stderr);
    if (snprintf(path, (size_t)size, "%s", folder) < size) return 0;
    return fail(STATUS_BAD_DATA, "%s: this path is too long", folder);
}

enum documents run_documents(const struct config *config) {
    static const enum documents of[] = {
        [DOCUMENTS_JOINED] = JOINED, [DOCUMENTS_APART] = APART, [DOCUMENTS_PACKED] = PACKED};
    return of[config->data.documents];
}

struct dataset_options run_dataset_options(const struct config *config) {
    return (struct dataset_options){.train = config->data.train,
                                    .val = config->data.val,
                                    .tokenizer = config->data.tokenizer,
                                    .window = config->train.seq_len,
                                    .vocab = config->model.vocab};
}

struct sampler_options run_sampler_options(const struct config *config) {
    return (struct sampler_options){.window = config->train.seq_len,
                                    .slots = config->train.slots,
                                    .micro_batches = config->train.micro_batches_per_slot,
                                    .batch = config->train.micro_batch,
                                    .vocab = config->model.vocab,
                                    .seed = (uint32_t)config->train.seed,
                                    .documents = run_documents(config)};
}

int run_tokenizer(const char *path, struct tokenizer **tokenizer) {
    char *json, name[2100];
    int64_t length;
    *tokenizer = NULL;
    TRY(ckpt_tokenizer(path, &json, &length));
    if (!json) { /* checkpoints of version 0.1.0 have none: all of them are of bytes, and their config says so */
        struct config config;
        TRY(run_config(path, &config));
        return strcmp(config.data.tokenizer, "bytes") ? 0 : tokenizer_open("bytes", tokenizer);
    }
    snprintf(name, sizeof name, "%s/tokenizer.json", path);
    int status = tokenizer_open_json(json, length, name, tokenizer);
    free(json);
    return status;
}

int run_write_block(struct run *run) {
    return run->backend->copy(run->exec, run->plan->step, 0, &run->block, sizeof run->block, COPY_TO_DEVICE);
}

int run_write_batch(struct run *run, const struct batch *batch, int64_t rows) {
    const struct {
        int buf;
        int32_t *data;
    } inputs[] = {
        {run->plan->tokens, batch->tokens}, {run->plan->targets, batch->targets}, {run->plan->starts, batch->starts}};
    int64_t bytes = rows * (int64_t)sizeof(int32_t);
    for (int i = 0; i < 3; i++)
        if (inputs[i].buf != NONE)
            TRY(run->backend->copy(run->exec, inputs[i].buf, 0, inputs[i].data, bytes, COPY_TO_DEVICE));
    return 0;
}

int run_write_random(struct run *run) {
    int64_t vocab = run->config->model.vocab;
    for (int64_t i = 0; i < run->rows; i++) {
        run->batch.tokens[i] = (int32_t)(philox((uint32_t)i, 0, 0, 0, 0, 0).word[0] % (uint64_t)vocab);
        if (i) run->batch.targets[i - 1] = run->batch.tokens[i];
    }
    run->batch.targets[run->rows - 1] = run->batch.tokens[0];
    return run_write_batch(run, &run->batch, run->rows);
}
