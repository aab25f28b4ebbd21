/* Causal softmax attention, backward (Dao et al. 2022, algorithm 4), a tile of queries at a time. With P the
 * probabilities, M the dropout factors (0 or 1 / (1 - rate)), S the scaled scores:
 *
 *     dV = (P*M)^T dO,  dP = (dO V^T) * M,  dS = P * (dP - rowsum(dO * O)),  dQ = scale dS K,  dK = scale dS^T Q
 *
 * P is made again from the scores and lse. Scratch a thread: 2 * ATTENTION_TILE * time reals; where values are not reals also
 * (6 time + ATTENTION_TILE) * D: the head's k, v, q, d_out, the group's dk and dv, and a tile of dq. */
#include <cblas.h>
#include <omp.h>

#include "rows.h"

/* One head of one sequence. */
struct head {
    int64_t index, time, size;
    struct rows q, k, v, d_out; /* all tokens of the sequence */
    struct rows dk, dv;         /* of the group of heads that share k and v */
    const value *o, *d_o;       /* rows `width` apart */
    value *dq;                  /* rows `columns` apart */
    int64_t width, columns;
    real *dq_tile;
    const real *lse;
    const int32_t *starts;     /* of the sequence; NULL: it is one document */
    const struct draws *draws; /* NULL without dropout */
    real scale, factor;        /* factor: what kept probabilities were multiplied by */
};

static int64_t first_key(const struct head *h, int64_t query) { return h->starts ? h->starts[query] : 0; }

/* row: scores in, P out, zero outside [first key, `live`); dropped elements get a minus sign, so that they need not be drawn again.
 * dropped: P * M. */
static void probabilities(const struct head *h, int64_t query, int64_t keys, real *row, real *dropped) {
    int64_t first = first_key(h, query), live = query + 1, padded_keys = (h->time + 3) / 4 * 4;
    real shift = h->lse[query];
    memset(row, 0, (size_t)first * sizeof *row);
#pragma omp simd
    for (int64_t i = first; i < live; i++) row[i] = real_exp(row[i] - shift);
    memset(row + live, 0, (size_t)(keys - live) * sizeof *row);
    if (!h->draws) return;
    for (int64_t begin = 0; begin < live; begin += DRAWS) {
        real keep[DRAWS];
        draw(h->draws, (uint64_t)((h->index * h->time + query) * padded_keys + begin) / 4, keep);
        int64_t count = smaller(DRAWS, live - begin);
#pragma omp simd
        for (int64_t i = 0; i < count; i++) {
            real p = row[begin + i];
            dropped[begin + i] = p * keep[i];
            row[begin + i] = keep[i] != 0 ? p : -p;
        }
    }
    memset(dropped + live, 0, (size_t)(keys - live) * sizeof *dropped);
}

/* grad: dO V^T in, dS out, both before M; p as probabilities() left it. */
static void score_grad(const struct head *h, int64_t query, int64_t keys, const real *p, real *grad) {
    int64_t first = first_key(h, query), live = query + 1;
    real delta = (real)row_dot(h->d_o + query * h->width, h->o + query * h->width, h->size), factor = h->factor;
    memset(grad, 0, (size_t)first * sizeof *grad);
#pragma omp simd
    for (int64_t i = first; i < live; i++) grad[i] = p[i] < 0 ? p[i] * delta : p[i] * (factor * grad[i] - delta);
    memset(grad + live, 0, (size_t)(keys - live) * sizeof *grad);
}

/* The gradients that queries [begin, begin + ATTENTION_TILE) bring; `add` to dk and dv. */
static void tile_grad(const struct head *h, int64_t begin, int add, real *scores, real *other) {
    int64_t rows = smaller(ATTENTION_TILE, h->time - begin), end = begin + rows;
    int keys = (int)end, size = (int)h->size, count = (int)rows;
    int q_stride = (int)h->q.stride, k_stride = (int)h->k.stride, v_stride = (int)h->v.stride;
    int o_stride = (int)h->d_out.stride;
    const real *q = h->q.at + begin * q_stride, *d_out = h->d_out.at + begin * o_stride;
    real *weights = h->draws ? other : scores;
    value *dq_values = h->dq + begin * h->columns;
    struct rows dq = rows_for(dq_values, h->size, h->columns, h->dq_tile);

    real_gemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, keys, size, h->scale, q, q_stride, h->k.at, k_stride, 0,
              scores, keys);
    for (int64_t i = 0; i < rows; i++) probabilities(h, begin + i, end, scores + i * end, other + i * end);
    real_gemm(CblasRowMajor, CblasTrans, CblasNoTrans, keys, size, count, 1, weights, keys, d_out, o_stride, add,
              h->dv.at, (int)h->dv.stride);
    real_gemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, keys, size, 1, d_out, o_stride, h->v.at, v_stride, 0,
              other, keys);
    for (int64_t i = 0; i < rows; i++) score_grad(h, begin + i, end, scores + i * end, other + i * end);
    real_gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, count, size, keys, h->scale, other, keys, h->k.at, k_stride, 0,
              dq.at, (int)dq.stride);
    rows_store(dq, rows, h->size, h->columns, dq_values);
    real_gemm(CblasRowMajor, CblasTrans, CblasNoTrans, keys, size, count, h->scale, other, keys, q, q_stride, add,
              h->dk.at, (int)h->dk.stride);
}

/* Where the parts of a head begin in qkv and its gradient, in o, and in scratch memory. */
struct places {
    int64_t sequence, q, k, v, o, columns, width, size;
    real *part; /* k, v, q, d_out, dk, dv: time * D each; a tile of dq */
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
    p.part = scratch + 2 * ATTENTION_TILE * attr->time;
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
        .q = rows_of(qkv + p.q, time, p.size, p.columns, p.part + 2 * part),
        .d_out = rows_of(d_out + p.o, time, p.size, p.width, p.part + 3 * part),
        .dk = rows_for(dqkv + p.k, p.size, p.columns, p.part + 4 * part),
        .dv = rows_for(dqkv + p.v, p.size, p.columns, p.part + 5 * part),
        .o = o + p.o,
        .d_o = d_out + p.o,
        .dq = dqkv + p.q,
        .width = p.width,
        .columns = p.columns,
        .dq_tile = p.part + 6 * part,
        .lse = (const real *)a->in[3].data + index * time,
        .starts = a->in[4].data ? (const int32_t *)a->in[4].data + p.sequence * time : NULL,
        .draws = attr->rate > 0 ? draws : NULL,
        .scale = (real)attr->scale,
        .factor = attr->rate > 0 ? draws->factor : 1,
    };
    for (int64_t tile = last; tile >= 0; tile--)
        tile_grad(&head, tile * ATTENTION_TILE, adds || tile < last, scratch, scratch + ATTENTION_TILE * time);
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
