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

enum verdict { VERDICT_NONE, VERDICT_SAME, VERDICT_LESS, VERDICT_MORE }; /* NONE: too little to say */

/* B against A. */
struct difference {
    enum verdict verdict;
    double ratio;     /* B / A: exp of the mean of the logarithms, from ten pairs on without the outer tenths */
    double low, high; /* 99% confidence interval of the ratio */
    int pairs;
};

/* From pairs (a[i], b[i]) of neighbouring runs, all positive. The verdict is SAME where the interval holds 1 or the ratio is
 * within 1 +- least; NONE for fewer than three pairs. */
struct difference compare_pairs(const double *a, const double *b, int count, double least);

/* The same for sets that were not measured in turns (Welch's t). */
struct difference compare_sets(const double *a, int count_a, const double *b, int count_b, double least);

/* Losses of runs from the same seed, on the same tokens: the mean of b - a with its 95% interval. Equal to the last bit in all pairs:
 * `equal`. The ratio of the struct is b / a in the mean. */
struct loss_difference {
    enum verdict verdict;
    int equal, pairs;
    double mean, low, high, ratio;
};
struct loss_difference compare_losses(const double *a, const double *b, int count);

#endif
