/* Ops that training on several ranks has and training on one has not: the hashes of the guard and the audit, the sum of a piece in
 * rounds (ZeRO 2), what came over the wire in halves, and the update of a part of the space. */
#include "op_case.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "plan/passes.h"
#include "plan/tree.h"

/* Bytes as they are. */
static void read_bytes(const struct trial *t, const char *name, void *bytes, int64_t count) {
    if (backend_cpu.copy(t->exec, trial_find(t, name), 0, bytes, count, COPY_TO_HOST)) fail_msg("%s", fail_message());
}

static void write_bytes(struct trial *t, const char *name, const void *bytes, int64_t count) {
    if (backend_cpu.copy(t->exec, trial_find(t, name), 0, (void *)(uintptr_t)bytes, count, COPY_TO_DEVICE))
        fail_msg("%s", fail_message());
}

/* ---- hash ---- */

enum { HASH_SPLIT = 24 }; /* words of the first part */

static int add_hash(struct builder *b, const char *result, int x, int64_t begin, int added, int audit) {
    struct op op = builder_op(b, OP_hash);
    op.in[0] = x;
    op.attr.begin = begin;
    op.attr.audit = audit;
    op.attr.word_bytes = (int64_t)dtype_size(b->plan->bufs[x].type);
    op.add = (unsigned)added;
    op.out[0] = plan_find(b->plan, result);
    if (op.out[0] == NONE) TRY(case_buffer(b, result, BUF_RESULT, DTYPE_U8, 8, 0, &op.out[0]));
    return plan_add_op(b->plan, &op);
}

/* "x" of `width` words as a whole, in two parts, and where the step asks for it. */
static int hash_ops(const struct op_case *row, struct builder *b, int *y) {
    int x, part;
    int64_t in_word = 8 / (int64_t)dtype_size(b->type), split = HASH_SPLIT * in_word;
    *y = NONE;
    TRY(case_buffer(b, "x", BUF_GRAD, b->type, row->width * in_word, 0, &x));
    TRY(add_hash(b, "whole", x, 0, 0, 0));
    TRY(plan_view(b->plan, x, 0, split, &part));
    TRY(add_hash(b, "parts", part, 0, 0, 0));
    TRY(plan_view(b->plan, x, split, row->width * in_word - split, &part));
    TRY(add_hash(b, "parts", part, split, 1, 0));
    return add_hash(b, "audited", x, 0, 0, 1);
}

static uint64_t hash_of(struct trial *t, const uint64_t *words) {
    uint64_t whole, parts;
    write_bytes(t, "x", words, t->row->width * 8);
    trial_run(t, SEG_MICRO_FIRST);
    read_bytes(t, "whole", &whole, 8);
    read_bytes(t, "parts", &parts, 8);
    assert_true(whole == parts);
    return whole;
}

static void fill_words(uint64_t *words, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        struct philox random = philox((uint32_t)i, 0, 0, 0, 5, 0);
        words[i] = (uint64_t)random.word[0] << 32 | random.word[1];
    }
}

/* Every bit of every word; and what single bits do not show: bytes lost, words that have changed places, two flips of one bit. */
static void test_hash_sees_changes(void **state) {
    (void)state;
    enum { WORDS = 70 };
    static const struct op_case row = {.name = "hash", .emit = hash_ops, .batch = 1, .time = 1, .width = WORDS};
    struct trial t;
    uint64_t words[WORDS], same[WORDS] = {0};
    trial_open(&t, &row, DTYPE_F32);
    for (int zeros = 0; zeros < 2; zeros++) {
        if (zeros)
            memset(words, 0, sizeof words);
        else
            fill_words(words, WORDS);
        uint64_t hash = hash_of(&t, words), word;
        assert_true(hash_of(&t, words) == hash);
        for (int i = 0; i < WORDS; i++)
            for (int bit = 0; bit < 64; bit++) {
                words[i] ^= UINT64_C(1) << bit;
                assert_true(hash_of(&t, words) != hash);
                words[(i + 1) % WORDS] ^= UINT64_C(1) << bit;
                assert_true(hash_of(&t, words) != hash);
                words[i] ^= UINT64_C(1) << bit;
                words[(i + 1) % WORDS] ^= UINT64_C(1) << bit;
                word = words[i];
                words[i] = bit % 2 ? word | UINT64_C(0xff) << bit / 8 * 8 : word & ~(UINT64_C(0xff) << bit / 8 * 8);
                if (words[i] != word) assert_true(hash_of(&t, words) != hash);
                words[i] = word;
            }
        for (int i = 0; i < WORDS; i++)
            for (int k = 0; k < i && !zeros; k++) {
                word = words[i], words[i] = words[k], words[k] = word;
                assert_true(hash_of(&t, words) != hash);
                word = words[i], words[i] = words[k], words[k] = word;
            }
        assert_true(hash_of(&t, words) == hash);
    }
    same[0] = 1; /* one bit, at each place */
    uint64_t first = hash_of(&t, same);
    for (int i = 1; i < WORDS; i++) {
        same[i - 1] = 0;
        same[i] = 1;
        assert_true(hash_of(&t, same) != first);
    }
    trial_close(&t);
}

