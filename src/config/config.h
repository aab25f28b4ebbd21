/* The configuration of a run: one schema table (schema.c) gives every key its type, default, range and help.
 *
 * Values come from a YAML file, then `--set key=value` and flags, in that order. Errors have status STATUS_USAGE and name
 * file, line, key and what is allowed. A struct config is plain data: copy it as you like. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdint.h>
#include <stdio.h>

enum { CONFIG_TEXT = 512, CONFIG_LIST = 4096 };

enum backend_choice { BACKEND_AUTO, BACKEND_CPU, BACKEND_CUDA, BACKEND_NULL };
enum mixer_choice { MIXER_ATTENTION };
enum ffn_choice { FFN_GELU, FFN_SWIGLU };
enum norm_choice { NORM_LAYERNORM, NORM_RMSNORM };
enum norm_place { NORM_PRE, NORM_POST };
enum position_choice { POSITION_LEARNED, POSITION_ROPE };
enum rope_layout { ROPE_HALVES, ROPE_PAIRS };
enum attention_choice { ATTENTION_FLASH, ATTENTION_NAIVE };
enum attention_impl_choice { ATTENTION_IMPL_AUTO, ATTENTION_IMPL_OWN, ATTENTION_IMPL_CUDNN };
enum documents_choice { DOCUMENTS_JOINED, DOCUMENTS_APART, DOCUMENTS_PACKED };
enum schedule_choice { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT, SCHEDULE_WSD };
enum precision_choice { PRECISION_FP32, PRECISION_FP64, PRECISION_BF16, PRECISION_FP16 };
enum loss_scaling_choice { LOSS_SCALING_AUTO, LOSS_SCALING_DYNAMIC, LOSS_SCALING_OFF };
enum recompute_choice { RECOMPUTE_NONE, RECOMPUTE_BLOCK, RECOMPUTE_EVERY, RECOMPUTE_SELECTIVE, RECOMPUTE_BUDGET };
enum reduce_choice { REDUCE_TREE, REDUCE_VENDOR };
enum wire_choice { WIRE_FP32, WIRE_BF16 };
enum progress_choice { PROGRESS_POLL, PROGRESS_THREAD };

struct config {
    char name[CONFIG_TEXT];
    char runs_dir[CONFIG_TEXT];
    int backend;
    struct config_model {
        int mixer, ffn, norm, norm_place, position, rope_layout, attention, attention_impl;
        double norm_eps, rope_theta, rope_fraction, logit_softcap;                      /* logit_softcap 0: none */
        int64_t layers, width, heads, kv_heads, hidden, vocab, vocab_multiple, context; /* 0: see config_check() */
        int tie, bias, qk_norm;
        struct {
            double attention, residual, embedding;
        } dropout;
    } model;
    struct config_data {
        char train[CONFIG_LIST];     /* "[WEIGHT ]SOURCE, …": see data/source.h */
        char val[CONFIG_TEXT];       /* a source, a fraction of train taken from its end, or "" */
        char tokenizer[CONFIG_TEXT]; /* "auto", "bytes" or a path: see data/dataset.h */
        int documents, prefetch;
    } data;
    struct config_train {
        int64_t steps, slots, micro_batch, micro_batches_per_slot, seq_len; /* seq_len 0: model.context */
        double lr, min_lr_ratio;
        int schedule;
        int64_t warmup;
        double weight_decay, betas[2], eps, clip, loss_clamp[2];
        int64_t seed;
        int precision, recompute, compile, graphs;
        int64_t recompute_every;
        int loss_scaling;
        int64_t loss_scale, loss_scale_window;
        double recompute_budget_mb;
        int64_t stage;
        char init_from[CONFIG_TEXT]; /* stage 2: a checkpoint's or a run's folder */
        int64_t eval_every, eval_batches;
    } train;
    struct config_fuse {
        int norm, gelu, swiglu, rope, loss, adamw, head, epilogue;
    } fuse;
    struct config_dist {
        int64_t zero;
        int reduce;
        double bucket_mb;
        int wire, overlap, progress;
        double timeout_s;
    } dist;
    struct config_ckpt {
        int64_t every, keep, keep_every, keep_best;
        int async, direct;
        int last;
        double timeout_s;
    } ckpt;
    struct config_guard {
        int64_t every, audit_every, max_skipped;
    } guard;
};

/* Every key at its default. */
void config_defaults(struct config *config);

/* Reads a YAML file over *config; unknown keys are errors that name the nearest known one. */
int config_load(struct config *config, const char *path);

/* config_load() of YAML in memory; `name` is its file in messages. A message says the line of the key. */
int config_load_text(struct config *config, const char *text, size_t length, const char *name);

/* Sets one key from text; `where` ("--set", "run.yaml:12") leads the message. */
int config_set(struct config *config, const char *key, const char *value, const char *where);

/* What no single key can tell: heads divide width, and so on. Call after the last set. Fills derived values
 * (kv_heads: heads; hidden: 4 widths, with swiglu 8/3 of it; seq_len: context), so that the config printed afterwards says what will run. */
int config_check(struct config *config);

/* Channels of one attention head. */
int64_t config_head_size(const struct config_model *model);

/* Channels of a head that RoPE turns; 0 without it. */
int64_t config_rope_size(const struct config_model *model);

/* Rows of the token table: model.vocab rounded up to model.vocab_multiple. */
int64_t config_vocab_rows(const struct config_model *model);

/* Prints the config as YAML that config_load() reads back to the same values. */
void config_print(const struct config *config, FILE *out);

/* Prints the schema: every key with type, default, range and help. */
void config_help(FILE *out);

/* Compares the keys that the architecture fixes. 0 if equal; else STATUS_BAD_DATA with every differing key and both
 * values in the message (`left` and `right` name the sides). */
int config_same_architecture(const struct config *a, const char *left, const struct config *b, const char *right);

/* Compares the keys that the bits of training depend on (architecture and training); runs may differ elsewhere. */
int config_same_training(const struct config *a, const char *left, const struct config *b, const char *right);

#endif
