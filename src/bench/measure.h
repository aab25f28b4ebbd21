/* One training run, as a user would start it, and what its metrics say. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "bench/record.h"

/* Of all runs. */
struct measure {
    const char *program; /* path of lockstep, or of what stands for it in tests */
    const char *root;    /* the project's; runs start there */
    const char *scratch; /* an own folder for what runs write */
    const char *backend; /* "cpu" …; NULL: as the config says */
    int cores, ranks;    /* ranks where the case does not say */
    int quick;           /* fewer evaluations */
    double limit_s;
    int rest_s; /* idle before each run, for machines that slow down when they were busy */
};

/* Ranks of a side of a case. */
int measure_ranks(const struct measure *m, const struct bench_case *c, enum side side);

/* Threads of each of them. */
int measure_threads(const struct measure *m, const struct bench_case *c, enum side side);

/* Makes the run that run->side, seed, steps and for_loss describe, and fills the rest. A run that fails is 0 with run->failure; another
 * status means that measuring itself cannot go on. */
int measure_run(const struct measure *m, const struct bench_case *c, struct bench_run *run);

#endif
