#include "plan/rules/rules.h"

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
