/* Places parameters in the flat space. Those that get weight decay come first, so that one border tells AdamW which are
 * which. */
#include "plan/passes.h"

int plan_layout(struct plan *plan) {
    enum dtype copy = plan->bufs[plan->flat_copy].type;
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
    plan->shard_elems = plan->flat_elems;
    return 0;
}
