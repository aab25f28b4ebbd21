/* What a plan costs: operations, memory, bytes on the wire. Nothing here is measured; all follows from the plan. */
#include "plan/plan.h"

#include <cjson/cJSON.h>

#include "base/check.h"
#include "plan/rule.h"

int64_t plan_op_flops(const struct plan *plan, const struct op *op) {
    const struct op_rule *rule = op_rules[op->kind];
    return rule->flops ? rule->flops(plan, op) : 0;
}

int64_t plan_op_bytes(const struct plan *plan, const struct op *op) {
    const struct op_rule *rule = op_rules[op->kind];
    int64_t bytes = 0;
    if (rule->bytes) return rule->bytes(plan, op);
    for (int k = 0; k < MAX_IN; k++)
        if (op->in[k] != NONE) bytes += buf_bytes(&plan->bufs[op->in[k]]);
    for (int k = 0; k < MAX_OUT; k++)
        if (op->out[k] != NONE) bytes += buf_bytes(&plan->bufs[op->out[k]]) * (op->add >> k & 1 ? 2 : 1);
    return bytes;
}

int64_t plan_flops(const struct plan *plan, enum segment segment) {
    int64_t flops = 0;
    for (int i = plan->segment_begin[segment]; i < plan->segment_end[segment]; i++)
        flops += plan_op_flops(plan, &plan->ops[i]);
    return flops;
}

int64_t plan_step_flops(const struct plan *plan) {
    int64_t flops = plan_flops(plan, SEG_UPDATE);
    if (plan->segment_end[SEG_MICRO_FIRST] == plan->segment_begin[SEG_MICRO_FIRST]) return 0;
    int slots = plan_n_slots(plan), rounds = plan->zero == 2 ? plan->rounds : slots;
    for (int i = 0; i < rounds; i++) {
        for (int micro = 0; i < slots && micro < plan->micro_batches; micro++)
            flops += plan_flops(plan, plan_micro_segment(plan, i, micro));
        if (plan_after_slot(plan, i) != SEG_COUNT) flops += plan_flops(plan, plan_after_slot(plan, i));
    }
    return flops;
}

struct sent {
    int64_t bytes;
};

static void add_sent(void *context, const struct wire *wire) {
    if (!wire->receives) ((struct sent *)context)->bytes += wire->bytes;
}

/* Sent by the ops of a segment; any kind: OP_COUNT. */
static int64_t segment_wire(const struct plan *plan, enum segment segment, enum op_kind kind, int round) {
    struct sent sent = {0};
    for (int i = plan->segment_begin[segment]; i < plan->segment_end[segment]; i++) {
        const struct op *op = &plan->ops[i];
        const struct op_rule *rule = op_rules[op->kind];
        if (kind != OP_COUNT && op->kind != kind) continue;
        if (op->kind == OP_exchange)
            plan_wire(plan, op, round, add_sent, &sent);
        else if (rule->wire)
            sent.bytes += rule->wire(plan, op);
    }
    return sent.bytes;
}

int64_t plan_wire_of(const struct plan *plan, enum op_kind kind) {
    int64_t bytes = segment_wire(plan, SEG_UPDATE, kind, 0);
    for (int i = 0; i < (plan->zero == 2 ? plan_n_slots(plan) : 1); i++)
        bytes += segment_wire(plan, SEG_MICRO_LAST, kind, i);
    return bytes;
}

int64_t plan_wire_bytes(const struct plan *plan) { return plan_wire_of(plan, OP_COUNT); }

/* Bytes of root buffers of a kind. */
static int64_t kind_bytes(const struct plan *plan, enum buf_kind kind) {
    int64_t bytes = 0;
    for (int i = 0; i < plan->n_bufs; i++)
        if (plan->bufs[i].kind == kind && plan->bufs[i].alias == NONE) bytes += buf_bytes(&plan->bufs[i]);
    return bytes;
}

int64_t plan_store_bytes(const struct plan *plan) { return kind_bytes(plan, BUF_PARAM) + kind_bytes(plan, BUF_STATE); }

int64_t plan_total_bytes(const struct plan *plan) { return plan_store_bytes(plan) + plan->arena_bytes; }

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

static void print_memory(const struct plan *plan, FILE *out) {
    int64_t copy = kind_bytes(plan, BUF_COPY), params = kind_bytes(plan, BUF_PARAM),
            state = kind_bytes(plan, BUF_STATE), grads = kind_bytes(plan, BUF_GRAD);
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
    };
    fprintf(out, "memory                MiB\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].bytes || rows[i].what != rows[1].what)
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

void plan_summary(const struct plan *plan, const struct config *config, FILE *out) {
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
    fprintf(out, "rank     %d of %d: slots [%d, %d), %d gradient sum%s\n", plan->request.rank, plan->request.ranks,
            plan->slot_lo, plan->slot_hi, plan->held + 1, plan->held ? "s" : "");
    fprintf(out, "ops      %d over %d buffers\n", plan->n_ops, plan->n_bufs);
    fprintf(out, "work     %.3f GFLOP a step on this rank\n", (double)plan_step_flops(plan) * 1e-9);
    print_again(plan, out);
    fprintf(out, "wire     %.3f MiB sent by this rank a step\n", mib(plan_wire_bytes(plan)));
    print_memory(plan, out);
}

static cJSON *json_bytes(const struct plan *plan) {
    cJSON *bytes = cJSON_CreateObject();
    cJSON_AddNumberToObject(bytes, "parameters", (double)kind_bytes(plan, BUF_PARAM));
    cJSON_AddNumberToObject(bytes, "copy", (double)kind_bytes(plan, BUF_COPY));
    cJSON_AddNumberToObject(bytes, "state", (double)kind_bytes(plan, BUF_STATE));
    cJSON_AddNumberToObject(bytes, "gradients", (double)kind_bytes(plan, BUF_GRAD));
    cJSON_AddNumberToObject(bytes, "values", (double)(plan->arena_bytes - plan->persistent_bytes));
    cJSON_AddNumberToObject(bytes, "arena", (double)plan->arena_bytes);
    cJSON_AddNumberToObject(bytes, "total", (double)plan_total_bytes(plan));
    cJSON_AddNumberToObject(bytes, "scratch_per_thread", (double)plan->scratch_bytes);
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

int plan_json(const struct plan *plan, const struct config *config, FILE *out) {
    cJSON *top = cJSON_CreateObject();
    const int slots[2] = {plan->slot_lo, plan->slot_hi};
    cJSON_AddStringToObject(top, "name", config->name);
    cJSON_AddNumberToObject(top, "params", (double)plan->param_elems);
    cJSON_AddNumberToObject(top, "rank", plan->request.rank);
    cJSON_AddNumberToObject(top, "ranks", plan->request.ranks);
    cJSON_AddItemToObject(top, "slots", cJSON_CreateIntArray(slots, 2));
    cJSON_AddNumberToObject(top, "ops", plan->n_ops);
    cJSON_AddNumberToObject(top, "step_flops", (double)plan_step_flops(plan));
    cJSON_AddNumberToObject(top, "wire_bytes", (double)plan_wire_bytes(plan));
    cJSON_AddItemToObject(top, "bytes", json_bytes(plan));
    cJSON_AddItemToObject(top, "segments", json_segments(plan));
    char *text = cJSON_Print(top);
    cJSON_Delete(top);
    if (!text) return fail(STATUS_FAILED, "plan: out of memory for JSON");
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    return ferror(out) ? fail(STATUS_FAILED, "cannot write the plan") : 0;
}