/* Bits alone count: not their type, and not the number of threads. */
static void test_hash_is_one(void **state) {
    (void)state;
    enum { WORDS = 40003 };
    static const enum dtype types[] = {DTYPE_F32, DTYPE_F64, DTYPE_BF16, DTYPE_F16};
    static const struct op_case row = {.name = "hash", .emit = hash_ops, .batch = 1, .time = 1, .width = WORDS};
    uint64_t *words = malloc(WORDS * sizeof *words), hash = 0;
    int before = omp_get_max_threads();
    assert_non_null(words);
    fill_words(words, WORDS);
    omp_set_num_threads(3);
    for (int i = 0; i < 4; i++) {
        struct trial t;
        trial_open(&t, &row, types[i]);
        for (int threads = 1; threads <= 3; threads++) {
            omp_set_num_threads(threads);
            uint64_t now = hash_of(&t, words);
            if (!hash) hash = now;
            assert_true(now == hash);
        }
        trial_close(&t);
    }
    omp_set_num_threads(before);
    free(words);
}

static void test_hash_when_asked(void **state) {
    (void)state;
    static const struct op_case row = {.name = "hash", .emit = hash_ops, .batch = 1, .time = 1, .width = 33};
    const uint64_t nothing = 0x1234567890abcdef;
    uint64_t words[33], hash, audited;
    struct trial t;
    struct step_block step = {0};
    fill_words(words, 33);
    trial_open(&t, &row, DTYPE_F32);
    for (step.audit = 0; step.audit < 2; step.audit++) {
        trial_write_step(&t, &step);
        write_bytes(&t, "audited", &nothing, 8);
        hash = hash_of(&t, words);
        read_bytes(&t, "audited", &audited, 8);
        assert_true(audited == (step.audit ? hash : nothing));
    }
    trial_close(&t);
}

/* ---- tree_finish, in rounds ---- */

enum { SPACE = 1300, COLUMN = 37, REST = 12, PIECE = 1251, MESSAGE = PIECE + 9, BEFORE = 5, MOST_SLOTS = 17 };
_Static_assert(COLUMN + PIECE + REST == SPACE, "what is around the piece must stay as it is");

/* A part of a piece lies at COLUMN in "shard" and in "held", and at BEFORE in each message. */
static int finish_in_rounds(const struct op_case *row, struct builder *b, int *y) {
    struct op op = builder_op(b, OP_tree_finish);
    struct plan *plan = b->plan;
    enum dtype type = dtype_of_sums(b->type);
    int rows = tree_round_held(row->slots, row->ranks), shard, leaf;
    *y = NONE;
    TRY(case_buffer(b, "leaf", BUF_GRAD, type, SPACE, 0, &leaf));
    TRY(case_buffer(b, "shard", BUF_GRAD, type, SPACE, 0, &shard));
    TRY(case_buffer(b, "staging", BUF_INPUT, type, row->ranks - 1, MESSAGE, &op.in[0]));
    if (rows) TRY(case_buffer(b, "held", BUF_GRAD, type, rows, SPACE, &op.out[1]));
    TRY(plan_view(plan, leaf, REST, PIECE, &op.in[1]));
    TRY(plan_view(plan, shard, COLUMN, PIECE, &op.out[0]));
    op.attr.begin = COLUMN;
    op.attr.column = BEFORE;
    op.attr.rounds = tree_round_program(row->slots, row->ranks, row->rank, &plan->program);
    op.attr.program = plan->program;
    return plan_add_op(plan, &op);
}

static double leaves[MOST_SLOTS][PIECE]; /* floats of many sizes, so that every sum rounds */

