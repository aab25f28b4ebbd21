/* A tape: numbers that remember how they were made, so that the derivative of a result by everything that went into it
 * comes from one walk back (reverse-mode automatic differentiation, Linnainmaa 1970; the tape is called a Wengert list).
 *
 * Each function below that returns a `var` appends one number to the tape: its value, the at most two numbers that it
 * was made of, and its derivatives by these. A formula written with them needs no derivative of its own.
 *
 *     struct tape tape = {0};
 *     var x = tape_leaf(&tape, 3), y = tape_mul(&tape, x, tape_exp(&tape, x));
 *     tape_backward(&tape, y);
 *     tape_slope(&tape, x)         dy/dx = (1 + x) exp(x)
 *     tape_free(&tape);
 *
 * Everything is double. For tests: what cannot be done (no memory, a var that is not on the tape) ends the program with
 * a message. Shares no code with src/. */
#ifndef TWIN_TAPE_H
#define TWIN_TAPE_H

typedef int var; /* a number's place on its tape; valid until tape_clear() */

struct tape {                /* all zero: an empty tape. Owned by the tape: */
    struct tape_node *nodes; /* [capacity], in the order in which they were made */
    double *slopes;          /* [swept]: d(result)/d(node) of the last tape_backward() */
    int count, capacity;     /* nodes in use, and how many there is room for; at most INT_MAX / 2 */
    int swept, slope_room;   /* how many nodes the last tape_backward() went through; room in slopes */
};

void tape_free(struct tape *tape);  /* gives the memory back; the tape is empty and can be used again */
void tape_clear(struct tape *tape); /* forgets all numbers, keeps the memory */

/* A number that is made of nothing: a variable of the whole, or a constant. */
var tape_leaf(struct tape *tape, double value);

var tape_add(struct tape *tape, var a, var b); /* a + b */
var tape_sub(struct tape *tape, var a, var b); /* a - b */
var tape_mul(struct tape *tape, var a, var b); /* a b; a and b may be the same, as in all of these */
var tape_div(struct tape *tape, var a, var b); /* a / b */

var tape_shift(struct tape *tape, var a, double k); /* a + k, k a constant */
var tape_scale(struct tape *tape, var a, double k); /* a k */

var tape_exp(struct tape *tape, var a);
var tape_log(struct tape *tape, var a);
var tape_tanh(struct tape *tape, var a);
var tape_sqrt(struct tape *tape, var a);

double tape_value(const struct tape *tape, var a);

/* Finds d(result)/d(a) of every number a up to `result`; tape_slope() then tells it, and 0 of numbers that were made
 * later or that the result does not depend on. The tape may be swept again, from another result too: slopes are not added up. */
void tape_backward(struct tape *tape, var result);
double tape_slope(const struct tape *tape, var a);

#endif
