/* Fusion: neighbours that one kernel computes in one pass over memory become one op. It comes last, when clones stand where they will run;
 * a fused op gives the bits of its parts, so which neighbours meet changes nothing but time. Each row can be switched off alone. */
#include "plan/passes.h"

#include "base/check.h"

/* sum = a + b, followed by a norm of sum. */
static int fuse_add_norm(const struct op *add, const struct op *norm, struct op *fused) {
    int layernorm = norm->kind == OP_layernorm;
    if (add->kind != OP_add || (!layernorm && norm->kind != OP_rmsnorm) || norm->in[0] != add->out[0]) return 0;
    *fused = plan_new_op(layernorm ? OP_add_layernorm : OP_add_rmsnorm);
    fused->segment = norm->segment;
    fused->layer = norm->layer;
    fused->again = norm->again;
    fused->attr = norm->attr;
    fused->out[0] = add->out[0];
    for (int k = 0; k < 3; k++) fused->out[k + 1] = norm->out[k];
    fused->in[0] = add->in[0];
    fused->in[1] = add->in[1];
    fused->in[2] = norm->in[1];
    fused->in[3] = layernorm ? norm->in[2] : NONE;
    return 1;
}

int plan_fuse(struct plan *plan, enum segment segment, const struct config *config) {
    int begin = plan->segment_begin[segment], end = plan->segment_end[segment], kept = begin;
    if (!config->train.compile || !config->fuse.norm) return 0;
    for (int i = begin; i < end; i++) {
        struct op fused, op = plan->ops[i];
        if (i + 1 < end && fuse_add_norm(&op, &plan->ops[i + 1], &fused)) {
            op = fused;
            i++;
        }
        plan->ops[kept++] = op;
    }
    plan->n_ops = kept; /* the segment is the newest */
    return plan_end_segment(plan, segment);
}