static void make_leaves(void) {
    for (int slot = 0; slot < MOST_SLOTS; slot++)
        for (int i = 0; i < PIECE; i++) {
            struct philox random = philox((uint32_t)i, (uint32_t)slot, 0, 0, 78, 0);
            leaves[slot][i] = ldexp((double)(philox_unit(random.word[0]) - 0.5f), -(int)(random.word[1] % 8));
        }
}

static double tree_sum(enum dtype type, int a, int b, int i) {
    if (b - a == 1) return leaves[a][i];
    int half = 1;
    while (half * 2 < b - a) half *= 2;
    double sum = tree_sum(type, a, a + half, i) + tree_sum(type, a + half, b, i);
    return type == DTYPE_F32 ? (double)(float)sum : sum;
}

/* All leaves of a round, as a backward pass and the exchange would leave them; junk where there is none. */
static void bring_leaves(struct trial *t, int round) {
    const struct op_case *row = t->row;
    static double own[SPACE], staging[(MOST_SLOTS - 1) * MESSAGE];
    int messages = 0, end = (round + 1) * row->ranks;
    for (int i = 0; i < SPACE; i++) own[i] = 1e30;
    for (int i = 0; i < (row->ranks - 1) * MESSAGE; i++) staging[i] = 1e30;
    for (int slot = round * row->ranks; slot < end && slot < row->slots; slot++) {
        int mine = slot - round * row->ranks == row->rank;
        memcpy(mine ? own + REST : staging + messages++ * MESSAGE + BEFORE, leaves[slot], sizeof leaves[slot]);
    }
    trial_set_all(t, trial_find(t, "leaf"), own);
    trial_set_all(t, trial_find(t, "staging"), staging);
}

static void check_around(const double *before, const double *after, int rows) {
    for (int r = 0; r < rows; r++) {
        assert_same_bits(before + r * SPACE, after + r * SPACE, COLUMN);
        assert_same_bits(before + r * SPACE + COLUMN + PIECE, after + r * SPACE + COLUMN + PIECE, REST);
    }
}

static void check_rounds(enum dtype type, int slots, int ranks, int rank, const double *want) {
    struct op_case row = {.name = "rounds", .emit = finish_in_rounds, .batch = 1, .time = 1};
    struct trial t;
    row.slots = slots;
    row.ranks = ranks;
    row.rank = rank;
    trial_open(&t, &row, type);
    int rows = tree_round_held(slots, ranks), rounds = tree_rounds(slots, ranks);
    double *shard = trial_named(&t, "shard"), *held = rows ? trial_named(&t, "held") : NULL;
    for (int r = 0; r < rounds; r++) {
        struct step_block step = {.round = r};
        double *now = trial_named(&t, "shard");
        assert_same_bits(now, shard, SPACE); /* it is written in the last round */
        free(now);
        bring_leaves(&t, r);
        trial_write_step(&t, &step);
        trial_run(&t, SEG_MICRO_FIRST);
    }
    double *done = trial_named(&t, "shard"), *kept = rows ? trial_named(&t, "held") : NULL;
    assert_same_bits(done + COLUMN, want, PIECE);
    check_around(shard, done, 1);
    check_around(held, kept, rows);
    free(shard), free(held), free(done), free(kept);
    trial_close(&t);
}

static void test_rounds(void **state) {
    (void)state;
    static double want[PIECE];
    make_leaves();
    for (int k = 0; k < TYPES; k++)
        for (int slots = 2; slots <= MOST_SLOTS; slots++) {
            for (int i = 0; i < PIECE; i++) want[i] = tree_sum(real_types[k], 0, slots, i);
            for (int ranks = 2; ranks <= slots; ranks++)
                for (int rank = 0; rank < ranks; rank++) check_rounds(real_types[k], slots, ranks, rank, want);
        }
}

/* ---- widen ---- */

enum { ALL_HALVES = 65536 };

static int widen_op(const struct op_case *row, struct builder *b, int *y) {
    struct op op = builder_op(b, OP_widen);
    (void)row;
    *y = NONE;
    TRY(case_buffer(b, "halves", BUF_INPUT, b->type, ALL_HALVES, 0, &op.in[0]));
    TRY(case_buffer(b, "wide", BUF_GRAD, DTYPE_F32, ALL_HALVES, 0, &op.out[0]));
    return plan_add_op(b->plan, &op);
}

