/* Token and position embeddings. */
#include "real.h"

void K(embed)(const struct kernel_args *a) {
    const int32_t *tokens = a->in[0].data;
    const value *wte = a->in[1].data, *wpe = a->in[2].data;
    value *x = a->out[0].data;
    const int32_t *starts = a->in[3].data;
    int64_t width = a->in[1].dim[1], positions = a->in[2].dim[0];
    int64_t time = a->attr->time, rows = a->attr->batch * time;
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *token = wte + tokens[row] * width;
        value *y = x + row * width;
        int64_t position = a->step->position + row % time - (starts ? starts[row] : 0);
        if (wpe && position < positions) {
            const value *place = wpe + position * width;
#pragma omp simd
            for (int64_t c = 0; c < width; c++) y[c] = put(get(token[c]) + get(place[c]));
        } else { /* no table, or the padding of a prefill that ends beyond it */
            memcpy(y, token, (size_t)width * sizeof *y);
        }
    }
}

static void zero(real *out, int64_t n) {
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += BLOCK)
        memset(out + begin, 0, (size_t)smaller(BLOCK, n - begin) * sizeof *out);
}

/* dwpe[t] += the sum over the batch of dx[batch, t]. */
static void position_grad(const value *dx, int64_t batch, int64_t time, int64_t width, int add, real *dwpe) {
#pragma omp parallel for schedule(static) if (batch * time * width >= SMALL)
    for (int64_t t = 0; t < time; t++) {
        for (int64_t begin = 0; begin < width; begin += COLUMN_BLOCK) {
            int64_t count = smaller(COLUMN_BLOCK, width - begin);
            real *out = dwpe + t * width + begin, sum[COLUMN_BLOCK] = {0};
            for (int64_t b = 0; b < batch; b++) {
                const value *row = dx + (b * time + t) * width + begin;
#pragma omp simd
                for (int64_t c = 0; c < count; c++) sum[c] += get(row[c]);
            }
            for (int64_t c = 0; c < count; c++) out[c] = add ? out[c] + sum[c] : sum[c];
        }
    }
}

/* out[key(row)] += the rows of dx, in the order of their index: threads divide the columns. A row's key is its token, or
 * with `starts` its position. */
static void sum_by_key(const struct kernel_args *a, int positions, real *out) {
    const value *dx = a->in[0].data;
    const int32_t *tokens = a->in[1].data, *starts = a->in[2].data;
    int64_t width = a->in[0].dim[1], time = a->attr->time, rows = a->attr->batch * time;
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t begin = 0; begin < width; begin += COLUMN_BLOCK) {
        int64_t count = smaller(COLUMN_BLOCK, width - begin);
        for (int64_t row = 0; row < rows; row++) {
            int64_t key = positions ? row % time - starts[row] : tokens[row];
            const value *from = dx + row * width + begin;
            real *to = out + key * width + begin;
#pragma omp simd
            for (int64_t c = 0; c < count; c++) to[c] += get(from[c]);
        }
    }
}

void K(embed_grad)(const struct kernel_args *a) {
    const value *dx = a->in[0].data;
    real *dwte = a->out[0].data, *dwpe = a->out[1].data;
    int64_t width = a->out[0].dim[1], time = a->attr->time, whole = a->in[2].data ? 0 : time;
    if (!(a->add & 1)) zero(dwte, elements(&a->out[0]));
    sum_by_key(a, 0, dwte);
    if (!dwpe) return;
    if (!(a->add & 2)) zero(dwpe + whole * width, elements(&a->out[1]) - whole * width);
    if (whole)
        position_grad(dx, a->attr->batch, time, width, a->add >> 1 & 1, dwpe);
    else
        sum_by_key(a, 1, dwpe);
}
