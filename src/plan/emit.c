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

void builder_block(struct builder *b, int layer) {
    b->layer = layer;
    if (layer == NONE)
        builder_scope(b, "%s", "");
    else
        builder_scope(b, "h%d.", layer);
}

/* scope + name + suffix, as a buffer's name. */
static void full_name(const struct builder *b, const char *name, const char *suffix, char out[NAME_SIZE]) {
    snprintf(out, NAME_SIZE, "%.*s%s%s", (int)strnlen(b->scope, NAME_SIZE / 2), b->scope, name, suffix);
}

int builder_param(struct builder *b, const char *name, int64_t rows, int64_t cols, double init_std, double init_value,
                  int *param) {
    const struct buf *all = &b->plan->bufs[b->plan->flat_copy];
    struct buf buf = {.kind = all->kind, .type = all->type, .rank = cols ? 2 : 1, .dim = {rows, cols}};
    buf.alias = b->plan->flat_copy;
    full_name(b, name, "", buf.name);
    *param = plan_find(b->plan, buf.name);
    if (*param != NONE) return 0;
    TRY(plan_add_buf(b->plan, &buf, param));
    struct param added = {.buf = *param, .elems = buf_elems(&b->plan->bufs[*param]), .decay = cols != 0};
    memcpy(added.name, buf.name, NAME_SIZE);
    added.init_std = init_std;
    added.init_value = init_value;
    added.used = added.elems;
    return plan_add_param(b->plan, &added);
}

