/* Which tokens a micro-batch holds: a function of (seed, step, slot, micro-batch) alone, so that every rank count and every
 * resume sees the same. The sequences of a run are numbered through steps, slots and micro-batches; a number tells the
 * source, the epoch of that source and the window in it.
 *
 * Each epoch of a source visits every window once, in a pseudo-random order of its own (and, unless documents are packed,
 * from a starting shift of its own). With several sources, each block of MIXTURE_BLOCK sequences holds each source's share
 * of it exactly, in a pseudo-random order. */
#ifndef DATA_SAMPLER_H
#define DATA_SAMPLER_H

#include "data/windows.h"

enum { MIXTURE_BLOCK = 65536 };

struct sampler_options {
    int64_t window, slots, micro_batches, batch;
    int64_t vocab; /* every token must be below it */
    uint32_t seed;
    enum documents documents;
};

struct sampler {
    struct sampler_options options;
    struct windows *part; /* one a source */
    int32_t *share;       /* sequences of each source in a block */
    int parts;
    int varying;          /* micro-batches may have different numbers of targets */
    struct batch scratch; /* one sequence, for sampler_counted() */
};

/* Where sequence `number` of the run lies. */
struct place {
    int part;      /* which source */
    int64_t epoch; /* of that source */
    int64_t at;    /* its first token; its window's number where documents are packed */
};

/* `sources` stay the caller's. Their weights must be positive. */
int sampler_open(struct sampler *sampler, const struct source *sources, int count,
                 const struct sampler_options *options);
void sampler_close(struct sampler *sampler);

struct place sampler_place(const struct sampler *sampler, int64_t number);

/* Fills a batch. */
int sampler_batch(const struct sampler *sampler, int64_t step, int64_t slot, int64_t micro, struct batch *batch);

/* The targets that count in all micro-batches of a step, on whatever rank. Uses the sampler's scratch: one thread at a time. */
int sampler_counted(const struct sampler *sampler, int64_t step, int64_t *counted);

#endif
