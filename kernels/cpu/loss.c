/* Cross-entropy and what happens to the loss: clamped, recorded, and turned into the seed of the backward pass. Losses
 * are double in all builds. */
#include "xent.h"

void K(xent)(const struct kernel_args *a) {
    double *loss = a->out[0].data;
    loss[0] = loss[1] = 0;
    xent_rows(a->in[0].data, a->in[1].data, a->in[0].dim[0], a->attr->vocab, a->in[0].dim[1], a->out[1].data, loss);
    xent_mean(loss);
}

void K(xent_grad)(const struct kernel_args *a) {
    const double *loss = a->in[3].data, *dloss = a->in[4].data;
    real factor = loss[1] > 0 ? (real)(dloss[0] / loss[1]) : 0;
    xent_rows_grad(a->in[0].data, a->in[1].data, a->in[2].data, a->in[0].dim[0], a->attr->vocab, a->in[0].dim[1],
                   factor, 0, a->out[0].data);
}

void K(softmax)(const struct kernel_args *a) {
    softmax_rows(a->in[0].data, a->in[0].dim[0], a->attr->vocab, a->in[0].dim[1], a->out[0].data, a->out[1].data);
}

void K(nll)(const struct kernel_args *a) {
    double *loss = a->out[0].data;
    loss[0] = loss[1] = 0;
    xent_add(a->in[0].data, a->in[1].data, a->in[2].data, a->in[0].dim[0], a->in[0].dim[1], loss);
    xent_mean(loss);
}

void K(nll_grad)(const struct kernel_args *a) {
    const double *loss = a->in[2].data, *dloss = a->in[3].data;
    real factor = loss[1] > 0 ? (real)(dloss[0] / loss[1]) : 0;
    softmax_rows_grad(a->in[0].data, a->in[1].data, a->in[0].dim[0], a->attr->vocab, a->in[0].dim[1], factor,
                      a->out[0].data);
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
    *slot = a->add & 1 && a->step->micro ? *slot + part : part; /* running sums of gradients go on over slots */
}

void K(loss_seed)(const struct kernel_args *a) {
    double *dloss = a->out[0].data;
    dloss[0] = a->step->grad_scale * (a->step->loss_scale > 0 ? a->step->loss_scale : 1);
    dloss[1] = 0;
}
