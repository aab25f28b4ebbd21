/* Token and position embeddings. */
#include "kernels.h"
#include "pointwise.cuh"

namespace {

struct embed_op {
    const int32_t *tokens, *starts;
    const value *wte, *wpe;
    value *x;
    const struct step_block *step;
    int64_t width, positions, time;
    template <int WIDE> __device__ void apply(int64_t i) const {
        const int64_t row = i / width, c = i % width;
        part<WIDE> p = load<WIDE>(wte + tokens[row] * width + c);
        const int64_t position = step->position + row % time - (starts ? starts[row] : 0);
        if (wpe && position < positions) { /* the padding of a prefill may end beyond the table */
            part<WIDE> place = load<WIDE>(wpe + position * width + c);
#pragma unroll
            for (int k = 0; k < WIDE; k++) p.at[k] += place.at[k];
        }
        store<WIDE>(p, x + i);
    }
};

/* dwpe[t] += the sum over the batch of dx[batch, t]; element i counts over [time, width]. */
struct position_grad_op {
    const value *dx;
    real *dwpe;
    int64_t batch, stride;
    int add;
    template <int WIDE> __device__ void apply(int64_t i) const {
        part<WIDE> sum = {}, before = {};
        for (int64_t b = 0; b < batch; b++) {
            part<WIDE> p = load<WIDE>(dx + b * stride + i);
#pragma unroll
            for (int k = 0; k < WIDE; k++) sum.at[k] += p.at[k];
        }
        if (add) before = load<WIDE>(dwpe + i);
#pragma unroll
        for (int k = 0; k < WIDE; k++) sum.at[k] += before.at[k];
        store<WIDE>(sum, dwpe + i);
    }
};

} // namespace

extern "C" void K(embed)(const struct kernel_args *a, cudaStream_t stream) {
    embed_op f = {};
    f.tokens = (const int32_t *)a->in[0].data;
    f.wte = (const value *)a->in[1].data;
    f.wpe = (const value *)a->in[2].data;
    f.starts = (const int32_t *)a->in[3].data;
    f.x = (value *)a->out[0].data;
    f.step = a->step;
    f.width = a->in[1].dim[1];
    f.positions = a->in[2].dim[0];
    f.time = a->attr->time;
    const int aligned = f.width % PACK == 0 && is_aligned(f.wte) && is_aligned(f.wpe) && is_aligned(f.x);
    for_elements(f, a->attr->batch * f.time * f.width, aligned, stream);
}

/* out[key(row)] += the rows of dx with that key, in the order of rows: a key is a token, or with `starts` a position.
 *
 * A block has `each` keys, KEYS or where that would make few blocks FEW, and COLUMNS columns. It goes through the rows LIST at a time, keeps those whose key is its own, in order, and its
 * warps then add them up, a key the affair of one warp: keys that occur often keep one warp busy, but its loads do not depend on each
 * other. Without `add` keys that never occur become 0. */
enum { KEYS = 64, FEW = 8, FEW_BLOCKS = 264, LIST = 2048, EMBED_WARPS = 8, COLUMNS = 4 * WARP };

struct key_args {
    const value *dx;
    const int32_t *tokens, *starts; /* starts: keys are positions */
    real *out;
    int64_t rows, width, keys, time;
    int add, positions, each;
};

/* Appends to `list` the rows of [begin, end) whose key is in [first, first + each), in order; returns how many. `counts`: EMBED_WARPS + 1 numbers. */
static __device__ int own_rows(const key_args &k, int64_t begin, int64_t end, int64_t first, int *list, int *counts) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    int total = 0;
    for (int64_t from = begin; from < end; from += EMBED_WARPS * WARP) {
        const int64_t row = from + threadIdx.x;
        int key = -1;
        if (row < end) key = (int)((k.positions ? row % k.time - k.starts[row] : k.tokens[row]) - first);
        const int own = key >= 0 && key < k.each;
        const unsigned who = __ballot_sync(~0u, own);
        if (lane == 0) counts[warp] = __popc(who);
        __syncthreads();
        int at = total + __popc(who & ((1u << lane) - 1));
        for (int w = 0; w < EMBED_WARPS; w++) {
            if (w < warp) at += counts[w];
            total += counts[w];
        }
        if (own) list[at] = (int)(row - begin) * KEYS + key;
        __syncthreads();
    }
    return total;
}

