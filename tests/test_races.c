/* Communication under way: plans of all kinds are free of races and agree between ranks, and damaged ones are refused. The grain is
 * small (CHUNK), so that a small model has many buckets. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "model/model.h"
#include "plan/passes.h"
#include "plan/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { MOST_RANKS = 5, SLOTS = 5 };

struct kind {
    int ranks, zero, overlap, vendor, micro_batches, guard, recompute, precision;
    double budget_mb; /* of recomputation */
};

static void name_of(const struct kind *k, char text[160]) {
    snprintf(text, 160,
             "ranks %d, zero %d, overlap %d, vendor %d, micro-batches %d, guard %d, recompute %d, precision %d",
             k->ranks, k->zero, k->overlap, k->vendor, k->micro_batches, k->guard, k->recompute, k->precision);
}

static int build(const struct kind *kind, int rank, struct plan **plan) {
    struct config config;
    config_defaults(&config);
    config.model.layers = 2;
    config.model.width = 16;
    config.model.heads = 2;
    config.model.context = 8;
    config.model.vocab = 40;
    config.model.vocab_multiple = 1;
    config.train.slots = SLOTS;
    config.train.micro_batches_per_slot = kind->micro_batches;
    config.train.recompute = kind->recompute;
    config.train.recompute_budget_mb = kind->budget_mb;
    config.train.precision = kind->precision;
    config.dist.zero = kind->zero;
    config.dist.overlap = kind->overlap;
    config.dist.reduce = kind->vendor ? REDUCE_VENDOR : REDUCE_TREE;
    config.dist.wire = kind->vendor && kind->recompute ? WIRE_BF16 : WIRE_FP32;
    config.dist.bucket_mb = 6.0 * CHUNK * sizeof(float) / 1048576;
    config.guard.every = kind->guard;
    config.guard.audit_every = kind->guard && !kind->vendor;
    struct plan_request request = {.segments = 1u << SEG_MICRO_FIRST | 1u << SEG_EVAL, .batch = 1, .time = 8};
    request.rank = rank;
    request.ranks = kind->ranks;
    TRY(config_check(&config));
    return plan_build(&config, &request, model_forward, plan);
}

static struct plan *make(const struct kind *kind, int rank) {
    struct plan *plan;
    char name[160];
    name_of(kind, name);
    if (build(kind, rank, &plan)) fail_msg("%s: %s", name, fail_message());
    return plan;
}

/* ---- all kinds of plans ---- */

static int starts(const struct op *op) { return op_info[op->kind].lane == LANE_COMM && op->kind != OP_wait; }

/* What starts in a segment, one after the other; `out` alone: what goes to the owners. */
static int list_starts(const struct plan *plan, enum segment segment, int out, const struct op **list) {
    int count = 0;
    for (int i = plan->segment_begin[segment]; i < plan->segment_end[segment]; i++) {
        const struct op *op = &plan->ops[i];
        if (starts(op) && (!out || op->kind == OP_exchange || op->kind == OP_all_reduce)) list[count++] = op;
    }
    return count;
}

static int same_start(const struct op *a, const struct op *b) {
    return a->kind == b->kind && a->attr.begin == b->attr.begin && a->attr.end == b->attr.end &&
           a->attr.line == b->attr.line;
}

static void compare(const struct kind *kind, const char *where, const struct op *const *a, int n_a,
                    const struct op *const *b, int n_b) {
    char name[160];
    name_of(kind, name);
    for (int i = 0; i < n_a && i < n_b; i++)
        if (!same_start(a[i], b[i]))
            fail_msg("%s: start %d in %s is %s on line %d here and %s on line %d there", name, i, where,
                     op_info[a[i]->kind].name, a[i]->attr.line, op_info[b[i]->kind].name, b[i]->attr.line);
    if (n_a != n_b) fail_msg("%s: in %s %d and %d starts", name, where, n_a, n_b);
}

/* Ranks wait for each other: so what starts is the same on all, in the same order. Only waits for parameters are where the rank's
 * first segment is. In a round without a slot a rank does what the others do in their last micro-batch. */
