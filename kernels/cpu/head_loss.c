/* The last linear layer with the loss, a chunk of rows at a time: the logits of a chunk are made, used and overwritten. */
#include "product.h"
#include "xent.h"

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
    value_product(0, 1, c->rows, c->columns, c->width, c->x, c->w, 0, c->logits);
    if (cap > 0) softcap_values(c->logits, c->rows * c->columns, cap, c->logits);
}

void K(head_loss)(const struct kernel_args *a) {
    const int32_t *targets = a->in[2].data;
    double *loss = a->out[0].data;
    real *lse = a->out[1].data;
    loss[0] = loss[1] = 0;
    for (int64_t begin = 0; begin < a->in[0].dim[0]; begin += a->out[2].dim[0]) {
        const struct chunk c = chunk_at(a, begin);
        make_logits(&c, a->attr->cap);
        xent_rows(c.logits, targets + begin, c.rows, a->attr->vocab, c.columns, lse + begin, loss);
    }
    xent_mean(loss);
}

void K(head_loss_grad)(const struct kernel_args *a) {
    const int32_t *targets = a->in[2].data;
    const real *lse = a->in[3].data;
    const double *loss = a->in[4].data, *dloss = a->in[5].data;
    value *dx = a->out[0].data;
    real factor = loss[1] > 0 ? (real)(dloss[0] / loss[1]) : 0;
    real inverse = a->attr->cap > 0 ? (real)(1 / a->attr->cap) : 0;
    for (int64_t begin = 0; begin < a->in[0].dim[0]; begin += a->out[2].dim[0]) {
        const struct chunk c = chunk_at(a, begin);
        make_logits(&c, a->attr->cap);
        xent_rows_grad(c.logits, targets + begin, lse + begin, c.rows, a->attr->vocab, c.columns, factor, inverse,
                       c.logits);
        real_product(1, 0, c.columns, c.width, c.rows, c.logits, c.x, begin > 0 || (a->add >> 1 & 1), a->out[1].data);
        value_product(0, 0, c.rows, c.width, c.columns, c.logits, c.w, 0, dx + begin * c.width);
    }
}
