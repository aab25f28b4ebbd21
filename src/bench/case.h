/* A case: one optimization against its baseline, described by a YAML file in bench/cases/. case.c has the table of its keys. */
#ifndef BENCH_CASE_H
#define BENCH_CASE_H

#include "config/config.h"

enum side { BASELINE, OPTIMIZED, SIDES };
enum { MOST_SEEDS = 16 };

struct bench_case {
    char name[64]; /* of the file, without .yaml */
    char title[CONFIG_TEXT], config[CONFIG_TEXT];
    char set[CONFIG_LIST]; /* of both sides: a line "key=value" for each */
    char speed_set
        [CONFIG_LIST]; /* of both sides in runs that are only timed, which then alone count for memory and speed */
    char quick_set[CONFIG_LIST]; /* of both sides with --quick */
    struct case_side {
        char set[CONFIG_LIST];
        int64_t ranks; /* 0: as run_all is told */
    } side[SIDES];
    int64_t threads;              /* of each rank; 0: its share of the cores */
    int64_t tokens, quick_tokens; /* trained on for the loss; with --quick */
    int64_t speed_steps;          /* of the runs that are only timed */
    char seeds_text[CONFIG_LIST];
    int64_t seeds[MOST_SEEDS];
    int n_seeds;
    char files[CONFIG_LIST]; /* what belongs to it, with commas between; "" where it is only a setting */
    double hours;
    char dependencies[CONFIG_TEXT], expected_memory[CONFIG_TEXT], expected_speed[CONFIG_TEXT],
        expected_loss[CONFIG_TEXT];
    char use_when[CONFIG_TEXT], skip_when[CONFIG_TEXT], trade_offs[CONFIG_TEXT], upkeep[CONFIG_TEXT];
    int chosen;    /* by --only */
    int64_t lines; /* of code in `files`, without blank lines and comments */
};

/* Reads and checks a case; paths in it start at `root`. Both sides' settings are tried on its config. */
int case_load(struct bench_case *c, const char *path, const char *root);

/* All cases of a folder in the order of their names; chosen are those that `only` names (commas between; NULL: all). The array is the
 * caller's to free(). */
int case_load_all(const char *folder, const char *root, const char *only, struct bench_case **cases, int *count);

/* The config that a side runs with, checked; `for_loss`: a run that trains, and not one that is only timed. */
int case_config(const struct bench_case *c, enum side side, int for_loss, const char *root, struct config *config);

/* What --quick makes of a case: quick_set is set too, and one model serves for loss and speed. */
void case_make_quick(struct bench_case *c);

/* Whether memory and speed are measured with another model than the loss is. */
int case_speed_apart(const struct bench_case *c);

int64_t case_tokens_per_step(const struct config *config);

/* Steps of a run for the loss: those that train on the case's tokens, rounded up. */
int64_t case_steps(const struct bench_case *c, const struct config *config, int quick);

/* Prints the keys that a case may have. */
void case_help(FILE *out);

#endif