/* By the definition: sign, exponent, digits. */
static double value_of_half(int bits, int exponent_bits) {
    int digits = 15 - exponent_bits, exponent = bits >> digits & ((1 << exponent_bits) - 1);
    int digit = bits & ((1 << digits) - 1), bias = (1 << (exponent_bits - 1)) - 1;
    double size = exponent == 2 * bias + 1 ? digit ? NAN : INFINITY
                  : exponent               ? ldexp((1 << digits) + digit, exponent - bias - digits)
                                           : ldexp(digit, 1 - bias - digits);
    return bits >> 15 ? -size : size;
}

static void check_widen(enum dtype type, int exponent_bits) {
    static const struct op_case row = {.name = "widen", .emit = widen_op, .batch = 1, .time = 1};
    static uint16_t halves[ALL_HALVES];
    static float wide[ALL_HALVES];
    struct trial t;
    trial_open(&t, &row, type);
    for (int i = 0; i < ALL_HALVES; i++) halves[i] = (uint16_t)i;
    write_bytes(&t, "halves", halves, sizeof halves);
    trial_run(&t, SEG_MICRO_FIRST);
    read_bytes(&t, "wide", wide, sizeof wide);
    for (int i = 0; i < ALL_HALVES; i++) {
        double want = value_of_half(i, exponent_bits), got = (double)wide[i];
        if (isnan(want) ? !isnan(got) : memcmp(&want, &got, sizeof want) != 0)
            fail_msg("%s %04x becomes %a, not %a", dtype_name(type), (unsigned)i, got, want);
    }
    trial_close(&t);
}

static void test_widen(void **state) {
    (void)state;
    check_widen(DTYPE_BF16, 8);
    check_widen(DTYPE_F16, 5);
}

/* ---- clear ---- */

enum { CLEAR_BEGIN = 128, CLEAR = 64, CLEAR_SPACE = 320 };

static int clear_op(const struct op_case *row, struct builder *b, int *y) {
    struct op op = builder_op(b, OP_clear);
    int space;
    (void)row;
    *y = NONE;
    TRY(case_buffer(b, "space", BUF_GRAD, dtype_of_sums(b->type), CLEAR_SPACE, 0, &space));
    TRY(plan_view(b->plan, space, CLEAR_BEGIN, CLEAR, &op.out[0]));
    return plan_add_op(b->plan, &op);
}

/* Zeros, whose sign is positive, in the view and nowhere else. */
static void test_clear(void **state) {
    (void)state;
    static const struct op_case row = {.name = "clear", .emit = clear_op, .batch = 1, .time = 1};
    static const double zeros[CLEAR];
    static const enum dtype types[] = {DTYPE_F32, DTYPE_F64, DTYPE_BF16, DTYPE_F16};
    for (int k = 0; k < 4; k++) {
        struct trial t;
        trial_open(&t, &row, types[k]);
        double *before = trial_named(&t, "space");
        trial_run(&t, SEG_MICRO_FIRST);
        double *after = trial_named(&t, "space");
        const int end = CLEAR_BEGIN + CLEAR;
        assert_same_bits(after, before, CLEAR_BEGIN);
        assert_same_bits(after + CLEAR_BEGIN, zeros, CLEAR);
        assert_same_bits(after + end, before + end, CLEAR_SPACE - end);
        assert_true(before[CLEAR_BEGIN] != 0);
        free(before), free(after);
        trial_close(&t);
    }
}

/* ---- adamw on a part of the space ---- */

static struct span updated; /* what the emit function below updates; end 0: all */

/* Parameters "w", which decay, and "b"; the update alone. */
static int update_part(const struct op_case *row, struct builder *b, int *y) {
    struct plan *plan = b->plan;
    struct op op = builder_op(b, OP_adamw);
    int w, bias;
    *y = NONE;
    TRY(builder_param(b, "w", row->out, row->width, 0, 0, &w));
    TRY(builder_param(b, "b", row->hidden, 0, 0, 0, &bias));
    TRY(plan_layout(plan));
    TRY(plan_shard(plan, b->config));
    int64_t begin = updated.begin, elems = (updated.end ? updated.end : plan->flat_elems) - begin;
    int64_t border = plan->decay_end - begin;
    op.attr.decay_end = border < 0 ? 0 : border < elems ? border : elems;
    op.attr.beta1 = 0.9;
    op.attr.beta2 = 0.95;
    op.attr.eps = 1e-8;
    op.attr.decay = 0.1;
    TRY(plan_view(plan, plan->flat_grads, begin, elems, &op.in[0]));
    TRY(plan_view(plan, plan->flat_params, begin, elems, &op.out[0]));
    TRY(plan_view(plan, plan->flat_m, begin, elems, &op.out[1]));
    TRY(plan_view(plan, plan->flat_v, begin, elems, &op.out[2]));
    return plan_add_op(plan, &op);
}

