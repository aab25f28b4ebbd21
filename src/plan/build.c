/* From a config and a model description to a plan that is ready to run: the passes in order. */
#include "plan/emit.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "plan/passes.h"
#include "plan/tree.h"

static int wants(const struct plan *plan, enum segment segment) { return plan->request.segments >> segment & 1; }

static int add_buf(struct plan *plan, const char *name, enum buf_kind kind, enum dtype type, int rank,
                   const int64_t *dim, int *id) {
    struct buf buf = {.kind = kind, .type = type, .rank = rank, .alias = NONE};
    snprintf(buf.name, sizeof buf.name, "%s", name);
    for (int i = 0; i < rank; i++) buf.dim[i] = dim[i];
    return plan_add_buf(plan, &buf, id);
}

static int new_plan(const struct config *config, const struct plan_request *request, struct plan **out) {
    struct plan *plan = calloc(1, sizeof *plan);
    if (!plan) return fail(STATUS_FAILED, "plan: out of memory");
    *out = plan;
    plan->request = *request;
    plan->slots = (int)config->train.slots;
    plan->micro_batches = (int)config->train.micro_batches_per_slot;
    plan->slot_step = 1;
    plan->share_memory = config->train.compile;
    plan->graphs = config->train.compile && config->train.graphs;
    plan->running_sum = request->ranks > 1 && config->dist.reduce == REDUCE_VENDOR;
    plan->starts = plan->targets = plan->flat_grads = plan->shard_grads = plan->flat_m = plan->flat_v = NONE;
    plan->guard = plan->audit = plan->held_sums = plan->slot_losses = plan->eval_loss = NONE;
    for (int s = 0; s < SEG_COUNT; s++) plan->logits[s] = NONE;
    if (request->ranks > plan->slots)
        return fail(STATUS_USAGE,
                    "%d ranks, but train.slots is %d: a rank needs at least one slot; start at most %d ranks "
                    "or set train.slots higher",
                    request->ranks, plan->slots, plan->slots);
    tree_range(plan->slots, request->ranks, request->rank, &plan->slot_lo, &plan->slot_hi);
    return 0;
}

/* The buffers that the host writes and reads, and the caches. */
static int add_io(struct builder *b) {
    struct plan *plan = b->plan;
    const struct config_model *model = &b->config->model;
    int generate = wants(plan, SEG_PREFILL);
    int64_t rows = generate ? plan->request.prefill : (int64_t)plan->request.batch * plan->request.time;
    int64_t none = 0, slots = plan->slots, block = sizeof(struct step_block);
    TRY(add_buf(plan, "step", BUF_RESULT, DTYPE_U8, 1, &block, &plan->step));
    TRY(add_buf(plan, "params", BUF_PARAM, dtype_of_sums(b->type), 1, &none, &plan->flat_params));
    plan->flat_copy = plan->flat_params;
    if (dtype_of_sums(b->type) != b->type)
        TRY(add_buf(plan, "params.copy", BUF_COPY, b->type, 1, &none, &plan->flat_copy));
    TRY(add_buf(plan, "tokens", BUF_INPUT, DTYPE_I32, 1, &rows, &plan->tokens));
    b->tokens = plan->tokens;
    if (!generate) TRY(add_buf(plan, "targets", BUF_INPUT, DTYPE_I32, 1, &rows, &plan->targets));
    if (!generate && b->config->data.documents != DOCUMENTS_JOINED)
        TRY(add_buf(plan, "starts", BUF_INPUT, DTYPE_I32, 1, &rows, &plan->starts));
    if (wants(plan, SEG_MICRO_FIRST))
        TRY(add_buf(plan, "slot_losses", BUF_RESULT, DTYPE_F64, 1, &slots, &plan->slot_losses));
    b->k_cache = b->v_cache = NONE;
    if (!generate) return 0;
    int64_t cache[4] = {model->layers, 1, model->context, model->kv_heads * config_head_size(model)};
    TRY(add_buf(plan, "k_cache", BUF_STATE, b->type, 4, cache, &b->k_cache));
    return add_buf(plan, "v_cache", BUF_STATE, b->type, 4, cache, &b->v_cache);
}