/* sum += the listed rows of this key at a column, in order. As many loads as AHEAD are on their way at once. */
template <int WIDE>
static __device__ int add_rows(const value *dx, int64_t width, const int *list, int count, int key, part<WIDE> *sum) {
    enum { AHEAD = 4 };
    int found = 0;
    for (int i = 0; i < count;) {
        int row[AHEAD];
        part<WIDE> p[AHEAD];
#pragma unroll
        for (int n = 0; n < AHEAD; n++) {
            for (row[n] = -1; i < count && row[n] < 0; i++)
                if (list[i] % KEYS == key) row[n] = list[i] / KEYS;
        }
#pragma unroll
        for (int n = 0; n < AHEAD; n++)
            if (row[n] >= 0) p[n] = load<WIDE>(dx + row[n] * width);
#pragma unroll
        for (int n = 0; n < AHEAD; n++) {
            if (row[n] < 0) continue;
            found = 1;
#pragma unroll
            for (int k = 0; k < WIDE; k++) sum->at[k] += p[n].at[k];
        }
    }
    return found;
}

template <int WIDE> static __global__ void __launch_bounds__(EMBED_WARPS *WARP) sum_by_key(key_args k) {
    SHARED(int, list); /* LIST entries, row * KEYS + key; then counts */
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int64_t first = (int64_t)blockIdx.x * k.each, begin_column = (int64_t)blockIdx.y * COLUMNS;
    const int64_t end_column = smaller(begin_column + COLUMNS, k.width);
    for (int64_t begin = 0; begin < k.rows; begin += LIST) {
        const int count = own_rows(k, begin, smaller(begin + LIST, k.rows), first, list, list + LIST);
        const int fresh = begin == 0 && !k.add; /* what is there is not added to, but must be written */
        for (int key = warp; key < k.each && first + key < k.keys; key += EMBED_WARPS)
            for (int64_t c = begin_column + lane * WIDE; c < end_column; c += WARP * WIDE) {
                real *out = k.out + (first + key) * k.width + c;
                part<WIDE> sum = {};
                if (!fresh) sum = load<WIDE>(out);
                const int found = add_rows<WIDE>(k.dx + begin * k.width + c, k.width, list, count, key, &sum);
                if (found || fresh) store<WIDE>(sum, out);
            }
        __syncthreads();
    }
}

static void launch_by_key(key_args k, cudaStream_t stream) {
    const int wide = k.width % 4 == 0 && is_aligned(k.dx) && is_aligned(k.out) ? 4 : 1;
    const int64_t parts = divide_up(k.width, COLUMNS);
    k.each = divide_up(k.keys, KEYS) * parts < FEW_BLOCKS ? FEW : KEYS;
    const dim3 grid((unsigned)divide_up(k.keys, k.each), (unsigned)parts), block(EMBED_WARPS * WARP);
    const size_t room = sizeof(int) * (LIST + EMBED_WARPS);
    if (wide == 4)
        LAUNCH(sum_by_key<4>, grid, block, room, stream, k);
    else
        LAUNCH(sum_by_key<1>, grid, block, room, stream, k);
}

extern "C" void K(embed_grad)(const struct kernel_args *a, cudaStream_t stream) {
    key_args k = {};
    k.dx = (const value *)a->in[0].data;
    k.tokens = (const int32_t *)a->in[1].data;
    k.starts = (const int32_t *)a->in[2].data;
    k.out = (real *)a->out[0].data;
    k.width = a->out[0].dim[1];
    k.keys = a->out[0].dim[0];
    k.time = a->attr->time;
    k.rows = a->attr->batch * k.time;
    k.add = a->add & 1;
    launch_by_key(k, stream);
    if (!a->out[1].data) return;
    k.out = (real *)a->out[1].data;
    k.keys = a->out[1].dim[0];
    k.add = a->add >> 1 & 1;
    k.positions = 1;
    if (k.starts) {
        launch_by_key(k, stream);
        return;
    }
    const int64_t whole = k.time * k.width, rest = k.keys * k.width - whole;
    if (!k.add && rest) cudaMemsetAsync(k.out + whole, 0, (size_t)rest * sizeof(real), stream);
    const int aligned = k.width % PACK == 0 && is_aligned(k.dx) && is_aligned(k.out);
    for_elements((position_grad_op){k.dx, k.out, a->attr->batch, whole, k.add}, whole, aligned, stream);
}
