/* Rotary position embedding (Su et al. 2021). */
#include "real.h"

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

/* One head: channels i and i + half turn together. y may be x. */
static void turn_halves(const value *x, const real *cosine, const real *sine, real sign, int64_t half, value *y) {
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        real first = get(x[i]), second = get(x[i + half]), s = sign * sine[i];
        y[i] = put(first * cosine[i] - second * s);
        y[i + half] = put(first * s + second * cosine[i]);
    }
}

/* Channels 2i and 2i + 1 turn together. */
static void turn_pairs(const value *x, const real *cosine, const real *sine, real sign, int64_t half, value *y) {
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        real first = get(x[2 * i]), second = get(x[2 * i + 1]), s = sign * sine[i];
        y[2 * i] = put(first * cosine[i] - second * s);
        y[2 * i + 1] = put(first * s + second * cosine[i]);
    }
}

void K(rope)(const struct kernel_args *a) {
    const struct op_attr *attr = a->attr;
    const value *x = a->in[0].data;
    const real *table = a->in[1].data;
    const int32_t *starts = a->in[2].data;
    value *y = a->out[0].data;
    real sign = attr->inverse ? -1 : 1;
    int64_t rows = a->in[0].dim[0], columns = a->in[0].dim[1], turning = attr->turning, half = turning / 2;
    int64_t heads = attr->heads + attr->kv_heads, size = columns / (heads + attr->kv_heads);
#pragma omp parallel for schedule(static) if (rows * columns >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        int64_t place = row % attr->time - (starts ? starts[row] : 0);
        const real *cosine = table + place * turning, *sine = cosine + half;
        const value *from = x + row * columns;
        value *to = y + row * columns;
        if (y != x) memcpy(to, from, (size_t)columns * sizeof *to);
        for (int64_t head = 0; head < heads; head++, from += size, to += size)
            if (attr->pairs)
                turn_pairs(from, cosine, sine, sign, half, to);
            else
                turn_halves(from, cosine, sine, sign, half, to);
    }
}
