/* What a run trains and validates on, opened from its configuration. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "data/source.h"

struct dataset {
    struct source *train; /* one, or the parts of a mixture */
    int parts;
    struct source val;           /* val.count 0: none */
    struct tokenizer *tokenizer; /* NULL: not known */
};

struct dataset_options {
    /* "[WEIGHT ]SOURCE, [WEIGHT ]SOURCE, …": what a source may be, source.h tells. A weight is a positive number; without one
     * it is 1. Sequences are drawn in proportion to weights. */
    const char *train;
    const char *val; /* a source; a fraction of train, taken from its end (of the built-in corpus: another seed); "" */
    const char
        *tokenizer; /* a path, see tokenizer_open(); "auto": tokenizer.json beside the token files, else bytes for a
                              text, else not known */
    int64_t window; /* tokens a sequence */
    int64_t vocab;  /* of the model */
};

/* Errors: STATUS_USAGE, STATUS_BAD_DATA. */
int dataset_open(struct dataset *data, const struct dataset_options *options);
void dataset_close(struct dataset *data);

/* What the run trains on, for its checkpoints: a line a source with its weight, tokens, fingerprint and name. *text is
 * the caller's: free(). */
int dataset_describe(const struct dataset *data, char **text);

/* Whether two such texts mean the same data: names may differ, since files may be moved. */
int dataset_same(const char *a, const char *b);

/* Opens one source and its tokenizer as data.train would be. */
int dataset_open_source(struct source *source, const char *spec, const char *tokenizer, struct tokenizer **opened);

#endif