static void check_agreement(const struct kind *kind, struct plan *const *plans) {
    enum { MOST = 256 };
    const struct op *first[MOST], *other[MOST];
    for (int s = 0; s < SEG_COUNT; s++) {
        int count = list_starts(plans[0], (enum segment)s, 0, first);
        for (int r = 1; r < kind->ranks; r++)
            compare(kind, segment_name((enum segment)s), first, count, other,
                    list_starts(plans[r], (enum segment)s, 0, other));
    }
    int folds = list_starts(plans[0], SEG_FOLD, 1, other);
    assert_int_equal(folds > 0, kind->ranks > 1 && kind->zero == 2 && SLOTS % kind->ranks > 0);
    if (folds)
        compare(kind, "fold and micro_last", first, list_starts(plans[0], SEG_MICRO_LAST, 1, first), other, folds);
    assert_true(kind->ranks == 1 || plans[0]->n_buckets > 4);
}

/* A line is not started again before it was waited for, and nothing is waited for that never starts. */
static void check_lines(const struct plan *plan) {
    for (int i = 0; i < plan->n_ops; i++) {
        int found = 0;
        const struct op *op = &plan->ops[i];
        if (op_info[op->kind].lane != LANE_COMM) continue;
        assert_true(op->attr.line > 0 && op->attr.line <= plan->lines);
        for (int k = 0; k < plan->n_ops && !found; k++)
            found = op_info[plan->ops[k].kind].lane == LANE_COMM && plan->ops[k].attr.line == op->attr.line &&
                    starts(&plan->ops[k]) != starts(op);
        assert_true(found);
    }
}

static int fits(const struct kind *kind) {
    for (int r = 0; r < kind->ranks; r++) {
        struct plan *plan;
        if (build(kind, r, &plan)) return 0;
        plan_free(plan);
    }
    return 1;
}

/* The least of some budgets that all ranks can keep; whether ranks then compute different ops again. */
static int choose_budget(struct kind *kind) {
    struct kind plain = *kind;
    int depths[MOST_RANKS], differ = 0;
    plain.recompute = RECOMPUTE_NONE;
    struct plan *plan;
    double full = 0;
    for (int r = 0; r < kind->ranks; r++) {
        plan = make(&plain, r);
        full = fmax(full, (double)plan_total_bytes(plan) / 1048576);
        plan_free(plan);
    }
    for (int percent = 91; percent <= 100; percent += 3) {
        kind->budget_mb = full * percent / 100;
        if (fits(kind)) break;
    }
    for (int r = 0; r < kind->ranks; r++) {
        plan = make(kind, r);
        depths[r] = plan->recompute_depth;
        differ |= depths[r] != depths[0];
        plan_free(plan);
    }
    return differ;
}

static void check_kind(const struct kind *kind) {
    struct plan *plans[MOST_RANKS];
    for (int r = 0; r < kind->ranks; r++) {
        plans[r] = make(kind, r);
        if (plan_check(plans[r], "all") || plan_check_races(plans[r])) fail_msg("%s", fail_message());
        check_lines(plans[r]);
    }
    check_agreement(kind, plans);
    for (int r = 0; r < kind->ranks; r++) plan_free(plans[r]);
}

static void all_kinds_are_free_of_races(void **state) {
    (void)state;
    static const int recompute[] = {RECOMPUTE_NONE, RECOMPUTE_BLOCK, RECOMPUTE_BUDGET};
    int count = 0, differ = 0;
    for (int ranks = 1; ranks <= MOST_RANKS; ranks++)
        for (int i = 0; i < 3 * 2 * 2 * 2 * 2 * 3 * 2; i++) {
            struct kind kind = {.ranks = ranks, .zero = i % 3, .overlap = i / 3 % 2, .vendor = i / 6 % 2};
            kind.micro_batches = 1 + i / 12 % 2;
            kind.guard = i / 24 % 2;
            kind.recompute = recompute[i / 48 % 3];
            kind.precision = i / 144 % 2 ? PRECISION_BF16 : PRECISION_FP32;
            if (kind.vendor && kind.zero == 2) continue;
            if (kind.recompute == RECOMPUTE_BUDGET && (ranks % 2 == 0 || !kind.overlap)) continue; /* they take long */
            if (kind.recompute == RECOMPUTE_BUDGET) differ += choose_budget(&kind);
            check_kind(&kind);
            count++;
        }
    printf("%d kinds of plans, in %d ranks compute different ops again\n", count, differ);
    assert_true(differ > 0);
}

