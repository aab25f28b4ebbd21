#include "op_table.h"

#include "model/model.h"

/* ---- ops, as a row's `op` ---- */

static int dropout(const struct op_case *row, struct builder *b, int x, int *y) {
    return emit_dropout(b, "y", x, row->rate, y);
}

static int gelu(const struct op_case *row, struct builder *b, int x, int *y) {
    (void)row;
    return emit_gelu(b, "y", x, y);
}

static int layernorm(const struct op_case *row, struct builder *b, int x, int *y) {
    int w, bias = NONE;
    TRY(builder_param(b, "w", row->width, 0, 0, 0, &w));
    if (row->bias) TRY(builder_param(b, "b", row->width, 0, 0, 0, &bias));
    return emit_layernorm(b, "y", x, w, bias, y);
}

static int linear(const struct op_case *row, struct builder *b, int x, int *y) {
    int w, bias = NONE;
    TRY(builder_param(b, "w", row->out, row->width, 0, 0, &w));
    if (row->bias) TRY(builder_param(b, "b", row->out, 0, 0, 0, &bias));
    return emit_linear(b, "y", x, w, bias, y);
}

static int attention(const struct op_case *row, struct builder *b, int x, int *y) {
    return emit_attention(b, "y", x, 0, row->rate, y);
}

static int rmsnorm(const struct op_case *row, struct builder *b, int x, int *y) {
    int w;
    TRY(builder_param(b, "w", row->width, 0, 0, 0, &w));
    return emit_rmsnorm(b, "y", x, w, y);
}

static int swiglu(const struct op_case *row, struct builder *b, int x, int *y) {
    (void)row;
    return emit_swiglu(b, "y", x, y);
}

static int softcap(const struct op_case *row, struct builder *b, int x, int *y) {
    (void)row;
    return emit_softcap(b, "y", x, 1.5, y);
}

static int qk_norm(const struct op_case *row, struct builder *b, int x, int *y) {
    int wq, wk;
    int64_t heads = row->heads + 2 * (row->kv_heads ? row->kv_heads : row->heads);
    TRY(builder_param(b, "wq", row->width / heads, 0, 0, 0, &wq));
    TRY(builder_param(b, "wk", row->width / heads, 0, 0, 0, &wk));
    return emit_qk_norm(b, "y", x, wq, wk, y);
}

static int rope(const struct op_case *row, struct builder *b, int x, int *y) {
    (void)row;
    return emit_rope(b, "y", x, y);
}

/* A feed-forward layer: two products with GELU between them. */
static int ffn(const struct op_case *row, struct builder *b, int x, int *y) {
    int w1, w2, bias = NONE, up, act;
    TRY(builder_param(b, "w1", row->hidden, row->width, 0, 0, &w1));
    TRY(builder_param(b, "w2", row->out, row->hidden, 0, 0, &w2));
    if (row->bias) TRY(builder_param(b, "b", row->hidden, 0, 0, 0, &bias));
    TRY(emit_linear(b, "up", x, w1, bias, &up));
    TRY(emit_gelu(b, "act", up, &act));
    return emit_linear(b, "y", act, w2, NONE, y);
}

static int gated_ffn(const struct op_case *row, struct builder *b, int x, int *y) {
    int w1, w2, bias = NONE, up, act;
    TRY(builder_param(b, "w1", 2 * row->hidden, row->width, 0, 0, &w1));
    TRY(builder_param(b, "w2", row->out, row->hidden, 0, 0, &w2));
    if (row->bias) TRY(builder_param(b, "b", 2 * row->hidden, 0, 0, 0, &bias));
    TRY(emit_linear(b, "up", x, w1, bias, &up));
    TRY(emit_swiglu(b, "act", up, &act));
    return emit_linear(b, "y", act, w2, NONE, y);
}

static int turned_qkv(const struct op_case *row, struct builder *b, int x, int *y) {
    int w, bias = NONE, qkv;
    TRY(builder_param(b, "w", row->out, row->width, 0, 0, &w));
    if (row->bias) TRY(builder_param(b, "b", row->out, 0, 0, 0, &bias));
    TRY(emit_rope_table(b));
    TRY(emit_linear(b, "qkv", x, w, bias, &qkv));
    return emit_rope(b, "y", qkv, y);
}

static int add_to_itself(const struct op_case *row, struct builder *b, int x, int *y) {
    (void)row;
    return emit_add(b, "y", x, x, y);
}

/* ---- the company of an op, as a row's `emit` ---- */

static int input(const struct op_case *row, struct builder *b, int *x) {
    return case_input(b, "x", row->batch * row->time, row->width, x);
}

