/* Small pictures as SVG: lines over two axes, and bars. They stand alone, on white. */
#ifndef BENCH_SVG_H
#define BENCH_SVG_H

#include <stdio.h>

enum { COLORS = 2 }; /* baseline grey-blue, optimized orange: told apart by everyone, also in grey */

struct line {
    int color, faint; /* faint: one of several runs; else their mean */
    int count;
    const double *x, *y;
};

struct plot {
    const char *title, *x_label, *y_label;
    const char *names[COLORS]; /* of the colors, for the legend */
    const struct line *lines;
    int count;
};

/* Nothing is drawn of values that are not finite. */
void svg_plot(const struct plot *plot, FILE *out);

struct bar {
    const char *name;
    int color;
    double value;
};

/* Lying bars from zero, each with its value, in `unit`. */
void svg_bars(const char *title, const char *unit, const struct bar *bars, int count, FILE *out);

#endif
