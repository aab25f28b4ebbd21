/* Causal softmax attention, backward (Dao et al. 2022, algorithm 4), a tile of queries at a time. With P the
 * probabilities, M the dropout factors (0 or 1 / (1 - rate)), S the scaled scores:
 *
 *     dV = (P*M)^T dO,  dP = (dO V^T) * M,  dS = P * (dP - rowsum(dO * O)),  dQ = scale dS K,  dK = scale dS^T Q
 *
 * P is made again from the scores and lse. Scratch a thread: 2 * ATTENTION_TILE * (ATTENTION_KEYS, or fewer, + D) reals; where values are not reals also
 * 5 time * D: the head's k, v, d_out, the group's dk and dv. */
#include <omp.h>

#include "rows_product.h"

/* One head of one sequence. */
struct head {
    int64_t index, time, size;
    struct rows k, v, d_out; /* all tokens of the sequence */
    const value *q;          /* rows `columns` apart */
    struct rows dk, dv;      /* of the group of heads that share k and v */
    const value *o, *d_o;    /* rows `width` apart */
    value *dq;               /* rows `columns` apart */
    int64_t width, columns;
    real *q_tile, *dq_tile;
    const real *lse;
    const int32_t *starts;     /* of the sequence; NULL: it is one document */
    const struct draws *draws; /* NULL without dropout */
    real scale, factor;        /* factor: what kept probabilities were multiplied by */
};

/* Of the keys [from, to) those that the query sees. */
struct seen {
    int64_t first, end;
};

static struct seen seen_keys(const struct head *h, int64_t query, int64_t from, int64_t to) {
    int64_t start = h->starts ? h->starts[query] : 0, end = smaller(query + 1, to);
    return (struct seen){start > from ? smaller(start, end) : from, end};
}

/* Zeros in row[from .. to) where the query sees no key. */
static void clear_unseen(const struct seen *seen, int64_t from, int64_t to, real *row) {
    memset(row, 0, (size_t)(seen->first - from) * sizeof *row);
    memset(row + seen->end - from, 0, (size_t)(to - seen->end) * sizeof *row);
}

/* row: scores of keys [from, to) in, P out; dropped elements get a minus sign, so that they need not be drawn again.
 * dropped: P * M. */
static void probabilities(const struct head *h, int64_t query, int64_t from, int64_t to, real *row, real *dropped) {
    const struct seen seen = seen_keys(h, query, from, to);
    int64_t padded_keys = (h->time + 3) / 4 * 4;
    real shift = h->lse[query];
#pragma omp simd
    for (int64_t i = seen.first - from; i < seen.end - from; i++) row[i] = real_exp(row[i] - shift);
    clear_unseen(&seen, from, to, row);
    if (!h->draws) return;
    for (int64_t begin = from; begin < seen.end; begin += DRAWS) {
        real keep[DRAWS];
        draw(h->draws, (uint64_t)((h->index * h->time + query) * padded_keys + begin) / 4, keep);
        int64_t count = smaller(DRAWS, seen.end - begin);
        real *p = row + begin - from, *q = dropped + begin - from;
#pragma omp simd
        for (int64_t i = 0; i < count; i++) {
            real kept = p[i];
            q[i] = kept * keep[i];
            p[i] = keep[i] != 0 ? kept : -kept;
        }
    }
    memset(dropped + seen.end - from, 0, (size_t)(to - seen.end) * sizeof *dropped);
}

/* grad: dO V^T in, dS out, both before M; p as probabilities() left it. delta: rowsum(dO * O). */
static void score_grad(const struct head *h, int64_t query, int64_t from, int64_t to, const real *p, real delta,
                       real *grad) {
    const struct seen seen = seen_keys(h, query, from, to);
    real factor = h->factor;
#pragma omp simd
    for (int64_t i = seen.first - from; i < seen.end - from; i++)
        grad[i] = p[i] < 0 ? p[i] * delta : p[i] * (factor * grad[i] - delta);
    clear_unseen(&seen, from, to, grad);
}

static struct rows from_row(struct rows rows, int64_t row) {
    return (struct rows){rows.at + row * rows.stride, rows.stride};
}

/* What keys [from, to) bring to the gradients of a tile of `rows` queries, and the tile to theirs. q: scaled. */
static void block_grad(const struct head *h, struct rows q, struct rows d_out, const real *delta, int64_t begin,
                       int64_t rows, int64_t from, int64_t to, int add, real *scores, real *other) {
    int64_t keys = to - from, size = h->size;
    struct rows p = {scores, keys}, ds = {other, keys}, dq = {h->dq_tile, size}, k = from_row(h->k, from);
    rows_product(0, 1, rows, keys, size, q, k, 0, p);
    for (int64_t i = 0; i < rows; i++) probabilities(h, begin + i, from, to, scores + i * keys, other + i * keys);
    rows_product(1, 0, keys, size, rows, h->draws ? ds : p, d_out, add, from_row(h->dv, from));
    rows_product(0, 1, rows, keys, size, d_out, from_row(h->v, from), 0, ds);
    for (int64_t i = 0; i < rows; i++)
        score_grad(h, begin + i, from, to, scores + i * keys, delta[i], other + i * keys);
    rows_product(1, 0, keys, size, rows, ds, q, add, from_row(h->dk, from));
    rows_product(0, 0, rows, size, keys, ds, k, from > 0, dq);
}

