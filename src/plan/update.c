/* The update segment: the norm of the step's gradient, the decision to skip, and AdamW over the flat space. */
#include "plan/passes.h"

#include "base/check.h"

int plan_cast_params(struct plan *plan) {
    if (plan->flat_copy == plan->flat_params) return 0;
    struct op cast = plan_new_op(OP_cast);
    cast.in[0] = plan->flat_params;
    cast.out[0] = plan->flat_copy;
    return plan_add_op(plan, &cast);
}

/* One op for the whole space, or one for each tensor, as a loop over parameters would do it; what pads a tensor goes with it and
 * stays 0. Ranges begin and end at whole vectors, so that kernels compute each element in the same way in both. */
static int add_adamw(struct plan *plan, struct op *adamw, int fused) {
    adamw->attr.begin = 0;
    adamw->attr.end = plan->flat_elems;
    if (fused) return plan_add_op(plan, adamw);
    for (int i = 0; i < plan->n_params; i++) {
        adamw->attr.begin = plan->params[i].offset;
        adamw->attr.end = plan->params[i].offset + plan_param_space(&plan->params[i]);
        TRY(plan_add_op(plan, adamw));
    }
    return 0;
}

int plan_update(struct plan *plan, const struct config *config) {
    struct buf partial = {.kind = BUF_ACT, .name = "norm.partial", .type = DTYPE_F64, .rank = 1, .alias = NONE};
    partial.dim[0] = (plan->flat_elems + CHUNK - 1) / CHUNK;
    int partial_id;
    TRY(plan_add_buf(plan, &partial, &partial_id));
    plan_begin_segment(plan, SEG_UPDATE);

    struct op squares = plan_new_op(OP_sum_squares), clip = plan_new_op(OP_clip), adamw = plan_new_op(OP_adamw);
    squares.out[0] = partial_id;
    squares.in[0] = plan->flat_grads;
    clip.in[0] = partial_id;
    clip.in[1] = plan->slot_losses;
    clip.attr.max_norm = config->train.clip;
    adamw.in[0] = plan->flat_grads;
    adamw.out[0] = plan->flat_params;
    adamw.out[1] = plan->flat_m;
    adamw.out[2] = plan->flat_v;
    adamw.attr.beta1 = config->train.betas[0];
    adamw.attr.beta2 = config->train.betas[1];
    adamw.attr.eps = config->train.eps;
    adamw.attr.decay = config->train.weight_decay;
    adamw.attr.decay_end = plan->decay_end;
    TRY(plan_add_op(plan, &squares));
    TRY(plan_add_op(plan, &clip));
    TRY(add_adamw(plan, &adamw, plan_fuses(config, config->fuse.adamw)));
    TRY(plan_cast_params(plan));
    return plan_end_segment(plan, SEG_UPDATE);
}