static int emit_segment(struct builder *b, enum segment segment, int batch, int time,
                        int (*forward)(struct builder *builder)) {
    b->segment = segment;
    b->batch = batch;
    b->time = time;
    b->site = 0;
    b->rope_table = b->layer = NONE;
    plan_begin_segment(b->plan, segment);
    TRY(forward(b));
    TRY(plan_end_segment(b->plan, segment));
    return segment == SEG_MICRO_FIRST ? 0
                                      : plan_fuse(b->plan, segment, b->config); /* training: after its backward pass */
}

/* The start of the backward pass is an op too: it reads the scale of the gradient from the step block. */
static int add_loss_seed(struct plan *plan, int *loss, int *dloss) {
    int64_t two = 2;
    TRY(add_buf(plan, "d.loss.clamped", BUF_ACT, DTYPE_F64, 1, &two, dloss));
    struct op seed = plan_new_op(OP_loss_seed);
    seed.out[0] = *dloss;
    *loss = plan_find(plan, "loss.clamped");
    if (*loss == NONE) return fail(STATUS_FAILED, "the model description does not end in emit_head()");
    return plan_add_op(plan, &seed);
}

static int build_training(struct builder *b, int (*forward)(struct builder *builder)) {
    struct plan *plan = b->plan;
    int loss, dloss;
    TRY(emit_segment(b, SEG_MICRO_FIRST, plan->request.batch, plan->request.time, forward));
    TRY(plan_layout(plan));
    TRY(plan_shard(plan, b->config));
    TRY(plan_check(plan, "forward"));
    int first = plan->segment_begin[SEG_MICRO_FIRST];
    TRY(add_loss_seed(plan, &loss, &dloss));
    TRY(plan_backward(plan, first, loss, dloss));
    TRY(plan_end_segment(plan, SEG_MICRO_FIRST));
    TRY(plan_check(plan, "backward"));
    TRY(plan_recompute(plan, b->config));
    TRY(plan_check(plan, "recompute"));
    TRY(plan_fuse(plan, SEG_MICRO_FIRST, b->config));
    TRY(plan_check(plan, "fuse"));
    TRY(plan_accumulate(plan));
    TRY(plan_check(plan, "accumulate"));
    TRY(plan_overlap(plan, b->config));
    TRY(plan_check(plan, "overlap"));
    TRY(plan_update(plan, b->config));
    return plan_check(plan, "update");
}

/* Parameters that the update has sent on their way are needed by what comes first after it. */
static int await_params(struct plan *plan, const struct config *config) {
    enum segment first = plan_micro_segment(plan, 0, 0);
    TRY(plan_await_params(plan, first));
    if (config->guard.audit_every && first != SEG_MICRO_FIRST) TRY(plan_await_params(plan, SEG_MICRO_FIRST));
    TRY(plan_await_params(plan, SEG_GUARD));
    return wants(plan, SEG_EVAL) ? plan_await_params(plan, SEG_EVAL) : 0;
}

static int build(struct builder *b, int (*forward)(struct builder *builder)) {
    struct plan *plan = b->plan;
    TRY(add_io(b));
    if (wants(plan, SEG_MICRO_FIRST)) TRY(build_training(b, forward));
    if (wants(plan, SEG_EVAL)) TRY(emit_segment(b, SEG_EVAL, plan->request.batch, plan->request.time, forward));
    if (wants(plan, SEG_PREFILL)) {
        TRY(emit_segment(b, SEG_PREFILL, 1, plan->request.prefill, forward));
        TRY(emit_segment(b, SEG_DECODE, 1, 1, forward));
    }
    if (!wants(plan, SEG_MICRO_FIRST)) TRY(plan_layout(plan));
    plan_begin_segment(plan, SEG_START);
    TRY(plan_spread_params(plan, 0));
    TRY(plan_end_segment(plan, SEG_START));
    if (wants(plan, SEG_MICRO_FIRST)) TRY(plan_guard(plan, b->config));
    if (plan->zero && b->config->dist.overlap) TRY(await_params(plan, b->config));
    TRY(plan_check(plan, "forward of all segments"));
    TRY(plan_check_races(plan));
    TRY(plan_memory(plan));
    return plan_check(plan, "memory");
}

