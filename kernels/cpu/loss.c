/* Cross-entropy and what happens to the loss: clamped, recorded, and turned into the seed of the backward pass. Losses
 * are double in both builds. */
#include "real.h"

void K(xent)(const struct kernel_args *a) {
    const value *logits = a->in[0].data;
    const int32_t *targets = a->in[1].data;
    double *loss = a->out[0].data;
    real *lse = a->out[1].data;
    int64_t vocabulary = a->attr->vocab, stride = a->in[0].dim[1], rows = a->in[0].dim[0];
#pragma omp parallel for schedule(static) if (rows * vocabulary >= SMALL)
    for (int64_t row = 0; row < rows; row++) lse[row] = log_sum_exp(logits + row * stride, vocabulary);

    double total = 0;
    int64_t count = 0;
    for (int64_t row = 0; row < rows; row++) {
        if (targets[row] < 0) continue;
        total += (double)lse[row] - (double)get(logits[row * stride + targets[row]]);
        count++;
    }
    loss[0] = count > 0 ? total / (double)count : 0;
    loss[1] = (double)count;
}

void K(xent_grad)(const struct kernel_args *a) {
    const value *logits = a->in[0].data;
    const real *lse = a->in[2].data;
    const int32_t *targets = a->in[1].data;
    const double *loss = a->in[3].data, *dloss = a->in[4].data;
    value *dlogits = a->out[0].data;
    int64_t vocabulary = a->attr->vocab, stride = a->in[0].dim[1], rows = a->in[0].dim[0];
    real factor = loss[1] > 0 ? (real)(dloss[0] / loss[1]) : 0;
#pragma omp parallel for schedule(static) if (rows * vocabulary >= SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *from = logits + row * stride;
        value *to = dlogits + row * stride;
        real shift = lse[row];
        int64_t live = targets[row] < 0 ? 0 : vocabulary;
        memset(to + live, 0, (size_t)(stride - live) * sizeof *to);
        if (!live) continue;
        real target = get(from[targets[row]]); /* to may be from */
#pragma omp simd
        for (int64_t i = 0; i < vocabulary; i++) to[i] = put(real_exp(get(from[i]) - shift) * factor);
        to[targets[row]] = put(real_exp(target - shift) * factor - factor);
    }
}

void K(clamp)(const struct kernel_args *a) {
    const double *x = a->in[0].data;
    double *y = a->out[0].data, loss = x[0];
    if (loss < a->attr->low) loss = a->attr->low;
    if (loss > a->attr->high) loss = a->attr->high;
    y[0] = loss; /* comparisons with NaN are false: it stays */
    y[1] = x[1];
}

void K(clamp_grad)(const struct kernel_args *a) {
    const double *dy = a->in[0].data, *x = a->in[1].data;
    double *dx = a->out[0].data;
    dx[0] = a->attr->low <= x[0] && x[0] <= a->attr->high ? dy[0] : 0;
    dx[1] = 0; /* the count of targets */
}

void K(record_loss)(const struct kernel_args *a) {
    const double *y = a->in[0].data, *x = a->in[1].data;
    double *slot = (double *)a->out[0].data + a->step->slot;
    int64_t micro_batches = a->attr->micro_batches > 0 ? a->attr->micro_batches : 1;
    double part = isfinite(x[0]) ? y[0] * a->step->weight / (double)micro_batches : x[0];
    *slot = a->add & 1 ? *slot + part : part;
}

void K(loss_seed)(const struct kernel_args *a) {
    double *dloss = a->out[0].data;
    dloss[0] = a->step->grad_scale * (a->step->loss_scale > 0 ? a->step->loss_scale : 1);
    dloss[1] = 0;
}
