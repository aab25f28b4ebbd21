/* Ops one by one and in company. Every row of the table (op_table.c) goes through the checks that it names:
 *
 *   GRADIENT   in double, the gradient of each input and parameter is what central differences of sum(y * dy) give
 *   PRECISION  the kernels for float and for double agree, and those for bf16 and fp16 as far as their 8 and 11 bits go
 *   THREADS    in float, bf16 and fp16, 1, 2 and 3 threads leave the same bits in all that outlives a segment
 *   PARTS      in all four types, fused ops leave the bits of their parts
 *
 * What ops mean, and what no gradient shows, is tested in test_op_properties.c. */
#include "op_compare.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "plan/rule.h"

/* Ops that no row has, and where they are tested. */
static const struct {
    enum op_kind op;
    const char *where;
} elsewhere[] = {
    {OP_exchange, "messages between ranks: training on several ranks"},
    {OP_wait, "messages between ranks: training on several ranks"},
    {OP_all_gather, "messages between ranks: training on several ranks"},
    {OP_gather_losses, "messages between ranks: training on several ranks"},
    {OP_gather_norms, "messages between ranks: training on several ranks"},
    {OP_all_reduce, "messages between ranks: training on several ranks"},
    {OP_reduce_scatter, "messages between ranks: training on several ranks"},
    {OP_widen, "every value: test_op_ranks.c"},
    {OP_clear, "what it writes: test_op_ranks.c"},
    {OP_hash, "what it sees: test_op_ranks.c"},
    {OP_cast, "the copy of the parameters, in every bf16 trial: test_op_training.c"},
};

/* ---- GRADIENT ---- */

/* d sum(y * dy) / d x[i], by central differences. Differences of y are taken before they are added up, so that an element
 * of y that does not depend on x[i] brings no rounding. */
static double difference(struct trial *t, int x, int64_t i, double value, const double *dy) {
    const double step = 0x1p-17;
    double up = value + step, down = value - step, sum = 0;
    trial_set(t, x, i, up);
    trial_run(t, SEG_EVAL);
    double *y_up = trial_values(t, t->y);
    trial_set(t, x, i, down);
    trial_run(t, SEG_EVAL);
    double *y_down = trial_values(t, t->y);
    trial_set(t, x, i, value);
    for (int64_t k = 0; k < trial_elems(t, t->y); k++) sum += (y_up[k] - y_down[k]) * dy[k];
    free(y_up);
    free(y_down);
    return sum / (up - down);
}

/* Each element to 1e-6 of itself or of the root mean square, whichever is larger. */
static void compare_with_differences(struct trial *t, int x, const double *dy) {
    const struct plan *plan = t->plan;
    if (plan->bufs[x].grad == NONE) fail_msg("%s: %s has no gradient", t->row->name, plan->bufs[x].name);
    double *values = trial_values(t, x), *grad = trial_values(t, plan->bufs[x].grad), squares = 0;
    int64_t elems = trial_elems(t, x);
    assert_int_equal(trial_elems(t, plan->bufs[x].grad), elems);
    for (int64_t i = 0; i < elems; i++) squares += grad[i] * grad[i];
    double rms = sqrt(squares / (double)elems);
    for (int64_t i = 0; i < elems; i++) {
        double expected = difference(t, x, i, values[i], dy);
        if (!(fabs(grad[i] - expected) <= 1e-6 * fmax(rms, fabs(expected))))
            fail_msg("%s: gradient of %s[%lld] is %.12g, by differences %.12g", t->row->name, plan->bufs[x].name,
                     (long long)i, grad[i], expected);
    }
    free(values);
    free(grad);
}

static void check_gradient(const struct op_case *row) {
    struct trial t;
    int checked = 0;
    trial_open(&t, row, DTYPE_F64);
    assert_int_not_equal(t.y, NONE);
    trial_run(&t, SEG_MICRO_FIRST);
    double *dy = trial_values(&t, t.dy);
    for (int x = 0; x < t.dy; x++) {
        const struct buf *buf = &t.plan->bufs[x];
        int is_input = buf->kind == BUF_INPUT && buf->type == DTYPE_F64;
        int is_param = buf->kind == BUF_PARAM && buf->alias != NONE;
        if (!is_input && !is_param) continue;
        compare_with_differences(&t, x, dy);
        checked++;
    }
    assert_true(checked > 0);
    free(dy);
    trial_close(&t);
}

