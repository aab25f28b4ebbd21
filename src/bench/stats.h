/* What a set of measurements says, and when two sets differ.
 *
 * Machines are noisy, mostly upwards and for seconds on end. So the two sides run in turns, each pair of neighbours gives one
 * ratio, and the ratios decide: what slows both falls out. A difference must be larger than chance explains (Student's t on the
 * logarithms of the ratios, 99%) and than what anyone would care about (`least`). */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

enum { STATS_MOST = 4096 }; /* values that a function takes at most */

struct spread {
    double median, least, most;
    int count;
};

/* The values stay as they are. count 0 gives NaN. */
struct spread spread_of(const double *values, int count);
double median_of(const double *values, int count);

/* NONE: too few runs to say anything; NOISY: no difference is seen, but one of more than five percent could be there. */
enum verdict { VERDICT_NONE, VERDICT_NOISY, VERDICT_SAME, VERDICT_LESS, VERDICT_MORE };

/* B against A. */
struct difference {
    enum verdict verdict;
    double ratio;     /* B / A: exp of the mean of the logarithms, from ten pairs on without the outer tenths */
    double low, high; /* 99% confidence interval of the ratio */
    int pairs;
};

/* From pairs (a[i], b[i]) of neighbouring runs, all positive. No difference is seen where the interval holds 1 or the ratio is
 * within 1 +- least; NONE for fewer than three pairs. */
struct difference compare_pairs(const double *a, const double *b, int count, double least);

/* The same for sets that were not measured in turns (Welch's t). `session` is the standard deviation of what moves one set
 * against the other as a whole, as a part of them: the machine's mood, which the spread inside a set does not show. */
struct difference compare_sets(const double *a, int count_a, const double *b, int count_b, double session,
                               double least);

/* Whether there are pairs enough: five at least, and half the interval is at most 0.025. Only the width decides, never the result:
 * stopping as soon as a difference shows would find differences that are not there. */
int difference_known(const struct difference *difference);

/* Losses of runs from the same seed, on the same tokens: the mean of b - a with its 99% interval. Equal to the last bit in all pairs:
 * `equal`. The ratio of the struct is b / a in the mean. */
struct loss_difference {
    enum verdict verdict;
    int equal, pairs;
    double mean, low, high, ratio;
};
struct loss_difference compare_losses(const double *a, const double *b, int count);

#endif
