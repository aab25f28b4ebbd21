/* The op lab: runs a plan op by op, in the order of training or of generation, and times each where it stands, with the caches as
 * its neighbours leave them. What an op takes is compared with the machine's ceilings. */
#ifndef BENCH_LAB_H
#define BENCH_LAB_H

#include "backend/backend.h"
#include "bench/stats.h"

struct ceilings {
    double rate[CEILING_COUNT]; /* FLOP/s, FLOP/s, bytes/s */
};

/* All ops of one kind and shape. Numbers are of all of them together in one step. */
struct lab_row {
    char op[32], shapes[96];
    int times; /* how often in one step */
    double flops, bytes;
    struct spread seconds; /* over the rounds */
};

/* What was measured in one go: a training step, or the filling of a cache and one more token. */
struct lab {
    char name[64];
    struct lab_row *rows; /* owned; the slowest first */
    int count, rounds;
    struct spread step_s; /* all ops */
    double flops;
    enum ceiling products; /* what its matrix products are measured against */
};

struct lab_request {
    const char *name;
    const struct config *config;
    int ranks;    /* as the first of so many; what crosses the network is left out */
    int generate; /* prefill and decode of one sequence; else a training step */
    int rounds;   /* that count; one more goes before them */
};

/* Measures for about half a second each and keeps the best of this and what *ceilings has, which may be zero: calls before and
 * after other measurements make up for moments in which the machine is busy elsewhere. */
void lab_ceilings(const struct backend *backend, struct ceilings *ceilings);

/* The ceilings allow no less than this many seconds: the larger of what the row's work and its traffic take. */
double lab_floor(const struct lab *lab, const struct lab_row *row, const struct ceilings *ceilings);

/* Loads the plan with initial weights and random tokens and measures it. The caller ends with lab_free(), whatever the status. */
int lab_measure(const struct lab_request *request, struct lab *lab);
void lab_free(struct lab *lab);

#endif