/* ---- PRECISION ---- */

static void check_precision(const struct op_case *row, enum dtype type) {
    op_compare_with_double(row, type, &backend_cpu, type == DTYPE_F32 ? 1e-6 : type == DTYPE_F16 ? 1.5e-3 : 1e-2);
}

/* ---- THREADS ---- */

static void set_threads(int threads) {
    int team = 0;
    omp_set_num_threads(threads);
#pragma omp parallel reduction(+ : team)
    team += 1;
    assert_int_equal(team, threads); /* or the comparison would compare nothing */
}

/* Runs all, and keeps the values of what is observed or compares them with those that were kept. */
static void run_and_compare(struct trial *t, int threads, double **kept, struct step_block *step) {
    struct step_block now;
    trial_fill(t);
    trial_run_all(t);
    op_keep_or_compare(t, kept, "threads", threads);
    trial_read_step(t, &now);
    assert_int_equal(omp_get_max_threads(), threads); /* nothing that ran has changed it */
    if (threads == 1) *step = now;
    assert_memory_equal(step, &now, sizeof now);
}

static void check_threads(const struct op_case *row, enum dtype type) {
    enum { MOST = 3 };
    struct trial t;
    struct step_block step;
    int before = omp_get_max_threads();
    omp_set_num_threads(MOST); /* scratch is sized at load */
    trial_open(&t, row, type);
    double **kept = calloc((size_t)t.plan->n_bufs, sizeof *kept);
    assert_non_null(kept);
    for (int threads = 1; threads <= MOST; threads++) {
        set_threads(threads);
        run_and_compare(&t, threads, kept, &step);
    }
    for (int buf = 0; buf < t.plan->n_bufs; buf++) free(kept[buf]);
    free(kept);
    trial_close(&t);
    omp_set_num_threads(before);
}

static void test_case(void **state) {
    const struct op_case *row = *state;
    if (row->checks & GRADIENT) check_gradient(row);
    if (row->checks & PARTS) op_compare_parts(row, DTYPE_F64, &backend_cpu);
    static const enum dtype types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    for (int i = 0; i < 3; i++) {
        const enum dtype type = types[i];
        if (row->checks & PARTS) op_compare_parts(row, type, &backend_cpu);
        if (row->checks & PRECISION) check_precision(row, type);
        if (row->checks & THREADS) check_threads(row, type);
    }
}

/* ---- the walk over op.def ---- */

/* Every op has a row with the checks that can be made of it, or a place in the list of those tested elsewhere. */
static void test_every_op_has_a_case(void **state) {
    (void)state;
    unsigned seen[OP_COUNT] = {0};
    for (int i = 0; i < op_table_count; i++) {
        struct trial t;
        trial_open(&t, &op_table[i], DTYPE_F64);
        for (int k = 0; k < t.plan->n_ops; k++) seen[t.plan->ops[k].kind] |= op_table[i].checks;
        trial_close(&t);
    }
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        assert_int_equal(seen[elsewhere[i].op], 0);
        seen[elsewhere[i].op] = ALL;
    }
    for (int k = 0; k < OP_COUNT; k++) {
        unsigned wanted = op_rules[k]->grad ? ALL : PRECISION | THREADS;
        if ((seen[k] & wanted) != wanted)
            fail_msg(
                "op %s is in no case of this table, or in none with gradients, and not in the list of those tested "
                "elsewhere",
                op_info[k].name);
    }
}

int main(void) {
    enum { MOST = 400 };
    struct CMUnitTest tests[MOST] = {cmocka_unit_test(test_every_op_has_a_case)};
    if (op_table_count >= MOST) return 1;
    for (int i = 0; i < op_table_count; i++)
        tests[i + 1] = (struct CMUnitTest){op_table[i].name, test_case, NULL, NULL, (void *)(uintptr_t)&op_table[i]};
    return _cmocka_run_group_tests("ops", tests, (size_t)op_table_count + 1, NULL, NULL);
}
