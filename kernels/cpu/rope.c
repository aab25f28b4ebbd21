/* Rotary position embedding (Su et al. 2021). */
#include "rope.h"

/* Angles are made in double: at position 100000 a float's would be wrong in the third digit. */
void K(rope_table)(const struct kernel_args *a) {
    real *table = a->out[0].data;
    int64_t time = a->out[0].dim[0], turning = a->out[0].dim[1], half = turning / 2;
#pragma omp parallel for schedule(static) if (time * turning >= SMALL / 16)
    for (int64_t t = 0; t < time; t++) {
        double position = (double)(a->step->position + t);
        for (int64_t i = 0; i < half; i++) {
            double angle = position * pow(a->attr->theta, -2.0 * (double)i / (double)turning);
            table[t * turning + i] = (real)cos(angle);
            table[t * turning + half + i] = (real)sin(angle);
        }
    }
}

void K(rope)(const struct kernel_args *a) {
    const struct op_attr *attr = a->attr;
    const value *x = a->in[0].data;
    value *y = a->out[0].data;
    int64_t rows = a->in[0].dim[0], columns = a->in[0].dim[1];
    int64_t heads = attr->heads + attr->kv_heads, size = columns / (heads + attr->kv_heads);
#pragma omp parallel for schedule(static) if (rows * columns >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *from = x + row * columns;
        value *to = y + row * columns;
        if (y != x) memcpy(to, from, (size_t)columns * sizeof *to);
        turn_heads(attr, a->in[1].data, a->in[2].data, row, 0, heads, size, from, to);
    }
}
