#include "data/prefetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/thread.h"

/* Fills the micro-batch; counts its step's targets once a step. */
static int read_batch(struct prefetch *p, struct prefetched *next) {
    TRY(sampler_batch(p->sampler, next->step, next->slot, next->micro, &next->batch));
    if (p->counted_step != next->step) {
        TRY(sampler_counted(p->sampler, next->step, &p->counted));
        p->counted_step = next->step;
    }
    next->step_counted = p->counted;
    return 0;
}

static const struct trace_label label = TRACE_LABEL("read micro-batch");

static void fill(struct prefetch *p, int64_t number) {
    struct prefetched *next = &p->ring[number % PREFETCH_DEPTH];
    int64_t micros = p->sampler->options.micro_batches, a_step = p->slots.count * micros;
    int64_t inside = number % a_step;
    next->step = p->first_step + number / a_step;
    next->slot = p->slots.first + inside / micros * p->slots.step;
    next->micro = inside % micros;
    next->failure.status = 0;
    int64_t slice = trace_begin(p->trace, TRACE_DATA, &label, next->step);
    failure_keep(&next->failure, read_batch(p, next));
    trace_end(p->trace, slice, 0);
}

/* A place of the ring is free once the taker has come past it. */
static void *work(void *argument) {
    struct prefetch *p = argument;
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (!p->stop && p->made - p->taken >= PREFETCH_DEPTH - 1) pthread_cond_wait(&p->changed, &p->mutex);
        if (p->stop) break;
        int64_t number = p->made;
        pthread_mutex_unlock(&p->mutex);
        fill(p, number);
        pthread_mutex_lock(&p->mutex);
        p->made++;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

static int start_thread(struct prefetch *p) {
    int error = thread_start(&p->thread, work, p);
    if (error) return fail(STATUS_FAILED, "cannot start a thread for reading data: %s", strerror(error));
    p->running = 1;
    return 0;
}

int prefetch_open(struct prefetch *p, const struct sampler *sampler, struct prefetch_slots slots, int64_t step,
                  int ahead, struct trace *trace) {
    int64_t elems = sampler->options.batch * sampler->options.window;
    memset(p, 0, sizeof *p);
    p->sampler = sampler;
    p->trace = trace;
    p->slots = slots;
    p->first_step = step;
    p->counted_step = -1;
    p->memory = calloc((size_t)(3 * PREFETCH_DEPTH * elems), sizeof *p->memory);
    if (!p->memory) return fail(STATUS_FAILED, "out of memory");
    for (int i = 0; i < PREFETCH_DEPTH; i++) {
        struct batch *batch = &p->ring[i].batch;
        batch->tokens = p->memory + 3 * i * elems;
        batch->targets = batch->tokens + elems;
        batch->starts = sampler->options.documents == JOINED ? NULL : batch->targets + elems;
    }
    pthread_mutex_init(&p->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int status = ahead ? start_thread(p) : 0;
    if (status) prefetch_close(p);
    return status;
}

void prefetch_close(struct prefetch *p) {
    if (!p->memory) return; /* never opened */
    if (p->running) {
        pthread_mutex_lock(&p->mutex);
        p->stop = 1;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->mutex);
        pthread_join(p->thread, NULL);
    }
    pthread_mutex_destroy(&p->mutex);
    pthread_cond_destroy(&p->changed);
    free(p->memory);
    memset(p, 0, sizeof *p);
}

/* With the mutex held. Counts a second for each second, so that a process that stood still does not run out of time. */
static int wait_until_made(struct prefetch *p, double limit_s) {
    for (double waited = 0; p->made < p->taken;) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        if (pthread_cond_timedwait(&p->changed, &p->mutex, &until) != ETIMEDOUT) continue;
        if (limit_s > 0 && ++waited >= limit_s)
            return fail(STATUS_FAILED,
                        "data: no batch could be read for %.0f s: the file system of data.train does not answer",
                        waited);
    }
    return 0;
}

int prefetch_next(struct prefetch *p, double limit_s, const struct prefetched **next) {
    if (!p->running) fill(p, p->made++);
    pthread_mutex_lock(&p->mutex);
    p->taken++;
    pthread_cond_broadcast(&p->changed);
    int status = wait_until_made(p, limit_s);
    pthread_mutex_unlock(&p->mutex);
    TRY(status);
    const struct prefetched *found = &p->ring[(p->taken - 1) % PREFETCH_DEPTH];
    *next = found;
    return failure_raise(&found->failure);
}