static enum dtype value_type(int precision) {
    static const enum dtype types[] = {[PRECISION_FP32] = DTYPE_F32,
                                       [PRECISION_FP64] = DTYPE_F64,
                                       [PRECISION_BF16] = DTYPE_BF16,
                                       [PRECISION_FP16] = DTYPE_F16};
    return types[precision];
}

/* One run of all passes; `depth` is for the recompute pass. */
static int build_once(const struct config *config, const struct plan_request *request,
                      int (*forward)(struct builder *builder), int depth, struct plan **plan) {
    struct plan *made = NULL;
    *plan = NULL;
    int status = new_plan(config, request, &made);
    if (!status) {
        struct builder b = {.plan = made, .config = config};
        b.type = value_type(config->train.precision);
        made->recompute_depth = depth;
        status = build(&b, forward);
    }
    if (status) {
        plan_free(made);
        return status;
    }
    *plan = made;
    return 0;
}

/* Replaces *plan by that of another depth. */
static int rebuild(const struct config *config, const struct plan_request *request,
                   int (*forward)(struct builder *builder), int depth, struct plan **plan) {
    plan_free(*plan);
    return build_once(config, request, forward, depth, plan);
}

/* For a budget that not even the largest depth keeps: clones take memory too, so a smaller one may. Every depth is tried where there are
 * few, and else so many evenly spread ones: a plan of hundreds of blocks takes seconds. */
static int build_least(const struct config *config, const struct plan_request *request,
                       int (*forward)(struct builder *builder), int depths, double budget, struct plan **plan) {
    enum { TRIES = 24 };
    const double mib = 1048576;
    double least = (double)plan_total_bytes(*plan);
    for (int depth = 0; depth < depths; depth += depths / TRIES + 1) {
        TRY(rebuild(config, request, forward, depth, plan));
        double bytes = (double)plan_total_bytes(*plan);
        if (bytes <= budget) return 0;
        if (bytes < least) least = bytes;
    }
    return fail(STATUS_USAGE,
                "train.recompute_budget_mb: %g MiB are not enough for this model and micro-batch, whatever is computed "
                "again; the least that would do is %.1f",
                config->train.recompute_budget_mb, least / mib + 0.05);
}

/* A small depth of recomputation that fits into the budget, by bisection: each depth has its memory from all passes. */
static int build_within(const struct config *config, const struct plan_request *request,
                        int (*forward)(struct builder *builder), struct plan **plan) {
    const double budget = config->train.recompute_budget_mb * 1048576;
    int low = 0, all = (*plan)->recompute_most, high = all;
    if ((double)plan_total_bytes(*plan) <= budget) return 0;
    TRY(rebuild(config, request, forward, all, plan));
    if ((double)plan_total_bytes(*plan) > budget) return build_least(config, request, forward, all, budget, plan);
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        TRY(rebuild(config, request, forward, middle, plan));
        if ((double)plan_total_bytes(*plan) <= budget)
            high = middle;
        else
            low = middle;
    }
    return rebuild(config, request, forward, high, plan);
}

int plan_build(const struct config *config, const struct plan_request *request, int (*forward)(struct builder *builder),
               struct plan **plan) {
    TRY(build_once(config, request, forward, 0, plan));
    if (config->train.recompute != RECOMPUTE_BUDGET || !wants(*plan, SEG_MICRO_FIRST)) return 0;
    int status = build_within(config, request, forward, plan);
    if (status) {
        plan_free(*plan);
        *plan = NULL;
    }
    return status;
}