/* ---- messages ---- */

enum { MOST_MESSAGES = 128 };

/* What one rank says to another in an op, or hears from it. */
struct talk {
    int peer, receives, count;
    int64_t bytes[MOST_MESSAGES], sum;
};

static void listen(void *context, const struct wire *wire) {
    struct talk *talk = context;
    if (wire->peer != talk->peer || wire->receives != talk->receives) return;
    assert_true(talk->count < MOST_MESSAGES && wire->bytes > 0);
    talk->bytes[talk->count++] = wire->bytes;
    talk->sum += wire->bytes;
}

static struct talk talk_of(const struct plan *plan, const struct op *op, int round, int peer, int receives) {
    struct talk talk = {.peer = peer, .receives = receives};
    plan_wire(plan, op, round, listen, &talk);
    return talk;
}

/* How many sums or leaves of the bucket `rank` has for each owner. */
static int64_t sums_of(const struct plan *plan, int round, int rank) {
    struct tree_node nodes[TREE_MAX_COVER];
    int lo, hi, ranks = plan->request.ranks;
    if (plan->zero == 2) return round * ranks + rank < plan->slots;
    tree_range(plan->slots, ranks, rank, &lo, &hi);
    return tree_cover(plan->slots, lo, hi, nodes);
}

static void check_talk(struct plan *const *plans, const struct op *const *ops, int round) {
    int ranks = plans[0]->request.ranks;
    for (int from = 0; from < ranks; from++)
        for (int to = 0; to < ranks; to++) {
            if (from == to) continue;
            struct talk said = talk_of(plans[from], ops[from], round, to, 0);
            struct talk heard = talk_of(plans[to], ops[to], round, from, 1);
            assert_int_equal(said.count, heard.count);
            assert_memory_equal(said.bytes, heard.bytes, sizeof said.bytes);
            if (ops[from]->kind != OP_exchange) continue;
            int b = 0;
            while (plans[from]->buckets[b].begin != ops[from]->attr.begin) b++;
            struct span piece = plan_piece(plans[from], b, to);
            int64_t size = (int64_t)dtype_size(plans[from]->bufs[plans[from]->flat_params].type);
            assert_int_equal(said.sum, sums_of(plans[from], round, from) * (piece.end - piece.begin) * size);
        }
}

/* Each message has its other half, of the same size, in the order of the two lists; owners get what they add and nothing else. */
static void messages_pair_up(void **state) {
    (void)state;
    for (int i = 0; i < 3 * 2 * 2 * (MOST_RANKS - 1); i++) {
        const struct kind kind = {
            .ranks = 2 + i / 12, .zero = i % 3, .overlap = 1, .micro_batches = 1 + i / 3 % 2, .precision = i / 6 % 2};
        struct plan *plans[MOST_RANKS];
        const struct op *starting[MOST_RANKS][256], *ops[MOST_RANKS];
        for (int r = 0; r < kind.ranks; r++) plans[r] = make(&kind, r);
        for (int s = 0; s < SEG_COUNT; s++) {
            int count = 0, rounds = kind.zero == 2 && (s == SEG_MICRO_LAST || s == SEG_FOLD) ? plans[0]->rounds : 1;
            for (int r = 0; r < kind.ranks; r++) count = list_starts(plans[r], (enum segment)s, 0, starting[r]);
            for (int k = 0; k < count; k++) {
                for (int r = 0; r < kind.ranks; r++) ops[r] = starting[r][k];
                for (int round = 0; round < rounds; round++) check_talk(plans, ops, round);
            }
        }
        for (int r = 0; r < kind.ranks; r++) plan_free(plans[r]);
    }
}

/* ---- damage ---- */

static int find(const struct plan *plan, enum segment segment, enum op_kind kind, int line, int from) {
    for (int i = from > plan->segment_begin[segment] ? from : plan->segment_begin[segment];
         i < plan->segment_end[segment]; i++)
        if (plan->ops[i].kind == kind && (!line || plan->ops[i].attr.line == line)) return i;
    fail_msg("no %s in %s", op_info[kind].name, segment_name(segment));
    return NONE;
}

