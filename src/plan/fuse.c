/* Fusion: neighbours that one kernel computes in one pass over memory become one op. It comes last, when clones stand where they will run;
 * a fused op gives the bits of its parts, so which neighbours meet changes nothing but time and memory. Each switch of `fuse` turns off its
 * rows of the table alone. */
#include "plan/passes.h"

#include "base/check.h"

/* One row: `first` makes what `second` reads as its first operand. `join` moves the operands to the fused op and may refuse, with 0. */
struct fusion {
    size_t on; /* of the switch in struct config_fuse */
    enum op_kind first, second, fused;
    int (*join)(const struct op *first, const struct op *second, int inner, struct op *fused);
};

/* What joins are given as `inner`: whether others read the value between the two. */
static int join_sum_norm(const struct op *add, const struct op *norm, int inner, struct op *fused) {
    (void)inner;
    fused->out[0] = add->out[0];
    for (int k = 0; k < 3; k++) fused->out[k + 1] = norm->out[k];
    fused->in[0] = add->in[0];
    fused->in[1] = add->in[1];
    fused->in[2] = norm->in[1];
    fused->in[3] = norm->kind == OP_layernorm ? norm->in[2] : NONE;
    return 1;
}

static int join_activation(const struct op *linear, const struct op *activation, int inner, struct op *fused) {
    fused->out[0] = activation->out[0];
    fused->out[1] = inner || activation->kind == OP_swiglu ? linear->out[0] : NONE;
    for (int k = 0; k < 3; k++) fused->in[k] = linear->in[k];
    return 1;
}

static int join_rope(const struct op *linear, const struct op *rope, int inner, struct op *fused) {
    fused->out[0] = rope->out[0];
    for (int k = 0; k < 3; k++) fused->in[k] = linear->in[k];
    fused->in[3] = rope->in[1];
    fused->in[4] = rope->in[2];
    return !inner;
}

static int join_gradients(const struct op *dx, const struct op *activation, int inner, struct op *fused) {
    fused->out[0] = activation->out[0];
    fused->in[0] = dx->in[0];
    fused->in[1] = dx->in[1];
    fused->in[2] = activation->in[1];
    return !inner && dx->in[2] == NONE;
}

#define SWITCH(name) offsetof(struct config_fuse, name)
static const struct fusion fusions[] = {
    {SWITCH(norm), OP_add, OP_layernorm, OP_add_layernorm, join_sum_norm},
    {SWITCH(norm), OP_add, OP_rmsnorm, OP_add_rmsnorm, join_sum_norm},
    {SWITCH(gelu), OP_linear, OP_gelu, OP_linear_gelu, join_activation},
    {SWITCH(gelu), OP_linear_dx, OP_gelu_grad, OP_linear_dx_gelu, join_gradients},
    {SWITCH(swiglu), OP_linear, OP_swiglu, OP_linear_swiglu, join_activation},
    {SWITCH(swiglu), OP_linear_dx, OP_swiglu_grad, OP_linear_dx_swiglu, join_gradients},
    {SWITCH(rope), OP_linear, OP_rope, OP_linear_rope, join_rope},
};

/* Whether the host, or an op from `begin` on other than `reader`, reads the value. The segment is the newest: nobody follows it yet. */
static int read_by_others(const struct plan *plan, int begin, int reader, int value) {
    if (plan->bufs[value].kind != BUF_ACT) return 1;
    for (int i = begin; i < plan->n_ops; i++)
        for (int k = 0; i != reader && k < MAX_IN; k++)
            if (plan->ops[i].in[k] == value) return 1;
    return 0;
}

/* Fuses op i with the next, if a row has both. */
static int fuse_pair(const struct plan *plan, int i, const struct config *config, struct op *fused) {
    const struct op *first = &plan->ops[i], *second = first + 1;
    for (size_t row = 0; row < sizeof fusions / sizeof *fusions; row++) {
        const struct fusion *f = &fusions[row];
        if (first->kind != f->first || second->kind != f->second || second->in[0] != first->out[0]) continue;
        if (!plan_fuses(config, *(const int *)((const char *)&config->fuse + f->on))) continue;
        *fused = plan_new_op(f->fused);
        fused->segment = second->segment;
        fused->layer = second->layer;
        fused->again = second->again;
        fused->attr = second->attr;
        fused->attr.by_library =
            f->fused == OP_linear_gelu || f->fused == OP_linear_dx_gelu ? config->fuse.epilogue : 0;
        return f->join(first, second, read_by_others(plan, i, i + 1, first->out[0]), fused);
    }
    return 0;
}

int plan_fuse(struct plan *plan, enum segment segment, const struct config *config) {
    int begin = plan->segment_begin[segment], end = plan->segment_end[segment], kept = begin;
    for (int i = begin; i < end; i++) {
        struct op fused, op = plan->ops[i];
        if (i + 1 < end && fuse_pair(plan, i, config, &fused)) {
            op = fused;
            i++;
        }
        plan->ops[kept++] = op;
    }
    plan->n_ops = kept; /* the segment is the newest */
    return plan_end_segment(plan, segment);
}
