/* Attention with all its T x T weights in memory: what `attention` is compared with. Products are of all queries with all keys, as
 * a matrix library would make them; the mask comes after. Pieces of work are tiles of one head, so sums have a fixed order.
 *
 * Scratch a thread, where values are not reals: ATTENTION_TILE * T' reals for weights, T * D and ATTENTION_TILE * D for what they meet. */
#include <cblas.h>
#include <omp.h>

#include "rows.h"

/* Where things lie in qkv[N, (H + 2K) D] and in weights[B H T, padded]. */
struct places {
    int64_t time, size, heads, kv_heads, group, columns, padded, batch;
    real scale;
};

static struct places places_of(const struct kernel_args *a, int64_t columns) {
    const struct op_attr *attr = a->attr;
    struct places p = {.time = attr->time, .heads = attr->heads, .kv_heads = attr->kv_heads, .batch = attr->batch};
    p.columns = columns;
    p.size = columns / (p.heads + 2 * p.kv_heads);
    p.group = p.heads / p.kv_heads;
    p.padded = (p.time + 3) / 4 * 4;
    p.scale = (real)attr->scale;
    return p;
}

/* Offsets of the first token's queries, keys and values of head `index`, counted over sequences. */
static int64_t query_at(const struct places *p, int64_t index) {
    return index / p->heads * p->time * p->columns + index % p->heads * p->size;
}
static int64_t key_at(const struct places *p, int64_t index) {
    return index / p->heads * p->time * p->columns + (p->heads + index % p->heads / p->group) * p->size;
}
static int64_t value_at(const struct places *p, int64_t index) { return key_at(p, index) + p->kv_heads * p->size; }

/* The same in o[N, H D]. */
static int64_t out_at(const struct places *p, int64_t index) {
    return (index / p->heads * p->time * p->heads + index % p->heads) * p->size;
}

static int64_t tiles_of(const struct places *p) { return (p->time + ATTENTION_TILE - 1) / ATTENTION_TILE; }

/* The three parts of this thread's scratch memory. */
struct parts {
    real *weights, *whole, *tile;
};

static struct parts parts_of(const struct kernel_args *a, const struct places *p) {
    real *scratch = (real *)(a->scratch + (size_t)omp_get_thread_num() * a->scratch_stride);
    real *whole = scratch + ATTENTION_TILE * p->padded;
    return (struct parts){scratch, whole, whole + p->time * p->size};
}

/* w[query, key] = scale * x[query] . y[key], all keys of a tile of queries. Rows of x and y are `x_stride`, `y_stride` apart. */
static void outer(const struct kernel_args *a, const struct places *p, int64_t index, int64_t tile, real scale,
                  const value *x, int64_t x_stride, const value *y, int64_t y_stride) {
    const struct parts parts = parts_of(a, p);
    int64_t begin = tile * ATTENTION_TILE, rows = smaller(ATTENTION_TILE, p->time - begin);
    value *w = (value *)a->out[0].data + (index * p->time + begin) * p->padded;
    struct rows left = rows_of(x + begin * x_stride, rows, p->size, x_stride, parts.tile);
    struct rows right = rows_of(y, p->time, p->size, y_stride, parts.whole);
    struct rows product = rows_for(w, p->padded, p->padded, parts.weights);
    real_gemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)p->time, (int)p->size, scale, left.at,
              (int)left.stride, right.at, (int)right.stride, 0, product.at, (int)p->padded);
    rows_store(product, rows, p->time, p->padded, w);
    for (int64_t i = 0; i < rows; i++)
        memset(w + i * p->padded + p->time, 0, (size_t)(p->padded - p->time) * sizeof *w);
}