void builder_pad(struct builder *b, int param, int64_t rows) {
    for (int i = 0; i < b->plan->n_params; i++)
        if (b->plan->params[i].buf == param) b->plan->params[i].used = rows * b->plan->bufs[param].dim[1];
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
    static const char *const suffix[OP_COUNT][MAX_OUT] = {[OP_layernorm] = {"", ".mean", ".rstd"},
                                                          [OP_rmsnorm] = {"", ".rstd"},
                                                          [OP_qk_norm] = {"", ".rstd"},
                                                          [OP_attention] = {"", ".lse"},
                                                          [OP_xent] = {"", ".lse"},
                                                          [OP_head_loss] = {"", ".lse", ".chunk"},
                                                          [OP_softmax] = {"", ".lse"}};
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
    op.layer = b->layer;
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
    op.attr.eps = b->config->model.norm_eps;
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

/* An op of one input and one output. */
static int emit_unary(struct builder *b, enum op_kind kind, const char *name, int x, int *y) {
    struct op op = builder_op(b, kind);
    op.in[0] = x;
    TRY(emit_op(b, &op, name, 1));
    *y = op.out[0];
    return 0;
}

int emit_rmsnorm(struct builder *b, const char *name, int x, int w, int *y) {
    struct op op = builder_op(b, OP_rmsnorm);
    op.in[0] = x;
    op.in[1] = w;
    op.attr.eps = b->config->model.norm_eps;
    TRY(emit_op(b, &op, name, 3));
    *y = op.out[0];
    return 0;
}

int emit_gelu(struct builder *b, const char *name, int x, int *y) { return emit_unary(b, OP_gelu, name, x, y); }

int emit_swiglu(struct builder *b, const char *name, int x, int *y) { return emit_unary(b, OP_swiglu, name, x, y); }

int emit_softcap(struct builder *b, const char *name, int x, double cap, int *y) {
    struct op op = builder_op(b, OP_softcap);
    op.in[0] = x;
    op.attr.cap = cap;
    TRY(emit_op(b, &op, name, 1));
    *y = op.out[0];
    return 0;
}

/* An op on qkv, with the heads filled in. */
static struct op qkv_op(const struct builder *b, enum op_kind kind, int qkv) {
    struct op op = builder_op(b, kind);
    op.in[0] = qkv;
    op.attr.heads = b->config->model.heads;
    op.attr.kv_heads = b->config->model.kv_heads;
    return op;
}

int emit_qk_norm(struct builder *b, const char *name, int qkv, int wq, int wk, int *y) {
    struct op op = qkv_op(b, OP_qk_norm, qkv);
    op.in[1] = wq;
    op.in[2] = wk;
    op.attr.eps = b->config->model.norm_eps;
    TRY(emit_op(b, &op, name, 3));
    *y = op.out[0];
    return 0;
}

/* Fills in what rope and its table have in common. */
static void set_rope(const struct builder *b, struct op *op) {
    const struct config_model *model = &b->config->model;
    op->attr.turning = config_rope_size(model);
    op->attr.theta = model->rope_theta;
    op->attr.pairs = model->rope_layout == ROPE_PAIRS;
}

int emit_rope_table(struct builder *b) {
    if (b->rope_table != NONE) return 0;
    struct op op = builder_op(b, OP_rope_table);
    struct buf table = {.kind = BUF_ACT, .type = dtype_of_sums(b->type), .rank = 2, .alias = NONE};
    set_rope(b, &op);
    op.layer = NONE; /* of all blocks */
    table.dim[0] = b->time;
    table.dim[1] = op.attr.turning;
    snprintf(table.name, sizeof table.name, "rope.table");
    TRY(plan_add_buf(b->plan, &table, &op.out[0]));
    b->rope_table = op.out[0];
    return emit_op(b, &op, "", 0);
}

int emit_rope(struct builder *b, const char *name, int qkv, int *y) {
    TRY(emit_rope_table(b));
    struct op op = qkv_op(b, OP_rope, qkv);
    set_rope(b, &op);
    op.in[1] = b->rope_table;
    op.in[2] = b->segment == SEG_PREFILL || b->segment == SEG_DECODE ? NONE : b->plan->starts;
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

static double attention_scale(const struct builder *b, const struct op *op) {
    double heads = (double)(op->attr.heads + 2 * op->attr.kv_heads);
    return 1.0 / __builtin_sqrt((double)b->plan->bufs[op->in[0]].dim[1] / heads);
}

static int emit_cached_attention(struct builder *b, const char *name, int qkv, int layer, int *o) {
    struct op op = qkv_op(b, OP_attention_cached, qkv);
    op.attr.scale = attention_scale(b, &op);
    TRY(cache_of_layer(b, "k_cache", b->k_cache, layer, &op.out[1]));
    TRY(cache_of_layer(b, "v_cache", b->v_cache, layer, &op.out[2]));
    TRY(emit_op(b, &op, name, 1));
    *o = op.out[0];
    return 0;
}

/* Scores, softmax, dropout and mix as ops of their own. */
static int emit_naive_attention(struct builder *b, const char *name, int qkv, double rate, int *o) {
    char part[NAME_SIZE];
    int weights;
    struct op scores = qkv_op(b, OP_attention_scores, qkv);
    scores.attr.scale = attention_scale(b, &scores);
    snprintf(part, sizeof part, "%.30s.scores", name);
    TRY(emit_op(b, &scores, part, 1));
    struct op softmax = qkv_op(b, OP_attention_softmax, scores.out[0]);
    softmax.in[1] = b->plan->starts;
    snprintf(part, sizeof part, "%.30s.weights", name);
    TRY(emit_op(b, &softmax, part, 1));
    snprintf(part, sizeof part, "%.30s.dropped", name);
    TRY(emit_dropout(b, part, softmax.out[0], rate, &weights));
    struct op mix = qkv_op(b, OP_attention_mix, weights);
    mix.in[1] = qkv;
    TRY(emit_op(b, &mix, name, 1));
    *o = mix.out[0];
    return 0;
}

int emit_attention(struct builder *b, const char *name, int qkv, int layer, double rate, int *o) {
    if (b->segment == SEG_PREFILL || b->segment == SEG_DECODE) return emit_cached_attention(b, name, qkv, layer, o);
    if (b->config->model.attention == ATTENTION_NAIVE) return emit_naive_attention(b, name, qkv, rate, o);
    struct op op = qkv_op(b, OP_attention, qkv);
    op.in[1] = b->plan->starts;
    op.attr.scale = attention_scale(b, &op);
    op.attr.by_library = b->config->model.attention_impl == ATTENTION_IMPL_CUDNN;
    if (builder_training(b) && rate > 0) {
        op.attr.rate = rate;
        op.attr.site = b->site++;
    }
    TRY(emit_op(b, &op, name, 3));
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

int emit_take_row(struct builder *b, const char *name, int x, int *y) { return emit_unary(b, OP_take_row, name, x, y); }

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

/* Appends an op whose first output is the loss, and what follows a loss. */
static int emit_loss(struct builder *b, struct op *op, unsigned create) {
    int training = builder_training(b);
    TRY(emit_op(b, op, training ? "loss" : "eval.loss", create));
    if (training) return emit_training_loss(b, op->out[0]);
    b->plan->eval_loss = op->out[0];
    b->plan->bufs[op->out[0]].kind = BUF_RESULT;
    return 0;
}

/* Cross-entropy as plain ops do it, in evaluation too. */
static int emit_loss_parts(struct builder *b, int logits) {
    struct op softmax = builder_op(b, OP_softmax), nll = builder_op(b, OP_nll);
    softmax.attr.vocab = nll.attr.vocab = b->config->model.vocab;
    softmax.in[0] = logits;
    TRY(emit_op(b, &softmax, builder_training(b) ? "probs" : "eval.probs", 3));
    nll.in[0] = logits;
    nll.in[1] = b->plan->targets;
    nll.in[2] = softmax.out[1];
    nll.in[3] = softmax.out[0];
    return emit_loss(b, &nll, 1);
}

int emit_head(struct builder *b, int logits) {
    struct plan *plan = b->plan;
    builder_block(b, NONE);
    if (b->segment == SEG_PREFILL || b->segment == SEG_DECODE) {
        plan->logits[b->segment] = logits;
        plan->bufs[logits].kind = BUF_RESULT;
        return 0;
    }
    if (plan->request.keep_logits) {
        plan->logits[b->segment] = logits;
        plan->bufs[logits].kind = BUF_RESULT;
    }
    if (!plan_fuses(b->config, b->config->fuse.loss)) return emit_loss_parts(b, logits);
    struct op op = builder_op(b, OP_xent);
    op.in[0] = logits;
    op.in[1] = plan->targets;
    op.attr.vocab = b->config->model.vocab;
    return emit_loss(b, &op, 3);
}

int emit_head_loss(struct builder *b, int x, int w, double cap) {
    enum { PARTS = 8, FEWEST_ROWS = 256, STEP = 64 };
    builder_block(b, NONE);
    struct op op = builder_op(b, OP_head_loss);
    int64_t part = (b->plan->bufs[x].dim[0] / PARTS + STEP - 1) / STEP * STEP;
    op.in[0] = x;
    op.in[1] = w;
    op.in[2] = b->plan->targets;
    op.attr.vocab = b->config->model.vocab;
    op.attr.cap = cap;
    op.attr.chunk_rows = part > FEWEST_ROWS ? part : FEWEST_ROWS;
    return emit_loss(b, &op, 7);
}
