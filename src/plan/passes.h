/* What the passes share with each other and with nobody else. */
#ifndef PLAN_PASSES_H
#define PLAN_PASSES_H

#include "plan/plan.h"

int plan_add_param(struct plan *plan, const struct param *param);

/* Ops appended between the two calls are the segment. */
void plan_begin_segment(struct plan *plan, enum segment segment);
int plan_end_segment(struct plan *plan, enum segment segment);

/* Runs the op's shape rule on its inputs; `outs` gets type, rank and dimensions of the outputs in `wanted` (bits). */
int plan_shape(const struct plan *plan, const struct op *op, unsigned wanted, struct buf outs[MAX_OUT]);

/* Elements of the flat space from a parameter to the next one: so many that each begins at a whole number of cache lines
 * and of vectors in every type. */
static inline int64_t plan_param_space(const struct param *param) {
    enum { ALIGN = 64 };
    return (param->elems + ALIGN - 1) / ALIGN * ALIGN;
}

/* Whether one op stands for its parts: `fused`, its key in config->fuse, says so, and the plan is not to be plain. */
static inline int plan_fuses(const struct config *config, int fused) { return config->train.compile && fused; }

/* layout.c: places every parameter in the flat space, those that decay first, each at a multiple of 64 elements; creates
 * the flat buffers (parameters; for training also moments and gradients). */
int plan_layout(struct plan *plan, int training);

/* update.c: appends the cast to the copy that ops read; nothing where they read the parameters themselves. */
int plan_cast_params(struct plan *plan);

#endif
