/* What a plan costs: operations, memory, bytes on the wire. Nothing here is measured; all follows from the plan. */
#include "plan/plan.h"

#include "base/check.h"
#include "plan/rule.h"
#include "plan/tree.h"

int64_t plan_op_flops(const struct plan *plan, const struct op *op) {
    const struct op_rule *rule = op_rules[op->kind];
    return rule->flops ? rule->flops(plan, op) : 0;
}

int64_t plan_op_bytes(const struct plan *plan, const struct op *op) {
    const struct op_rule *rule = op_rules[op->kind];
    int64_t bytes = 0;
    if (rule->bytes) return rule->bytes(plan, op);
    for (int k = 0; k < MAX_IN; k++)
        if (op->in[k] != NONE) bytes += buf_bytes(&plan->bufs[op->in[k]]);
    for (int k = 0; k < MAX_OUT; k++)
        if (op->out[k] != NONE) bytes += buf_bytes(&plan->bufs[op->out[k]]) * (op->add >> k & 1 ? 2 : 1);
    return bytes;
}

int64_t plan_flops(const struct plan *plan, enum segment segment) {
    int64_t flops = 0;
    for (int i = plan->segment_begin[segment]; i < plan->segment_end[segment]; i++)
        flops += plan_op_flops(plan, &plan->ops[i]);
    return flops;
}

int64_t plan_step_flops(const struct plan *plan) {
    int64_t flops = plan_flops(plan, SEG_UPDATE);
    if (plan->segment_end[SEG_MICRO_FIRST] == plan->segment_begin[SEG_MICRO_FIRST]) return 0;
    int slots = plan_n_slots(plan), rounds = plan_n_rounds(plan);
    for (int i = 0; i < rounds; i++) {
        for (int micro = 0; i < slots && micro < plan->micro_batches; micro++)
            flops += plan_flops(plan, plan_micro_segment(plan, i, micro));
        if (plan_after_slot(plan, i) != SEG_COUNT) flops += plan_flops(plan, plan_after_slot(plan, i));
    }
    return flops;
}

struct sent {
    int64_t bytes;
};

static void add_sent(void *context, const struct wire *wire) {
    if (!wire->receives) ((struct sent *)context)->bytes += wire->bytes;
}

/* Sent by the ops of a segment; any kind: OP_COUNT. */
static int64_t segment_wire(const struct plan *plan, enum segment segment, enum op_kind kind, int round) {
    struct sent sent = {0};
    for (int i = plan->segment_begin[segment]; i < plan->segment_end[segment]; i++) {
        const struct op *op = &plan->ops[i];
        const struct op_rule *rule = op_rules[op->kind];
        if (kind != OP_COUNT && op->kind != kind) continue;
        if (op->kind == OP_exchange)
            plan_wire(plan, op, round, add_sent, &sent);
        else if (rule->wire)
            sent.bytes += rule->wire(plan, op);
    }
    return sent.bytes;
}

int64_t plan_wire_of(const struct plan *plan, enum op_kind kind) {
    int64_t bytes = segment_wire(plan, SEG_UPDATE, kind, 0);
    for (int i = 0; i < (plan->zero == 2 ? plan_n_slots(plan) : 1); i++)
        bytes += segment_wire(plan, SEG_MICRO_LAST, kind, i);
    return bytes;
}

int64_t plan_wire_bytes(const struct plan *plan) { return plan_wire_of(plan, OP_COUNT); }

int64_t plan_kind_bytes(const struct plan *plan, enum buf_kind kind) {
    int64_t bytes = 0;
    for (int i = 0; i < plan->n_bufs; i++)
        if (plan->bufs[i].kind == kind && plan->bufs[i].alias == NONE) bytes += buf_bytes(&plan->bufs[i]);
    return bytes;
}

int64_t plan_store_bytes(const struct plan *plan) {
    return plan_kind_bytes(plan, BUF_PARAM) + plan_kind_bytes(plan, BUF_STATE);
}

int64_t plan_saved_bytes(const struct plan *plan) {
    int64_t begin, end, elems = 0;
    if (plan->flat_m == NONE) return 0;
    tree_piece(0, plan->flat_elems, plan->request.ranks, plan->request.rank, &begin, &end);
    for (int b = 0; plan->zero && b < plan->n_buckets; b++) {
        struct span piece = plan_piece(plan, b, plan->request.rank);
        elems += piece.end - piece.begin;
    }
    if (!plan->zero) elems = end - begin;
    return elems * (int64_t)(dtype_size(plan->bufs[plan->flat_params].type) +
                             dtype_size(plan->bufs[plan->flat_m].type) + dtype_size(plan->bufs[plan->flat_v].type));
}

int64_t plan_total_bytes(const struct plan *plan) { return plan_store_bytes(plan) + plan->arena_bytes; }
