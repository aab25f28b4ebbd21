/* Affine maps and their gradients. */
#include "linear.h"

void K(linear)(const struct kernel_args *a) {
    const value *bias = a->in[2].data;
    linear_with(a, a->out[0].data, (struct tile_work){.context = &bias});
}

struct earlier {
    const value *prev;
    int64_t width;
};

static void begin_with_earlier(const void *context, const struct tile *tile, void *c, int64_t stride) {
    const struct earlier *e = context;
    value *to = c;
    for (int64_t row = tile->row; row < tile->row + tile->height; row++, to += stride)
        memcpy(to, e->prev + row * e->width + tile->column, (size_t)tile->width * sizeof *to);
}

void K(linear_dx)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *w = a->in[1].data, *prev = a->in[2].data;
    value *dx = a->out[0].data;
    int64_t outputs = a->in[1].dim[0], inputs = a->in[1].dim[1], rows = elements(&a->in[0]) / outputs;
    const struct earlier earlier = {prev, inputs};
    const struct tile_work work = {.before = prev && prev != dx ? begin_with_earlier : NULL, .context = &earlier};
    value_product_with(0, 0, rows, inputs, outputs, dy, w, prev != NULL, dx, &work);
}

void K(linear_dw)(const struct kernel_args *a) {
    const value *dy = a->in[0].data, *x = a->in[1].data;
    real *dw = a->out[0].data, *db = a->out[1].data;
    int64_t outputs = a->out[0].dim[0], inputs = a->out[0].dim[1], rows = elements(&a->in[1]) / inputs;
    real_product(1, 0, outputs, inputs, rows, dy, x, a->add & 1, dw);
    if (db) sum_rows(dy, rows, outputs, a->add >> 1 & 1, db);
}
