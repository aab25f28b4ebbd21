/* The model description: emits the forward ops of a decoder-only transformer. Token mixers and channel mixers are rows of
 * mixers[] (model.c), one file each. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "plan/emit.h"

/* A token mixer (attention …) or channel mixer (feed-forward …): maps x[N,C], already normed, to y[N,C]. */
struct mixer {
    const char *name;
    int (*check)(const struct config *config, int layer);      /* what the config must satisfy; STATUS_USAGE */
    int (*build)(struct builder *b, int layer, int x, int *y); /* emits under the builder's scope, "hN." */
};

extern const struct mixer mixer_attention, mixer_ffn_gelu, mixer_ffn_swiglu;

/* Emits the forward of the segment that the builder is at; passes as `forward` to plan_build(). */
int model_forward(struct builder *b);

/* The standard deviation of weights that write into the residual stream: 0.02 / sqrt(2 * layers) (GPT-2, Radford et al. 2019,
 * section 2.3). Others use INIT_STD. */
#define INIT_STD 0.02
double model_residual_std(const struct config *config);

/* A linear layer with its parameters NAME.w[out,in] and, with model.bias, NAME.b[out]. */
int model_linear(struct builder *b, const char *name, int x, int64_t out, double init_std, int *y);

/* Gives parameter `param` of the plan its initial values: a function of (seed, parameter, element) alone. `values` has
 * param->elems elements of `type` (DTYPE_F32 or DTYPE_F64). */
void model_init(const struct param *param, int index, uint32_t seed, enum dtype type, void *values);

#endif
