#include "plan/rules/qkv.h"

static int check_sum(const struct buf *const *in) {
    if (!is_matrix(in[0]) || !same_shape(in[0], in[1]))
        return fail(STATUS_USAGE, "a and b must be matrices of one shape");
    if (!is_vector(in[2], in[0]->dim[1]))
        return fail(STATUS_USAGE, "w must have their width, %lld", (long long)in[0]->dim[1]);
    return 0;
}

static int add_layernorm_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    TRY(check_sum(in));
    if (in[3] && !is_vector(in[3], in[0]->dim[1])) return fail(STATUS_USAGE, "the bias must have w's width");
    set_like(out[0], in[0]);
    set_like(out[1], in[0]);
    set_shape(out[2], dtype_of_sums(in[0]->type), in[0]->dim[0], 0);
    set_shape(out[3], dtype_of_sums(in[0]->type), in[0]->dim[0], 0);
    return 0;
}

static int64_t add_layernorm_flops(const struct plan *plan, const struct op *op) {
    return 8 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_add_layernorm = {.shape = add_layernorm_shape, .flops = add_layernorm_flops};

static int add_rmsnorm_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    TRY(check_sum(in));
    set_like(out[0], in[0]);
    set_like(out[1], in[0]);
    set_shape(out[2], dtype_of_sums(in[0]->type), in[0]->dim[0], 0);
    return 0;
}

static int64_t add_rmsnorm_flops(const struct plan *plan, const struct op *op) {
    return 5 * operand_elems(plan, op->in[0]);
}

const struct op_rule rule_add_rmsnorm = {.shape = add_rmsnorm_shape, .flops = add_rmsnorm_flops};

static int linear_like(const struct op *op, const struct buf *const *in, struct buf *made) {
    struct buf *out[MAX_OUT] = {made};
    return op_rules[OP_linear]->shape(op, in, out);
}

static int linear_gelu_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    struct buf made = {0};
    TRY(linear_like(op, in, &made));
    set_like(out[0], &made);
    set_like(out[1], &made);
    return 0;
}

static int64_t linear_gelu_flops(const struct plan *plan, const struct op *op) {
    return op_rules[OP_linear]->flops(plan, op) + 12 * operand_elems(plan, op->out[0]);
}

const struct op_rule rule_linear_gelu = {.shape = linear_gelu_shape, .flops = linear_gelu_flops};

static int linear_swiglu_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    struct buf made = {0};
    TRY(linear_like(op, in, &made));
    if (made.dim[1] % 2) return fail(STATUS_USAGE, "w must have two halves");
    set_shape(out[0], made.type, made.dim[0], made.dim[1] / 2);
    set_like(out[1], &made);
    return 0;
}

static int64_t linear_swiglu_flops(const struct plan *plan, const struct op *op) {
    return op_rules[OP_linear]->flops(plan, op) + 5 * operand_elems(plan, op->out[0]);
}

const struct op_rule rule_linear_swiglu = {.shape = linear_swiglu_shape, .flops = linear_swiglu_flops};

static int linear_rope_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    struct buf made = {0};
    const struct buf *turned[MAX_IN] = {&made, in[3], in[4]};
    TRY(linear_like(op, in, &made));
    return op_rules[OP_rope]->shape(op, turned, out);
}

static int64_t linear_rope_flops(const struct plan *plan, const struct op *op) {
    int64_t channels = plan->bufs[op->out[0]].dim[0] * (op->attr.heads + op->attr.kv_heads) * op->attr.turning;
    return op_rules[OP_linear]->flops(plan, op) + 3 * channels;
}

const struct op_rule rule_linear_rope = {.shape = linear_rope_shape, .flops = linear_rope_flops};

/* x has as many columns as the dx of the linear layer would have, times `halves`. */
static int check_dx(const struct buf *const *in, int64_t halves) {
    if (!is_matrix(in[0]) || !is_matrix(in[1]) || in[0]->dim[1] != in[1]->dim[0])
        return fail(STATUS_USAGE, "dy must have a column for each row of w");
    if (!is_matrix(in[2]) || in[2]->type != in[0]->type || in[2]->dim[0] != in[0]->dim[0] ||
        in[2]->dim[1] != halves * in[1]->dim[1])
        return fail(STATUS_USAGE, "x must have dy's rows and %lld times w's columns", (long long)halves);
    return 0;
}

static int linear_dx_gelu_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    TRY(check_dx(in, 1));
    set_like(out[0], in[2]);
    return 0;
}

static int64_t linear_dx_gelu_flops(const struct plan *plan, const struct op *op) {
    return op_rules[OP_linear_dx]->flops(plan, op) + 20 * operand_elems(plan, op->in[2]);
}

const struct op_rule rule_linear_dx_gelu = {.shape = linear_dx_gelu_shape, .flops = linear_dx_gelu_flops};

static int linear_dx_swiglu_shape(const struct op *op, const struct buf *const *in, struct buf *const *out) {
    (void)op;
    TRY(check_dx(in, 2));
    set_like(out[0], in[2]);
    return 0;
}

static int64_t linear_dx_swiglu_flops(const struct plan *plan, const struct op *op) {
    return op_rules[OP_linear_dx]->flops(plan, op) + 5 * operand_elems(plan, op->in[2]);
}

const struct op_rule rule_linear_dx_swiglu = {.shape = linear_dx_swiglu_shape, .flops = linear_dx_swiglu_flops};