static int line_of(const struct plan *plan, int i) { return plan->ops[i].attr.line; }

static void drop(struct plan *plan, int at) {
    memmove(plan->ops + at, plan->ops + at + 1, (size_t)(plan->n_ops - 1 - at) * sizeof *plan->ops);
    plan->n_ops--;
    for (int s = 0; s < SEG_COUNT; s++) {
        plan->segment_begin[s] -= plan->segment_begin[s] > at;
        plan->segment_end[s] -= plan->segment_end[s] > at;
    }
}

/* The op at `from` comes to stand behind what is at `to`, or before it, in the same segment. */
static void move(struct plan *plan, int from, int to) {
    struct op op = plan->ops[from];
    assert_int_equal(op.segment, plan->ops[to].segment);
    if (from < to)
        memmove(plan->ops + from, plan->ops + from + 1, (size_t)(to - from) * sizeof op);
    else
        memmove(plan->ops + to + 1, plan->ops + to, (size_t)(from - to) * sizeof op);
    plan->ops[to] = op;
}

/* The message names the op, and what it meets. */
static void assert_race(struct plan *plan, enum op_kind op, const char *what, enum op_kind under_way) {
    char first[64], second[64];
    if (plan_check_races(plan) != STATUS_FAILED)
        fail_msg("%s is not seen to meet %s", op_info[op].name, op_info[under_way].name);
    snprintf(first, sizeof first, "(%s, in ", op_info[op].name);
    snprintf(second, sizeof second, " (%s, line ", op_info[under_way].name);
    const char *message = fail_message(), *a = strstr(message, first), *b = a ? strstr(a, what) : NULL;
    if (!b || !strstr(b, second)) fail_msg("'%s' does not tell %s %s %s", message, first, what, second);
    plan_free(plan);
}

static const char touches[] = "touches what is in use by", same_line[] = "starts on the line of";

static struct plan *make_one(int zero, int ranks, int rank) {
    struct kind kind = {.ranks = ranks, .zero = zero, .overlap = 1, .micro_batches = 1};
    return make(&kind, rank);
}

static void waits_that_are_missing(void **state) {
    (void)state;
    for (int zero = 0; zero < 3; zero++) { /* the owner would add what has not come */
        struct plan *plan = make_one(zero, 3, 1);
        drop(plan,
             find(plan, SEG_MICRO_LAST, OP_wait, line_of(plan, find(plan, SEG_MICRO_LAST, OP_exchange, 0, 0)), 0));
        assert_race(plan, OP_tree_finish, touches, OP_exchange);
    }
    struct plan *plan = make_one(2, 3, 2); /* in the round without a slot */
    drop(plan, find(plan, SEG_FOLD, OP_wait, line_of(plan, find(plan, SEG_FOLD, OP_exchange, 0, 0)), 0));
    assert_race(plan, OP_tree_finish, touches, OP_exchange);

    plan = make_one(0, 3, 1); /* the update would read sums of other owners */
    drop(plan, find(plan, SEG_UPDATE, OP_wait, plan_line_back(0), 0));
    assert_race(plan, OP_adamw, touches, OP_all_gather);

    plan = make_one(0, 3, 1);
    drop(plan, find(plan, SEG_UPDATE, OP_wait, line_of(plan, find(plan, SEG_UPDATE, OP_gather_norms, 0, 0)), 0));
    assert_race(plan, OP_clip, touches, OP_gather_norms);

    plan = make_one(1, 3, 1);
    drop(plan, find(plan, SEG_UPDATE, OP_wait, line_of(plan, find(plan, SEG_UPDATE, OP_gather_losses, 0, 0)), 0));
    assert_race(plan, OP_clip, touches, OP_gather_losses);
}

static void assert_forgotten(struct plan *plan, const char *what) {
    assert_int_equal(plan_check(plan, "a test"), STATUS_FAILED);
    if (!strstr(fail_message(), what)) fail_msg("'%s' does not tell that %s", fail_message(), what);
    plan_free(plan);
}