static int alone(const struct op_case *row, struct builder *b, int *y) {
    int x;
    TRY(input(row, b, &x));
    return row->op(row, b, x, y);
}

/* Between two other ops: its operands and gradients are values that die, whose memory is poisoned or taken over. */
static int inside(const struct op_case *row, struct builder *b, int *y) {
    int x;
    TRY(input(row, b, &x));
    TRY(emit_gelu(b, "before", x, &x));
    TRY(row->op(row, b, x, y));
    return emit_gelu(b, "after", *y, y);
}

/* The op has to share x with another one, and comes before or after it. */
static int beside(const struct op_case *row, struct builder *b, int op_first, int x, int *y) {
    int w, mine = NONE, other;
    if (op_first) TRY(row->op(row, b, x, &mine));
    TRY(builder_param(b, "other.w", row->out, row->width, 0, 0, &w));
    TRY(emit_linear(b, "other", x, w, NONE, &other));
    if (!op_first) TRY(row->op(row, b, x, &mine));
    return emit_add(b, "sum", mine, other, y);
}

/* Here an earlier contribution to the gradient of x dies, so that the next one may take its place. */
static int shared(const struct op_case *row, struct builder *b, int op_first, int *y) {
    int x;
    TRY(input(row, b, &x));
    TRY(emit_gelu(b, "before", x, &x));
    return beside(row, b, op_first, x, y);
}

static int shared_first(const struct op_case *row, struct builder *b, int *y) { return shared(row, b, 1, y); }
static int shared_second(const struct op_case *row, struct builder *b, int *y) { return shared(row, b, 0, y); }

/* Here it does not, since gradients of inputs are results. */
static int shared_input(const struct op_case *row, struct builder *b, int *y) {
    int x;
    TRY(input(row, b, &x));
    return beside(row, b, 1, x, y);
}

/* The same parameters twice: their second gradient is added to the first. */
static int twice(const struct op_case *row, struct builder *b, int *y) {
    int x;
    TRY(input(row, b, &x));
    TRY(row->op(row, b, x, &x));
    return row->op(row, b, x, y);
}

/* ---- other cases ---- */

static int embed(const struct op_case *row, struct builder *b, int *y) {
    int wte, wpe = NONE;
    TRY(builder_param(b, "wte", row->vocab, row->width, 0, 0, &wte));
    if (row->positions) TRY(builder_param(b, "wpe", row->positions, row->width, 0, 0, &wpe));
    return emit_embed(b, "y", wte, wpe, y);
}

/* Both embeddings have the same tables, and the token table is a weight too. */
static int embed_tied(const struct op_case *row, struct builder *b, int *y) {
    int wte, wpe, x, z;
    TRY(builder_param(b, "wte", row->vocab, row->width, 0, 0, &wte));
    TRY(builder_param(b, "wpe", row->positions, row->width, 0, 0, &wpe));
    TRY(emit_embed(b, "x", wte, wpe, &x));
    TRY(emit_embed(b, "z", wte, wpe, &z));
    TRY(emit_gelu(b, "act", z, &z));
    TRY(emit_add(b, "sum", x, z, &x));
    return emit_linear(b, "logits", x, wte, NONE, y);
}

static int add_two(const struct op_case *row, struct builder *b, int *y) {
    int x, z;
    TRY(input(row, b, &x));
    TRY(case_input(b, "z", row->batch * row->time, row->width, &z));
    return emit_add(b, "y", x, z, y);
}

/* A sum and its norm in one op, whose outputs are all read. */
static int add_norm(const struct op_case *row, struct builder *b, int *y) {
    struct op op = builder_op(b, row->modern ? OP_add_rmsnorm : OP_add_layernorm);
    *y = NONE;
    TRY(input(row, b, &op.in[0]));
    TRY(case_input(b, "z", row->batch * row->time, row->width, &op.in[1]));
    TRY(builder_param(b, "w", row->width, 0, 0, 0, &op.in[2]));
    if (row->bias) TRY(builder_param(b, "b", row->width, 0, 0, 0, &op.in[3]));
    op.attr.eps = 1e-5;
    TRY(emit_op(b, &op, "sum", row->modern ? 7 : 15));
    for (int k = 0; k < (row->modern ? 3 : 4); k++) case_result(b, op.out[k]);
    return 0;
}

static int cross_entropy(const struct op_case *row, struct builder *b, int *y) {
    struct op op = builder_op(b, OP_xent);
    TRY(case_input(b, "logits", row->batch * row->time, row->vocab + row->padding, &op.in[0]));
    op.in[1] = b->plan->targets;
    op.attr.vocab = row->vocab;
    TRY(emit_op(b, &op, "loss", 3));
    *y = op.out[0];
    return 0;
}

