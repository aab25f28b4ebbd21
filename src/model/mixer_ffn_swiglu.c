/* The gated feed-forward layer of Llama (Shazeer 2020): down(silu(gate(x)) * up(x)). Gate and up are one matrix, the gate's
 * rows first, so that they are one product. */
#include "model/model.h"

#include "base/check.h"

static int check(const struct config *config, int layer) {
    if (config->model.hidden < 1) return fail(STATUS_USAGE, "model.hidden must be positive (layer %d)", layer);
    return 0;
}

static int build(struct builder *b, int layer, int x, int *y) {
    (void)layer;
    int both, act;
    TRY(model_linear(b, "ffn.gate_up", x, 2 * b->config->model.hidden, INIT_STD, &both));
    TRY(emit_swiglu(b, "ffn.act", both, &act));
    return model_linear(b, "ffn.down", act, b->config->model.width, model_residual_std(b->config), y);
}

const struct mixer mixer_ffn_swiglu = {"swiglu", check, build};
