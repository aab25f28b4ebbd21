#include "tape.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A missing parent is the node itself with a slope of 0, so that the walk back needs no branch. */
struct tape_node {
    double value, slope[2]; /* d(value)/d(parent) */
    var parent[2];
};

static void die(const char *why) {
    fprintf(stderr, "tape: %s\n", why);
    abort();
}

static void grow(struct tape *tape) {
    if (tape->capacity > INT_MAX / 4) die("too many numbers");
    tape->capacity = tape->capacity ? 2 * tape->capacity : 4096;
    struct tape_node *nodes = realloc(tape->nodes, (size_t)tape->capacity * sizeof *nodes);
    if (!nodes) die("out of memory");
    tape->nodes = nodes;
}

static const struct tape_node *at(const struct tape *tape, var a) {
    if (a < 0 || a >= tape->count) die("a number that is not on the tape");
    return &tape->nodes[a];
}

static var append(struct tape *tape, double value, var a, double slope_a, var b, double slope_b) {
    if (tape->count == tape->capacity) grow(tape);
    tape->nodes[tape->count] = (struct tape_node){value, {slope_a, slope_b}, {a, b}};
    return tape->count++;
}

static var append_of_one(struct tape *tape, double value, var a, double slope) {
    return append(tape, value, a, slope, tape->count, 0);
}

void tape_free(struct tape *tape) {
    free(tape->nodes);
    free(tape->slopes);
    *tape = (struct tape){0};
}

void tape_clear(struct tape *tape) { tape->count = tape->swept = 0; }

var tape_leaf(struct tape *tape, double value) { return append(tape, value, tape->count, 0, tape->count, 0); }

var tape_add(struct tape *tape, var a, var b) {
    return append(tape, at(tape, a)->value + at(tape, b)->value, a, 1, b, 1);
}

var tape_sub(struct tape *tape, var a, var b) {
    return append(tape, at(tape, a)->value - at(tape, b)->value, a, 1, b, -1);
}

var tape_mul(struct tape *tape, var a, var b) {
    const double x = at(tape, a)->value, y = at(tape, b)->value;
    return append(tape, x * y, a, y, b, x);
}

var tape_div(struct tape *tape, var a, var b) {
    const double x = at(tape, a)->value, y = at(tape, b)->value;
    return append(tape, x / y, a, 1 / y, b, -x / (y * y));
}

var tape_shift(struct tape *tape, var a, double k) { return append_of_one(tape, at(tape, a)->value + k, a, 1); }

var tape_scale(struct tape *tape, var a, double k) { return append_of_one(tape, at(tape, a)->value * k, a, k); }

var tape_exp(struct tape *tape, var a) {
    const double y = exp(at(tape, a)->value);
    return append_of_one(tape, y, a, y);
}

var tape_log(struct tape *tape, var a) {
    const double x = at(tape, a)->value;
    return append_of_one(tape, log(x), a, 1 / x);
}

var tape_tanh(struct tape *tape, var a) {
    const double y = tanh(at(tape, a)->value);
    return append_of_one(tape, y, a, 1 - y * y);
}

var tape_sqrt(struct tape *tape, var a) {
    const double y = sqrt(at(tape, a)->value);
    return append_of_one(tape, y, a, 0.5 / y);
}

double tape_value(const struct tape *tape, var a) { return at(tape, a)->value; }

/* A number's slope is complete when the walk comes to it: whatever was made of it stands behind it on the tape. */
void tape_backward(struct tape *tape, var result) {
    at(tape, result);
    if (tape->slope_room <= result) {
        free(tape->slopes);
        tape->slopes = malloc((size_t)tape->capacity * sizeof *tape->slopes);
        if (!tape->slopes) die("out of memory");
        tape->slope_room = tape->capacity;
    }
    tape->swept = result + 1;
    double *slopes = tape->slopes;
    memset(slopes, 0, (size_t)tape->swept * sizeof *slopes);
    slopes[result] = 1;
    for (var i = result; i >= 0; i--) {
        const struct tape_node *node = &tape->nodes[i];
        const double slope = slopes[i];
        slopes[node->parent[0]] += slope * node->slope[0];
        slopes[node->parent[1]] += slope * node->slope[1];
    }
}

double tape_slope(const struct tape *tape, var a) {
    at(tape, a);
    return a < tape->swept ? tape->slopes[a] : 0;
}
