/* Learning-rate schedules. Warmup is linear from 0; then, with progress p from 0 to 1 over the steps that are left:
 *
 *   cosine    lr * max(min_lr_ratio, (1 + cos(pi p)) / 2)       (Loshchilov & Hutter 2017, without restarts)
 *   linear    lr * max(min_lr_ratio, 1 - p)
 *   wsd       lr until p = 0.8, then linear to min_lr_ratio      (warmup, stable, decay: Hu et al. 2024)
 *   constant  lr */
#include "train/train.h"

#include <math.h>

enum { WSD_STABLE_PERCENT = 80 };

double train_learning_rate(const struct config_train *train, int64_t step) {
    double lr = train->lr, floor = train->min_lr_ratio;
    if (step < train->warmup) return lr * (double)step / (double)train->warmup;
    int64_t left = train->steps - train->warmup;
    double p = left > 0 ? (double)(step - train->warmup) / (double)left : 1;
    if (p > 1) p = 1;
    double stable = WSD_STABLE_PERCENT / 100.0;
    switch ((enum schedule_choice)train->schedule) {
    case SCHEDULE_COSINE:
        return lr * fmax(floor, 0.5 * (1 + cos(M_PI * p)));
    case SCHEDULE_LINEAR:
        return lr * fmax(floor, 1 - p);
    case SCHEDULE_WSD:
        return p < stable ? lr : lr * (1 - (1 - floor) * (p - stable) / (1 - stable));
    case SCHEDULE_CONSTANT:
        break;
    }
    return lr;
}
