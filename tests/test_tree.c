/* The fixed tree, symbolically: whoever computes which leaves, the sum is the same expression. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/kernel.h"
#include "plan/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* An expression is the hash of its two sides, so that another order or grouping gives another value. */
static uint64_t leaf(int i) { return 0x9E3779B97F4A7C15u * (uint64_t)(i + 1); }
static uint64_t sum(uint64_t left, uint64_t right) {
    return (left * 0xD6E8FEB86659FD93u + 1) ^ (right * 0xA0761D6478BD642Fu + 7) ^ (left >> 29);
}

/* The definition. */
static uint64_t whole(int a, int b) {
    if (b - a == 1) return leaf(a);
    int half = 1;
    while (half * 2 < b - a) half *= 2;
    return sum(whole(a, a + half), whole(a + half, b));
}

/* What a rank does: leaves in order, held sums on a stack. Leaves its cover sums in nodes[]. */
static int rank_sums(int slots, int lo, int hi, uint64_t *nodes) {
    int count = 0;
    for (int i = lo; i < hi; i++) {
        int held, fold;
        tree_fold(slots, lo, i, &held, &fold);
        assert_int_equal(held, count);
        assert_true(fold >= 0 && fold <= held);
        uint64_t value = leaf(i);
        for (int k = 0; k < fold; k++) value = sum(nodes[--count], value);
        nodes[count++] = value;
    }
    return count;
}

static uint64_t finish(int slots, int ranks, int rank, uint64_t nodes[][TREE_MAX_COVER], const int *counts) {
    int *program, depth = 0;
    uint64_t stack[64], messages[4096];
    int n = 0;
    for (int r = 0; r < ranks; r++)
        for (int i = 0; r != rank && i < counts[r]; i++) messages[n++] = nodes[r][i];
    assert_int_equal(n, tree_messages(slots, ranks, rank));
    assert_int_equal(tree_program(slots, ranks, rank, &program), 0);
    for (int i = program[0]; i < program[1]; i++) {
        if (program[i] >= 0) {
            stack[depth++] = messages[program[i]];
        } else if (program[i] == TREE_ADD) {
            depth--;
            stack[depth - 1] = sum(stack[depth - 1], stack[depth]);
        } else if (program[i] == TREE_OWN) {
            stack[depth++] = nodes[rank][counts[rank] - 1];
        } else {
            stack[depth++] = nodes[rank][TREE_HELD - program[i]];
        }
        assert_true(depth > 0 && depth <= 40);
    }
    free(program);
    assert_int_equal(depth, 1);
    return stack[0];
}

static void every_rank_count_gives_the_same_tree(void **state) {
    (void)state;
    static uint64_t nodes[64][TREE_MAX_COVER];
    for (int slots = 1; slots <= 64; slots++) {
        uint64_t expected = whole(0, slots);
        for (int ranks = 1; ranks <= slots; ranks++) {
            int counts[64], covered = 0;
            for (int r = 0; r < ranks; r++) {
                int lo, hi;
                struct tree_node cover[TREE_MAX_COVER];
                tree_range(slots, ranks, r, &lo, &hi);
                assert_int_equal(lo, covered);
                assert_true(hi > lo);
                covered = hi;
                counts[r] = rank_sums(slots, lo, hi, nodes[r]);
                assert_int_equal(counts[r], tree_cover(slots, lo, hi, cover));
                assert_true(counts[r] - 1 <= tree_max_held(slots, lo, hi));
            }
            assert_int_equal(covered, slots);
            for (int r = 0; r < ranks; r++) assert_true(finish(slots, ranks, r, nodes, counts) == expected);
        }
    }
}

/* One round on a rank: what is held, its own leaf and those of the others, and the sum if it is the last round. */
static int run_round(const int *code, const int *end, const uint64_t *staging, uint64_t own, uint64_t *held,
                     uint64_t *result) {
    uint64_t stack[64];
    int depth = 0;
    for (; code < end; code++) {
        if (*code >= 0) {
            stack[depth++] = staging[*code];
        } else if (*code == TREE_ADD) {
            depth--;
            stack[depth - 1] = sum(stack[depth - 1], stack[depth]);
        } else if (*code == TREE_OWN) {
            stack[depth++] = own;
        } else if (*code <= TREE_KEEP) {
            held[TREE_KEEP - *code] = stack[--depth];
        } else {
            stack[depth++] = held[TREE_HELD - *code];
        }
        assert_true(depth >= 0 && depth <= 40);
    }
    if (depth) *result = stack[0];
    return depth;
}

