/* Passes and checks, without a device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/check.h"
#include "model/model.h"
#include "plan/passes.h"
#include "plan/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct plan *make(int layers, int slots, int micro_batches, int ranks, int rank, double dropout) {
    struct config config;
    struct plan *plan;
    config_defaults(&config);
    config.model.layers = layers;
    config.model.width = 32;
    config.model.heads = 2;
    config.model.context = 16;
    config.model.dropout.attention = config.model.dropout.residual = config.model.dropout.embedding = dropout;
    config.train.slots = slots;
    config.train.micro_batches_per_slot = micro_batches;
    config.dist.bucket_mb = 0.3;
    config.fuse.gelu = 0; /* check_finds_damage() looks for it */
    assert_int_equal(config_check(&config), 0);
    struct plan_request request = {
        .segments = 1u << SEG_MICRO_FIRST | 1u << SEG_EVAL, .rank = rank, .ranks = ranks, .batch = 2, .time = 16};
    if (plan_build(&config, &request, model_forward, &plan)) fail_msg("%s", fail_message());
    return plan;
}

static int find_op(const struct plan *plan, enum op_kind kind) {
    for (int i = 0; i < plan->n_ops; i++)
        if (plan->ops[i].kind == kind) return i;
    fail_msg("no op %s", op_info[kind].name);
    return NONE;
}

static void assert_broken(struct plan *plan, const char *what) {
    assert_int_equal(plan_check(plan, "a mistake"), STATUS_FAILED);
    if (!strstr(fail_message(), what)) fail_msg("'%s' does not say '%s'", fail_message(), what);
    plan_free(plan);
}

/* plan_check must see each kind of damage. */
static void check_finds_damage(void **state) {
    (void)state;
    struct plan *plan = make(2, 4, 1, 1, 0, 0.1);
    assert_int_equal(plan_check(plan, "nothing"), 0);

    int op = find_op(plan, OP_gelu), value = plan->ops[op].in[0];
    plan->ops[op].in[0] = plan->ops[find_op(plan, OP_gelu_grad)].out[0];
    assert_broken(plan, "reads before it is written");

    plan = make(2, 4, 1, 1, 0, 0.1);
    plan->ops[find_op(plan, OP_gelu)].out[0] = value;
    assert_broken(plan, "writes twice");

    plan = make(2, 4, 1, 1, 0, 0.1);
    plan->bufs[plan->ops[find_op(plan, OP_gelu)].out[0]].dim[0]++;
    assert_broken(plan, "shape");

    plan = make(2, 4, 1, 1, 0, 0.1);
    plan->bufs[plan->ops[find_op(plan, OP_gelu)].out[0]].offset = plan->bufs[value].offset;
    assert_broken(plan, "share memory");

    plan = make(2, 4, 1, 1, 0, 0.1);
    plan->bufs[value].offset = plan->arena_bytes;
    assert_broken(plan, "outside the arena");

    plan = make(2, 4, 1, 1, 0, 0.1);
    plan->ops[find_op(plan, OP_linear)].in[6] = 0;
    assert_broken(plan, "bad input");

    plan = make(2, 4, 1, 1, 0, 0.1);
    plan->ops[find_op(plan, OP_xent_grad)].out[0] = plan->tokens;
    assert_broken(plan, "plan is broken");

    plan = make(2, 4, 1, 1, 0, 0.1);
    plan->bufs[plan->params[0].buf].offset = buf_bytes(&plan->bufs[plan->flat_params]);
    assert_broken(plan, "alias reaches out");
}

/* Memory is used again: an arena far below the sum of all values, and not below what is live at once. */
static void arena_is_shared(void **state) {
    (void)state;
    struct plan *plan = make(6, 4, 1, 1, 0, 0);
    int64_t sum = 0, live = 0, most = 0;
    for (int b = 0; b < plan->n_bufs; b++)
        if (plan->bufs[b].kind == BUF_ACT && plan->bufs[b].first != NONE) sum += buf_bytes(&plan->bufs[b]);
    for (int i = plan->segment_begin[SEG_MICRO_FIRST]; i < plan->segment_end[SEG_MICRO_FIRST]; i++) {
        int64_t at = plan->ops[i].at;
        live = 0;
        for (int j = plan->segment_begin[SEG_MICRO_FIRST]; j < plan->segment_end[SEG_MICRO_FIRST]; j++)
            for (int o = 0; o < MAX_OUT; o++) {
                int id = plan->ops[j].out[o];
                if (id == NONE || plan->bufs[id].kind != BUF_ACT) continue;
                if (plan->bufs[id].takes != NONE && plan->bufs[id].first == at)
                    continue; /* one block with what it takes */
                if (plan->bufs[id].first <= at && at <= plan->bufs[id].last) live += buf_bytes(&plan->bufs[id]);
            }
        if (live > most) most = live;
    }
    int64_t arena = plan->arena_bytes - plan->persistent_bytes;
    assert_true(arena >= most);
    assert_true(arena < sum * 2 / 3);
    if (arena > most * 11 / 10)
        fail_msg("arena %lld, most live %lld", (long long)arena,
                 (long long)most); /* the packing wastes at most a tenth here */
    plan_free(plan);
}

