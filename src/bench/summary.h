/* What the runs of a case come to. */
#ifndef BENCH_SUMMARY_H
#define BENCH_SUMMARY_H

#include <cjson/cJSON.h>

#include "bench/record.h"
#include "bench/stats.h"

/* Smaller differences are called none: 2% of speed, 1% of memory. */
#define LEAST_SPEED  0.02
#define LEAST_MEMORY 0.01

struct summary {
    const struct bench_case *c;
    const struct record *record;
    char failure[640];          /* which side failed and why; "" where none did */
    int whole;                  /* pairs of which both sides are there; */
    int pairs, seeds;           /* those that count for speed and memory; those that trained for the loss */
    double planned[SIDES];      /* bytes of a rank, as its plan says */
    struct spread peak[SIDES];  /* bytes of the largest process */
    struct spread speed[SIDES]; /* tokens a second */
    struct spread loss[SIDES];  /* validation loss, over the seeds */
    struct difference memory, faster;
    struct loss_difference better;
};

void summarize(struct summary *summary, const struct bench_case *c, const struct record *record);

/* "less", "more", "within noise", "too noisy to tell", "too few runs" */
const char *verdict_word(enum verdict verdict);

/* A new object with the verdicts, for scripts; NULL: out of memory. */
cJSON *summary_json(const struct summary *summary);

#endif