/* The last matrix and the loss in chunks of rows, capped where the row has a `clip`. */
static int head_loss(const struct op_case *row, struct builder *b, int *y) {
    struct op op = builder_op(b, OP_head_loss);
    TRY(input(row, b, &op.in[0]));
    TRY(builder_param(b, "w", row->vocab + row->padding, row->width, 0, 0, &op.in[1]));
    op.in[2] = b->plan->targets;
    op.attr.vocab = row->vocab;
    op.attr.cap = row->clip;
    op.attr.chunk_rows = row->out;
    TRY(emit_op(b, &op, "loss", 7));
    *y = op.out[0];
    return 0;
}

/* Cross-entropy, clamp and record. */
static int head(const struct op_case *row, struct builder *b, int *y) {
    int logits;
    TRY(case_input(b, "logits", row->batch * row->time, row->vocab + row->padding, &logits));
    TRY(emit_head(b, logits));
    *y = plan_find(b->plan, "loss.clamped");
    return 0;
}

/* The whole of a model: embeddings, blocks with dropout everywhere, the tied head and the loss. */
static int model(const struct op_case *row, struct builder *b, int *y) {
    struct config config = *b->config;
    const struct config *before = b->config;
    config.model.layers = 2;
    config.model.width = row->width;
    config.model.heads = row->heads;
    config.model.hidden = row->hidden;
    config.model.vocab = row->vocab;
    config.model.context = row->positions;
    config.model.tie = 1;
    config.model.bias = row->bias;
    if (row->modern) {
        config.model.norm = NORM_RMSNORM;
        config.model.position = POSITION_ROPE;
        config.model.ffn = FFN_SWIGLU;
        config.model.qk_norm = 1;
        config.model.logit_softcap = 2;
        config.model.vocab_multiple = 8;
        config.model.tie = 0;
    }
    config.model.dropout.attention = config.model.dropout.residual = config.model.dropout.embedding = row->rate;
    b->config = &config;
    int status = model_forward(b);
    b->config = before;
    *y = plan_find(b->plan, "loss.clamped");
    return status;
}

static int take_row(const struct op_case *row, struct builder *b, int *y) {
    int x, taken;
    *y = NONE;
    TRY(input(row, b, &x));
    TRY(emit_take_row(b, "taken", x, &taken));
    case_result(b, taken);
    return 0;
}

static int loss_seed(const struct op_case *row, struct builder *b, int *y) {
    (void)row;
    struct op op = builder_op(b, OP_loss_seed);
    *y = NONE;
    TRY(emit_op(b, &op, "dloss", 1));
    case_result(b, op.out[0]);
    return 0;
}

/* Shapes of three kinds: small ones for differences, odd ones that leave rests in every loop, and those of models, large
 * enough that kernels wake their threads. Columns: name, emit, op, checks, batch, time, width, and what the case needs. */
