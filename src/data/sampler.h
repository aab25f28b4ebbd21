/* Which tokens a micro-batch holds: a function of (seed, step, slot, micro-batch) alone, so that every rank count and every
 * resume sees the same. The text is cut into windows of `window` tokens; each epoch visits every window once, in an order
 * and from a starting shift of its own. */
#ifndef DATA_SAMPLER_H
#define DATA_SAMPLER_H

#include <stdint.h>

#include "data/text.h"

struct sampler {
    const struct text *text;
    int64_t window, windows; /* tokens a window, windows an epoch */
    int64_t slots, micro_batches, batch;
    uint32_t seed;
};

/* `text` stays the caller's and must hold window + 1 tokens at least. */
void sampler_init(struct sampler *sampler, const struct text *text, int64_t window, int64_t slots,
                  int64_t micro_batches, int64_t batch, uint32_t seed);

/* Fills tokens[batch * window] and targets (the tokens one place on). */
void sampler_batch(const struct sampler *sampler, int64_t step, int64_t slot, int64_t micro, int32_t *tokens,
                   int32_t *targets);

/* The first token of sequence `number` of the run; sequences are numbered through steps, slots and micro-batches. */
int64_t sampler_start(const struct sampler *sampler, int64_t number);

/* Evaluation walks the text in order: window after window, the last one shorter. How many batches cover it; */
int64_t sampler_eval_batches(const struct text *text, int64_t window, int64_t batch);

/* and batch number `index`: where the text has ended, targets are -1, which the loss leaves out. */
void sampler_eval_batch(const struct text *text, int64_t window, int64_t batch, int64_t index, int32_t *tokens,
                        int32_t *targets);

#endif