/* to[query] = scale * the sum over keys of w[query, key] * y[key], for a tile of queries; added to what is there if `add`. */
static void inner(const struct kernel_args *a, const struct places *p, int64_t index, int64_t tile, real scale,
                  const value *weights, const value *y, int add, value *to, int64_t to_stride) {
    const struct parts parts = parts_of(a, p);
    int64_t begin = tile * ATTENTION_TILE, rows = smaller(ATTENTION_TILE, p->time - begin);
    struct rows w = rows_of(weights + (index * p->time + begin) * p->padded, rows, p->time, p->padded, parts.weights);
    struct rows right = rows_of(y, p->time, p->size, p->columns, parts.whole);
    value *out = to + begin * to_stride;
    struct rows sum =
        add ? rows_of(out, rows, p->size, to_stride, parts.tile) : rows_for(out, p->size, to_stride, parts.tile);
    real_gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)p->size, (int)p->time, scale, w.at,
              (int)w.stride, right.at, (int)right.stride, (real)add, sum.at, (int)sum.stride);
    rows_store(sum, rows, p->size, to_stride, out);
}

/* to[key] = the sum over the heads of a group, in order, and over queries of scale * weights[query, key] * x[query], for a tile of
 * keys; added to what is there if `add`. */
static void gather(const struct kernel_args *a, const struct places *p, int64_t group, int64_t tile, real scale,
                   const value *weights, const value *x, int64_t x_stride,
                   int64_t (*x_at)(const struct places *, int64_t), int add, value *to) {
    const struct parts parts = parts_of(a, p);
    int64_t begin = tile * ATTENTION_TILE, keys = smaller(ATTENTION_TILE, p->time - begin);
    value *out = to + begin * p->columns;
    struct rows sum =
        add ? rows_of(out, keys, p->size, p->columns, parts.tile) : rows_for(out, p->size, p->columns, parts.tile);
    for (int64_t i = 0; i < p->group; i++) {
        int64_t index = group * p->group + i;
        struct rows w = rows_of(weights + index * p->time * p->padded + begin, p->time, keys, p->padded, parts.weights);
        struct rows from = rows_of(x + x_at(p, index), p->time, p->size, x_stride, parts.whole);
        real_gemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)keys, (int)p->size, (int)p->time, scale, w.at,
                  (int)w.stride, from.at, (int)from.stride, (real)(add || i > 0), sum.at, (int)sum.stride);
    }
    rows_store(sum, keys, p->size, p->columns, out);
}

void K(attention_scores)(const struct kernel_args *a) {
    const value *qkv = a->in[0].data;
    struct places p = places_of(a, a->in[0].dim[1]);
    int64_t tiles = tiles_of(&p);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.heads * tiles; piece++) {
        int64_t index = piece / tiles;
        outer(a, &p, index, piece % tiles, p.scale, qkv + query_at(&p, index), p.columns, qkv + key_at(&p, index),
              p.columns);
    }
}

/* In its parts as softmax_row() makes it, on values. */
static void softmax_values(value *row, int64_t live, int64_t n) {
    real top = row_max(row, live);
    double total = 0;
    for (int64_t begin = 0; begin < live; begin += ROW_PART) {
        int64_t end = smaller(begin + ROW_PART, live);
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++) {
            real e = real_exp(get(row[i]) - top);
            row[i] = put(e);
            sum += e;
        }
        total += (double)sum;
    }
    real factor = (real)(1 / total);
#pragma omp simd
    for (int64_t i = 0; i < live; i++) row[i] = put(get(row[i]) * factor);
    memset(row + live, 0, (size_t)(n - live) * sizeof *row);
}

void K(attention_softmax)(const struct kernel_args *a) {
    const value *scores = a->in[0].data;
    const int32_t *starts = a->in[1].data;
    value *weights = a->out[0].data;
    int64_t time = a->attr->time, heads = a->attr->heads, rows = a->in[0].dim[0], padded = a->in[0].dim[1];
#pragma omp parallel for schedule(static) if (rows * padded >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        int64_t query = row % time, sequence = row / time / heads;
        int64_t first = starts ? starts[sequence * time + query] : 0;
        value *to = weights + row * padded;
        if (to != scores + row * padded) memcpy(to, scores + row * padded, (size_t)padded * sizeof *to);
        memset(to, 0, (size_t)first * sizeof *to);
        softmax_values(to + first, query + 1 - first, padded - first);
    }
}

