/* What the tests of ops share: a few ops on inputs, built by hand into a plan and loaded on the CPU backend.
 *
 * A case is a row of a table. Its emit function appends ops through plan/emit.h; with an output y the backward pass is
 * added, which starts from an input named "dy", and segment eval gets the forward ops alone. All that outlives a segment
 * is filled before a run: what an op must overwrite, or must leave alone, is never zero by luck. Memory in the arena is
 * poisoned, see backend.h. Functions end the test when they fail. */
#ifndef TESTS_OP_CASE_H
#define TESTS_OP_CASE_H

#include "backend/backend.h"
#include "base/check.h"
#include "plan/emit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct op_case {
    const char *name;
    /* Appends the ops. *y: where the backward pass starts; NONE without one. */
    int (*emit)(const struct op_case *row, struct builder *b, int *y);
    /* The op that `emit` surrounds with others, where it does. */
    int (*op)(const struct op_case *row, struct builder *b, int x, int *y);
    unsigned checks; /* which checks of test_ops.c hold here */
    int64_t batch, time, width, out, hidden, heads, vocab, positions;
    int64_t kv_heads; /* 0: as many as heads */
    int64_t padding;  /* logits of a row beyond vocab */
    int64_t turning;  /* RoPE: channels of a head that turn, */
    int pairs;        /* the layout of pairs, */
    int naive;        /* attention: naive; */
    int modern;       /* and a model with every switch that is off in GPT-2 */
    int parts;        /* the loss and the update are plain ops */
    int bias;
    int epilogue;     /* on a GPU products make the GELU */
    int fused;        /* the fuse pass runs on the ops; it must find a pair */
    int documents;    /* sequences hold several documents: the plan has `starts` */
    double rate;      /* of dropout */
    double range;     /* inputs are uniform in [-range, range); 0 stands for 1 */
    double low, high; /* of the loss clamp; [0, 20] when both are 0 */
    double clip;      /* largest norm of the gradient; 0: any */
    int slots, ranks, rank, micro_batches;
    struct step_block step;
};

struct trial {
    const struct op_case *row;
    const struct backend *backend;
    struct config config;
    struct plan *plan;
    struct store store;
    struct comm comm;
    struct exec *exec;
    int y, dy;
};

/* Builds a row's plan with parameters and values of one type, loads it on the CPU, or on another backend, and fills it. */
void trial_open(struct trial *t, const struct op_case *row, enum dtype type);
void trial_open_on(struct trial *t, const struct op_case *row, enum dtype type, const struct backend *backend);
void trial_close(struct trial *t);

/* Buffers lie TRIAL_GAP bytes apart in the arena, which nothing may touch. `trial_loaded` (or NULL) is called before a trial is filled. */
enum { TRIAL_GAP = 256 };
extern void (*trial_loaded)(struct trial *t);
int trial_in_arena(const struct plan *plan, int buf); /* 1 for buffers that have a place of their own there */

/* Gives every buffer that outlives a segment the values that belong to its number, floats, so that all types start from the same
 * ones; a copy of the parameters is made of them. Token ids are below row->vocab; every fifth target is left out; documents of a sequence are a few tokens long,
 * and from its token 40 on there is one long one. Writes row->step. */
void trial_fill(struct trial *t);

void trial_run(struct trial *t, enum segment segment);
void trial_run_all(struct trial *t); /* every segment that the plan has */

/* The number of a buffer that must be there. */
int trial_find(const struct trial *t, const char *name);
int64_t trial_elems(const struct trial *t, int buf);

/* All elements of a buffer as double, whatever its type; the caller frees them. */
double *trial_values(const struct trial *t, int buf);
double *trial_named(const struct trial *t, const char *name);
void trial_set(struct trial *t, int buf, int64_t element, double value);
void trial_set_all(struct trial *t, int buf, const double *values);

void trial_read_step(const struct trial *t, struct step_block *step);
void trial_write_step(struct trial *t, const struct step_block *step);

/* Fails unless got is want to `tolerance`, relative where want is larger than 1. NaN is near nothing. */
void assert_near(const char *what, int64_t i, double got, double want, double tolerance);

/* n values that are the same, NaN and zeros with their signs included. */
void assert_same_bits(const double *a, const double *b, int64_t n);

/* What kernels are compiled for. */
enum { TYPES = 2 };
extern const enum dtype real_types[TYPES];

/* For emit functions. A buffer of one or (cols not 0) two dimensions: */
int case_buffer(struct builder *b, const char *name, enum buf_kind kind, enum dtype type, int64_t rows, int64_t cols,
                int *id);
int case_input(struct builder *b, const char *name, int64_t rows, int64_t cols, int *id); /* of the builder's type */
/* A value that the test reads. */
void case_result(struct builder *b, int id);

/* Emit functions that both test programs use.
 *
 * The update of parameters "w"[out,width], which decays, and "b"[hidden]: segment update, as plan_update() makes it. */
int emit_update(const struct op_case *row, struct builder *b, int *y);
/* Causal attention in three ways: onto "qkv", whose heads have width / heads channels, as a whole (segment micro_first), and onto caches of
 * `positions` tokens, `hidden` tokens at a time (prefill; "qkv.chunk") and one at a time (decode; "qkv.one"). */
int emit_attention_ways(const struct op_case *row, struct builder *b, int *y);
/* The reduction of `width` gradients "leaf" with sums "held", on rank `rank` of `ranks` with `slots` slots: fold in segment
 * fold, the last leaf's fold in micro_last, tree_finish of elements [REDUCE_BEGIN, width - REDUCE_REST) in update, with
 * the other ranks' sums in "staging". */
int emit_reduce(const struct op_case *row, struct builder *b, int *y);
enum { REDUCE_BEGIN = 100, REDUCE_REST = 50 };

#endif
