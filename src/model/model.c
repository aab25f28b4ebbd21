#include "model/model.h"

#include <math.h>

#include "base/check.h"

static const struct mixer *const token_mixers[] = {[MIXER_ATTENTION] = &mixer_attention};
static const struct mixer *const channel_mixers[] = {[FFN_GELU] = &mixer_ffn_gelu, [FFN_SWIGLU] = &mixer_ffn_swiglu};

double model_residual_std(const struct config *config) { return INIT_STD / sqrt(2.0 * (double)config->model.layers); }

static int norm(struct builder *b, const char *name, int x, int *y) {
    char part[NAME_SIZE];
    int w, bias = NONE;
    int64_t width = b->config->model.width;
    snprintf(part, sizeof part, "%s.w", name);
    TRY(builder_param(b, part, width, 0, 0, 1, &w));
    if (b->config->model.norm == NORM_RMSNORM) return emit_rmsnorm(b, name, x, w, y);
    snprintf(part, sizeof part, "%s.b", name);
    if (b->config->model.bias) TRY(builder_param(b, part, width, 0, 0, 0, &bias));
    return emit_layernorm(b, name, x, w, bias, y);
}

int model_linear(struct builder *b, const char *name, int x, int64_t out, double init_std, int *y) {
    char part[NAME_SIZE];
    int w, bias = NONE;
    snprintf(part, sizeof part, "%s.w", name);
    TRY(builder_param(b, part, out, b->plan->bufs[x].dim[1], init_std, 0, &w));
    snprintf(part, sizeof part, "%s.b", name);
    if (b->config->model.bias) TRY(builder_param(b, part, out, 0, 0, 0, &bias));
    return emit_linear(b, name, x, w, bias, y);
}

/* Pre-norm: x + dropout(mixer(norm(x))) (Xiong et al. 2020). Post-norm: norm(x + dropout(mixer(x))) (Vaswani et al. 2017). */
static int branch(struct builder *b, const struct mixer *mixer, const char *norm_name, const char *sum_name, int layer,
                  int x, int *y) {
    int mixed = x, post = b->config->model.norm_place == NORM_POST;
    TRY(mixer->check(b->config, layer));
    if (!post) TRY(norm(b, norm_name, x, &mixed));
    TRY(mixer->build(b, layer, mixed, &mixed));
    TRY(emit_dropout(b, "dropped", mixed, b->config->model.dropout.residual, &mixed));
    TRY(emit_add(b, sum_name, x, mixed, y));
    return post ? norm(b, norm_name, *y, y) : 0;
}

/* A table with a row for each token, and with rows that only fill it up. */
static int token_table(struct builder *b, const char *name, int *table) {
    const struct config_model *model = &b->config->model;
    TRY(builder_param(b, name, config_vocab_rows(model), model->width, INIT_STD, 0, table));
    builder_pad(b, *table, model->vocab);
    return 0;
}

/* Only the row whose next token is wanted goes through the head in generation. */
static int head(struct builder *b, int x, int wte) {
    const struct config_model *model = &b->config->model;
    int generate = b->segment == SEG_PREFILL || b->segment == SEG_DECODE, w = wte, logits;
    if (generate) TRY(emit_take_row(b, "last", x, &x));
    if (model->norm_place == NORM_PRE) TRY(norm(b, "ln_f", x, &x));
    if (!model->tie) TRY(token_table(b, "head.w", &w));
    int chunks = builder_training(b) || (!generate && !b->plan->request.keep_logits);
    if (b->config->fuse.head && chunks)
        return emit_head_loss(b, x, w, model->logit_softcap); /* nobody reads the logits */
    TRY(emit_linear(b, "logits", x, w, NONE, &logits));
    if (model->logit_softcap > 0) TRY(emit_softcap(b, "logits.capped", logits, model->logit_softcap, &logits));
    return emit_head(b, logits);
}

int model_forward(struct builder *b) {
    const struct config_model *model = &b->config->model;
    int x, wte, wpe = NONE;
    builder_block(b, NONE);
    TRY(token_table(b, "wte", &wte));
    if (model->position == POSITION_LEARNED)
        TRY(builder_param(b, "wpe", model->context, model->width, INIT_STD, 0, &wpe));
    TRY(emit_embed(b, "x", wte, wpe, &x));
    TRY(emit_dropout(b, "x.dropped", x, model->dropout.embedding, &x));
    for (int layer = 0; layer < model->layers; layer++) {
        builder_block(b, layer);
        TRY(branch(b, token_mixers[model->mixer], "ln1", "x1", layer, x, &x));
        TRY(branch(b, channel_mixers[model->ffn], "ln2", "x2", layer, x, &x));
    }
    builder_block(b, NONE);
    return head(b, x, wte);
}
