#include "plan/backward.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "plan/passes.h"
#include "plan/rule.h"

int grad_of(const struct grad_context *context, int value) {
    return value == NONE || value >= context->count ? NONE : context->grad[value];
}

struct op grad_op(enum op_kind kind, const struct op *forward) {
    struct op op = plan_new_op(kind);
    op.segment = forward->segment;
    op.attr = forward->attr;
    return op;
}

/* A new value shaped like `value`, named "d." + its name. An input's gradient is a result that the host can read. */
static int new_grad(struct plan *plan, int value, int *grad) {
    struct buf buf = plan->bufs[value];
    snprintf(buf.name, sizeof buf.name, "d.%.*s", NAME_SIZE - 3, plan->bufs[value].name);
    buf.kind = buf.kind == BUF_INPUT ? BUF_RESULT : BUF_ACT;
    buf.alias = NONE;
    buf.offset = 0;
    return plan_add_buf(plan, &buf, grad);
}

int grad_pass(struct grad_context *context, int value, int grad) {
    int before = context->grad[value];
    if (before != NONE) {
        struct op add = plan_new_op(OP_add);
        add.in[0] = before;
        add.in[1] = grad;
        TRY(new_grad(context->plan, value, &add.out[0]));
        TRY(plan_add_op(context->plan, &add));
        grad = add.out[0];
    }
    context->grad[value] = context->plan->bufs[value].grad = grad;
    return 0;
}

int grad_emit(struct grad_context *context, struct op *op, int value, int prev) {
    TRY(new_grad(context->plan, value, &op->out[0]));
    int before = context->grad[value];
    if (before == NONE || prev == NONE) {
        TRY(plan_add_op(context->plan, op));
        return grad_pass(context, value, op->out[0]);
    }
    op->in[prev] = before;
    context->grad[value] = NONE;
    TRY(plan_add_op(context->plan, op));
    return grad_pass(context, value, op->out[0]);
}

/* What pads a parameter's gradient is sent and added with it, and must be 0; memory that other values have had is not. */
static int clear_padding(struct plan *plan, int grad) {
    struct buf last = plan->bufs[grad];
    int64_t elems = buf_elems(&last), size = (int64_t)dtype_size(last.type);
    if (elems % PARAM_ALIGN == 0) return 0;
    struct op clear = plan_new_op(OP_clear);
    snprintf(last.name, sizeof last.name, "%.40s.end", plan->bufs[grad].name);
    last.rank = 1;
    last.dim[0] = PARAM_ALIGN;
    last.offset += elems / PARAM_ALIGN * PARAM_ALIGN * size;
    TRY(plan_add_buf(plan, &last, &clear.out[0]));
    return plan_add_op(plan, &clear);
}

int grad_param(struct grad_context *context, struct op *op, int i, int param) {
    if (param == NONE) return 0;
    struct plan *plan = context->plan;
    if (plan->bufs[param].grad == NONE) {
        struct buf buf = plan->bufs[param];
        snprintf(buf.name, sizeof buf.name, "d.%.*s", NAME_SIZE - 3, plan->bufs[param].name);
        buf.type = plan->bufs[plan->flat_params].type;
        int64_t begin = buf.offset / (int64_t)dtype_size(plan->bufs[param].type), at;
        plan_grads_at(plan, begin, begin + buf_elems(&buf), &buf.alias, &at);
        buf.kind = plan->bufs[buf.alias].kind;
        buf.offset = at * (int64_t)dtype_size(buf.type);
        int grad;
        TRY(plan_add_buf(plan, &buf, &grad));
        plan->bufs[param].grad = grad;
        if (buf.kind == BUF_LEAF) TRY(clear_padding(plan, grad));
    }
    op->out[i] = plan->bufs[param].grad;
    if (context->written[param]) op->add |= 1u << i;
    context->written[param] = 1;
    return 0;
}

int plan_backward(struct plan *plan, int first_op, int loss, int dloss) {
    struct grad_context context = {.plan = plan, .count = plan->n_bufs};
    context.grad = malloc((size_t)plan->n_bufs * sizeof *context.grad);
    context.written = calloc((size_t)plan->n_bufs, 1);
    int status = context.grad && context.written ? 0 : fail(STATUS_FAILED, "plan: out of memory");
    for (int i = 0; !status && i < plan->n_bufs; i++) context.grad[i] = NONE;
    if (!status) context.grad[loss] = plan->bufs[loss].grad = dloss;
    for (int i = plan->n_ops - 1; !status && i >= first_op; i--) {
        struct op forward = plan->ops[i]; /* a copy: appending may move the array */
        const struct op_rule *rule = op_rules[forward.kind];
        if (!rule->grad || forward.out[0] == NONE || grad_of(&context, forward.out[0]) == NONE) continue;
        status = rule->grad(&context, &forward);
    }
    free(context.grad);
    free(context.written);
    return status;
}
