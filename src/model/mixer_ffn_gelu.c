/* The feed-forward layer of GPT-2: two linear layers with GELU between them. */
#include "model/model.h"

#include "base/check.h"

static int check(const struct config *config, int layer) {
    if (config->model.hidden < 1) return fail(STATUS_USAGE, "model.hidden must be positive (layer %d)", layer);
    return 0;
}

static int build(struct builder *b, int layer, int x, int *y) {
    (void)layer;
    int up, act;
    TRY(model_linear(b, "ffn.up", x, b->config->model.hidden, INIT_STD, &up));
    TRY(emit_gelu(b, "ffn.act", up, &act));
    return model_linear(b, "ffn.down", act, b->config->model.width, model_residual_std(b->config), y);
}

const struct mixer mixer_ffn_gelu = {"gelu", check, build};