/* ds = p * (dp - sum(p * dp)); p is 0 where there is nothing to see. */
void K(attention_softmax_grad)(const struct kernel_args *a) {
    const value *dp = a->in[0].data, *p = a->in[1].data;
    value *ds = a->out[0].data;
    int64_t rows = a->in[0].dim[0], padded = a->in[0].dim[1];
#pragma omp parallel for schedule(static) if (rows * padded >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *dp_row = dp + row * padded, *p_row = p + row * padded;
        value *to = ds + row * padded;
        real sum = (real)row_dot(dp_row, p_row, padded);
#pragma omp simd
        for (int64_t i = 0; i < padded; i++) to[i] = put(get(p_row[i]) * (get(dp_row[i]) - sum));
    }
}

void K(attention_mix)(const struct kernel_args *a) {
    const value *qkv = a->in[1].data;
    struct places p = places_of(a, a->in[1].dim[1]);
    int64_t tiles = tiles_of(&p);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.heads * tiles; piece++) {
        int64_t index = piece / tiles;
        inner(a, &p, index, piece % tiles, 1, a->in[0].data, qkv + value_at(&p, index), 0,
              (value *)a->out[0].data + out_at(&p, index), p.heads * p.size);
    }
}

void K(attention_mix_dp)(const struct kernel_args *a) {
    const value *d_out = a->in[0].data, *qkv = a->in[1].data;
    struct places p = places_of(a, a->in[1].dim[1]);
    int64_t tiles = tiles_of(&p);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.heads * tiles; piece++) {
        int64_t index = piece / tiles;
        outer(a, &p, index, piece % tiles, 1, d_out + out_at(&p, index), p.heads * p.size, qkv + value_at(&p, index),
              p.columns);
    }
}

/* The gradients of queries and keys are zero here; attention_scores_grad adds them. */
void K(attention_mix_dv)(const struct kernel_args *a) {
    value *dqkv = a->out[0].data;
    struct places p = places_of(a, a->out[0].dim[1]);
    int64_t tiles = tiles_of(&p), others = (p.heads + p.kv_heads) * p.size, rows = a->out[0].dim[0];
#pragma omp parallel for schedule(static) if (rows * others >= SMALL)
    for (int64_t row = 0; row < rows; row++) memset(dqkv + row * p.columns, 0, (size_t)others * sizeof *dqkv);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.kv_heads * tiles; piece++) {
        int64_t group = piece / tiles;
        gather(a, &p, group, piece % tiles, 1, a->in[1].data, a->in[0].data, p.heads * p.size, out_at, 0,
               dqkv + value_at(&p, group * p.group));
    }
}

/* dqkv = prev, or zero. */
static void start_grad(const struct kernel_args *a, const struct places *p) {
    const value *prev = a->in[2].data;
    value *dqkv = a->out[0].data;
    int64_t rows = a->in[1].dim[0];
    size_t bytes = (size_t)p->columns * sizeof *dqkv;
    if (prev == dqkv) return;
#pragma omp parallel for schedule(static) if (rows * p->columns >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        if (prev)
            memcpy(dqkv + row * p->columns, prev + row * p->columns, bytes);
        else
            memset(dqkv + row * p->columns, 0, bytes);
    }
}

void K(attention_scores_grad)(const struct kernel_args *a) {
    const value *ds = a->in[0].data, *qkv = a->in[1].data;
    value *dqkv = a->out[0].data;
    struct places p = places_of(a, a->in[1].dim[1]);
    int64_t tiles = tiles_of(&p);
    start_grad(a, &p);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.heads * tiles; piece++) {
        int64_t index = piece / tiles;
        inner(a, &p, index, piece % tiles, p.scale, ds, qkv + key_at(&p, index), 1, dqkv + query_at(&p, index),
              p.columns);
    }
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.kv_heads * tiles; piece++) {
        int64_t group = piece / tiles;
        gather(a, &p, group, piece % tiles, p.scale, ds, qkv, p.columns, query_at, 1,
               dqkv + key_at(&p, group * p.group));
    }
}
