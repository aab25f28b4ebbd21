/* The ops around the gradient: what becomes of the loss, the sums along the fixed tree, the norm and the update. Each against
 * its formula in op.def, written down again here in the plainest way. */
#include "op_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "plan/passes.h"
#include "plan/tree.h"

/* ---- the loss ---- */

/* Segment micro_first: the clamp of "x" to "y", its gradient, the record of the loss, and the seed. micro_next: the record
 * of another micro-batch. */
static int loss_ops(const struct op_case *row, struct builder *b, int *y) {
    struct op clamp = builder_op(b, OP_clamp), grad = builder_op(b, OP_clamp_grad),
              record = builder_op(b, OP_record_loss);
    struct op seed = builder_op(b, OP_loss_seed);
    *y = NONE;
    TRY(case_buffer(b, "x", BUF_INPUT, DTYPE_F64, 2, 0, &clamp.in[0]));
    clamp.attr.low = grad.attr.low = row->low;
    clamp.attr.high = grad.attr.high = row->high;
    TRY(emit_op(b, &clamp, "y", 1));
    TRY(case_buffer(b, "dy", BUF_INPUT, DTYPE_F64, 2, 0, &grad.in[0]));
    grad.in[1] = clamp.in[0];
    TRY(emit_op(b, &grad, "dx", 1));
    TRY(emit_op(b, &seed, "dloss", 1));
    record.in[0] = clamp.out[0];
    record.in[1] = clamp.in[0];
    record.out[0] = b->plan->slot_losses;
    TRY(emit_op(b, &record, "", 0));
    TRY(plan_end_segment(b->plan, b->segment));
    case_result(b, clamp.out[0]);
    case_result(b, grad.out[0]);
    case_result(b, seed.out[0]);
    plan_begin_segment(b->plan, SEG_MICRO_NEXT);
    b->segment = SEG_MICRO_NEXT;
    record.add = 1;
    return emit_op(b, &record, "", 0);
}

static int same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

/* A loss, what the clamp makes of it, whether a gradient passes, and what the slot records of it. */
static void check_loss(struct trial *t, double x, double clamped, int passes, double recorded) {
    trial_fill(t);
    trial_set(t, trial_find(t, "x"), 0, x);
    trial_set(t, trial_find(t, "x"), 1, 31);
    double *before = trial_named(t, "slot_losses"), *dy = trial_named(t, "dy");
    trial_run(t, SEG_MICRO_FIRST);
    double *y = trial_named(t, "y"), *dx = trial_named(t, "dx"), *once = trial_named(t, "slot_losses");
    trial_run(
        t, SEG_MICRO_NEXT); /* still at the first micro-batch of the slot, whose gradients go on from another slot's */
    double *again = trial_named(t, "slot_losses");
    struct step_block step = t->row->step;
    step.micro = 1;
    trial_write_step(t, &step);
    trial_run(t, SEG_MICRO_NEXT);
    double *more = trial_named(t, "slot_losses"), *seed = trial_named(t, "dloss");
    assert_true(same(y[0], clamped) && y[1] == 31);
    assert_true(dy[0] != 0 && dx[0] == (passes ? dy[0] : 0) && dx[1] == 0);
    assert_true(same(once[2], recorded) && same(again[2], recorded) && same(more[2], recorded + recorded));
    for (int i = 0; i < t->plan->slots; i++)
        if (i != 2) assert_true(once[i] == before[i] && more[i] == before[i]);
    assert_true(seed[0] == 0.0625 && seed[1] == 0);
    free(before), free(dy), free(y), free(dx), free(once), free(again), free(more), free(seed);
}

