#include "train/loss_scale.h"

int loss_scale_wanted(const struct config_train *train) {
    return train->loss_scaling == LOSS_SCALING_DYNAMIC ||
           (train->loss_scaling == LOSS_SCALING_AUTO && train->precision == PRECISION_FP16);
}

struct loss_scale loss_scale_start(const struct config_train *train) {
    return (struct loss_scale){.scale = loss_scale_wanted(train) ? train->loss_scale : 0};
}

struct loss_scale loss_scale_next(struct loss_scale now, const struct config_train *train, int skipped) {
    if (!now.scale) return now;
    if (skipped) return (struct loss_scale){.scale = now.scale > 1 ? now.scale / 2 : 1};
    if (now.steps + 1 < train->loss_scale_window || now.scale >= LOSS_SCALE_MOST)
        return (struct loss_scale){.scale = now.scale, .steps = now.steps + 1};
    return (struct loss_scale){.scale = now.scale * 2};
}
