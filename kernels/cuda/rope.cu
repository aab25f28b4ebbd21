/* Rotary position embedding (Su et al. 2021). A thread turns as many pairs of channels as 16 bytes hold, or one. */
#include "kernels.h"
#include "pointwise.cuh"

/* Angles are made in double: at position 100000 a float's would be wrong in the third digit. */
static __global__ void __launch_bounds__(256)
    rope_table(real *table, int64_t time, int64_t half, double theta, const struct step_block *step) {
    const int64_t at = (int64_t)blockIdx.x * 256 + threadIdx.x, t = at / half, i = at % half;
    if (t >= time) return;
    const double angle = (double)(step->position + t) * pow(theta, -2.0 * (double)i / (double)(2 * half));
    table[t * 2 * half + i] = (real)cos(angle);
    table[t * 2 * half + half + i] = (real)sin(angle);
}

extern "C" void K(rope_table)(const struct kernel_args *a, cudaStream_t stream) {
    const int64_t time = a->out[0].dim[0], half = a->out[0].dim[1] / 2;
    LAUNCH(rope_table, dim3((unsigned)divide_up(time * half, 256)), dim3(256), 0, stream, (real *)a->out[0].data, time,
           half, a->attr->theta, a->step);
}

namespace {

/* Element i counts pairs: of a row, of a head, of the pairs that turn. */
struct rope_op {
    value *x;
    const real *table;
    const int32_t *starts;
    int64_t time, columns, heads, size, half;
    real sign;
    int pairs;
    template <int WIDE> __device__ void apply(int64_t i) const {
        const int64_t row = i / half / heads, head = i / half % heads, pair = i % half;
        const int64_t place = row % time - (starts ? starts[row] : 0);
        const real *cosine = table + place * 2 * half + pair;
        value *at = x + row * columns + head * size;
        part<WIDE> c = load<WIDE>(cosine), s = load<WIDE>(cosine + half), first, second;
        if (pairs) {
            part<2 *WIDE> both = load<2 * WIDE>(at + 2 * pair);
#pragma unroll
            for (int k = 0; k < WIDE; k++) first.at[k] = both.at[2 * k], second.at[k] = both.at[2 * k + 1];
        } else {
            first = load<WIDE>(at + pair);
            second = load<WIDE>(at + pair + half);
        }
#pragma unroll
        for (int k = 0; k < WIDE; k++) {
            const real u = first.at[k], v = second.at[k], sine = sign * s.at[k];
            first.at[k] = u * c.at[k] - v * sine;
            second.at[k] = u * sine + v * c.at[k];
        }
        if (pairs) {
            part<2 * WIDE> both;
#pragma unroll
            for (int k = 0; k < WIDE; k++) both.at[2 * k] = first.at[k], both.at[2 * k + 1] = second.at[k];
            store<2 * WIDE>(both, at + 2 * pair);
        } else {
            store<WIDE>(first, at + pair);
            store<WIDE>(second, at + pair + half);
        }
    }
};

} // namespace

extern "C" void K(rope_values)(const struct kernel_args *a, int table, void *qkv, cudaStream_t stream) {
    const struct op_attr *attr = a->attr;
    rope_op f = {};
    f.x = (value *)qkv;
    f.table = (const real *)a->in[table].data;
    f.starts = (const int32_t *)a->in[table + 1].data;
    f.time = attr->time;
    f.columns = a->out[0].dim[1];
    f.heads = attr->heads + attr->kv_heads;
    f.size = f.columns / (attr->heads + 2 * attr->kv_heads);
    f.half = attr->turning / 2;
    f.sign = attr->inverse ? -1 : 1;
    f.pairs = attr->pairs;
    const int aligned = f.half % PACK == 0 && f.size % PACK == 0 && f.columns % PACK == 0 && is_aligned(qkv);
    for_elements(f, a->out[0].dim[0] * f.heads * f.half, aligned, stream);
}

extern "C" void K(rope)(const struct kernel_args *a, cudaStream_t stream) {
    void *y = a->out[0].data;
    if (y != a->in[0].data)
        cudaMemcpyAsync(y, a->in[0].data, (size_t)elements(&a->out[0]) * sizeof(value), cudaMemcpyDeviceToDevice,
                        stream);
    K(rope_values)(a, 1, y, stream);
}
