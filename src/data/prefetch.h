/* A thread that fills a rank's next micro-batches while the device computes: it takes the waiting for files off the step. What
 * it gives is what sampler_batch() gives. */
#ifndef DATA_PREFETCH_H
#define DATA_PREFETCH_H

#include <pthread.h>

#include "base/check.h"
#include "base/trace.h"
#include "data/sampler.h"

enum { PREFETCH_DEPTH = 3 };

struct prefetched {
    struct batch batch;
    int64_t step, slot, micro;
    int64_t step_counted;   /* targets that count in the whole step, on all ranks */
    struct failure failure; /* of filling it, for the taker */
};

/* The slots of a rank: first, first + step, … */
struct prefetch_slots {
    int64_t first, step, count;
};

struct prefetch {
    const struct sampler *sampler;
    struct trace *trace; /* where the time that it takes is told; may be NULL */
    struct prefetch_slots slots;
    struct prefetched ring[PREFETCH_DEPTH];
    int32_t *memory;
    int64_t counted_step, counted; /* the thread's: the step that was counted last; -1: none */
    int64_t first_step;
    int64_t made, taken; /* micro-batches since the start; `taken` counts the one in use */
    int stop, running;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

/* Starts at the first micro-batch of `step`. The sampler must outlive it, and is its alone. Without `ahead` there is no thread:
 * each micro-batch is filled when it is asked for. `trace` may be NULL. */
int prefetch_open(struct prefetch *prefetch, const struct sampler *sampler, struct prefetch_slots slots, int64_t step,
                  int ahead, struct trace *trace);
void prefetch_close(struct prefetch *prefetch);

/* The next micro-batch of this rank, in the order of steps, slots and micro-batches; valid until the next call. Fails where
 * filling it failed, and where the thread took longer than `limit_s` (0: for ever); then prefetch_close() may hang, too. */
int prefetch_next(struct prefetch *prefetch, double limit_s, const struct prefetched **next);

#endif
