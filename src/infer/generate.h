/* Generation: continues a prompt, token by token, with a key/value cache. */
#ifndef INFER_GENERATE_H
#define INFER_GENERATE_H

#include <stdint.h>
#include <stdio.h>

#include "config/config.h"

struct generate_options {
    const char *prompt;    /* must not be empty */
    const char *tokenizer; /* a path; NULL: the checkpoint's own */
    const char *backend;   /* its name; NULL: auto */
    int64_t tokens;        /* how many to make at most */
    double temperature;    /* 0: the likeliest token always */
    int64_t top_k;         /* draw from the k likeliest; 0: all */
    double top_p;          /* draw from the smallest set of at least this probability (Holtzman et al. 2020); 1: all */
    uint32_t seed;
    int no_cache; /* compute the whole context again for each token, through the forward that training evaluates */
};

/* Loads the weights of a checkpoint or run folder and writes prompt and continuation to `out` as it is made, up to the
 * tokenizer's end-of-text token. When the context is full, the last half of it is kept and computed again. */
int generate_run(const char *checkpoint, const struct generate_options *options, FILE *out);

/* How many tokens of a prompt are computed at once. The padding of the last part may reach past the context: kernels leave it
 * out. */
int generate_prefill(const struct config *config);

/* A token that may be drawn; work space of sample_token(). */
struct candidate {
    double logit;
    int token;
};

/* Draws a token from logits[vocab] (sampling.c). `order` has room for `vocab` entries; `draw` is uniform in [0, 1). */
int sample_token(const double *logits, int vocab, double temperature, int64_t top_k, double top_p, double draw,
                 struct candidate *order);

#endif
