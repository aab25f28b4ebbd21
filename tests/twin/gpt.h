/* The twin: GPT-2 forward, backward and AdamW in one plain file that shares no code with src/. It is the oracle of the
 * tests and the first thing to read. Compile with -DTWIN_REAL=double for double precision. */
#ifndef TWIN_GPT_H
#define TWIN_GPT_H

#ifndef TWIN_REAL
#define TWIN_REAL float
#endif
typedef TWIN_REAL twin_real;

struct twin_shape {
    int layers, width, heads, hidden, vocab, context; /* context: rows of the position table */
    int tie, bias;                                    /* tied head; biases in linears and norms */
};

struct twin; /* parameters, gradients, moments */

struct twin *twin_create(const struct twin_shape *shape);
void twin_free(struct twin *twin);

/* A parameter by the name that Lockstep gives it: wte, wpe, h0.ln1.w, h0.ln1.b, h0.attn.qkv.w, h0.attn.qkv.b,
 * h0.attn.proj.w, h0.attn.proj.b, h0.ln2.w, h0.ln2.b, h0.ffn.up.w, h0.ffn.up.b, h0.ffn.down.w, h0.ffn.down.b,
 * ln_f.w, ln_f.b, head.w (untied only). Weights are [out, in]. NULL if there is none. */
twin_real *twin_param(struct twin *twin, const char *name, long *elems);
twin_real *twin_grad(struct twin *twin, const char *name, long *elems);

void twin_zero_grad(struct twin *twin);

/* Mean cross-entropy of tokens[batch*time] against targets (below 0: left out of the mean). */
double twin_forward(struct twin *twin, const int *tokens, const int *targets, int batch, int time);

/* Adds scale * d(loss)/d(parameter) of the last forward to the gradients. */
void twin_backward(struct twin *twin, double scale);

/* The L2 norm of all gradients. */
double twin_grad_norm(struct twin *twin);

/* AdamW, update number t = 1, 2, …; gradients are multiplied by clip first; wte, wpe and matrices decay, biases and norm
 * weights do not. */
void twin_adamw(struct twin *twin, int t, double lr, double beta1, double beta2, double eps, double decay, double clip);

/* Logits [batch*time, vocab] of the last forward. */
const twin_real *twin_logits(const struct twin *twin);

#endif
