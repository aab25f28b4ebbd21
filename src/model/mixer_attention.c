/* Multi-head causal self-attention (Vaswani et al. 2017, section 3.2), with as many heads of keys and values as there are
 * heads, or fewer (Ainslie et al. 2023). */
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
    int64_t size = config_head_size(model);
    int qkv, o, wq, wk;
    if (model->position == POSITION_ROPE) TRY(emit_rope_table(b));
    TRY(model_linear(b, "attn.qkv", x, (model->heads + 2 * model->kv_heads) * size, INIT_STD, &qkv));
    if (model->qk_norm) {
        TRY(builder_param(b, "attn.q_norm.w", size, 0, 0, 1, &wq));
        TRY(builder_param(b, "attn.k_norm.w", size, 0, 0, 1, &wk));
        TRY(emit_qk_norm(b, "attn.normed", qkv, wq, wk, &qkv));
    }
    if (model->position == POSITION_ROPE) TRY(emit_rope(b, "attn.turned", qkv, &qkv));
    TRY(emit_attention(b, "attn.o", qkv, layer, model->dropout.attention, &o));
    return model_linear(b, "attn.proj", o, model->width, model_residual_std(b->config), y);
}

const struct mixer mixer_attention = {"attention", check, build};
