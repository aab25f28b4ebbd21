/* Places parameters in the flat space. Those that get weight decay come first, so that one border tells AdamW which are
 * which. */
#include "plan/passes.h"

#include "base/check.h"

static int add_flat(struct plan *plan, const char *name, enum buf_kind kind, enum dtype type, int *id) {
    struct buf buf = {.kind = kind, .type = type, .rank = 1, .dim = {plan->flat_elems}, .alias = NONE};
    snprintf(buf.name, sizeof buf.name, "%s", name);
    return plan_add_buf(plan, &buf, id);
}

int plan_layout(struct plan *plan, int training) {
    enum dtype type = plan->bufs[plan->flat_params].type, copy = plan->bufs[plan->flat_copy].type;
    plan->flat_elems = plan->param_elems = plan->decay_end = 0;
    for (int decay = 1; decay >= 0; decay--) {
        for (int i = 0; i < plan->n_params; i++) {
            struct param *param = &plan->params[i];
            if (param->decay != decay) continue;
            param->offset = plan->flat_elems;
            plan->bufs[param->buf].offset = param->offset * (int64_t)dtype_size(copy);
            plan->flat_elems += plan_param_space(param);
            plan->param_elems += param->used;
        }
        if (decay) plan->decay_end = plan->flat_elems;
    }
    plan->bufs[plan->flat_params].dim[0] = plan->bufs[plan->flat_copy].dim[0] = plan->flat_elems;
    if (!training) return 0;
    TRY(add_flat(plan, "adam.m", BUF_STATE, type, &plan->flat_m));
    TRY(add_flat(plan, "adam.v", BUF_STATE, type, &plan->flat_v));
    return add_flat(plan, "grads", BUF_GRAD, type, &plan->flat_grads);
}