/* Between two rounds the held rows are the cover of the leaves so far, and no row beyond them is written. */
static void check_held(int slots, int end, const uint64_t *held, int most) {
    struct tree_node nodes[TREE_MAX_COVER];
    int count = tree_cover(slots, 0, end, nodes);
    assert_true(count <= most);
    for (int i = 0; i < count; i++) assert_true(held[i] == whole(nodes[i].a, nodes[i].b));
    for (int i = most; i < TREE_MAX_COVER; i++) assert_true(held[i] == 1);
}

static void check_rounds(int slots, int ranks, int rank) {
    int *program, rounds = tree_round_program(slots, ranks, rank, &program);
    uint64_t held[TREE_MAX_COVER], staging[64], result = 0;
    assert_int_equal(rounds, tree_rounds(slots, ranks));
    assert_int_equal(program[0], rounds + 1);
    for (int i = 0; i < TREE_MAX_COVER; i++) held[i] = 1; /* what an earlier step has left */
    for (int r = 0; r < rounds; r++) {
        int end = (r + 1) * ranks < slots ? (r + 1) * ranks : slots, messages = 0, left;
        uint64_t own = 2;
        for (int i = 0; i < 64; i++) staging[i] = 3; /* of the round before */
        for (int slot = r * ranks; slot < end; slot++)
            *(slot - r * ranks == rank ? &own : &staging[messages++]) = leaf(slot);
        left = run_round(program + program[r], program + program[r + 1], staging, own, held, &result);
        assert_int_equal(left, end == slots);
        if (end < slots) check_held(slots, end, held, tree_round_held(slots, ranks));
    }
    assert_true(result == whole(0, slots));
    free(program);
}

static void rounds_give_the_same_tree(void **state) {
    (void)state;
    for (int slots = 1; slots <= 64; slots++)
        for (int ranks = 1; ranks <= slots; ranks++)
            for (int rank = 0; rank < ranks; rank++) check_rounds(slots, ranks, rank);
}

/* 1 + log2 k gradient sums for k aligned slots. */
static void aligned_ranks_hold_log_sums(void **state) {
    (void)state;
    for (int log = 0; log <= 8; log++) {
        int k = 1 << log;
        assert_int_equal(tree_max_held(4 * k, 0, k), log);
        assert_int_equal(tree_max_held(4 * k, 3 * k, 4 * k), log);
    }
}

/* With as many ranks as slots, or aligned ranges, one message a rank crosses: the volume of a ring reduce-scatter. */
static void aligned_ranks_send_one_sum(void **state) {
    (void)state;
    for (int ranks = 1; ranks <= 64; ranks *= 2)
        for (int r = 0; r < ranks; r++) assert_int_equal(tree_messages(64, ranks, r), ranks - 1);
}

static void pieces_tile_a_bucket(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 17, 100 * CHUNK};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int ranks = 1; ranks <= 9; ranks++) {
            int64_t at = 3 * CHUNK, begin, end;
            for (int r = 0; r < ranks; r++) {
                tree_piece(3 * CHUNK, 3 * CHUNK + sizes[i], ranks, r, &begin, &end);
                assert_true(begin == at && end >= begin);
                if (end != 3 * CHUNK + sizes[i]) assert_int_equal(end % CHUNK, 0);
                at = end;
            }
            assert_true(at == 3 * CHUNK + sizes[i]);
        }
}

/* [a, b) is a node when one node covers it. */
static int is_node(int slots, int a, int b) {
    struct tree_node nodes[TREE_MAX_COVER];
    return tree_cover(slots, a, b, nodes) == 1 && nodes[0].a == a && nodes[0].b == b;
}

static void nodes_are_where_ranges_split(void **state) {
    (void)state;
    assert_true(is_node(7, 0, 4) && is_node(7, 4, 6) && is_node(7, 4, 7) && is_node(7, 6, 7));
    assert_false(is_node(7, 0, 6) || is_node(7, 5, 7) || is_node(7, 1, 3) || is_node(7, 0, 8));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_count_gives_the_same_tree),
        cmocka_unit_test(rounds_give_the_same_tree),
        cmocka_unit_test(aligned_ranks_hold_log_sums),
        cmocka_unit_test(aligned_ranks_send_one_sum),
        cmocka_unit_test(pieces_tile_a_bucket),
        cmocka_unit_test(nodes_are_where_ranges_split),
    };
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
