/* Places parameters in the flat space. Those that get weight decay come first, so that one border tells AdamW which are
 * which. Parts of that space. */
#include "plan/passes.h"

#include "base/check.h"

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

int plan_view(struct plan *plan, int flat, int64_t begin, int64_t elems, int *view) {
    const struct buf *root = &plan->bufs[flat];
    *view = flat;
    if (begin == 0 && elems == root->dim[0]) return 0;
    struct buf part = {.kind = root->kind, .type = root->type, .rank = 1, .dim = {elems}, .alias = flat};
    part.offset = begin * (int64_t)dtype_size(root->type);
    snprintf(part.name, sizeof part.name, "%.20s[%lld:%lld]", root->name, (long long)begin, (long long)(begin + elems));
    return plan_add_buf(plan, &part, view);
}

int plan_ready_after(const struct plan *plan, const struct op *ops, int count, struct span bucket) {
    for (int i = count - 1; i >= 0; i--)
        for (int o = 0; o < op_info[ops[i].kind].outs; o++) {
            int64_t begin;
            if (!plan_is_grads(plan, ops[i].out[o], &begin)) continue;
            int64_t end = begin + buf_elems(&plan->bufs[ops[i].out[o]]);
            if (begin < bucket.end && bucket.begin < end) return i;
        }
    return -1;
}
