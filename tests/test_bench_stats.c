/* The statistics of the benchmark: known answers, and how often they are wrong on noise like that of a shared machine. */
#include "base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/philox.h"
#include "bench/stats.h"

static uint32_t counter;

static double uniform(void) { return ((double)philox(counter++, 0, 0, 0, 7, 0).word[0] + 0.5) / 4294967296.0; }

static double normal(void) { return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()); }

/* A step time of 1: a slow drift that both of a pair share, 1.5% of scatter, and now and then a burst that slows one run. */
static double noisy(double truth, double drift) {
    double burst = uniform() < 0.03 ? 1 + 0.3 * uniform() : 1;
    return truth * drift * burst * exp(0.015 * normal());
}

/* As suite.c goes on: more pairs, up to fifteen, while too little is known. */
static struct difference measure(double truth) {
    double a[15], b[15], drift = 1;
    struct difference d = {0};
    for (int pairs = 0; pairs < 15;) {
        drift *= exp(0.05 * normal());
        a[pairs] = noisy(1, drift);
        b[pairs++] = noisy(truth, drift);
        d = compare_pairs(a, b, pairs, 0.02);
        if (difference_known(&d)) break;
    }
    return d;
}

static int calls_a_difference(struct difference d) { return d.verdict == VERDICT_LESS || d.verdict == VERDICT_MORE; }

static void equal_sides_are_called_equal(void **state) {
    (void)state;
    int differences = 0;
    for (int i = 0; i < 2000; i++) differences += calls_a_difference(measure(1));
    if (differences > 40) fail_msg("%d of 2000", differences); /* 3% would be 60 */
}

static void a_tenth_is_seen(void **state) {
    (void)state;
    int slower = 0, faster = 0;
    for (int i = 0; i < 2000; i++) {
        slower += measure(1.1).verdict == VERDICT_MORE;
        faster += measure(1 / 1.1).verdict == VERDICT_LESS;
    }
    if (slower < 1900 || faster < 1900) fail_msg("%d and %d of 2000", slower, faster);
}

static void without_noise_the_ratio_decides(void **state) {
    (void)state;
    const double a[] = {100, 100, 100, 100, 100}, b[] = {105, 105, 105, 105, 105},
                 c[] = {100.9, 100.9, 100.9, 100.9, 100.9};
    struct difference d = compare_pairs(a, b, 5, 0.01);
    assert_int_equal(d.verdict, VERDICT_MORE);
    assert_float_equal(d.ratio, 1.05, 1e-12);
    assert_float_equal(d.low, 1.05, 1e-9);
    assert_int_equal(compare_pairs(b, a, 5, 0.01).verdict, VERDICT_LESS);
    assert_int_equal(compare_pairs(a, c, 5, 0.01).verdict, VERDICT_SAME);
    assert_int_equal(compare_pairs(a, b, 2, 0.01).verdict, VERDICT_NONE);
    assert_int_equal(compare_pairs(a, b, 0, 0.01).verdict, VERDICT_NONE);
    assert_int_equal(compare_sets(a, 5, b, 4, 0, 0.01).verdict, VERDICT_MORE);
    assert_int_equal(compare_sets(a, 5, c, 3, 0, 0.01).verdict, VERDICT_SAME);
}

/* Logarithms of the ratios 0.1, 0.2, 0.3: mean 0.2, standard error 0.1 / sqrt(3), t of 2 degrees at 99% 9.925. */
static void the_interval_is_students(void **state) {
    (void)state;
    const double a[] = {1, 2, 3}, b[] = {exp(0.1), 2 * exp(0.2), 3 * exp(0.3)};
    struct difference d = compare_pairs(a, b, 3, 0);
    assert_float_equal(log(d.ratio), 0.2, 1e-12);
    assert_float_equal(log(d.high), 0.2 + 9.925 * 0.1 / sqrt(3), 1e-9);
    assert_int_equal(d.verdict, VERDICT_NOISY); /* no difference is seen, but a large one could be there */
    assert_false(difference_known(&d));
}

/* Two measurements of one program that differ by 3% as wholes, each with hardly any spread: by itself the spread would call
 * that a difference. */
static void sessions_widen_the_interval(void **state) {
    (void)state;
    const double a[] = {100, 100.1, 99.9, 100, 100.05}, b[] = {103, 103.1, 102.9, 103, 103.05};
    assert_int_equal(compare_sets(a, 5, b, 5, 0, 0.02).verdict, VERDICT_MORE);
    struct difference d = compare_sets(a, 5, b, 5, 0.015, 0.02);
    assert_int_equal(d.verdict, VERDICT_SAME);
    assert_true(fabs(log(d.high / d.ratio) - 2.75 * 0.015) < 0.002);
}

/* Of ten pairs the wildest on each side has no say. */
static void one_wild_pair_of_ten_does_no_harm(void **state) {
    (void)state;
    double a[10], b[10];
    for (int i = 0; i < 10; i++) {
        a[i] = 1;
        b[i] = 1.1 + 0.001 * i;
    }
    b[4] = 9;
    struct difference d = compare_pairs(a, b, 10, 0.02);
    assert_int_equal(d.verdict, VERDICT_MORE);
    assert_true(d.high < 1.13);
}

static void spreads(void **state) {
    (void)state;
    const double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2};
    struct spread s = spread_of(odd, 3);
    assert_float_equal(s.median, 3, 0);
    assert_float_equal(s.least, 1, 0);
    assert_float_equal(s.most, 5, 0);
    assert_float_equal(odd[0], 5, 0);
    assert_float_equal(median_of(even, 4), 2.5, 0);
    assert_true(isnan(median_of(even, 0)));
}

static void losses(void **state) {
    (void)state;
    const double a[] = {2.0, 2.1, 2.2}, better[] = {1.9, 1.995, 2.105}, noise[] = {2.01, 2.09, 2.205},
                 close[] = {2.001, 2.101, 2.201};
    struct loss_difference d = compare_losses(a, a, 3);
    assert_true(d.equal && d.verdict == VERDICT_SAME);
    d = compare_losses(a, better, 3);
    assert_int_equal(d.verdict, VERDICT_LESS);
    assert_float_equal(d.mean, -0.1, 1e-12);
    /* differences -0.1, -0.105, -0.095: deviation 0.005, t of 2 degrees at 99% 9.925 */
    assert_float_equal(d.high, -0.1 + 9.925 * 0.005 / sqrt(3), 1e-9);
    assert_int_equal(compare_losses(better, a, 3).verdict, VERDICT_MORE);
    d = compare_losses(a, noise, 3);
    assert_true(!d.equal && d.verdict == VERDICT_SAME);
    assert_int_equal(compare_losses(a, close, 3).verdict, VERDICT_SAME); /* certain, and too little to matter */
    assert_int_equal(compare_losses(a, better, 2).verdict, VERDICT_NONE);
    assert_int_equal(compare_losses(a, better, 0).verdict, VERDICT_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_sides_are_called_equal),      cmocka_unit_test(a_tenth_is_seen),
        cmocka_unit_test(without_noise_the_ratio_decides),   cmocka_unit_test(the_interval_is_students),
        cmocka_unit_test(one_wild_pair_of_ten_does_no_harm), cmocka_unit_test(spreads),
        cmocka_unit_test(sessions_widen_the_interval),       cmocka_unit_test(losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
