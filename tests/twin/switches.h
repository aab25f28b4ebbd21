/* The model with every architecture switch, in double precision: the oracle of the switches, as gpt.h is that of GPT-2.
 *
 * Only the forward is written, formula by formula, on the tape of tape.h; gradients come from the tape. It is slow (a
 * node of the tape for each addition) and meant for models of a few thousand parameters. Shares no code with src/.
 *
 * Shapes: V vocabulary, P context, C width, H heads, K heads of keys and values, D = C / H channels of a head, F hidden. */
#ifndef TWIN_SWITCHES_H
#define TWIN_SWITCHES_H

enum switches_rope {
    SWITCHES_LEARNED,     /* no RoPE: a table of positions, wpe */
    SWITCHES_ROPE_HALVES, /* RoPE, no table; channel i turns with channel i + R/2 (as GPT-NeoX) */
    SWITCHES_ROPE_PAIRS,  /* the same, but channel 2i turns with channel 2i + 1 (as the paper) */
};

struct switches_shape {
    int layers, width, heads, kv_heads, hidden, vocab, context; /* width = heads D; kv_heads divides heads */
    int tie;                                                    /* the head is wte; else it is head.w */
    int bias;                                                   /* biases in linear layers and layer norms */
    int rmsnorm;                                                /* RMSNorm, which has no bias, for LayerNorm */
    int post_norm; /* the norms stand after the sums, and there is no ln_f */
    enum switches_rope rope;
    double rope_theta, rope_fraction; /* R = rope_fraction D channels of a head turn: even, at least 2 */
    int swiglu;                       /* silu(gate) * up for gelu(up) */
    int qk_norm;                      /* RMSNorm of each head's queries and keys, before RoPE */
    double logit_softcap;             /* above 0: logits become c tanh(logits / c) */
    double norm_eps;                  /* of all norms */
};

struct switches; /* parameters, gradients, moments, tape */

/* All parameters are 0. NULL, with the reason on stderr, when the shape is not that of a model or memory runs out. The
 * caller frees it with switches_free(), which takes NULL. */
struct switches *switches_create(const struct switches_shape *shape);
void switches_free(struct switches *model);

/* A parameter, or its gradient, by the name that Lockstep gives it; *elems (may be NULL) becomes its size, 0 if there is
 * none. The model's own memory; what is written there counts from the next forward or update on. Weights are [out, in]:
 *     wte[V,C]  wpe[P,C] (learned positions)  head.w[V,C] (untied)  ln_f.w[C] ln_f.b[C] (norms before)
 * and in each layer N, after "hN.":
 *     ln1.w[C] ln1.b[C]  attn.qkv.w[(H+2K)D,C] attn.qkv.b (rows: all heads of q, then of k, then of v)
 *     attn.q_norm.w[D] attn.k_norm.w[D] (qk_norm)  attn.proj.w[C,C] attn.proj.b
 *     ln2.w[C] ln2.b[C]  ffn.up.w[F,C] ffn.up.b, or ffn.gate_up.w[2F,C] ffn.gate_up.b (SwiGLU; rows: gate, then up)
 *     ffn.down.w[C,F] ffn.down.b
 * Biases are there with `bias`; those of norms (ln…) not with `rmsnorm`. */
double *switches_param(struct switches *model, const char *name, long *elems);
double *switches_grad(struct switches *model, const char *name, long *elems);

/* All parameters in the order in which they were made: name number i, or NULL from the number of parameters on. */
const char *switches_name(const struct switches *model, int i);

/* The mean cross-entropy, in nats, of tokens[batch * time] against targets[batch * time]; targets below 0 are left out,
 * and without any the loss is 0. starts[batch * time] (NULL: all 0) says for each token where in its sequence its
 * document begins: positions count from there, and attention does not look before it. NAN, with the reason on stderr,
 * when the batch does not fit the model. */
double switches_forward(struct switches *model, const int *tokens, const int *targets, const int *starts, int batch,
                        int time);

/* Adds scale * d(loss)/d(parameter) of the last forward to the gradients. Nothing if there was none. */
void switches_backward(struct switches *model, double scale);
void switches_zero_grad(struct switches *model);

/* The L2 norm of all gradients together. */
double switches_grad_norm(const struct switches *model);

/* AdamW (Loshchilov & Hutter 2019, the decay multiplied by lr), update number t = 1, 2, …, of gradients * clip. Matrices and
 * embeddings decay; vectors (biases, weights of norms) do not. Gradients stay as they are. */
void switches_adamw(struct switches *model, int t, double lr, double beta1, double beta2, double eps, double decay,
                    double clip);

/* Logits [batch * time, V] of the last forward, after the soft cap; the model's own, until the next forward. NULL if
 * there was none. */
const double *switches_logits(const struct switches *model);

#endif