static const struct op_case part_of_update = {
    .name = "part of the update",
    .emit = update_part,
    .batch = 1,
    .time = 1,
    .out = 91,
    .width = 83,
    .hidden = 13001,
    .step = {.lr = 0.01, .adam_step = 3, .clip_scale = 0.5},
};

/* Parameters and moments, before and after the update of `part`. */
static void run_update(struct span part, enum dtype type, double *before[4], double *after[3], int64_t *elems,
                       int64_t *border) {
    struct trial t;
    updated = part;
    trial_open(&t, &part_of_update, type);
    const int bufs[] = {t.plan->flat_params, t.plan->flat_m, t.plan->flat_v, t.plan->flat_grads};
    for (int k = 0; k < 4; k++) before[k] = trial_values(&t, bufs[k]);
    trial_run(&t, SEG_MICRO_FIRST);
    for (int k = 0; k < 3; k++) after[k] = trial_values(&t, bufs[k]);
    *elems = t.plan->flat_elems;
    *border = t.plan->decay_end;
    trial_close(&t);
}

/* Loshchilov & Hutter 2019, algorithm 2. */
static void check_formula(double *const before[4], double *const after[3], int64_t i, int decays, double tolerance) {
    double g = before[3][i] * 0.5, m = 0.9 * before[1][i] + 0.1 * g, v = 0.95 * before[2][i] + 0.05 * g * g;
    double step = m / (1 - pow(0.9, 4)) / (sqrt(v / (1 - pow(0.95, 4))) + 1e-8);
    assert_near("m", i, after[1][i], m, tolerance);
    assert_near("v", i, after[2][i], v, tolerance);
    assert_near("params", i, after[0][i], before[0][i] - 0.01 * (step + (decays ? 0.1 * before[0][i] : 0)), tolerance);
}

/* The update of a part leaves in it the bits of the update of all, and elsewhere what was there. */
static void check_part(struct span part, enum dtype type, double *const whole[3]) {
    double *before[4], *after[3];
    int64_t elems, border;
    run_update(part, type, before, after, &elems, &border);
    int64_t end = part.end ? part.end : elems;
    for (int k = 0; k < 3; k++) {
        assert_same_bits(after[k], before[k], part.begin);
        assert_same_bits(after[k] + part.begin, whole[k] + part.begin, end - part.begin);
        assert_same_bits(after[k] + end, before[k] + end, elems - end);
    }
    for (int k = 0; k < 4; k++) free(before[k]);
    for (int k = 0; k < 3; k++) free(after[k]);
}

/* w takes the first 7616 elements: the border of decay lies behind the part, in it, on its borders, and before it. */
static void test_update_of_parts(void **state) {
    (void)state;
    static const struct span parts[] = {{0, 4096},    {64, 7552},    {64, 7616},    {4096, 12288}, {7552, 7680},
                                        {7616, 7680}, {7616, 15360}, {8192, 16384}, {12288, 0},    {0, 0}};
    for (int k = 0; k < TYPES; k++) {
        double *before[4], *whole[3];
        int64_t elems, border;
        run_update((struct span){0, 0}, real_types[k], before, whole, &elems, &border);
        assert_int_equal(border, 7616);
        for (int64_t i = 0; i < elems; i++)
            check_formula(before, whole, i, i < border, real_types[k] == DTYPE_F32 ? 1e-6 : 1e-14);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) check_part(parts[i], real_types[k], whole);
        for (int i = 0; i < 4; i++) free(before[i]);
        for (int i = 0; i < 3; i++) free(whole[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_sees_changes),
        cmocka_unit_test(test_hash_is_one),
        cmocka_unit_test(test_hash_when_asked),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_widen),
        cmocka_unit_test(test_clear),
        cmocka_unit_test(test_update_of_parts),
    };
    return cmocka_run_group_tests_name("op_ranks", tests, NULL, NULL);
}
