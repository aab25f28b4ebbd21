#include "plan/emit.h"

#include <stdarg.h>
#include <string.h>

#include "base/check.h"
#include "plan/passes.h"
#include "plan/rule.h"

int builder_training(const struct builder *b) { return b->segment == SEG_MICRO_FIRST; }

void builder_scope(struct builder *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(b->scope, sizeof b->scope, format, args);
    va_end(args);
}

/* scope + name + suffix, as a buffer's name. */
static void full_name(const struct builder *b, const char *name, const char *suffix, char out[NAME_SIZE]) {
    snprintf(out, NAME_SIZE, "%.*s%s%s", (int)strnlen(b->scope, NAME_SIZE / 2), b->scope, name, suffix);
}

int builder_param(struct builder *b, const char *name, int64_t rows, int64_t cols, double init_std, double init_value,
                  int *param) {
    struct buf buf = {.kind = BUF_PARAM, .type = b->type, .rank = cols ? 2 : 1, .dim = {rows, cols}};
    buf.alias = b->plan->flat_params;
    full_name(b, name, "", buf.name);
    *param = plan_find(b->plan, buf.name);
    if (*param != NONE) return 0;
    TRY(plan_add_buf(b->plan, &buf, param));
    struct param added = {.buf = *param, .elems = buf_elems(&b->plan->bufs[*param]), .decay = cols != 0};
    memcpy(added.name, buf.name, NAME_SIZE);
    added.init_std = init_std;
    added.init_value = init_value;
    return plan_add_param(b->plan, &added);
}

int plan_shape(const struct plan *plan, const struct op *op, unsigned wanted, struct buf outs[MAX_OUT]) {
    const struct op_info *info = &op_info[op->kind];
    const struct buf *in[MAX_IN] = {0};
    struct buf *out[MAX_OUT] = {0};
    for (int i = 0; i < info->ins; i++)
        if (op->in[i] != NONE) in[i] = &plan->bufs[op->in[i]];
    for (int i = 0; i < MAX_OUT; i++)
        if (wanted & 1u << i) {
            memset(&outs[i], 0, sizeof outs[i]);
            out[i] = &outs[i];
        }
    if (!op_rules[op->kind]->shape(op, in, out)) return 0;
    char text[512] = "";
    for (int i = 0; i < info->ins; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? ", " : "", in[i] ? in[i]->name : "-");
    return fail_within(STATUS_USAGE, "%s(%s): ", info->name, text);
}

int emit_op(struct builder *b, struct op *op, const char *name, unsigned create) {
    static const char *const suffix[OP_COUNT][MAX_OUT] = {
        [OP_layernorm] = {"", ".mean", ".rstd"}, [OP_attention] = {"", ".lse"}, [OP_xent] = {"", ".lse"}};
    struct buf outs[MAX_OUT];
    TRY(plan_shape(b->plan, op, create, outs));
    for (int i = 0; i < op_info[op->kind].outs; i++)
        if (create & 1u << i) {
            outs[i].kind = BUF_ACT;
            outs[i].alias = NONE;
            full_name(b, name, suffix[op->kind][i] ? suffix[op->kind][i] : "", outs[i].name);
            TRY(plan_add_buf(b->plan, &outs[i], &op->out[i]));
        }
    return plan_add_op(b->plan, op);
}

struct op builder_op(const struct builder *b, enum op_kind kind) {
    struct op op = plan_new_op(kind);
    op.segment = b->segment;
    op.attr.batch = b->batch;
    op.attr.time = b->time;
    op.attr.micro_batches = b->plan->micro_batches;
    return op;
}

int emit_embed(struct builder *b, const char *name, int wte, int wpe, int *x) {
    struct op op = builder_op(b, OP_embed);
    op.in[0] = b->tokens;
    op.in[1] = wte;
    op.in[2] = wpe;
    op.in[3] = b->plan->starts;
    op.attr.vocab = b->plan->bufs[wte].dim[0];
    op.attr.positions = wpe == NONE ? 0 : b->plan->bufs[wpe].dim[0];
    TRY(emit_op(b, &op, name, 1));
    *x = op.out[0];
    return 0;
}

int emit_dropout(struct builder *b, const char *name, int x, double rate, int *y) {
    *y = x;
    if (!builder_training(b) || rate == 0) return 0;
    struct op op = builder_op(b, OP_dropout);
    op.in[0] = x;
    op.attr.rate = rate;
    op.attr.site = b->site++;
    TRY(emit_op(b, &op, name, 1));
    *y = op.out[0];
    return 0;
}

int emit_layernorm(struct builder *b, const char *name, int x, int w, int bias, int *y) {
    struct op op = builder_op(b, OP_layernorm);
    op.in[0] = x;
    op.in[1] = w;
    op.in[2] = bias;
    op.attr.eps = 1e-5;
    TRY(emit_op(b, &op, name, 7));
    *y = op.out[0];
    return 0;
}

