#include "bench/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Two-sided quantiles of Student's t for 1 to 30 degrees of freedom. */
static const double t99[] = {63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169,
                             3.106,  3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845,
                             2.831,  2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750};
enum { T_MOST = sizeof t99 / sizeof *t99 };

/* Beyond the table the last row is kept, which errs to the wide side. */
static double quantile(double freedom) {
    int row = freedom < 1 ? 1 : freedom > T_MOST ? T_MOST : (int)freedom;
    return t99[row - 1];
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct spread spread_of(const double *values, int count) {
    struct spread spread = {NAN, NAN, NAN, count};
    double sorted[STATS_MOST];
    if (count <= 0 || count > STATS_MOST) return spread;
    memcpy(sorted, values, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_value);
    spread.least = sorted[0];
    spread.most = sorted[count - 1];
    spread.median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    return spread;
}

double median_of(const double *values, int count) { return spread_of(values, count).median; }

struct sample {
    double mean, error; /* of the mean */
    double freedom;
};

/* The trimmed mean and its standard error from the winsorized variance (Tukey & McLaughlin 1963): a tenth of the values goes
 * from each end, so from ten values on one wild pair on a side does no harm. Fewer are kept as they are. Sorts `values`. */
static struct sample sample_of(double *values, int count) {
    int cut = count / 10, kept = count - 2 * cut;
    double sum = 0, all = 0, squares = 0;
    qsort(values, (size_t)count, sizeof *values, by_value);
    for (int i = cut; i < count - cut; i++) sum += values[i];
    for (int i = 0; i < cut; i++) {
        values[i] = values[cut];
        values[count - 1 - i] = values[count - 1 - cut];
    }
    for (int i = 0; i < count; i++) all += values[i] / count;
    for (int i = 0; i < count; i++) squares += (values[i] - all) * (values[i] - all);
    double deviation = count > 1 ? sqrt(squares / (count - 1)) : 0;
    return (struct sample){sum / kept, deviation * sqrt(count) / kept, kept - 1};
}

/* A difference of more could be there, and would matter: nothing is known. */
#define NOISY 0.05

static struct difference decide(double mean, double half, int pairs, double least) {
    struct difference d = {VERDICT_NONE, exp(mean), exp(mean - half), exp(mean + half), pairs};
    if (pairs < 3 || !isfinite(mean)) return d;
    int small = d.ratio >= 1 - least && d.ratio <= 1 + least;
    if (small || (d.low <= 1 && d.high >= 1))
        d.verdict = (d.high - d.low) / 2 > NOISY ? VERDICT_NOISY : VERDICT_SAME;
    else
        d.verdict = d.ratio < 1 ? VERDICT_LESS : VERDICT_MORE;
    return d;
}

int difference_known(const struct difference *d) {
    enum { FEWEST = 5 };
    return d->pairs >= FEWEST && (d->high - d->low) / 2 <= NOISY / 2;
}

struct difference compare_pairs(const double *a, const double *b, int count, double least) {
    double logs[STATS_MOST];
    if (count < 1 || count > STATS_MOST) return (struct difference){VERDICT_NONE, NAN, NAN, NAN, count};
    for (int i = 0; i < count; i++) logs[i] = log(b[i] / a[i]);
    struct sample s = sample_of(logs, count);
    return decide(s.mean, quantile(s.freedom) * s.error, count, least);
}

struct difference compare_sets(const double *a, int count_a, const double *b, int count_b, double session,
                               double least) {
    double logs_a[STATS_MOST], logs_b[STATS_MOST];
    int fewer = count_a < count_b ? count_a : count_b;
    if (fewer < 1 || count_a > STATS_MOST || count_b > STATS_MOST)
        return (struct difference){VERDICT_NONE, NAN, NAN, NAN, fewer};
    for (int i = 0; i < count_a; i++) logs_a[i] = log(a[i]);
    for (int i = 0; i < count_b; i++) logs_b[i] = log(b[i]);
    struct sample x = sample_of(logs_a, count_a), y = sample_of(logs_b, count_b);
    double vx = x.error * x.error, vy = y.error * y.error, sum = vx + vy;
    double freedom = T_MOST; /* Welch and Satterthwaite */
    if (sum > 0 && x.freedom > 0 && y.freedom > 0) freedom = sum * sum / (vx * vx / x.freedom + vy * vy / y.freedom);
    double half = hypot(quantile(freedom) * sqrt(sum), t99[T_MOST - 1] * session);
    return decide(y.mean - x.mean, half, fewer, least);
}

struct loss_difference compare_losses(const double *a, const double *b, int count) {
    enum { LEAST_PER_MILLE = 1 }; /* of the loss: less is of no use to anyone, however certain */
    struct loss_difference d = {VERDICT_NONE, 1, count, 0, NAN, NAN, NAN};
    double squares = 0, sum_a = 0, sum_b = 0;
    for (int i = 0; i < count; i++) {
        d.equal = d.equal && a[i] == b[i];
        d.mean += (b[i] - a[i]) / count;
        sum_a += a[i];
        sum_b += b[i];
    }
    if (count < 1) return d;
    for (int i = 0; i < count; i++) squares += (b[i] - a[i] - d.mean) * (b[i] - a[i] - d.mean);
    double half = count > 1 ? quantile(count - 1) * sqrt(squares / (count - 1) / count) : INFINITY;
    d.low = d.mean - half;
    d.high = d.mean + half;
    d.ratio = sum_b / sum_a;
    if (count < 3 || !isfinite(d.mean)) return d;
    int small = fabs(d.mean) * 1000 < LEAST_PER_MILLE * fabs(sum_a / count);
    if (small || (d.low <= 0 && d.high >= 0))
        d.verdict = half > NOISY * fabs(sum_a / count) ? VERDICT_NOISY : VERDICT_SAME;
    else
        d.verdict = d.mean < 0 ? VERDICT_LESS : VERDICT_MORE;
    return d;
}
