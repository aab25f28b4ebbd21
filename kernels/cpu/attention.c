/* Causal softmax attention, forward (Vaswani et al. 2017). A tile of ATTENTION_TILE queries of one head is one piece of
 * work: its scores against the keys up to the tile's end are all that is held at once.
 *
 * Scratch a thread: ATTENTION_TILE * (time + D) reals, scores and scaled queries; where values are not reals also
 * (2 time + ATTENTION_TILE) * D. */
#include <omp.h>

#include "rows_product.h"

/* Probabilities are dropped after the softmax. Rows of draws begin at whole Philox blocks: keys are padded to four. */
static void drop_row(const struct kernel_args *a, const struct draws *draws, int64_t head, int64_t query, real *row) {
    int64_t time = a->attr->time, padded_keys = (time + 3) / 4 * 4, live = query + 1;
    for (int64_t begin = 0; begin < live; begin += DRAWS) {
        real keep[DRAWS];
        draw(draws, (uint64_t)((head * time + query) * padded_keys + begin) / 4, keep);
        int64_t count = smaller(DRAWS, live - begin);
#pragma omp simd
        for (int64_t i = 0; i < count; i++) row[begin + i] *= keep[i];
    }
}

/* head: index of (sequence, head); queries [begin, begin + ATTENTION_TILE) or fewer. */
static void attend(const struct kernel_args *a, int64_t head, int64_t begin, real *scores) {
    const struct op_attr *attr = a->attr;
    int64_t time = attr->time, width = a->out[0].dim[1], size = width / attr->heads;
    int64_t sequence = head / attr->heads, column = head % attr->heads * size;
    int64_t columns = a->in[0].dim[1], group = attr->heads / attr->kv_heads;
    int64_t count = smaller(ATTENTION_TILE, time - begin), keys = begin + count;
    const value *row = (const value *)a->in[0].data + sequence * time * columns;
    const value *first_key = row + width + head % attr->heads / group * size;
    value *out = (value *)a->out[0].data + (sequence * time + begin) * width + column;
    real *lse = (real *)a->out[1].data + head * time, *scratch = scores + ATTENTION_TILE * time;
    real *halves = scratch + ATTENTION_TILE * size; /* where values are not reals */
    const int32_t *starts = a->in[1].data ? (const int32_t *)a->in[1].data + sequence * time + begin : NULL;
    struct rows k = rows_of(first_key, keys, size, columns, halves);
    struct rows v = rows_of(first_key + attr->kv_heads * size, keys, size, columns, halves + time * size);
    struct rows o = rows_for(out, size, width, halves + 2 * time * size);
    struct rows q = rows_scaled(row + column + begin * columns, count, size, columns, (real)attr->scale, scratch);

    struct rows p = {scores, keys};
    rows_product(0, 1, count, keys, size, q, k, 0, p);
    struct draws draws = draws_of(a);
    for (int64_t i = 0; i < count; i++) {
        real *score = scores + i * keys;
        int64_t first = starts ? starts[i] : 0; /* keys before it belong to other documents */
        memset(score, 0, (size_t)first * sizeof *score);
        lse[begin + i] = softmax_row(score + first, begin + i + 1 - first, keys - first);
        if (attr->rate > 0) drop_row(a, &draws, head, begin + i, score);
    }
    rows_product(0, 0, count, size, keys, p, v, 0, o);
    rows_store(o, count, size, width, out);
}

void K(attention)(const struct kernel_args *a) {
    int64_t time = a->attr->time, heads = a->attr->batch * a->attr->heads;
    int64_t tiles = (time + ATTENTION_TILE - 1) / ATTENTION_TILE, pieces = heads * tiles;
    int64_t work = elements(&a->out[0]) * time;
    /* The tiles of a head follow each other, so that its keys and values stay in the cache; the longest comes first. */
#pragma omp parallel for schedule(dynamic) if (work >= SMALL)
    for (int64_t piece = 0; piece < pieces; piece++) {
        char *scratch = a->scratch + (size_t)omp_get_thread_num() * a->scratch_stride;
        attend(a, piece / tiles, (tiles - 1 - piece % tiles) * ATTENTION_TILE, (real *)scratch);
    }
}