/* The gradients that queries [begin, begin + ATTENTION_TILE) bring; `add` to dk and dv. */
static void tile_grad(const struct head *h, int64_t begin, int add, real *scores, real *other) {
    int64_t rows = smaller(ATTENTION_TILE, h->time - begin), end = begin + rows, size = h->size;
    value *dq = h->dq + begin * h->columns;
    struct rows q = rows_scaled(h->q + begin * h->columns, rows, size, h->columns, h->scale, h->q_tile);
    real delta[ATTENTION_TILE];
    for (int64_t i = 0; i < rows; i++)
        delta[i] = (real)row_dot(h->d_o + (begin + i) * h->width, h->o + (begin + i) * h->width, size);
    for (int64_t from = 0; from < end; from += ATTENTION_KEYS)
        block_grad(h, q, from_row(h->d_out, begin), delta, begin, rows, from, smaller(from + ATTENTION_KEYS, end), add,
                   scores, other);
    for (int64_t i = 0; i < rows; i++) {
#pragma omp simd
        for (int64_t c = 0; c < size; c++) dq[i * h->columns + c] = put(h->scale * h->dq_tile[i * size + c]);
    }
}

/* Where the parts of a head begin in qkv and its gradient, in o, and in scratch memory. */
struct places {
    int64_t sequence, q, k, v, o, columns, width, size;
    real *tiles; /* of q and dq */
    real *part;  /* k, v, d_out, dk, dv: time * D each */
};

static struct places places_of(const struct kernel_args *a, int64_t index, real *scratch) {
    const struct op_attr *attr = a->attr;
    struct places p = {.sequence = index / attr->heads, .columns = a->in[1].dim[1], .width = a->in[0].dim[1]};
    int64_t head = index % attr->heads, group = attr->heads / attr->kv_heads, row = p.sequence * attr->time;
    p.size = p.width / attr->heads;
    p.q = row * p.columns + head * p.size;
    p.k = row * p.columns + p.width + head / group * p.size;
    p.v = p.k + attr->kv_heads * p.size;
    p.o = row * p.width + head * p.size;
    p.tiles = scratch + 2 * ATTENTION_TILE * smaller(ATTENTION_KEYS, attr->time);
    p.part = p.tiles + 2 * ATTENTION_TILE * p.size;
    return p;
}

/* Tiles go from the last to the first: the last reaches all keys, so that of the first head of a group overwrites dk and dv, and
 * the others add. */
static void head_grad(const struct kernel_args *a, const struct draws *draws, int64_t index, real *scratch) {
    const struct op_attr *attr = a->attr;
    const struct places p = places_of(a, index, scratch);
    const value *d_out = a->in[0].data, *qkv = a->in[1].data, *o = a->in[2].data;
    value *dqkv = a->out[0].data;
    int64_t time = attr->time, part = time * p.size, last = (time - 1) / ATTENTION_TILE;
    int adds = index % (attr->heads / attr->kv_heads) != 0;
    struct head head = {
        .index = index,
        .time = time,
        .size = p.size,
        .k = rows_of(qkv + p.k, time, p.size, p.columns, p.part),
        .v = rows_of(qkv + p.v, time, p.size, p.columns, p.part + part),
        .q = qkv + p.q,
        .d_out = rows_of(d_out + p.o, time, p.size, p.width, p.part + 2 * part),
        .dk = rows_for(dqkv + p.k, p.size, p.columns, p.part + 3 * part),
        .dv = rows_for(dqkv + p.v, p.size, p.columns, p.part + 4 * part),
        .o = o + p.o,
        .d_o = d_out + p.o,
        .dq = dqkv + p.q,
        .width = p.width,
        .columns = p.columns,
        .q_tile = p.tiles,
        .dq_tile = p.tiles + ATTENTION_TILE * p.size,
        .lse = (const real *)a->in[3].data + index * time,
        .starts = a->in[4].data ? (const int32_t *)a->in[4].data + p.sequence * time : NULL,
        .draws = attr->rate > 0 ? draws : NULL,
        .scale = (real)attr->scale,
        .factor = attr->rate > 0 ? draws->factor : 1,
    };
    for (int64_t tile = last; tile >= 0; tile--)
        tile_grad(&head, tile * ATTENTION_TILE, adds || tile < last, scratch,
                  scratch + ATTENTION_TILE * smaller(ATTENTION_KEYS, time));
    if ((index + 1) % (attr->heads / attr->kv_heads)) return;
    rows_store(head.dk, time, p.size, p.columns, dqkv + p.k);
    rows_store(head.dv, time, p.size, p.columns, dqkv + p.v);
}

void K(attention_grad)(const struct kernel_args *a) {
    int64_t groups = a->attr->batch * a->attr->kv_heads, size = a->attr->heads / a->attr->kv_heads;
    int64_t work = elements(&a->in[0]) * a->attr->time;
    struct draws draws = draws_of(a);
#pragma omp parallel for schedule(dynamic) if (work >= SMALL)
    for (int64_t group = 0; group < groups; group++) { /* heads that share keys and values: in order, by one thread */
        char *scratch = a->scratch + (size_t)omp_get_thread_num() * a->scratch_stride;
        for (int64_t head = 0; head < size; head++) head_grad(a, &draws, group * size + head, (real *)scratch);
    }
}