static void test_loss(void **state) {
    (void)state;
    static const struct op_case row = {.name = "loss",
                                       .emit = loss_ops,
                                       .batch = 1,
                                       .time = 1,
                                       .low = 0.5,
                                       .high = 4,
                                       .micro_batches = 2,
                                       .step = {.slot = 2, .grad_scale = 0.0625, .weight = 3}};
    for (int i = 0; i < TYPES; i++) {
        struct trial t;
        trial_open(&t, &row, real_types[i]);
        check_loss(&t, 1.5, 1.5, 1, 2.25);
        check_loss(&t, 0.25, 0.5, 0, 0.75);
        check_loss(&t, 9, 4, 0, 6);
        check_loss(&t, 0.5, 0.5, 1, 0.75);
        check_loss(&t, 4, 4, 1, 6);
        check_loss(&t, NAN, NAN, 0, NAN);
        check_loss(&t, INFINITY, 4, 0, INFINITY);
        check_loss(&t, -INFINITY, 0.5, 0, -INFINITY);
        trial_close(&t);
    }
}

/* ---- the tree ---- */

enum { SPACE = 3200, MOST_SLOTS = 9 };

/* The gradient of one slot: floats of many sizes, so that every sum rounds. */
static double leaf_value(int slot, int64_t i) {
    struct philox random = philox((uint32_t)i, (uint32_t)slot, 0, 0, 77, 0);
    return ldexp((double)(philox_unit(random.word[0]) - 0.5f), -(int)(random.word[1] % 8));
}

static double rounded(enum dtype type, double value) { return type == DTYPE_F32 ? (double)(float)value : value; }

/* The definition: [a, b) is the sum of its halves, which split at a plus the largest power of two below b - a. The sum of
 * two floats, rounded to double and then to float, is the float sum. */
static double tree_sum(enum dtype type, int a, int b, int64_t i) {
    if (b - a == 1) return leaf_value(a, i);
    int half = 1;
    while (half * 2 < b - a) half *= 2;
    return rounded(type, tree_sum(type, a, a + half, i) + tree_sum(type, a + half, b, i));
}

static void assert_tree_sums(enum dtype type, struct tree_node node, const double *got, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
        double want = tree_sum(type, node.a, node.b, i);
        assert_same_bits(&got[i - begin], &want, 1);
    }
}

/* This rank's leaves, one after the other. */
static void fold_leaves(struct trial *t, int lo, int hi) {
    double values[SPACE];
    int leaf = trial_find(t, "leaf");
    for (int slot = lo; slot < hi; slot++) {
        struct step_block step = {0};
        for (int64_t i = 0; i < SPACE; i++) values[i] = leaf_value(slot, i);
        trial_set_all(t, leaf, values);
        tree_fold(t->row->slots, lo, slot, &step.held, &step.fold);
        trial_write_step(t, &step);
        trial_run(t, slot == hi - 1 ? SEG_MICRO_LAST : SEG_FOLD);
    }
}

/* The sums of the other ranks, as the exchange would have brought them. */
static void stage_messages(struct trial *t, enum dtype type) {
    const struct op_case *row = t->row;
    int staging = trial_find(t, "staging");
    int64_t piece = SPACE - REDUCE_REST - REDUCE_BEGIN, at = 0;
    for (int rank = 0; rank < row->ranks; rank++) {
        int lo, hi;
        struct tree_node nodes[TREE_MAX_COVER];
        tree_range(row->slots, row->ranks, rank, &lo, &hi);
        int count = tree_cover(row->slots, lo, hi, nodes);
        for (int k = 0; rank != row->rank && k < count; k++)
            for (int64_t i = 0; i < piece; i++)
                trial_set(t, staging, at++, tree_sum(type, nodes[k].a, nodes[k].b, REDUCE_BEGIN + i));
    }
    assert_int_equal(at, trial_elems(t, staging));
}

