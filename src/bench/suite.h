/* bench/run_all: every case, baseline and optimized in turns, kept run by run, and the pages about them. */
#ifndef BENCH_SUITE_H
#define BENCH_SUITE_H

#include <stdio.h>

#include "bench/measure.h"

struct suite_options {
    const char *cases;      /* the folder of NAME.yaml */
    const char *results;    /* its folder MACHINE, or MACHINE-quick, is written */
    const char *docs;       /* pages DOCS/NAME.md get the measured table; NULL: none */
    const char *machine;    /* NULL: named after the processor */
    const char *only;       /* names with commas between; NULL: all */
    const char *build;      /* version and commit, for the pages */
    struct measure measure; /* but for its scratch */
    int quick, seeds;       /* seeds 0: all that a case has; 3 with quick */
    int again;              /* measure what is measured already */
};

/* Prints the cases. */
int suite_list(const struct suite_options *options, FILE *out);

/* Measures, with progress on standard error, and writes the pages; prints the index. STATUS_FAILED when a case failed, after all are
 * done; STATUS_STOPPED after a signal, with what is done kept. */
int suite_run(const struct suite_options *options, FILE *out);

#endif
