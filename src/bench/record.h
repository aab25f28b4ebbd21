/* What was measured for a case, run by run, and the file that keeps it: runs are never made twice for the same program. */
#ifndef BENCH_RECORD_H
#define BENCH_RECORD_H

#include <cjson/cJSON.h>

#include "bench/case.h"

enum { CURVE_POINTS = 64 };

/* One training run. */
struct bench_run {
    enum side side;
    int pair; /* runs of one number are neighbours in time, one of each side */
    int64_t seed;
    int for_loss; /* trained on all tokens; else only timed */
    int64_t steps, tokens_per_step;
    double step_s; /* median of the steps that count */
    double least, most;
    double train_s; /* all steps together */
    int64_t planned_bytes, peak_bytes;
    char failure[512]; /* why there is nothing of the above; "" otherwise */

    double val_loss;               /* after the last step; NaN: not evaluated */
    int points;                    /* of the curve: */
    double curve[CURVE_POINTS][3]; /* tokens, seconds of training, validation loss */
};

struct record {
    char name[64]; /* of the case */
    char key[17];  /* all that its runs depend on hashed; see key_of() in suite.c */
    char machine[64], processor[128], system[128], build[64], date[11], backend[16];
    int cores, quick;
    int64_t tokens;         /* that a run for the loss was to train on */
    struct bench_run *runs; /* owned */
    int count, room;
};

/* Reads DIR/raw/NAME.json; a file that is not there gives an empty record. */
int record_load(struct record *record, const char *folder, const char *name);

/* Writes it, whole or not at all. */
int record_save(const struct record *record, const char *folder);
void record_free(struct record *record);

/* A copy of *run at the end, or in the place of the run of the same side and pair. */
int record_add(struct record *record, const struct bench_run *run);

/* The run of this side and pair, if it did not fail; NULL: there is none. */
const struct bench_run *record_find(const struct record *record, enum side side, int pair);

#endif