static void check_rank(enum dtype type, int slots, int ranks, int rank) {
    struct op_case row = {.name = "reduce", .emit = emit_reduce, .batch = 1, .time = 1, .width = SPACE};
    struct tree_node nodes[TREE_MAX_COVER];
    struct trial t;
    int lo, hi;
    row.slots = slots;
    row.ranks = ranks;
    row.rank = rank;
    trial_open(&t, &row, type);
    tree_range(slots, ranks, rank, &lo, &hi);
    fold_leaves(&t, lo, hi);
    int count = tree_cover(slots, lo, hi, nodes);
    double *leaf = trial_named(&t, "leaf"), *held = trial_named(&t, "held");
    for (int k = 0; k < count; k++)
        assert_tree_sums(type, nodes[k], k == count - 1 ? leaf : held + k * SPACE, 0, SPACE);
    if (ranks > 1) {
        stage_messages(&t, type);
        trial_run(&t, SEG_UPDATE);
        double *done = trial_named(&t, "leaf"), *after = trial_named(&t, "held");
        assert_tree_sums(type, (struct tree_node){0, slots}, done + REDUCE_BEGIN, REDUCE_BEGIN, SPACE - REDUCE_REST);
        assert_same_bits(done, leaf, REDUCE_BEGIN);
        assert_same_bits(done + SPACE - REDUCE_REST, leaf + SPACE - REDUCE_REST, REDUCE_REST);
        assert_same_bits(after, held, trial_elems(&t, trial_find(&t, "held")));
        free(done), free(after);
    }
    free(leaf), free(held);
    trial_close(&t);
}

static void test_tree(void **state) {
    (void)state;
    for (int slots = 1; slots <= MOST_SLOTS; slots++)
        for (int ranks = 1; ranks <= slots && ranks <= 4; ranks++)
            for (int rank = 0; rank < ranks; rank++) check_rank(DTYPE_F32, slots, ranks, rank);
    check_rank(DTYPE_F64, 7, 1, 0);
    check_rank(DTYPE_F64, 7, 3, 1);
}

/* Otherwise the test above could not tell the tree from another order. */
static void test_order_shows(void **state) {
    (void)state;
    for (int slots = 4; slots <= MOST_SLOTS; slots++) {
        int differ = 0;
        for (int64_t i = 0; i < SPACE; i++) {
            double sum = leaf_value(0, i);
            for (int slot = 1; slot < slots; slot++) sum = rounded(DTYPE_F32, sum + leaf_value(slot, i));
            differ += sum != tree_sum(DTYPE_F32, 0, slots, i);
        }
        assert_true(differ > SPACE / 10);
    }
}

/* The program is evaluated as it stands, whatever tree it came from. */
static void test_program(void **state) {
    (void)state;
    static const int programs[][9] = {
        {2, 7, 0, 1, 2, TREE_ADD, TREE_ADD},
        {2, 7, 0, 1, TREE_ADD, 2, TREE_ADD},
        {2, 9, TREE_HELD, TREE_OWN, TREE_ADD, TREE_HELD - 1, 2, TREE_ADD, TREE_ADD},
        {2, 9, 2, TREE_OWN, 0, TREE_HELD - 1, TREE_ADD, TREE_ADD, TREE_ADD},
        {2, 3, TREE_OWN},
        {2, 3, TREE_HELD - 1},
    };
    static const struct op_case row = {.name = "program",
                                       .emit = emit_reduce,
                                       .batch = 1,
                                       .time = 1,
                                       .width = SPACE,
                                       .slots = 11,
                                       .ranks = 3,
                                       .rank = 1};
    int64_t piece = SPACE - REDUCE_REST - REDUCE_BEGIN;
    struct trial t;
    trial_open(&t, &row, DTYPE_F32);
    double *leaf = trial_named(&t, "leaf"), *held = trial_named(&t, "held"), *staging = trial_named(&t, "staging");
    struct op *op = &t.plan->ops[t.plan->segment_begin[SEG_UPDATE]];
    assert_int_equal(op->kind, OP_tree_finish);
    for (size_t p = 0; p < sizeof programs / sizeof *programs; p++) {
        op->attr.program = programs[p];
        trial_fill(&t);
        trial_run(&t, SEG_UPDATE);
        double *got = trial_named(&t, "leaf");
        for (int64_t i = 0; i < piece; i++) {
            double stack[8];
            int depth = 0;
            for (int k = programs[p][0]; k < programs[p][1]; k++) {
                int code = programs[p][k];
                if (code == TREE_ADD) {
                    depth--;
                    stack[depth - 1] = rounded(DTYPE_F32, stack[depth - 1] + stack[depth]);
                } else {
                    stack[depth++] = code >= 0          ? staging[code * piece + i]
                                     : code == TREE_OWN ? leaf[REDUCE_BEGIN + i]
                                                        : held[(TREE_HELD - code) * SPACE + REDUCE_BEGIN + i];
                }
            }
            assert_same_bits(&got[REDUCE_BEGIN + i], &stack[0], 1);
        }
        free(got);
    }
    free(leaf), free(held), free(staging);
    trial_close(&t);
}

