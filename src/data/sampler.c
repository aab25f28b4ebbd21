#include "data/sampler.h"

#include "base/philox.h"

/* Keep the draws of the order and of the shift apart. */
enum { ORDER_SITE = 0x4f524452, SHIFT_SITE = 0x53484654 };

void sampler_init(struct sampler *sampler, const struct text *text, int64_t window, int64_t slots,
                  int64_t micro_batches, int64_t batch, uint32_t seed) {
    /* One window less than fits leaves room for every shift; a text that holds one window has just that. */
    int64_t windows = (text->length - window) / window;
    *sampler = (struct sampler){text, window, windows > 0 ? windows : 1, slots, micro_batches, batch, seed};
}

/* A permutation of [0, n): a Feistel network of four rounds over the next power of four, walked until the image is inside
 * (Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains"). */
static int64_t permute(int64_t n, int64_t i, uint32_t epoch, uint32_t seed) {
    int half = 1;
    while ((int64_t)1 << 2 * half < n) half++;
    uint32_t mask = (uint32_t)(((int64_t)1 << half) - 1);
    do {
        uint32_t left = (uint32_t)(i >> half) & mask, right = (uint32_t)i & mask;
        for (uint32_t round = 0; round < 4; round++) {
            uint32_t mixed = left ^ (philox(right, round, epoch, ORDER_SITE, seed, 0).word[0] & mask);
            left = right;
            right = mixed;
        }
        i = (int64_t)left << half | right;
    } while (i >= n);
    return i;
}

int64_t sampler_start(const struct sampler *s, int64_t number) {
    uint32_t epoch = (uint32_t)(number / s->windows);
    int64_t slack = s->text->length - 1 - s->windows * s->window;
    if (slack > s->window - 1) slack = s->window - 1;
    int64_t shift = philox(epoch, 0, 0, SHIFT_SITE, s->seed, 0).word[0] % (uint64_t)(slack + 1);
    return shift + permute(s->windows, number % s->windows, epoch, s->seed) * s->window;
}

void sampler_batch(const struct sampler *s, int64_t step, int64_t slot, int64_t micro, int32_t *tokens,
                   int32_t *targets) {
    for (int64_t b = 0; b < s->batch; b++) {
        int64_t number = ((step * s->slots + slot) * s->micro_batches + micro) * s->batch + b;
        const uint8_t *from = s->text->bytes + sampler_start(s, number);
        for (int64_t t = 0; t < s->window; t++) {
            tokens[b * s->window + t] = from[t];
            targets[b * s->window + t] = from[t + 1];
        }
    }
}

int64_t sampler_eval_batches(const struct text *text, int64_t window, int64_t batch) {
    int64_t windows = (text->length - 1 + window - 1) / window;
    return (windows + batch - 1) / batch;
}

void sampler_eval_batch(const struct text *text, int64_t window, int64_t batch, int64_t index, int32_t *tokens,
                        int32_t *targets) {
    for (int64_t i = 0; i < batch * window; i++) {
        int64_t at = index * batch * window + i;
        int inside = at + 1 < text->length;
        tokens[i] = inside ? text->bytes[at] : 0;
        targets[i] = inside ? text->bytes[at + 1] : -1;
    }
}
