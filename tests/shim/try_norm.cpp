/* Layer normalization and its gradient by kernels/cuda/norm.cu, against the formula in double: what tests/shim/planted plants mistakes
 * into. Each array is an allocation of its own, of just its size. Ends with 0 if all is right, in every order of threads. */
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/cuda/kernels.h"
#include "shim.h"

extern "C" void cuda_layernorm_f32(const struct kernel_args *a, cudaStream_t stream);
extern "C" void cuda_layernorm_grad_f32(const struct kernel_args *a, cudaStream_t stream);

namespace {

float *array(std::vector<float> *host, int64_t n, int filled) {
    void *memory = nullptr;
    if (cudaMalloc(&memory, (size_t)n * sizeof(float))) abort();
    for (int64_t i = 0; filled && i < n; i++) ((float *)memory)[i] = (float)((i * 7919 + filled * 31) % 1009) / 504 - 1;
    if (host) host->assign((float *)memory, (float *)memory + n);
    return (float *)memory;
}

struct view view_of(void *data, int64_t a, int64_t b) {
    struct view v = {data, {a, b, 1, 1}};
    return v;
}

int wrong = 0;

void compare(const char *what, const float *got, const std::vector<double> &want) {
    double distance = 0, length = 0;
    for (size_t i = 0; i < want.size(); i++) {
        distance += (got[i] - want[i]) * (got[i] - want[i]);
        length += want[i] * want[i];
    }
    if (sqrt(distance) <= 1e-5 * sqrt(length)) return;
    printf("%s differs by %g of its length\n", what, sqrt(distance / length));
    wrong = 1;
}

/* The formulas of op.def. */
struct reference {
    std::vector<double> y, mean, rstd, dx, dw, db;
};

reference compute(int64_t rows, int64_t width, const std::vector<float> &x, const std::vector<float> &w,
                  const std::vector<float> &b, const std::vector<float> &dy) {
    const size_t n = (size_t)(rows * width);
    reference r = {std::vector<double>(n), std::vector<double>((size_t)rows),  std::vector<double>((size_t)rows),
                   std::vector<double>(n), std::vector<double>((size_t)width), std::vector<double>((size_t)width)};
    for (int64_t row = 0; row < rows; row++) {
        const float *in = &x[(size_t)(row * width)], *up = &dy[(size_t)(row * width)];
        double sum = 0, squares = 0, g = 0, gh = 0;
        for (int64_t c = 0; c < width; c++) sum += in[c];
        const double mean = sum / (double)width;
        for (int64_t c = 0; c < width; c++) squares += (in[c] - mean) * (in[c] - mean);
        const double rstd = 1 / sqrt(squares / (double)width + 1e-5);
        for (int64_t c = 0; c < width; c++) {
            const double h = (in[c] - mean) * rstd;
            r.y[(size_t)(row * width + c)] = h * w[(size_t)c] + b[(size_t)c];
            g += up[c] * w[(size_t)c] / (double)width;
            gh += up[c] * w[(size_t)c] * h / (double)width;
            r.dw[(size_t)c] += up[c] * h;
            r.db[(size_t)c] += up[c];
        }
        for (int64_t c = 0; c < width; c++)
            r.dx[(size_t)(row * width + c)] = rstd * (up[c] * w[(size_t)c] - g - (in[c] - mean) * rstd * gh);
        r.mean[(size_t)row] = mean;
        r.rstd[(size_t)row] = rstd;
    }
    return r;
}

void try_shape(int64_t rows, int64_t width) {
    std::vector<float> x, w, b, dy;
    struct op_attr attr = {};
    struct kernel_args forward = {}, backward = {};
    attr.eps = 1e-5;
    forward.attr = backward.attr = &attr;
    forward.in[0] = view_of(array(&x, rows * width, 1), rows, width);
    forward.in[1] = view_of(array(&w, width, 2), width, 1);
    forward.in[2] = view_of(array(&b, width, 3), width, 1);
    forward.out[0] = view_of(array(nullptr, rows * width, 0), rows, width);
    forward.out[1] = view_of(array(nullptr, rows, 0), rows, 1);
    forward.out[2] = view_of(array(nullptr, rows, 0), rows, 1);
    backward.in[0] = view_of(array(&dy, rows * width, 4), rows, width);
    backward.in[1] = forward.in[0];
    backward.in[2] = forward.out[1];
    backward.in[3] = forward.out[2];
    backward.in[4] = forward.in[1];
    backward.out[0] = view_of(array(nullptr, rows * width, 0), rows, width);
    backward.out[1] = view_of(array(nullptr, width, 0), width, 1);
    backward.out[2] = view_of(array(nullptr, width, 0), width, 1);
    void *room = nullptr;
    if (cudaMalloc(&room, (size_t)cuda_norm_grad_workspace(&backward))) abort();
    backward.scratch = (char *)room;
    const reference want = compute(rows, width, x, w, b, dy);
    for (int order = 0; order < SHIM_ORDERS; order++) {
        shim_schedule(order, 5, 0);
        cuda_layernorm_f32(&forward, nullptr);
        cuda_layernorm_grad_f32(&backward, nullptr);
        compare("y", (float *)forward.out[0].data, want.y);
        compare("mean", (float *)forward.out[1].data, want.mean);
        compare("rstd", (float *)forward.out[2].data, want.rstd);
        compare("dx", (float *)backward.out[0].data, want.dx);
        compare("dw", (float *)backward.out[1].data, want.dw);
        compare("db", (float *)backward.out[2].data, want.db);
    }
    for (int i = 0; i < 3; i++) {
        cudaFree(forward.in[i].data);
        cudaFree(forward.out[i].data);
        cudaFree(backward.out[i].data);
    }
    cudaFree(backward.in[0].data);
    cudaFree(room);
}

} // namespace

int main() {
    try_shape(5, 300);
    try_shape(3, 131);
    try_shape(3, 2500); /* a block takes a row */
    printf("%s\n", wrong ? "wrong" : "right");
    return wrong;
}
