/* What a timeline says of each op. */
#include <stdlib.h>

#include "base/check.h"
#include "plan/plan.h"
#include "plan/rule.h"

/* Sent by an op of LANE_COMM; with ZeRO 2 exchanges of one op differ from round to round. */
static int64_t sent(const struct plan *plan, const struct op *op) {
    if (op->kind == OP_wait || (op->kind == OP_exchange && plan->zero == 2)) return -1;
    return op_rules[op->kind]->wire ? op_rules[op->kind]->wire(plan, op) : -1;
}

int plan_labels(const struct plan *plan, struct trace_label **labels) {
    *labels = calloc((size_t)plan->n_ops + 1, sizeof **labels);
    if (!*labels) return fail(STATUS_FAILED, "out of memory for the labels of a timeline");
    for (int i = 0; i < plan->n_ops; i++) {
        const struct op *op = &plan->ops[i];
        int talks = op_info[op->kind].lane == LANE_COMM;
        (*labels)[i] = (struct trace_label){.name = op_info[op->kind].name,
                                            .segment = segment_name(op->segment),
                                            .out = op->out[0] == NONE ? NULL : plan->bufs[op->out[0]].name,
                                            .op = i,
                                            .layer = op->layer,
                                            .again = op->again,
                                            .flops = plan_op_flops(plan, op),
                                            .bytes = talks ? sent(plan, op) : plan_op_bytes(plan, op)};
    }
    return 0;
}
