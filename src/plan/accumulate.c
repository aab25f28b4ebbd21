/* Gradient accumulation: the micro-batches of a leaf after the first are the same ops, but what outlives the micro-batch
 * (weight gradients, the slot's loss) is added to. The clones use the same values, so they share memory. */
#include "plan/passes.h"

#include "base/check.h"

static int outlives_micro_batch(const struct plan *plan, int buf) {
    return buf != NONE && (plan->bufs[buf_root(plan, buf, NULL)].kind == BUF_GRAD || buf == plan->slot_losses);
}

static int clone_segment(struct plan *plan, enum segment segment, int add) {
    plan_begin_segment(plan, segment);
    for (int i = plan->segment_begin[SEG_MICRO_FIRST]; i < plan->segment_end[SEG_MICRO_FIRST]; i++) {
        struct op op = plan->ops[i];
        for (int o = 0; add && o < op_info[op.kind].outs; o++)
            if (outlives_micro_batch(plan, op.out[o])) op.add |= 1u << o;
        TRY(plan_add_op(plan, &op));
    }
    return plan_end_segment(plan, segment);
}

int plan_accumulate(struct plan *plan) {
    int added = plan->running_sum ? plan_n_slots(plan) * plan->micro_batches > 1 : plan->micro_batches > 1;
    if (added) TRY(clone_segment(plan, SEG_MICRO_NEXT, 1));
    return clone_segment(plan, SEG_MICRO_LAST, added);
}