/* Until its wait the memory of what is under way belongs to it: a wait that does not name it would let the memory pass give it away. */
static void waits_that_keep_nothing(void **state) {
    (void)state;
    for (int zero = 0; zero < 3; zero++) {
        struct plan *plan = make_one(zero, 3, 1);
        assert_int_equal(plan_check(plan, "a test"), 0);
        int exchange = find(plan, SEG_MICRO_LAST, OP_exchange, 0, 0);
        struct op *wait = &plan->ops[find(plan, SEG_MICRO_LAST, OP_wait, line_of(plan, exchange), 0)];
        for (int k = 0; k < MAX_IN; k++)
            if (wait->in[k] == plan->ops[exchange].out[0]) wait->in[k] = NONE;
        assert_forgotten(plan, "no wait keeps what is under way: staging");
    }
    struct plan *plan = make_one(2, 3, 1);
    assert_true(plan->n_units > 0);
    int exchange = find(plan, SEG_MICRO_LAST, OP_exchange, 0, 0);
    plan->ops[find(plan, SEG_MICRO_LAST, OP_wait, line_of(plan, exchange), 0)].attr.end--;
    assert_forgotten(plan, "no wait keeps the gradients that are under way");
}

static void drop_parameter_waits(struct plan *plan, enum segment segment) {
    for (int i = plan->segment_begin[segment]; i < plan->segment_end[segment];) {
        const struct op *op = &plan->ops[i];
        int back = 0;
        for (int b = 0; b < plan->n_buckets; b++) back |= op->attr.line == plan_line_back(b);
        if (op->kind == OP_wait && back)
            drop(plan, i);
        else
            i++;
    }
}

/* A rank that does not audit in a step begins it with its own slot; the guard of a checkpoint comes right after the update. */
static void waits_of_steps_that_differ(void **state) {
    (void)state;
    for (int zero = 1; zero < 3; zero++) {
        struct kind kind = {.ranks = 3, .zero = zero, .overlap = 1, .micro_batches = 1, .guard = 1};
        struct plan *plan = make(&kind, 1);
        drop_parameter_waits(plan, plan_micro_segment(plan, 0, 0));
        assert_int_equal(plan_check_races(plan), STATUS_FAILED);
        assert_non_null(strstr(fail_message(), touches));
        plan_free(plan);
        plan = make(&kind, 1);
        drop_parameter_waits(plan, SEG_GUARD);
        assert_race(plan, OP_hash, touches, OP_all_gather);
    }
}

/* Parameters that come back under the next step, or under an evaluation. */
static void waits_for_parameters(void **state) {
    (void)state;
    for (int zero = 1; zero < 3; zero++) {
        struct plan *plan = make_one(zero, 3, 1);
        enum segment first = plan_micro_segment(plan, 0, 0);
        int wait = find(plan, first, OP_wait, 0, 0), at = wait;
        while (plan->ops[at].kind == OP_wait) at++; /* who reads them */
        enum op_kind reader = plan->ops[at].kind;
        while (plan->ops[wait].kind == OP_wait) drop(plan, wait);
        assert_race(plan, reader, touches, OP_all_gather);
    }
    struct plan *plan = make_one(1, 3, 1);
    int wait = find(plan, SEG_EVAL, OP_wait, 0, 0);
    while (plan->ops[wait].kind == OP_wait) drop(plan, wait);
    assert_race(plan, plan->ops[wait].kind, touches, OP_all_gather);
}

static void waits_that_are_late(void **state) {
    (void)state;
    for (int zero = 0; zero < 3; zero++) { /* behind the op that reads what has come */
        struct plan *plan = make_one(zero, 3, 1);
        int wait = find(plan, SEG_MICRO_LAST, OP_wait, line_of(plan, find(plan, SEG_MICRO_LAST, OP_exchange, 0, 0)), 0);
        move(plan, wait, find(plan, SEG_MICRO_LAST, OP_tree_finish, 0, wait));
        assert_race(plan, OP_tree_finish, touches, OP_exchange);
    }
    struct plan *plan = make_one(0, 3, 1);
    move(plan, find(plan, SEG_UPDATE, OP_wait, plan_line_back(0), 0), find(plan, SEG_UPDATE, OP_adamw, 0, 0));
    assert_race(plan, OP_adamw, touches, OP_all_gather);

    plan = make_one(1, 3, 1); /* never: the next step squares sums into what is still on its way */
    int wait = find(plan, SEG_UPDATE, OP_wait, plan->lines, 0);
    drop(plan, wait);
    plan->ops[find(plan, SEG_UPDATE, OP_clip, 0, 0)].in[0] = NONE;
    assert_race(plan, OP_sum_squares, touches, OP_gather_norms);
}