/* ---- the update ---- */

/* The border of weight decay lies inside a block of the kernel; the flat space has several chunks. */
static const struct op_case update = {
    .name = "update",
    .emit = emit_update,
    .batch = 1,
    .time = 1,
    .out = 91,
    .width = 83,
    .hidden = 140001,
    .clip = 1,
    .step = {.lr = 0.01, .adam_step = 3},
};

/* The same with few parameters. */
static const struct op_case small_update = {
    .name = "small update", .emit = emit_update, .batch = 1, .time = 1, .out = 7, .width = 19, .hidden = 71, .clip = 1};

struct flat {
    double *params, *m, *v, *grads;
};

static struct flat read_flat(const struct trial *t) {
    const struct plan *plan = t->plan;
    return (struct flat){trial_values(t, plan->flat_params), trial_values(t, plan->flat_m),
                         trial_values(t, plan->flat_v), trial_values(t, plan->flat_grads)};
}

static void free_flat(struct flat *flat) { free(flat->params), free(flat->m), free(flat->v), free(flat->grads); }

static void scale_grads(struct trial *t, double factor) {
    double *grads = trial_values(t, t->plan->flat_grads);
    for (int64_t i = 0; i < t->plan->flat_elems; i++) grads[i] *= factor;
    trial_set_all(t, t->plan->flat_grads, grads);
    free(grads);
}

/* sum_squares and clip. */
static void check_norm(enum dtype type, const struct op_case *row, double factor) {
    struct trial t;
    struct step_block step;
    trial_open(&t, row, type);
    scale_grads(&t, factor);
    double *grads = trial_values(&t, t.plan->flat_grads), squares = 0;
    for (int64_t i = 0; i < t.plan->flat_elems; i++) squares += grads[i] * grads[i];
    trial_run(&t, SEG_UPDATE);
    trial_read_step(&t, &step);
    assert_near("norm / expected", 0, step.grad_norm / sqrt(squares), 1, 1e-12);
    double ratio = row->clip / (step.grad_norm + 1e-6);
    assert_near("clip_scale", 0, step.clip_scale, row->clip > 0 && ratio < 1 ? ratio : 1, 0);
    assert_int_equal(step.skip, 0);
    free(grads);
    trial_close(&t);
}

static void test_norm(void **state) {
    (void)state;
    struct op_case no_clip = update;
    no_clip.clip = 0;
    for (int i = 0; i < TYPES; i++) {
        check_norm(real_types[i], &update, 1);    /* far above the largest norm */
        check_norm(real_types[i], &update, 1e-3); /* below it */
        check_norm(real_types[i], &no_clip, 1);
        check_norm(real_types[i], &update, 1e30); /* squares of floats would overflow */
    }
}

/* Algorithm 2 of Loshchilov & Hutter 2019 with its lines as they are printed; the decay is multiplied by lr. */
static void reference_step(const struct trial *t, struct flat *f, double lr, int updates_done) {
    const struct config_train *train = &t->config.train;
    double squares = 0, power1 = 1, power2 = 1;
    for (int64_t i = 0; i < t->plan->flat_elems; i++) squares += f->grads[i] * f->grads[i];
    for (int k = 0; k <= updates_done; k++) {
        power1 *= train->betas[0];
        power2 *= train->betas[1];
    }
    double scale = train->clip / (sqrt(squares) + 1e-6);
    for (int64_t i = 0; i < t->plan->flat_elems; i++) {
        double g = f->grads[i] * (scale < 1 ? scale : 1);
        f->m[i] = train->betas[0] * f->m[i] + (1 - train->betas[0]) * g;
        f->v[i] = train->betas[1] * f->v[i] + (1 - train->betas[1]) * g * g;
        double m = f->m[i] / (1 - power1), v = f->v[i] / (1 - power2);
        double decay = i < t->plan->decay_end ? train->weight_decay : 0;
        f->params[i] -= lr * (m / (sqrt(v) + train->eps) + decay * f->params[i]);
    }
}

