/* Attention with all its T x T weights in memory: what `attention` is compared with. Products are of all queries with all keys, as
 * a matrix library would make them; the mask comes after. Pieces of work are tiles of one head, so sums have a fixed order. */
#include <cblas.h>

#include "real.h"

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

/* w[query, key] = scale * x[query] . y[key], all keys of a tile of queries. Rows of x and y are `x_stride`, `y_stride` apart. */
static void outer(const struct places *p, int64_t index, int64_t tile, real scale, const real *x, int64_t x_stride,
                  const real *y, int64_t y_stride, real *weights) {
    int64_t begin = tile * ATTENTION_TILE, rows = smaller(ATTENTION_TILE, p->time - begin);
    real *w = weights + (index * p->time + begin) * p->padded;
    real_gemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)p->time, (int)p->size, scale,
              x + begin * x_stride, (int)x_stride, y, (int)y_stride, 0, w, (int)p->padded);
    for (int64_t i = 0; i < rows; i++)
        memset(w + i * p->padded + p->time, 0, (size_t)(p->padded - p->time) * sizeof *w);
}

void K(attention_scores)(const struct kernel_args *a) {
    const real *qkv = a->in[0].data;
    real *scores = a->out[0].data;
    struct places p = places_of(a, a->in[0].dim[1]);
    int64_t tiles = tiles_of(&p);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.heads * tiles; piece++) {
        int64_t index = piece / tiles;
        outer(&p, index, piece % tiles, p.scale, qkv + query_at(&p, index), p.columns, qkv + key_at(&p, index),
              p.columns, scores);
    }
}

void K(attention_softmax)(const struct kernel_args *a) {
    const real *scores = a->in[0].data;
    const int32_t *starts = a->in[1].data;
    real *weights = a->out[0].data;
    int64_t time = a->attr->time, heads = a->attr->heads, rows = a->in[0].dim[0], padded = a->in[0].dim[1];
#pragma omp parallel for schedule(static) if (rows * padded >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        int64_t query = row % time, sequence = row / time / heads;
        int64_t first = starts ? starts[sequence * time + query] : 0;
        real *to = weights + row * padded;
        if (to != scores + row * padded) memcpy(to, scores + row * padded, (size_t)padded * sizeof *to);
        memset(to, 0, (size_t)first * sizeof *to);
        softmax_row(to + first, query + 1 - first, padded - first);
    }
}

/* ds = p * (dp - sum(p * dp)); p is 0 where there is nothing to see. */
void K(attention_softmax_grad)(const struct kernel_args *a) {
    const real *dp = a->in[0].data, *p = a->in[1].data;
    real *ds = a->out[0].data;
    int64_t rows = a->in[0].dim[0], padded = a->in[0].dim[1];
#pragma omp parallel for schedule(static) if (rows * padded >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const real *dp_row = dp + row * padded, *p_row = p + row * padded;
        real *to = ds + row * padded, sum = (real)row_dot(dp_row, p_row, padded);
#pragma omp simd
        for (int64_t i = 0; i < padded; i++) to[i] = p_row[i] * (dp_row[i] - sum);
    }
}

void K(attention_mix)(const struct kernel_args *a) {
    const real *weights = a->in[0].data, *qkv = a->in[1].data;
    real *o = a->out[0].data;
    struct places p = places_of(a, a->in[1].dim[1]);
    int64_t tiles = tiles_of(&p);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.heads * tiles; piece++) {
        int64_t index = piece / tiles, begin = piece % tiles * ATTENTION_TILE;
        int64_t rows = smaller(ATTENTION_TILE, p.time - begin), width = p.heads * p.size;
        real_gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)p.size, (int)p.time, 1,
                  weights + (index * p.time + begin) * p.padded, (int)p.padded, qkv + value_at(&p, index),
                  (int)p.columns, 0, o + out_at(&p, index) + begin * width, (int)width);
    }
}

