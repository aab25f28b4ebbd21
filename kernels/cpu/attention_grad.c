/* Causal softmax attention, backward (Dao et al. 2022, algorithm 4), a tile of queries at a time. With P the
 * probabilities, M the dropout factors (0 or 1 / (1 - rate)), S the scaled scores:
 *
 *     dV = (P*M)^T dO,  dP = (dO V^T) * M,  dS = P * (dP - rowsum(dO * O)),  dQ = scale dS K,  dK = scale dS^T Q
 *
 * P is made again from the scores and lse. Scratch a thread: 2 * ATTENTION_TILE * time reals. */
#include <cblas.h>
#include <omp.h>

#include "real.h"

/* One head of one sequence. Rows of q, k, v and their gradients are `stride` apart, those of o and d_out `width`. */
struct head {
    int64_t index, time, size, width;
    int stride;
    const real *q, *k, *v, *o, *d_out, *lse;
    real *dq, *dk, *dv;
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
    real delta = (real)row_dot(h->d_out + query * h->width, h->o + query * h->width, h->size), factor = h->factor;
    memset(grad, 0, (size_t)first * sizeof *grad);
#pragma omp simd
    for (int64_t i = first; i < live; i++) grad[i] = p[i] < 0 ? p[i] * delta : p[i] * (factor * grad[i] - delta);
    memset(grad + live, 0, (size_t)(keys - live) * sizeof *grad);
}

/* The gradients that queries [begin, begin + ATTENTION_TILE) bring; `add` to dk and dv. */
static void tile_grad(const struct head *h, int64_t begin, int add, real *scores, real *other) {
    int64_t rows = smaller(ATTENTION_TILE, h->time - begin), end = begin + rows;
    int keys = (int)end, size = (int)h->size, stride = h->stride, width = (int)h->width, count = (int)rows;
    const real *q = h->q + begin * stride, *d_out = h->d_out + begin * width;
    real *weights = h->draws ? other : scores;

    real_gemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, keys, size, h->scale, q, stride, h->k, stride, 0, scores,
              keys);
    for (int64_t i = 0; i < rows; i++) probabilities(h, begin + i, end, scores + i * end, other + i * end);
    real_gemm(CblasRowMajor, CblasTrans, CblasNoTrans, keys, size, count, 1, weights, keys, d_out, width, add, h->dv,
              stride);
    real_gemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, keys, size, 1, d_out, width, h->v, stride, 0, other,
              keys);
    for (int64_t i = 0; i < rows; i++) score_grad(h, begin + i, end, scores + i * end, other + i * end);
    real_gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, count, size, keys, h->scale, other, keys, h->k, stride, 0,
              h->dq + begin * stride, stride);
    real_gemm(CblasRowMajor, CblasTrans, CblasNoTrans, keys, size, count, h->scale, other, keys, q, stride, add, h->dk,
              stride);
}

/* Tiles go from the last to the first: the last reaches all keys, so that of the first head of a group overwrites dk and dv, and
 * the others add. */
static void head_grad(const struct kernel_args *a, const struct draws *draws, int64_t index, real *scratch) {
    const struct op_attr *attr = a->attr;
    int64_t time = attr->time, width = a->in[0].dim[1], size = width / attr->heads;
    int64_t sequence = index / attr->heads, column = index % attr->heads * size;
    int64_t columns = a->in[1].dim[1], group = attr->heads / attr->kv_heads, kv_width = attr->kv_heads * size;
    int64_t row = sequence * time * columns, q_offset = row + column, offset = sequence * time * width + column;
    int64_t k_offset = row + width + index % attr->heads / group * size, v_offset = k_offset + kv_width;
    int adds = index % group != 0;
    const real *d_out = a->in[0].data, *qkv = a->in[1].data, *o = a->in[2].data, *lse = a->in[3].data;
    real *dqkv = a->out[0].data;
    struct head head = {
        .index = index,
        .time = time,
        .size = size,
        .width = width,
        .stride = (int)columns,
        .q = qkv + q_offset,
        .k = qkv + k_offset,
        .v = qkv + v_offset,
        .o = o + offset,
        .d_out = d_out + offset,
        .lse = lse + index * time,
        .starts = a->in[4].data ? (const int32_t *)a->in[4].data + sequence * time : NULL,
        .dq = dqkv + q_offset,
        .dk = dqkv + k_offset,
        .dv = dqkv + v_offset,
        .draws = attr->rate > 0 ? draws : NULL,
        .scale = (real)attr->scale,
        .factor = attr->rate > 0 ? draws->factor : 1,
    };
    int64_t last = (time - 1) / ATTENTION_TILE;
    for (int64_t tile = last; tile >= 0; tile--)
        tile_grad(&head, tile * ATTENTION_TILE, adds || tile < last, scratch, scratch + ATTENTION_TILE * time);
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