const struct op_case op_table[] = {
    {"embed", embed, NULL, ALL, 2, 3, 5, .vocab = 4},
    {"embed, positions", embed, NULL, ALL, 2, 3, 5, .vocab = 4, .positions = 7},
    {"embed, documents", embed, NULL, ALL, 2, 7, 5, .vocab = 4, .positions = 7, .documents = 1},
    {"embed, odd, documents", embed, NULL, PRECISION | THREADS, 3, 67, 131, .vocab = 97, .positions = 71,
     .documents = 1},
    {"embed, tied, documents", embed_tied, NULL, ALL, 2, 7, 5, .vocab = 4, .positions = 7, .documents = 1},
    {"embed, tied", embed_tied, NULL, ALL, 2, 3, 5, .vocab = 4, .positions = 3},
    {"embed, odd", embed, NULL, PRECISION | THREADS, 3, 67, 131, .vocab = 97, .positions = 71},
    {"embed, many keys", embed, NULL, PRECISION | THREADS, 1, 67, 131, .vocab = 8700},
    {"embed, large", embed_tied, NULL, PRECISION | THREADS, 3, 64, 128, .vocab = 256, .positions = 64},
    {"dropout", alone, dropout, ALL, 2, 3, 5, .rate = 0.4, .step = {.step = 7, .slot = 2}},
    {"dropout, inside", inside, dropout, ALL, 2, 3, 5, .rate = 0.4, .step = {.step = 8, .slot = 1, .micro = 1}},
    {"dropout, shared first", shared_first, dropout, ALL, 2, 3, 5, .out = 5, .rate = 0.4},
    {"dropout, shared second", shared_second, dropout, ALL, 2, 3, 5, .out = 5, .rate = 0.4},
    {"dropout, odd", alone, dropout, PRECISION | THREADS, 3, 67, 131, .rate = 0.1, .step = {.step = 7}},
    {"layernorm", alone, layernorm, ALL, 2, 3, 5, .bias = 1},
    {"layernorm, no bias", alone, layernorm, ALL, 2, 3, 5, .bias = 0},
    {"layernorm, inside", inside, layernorm, ALL, 2, 3, 5, .bias = 1},
    {"layernorm, shared first", shared_first, layernorm, ALL, 2, 3, 5, .out = 5, .bias = 1},
    {"layernorm, shared input", shared_input, layernorm, ALL, 2, 3, 5, .out = 5, .bias = 1},
    {"layernorm, shared second", shared_second, layernorm, ALL, 2, 3, 5, .out = 5, .bias = 1},
    {"layernorm, twice", twice, layernorm, ALL, 2, 3, 5, .bias = 1},
    {"layernorm, odd", twice, layernorm, PRECISION | THREADS, 3, 67, 131, .bias = 1},
    {"layernorm, wide", alone, layernorm, PRECISION | THREADS, 1, 11, 2501, .bias = 0},
    {"layernorm, large", inside, layernorm, PRECISION | THREADS, 3, 64, 128, .bias = 1},
    {"linear", alone, linear, ALL, 2, 3, 5, .out = 4, .bias = 1},
    {"linear, no bias", alone, linear, ALL, 2, 3, 5, .out = 4},
    {"linear, one row", alone, linear, ALL, 1, 1, 5, .out = 4, .bias = 1},
    {"linear, inside", inside, linear, ALL, 2, 3, 5, .out = 4, .bias = 1},
    {"linear, shared first", shared_first, linear, ALL, 2, 3, 5, .out = 4, .bias = 1},
    {"linear, shared input", shared_input, linear, ALL, 2, 3, 5, .out = 4, .bias = 1},
    {"linear, shared second", shared_second, linear, ALL, 2, 3, 5, .out = 4, .bias = 1},
    {"linear, twice", twice, linear, ALL, 2, 3, 5, .out = 5, .bias = 1},
    {"linear, odd", shared_input, linear, PRECISION | THREADS, 3, 67, 131, .out = 157, .bias = 1},
    {"linear, odd row", alone, linear, PRECISION | THREADS, 1, 1, 1531, .out = 307, .bias = 1},
    {"linear, odd inner", alone, linear, PRECISION | THREADS, 3, 67, 1013, .out = 517, .bias = 1},
    {"linear, up", alone, linear, PRECISION | THREADS, 3, 64, 128, .out = 512, .bias = 1},
    {"linear, down", alone, linear, PRECISION | THREADS, 3, 64, 512, .out = 128, .bias = 1},
    {"linear, logits", alone, linear, PRECISION | THREADS, 3, 64, 128, .out = 256},
    {"linear, 64 x 768 x 3072", alone, linear, THREADS, 1, 64, 768, .out = 3072, .bias = 1},
    {"gelu", alone, gelu, ALL, 2, 3, 5, .range = 4},
    {"gelu, far", alone, gelu, ALL, 2, 3, 5, .range = 32},
    {"gelu, inside", inside, gelu, ALL, 2, 3, 5, .range = 2},
    {"gelu, shared first", shared_first, gelu, ALL, 2, 3, 5, .out = 5},
    {"gelu, shared second", shared_second, gelu, ALL, 2, 3, 5, .out = 5},
    {"gelu, odd", inside, gelu, PRECISION | THREADS, 3, 67, 131, .range = 8},
    {"gelu, large", alone, gelu, PRECISION | THREADS, 3, 64, 512, .range = 8},
    {"attention, time 1", alone, attention, ALL, 2, 1, 18, .heads = 3, .range = 2},
    {"attention, time 5", alone, attention, ALL, 2, 5, 18, .heads = 3, .range = 2},
    {"attention, time 70", alone, attention, ALL, 2, 70, 12, .heads = 2, .range = 2},
    {"attention, time 1, dropout", alone, attention, ALL, 2, 1, 18, .heads = 3, .rate = 0.4},
    {"attention, time 5, dropout", alone, attention, ALL, 2, 5, 18, .heads = 3, .rate = 0.4},
    {"attention, time 70, dropout", alone, attention, ALL, 2, 70, 12, .heads = 2, .rate = 0.2,
     .step = {.step = 3, .slot = 1}},
    {"attention, documents", alone, attention, ALL, 2, 7, 18, .heads = 3, .range = 2, .documents = 1},
    {"attention, time 70, documents", alone, attention, ALL, 2, 70, 12, .heads = 2, .range = 2, .documents = 1},
    {"attention, documents, dropout", alone, attention, ALL, 2, 7, 18, .heads = 3, .rate = 0.4, .documents = 1},
    {"attention, odd, documents", alone, attention, PRECISION | THREADS, 3, 133, 3 * 5 * 7, .heads = 5, .rate = 0.1,
     .range = 2, .documents = 1},
    {"attention, blocks of keys", alone, attention, PRECISION | THREADS, 1, 1025, 4 * 8, .heads = 2, .kv_heads = 1,
     .rate = 0.2, .range = 2},
    {"attention, blocks of keys, documents", alone, attention, PRECISION | THREADS, 1, 577, 3 * 9, .heads = 1,
     .range = 2, .documents = 1},
    {"attention, blocks of keys, differences", alone, attention, GRADIENT, 1, 515, 6, .heads = 1, .range = 2},
    {"attention, inside", inside, attention, ALL, 2, 5, 18, .heads = 3, .range = 2},
    {"attention, shared first", shared_first, attention, ALL, 2, 5, 12, .heads = 2, .out = 4},
    {"attention, shared second", shared_second, attention, ALL, 2, 5, 12, .heads = 2, .out = 4},
    {"attention, odd", alone, attention, PRECISION | THREADS, 3, 133, 3 * 5 * 7, .heads = 5, .rate = 0.1, .range = 2},
    {"attention, large", alone, attention, PRECISION | THREADS, 3, 64, 3 * 128, .heads = 4},
    {"attention, heads of 64", alone, attention, PRECISION | THREADS, 1, 130, 4 * 64, .heads = 2, .kv_heads = 1,
     .range = 2},
    {"attention, heads of 64, dropout", alone, attention, PRECISION | THREADS, 2, 70, 3 * 64, .heads = 1, .rate = 0.1,
     .range = 2},
    {"attention, heads of 80, documents", alone, attention, PRECISION | THREADS, 2, 70, 3 * 80, .heads = 1, .range = 2,
     .documents = 1},
    {"attention, heads of 128", alone, attention, PRECISION | THREADS, 1, 67, 5 * 128, .heads = 3, .kv_heads = 1,
     .rate = 0.1, .range = 2},
    {"attention, grouped", alone, attention, ALL, 2, 5, 24, .heads = 4, .kv_heads = 2, .range = 2},
    {"attention, one head of keys", alone, attention, ALL, 2, 7, 30, .heads = 3, .kv_heads = 1, .rate = 0.3},
    {"attention, time 70, grouped", alone, attention, ALL, 1, 70, 16, .heads = 4, .kv_heads = 2, .range = 2},
    {"attention, odd, grouped", alone, attention, PRECISION | THREADS, 3, 133, 7 * 12, .heads = 6, .kv_heads = 3,
     .rate = 0.1, .range = 2},
    {"attention, grouped, three ways", emit_attention_ways, NULL, PRECISION | THREADS, 3, 70, 42, .heads = 6,
     .kv_heads = 2, .positions = 90, .hidden = 67, .step = {.position = 15}},
    {"naive attention", alone, attention, ALL, 2, 5, 18, .heads = 3, .range = 2, .naive = 1},
    {"naive attention, documents", alone, attention, ALL, 2, 7, 24, .heads = 4, .kv_heads = 2, .naive = 1,
     .documents = 1},
    {"naive attention, dropout", alone, attention, ALL, 2, 6, 30, .heads = 3, .kv_heads = 1, .rate = 0.3, .naive = 1},
    {"naive attention, inside", inside, attention, ALL, 2, 5, 18, .heads = 3, .naive = 1},
    {"naive attention, shared first", shared_first, attention, ALL, 2, 5, 12, .heads = 2, .out = 4, .naive = 1},
    {"naive attention, shared second", shared_second, attention, ALL, 2, 5, 12, .heads = 2, .out = 4, .naive = 1},
    {"naive attention, odd", alone, attention, PRECISION | THREADS, 3, 133, 7 * 12, .heads = 6, .kv_heads = 3,
     .rate = 0.1, .range = 2, .naive = 1},
    {"rmsnorm", alone, rmsnorm, ALL, 2, 3, 5, .range = 2},
    {"rmsnorm, inside", inside, rmsnorm, ALL, 2, 3, 5, .range = 2},
    {"rmsnorm, shared first", shared_first, rmsnorm, ALL, 2, 3, 5, .out = 5},
    {"rmsnorm, shared input", shared_input, rmsnorm, ALL, 2, 3, 5, .out = 5},
    {"rmsnorm, shared second", shared_second, rmsnorm, ALL, 2, 3, 5, .out = 5},
    {"rmsnorm, twice", twice, rmsnorm, ALL, 2, 3, 5, .range = 2},
    {"rmsnorm, odd", twice, rmsnorm, PRECISION | THREADS, 3, 67, 131, .range = 2},
    {"rmsnorm, wide", alone, rmsnorm, PRECISION | THREADS, 1, 11, 2501, .range = 2},
    {"qk_norm", alone, qk_norm, ALL, 2, 3, 24, .heads = 4, .kv_heads = 2},
    {"qk_norm, inside", inside, qk_norm, ALL, 2, 3, 18, .heads = 3},
    {"qk_norm, twice", twice, qk_norm, ALL, 2, 3, 24, .heads = 4, .kv_heads = 2},
    {"qk_norm, shared second", shared_second, qk_norm, ALL, 2, 3, 24, .heads = 4, .kv_heads = 2, .out = 24},
    {"qk_norm, odd", twice, qk_norm, PRECISION | THREADS, 3, 67, 7 * 12, .heads = 6, .kv_heads = 3},
    {"rope", alone, rope, ALL, 2, 5, 32, .heads = 4, .kv_heads = 2, .turning = 4},
    {"rope, pairs, some channels", alone, rope, ALL, 2, 5, 36, .heads = 3, .kv_heads = 3, .turning = 2, .pairs = 1},
    {"rope, inside", inside, rope, ALL, 2, 5, 32, .heads = 4, .kv_heads = 2, .turning = 2},
    {"rope, twice", twice, rope, ALL, 2, 5, 32, .heads = 4, .kv_heads = 2, .turning = 4},
    {"rope, documents", alone, rope, ALL, 2, 7, 32, .heads = 4, .kv_heads = 2, .turning = 4, .documents = 1},
    {"rope, odd", twice, rope, PRECISION | THREADS, 3, 67, 22 * 12, .heads = 6, .kv_heads = 3, .turning = 22},
    {"rope, pairs, odd", twice, rope, PRECISION | THREADS, 3, 67, 22 * 12, .heads = 6, .kv_heads = 3, .turning = 14,
     .pairs = 1, .step = {.position = 5}},
    {"swiglu", alone, swiglu, ALL, 2, 3, 10, .range = 4},
    {"swiglu, far", alone, swiglu, ALL, 2, 3, 10, .range = 64},
    {"swiglu, inside", inside, swiglu, ALL, 2, 3, 10, .range = 2},
    {"swiglu, odd", alone, swiglu, PRECISION | THREADS, 3, 67, 2 * 131, .range = 8},
    {"softcap", alone, softcap, ALL, 2, 3, 5, .range = 4},
    {"softcap, inside", inside, softcap, ALL, 2, 3, 5, .range = 2},
    {"softcap, odd", alone, softcap, PRECISION | THREADS, 3, 67, 131, .range = 8},
    {"attention in three ways", emit_attention_ways, NULL, PRECISION | THREADS, 3, 70, 35, .heads = 5, .positions = 90,
     .hidden = 67, .step = {.position = 15}},
    {"add x + x", alone, add_to_itself, ALL, 2, 3, 5, .range = 2},
    {"add x + x, inside", inside, add_to_itself, ALL, 2, 3, 5, .range = 2},
    {"add x + y", add_two, NULL, ALL, 2, 3, 5, .range = 2},
    {"add, odd", add_two, NULL, PRECISION | THREADS, 3, 67, 131, .range = 2},
    {"take_row, odd", take_row, NULL, PRECISION | THREADS, 3, 67, 131, .step = {.row = 66}},
    {"loss_seed", loss_seed, NULL, PRECISION | THREADS, 2, 3, 5, .step = {.grad_scale = 0.125}},
    {"add_layernorm", add_norm, NULL, PRECISION | THREADS, 2, 3, 5, .bias = 1},
    {"add_layernorm, odd", add_norm, NULL, PRECISION | THREADS, 3, 67, 131, .range = 2},
    {"add_rmsnorm", add_norm, NULL, PRECISION | THREADS, 2, 3, 5, .modern = 1},
    {"add_rmsnorm, odd", add_norm, NULL, PRECISION | THREADS, 3, 67, 131, .modern = 1},
    {"xent", cross_entropy, NULL, ALL, 2, 3, 5, .vocab = 7, .range = 4},
    {"xent, padded", cross_entropy, NULL, ALL, 2, 3, 5, .vocab = 7, .padding = 4, .range = 4},
    {"xent, odd, padded", cross_entropy, NULL, PRECISION | THREADS, 3, 67, 131, .vocab = 1277, .padding = 3,
     .range = 4},
    {"xent, odd", cross_entropy, NULL, PRECISION | THREADS, 3, 67, 131, .vocab = 1277, .range = 4},
    {"xent, large", cross_entropy, NULL, PRECISION | THREADS, 3, 64, 128, .vocab = 256, .range = 4},
    {"head_loss", head_loss, NULL, ALL, 2, 3, 5, .vocab = 7, .out = 4, .range = 2},
    {"head_loss, capped", head_loss, NULL, ALL, 2, 3, 5, .vocab = 7, .padding = 2, .out = 2, .range = 1, .clip = 1.5},
    {"head_loss, one chunk", head_loss, NULL, ALL, 2, 3, 5, .vocab = 7, .out = 64, .range = 2},
    {"head_loss, odd", head_loss, NULL, PRECISION | THREADS, 3, 67, 131, .vocab = 277, .padding = 3, .out = 64,
     .range = 0.5, .clip = 30},
    {"clamp, inside", head, NULL, ALL, 2, 3, 5, .vocab = 7, .range = 4, .step = {.slot = 3}},
    {"clamp, above", head, NULL, ALL, 2, 3, 5, .vocab = 7, .low = 0.25, .high = 0.5},
    {"clamp, below", head, NULL, ALL, 2, 3, 5, .vocab = 7, .low = 30, .high = 40},
    {"loss in parts", head, NULL, ALL, 2, 3, 5, .vocab = 7, .range = 4, .parts = 1},
    {"loss in parts, padded", head, NULL, ALL, 2, 3, 5, .vocab = 7, .padding = 4, .range = 4, .parts = 1},
    {"loss in parts, odd, padded", head, NULL, PRECISION | THREADS, 3, 67, 131, .vocab = 1277, .padding = 3, .range = 4,
     .parts = 1},
    {"loss in parts, large", head, NULL, PRECISION | THREADS, 3, 64, 128, .vocab = 256, .range = 4, .parts = 1},
    {"model", model, NULL, ALL, 2, 3, 4, .heads = 2, .hidden = 6, .vocab = 5, .positions = 3, .bias = 1, .rate = 0.2},
    {"model, no bias", model, NULL, ALL, 2, 3, 4, .heads = 2, .hidden = 6, .vocab = 5, .positions = 4},
    {"model, odd", model, NULL, PRECISION | THREADS, 3, 67, 55, .heads = 5, .hidden = 131, .vocab = 97, .positions = 67,
     .bias = 1, .rate = 0.1, .range = 0.125},
    {"model, large", model, NULL, PRECISION | THREADS, 3, 64, 128, .heads = 4, .hidden = 512, .vocab = 256,
     .positions = 64, .bias = 1, .rate = 0.1, .range = 0.125},
    {"model, modern", model, NULL, ALL, 2, 3, 8, .heads = 2, .kv_heads = 1, .hidden = 6, .vocab = 5, .positions = 3,
     .rate = 0.2, .modern = 1},
    {"model, modern, odd", model, NULL, PRECISION | THREADS, 3, 67, 60, .heads = 6, .kv_heads = 3, .hidden = 131,
     .vocab = 97, .positions = 67, .rate = 0.1, .range = 0.125, .modern = 1},
    {"ffn, fused", alone, ffn, ALL | PARTS, 2, 3, 5, .hidden = 7, .out = 4, .bias = 1, .range = 2, .fused = 1},
    {"ffn, fused, one row", alone, ffn, ALL | PARTS, 1, 1, 5, .hidden = 7, .out = 4, .bias = 1, .fused = 1},
    {"ffn, fused, inside", inside, ffn, ALL | PARTS, 2, 3, 5, .hidden = 7, .out = 4, .fused = 1},
    {"ffn, fused, twice", twice, ffn, GRADIENT | THREADS | PARTS, 2, 3, 5, .hidden = 7, .out = 5, .bias = 1,
     .fused = 1},
    {"ffn, fused, odd", alone, ffn, PRECISION | THREADS | PARTS, 3, 67, 131, .hidden = 517, .out = 67, .bias = 1,
     .range = 0.5, .fused = 1},
    {"ffn, fused, large", inside, ffn, PRECISION | THREADS | PARTS, 9, 67, 128, .hidden = 512, .out = 128, .bias = 1,
     .range = 0.5, .fused = 1},
    {"gated ffn, fused", alone, gated_ffn, ALL | PARTS, 2, 3, 5, .hidden = 7, .out = 4, .bias = 1, .range = 2,
     .fused = 1},
    {"gated ffn, fused, one row", alone, gated_ffn, ALL | PARTS, 1, 1, 5, .hidden = 7, .out = 4, .bias = 1, .fused = 1},
    {"gated ffn, fused, inside", inside, gated_ffn, ALL | PARTS, 2, 3, 5, .hidden = 7, .out = 4, .fused = 1},
    {"gated ffn, fused, twice", twice, gated_ffn, GRADIENT | THREADS | PARTS, 2, 3, 5, .hidden = 7, .out = 5, .bias = 1,
     .fused = 1},
    {"gated ffn, fused, odd", alone, gated_ffn, PRECISION | THREADS | PARTS, 3, 67, 131, .hidden = 517, .out = 67,
     .bias = 1, .range = 0.5, .fused = 1},
    {"gated ffn, fused, large", inside, gated_ffn, PRECISION | THREADS | PARTS, 9, 67, 128, .hidden = 352, .out = 128,
     .range = 0.5, .fused = 1},
    {"turned qkv, fused", alone, turned_qkv, ALL | PARTS, 2, 5, 9, .out = 32, .heads = 4, .kv_heads = 2, .turning = 4,
     .bias = 1, .fused = 1},
    {"turned qkv, fused, one row", alone, turned_qkv, ALL | PARTS, 1, 1, 9, .out = 32, .heads = 4, .kv_heads = 2,
     .turning = 4, .bias = 1, .fused = 1, .step = {.position = 5}},
    {"turned qkv, fused, documents", inside, turned_qkv, ALL | PARTS, 2, 7, 9, .out = 32, .heads = 4, .kv_heads = 2,
     .turning = 4, .documents = 1, .fused = 1},
    {"turned qkv, fused, heads of 22", alone, turned_qkv, PRECISION | THREADS | PARTS, 3, 67, 131, .out = 22 * 12,
     .heads = 6, .kv_heads = 3, .turning = 14, .pairs = 1, .bias = 1, .fused = 1},
    {"turned qkv, fused, heads of 64", alone, turned_qkv, PRECISION | THREADS | PARTS, 9, 67, 128, .out = 64 * 8,
     .heads = 4, .kv_heads = 2, .turning = 64, .fused = 1},
    {"turned qkv, fused, heads of 80", alone, turned_qkv, PRECISION | THREADS | PARTS, 3, 67, 128, .out = 80 * 10,
     .heads = 8, .kv_heads = 1, .turning = 20, .bias = 1, .fused = 1},
    {"turned qkv, fused, heads of 208", alone, turned_qkv, PRECISION | THREADS | PARTS, 3, 67, 64, .out = 208 * 3,
     .heads = 1, .kv_heads = 1, .turning = 208, .fused = 1},
    {"model, fused", model, NULL, ALL | PARTS, 2, 3, 4, .heads = 2, .hidden = 6, .vocab = 5, .positions = 3, .bias = 1,
     .fused = 1},
    {"model, fused, odd", model, NULL, PRECISION | THREADS | PARTS, 3, 67, 55, .heads = 5, .hidden = 131, .vocab = 97,
     .positions = 67, .bias = 1, .range = 0.125, .fused = 1},
    {"model, modern, fused, odd", model, NULL, PRECISION | THREADS | PARTS, 3, 67, 60, .heads = 6, .kv_heads = 3,
     .hidden = 131, .vocab = 97, .positions = 67, .rate = 0.1, .range = 0.125, .modern = 1, .fused = 1},
    {"model, modern, loss in parts", model, NULL, ALL, 2, 3, 8, .heads = 2, .kv_heads = 1, .hidden = 6, .vocab = 5,
     .positions = 3, .modern = 1, .parts = 1},
    {"reduce", emit_reduce, NULL, PRECISION | THREADS, 1, 1, 20123, .slots = 11, .ranks = 3, .rank = 1,
     .step = {.fold = 1, .held = 2}},
    {"update", emit_update, NULL, PRECISION | THREADS, 1, 1, 300, .out = 401, .hidden = 70001, .clip = 1,
     .step = {.lr = 0.01, .adam_step = 3}},
    {"update, tensor by tensor", emit_update, NULL, PRECISION | THREADS, 1, 1, 300, .out = 401, .hidden = 70001,
     .clip = 1, .step = {.lr = 0.01, .adam_step = 3}, .parts = 1},
};

const int op_table_count = sizeof op_table / sizeof *op_table;

int op_case_is_model(const struct op_case *row) { return row->emit == model; }
