/* Emitting ops: what a model description is written in.
 *
 * A builder carries the plan, the segment that is emitted (its mode), the shape of a micro-batch and a scope that leads
 * names. Each function appends one op and returns the buffer of its first output. The gradient of what is emitted here
 * comes from the backward pass. Functions fail with STATUS_USAGE when shapes do not fit, naming op and buffers. */
#ifndef PLAN_EMIT_H
#define PLAN_EMIT_H

#include "plan/plan.h"

struct builder {
    struct plan *plan;
    const struct config *config;
    enum segment segment;
    int batch, time; /* of the segment being emitted */
    enum dtype type; /* of activations and of the parameters that ops read */
    int rope_table;  /* of the segment being emitted, or NONE; see emit_rope_table() */
    int tokens;      /* i32[batch * time] */
    char scope[NAME_SIZE];
    int layer;            /* the block being emitted, or NONE */
    uint32_t site;        /* next random site; a clone of an op keeps the site it was given */
    int k_cache, v_cache; /* generation: the caches of all layers, or NONE */
};

/* Whether the segment is a part of training: dropout and losses only then. */
int builder_training(const struct builder *b);

/* Sets what leads the names of parameters and values from now on ("h3.", ""). */
__attribute__((format(printf, 2, 3))) void builder_scope(struct builder *b, const char *format, ...);

/* The same for block `layer`, "h3."; what is emitted then belongs to it. NONE: to no block, without a scope. */
void builder_block(struct builder *b, int layer);

/* A parameter of rank 1 or 2 (cols 0: rank 1), created on first use and found by name after that. Matrices (rank 2) get
 * weight decay. Initial values: normal(0, init_std), or init_value where init_std is 0. */
int builder_param(struct builder *b, const char *name, int64_t rows, int64_t cols, double init_std, double init_value,
                  int *param);

/* Only the first `rows` rows of the parameter are used: the rest starts at 0. */
void builder_pad(struct builder *b, int param, int64_t rows);

/* An op with every operand left out and the shape of the micro-batch filled in. */
struct op builder_op(const struct builder *b, enum op_kind kind);

/* Appends op->kind with op's inputs, attributes and add bits. Outputs of op that are NONE and whose bit is set in
 * `create` become new values named scope + name, later ones with what they are (".mean"). Sets op->out. */
int emit_op(struct builder *b, struct op *op, const char *name, unsigned create);

int emit_embed(struct builder *b, const char *name, int wte, int wpe, int *x);
int emit_dropout(struct builder *b, const char *name, int x, double rate, int *y); /* y = x when nothing is dropped */
int emit_layernorm(struct builder *b, const char *name, int x, int w, int bias, int *y);
int emit_linear(struct builder *b, const char *name, int x, int w, int bias, int *y);
int emit_rmsnorm(struct builder *b, const char *name, int x, int w, int *y);
int emit_gelu(struct builder *b, const char *name, int x, int *y);
int emit_swiglu(struct builder *b, const char *name, int x, int *y);
int emit_softcap(struct builder *b, const char *name, int x, double cap, int *y);
int emit_qk_norm(struct builder *b, const char *name, int qkv, int wq, int wk, int *y);
int emit_rope(struct builder *b, const char *name, int qkv, int *y);
int emit_rope_table(
    struct builder
        *b); /* once a segment, by the first emit_rope() or before, lest the table stand between ops that fuse */
int emit_attention(struct builder *b, const char *name, int qkv, int layer, double rate, int *o);
int emit_add(struct builder *b, const char *name, int a, int c, int *y);
int emit_take_row(struct builder *b, const char *name, int x, int *y);

/* emit_linear(), emit_softcap() where `cap` is positive, and emit_head() in one op that holds the logits of some rows at a time: of an
 * eighth of them, but no fewer than 256. Not in generation. */
int emit_head_loss(struct builder *b, int x, int w, double cap);

/* Ends a forward: in training cross-entropy, clamp and the slot's loss; in evaluation the loss alone; in generation the
 * logits are the result. `logits` has a row for each token, or one row in generation. */
int emit_head(struct builder *b, int logits);

#endif
