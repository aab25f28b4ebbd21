/* A hash that finds whether two copies of a buffer are the same, for the guard and the audit. */
#include "real.h"

/* One to one in `word`: so a change of one word always changes the sum. */
static inline uint64_t mix(uint64_t word, uint64_t index) {
    uint64_t x = word ^ (index * 0x9e3779b97f4a7c15u);
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xa0761d6478bd642fu;
    return x ^ x >> 29;
}

void K(hash)(const struct kernel_args *a) {
    const uint64_t *words = a->in[0].data;
    int64_t size = a->attr->word_bytes, count = elements(&a->in[0]) * size / 8, first = a->attr->begin * size / 8;
    uint64_t sum = 0;
    if (a->attr->audit && !a->step->audit) return;
#pragma omp parallel for simd schedule(static) reduction(+ : sum) if (count >= SMALL)
    for (int64_t i = 0; i < count; i++) sum += mix(words[i], (uint64_t)(first + i));
    uint64_t before = 0;
    if (a->add & 1) memcpy(&before, a->out[0].data, sizeof before);
    sum += before;
    memcpy(a->out[0].data, &sum, sizeof sum);
}
