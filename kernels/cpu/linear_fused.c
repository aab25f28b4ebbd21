/* Affine maps with the layer that follows them, and that layer's gradient with the map's: what an element becomes is computed while its
 * tile is in the cache. The bits are those of the two ops, since a tile is stored, in the type of values, before it is read again. */
#include "gelu.h"
#include "linear.h"
#include "rope.h"
#include "swiglu.h"

/* What work on tiles is given. */
struct layer {
    const value *bias; /* first: see begin_with_bias() */
    const struct kernel_args *args;
    const value *x; /* gradients: what the layer was computed from */
    value *y;       /* result of the whole op */
    int64_t width;  /* columns of y; of SwiGLU's dx one half */
    int64_t size;   /* RoPE: of a head */
};

static void after_gelu(const void *context, const struct tile *tile, void *c, int64_t stride) {
    const struct layer *l = context;
    const value *from = c;
    value *to = l->y + tile->row * l->width + tile->column;
    for (int64_t row = 0; row < tile->height; row++, from += stride, to += l->width) gelu_row(from, tile->width, to);
}

/* Where nobody reads x w^T + b it takes the place of its own GELU. */
void K(linear_gelu)(const struct kernel_args *a) {
    value *kept = a->out[1].data;
    const struct layer layer = {.bias = a->in[2].data, .y = a->out[0].data, .width = a->in[1].dim[0]};
    linear_with(a, kept ? kept : layer.y, (struct tile_work){.after = after_gelu, .context = &layer});
}

static void after_swiglu(const void *context, const struct tile *tile, void *c, int64_t stride) {
    const struct layer *l = context;
    const value *gate = c;
    value *to = l->y + tile->row * l->width + tile->column;
    for (int64_t row = 0; row < tile->height; row++, gate += stride, to += l->width)
        swiglu_row(gate, gate + l->width, tile->width, to);
}

void K(linear_swiglu)(const struct kernel_args *a) {
    const struct layer layer = {.bias = a->in[2].data, .y = a->out[0].data, .width = a->in[1].dim[0] / 2};
    linear_with(a, a->out[1].data, (struct tile_work){.after = after_swiglu, .context = &layer, .twin = layer.width});
}

/* Tiles hold whole heads. */
static void after_rope(const void *context, const struct tile *tile, void *c, int64_t stride) {
    const struct layer *l = context;
    const struct kernel_args *a = l->args;
    value *at = c;
    int64_t turning = a->attr->heads + a->attr->kv_heads, head = tile->column / l->size;
    int64_t last = smaller((tile->column + tile->width) / l->size, turning);
    for (int64_t row = tile->row; row < tile->row + tile->height; row++, at += stride)
        turn_heads(a->attr, a->in[3].data, a->in[4].data, row, head, last, l->size, at, at);
}

void K(linear_rope)(const struct kernel_args *a) {
    int64_t size = a->in[1].dim[0] / (a->attr->heads + 2 * a->attr->kv_heads);
    const struct layer layer = {.bias = a->in[2].data, .args = a, .size = size};
    linear_with(a, a->out[0].data, (struct tile_work){.after = after_rope, .context = &layer, .grain = size});
}

static void after_dx_gelu(const void *context, const struct tile *tile, void *c, int64_t stride) {
    const struct layer *l = context;
    const value *dy = c;
    int64_t at = tile->row * l->width + tile->column;
    for (int64_t row = 0; row < tile->height; row++, dy += stride, at += l->width)
        gelu_grad_row(dy, l->x + at, tile->width, l->y + at);
}

static void after_dx_swiglu(const void *context, const struct tile *tile, void *c, int64_t stride) {
    const struct layer *l = context;
    const value *dy = c;
    int64_t at = tile->row * 2 * l->width + tile->column;
    for (int64_t row = 0; row < tile->height; row++, dy += stride, at += 2 * l->width)
        swiglu_grad_row(dy, l->x + at, l->x + at + l->width, tile->width, l->y + at, l->y + at + l->width);
}

/* The gradient of what the map was given exists a tile at a time, so that dx may be where x was. */
static void linear_dx_with(const struct kernel_args *a,
                           void (*after)(const void *context, const struct tile *tile, void *c, int64_t stride)) {
    int64_t outputs = a->in[1].dim[0], inputs = a->in[1].dim[1], rows = elements(&a->in[0]) / outputs;
    const struct layer layer = {.x = a->in[2].data, .y = a->out[0].data, .width = inputs};
    const struct tile_work work = {.after = after, .context = &layer, .apart = 1};
    value_product_with(0, 0, rows, inputs, outputs, a->in[0].data, a->in[1].data, 0, NULL, &work);
}

void K(linear_dx_gelu)(const struct kernel_args *a) { linear_dx_with(a, after_dx_gelu); }

void K(linear_dx_swiglu)(const struct kernel_args *a) { linear_dx_with(a, after_dx_swiglu); }
