#include "data/sampler.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/philox.h"

/* Keep the draws of the order, of the shift and of the mixture apart. */
enum { ORDER_SITE = 0x4f524452, SHIFT_SITE = 0x53484654, MIXTURE_SITE = 0x4d495854 };

/* A permutation of [0, n): a Feistel network of four rounds over the next power of four, walked until the image is inside
 * (Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains"). */
static int64_t permute(int64_t n, int64_t i, uint32_t epoch, uint32_t site, uint32_t seed, uint32_t part) {
    int half = 1;
    while ((int64_t)1 << 2 * half < n) half++;
    uint32_t mask = (uint32_t)(((int64_t)1 << half) - 1);
    do {
        uint32_t left = (uint32_t)(i >> half) & mask, right = (uint32_t)i & mask;
        for (uint32_t round = 0; round < 4; round++) {
            uint32_t mixed = left ^ (philox(right, round, epoch, site, seed, part).word[0] & mask);
            left = right;
            right = mixed;
        }
        i = (int64_t)left << half | right;
    } while (i >= n);
    return i;
}

enum { MOST_SOURCES = 1024 };

static int largest(const double *value, int n) {
    int best = 0;
    for (int i = 1; i < n; i++)
        if (value[i] > value[best]) best = i;
    return best;
}

/* Shares add up to the block, and none is 0: what is missing goes to the largest remainders, what small shares were given too
 * much is taken from the largest. */
static int divide_block(struct sampler *s, const struct source *sources) {
    double total = 0, remainder[MOST_SOURCES], whole[MOST_SOURCES];
    int given = 0;
    if (s->parts > MOST_SOURCES) return fail(STATUS_USAGE, "data.train: more than %d sources", MOST_SOURCES);
    for (int i = 0; i < s->parts; i++) total += sources[i].weight;
    for (int i = 0; i < s->parts; i++) {
        double exact = sources[i].weight / total * MIXTURE_BLOCK;
        s->share[i] = exact < 1 ? 1 : (int32_t)exact;
        remainder[i] = exact - s->share[i];
        whole[i] = s->share[i];
        given += s->share[i];
    }
    for (; given < MIXTURE_BLOCK; given++) {
        int i = largest(remainder, s->parts);
        s->share[i]++;
        remainder[i] -= 1;
    }
    for (; given > MIXTURE_BLOCK; given--) {
        int i = largest(whole, s->parts);
        s->share[i]--;
        whole[i] -= 1;
    }
    return 0;
}

static int open_parts(struct sampler *s, const struct source *sources, int count) {
    int64_t window = s->options.window;
    s->part = calloc((size_t)count, sizeof *s->part);
    s->share = calloc((size_t)count, sizeof *s->share);
    s->scratch.tokens = calloc((size_t)window, sizeof(int32_t));
    s->scratch.targets = calloc((size_t)window, sizeof(int32_t));
    s->scratch.starts = calloc((size_t)window, sizeof(int32_t));
    if (!s->part || !s->share || !s->scratch.tokens || !s->scratch.targets || !s->scratch.starts)
        return fail(STATUS_FAILED, "out of memory");
    s->varying = s->options.documents != JOINED;
    for (int i = 0; i < count; i++) {
        TRY(windows_open(&s->part[i], &sources[i], window, s->options.documents));
        s->parts = i + 1;
        s->varying |= sources[i].masked;
    }
    if (s->options.documents == JOINED) { /* a mask needs no starts */
        free(s->scratch.starts);
        s->scratch.starts = NULL;
    }
    return divide_block(s, sources);
}

int sampler_open(struct sampler *sampler, const struct source *sources, int count,
                 const struct sampler_options *options) {
    *sampler = (struct sampler){.options = *options};
    int status = open_parts(sampler, sources, count);
    if (status) sampler_close(sampler);
    return status;
}

void sampler_close(struct sampler *s) {
    for (int i = 0; i < s->parts; i++) windows_close(&s->part[i]);
    free(s->part);
    free(s->share);
    free(s->scratch.tokens);
    free(s->scratch.targets);
    free(s->scratch.starts);
    *s = (struct sampler){0};
}

/* Which source sequence `number` comes from, and the how manieth of that source it is. */
static int64_t number_in_part(const struct sampler *s, int64_t number, int *part) {
    *part = 0;
    if (s->parts == 1) return number;
    int64_t block = number / MIXTURE_BLOCK;
    int64_t place = permute(MIXTURE_BLOCK, number % MIXTURE_BLOCK, (uint32_t)block, MIXTURE_SITE, s->options.seed,
                            (uint32_t)(block >> 32));
    while (place >= s->share[*part]) place -= s->share[(*part)++];
    return block * s->share[*part] + place;
}

struct place sampler_place(const struct sampler *s, int64_t number) {
    struct place place;
    number = number_in_part(s, number, &place.part);
    const struct windows *w = &s->part[place.part];
    uint32_t epoch = (uint32_t)(number / w->count), part = (uint32_t)place.part;
    int64_t window = permute(w->count, number % w->count, epoch, ORDER_SITE, s->options.seed, part);
    place.epoch = number / w->count;
    place.at = window;
    if (w->documents == PACKED) return place;
    int64_t slack = w->source->count - 1 - w->count * w->window;
    if (slack > w->window - 1) slack = w->window - 1;
    uint32_t draw = philox(epoch, 0, 0, SHIFT_SITE, s->options.seed, part).word[0];
    place.at = (int64_t)(draw % (uint64_t)(slack + 1)) + window * w->window;
    return place;
}

static int64_t sequences(const struct sampler *s) {
    return s->options.slots * s->options.micro_batches * s->options.batch;
}

int sampler_batch(const struct sampler *s, int64_t step, int64_t slot, int64_t micro, struct batch *batch) {
    const struct sampler_options *o = &s->options;
    int64_t first = step * sequences(s) + (slot * o->micro_batches + micro) * o->batch;
    batch->counted = 0;
    for (int64_t row = 0; row < o->batch; row++) {
        struct place place = sampler_place(s, first + row);
        TRY(windows_fill(&s->part[place.part], place.at, o->vocab, batch, row));
    }
    return 0;
}

int sampler_counted(const struct sampler *s, int64_t step, int64_t *counted) {
    struct batch one = s->scratch;
    int64_t count = sequences(s);
    *counted = count * s->options.window;
    if (!s->varying) return 0;
    one.counted = 0;
    for (int64_t i = 0; i < count; i++) {
        struct place place = sampler_place(s, step * count + i);
        TRY(windows_fill(&s->part[place.part], place.at, s->options.vocab, &one, 0));
    }
    *counted = one.counted;
    return 0;
}
