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
enum { PARAM_ALIGN = 64 };
static inline int64_t plan_param_space(const struct param *param) {
    return (param->elems + PARAM_ALIGN - 1) / PARAM_ALIGN * PARAM_ALIGN;
}

/* Whether one op stands for its parts: `fused`, its key in config->fuse, says so, and the plan is not to be plain. */
static inline int plan_fuses(const struct config *config, int fused) { return config->train.compile && fused; }

/* layout.c: places every parameter in the flat space, those that decay first, each at a multiple of 64 elements. */
int plan_layout(struct plan *plan);

/* A part of a flat buffer, [begin, begin + elems), as a buffer of its own; the buffer itself where it is all of it. */
int plan_view(struct plan *plan, int flat, int64_t begin, int64_t elems, int *view);

/* The last of `count` ops whose result is a gradient in the bucket; -1: none. */
int plan_ready_after(const struct plan *plan, const struct op *ops, int count, struct span bucket);

/* shard.c: cuts the flat space into buckets and this rank's shard, and creates what training keeps of it: moments and gradients. */
int plan_shard(struct plan *plan, const struct config *config);

/* The lines of bucket `b`: what goes to the owners, and what comes back from them. */
static inline int plan_line_out(int b) { return 1 + 2 * b; }
static inline int plan_line_back(int b) { return 2 + 2 * b; }

/* reduce.c: the sum over slots and ranks in parts, appended to the newest segment. begin: what does not depend on buckets; start: what this
 * rank has of bucket `b` leaves for its owners; finish: the owner's sum is made and, where all need it, on its way back; wait: it is there. */
int plan_reduce_begin(struct plan *plan, const struct config *config);
int plan_reduce_start(struct plan *plan, const struct config *config, int b,
                      int idle); /* idle: in a round without a slot */
int plan_reduce_finish(struct plan *plan, const struct config *config, int b, int idle);
int plan_reduce_wait(struct plan *plan, const struct config *config, int b);
int plan_reduce_fold(struct plan *plan, int last); /* of the whole space, on one rank */

/* overlap.c: before the first op of `segment` that reads parameters of a bucket, waits for those that are on their way. */
int plan_await_params(struct plan *plan, enum segment segment);

/* Puts an op in front of op `at` of a segment that is complete, op->segment. */
int plan_insert_op(struct plan *plan, int at, const struct op *op);

/* guard.c: with guard.every or guard.audit_every, the hashes; those of a leaf of bucket `b` are appended before anything is added to it. */
int plan_guard(struct plan *plan, const struct config *config);
int plan_audit_begin(struct plan *plan, const struct config *config);
int plan_audit_bucket(struct plan *plan, int b);

/* races.c: nothing touches what communication under way uses. */
int plan_check_races(const struct plan *plan);

/* update.c: appends what makes the parameters that ops read of those that this rank keeps: casts, and where each rank has updated its
 * shard alone, the gathering. Nothing where they are the same. */
int plan_spread_params(struct plan *plan, int overlap);

#endif