int emit_linear(struct builder *b, const char *name, int x, int w, int bias, int *y) {
    struct op op = builder_op(b, OP_linear);
    op.in[0] = x;
    op.in[1] = w;
    op.in[2] = bias;
    TRY(emit_op(b, &op, name, 1));
    *y = op.out[0];
    return 0;
}

int emit_gelu(struct builder *b, const char *name, int x, int *y) {
    struct op op = builder_op(b, OP_gelu);
    op.in[0] = x;
    TRY(emit_op(b, &op, name, 1));
    *y = op.out[0];
    return 0;
}

/* In generation the op reads and extends the layer's part of the caches, [layers, batch, context, width] each. */
static int cache_of_layer(struct builder *b, const char *which, int cache, int layer, int *part) {
    const struct buf *all = &b->plan->bufs[cache];
    struct buf buf = {.kind = BUF_STATE, .type = all->type, .rank = 3, .dim = {all->dim[1], all->dim[2], all->dim[3]}};
    buf.alias = cache;
    buf.offset = layer * (buf_bytes(all) / all->dim[0]);
    full_name(b, which, "", buf.name);
    *part = plan_find(b->plan, buf.name);
    if (*part == cache) return fail(STATUS_USAGE, "attention with a cache needs a scope that names its layer");
    return *part != NONE ? 0 : plan_add_buf(b->plan, &buf, part);
}

int emit_attention(struct builder *b, const char *name, int qkv, int layer, int64_t heads, double rate, int *o) {
    int cached = b->segment == SEG_PREFILL || b->segment == SEG_DECODE;
    struct op op = builder_op(b, cached ? OP_attention_cached : OP_attention);
    op.in[0] = qkv;
    op.attr.heads = heads;
    double head_size = (double)b->plan->bufs[qkv].dim[1] / (3.0 * (double)heads);
    op.attr.scale = 1.0 / __builtin_sqrt(head_size);
    if (cached) {
        TRY(cache_of_layer(b, "k_cache", b->k_cache, layer, &op.out[1]));
        TRY(cache_of_layer(b, "v_cache", b->v_cache, layer, &op.out[2]));
    } else {
        op.in[1] = b->plan->starts;
        if (builder_training(b) && rate > 0) {
            op.attr.rate = rate;
            op.attr.site = b->site++;
        }
    }
    TRY(emit_op(b, &op, name, cached ? 1 : 3));
    *o = op.out[0];
    return 0;
}

int emit_add(struct builder *b, const char *name, int a, int c, int *y) {
    struct op op = builder_op(b, OP_add);
    op.in[0] = a;
    op.in[1] = c;
    TRY(emit_op(b, &op, name, 1));
    *y = op.out[0];
    return 0;
}

int emit_take_row(struct builder *b, const char *name, int x, int *y) {
    struct op op = builder_op(b, OP_take_row);
    op.in[0] = x;
    TRY(emit_op(b, &op, name, 1));
    *y = op.out[0];
    return 0;
}

/* Cross-entropy, the clamp, the slot's record, and the start of the backward pass. */
static int emit_training_loss(struct builder *b, int loss) {
    struct op clamp = builder_op(b, OP_clamp);
    clamp.in[0] = loss;
    clamp.attr.low = b->config->train.loss_clamp[0];
    clamp.attr.high = b->config->train.loss_clamp[1];
    TRY(emit_op(b, &clamp, "loss.clamped", 1));
    struct op record = builder_op(b, OP_record_loss);
    record.in[0] = clamp.out[0];
    record.in[1] = loss;
    record.out[0] = b->plan->slot_losses;
    TRY(emit_op(b, &record, "", 0));
    return 0;
}

int emit_head(struct builder *b, int logits) {
    struct plan *plan = b->plan;
    builder_scope(b, "%s", "");
    if (b->segment == SEG_PREFILL || b->segment == SEG_DECODE) {
        plan->logits[b->segment] = logits;
        plan->bufs[logits].kind = BUF_RESULT;
        return 0;
    }
    if (plan->request.keep_logits) {
        plan->logits[b->segment] = logits;
        plan->bufs[logits].kind = BUF_RESULT;
    }
    struct op op = builder_op(b, OP_xent);
    op.in[0] = logits;
    op.in[1] = plan->targets;
    int training = builder_training(b);
    TRY(emit_op(b, &op, training ? "loss" : "eval.loss", 3));
    if (training) return emit_training_loss(b, op.out[0]);
    plan->eval_loss = op.out[0];
    plan->bufs[op.out[0]].kind = BUF_RESULT;
    return 0;
}
