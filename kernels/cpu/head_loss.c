/* The last linear layer with the loss, a chunk of rows at a time: the logits of a chunk are made, used and overwritten. */
#include "product.h"
#include "softcap.h"

/* One chunk: rows [begin, begin + rows) of x. */
struct chunk {
    const value *x, *w;
    value *logits;
    int64_t begin, rows, columns, width; /* columns: rows of w */
};

static struct chunk chunk_at(const struct kernel_args *a, int64_t begin) {
    const struct view *x = &a->in[0], *room = &a->out[2];
    return (struct chunk){.x = (const value *)x->data + begin * x->dim[1],
                          .w = a->in[1].data,
                          .logits = room->data,
                          .begin = begin,
                          .rows = smaller(room->dim[0], x->dim[0] - begin),
                          .columns = a->in[1].dim[0],
                          .width = x->dim[1]};
}

static void make_logits(const struct chunk *c, double cap) {
    int64_t n = c->rows * c->columns;
    value_product(0, 1, c->rows, c->columns, c->width, c->x, c->w, 0, c->logits);
    if (!(cap > 0)) return;
    real limit = (real)cap, inverse = (real)(1 / cap);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = smaller(begin + BLOCK, n);
#pragma omp simd
        for (int64_t i = begin; i < end; i++) c->logits[i] = put(limit * real_tanh(get(c->logits[i]) * inverse));
    }
}

void K(head_loss)(const struct kernel_args *a) {
    const int32_t *targets = a->in[2].data;
    double *loss = a->out[0].data, total = 0;
    real *lse = a->out[1].data;
    int64_t vocabulary = a->attr->vocab, rows = a->in[0].dim[0], count = 0;
    for (int64_t begin = 0; begin < rows; begin += a->out[2].dim[0]) {
        const struct chunk c = chunk_at(a, begin);
        make_logits(&c, a->attr->cap);
#pragma omp parallel for schedule(static) if (c.rows * vocabulary >= SMALL)
        for (int64_t row = 0; row < c.rows; row++)
            lse[begin + row] = log_sum_exp(c.logits + row * c.columns, vocabulary);
        for (int64_t row = 0; row < c.rows; row++) {
            int32_t target = targets[begin + row];
            if (target < 0) continue;
            total += (double)lse[begin + row] - (double)get(c.logits[row * c.columns + target]);
            count++;
        }
    }
    loss[0] = count > 0 ? total / (double)count : 0;
    loss[1] = (double)count;
}

/* logits become their gradients: (softmax - onehot) * factor, and through the cap where there is one. */
static void row_grad(value *row, int64_t vocabulary, int64_t columns, int32_t target, real shift, real factor,
                     real inverse) {
    int64_t live = target < 0 ? 0 : vocabulary;
    real at_target = live ? get(row[target]) : 0;
    memset(row + live, 0, (size_t)(columns - live) * sizeof *row);
    if (!live) return;
    real slope = capped_slope(at_target * inverse);
#pragma omp simd
    for (int64_t i = 0; i < vocabulary; i++) {
        real logit = get(row[i]), part = logit * inverse;
        row[i] = put(real_exp(logit - shift) * factor * capped_slope(part));
    }
    row[target] = put((real_exp(at_target - shift) * factor - factor) * slope);
}

void K(head_loss_grad)(const struct kernel_args *a) {
    const int32_t *targets = a->in[2].data;
    const real *lse = a->in[3].data;
    const double *loss = a->in[4].data, *dloss = a->in[5].data;
    value *dx = a->out[0].data;
    real factor = loss[1] > 0 ? (real)(dloss[0] / loss[1]) : 0, *dw = a->out[1].data;
    real inverse = a->attr->cap > 0 ? (real)(1 / a->attr->cap) : 0;
    int64_t vocabulary = a->attr->vocab, rows = a->in[0].dim[0];
    for (int64_t begin = 0; begin < rows; begin += a->out[2].dim[0]) {
        const struct chunk c = chunk_at(a, begin);
        make_logits(&c, a->attr->cap);
#pragma omp parallel for schedule(static) if (c.rows * vocabulary >= SMALL)
        for (int64_t row = 0; row < c.rows; row++)
            row_grad(c.logits + row * c.columns, vocabulary, c.columns, targets[begin + row], lse[begin + row], factor,
                     inverse);
        real_product(1, 0, c.columns, c.width, c.rows, c.logits, c.x, begin > 0 || (a->add >> 1 & 1), dw);
        value_product(0, 0, c.rows, c.width, c.columns, c.logits, c.w, 0, dx + begin * c.width);
    }
}
