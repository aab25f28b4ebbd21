/* What lockstep plan prints and a run's log begins with: the numbers of a plan, as text and as JSON. */
#include <cjson/cJSON.h>

#include "base/check.h"
#include "plan/plan.h"

static double mib(int64_t bytes) { return (double)bytes / 1048576.0; }

/* What is computed a second time to save memory, where anything is. */
static void print_again(const struct plan *plan, FILE *out) {
    int64_t ops = 0, flops = 0, all = plan_flops(plan, SEG_MICRO_FIRST);
    for (int i = plan->segment_begin[SEG_MICRO_FIRST]; i < plan->segment_end[SEG_MICRO_FIRST]; i++)
        if (plan->ops[i].again) {
            ops++;
            flops += plan_op_flops(plan, &plan->ops[i]);
        }
    if (!ops) return;
    fprintf(out, "again    %lld ops of the forward pass in the backward pass, %.1f%% more work\n", (long long)ops,
            100.0 * (double)flops / (double)(all - flops));
}

struct row {
    const char *name, *what;
    int64_t bytes;
};

static void print_memory(const struct plan *plan, const struct config_ckpt *ckpt, int64_t saving, FILE *out) {
    int copies = ckpt->every && ckpt->async;
    int64_t copy = plan_kind_bytes(plan, BUF_COPY), params = plan_kind_bytes(plan, BUF_PARAM),
            state = plan_kind_bytes(plan, BUF_STATE), grads = plan_kind_bytes(plan, BUF_GRAD);
    int64_t values = plan->arena_bytes - plan->persistent_bytes;
    const struct row rows[] = {
        {"parameters", "in the store", params},
        {"copy of them", "in the type that ops read", copy},
        {"state", plan->flat_m == NONE ? "key/value cache, in the store" : "AdamW moments, in the store", state},
        {"gradients", "one sum, and those held for the tree", grads},
        {"inputs, results", "tokens, targets, losses", plan->persistent_bytes - grads - copy},
        {"values", "activations and their gradients, overlapping", values},
        {"total", "for each rank", plan_total_bytes(plan)},
        {"scratch", "more, for each CPU thread", plan->scratch_bytes},
        {"checkpoint",
         copies ? "more, a copy to write from (ckpt.async), and blocks" : "more, blocks, while one is saved",
         plan->flat_m == NONE ? 0 : (copies ? plan_saved_bytes(plan) : 0) + saving},
    };
    fprintf(out, "memory                MiB\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].bytes || (rows[i].what != rows[1].what && i + 1 < sizeof rows / sizeof *rows))
            fprintf(out, "  %-16s %10.3f   %s\n", rows[i].name, mib(rows[i].bytes), rows[i].what);
}

/* What differs from GPT-2, where something does. */
static void print_switches(const struct config_model *m, FILE *out) {
    const struct {
        int on;
        const char *name;
    } switches[] = {
        {m->norm == NORM_RMSNORM, "RMSNorm"},
        {m->norm_place == NORM_POST, "post-norm"},
        {m->position == POSITION_ROPE, "RoPE"},
        {m->ffn == FFN_SWIGLU, "SwiGLU"},
        {m->qk_norm, "QK-norm"},
        {m->logit_softcap > 0, "soft-capped logits"},
        {!m->tie, "untied head"},
        {!m->bias, "no biases"},
        {m->vocab_multiple > 1, "padded vocabulary"},
    };
    int count = 0;
    if (m->kv_heads != m->heads)
        fprintf(out, "with     %lld heads of keys and values", (long long)m->kv_heads), count++;
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (switches[i].on) fprintf(out, "%s%s", count++ ? ", " : "with     ", switches[i].name);
    if (count) fputc('\n', out);
}

/* Collectives in the order in which a step has them. */
static const struct {
    enum op_kind kind;
    const char *what;
} collectives[] = {
    {OP_exchange, "sums of gradients to their owners"},
    {OP_reduce_scatter, "gradients, as a ring would send them"},
    {OP_all_reduce, "gradients, as two rings would send them"},
    {OP_all_gather, "what owners finished, to all"},
    {OP_gather_losses, "the loss of each slot"},
    {OP_gather_norms, "the sum of squares of each chunk"},
};
enum { COLLECTIVES = sizeof collectives / sizeof *collectives };

static void print_wire(const struct plan *plan, FILE *out) {
    fprintf(out, "wire     %.3f MiB sent by this rank a step\n", mib(plan_wire_bytes(plan)));
    for (int i = 0; plan->request.ranks > 1 && i < COLLECTIVES; i++) {
        int64_t bytes = plan_wire_of(plan, collectives[i].kind);
        if (bytes)
            fprintf(out, "  %-16s %10.3f   %s\n", op_info[collectives[i].kind].name, mib(bytes), collectives[i].what);
    }
}

/* One row of the table of stages; a stage that cannot be is left empty. */
static void print_stage_row(const char *name, struct plan *const *stages, int64_t (*bytes)(const struct plan *plan),
                            FILE *out) {
    fprintf(out, "  %-16s", name);
    for (int z = 0; z < ZERO_STAGES; z++)
        if (stages[z])
            fprintf(out, " %10.3f", mib(bytes(stages[z])));
        else
            fprintf(out, " %10s", "-");
    fputc('\n', out);
}

static int64_t param_bytes(const struct plan *plan) {
    return plan_kind_bytes(plan, BUF_PARAM) + plan_kind_bytes(plan, BUF_COPY);
}
static int64_t state_bytes(const struct plan *plan) { return plan_kind_bytes(plan, BUF_STATE); }
static int64_t grad_bytes(const struct plan *plan) { return plan_kind_bytes(plan, BUF_GRAD); }
static int64_t rest_bytes(const struct plan *plan) {
    return plan_total_bytes(plan) - param_bytes(plan) - state_bytes(plan) - grad_bytes(plan);
}

static void print_stages(struct plan *const *stages, FILE *out) {
    fprintf(out, "dist.zero                  0          1          2   (MiB, this rank)\n");
    print_stage_row("parameters", stages, param_bytes, out);
    print_stage_row("moments", stages, state_bytes, out);
    print_stage_row("gradients", stages, grad_bytes, out);
    print_stage_row("values, staging", stages, rest_bytes, out);
    print_stage_row("total", stages, plan_total_bytes, out);
    print_stage_row("sent a step", stages, plan_wire_bytes, out);
}

static void print_rank(const struct plan *plan, FILE *out) {
    fprintf(out, "rank     %d of %d: ", plan->request.rank, plan->request.ranks);
    if (plan->zero == 2)
        fprintf(out, "slots %d, %d, …, a leaf and %d sums of its shard\n", plan->slot_lo,
                plan->slot_lo + plan->slot_step, plan->held + 1);
    else
        fprintf(out, "slots [%d, %d), %d gradient sum%s\n", plan->slot_lo, plan->slot_hi, plan->held + 1,
                plan->held ? "s" : "");
}

void plan_summary(const struct plan *plan, const struct config *config, struct plan *const *stages, int64_t saving,
                  FILE *out) {
    const struct config_model *m = &config->model;
    fprintf(out,
            "model    %s, %lld layers, width %lld, %lld heads, hidden %lld, vocabulary %lld, context %lld: %lld "
            "parameters\n",
            config->name, (long long)m->layers, (long long)m->width, (long long)m->heads, (long long)m->hidden,
            (long long)m->vocab, (long long)m->context, (long long)plan->param_elems);
    print_switches(m, out);
    fprintf(out, "step     %d slots x %d micro-batches x %d sequences x %d tokens = %lld tokens\n", plan->slots,
            plan->micro_batches, plan->request.batch, plan->request.time,
            (long long)plan->slots * plan->micro_batches * plan->request.batch * plan->request.time);
    print_rank(plan, out);
    fprintf(out, "ops      %d over %d buffers\n", plan->n_ops, plan->n_bufs);
    fprintf(out, "work     %.3f GFLOP a step on this rank\n", (double)plan_step_flops(plan) * 1e-9);
    print_again(plan, out);
    print_wire(plan, out);
    print_memory(plan, &config->ckpt, saving, out);
    if (stages) print_stages(stages, out);
}

static cJSON *json_bytes(const struct plan *plan) {
    cJSON *bytes = cJSON_CreateObject();
    cJSON_AddNumberToObject(bytes, "parameters", (double)plan_kind_bytes(plan, BUF_PARAM));
    cJSON_AddNumberToObject(bytes, "copy", (double)plan_kind_bytes(plan, BUF_COPY));
    cJSON_AddNumberToObject(bytes, "state", (double)plan_kind_bytes(plan, BUF_STATE));
    cJSON_AddNumberToObject(bytes, "gradients", (double)plan_kind_bytes(plan, BUF_GRAD));
    cJSON_AddNumberToObject(bytes, "values", (double)(plan->arena_bytes - plan->persistent_bytes));
    cJSON_AddNumberToObject(bytes, "arena", (double)plan->arena_bytes);
    cJSON_AddNumberToObject(bytes, "total", (double)plan_total_bytes(plan));
    cJSON_AddNumberToObject(bytes, "scratch_per_thread", (double)plan->scratch_bytes);
    cJSON_AddNumberToObject(bytes, "saved", (double)plan_saved_bytes(plan));
    return bytes;
}

static cJSON *json_segments(const struct plan *plan) {
    cJSON *segments = cJSON_CreateObject();
    for (int s = 0; s < SEG_COUNT; s++) {
        if (plan->segment_begin[s] == plan->segment_end[s]) continue;
        cJSON *segment = cJSON_AddObjectToObject(segments, segment_name((enum segment)s));
        cJSON_AddNumberToObject(segment, "ops", plan->segment_end[s] - plan->segment_begin[s]);
        cJSON_AddNumberToObject(segment, "flops", (double)plan_flops(plan, (enum segment)s));
    }
    return segments;
}

static cJSON *json_wire(const struct plan *plan) {
    cJSON *wire = cJSON_CreateObject();
    for (int i = 0; i < COLLECTIVES; i++) {
        int64_t bytes = plan_wire_of(plan, collectives[i].kind);
        if (bytes) cJSON_AddNumberToObject(wire, op_info[collectives[i].kind].name, (double)bytes);
    }
    return wire;
}

static cJSON *json_stages(struct plan *const *stages) {
    cJSON *list = cJSON_CreateArray();
    for (int z = 0; z < ZERO_STAGES; z++) {
        if (!stages[z]) continue;
        cJSON *stage = cJSON_CreateObject();
        cJSON_AddNumberToObject(stage, "zero", z);
        cJSON_AddNumberToObject(stage, "parameters", (double)param_bytes(stages[z]));
        cJSON_AddNumberToObject(stage, "state", (double)state_bytes(stages[z]));
        cJSON_AddNumberToObject(stage, "gradients", (double)grad_bytes(stages[z]));
        cJSON_AddNumberToObject(stage, "total", (double)plan_total_bytes(stages[z]));
        cJSON_AddNumberToObject(stage, "wire_bytes", (double)plan_wire_bytes(stages[z]));
        cJSON_AddItemToArray(list, stage);
    }
    return list;
}

int plan_json(const struct plan *plan, const struct config *config, struct plan *const *stages, FILE *out) {
    cJSON *top = cJSON_CreateObject();
    const int slots[2] = {plan->slot_lo, plan->slot_hi};
    cJSON_AddStringToObject(top, "name", config->name);
    cJSON_AddNumberToObject(top, "params", (double)plan->param_elems);
    cJSON_AddNumberToObject(top, "rank", plan->request.rank);
    cJSON_AddNumberToObject(top, "ranks", plan->request.ranks);
    cJSON_AddItemToObject(top, "slots", cJSON_CreateIntArray(slots, 2));
    cJSON_AddNumberToObject(top, "slot_step", plan->slot_step); /* not 1: every so many of the range are this rank's */
    cJSON_AddNumberToObject(top, "ops", plan->n_ops);
    cJSON_AddNumberToObject(top, "step_flops", (double)plan_step_flops(plan));
    cJSON_AddNumberToObject(top, "wire_bytes", (double)plan_wire_bytes(plan));
    if (plan->request.ranks > 1) cJSON_AddItemToObject(top, "wire", json_wire(plan));
    if (stages) cJSON_AddItemToObject(top, "stages", json_stages(stages));
    cJSON_AddItemToObject(top, "bytes", json_bytes(plan));
    cJSON_AddItemToObject(top, "segments", json_segments(plan));
    char *text = cJSON_Print(top);
    cJSON_Delete(top);
    if (!text) return fail(STATUS_FAILED, "plan: out of memory for JSON");
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    return ferror(out) ? fail(STATUS_FAILED, "cannot write the plan") : 0;
}