void K(attention_mix_dp)(const struct kernel_args *a) {
    const real *d_out = a->in[0].data, *qkv = a->in[1].data;
    real *dp = a->out[0].data;
    struct places p = places_of(a, a->in[1].dim[1]);
    int64_t tiles = tiles_of(&p);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.heads * tiles; piece++) {
        int64_t index = piece / tiles;
        outer(&p, index, piece % tiles, 1, d_out + out_at(&p, index), p.heads * p.size, qkv + value_at(&p, index),
              p.columns, dp);
    }
}

/* to[key] += the sum over the heads of a group, in order, and over queries of weights[query, key] * x[query], for a tile of keys. */
static void gather(const struct places *p, int64_t group, int64_t tile, real scale, const real *weights, const real *x,
                   int64_t x_stride, int64_t (*x_at)(const struct places *, int64_t), int add, real *to) {
    int64_t begin = tile * ATTENTION_TILE, keys = smaller(ATTENTION_TILE, p->time - begin);
    for (int64_t i = 0; i < p->group; i++) {
        int64_t index = group * p->group + i;
        real_gemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)keys, (int)p->size, (int)p->time, scale,
                  weights + index * p->time * p->padded + begin, (int)p->padded, x + x_at(p, index), (int)x_stride,
                  (real)(add || i > 0), to + begin * p->columns, (int)p->columns);
    }
}

/* The gradients of queries and keys are zero here; attention_scores_grad adds them. */
void K(attention_mix_dv)(const struct kernel_args *a) {
    const real *d_out = a->in[0].data, *weights = a->in[1].data;
    real *dqkv = a->out[0].data;
    struct places p = places_of(a, a->out[0].dim[1]);
    int64_t tiles = tiles_of(&p), others = (p.heads + p.kv_heads) * p.size, rows = a->out[0].dim[0];
#pragma omp parallel for schedule(static) if (rows * others >= SMALL)
    for (int64_t row = 0; row < rows; row++) memset(dqkv + row * p.columns, 0, (size_t)others * sizeof *dqkv);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.kv_heads * tiles; piece++) {
        int64_t group = piece / tiles;
        gather(&p, group, piece % tiles, 1, weights, d_out, p.heads * p.size, out_at, 0,
               dqkv + value_at(&p, group * p.group));
    }
}

void K(attention_scores_grad)(const struct kernel_args *a) {
    const real *ds = a->in[0].data, *qkv = a->in[1].data, *prev = a->in[2].data;
    real *dqkv = a->out[0].data;
    struct places p = places_of(a, a->in[1].dim[1]);
    int64_t tiles = tiles_of(&p), rows = a->in[1].dim[0];
    size_t row_bytes = (size_t)p.columns * sizeof *dqkv;
    if (prev != dqkv) {
#pragma omp parallel for schedule(static) if (rows * p.columns >= SMALL)
        for (int64_t row = 0; row < rows; row++) {
            if (prev)
                memcpy(dqkv + row * p.columns, prev + row * p.columns, row_bytes);
            else
                memset(dqkv + row * p.columns, 0, row_bytes);
        }
    }
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.heads * tiles; piece++) {
        int64_t index = piece / tiles, begin = piece % tiles * ATTENTION_TILE;
        int64_t queries = smaller(ATTENTION_TILE, p.time - begin);
        real_gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)queries, (int)p.size, (int)p.time, p.scale,
                  ds + (index * p.time + begin) * p.padded, (int)p.padded, qkv + key_at(&p, index), (int)p.columns, 1,
                  dqkv + query_at(&p, index) + begin * p.columns, (int)p.columns);
    }
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < p.batch * p.kv_heads * tiles; piece++) {
        int64_t group = piece / tiles;
        gather(&p, group, piece % tiles, p.scale, ds, qkv, p.columns, query_at, 1, dqkv + key_at(&p, group * p.group));
    }
}
