/* Attention on tensor cores and its gradient, against the formula in double: what tests/shim/planted plants mistakes into. Two heads share keys
 * and values; the rows are several tiles long. Ends with 0 if all is right, in every order of threads. */
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels/cuda/attention.cuh"
#include "shim.h"

namespace {

enum { TIME = 200, HEADS = 2, SIZE = 64, COLUMNS = (HEADS + 2) * SIZE, WIDTH = HEADS * SIZE };

typedef std::vector<double> numbers;

template <class T> T *device_array(int64_t n) {
    void *memory = nullptr;
    if (cudaMalloc(&memory, (size_t)n * sizeof(T))) abort();
    return (T *)memory;
}

/* Values that are bf16, on the device and as numbers. */
value *filled(numbers *host, int64_t n, int key) {
    value *memory = device_array<value>(n);
    host->resize((size_t)n);
    for (int64_t i = 0; i < n; i++) {
        put((real)((i * 7919 + key * 31) % 1009) / 252 - 2, &memory[i]);
        (*host)[(size_t)i] = get(memory[i]);
    }
    return memory;
}

numbers as_numbers(const value *from, int64_t n) {
    numbers out((size_t)n);
    for (int64_t i = 0; i < n; i++) out[(size_t)i] = get(from[i]);
    return out;
}

struct reference {
    numbers o, dqkv;
};

/* One head: the probabilities of each query, its output, and with the gradient of that all other gradients. */
void compute_head(int head, const numbers &qkv, const numbers &d_o, reference *r) {
    const double scale = 1 / sqrt((double)SIZE);
    const int q = head * SIZE, k = HEADS * SIZE, v = k + SIZE;
    for (int i = 0; i < TIME; i++) {
        numbers p((size_t)i + 1), dp((size_t)i + 1);
        double sum = 0, delta = 0;
        for (int j = 0; j <= i; j++) {
            for (int c = 0; c < SIZE; c++) {
                p[(size_t)j] += scale * qkv[(size_t)(i * COLUMNS + q + c)] * qkv[(size_t)(j * COLUMNS + k + c)];
                dp[(size_t)j] += d_o[(size_t)(i * WIDTH + q + c)] * qkv[(size_t)(j * COLUMNS + v + c)];
            }
            sum += p[(size_t)j] = exp(p[(size_t)j]);
        }
        for (int j = 0; j <= i; j++) {
            p[(size_t)j] /= sum;
            delta += p[(size_t)j] * dp[(size_t)j];
        }
        for (int j = 0; j <= i; j++) {
            const double ds = scale * p[(size_t)j] * (dp[(size_t)j] - delta);
            for (int c = 0; c < SIZE; c++) {
                r->o[(size_t)(i * WIDTH + q + c)] += p[(size_t)j] * qkv[(size_t)(j * COLUMNS + v + c)];
                r->dqkv[(size_t)(i * COLUMNS + q + c)] += ds * qkv[(size_t)(j * COLUMNS + k + c)];
                r->dqkv[(size_t)(j * COLUMNS + k + c)] += ds * qkv[(size_t)(i * COLUMNS + q + c)];
                r->dqkv[(size_t)(j * COLUMNS + v + c)] += p[(size_t)j] * d_o[(size_t)(i * WIDTH + q + c)];
            }
        }
    }
}

int wrong = 0;

void compare(const char *what, int order, const numbers &got, const numbers &want) {
    double distance = 0, length = 0;
    for (size_t i = 0; i < want.size(); i++) {
        distance += (got[i] - want[i]) * (got[i] - want[i]);
        length += want[i] * want[i];
    }
    if (sqrt(distance) <= 1e-2 * sqrt(length)) return;
    printf("%s differs by %g of its length in order %d\n", what, sqrt(distance / length), order);
    wrong = 1;
}

struct view view_of(void *data, int64_t a, int64_t b) {
    struct view v = {data, {a, b, 1, 1}};
    return v;
}

} // namespace

int main() {
    numbers qkv, d_o;
    struct op_attr attr = {};
    struct kernel_args forward = {}, backward = {};
    struct step_block *step = device_array<struct step_block>(1);
    attr.batch = 1;
    attr.time = TIME;
    attr.heads = HEADS;
    attr.kv_heads = 1;
    attr.scale = 1 / sqrt((double)SIZE);
    forward.attr = backward.attr = &attr;
    forward.step = backward.step = step;
    *step = {};
    forward.in[0] = backward.in[1] = view_of(filled(&qkv, TIME * COLUMNS, 1), TIME, COLUMNS);
    forward.out[0] = backward.in[2] = view_of(device_array<value>(TIME * WIDTH), TIME, WIDTH);
    forward.out[1] = backward.in[3] = view_of(device_array<real>(HEADS * TIME), HEADS, TIME);
    backward.in[0] = view_of(filled(&d_o, TIME * WIDTH, 2), TIME, WIDTH);
    backward.out[0] = view_of(device_array<value>(TIME * COLUMNS), TIME, COLUMNS);
    backward.scratch = device_array<char>(HEADS * TIME * (int64_t)sizeof(real));
    reference want = {numbers(TIME * WIDTH), numbers(TIME * COLUMNS)};
    for (int head = 0; head < HEADS; head++) compute_head(head, qkv, d_o, &want);
    for (int order = 0; order < SHIM_ORDERS; order++) {
        shim_schedule(order, 5, 0);
        if (!K(attention_mma)(&forward, nullptr) || !K(attention_mma_grad)(&backward, nullptr)) abort();
        compare("o", order, as_numbers((value *)forward.out[0].data, TIME * WIDTH), want.o);
        compare("dqkv", order, as_numbers((value *)backward.out[0].data, TIME * COLUMNS), want.dqkv);
    }
    void *const all[] = {step,
                         forward.in[0].data,
                         forward.out[0].data,
                         forward.out[1].data,
                         backward.in[0].data,
                         backward.out[0].data,
                         backward.scratch};
    for (void *memory : all) cudaFree(memory);
    printf("%s\n", wrong ? "wrong" : "right");
    return wrong;
}
