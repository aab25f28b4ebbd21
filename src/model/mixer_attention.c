/* Multi-head causal self-attention (Vaswani et al. 2017, section 3.2). */
#include "model/model.h"

#include "base/check.h"

static int check(const struct config *config, int layer) {
    const struct config_model *model = &config->model;
    if (model->width % model->heads)
        return fail(STATUS_USAGE, "model.heads: %lld does not divide model.width %lld (layer %d)",
                    (long long)model->heads, (long long)model->width, layer);
    return 0;
}

static int build(struct builder *b, int layer, int x, int *y) {
    const struct config_model *model = &b->config->model;
    int qkv, o;
    TRY(model_linear(b, "attn.qkv", x, 3 * model->width, INIT_STD, &qkv));
    TRY(emit_attention(b, "attn.o", qkv, layer, model->heads, model->dropout.attention, &o));
    return model_linear(b, "attn.proj", o, model->width, model_residual_std(b->config), y);
}

const struct mixer mixer_attention = {"attention", check, build};