static void test_hundred_updates(void **state) {
    (void)state;
    struct trial t;
    int clipped = 0;
    trial_open(&t, &small_update, DTYPE_F64);
    struct flat want = read_flat(&t);
    int64_t n = t.plan->flat_elems;
    for (int64_t i = 0; i < n; i++) want.m[i] = want.v[i] = 0;
    trial_set_all(&t, t.plan->flat_m, want.m);
    trial_set_all(&t, t.plan->flat_v, want.v);
    for (int k = 0; k < 100; k++) {
        struct step_block step = {.lr = 0.02 / (1 + 0.1 * k), .adam_step = k};
        for (int64_t i = 0; i < n; i++) want.grads[i] = leaf_value(k, i) * (k % 3 ? 0.1 : 1);
        trial_set_all(&t, t.plan->flat_grads, want.grads);
        trial_write_step(&t, &step);
        trial_run(&t, SEG_UPDATE);
        trial_read_step(&t, &step);
        clipped += step.clip_scale < 1;
        reference_step(&t, &want, step.lr, k);
        struct flat got = read_flat(&t);
        for (int64_t i = 0; i < n; i++) {
            assert_near("params", i, got.params[i], want.params[i], 1e-12);
            assert_near("m", i, got.m[i], want.m[i], 1e-12);
            assert_near("v", i, got.v[i], want.v[i], 1e-12);
        }
        free_flat(&got);
    }
    assert_true(clipped > 0 && clipped < 100);
    free_flat(&want);
    trial_close(&t);
}

/* Where nothing else moves a parameter, weight decay alone shows: on the matrix, and not on the vector. */
static void test_decay(void **state) {
    (void)state;
    for (int k = 0; k < TYPES; k++) {
        struct trial t;
        trial_open(&t, &update, real_types[k]);
        double *zero = calloc((size_t)t.plan->flat_elems, sizeof *zero);
        assert_non_null(zero);
        trial_set_all(&t, t.plan->flat_m, zero);
        trial_set_all(&t, t.plan->flat_v, zero);
        trial_set_all(&t, t.plan->flat_grads, zero);
        double *w = trial_named(&t, "w"), *b = trial_named(&t, "b"), factor = 1 - 0.01 * t.config.train.weight_decay;
        trial_run(&t, SEG_UPDATE);
        double *new_w = trial_named(&t, "w"), *new_b = trial_named(&t, "b");
        double tolerance = real_types[k] == DTYPE_F32 ? 1e-7 : 1e-15;
        for (int64_t i = 0; i < update.out * update.width; i++) {
            assert_near("w", i, new_w[i], w[i] * factor, tolerance);
            assert_true(new_w[i] != w[i] || w[i] == 0);
        }
        assert_same_bits(new_b, b, update.hidden);
        free(zero), free(w), free(b), free(new_w), free(new_b);
        trial_close(&t);
    }
}

/* An op for each tensor leaves the bits of one op for all of them, padding included. */
static void test_tensor_by_tensor(void **state) {
    (void)state;
    for (int k = 0; k < TYPES; k++) {
        struct op_case row = update;
        struct flat flat[2];
        int64_t elems = 0;
        for (row.parts = 0; row.parts < 2; row.parts++) {
            struct trial t;
            trial_open(&t, &row, real_types[k]);
            int ops = 0;
            for (int i = 0; i < t.plan->n_ops; i++) ops += t.plan->ops[i].kind == OP_adamw;
            assert_int_equal(ops, row.parts ? t.plan->n_params : 1);
            trial_run(&t, SEG_UPDATE);
            flat[row.parts] = read_flat(&t);
            elems = t.plan->flat_elems;
            trial_close(&t);
        }
        assert_same_bits(flat[0].params, flat[1].params, elems);
        assert_same_bits(flat[0].m, flat[1].m, elems);
        assert_same_bits(flat[0].v, flat[1].v, elems);
        free_flat(&flat[0]), free_flat(&flat[1]);
    }
}