static void flops_are_those_of_the_formula(void **state) {
    (void)state;
    struct plan *plan = make(3, 1, 1, 1, 0, 0);
    /* A matrix weight costs 2 operations a token forward and 4 backward. */
    int64_t matrices = 0, tokens = 32;
    for (int i = 0; i < plan->n_params; i++)
        if (plan->params[i].decay && strcmp(plan->params[i].name, "wpe")) matrices += plan->params[i].elems;
    int64_t flops = plan_flops(plan, SEG_MICRO_FIRST);
    assert_true(flops > 6 * matrices * tokens);
    assert_true(flops < 6 * matrices * tokens * 13 / 10); /* the rest: attention, norms, GELU, biases, loss */
    plan_free(plan);
}

/* Bytes on the wire: with aligned ranks each rank sends what a ring reduce-scatter and a ring all-gather send together. */
static void wire_bytes_are_a_rings(void **state) {
    (void)state;
    for (int ranks = 2; ranks <= 8; ranks *= 2) {
        int64_t total = 0, flat = 0;
        for (int rank = 0; rank < ranks; rank++) {
            struct plan *plan = make(2, 8, 1, ranks, rank, 0);
            total += plan_wire_bytes(plan);
            flat = plan->flat_elems * 4;
            plan_free(plan);
        }
        int64_t ring = 2 * (ranks - 1) * flat, losses = (ranks - 1) * 8 * (int64_t)sizeof(double);
        int64_t norms = (ranks - 1) * ((flat / 4 + CHUNK - 1) / CHUNK) * (int64_t)sizeof(double);
        assert_int_equal(total, ring + losses + norms);
    }
}

/* A clone rounds and draws as its original did: the same attributes, sites too. */
static void clones_keep_their_sites(void **state) {
    (void)state;
    struct plan *plan = make(2, 4, 3, 1, 0, 0.1);
    int n = plan->segment_end[SEG_MICRO_NEXT] - plan->segment_begin[SEG_MICRO_NEXT], dropouts = 0;
    assert_int_equal(n, plan->segment_end[SEG_MICRO_FIRST] - plan->segment_begin[SEG_MICRO_FIRST]);
    for (int i = 0; i < n; i++) {
        const struct op *a = &plan->ops[plan->segment_begin[SEG_MICRO_FIRST] + i];
        const struct op *b = &plan->ops[plan->segment_begin[SEG_MICRO_NEXT] + i];
        assert_int_equal(a->kind, b->kind);
        assert_memory_equal(&a->attr, &b->attr, sizeof a->attr);
        for (int o = 0; o < op_info[b->kind].outs; o++) {
            int id = b->out[o];
            if (id == NONE) continue;
            int grad = plan->bufs[id].kind == BUF_GRAD || id == plan->slot_losses;
            assert_int_equal(b->add >> o & 1, grad);
        }
        dropouts += a->kind == OP_dropout;
    }
    assert_int_equal(dropouts, 2 * (1 + 2 * 2)); /* forward and backward of the embedding's and two a layer */
    plan_free(plan);
}

static void more_ranks_than_slots_are_refused(void **state) {
    (void)state;
    struct config config;
    struct plan *plan;
    config_defaults(&config);
    assert_int_equal(config_check(&config), 0);
    struct plan_request request = {.segments = 1u << SEG_MICRO_FIRST, .rank = 0, .ranks = 9, .batch = 1, .time = 16};
    assert_int_equal(plan_build(&config, &request, model_forward, &plan), STATUS_USAGE);
    assert_non_null(strstr(fail_message(), "train.slots is 8"));
    assert_null(plan);
}

/* The null backend walks every segment of a plan. */
static void null_backend_runs(void **state) {
    (void)state;
    struct plan *plan = make(2, 4, 2, 1, 0, 0.1);
    struct store store = {0};
    struct comm comm = {.transport = &transport_self, .size = 1, .local_size = 1};
    struct exec *exec;
    assert_int_equal(backend_null.load(plan, &store, &comm, &exec), 0);
    for (int s = 0; s < SEG_COUNT; s++) assert_int_equal(backend_null.run(exec, (enum segment)s), 0);
    double losses[4] = {1, 2, 3, 4}, back[4];
    assert_int_equal(backend_null.copy(exec, plan->slot_losses, 0, losses, sizeof losses, COPY_TO_DEVICE), 0);
    assert_int_equal(backend_null.copy(exec, plan->slot_losses, 0, back, sizeof back, COPY_TO_HOST), 0);
    assert_memory_equal(losses, back, sizeof back);
    backend_null.unload(exec);
    plan_free(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_finds_damage),      cmocka_unit_test(arena_is_shared),
        cmocka_unit_test(wire_bytes_are_a_rings),  cmocka_unit_test(flops_are_those_of_the_formula),
        cmocka_unit_test(clones_keep_their_sites), cmocka_unit_test(more_ranks_than_slots_are_refused),
        cmocka_unit_test(null_backend_runs),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
