/* Layer normalization (Ba, Kiros & Hinton 2016) over the last dimension. Statistics take two passes over the row, which
 * is in the nearest cache then: the variance of a row with a large mean stays exact. */
#include "real.h"

static double row_sum(const value *x, int64_t n) {
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += ROW_PART) {
        int64_t end = smaller(begin + ROW_PART, n);
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++) sum += get(x[i]);
        total += (double)sum;
    }
    return total;
}

static double row_square_distance(const value *x, int64_t n, real center) {
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += ROW_PART) {
        int64_t end = smaller(begin + ROW_PART, n);
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++) sum += (get(x[i]) - center) * (get(x[i]) - center);
        total += (double)sum;
    }
    return total;
}

static void norm_row(const value *x, const value *w, const value *b, int64_t width, double eps, value *y, real *mean,
                     real *rstd) {
    real center = (real)(row_sum(x, width) / (double)width);
    double variance = row_square_distance(x, width, center) / (double)width;
    real scale = (real)(1 / sqrt(variance + eps));
    if (b) {
#pragma omp simd
        for (int64_t c = 0; c < width; c++) y[c] = put((get(x[c]) - center) * scale * get(w[c]) + get(b[c]));
    } else {
#pragma omp simd
        for (int64_t c = 0; c < width; c++) y[c] = put((get(x[c]) - center) * scale * get(w[c]));
    }
    *mean = center;
    *rstd = scale;
}

void K(layernorm)(const struct kernel_args *a) {
    const value *x = a->in[0].data, *w = a->in[1].data, *b = a->in[2].data;
    value *y = a->out[0].data;
    real *mean = a->out[1].data, *rstd = a->out[2].data;
    int64_t width = a->in[1].dim[0], rows = elements(&a->in[0]) / width;
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++)
        norm_row(x + row * width, w, b, width, a->attr->eps, y + row * width, mean + row, rstd + row);
}

void K(add_layernorm)(const struct kernel_args *a) {
    const value *left = a->in[0].data, *right = a->in[1].data, *w = a->in[2].data, *b = a->in[3].data;
    value *sum = a->out[0].data, *y = a->out[1].data;
    real *mean = a->out[2].data, *rstd = a->out[3].data;
    int64_t width = a->in[2].dim[0], rows = elements(&a->in[0]) / width;
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        int64_t at = row * width;
        add_row(left + at, right + at, width, sum + at);
        norm_row(sum + at, w, b, width, a->attr->eps, y + at, mean + row, rstd + row);
    }
}

/* dw[C] += the sum over rows of dy * (x - mean) * rstd, each thread with its own columns, as in sum_rows(). */
static void weight_grad(const struct kernel_args *a, int64_t rows, int64_t width) {
    const value *dy = a->in[0].data, *x = a->in[1].data;
    const real *mean = a->in[2].data, *rstd = a->in[3].data;
    real *dw = a->out[1].data;
    int add = a->add >> 1 & 1;
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t begin = 0; begin < width; begin += COLUMN_BLOCK) {
        int64_t count = smaller(COLUMN_BLOCK, width - begin);
        real total[COLUMN_BLOCK] = {0};
        for (int64_t group = 0; group < rows; group += ROW_GROUP) {
            int64_t group_end = smaller(group + ROW_GROUP, rows);
            real sum[COLUMN_BLOCK] = {0};
            for (int64_t row = group; row < group_end; row++) {
                const value *dy_row = dy + row * width + begin, *x_row = x + row * width + begin;
                real center = mean[row], scale = rstd[row];
#pragma omp simd
                for (int64_t c = 0; c < count; c++) sum[c] += get(dy_row[c]) * ((get(x_row[c]) - center) * scale);
            }
            for (int64_t c = 0; c < count; c++) total[c] += sum[c];
        }
        for (int64_t c = 0; c < count; c++) dw[begin + c] = add ? dw[begin + c] + total[c] : total[c];
    }
}

/* With g = dy * w and h = (x - mean) * rstd:  dx = rstd * (g - mean(g) - h * mean(g * h)) + prev. */
static void row_grad(const value *dy, const value *x, const value *w, const value *prev, int64_t width, real center,
                     real scale, value *dx) {
    double total_g = 0, total_gh = 0;
    for (int64_t begin = 0; begin < width; begin += ROW_PART) {
        int64_t end = smaller(begin + ROW_PART, width);
        real sum_g = 0, sum_gh = 0;
#pragma omp simd reduction(+ : sum_g, sum_gh)
        for (int64_t c = begin; c < end; c++) {
            real g = get(dy[c]) * get(w[c]);
            sum_g += g;
            sum_gh += g * ((get(x[c]) - center) * scale);
        }
        total_g += (double)sum_g;
        total_gh += (double)sum_gh;
    }
    real mean_g = (real)(total_g / (double)width), mean_gh = (real)(total_gh / (double)width);
    if (prev) {
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            dx[c] =
                put(scale * (get(dy[c]) * get(w[c]) - mean_g - (get(x[c]) - center) * scale * mean_gh) + get(prev[c]));
    } else {
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            dx[c] = put(scale * (get(dy[c]) * get(w[c]) - mean_g - (get(x[c]) - center) * scale * mean_gh));
    }
}

void K(layernorm_grad)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *x = a->in[1].data, *w = a->in[4].data, *prev = a->in[5].data;
    const real *mean = a->in[2].data, *rstd = a->in[3].data;
    value *dx = a->out[0].data;
    real *db = a->out[2].data;
    int64_t width = a->in[4].dim[0], rows = elements(&a->in[0]) / width;
    /* First what reads dy as a whole: dx may take its place. */
    weight_grad(a, rows, width);
    if (db) sum_rows(dy, rows, width, a->add >> 2 & 1, db);
#pragma omp parallel for schedule(static) if (rows * width >= SMALL)
    for (int64_t row = 0; row < rows; row++)
        row_grad(dy + row * width, x + row * width, w, prev ? prev + row * width : NULL, width, mean[row], rstd[row],
                 dx + row * width);
}
