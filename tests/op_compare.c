#include "op_compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int op_observed(const struct trial *t, int buf) {
    enum buf_kind kind = t->plan->bufs[buf].kind;
    return kind != BUF_ACT && kind != BUF_INPUT && buf != t->plan->step;
}

/* The distance between the two as vectors, to the double one's length. */
static void compare_types(const struct trial *single, const struct trial *twin, int buf, double tolerance,
                          double scale) {
    int copies = single->plan->flat_copy != single->plan->flat_params; /* it stands between the other buffers */
    int same = buf + (copies && buf >= single->plan->flat_copy);
    double *a = trial_values(single, same), *b = trial_values(twin, buf), distance = 0, length = 0;
    if (twin->plan->bufs[buf].kind != BUF_GRAD) scale = 1;
    for (int64_t i = 0; i < trial_elems(twin, buf); i++) {
        a[i] /= scale;
        distance += (a[i] - b[i]) * (a[i] - b[i]);
        length += b[i] * b[i];
    }
    if (!(sqrt(distance) <= tolerance * sqrt(length)))
        fail_msg("%s: %s and double differ in %s by %.3g of its norm", single->row->name,
                 dtype_name(single->plan->bufs[single->plan->flat_copy].type), single->plan->bufs[same].name,
                 sqrt(distance / length));
    free(a);
    free(b);
}

/* As the loss scale does, lest gradients of a model's mean loss vanish in fp16. */
static void scale_gradient(struct trial *t, double scale) {
    double *dy = trial_values(t, t->dy);
    for (int64_t i = 0; i < trial_elems(t, t->dy); i++) dy[i] *= scale;
    trial_set_all(t, t->dy, dy);
    free(dy);
}

/* A bf16 is within 2^-9 of a number and an fp16 within 2^-12; errors of a row's elements are independent, so they grow slower than
 * the row. With depth they grow. */
static void compare_run(const struct trial *single, double rounding, double scale) {
    const struct op_case *row = single->row;
    const double norm = 2 * rounding;
    const enum dtype type = single->plan->bufs[single->plan->flat_copy].type;
    if (op_case_is_model(row)) rounding *= type == DTYPE_F32 ? 4 : 8;
    struct trial twin;
    struct step_block a, b;
    trial_open(&twin, row, DTYPE_F64);
    trial_run_all(&twin);
    for (int buf = 0; buf < twin.plan->n_bufs; buf++)
        if (op_observed(&twin, buf) &&
            (scale == 1 || buf != twin.plan->flat_grads)) /* it has gaps between parameters */
            compare_types(single, &twin, buf, rounding, scale);
    trial_read_step(single, &a);
    trial_read_step(&twin, &b);
    assert_true(fabs(a.grad_norm - b.grad_norm) <= norm * b.grad_norm);
    assert_true(fabs(a.clip_scale - b.clip_scale) <= norm * b.clip_scale);
    assert_int_equal(a.skip, b.skip);
    trial_close(&twin);
}

void op_compare_run_with_double(const struct trial *single, double rounding) { compare_run(single, rounding, 1); }

void op_compare_with_double(const struct op_case *row, enum dtype type, const struct backend *backend,
                            double rounding) {
    const double scale = type == DTYPE_F16 && op_case_is_model(row) ? 1024 : 1;
    struct trial single;
    trial_open_on(&single, row, type, backend);
    if (scale > 1) scale_gradient(&single, scale);
    trial_run_all(&single);
    compare_run(&single, rounding, scale);
    trial_close(&single);
}

void op_keep_or_compare(const struct trial *t, double **kept, const char *what, int number) {
    for (int buf = 0; buf < t->plan->n_bufs; buf++) {
        if (!op_observed(t, buf)) continue;
        double *values = trial_values(t, buf);
        if (!kept[buf]) {
            kept[buf] = values;
            continue;
        }
        if (memcmp(kept[buf], values, (size_t)trial_elems(t, buf) * sizeof *values))
            fail_msg("%s: %s has other bits: %s, %d", t->row->name, t->plan->bufs[buf].name, what, number);
        free(values);
    }
}

void op_compare_parts(const struct op_case *row, enum dtype type, const struct backend *backend) {
    struct trial fused, parts;
    struct op_case plain = *row;
    plain.fused = 0;
    trial_open_on(&fused, row, type, backend);
    trial_open_on(&parts, &plain, type, backend);
    trial_run_all(&fused);
    trial_run_all(&parts);
    assert_int_equal(fused.plan->n_bufs, parts.plan->n_bufs);
    for (int buf = 0; buf < parts.plan->n_bufs; buf++) {
        if (!op_observed(&parts, buf)) continue;
        double *a = trial_values(&fused, buf), *b = trial_values(&parts, buf);
        for (int64_t i = 0; i < trial_elems(&parts, buf); i++)
            if (memcmp(&a[i], &b[i], sizeof *a))
                fail_msg("%s, %s: %s[%lld] is %a fused and %a in parts", row->name, dtype_name(type),
                         parts.plan->bufs[buf].name, (long long)i, a[i], b[i]);
        free(a);
        free(b);
    }
    trial_close(&fused);
    trial_close(&parts);
}
