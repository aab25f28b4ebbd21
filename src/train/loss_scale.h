/* Dynamic loss scaling (Micikevicius et al. 2018, section 3.2): gradients of fp16 values are multiplied by a power of two, so that small
 * ones do not vanish, and divided by it where their norm is taken. A scale that makes one overflow is halved, and the step is
 * skipped; one that has served for a while is doubled. A power of two changes no bit of a number that it does not push out of range. */
#ifndef TRAIN_LOSS_SCALE_H
#define TRAIN_LOSS_SCALE_H

#include "config/config.h"

struct loss_scale {
    int64_t scale; /* a power of two; 0: losses are not scaled */
    int64_t steps; /* since it last changed */
};

enum { LOSS_SCALE_MOST = 1 << 24 };

/* Whether a config scales losses. */
int loss_scale_wanted(const struct config_train *train);

/* At step 0. */
struct loss_scale loss_scale_start(const struct config_train *train);

/* After a step. */
struct loss_scale loss_scale_next(struct loss_scale scale, const struct config_train *train, int skipped);

#endif