/* The copy of the parameters is what rounding to nearest makes of each, also after the update has written them. */
static void check_cast(enum dtype type, int digits) {
    struct trial t;
    trial_open(&t, &update, type);
    assert_int_not_equal(t.plan->flat_copy, t.plan->flat_params);
    for (int updated = 0; updated < 2; updated++) {
        double *params = trial_values(&t, t.plan->flat_params), *copy = trial_values(&t, t.plan->flat_copy);
        for (int64_t i = 0; i < t.plan->flat_elems; i++) {
            int exponent;
            frexp(params[i], &exponent);
            if (type == DTYPE_F16 && exponent < -13) exponent = -13; /* denormal */
            double near = ldexp(nearbyint(ldexp(params[i], digits - exponent)), exponent - digits);
            assert_same_bits(&copy[i], &near, 1);
        }
        free(params), free(copy);
        trial_run(&t, SEG_UPDATE);
    }
    trial_close(&t);
}

static void test_cast(void **state) {
    (void)state;
    check_cast(DTYPE_BF16, 8);
    check_cast(DTYPE_F16, 11);
}

/* A power of two on the gradients, told as the loss scale, changes nothing but where a number would leave its range. */
static void test_loss_scale(void **state) {
    (void)state;
    for (int k = 0; k < TYPES; k++) {
        struct trial t;
        struct step_block step, scaled;
        trial_open(&t, &update, real_types[k]);
        trial_run(&t, SEG_UPDATE);
        trial_read_step(&t, &step);
        struct flat want = read_flat(&t);
        trial_fill(&t);
        scale_grads(&t, 1024);
        scaled = update.step;
        scaled.loss_scale = 1024;
        trial_write_step(&t, &scaled);
        trial_run(&t, SEG_UPDATE);
        trial_read_step(&t, &scaled);
        struct flat got = read_flat(&t);
        assert_same_bits(&scaled.grad_norm, &step.grad_norm, 1);
        assert_true(scaled.clip_scale == step.clip_scale / 1024 && step.clip_scale < 1);
        assert_same_bits(got.params, want.params, t.plan->flat_elems);
        assert_same_bits(got.m, want.m, t.plan->flat_elems);
        assert_same_bits(got.v, want.v, t.plan->flat_elems);
        free_flat(&got), free_flat(&want);
        trial_close(&t);
    }
}

/* One value that is not finite, and the update writes nothing at all; without it the same update writes. */
static void check_skip(struct trial *t, int buf, int64_t element, double poison) {
    struct step_block step;
    trial_fill(t);
    if (buf != NONE) trial_set(t, buf, element, poison);
    struct flat before = read_flat(t);
    trial_run(t, SEG_UPDATE);
    struct flat after = read_flat(t);
    int64_t n = t->plan->flat_elems;
    trial_read_step(t, &step);
    assert_int_equal(step.skip, buf != NONE);
    if (buf != NONE) {
        assert_same_bits(before.params, after.params, n);
        assert_same_bits(before.m, after.m, n);
        assert_same_bits(before.v, after.v, n);
    } else {
        int64_t moved = 0;
        for (int64_t i = 0; i < n; i++) moved += before.m[i] != after.m[i];
        assert_true(moved > n / 2);
    }
    free_flat(&before);
    free_flat(&after);
}

static void test_skip(void **state) {
    (void)state;
    for (int k = 0; k < TYPES; k++) {
        struct trial t;
        trial_open(&t, &update, real_types[k]);
        int grads = t.plan->flat_grads, losses = t.plan->slot_losses;
        check_skip(&t, NONE, 0, 0);
        check_skip(&t, grads, 0, NAN);
        check_skip(&t, grads, 140001, INFINITY);
        check_skip(&t, grads, trial_elems(&t, grads) - 1, -INFINITY);
        check_skip(&t, losses, 0, NAN);
        check_skip(&t, losses, t.plan->slots - 1, INFINITY);
        check_skip(&t, NONE, 0, 0);
        trial_close(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_order_shows),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_hundred_updates),
        cmocka_unit_test(test_decay),
        cmocka_unit_test(test_cast),
        cmocka_unit_test(test_loss_scale),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_tensor_by_tensor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
