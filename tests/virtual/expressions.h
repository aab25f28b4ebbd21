/* Expressions as hashes: another order, grouping or leaf gives another value. Or numbers, whose sums round. */
#ifndef TESTS_VIRTUAL_EXPRESSIONS_H
#define TESTS_VIRTUAL_EXPRESSIONS_H

#include <stdint.h>
#include <string.h>

static inline uint64_t stir(uint64_t x) {
    x ^= x >> 31;
    x *= 0xD6E8FEB86659FD93u;
    return x ^ x >> 29;
}

/* Of micro-batch `micro` in a slot of a step. A number is positive and below 2. */
static inline uint64_t leaf_of(int numbers, int step, int slot, int micro, int64_t element) {
    uint64_t x = stir((uint64_t)(((step * 100 + slot) * 10 + micro) + 1) * 0x9E3779B97F4A7C15u + (uint64_t)element);
    return numbers ? (uint64_t)(1020 + (x >> 61 & 3)) << 52 | x >> 12 : x;
}

static inline uint64_t sum_of(int numbers, uint64_t left, uint64_t right) {
    if (!numbers) return (left * 0xD6E8FEB86659FD93u + 1) ^ (right * 0xA0761D6478BD642Fu + 7) ^ (left >> 29);
    double a, b;
    memcpy(&a, &left, sizeof a);
    memcpy(&b, &right, sizeof b);
    a = a + b;
    memcpy(&left, &a, sizeof left);
    return left;
}

/* What the update makes of a sum: `which` is 0 for the parameter, 1 and 2 for the moments. */
static inline uint64_t update_of(uint64_t sum, int which) { return stir(sum + (uint64_t)which + 1); }

/* The loss of a slot, and the hash of a chunk, stand in buffers of doubles as they are. */
static inline uint64_t loss_of(int step, int slot) { return stir((uint64_t)(step * 100 + slot + 1) << 32); }

static inline uint64_t chunk_of(const uint64_t *sums, int64_t count) {
    uint64_t hash = 7;
    for (int64_t i = 0; i < count; i++) hash = hash * 0x9E3779B97F4A7C15u + sums[i];
    return hash;
}

#endif