/* The last op before an exchange that makes gradients of its bucket. */
static int last_writer(const struct plan *plan, int exchange) {
    const struct op *ops = plan->ops, *bucket = &ops[exchange];
    for (int i = exchange - 1; i >= plan->segment_begin[SEG_MICRO_LAST]; i--)
        for (int o = 0; o < op_info[ops[i].kind].outs; o++) {
            int64_t begin;
            if (ops[i].kind == OP_fold || !plan_is_grads(plan, ops[i].out[o], &begin)) continue;
            int64_t end = begin + buf_elems(&plan->bufs[ops[i].out[o]]);
            if (begin < bucket->attr.end && bucket->attr.begin < end) return i;
        }
    fail_msg("nothing writes the bucket");
    return NONE;
}

static void ops_in_the_time_of_an_exchange(void **state) {
    (void)state;
    for (int zero = 0; zero < 3; zero++) {
        struct plan *plan = make_one(zero, 3, 1); /* gradients that come when their bucket is gone */
        int exchange = find(plan, SEG_MICRO_LAST, OP_exchange, 0, 0), writer = last_writer(plan, exchange);
        enum op_kind kind = plan->ops[writer].kind;
        move(plan, writer, exchange);
        assert_race(plan, kind, touches, OP_exchange);
    }
    struct plan *plan = make_one(0, 2, 0); /* a sum that is not folded yet */
    int exchange = find(plan, SEG_MICRO_LAST, OP_exchange, 0, 0);
    move(plan, find(plan, SEG_MICRO_LAST, OP_fold, 0, 0), exchange);
    assert_race(plan, OP_fold, touches, OP_exchange);

    plan = make_one(1, 3, 1); /* an update that has not been made when the parameters leave */
    int update = find(plan, SEG_UPDATE, OP_adamw, 0, 0);
    move(plan, update, find(plan, SEG_UPDATE, OP_all_gather, 0, update));
    assert_race(plan, OP_adamw, touches, OP_all_gather);

    plan = make_one(0, 3, 1); /* the owner's sum, gathered before it is made */
    int finish = find(plan, SEG_MICRO_LAST, OP_tree_finish, 0, 0);
    move(plan, finish, find(plan, SEG_MICRO_LAST, OP_all_gather, 0, finish));
    assert_race(plan, OP_tree_finish, touches, OP_all_gather);
}

static void lines_in_use(void **state) {
    (void)state;
    for (int zero = 0; zero < 3; zero++) {
        struct plan *plan = make_one(zero, 3, 1);
        int first = find(plan, SEG_MICRO_LAST, OP_exchange, 0, 0);
        plan->ops[find(plan, SEG_MICRO_LAST, OP_exchange, 0, first + 1)].attr.line = line_of(plan, first);
        assert_race(plan, OP_exchange, same_line, OP_exchange);
    }
    struct plan *plan = make_one(1, 3, 1);
    int losses = find(plan, SEG_UPDATE, OP_gather_losses, 0, 0);
    plan->ops[find(plan, SEG_UPDATE, OP_gather_norms, 0, 0)].attr.line = line_of(plan, losses);
    assert_race(plan, OP_gather_norms, same_line, OP_gather_losses);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_are_free_of_races),
        cmocka_unit_test(messages_pair_up),
        cmocka_unit_test(waits_that_are_missing),
        cmocka_unit_test(waits_that_keep_nothing),
        cmocka_unit_test(waits_for_parameters),
        cmocka_unit_test(waits_of_steps_that_differ),
        cmocka_unit_test(waits_that_are_late),
        cmocka_unit_test(ops_in_the_time_of_an_exchange),
        cmocka_unit_test(lines_in_use),
    };
    return cmocka_run_group_tests_name("races", tests, NULL, NULL);
}
