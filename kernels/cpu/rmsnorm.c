/* Root mean square normalization (Zhang & Sennrich 2019): of rows, and of the heads of queries and keys inside a row. */
#include "real.h"

/* The sum of x^2. */
static double row_squares(const value *x, int64_t n) { return row_dot(x, x, n); }

static real norm_row(const value *x, const value *w, int64_t width, double eps, value *y) {
    real scale = (real)(1 / sqrt(row_squares(x, width) / (double)width + eps));
#pragma omp simd
    for (int64_t c = 0; c < width; c++) y[c] = put(get(x[c]) * scale * get(w[c]));
    return scale;
}

void K(rmsnorm)(const struct kernel_args *a) {
    const value *x = a->in[0].data, *w = a->in[1].data;
    value *y = a->out[0].data;
    real *rstd = a->out[1].data;
    int64_t width = a->in[1].dim[0], rows = elements(&a->in[0]) / width;
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++)
        rstd[row] = norm_row(x + row * width, w, width, a->attr->eps, y + row * width);
}

void K(add_rmsnorm)(const struct kernel_args *a) {
    const value *left = a->in[0].data, *right = a->in[1].data, *w = a->in[2].data;
    value *sum = a->out[0].data, *y = a->out[1].data;
    real *rstd = a->out[2].data;
    int64_t width = a->in[2].dim[0], rows = elements(&a->in[0]) / width;
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        int64_t at = row * width;
        add_row(left + at, right + at, width, sum + at);
        rstd[row] = norm_row(sum + at, w, width, a->attr->eps, y + at);
    }
}

/* With g = dy * w and h = x * rstd:  dx = rstd * (g - h * mean(g * h)) + prev. dx may be dy or prev. */
static void row_grad(const value *dy, const value *x, const value *w, const value *prev, int64_t width, real scale,
                     value *dx) {
    double total = 0;
    for (int64_t begin = 0; begin < width; begin += ROW_PART) {
        int64_t end = smaller(begin + ROW_PART, width);
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = begin; c < end; c++) sum += get(dy[c]) * get(w[c]) * (get(x[c]) * scale);
        total += (double)sum;
    }
    real mean = (real)(total / (double)width);
    if (prev) {
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            dx[c] = put(scale * (get(dy[c]) * get(w[c]) - get(x[c]) * scale * mean) + get(prev[c]));
    } else {
#pragma omp simd
        for (int64_t c = 0; c < width; c++) dx[c] = put(scale * (get(dy[c]) * get(w[c]) - get(x[c]) * scale * mean));
    }
}

/* dw[c] += the sum over rows of dy * x * rstd, for columns [begin, begin + count): rows are `stride` apart, and rstd is
 * rstd[row * scales]. */
static void column_grad(const value *dy, const value *x, const real *rstd, int64_t rows, int64_t stride, int64_t scales,
                        int64_t count, real *total) {
    for (int64_t group = 0; group < rows; group += ROW_GROUP) {
        int64_t group_end = smaller(group + ROW_GROUP, rows);
        real sum[COLUMN_BLOCK] = {0};
        for (int64_t row = group; row < group_end; row++) {
            const value *dy_row = dy + row * stride, *x_row = x + row * stride;
            real scale = rstd[row * scales];
#pragma omp simd
            for (int64_t c = 0; c < count; c++) sum[c] += get(dy_row[c]) * (get(x_row[c]) * scale);
        }
        for (int64_t c = 0; c < count; c++) total[c] += sum[c];
    }
}

