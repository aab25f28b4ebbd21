/* The gradient's norm and the update. */
#include "real.h"

void K(sum_squares)(const struct kernel_args *a) {
    const real *grads = a->in[0].data;
    double *partial = a->out[0].data;
    int64_t n = elements(&a->in[0]);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += CHUNK) {
        int64_t end = smaller(begin + CHUNK, n);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++) sum += (double)grads[i] * (double)grads[i];
        partial[begin / CHUNK] = sum;
    }
}

void K(clip)(const struct kernel_args *a) {
    const double *partial = a->in[0].data, *slots = a->in[1].data;
    int64_t chunks = elements(&a->in[0]), count = elements(&a->in[1]);
    double total = 0, max_norm = a->attr->max_norm;
    const int *order = a->attr->order;
    for (int64_t i = 0; i < chunks; i++) total += partial[order ? order[i] : i];
    double scale = a->step->loss_scale > 0 ? a->step->loss_scale : 1;
    double norm = sqrt(total) / scale, ratio = max_norm / (norm + 1e-6);
    int finite = isfinite(norm);
    for (int64_t i = 0; i < count; i++) finite = finite && isfinite(slots[i]);
    a->step->grad_norm = norm;
    a->step->clip_scale = (max_norm > 0 && ratio < 1 ? ratio : 1) / scale;
    a->step->skip = !finite;
}

/* What is the same for all elements of one update. */
struct update {
    real grad_factor, beta1, beta2, rest1, rest2; /* rest: 1 - beta */
    real rate, root_factor, eps;                  /* lr / c1, 1 / sqrt(c2) */
};

/* m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
 * p = p - (lr decay p + lr m / c1 / (sqrt(v / c2) + eps)),  c = 1 - beta^t.  p is rounded once. */
static void update_range(const struct kernel_args *a, const struct update *shared, real decay, int64_t begin,
                         int64_t end) {
    const struct update u = *shared;
    const real *grads = a->in[0].data;
    real *params = a->out[0].data, *first = a->out[1].data, *second = a->out[2].data;
#pragma omp simd
    for (int64_t i = begin; i < end; i++) {
        real g = grads[i] * u.grad_factor;
        real m = u.beta1 * first[i] + u.rest1 * g;
        real v = u.beta2 * second[i] + u.rest2 * g * g;
        first[i] = m;
        second[i] = v;
        params[i] -= decay * params[i] + u.rate * m / (real_sqrt(v) * u.root_factor + u.eps);
    }
}

void K(adamw)(const struct kernel_args *a) {
    const struct op_attr *attr = a->attr;
    const struct step_block *step = a->step;
    if (step->skip) return;
    double t = (double)step->adam_step + 1;
    struct update update = {
        .grad_factor = (real)step->clip_scale,
        .beta1 = (real)attr->beta1,
        .beta2 = (real)attr->beta2,
        .rest1 = (real)(1 - attr->beta1),
        .rest2 = (real)(1 - attr->beta2),
        .rate = (real)(step->lr / (1 - pow(attr->beta1, t))),
        .root_factor = (real)(1 / sqrt(1 - pow(attr->beta2, t))),
        .eps = (real)attr->eps,
    };
    real decay = (real)(step->lr * attr->decay);
    int64_t n = elements(&a->in[0]);
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = smaller(begin + BLOCK, n);
        int64_t border = attr->decay_end < begin ? begin : smaller(attr->decay_end, end);
        update_range(a, &update, decay, begin, border);
        update_range(a, &update, 0, border, end);
    }
}