void K(rmsnorm_grad)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *x = a->in[1].data, *w = a->in[3].data, *prev = a->in[4].data;
    const real *rstd = a->in[2].data;
    value *dx = a->out[0].data;
    real *dw = a->out[1].data;
    int64_t width = a->in[3].dim[0], rows = elements(&a->in[0]) / width;
    int add = a->add >> 1 & 1;
    /* First what reads dy as a whole: dx may take its place. */
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t begin = 0; begin < width; begin += COLUMN_BLOCK) {
        int64_t count = smaller(COLUMN_BLOCK, width - begin);
        real total[COLUMN_BLOCK] = {0};
        column_grad(dy + begin, x + begin, rstd, rows, width, 1, count, total);
        for (int64_t c = 0; c < count; c++) dw[begin + c] = add ? dw[begin + c] + total[c] : total[c];
    }
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++)
        row_grad(dy + row * width, x + row * width, w, prev ? prev + row * width : NULL, width, rstd[row],
                 dx + row * width);
}

void K(qk_norm)(const struct kernel_args *a) {
    const value *x = a->in[0].data, *wq = a->in[1].data, *wk = a->in[2].data;
    value *y = a->out[0].data;
    real *rstd = a->out[1].data;
    int64_t rows = a->in[0].dim[0], columns = a->in[0].dim[1], size = a->in[1].dim[0];
    int64_t heads = a->attr->heads, normed = heads + a->attr->kv_heads;
#pragma omp parallel for schedule(static) if (rows * columns >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t head = 0; head < normed; head++) {
            const value *from = x + row * columns + head * size, *w = head < heads ? wq : wk;
            value *to = y + row * columns + head * size;
            real scale = (real)(1 / sqrt(row_squares(from, size) / (double)size + a->attr->eps));
#pragma omp simd
            for (int64_t c = 0; c < size; c++) to[c] = put(get(from[c]) * scale * get(w[c]));
            rstd[row * normed + head] = scale;
        }
        int64_t values = normed * size;
        if (y != x)
            memcpy(y + row * columns + values, x + row * columns + values, (size_t)(columns - values) * sizeof *y);
    }
}

/* One weight serves heads [first, last): their sums are added in the order of heads. */
static void head_weight_grad(const struct kernel_args *a, int64_t first, int64_t last, int add, real *dw) {
    const value *dy = a->in[0].data, *x = a->in[1].data;
    const real *rstd = a->in[2].data;
    int64_t rows = a->in[1].dim[0], columns = a->in[1].dim[1], size = a->in[3].dim[0], normed = a->in[2].dim[1];
#pragma omp parallel for schedule(static) if (rows * (last - first) * size >= SMALL)
    for (int64_t begin = 0; begin < size; begin += COLUMN_BLOCK) {
        int64_t count = smaller(COLUMN_BLOCK, size - begin);
        real total[COLUMN_BLOCK] = {0};
        for (int64_t head = first; head < last; head++)
            column_grad(dy + head * size + begin, x + head * size + begin, rstd + head, rows, columns, normed, count,
                        total);
        for (int64_t c = 0; c < count; c++) dw[begin + c] = add ? dw[begin + c] + total[c] : total[c];
    }
}

void K(qk_norm_grad)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *x = a->in[1].data, *wq = a->in[3].data, *wk = a->in[4].data;
    const real *rstd = a->in[2].data;
    value *dx = a->out[0].data;
    int64_t rows = a->in[1].dim[0], columns = a->in[1].dim[1], size = a->in[3].dim[0];
    int64_t heads = a->attr->heads, normed = heads + a->attr->kv_heads;
    head_weight_grad(a, 0, heads, a->add >> 1 & 1, a->out[1].data);
    head_weight_grad(a, heads, normed, a->add >> 2 & 1, a->out[2].data);
#pragma omp parallel for schedule(static) if (rows * columns >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t head = 0; head < normed; head++) {
            int64_t at = row * columns + head * size;
            row_grad(dy + at, x + at, head < heads ? wq : wk, NULL, size, rstd[row * normed + head], dx + at);
        }
        int64_t values = row * columns + normed * size;
        if (dx != dy) memcpy(dx + values, dy + values, (size_t)(columns - normed * size) * sizeof *dx);
    }
}
