/* Steps of training in which expressions stand for numbers: an element of a plan in fp64 holds the hash of what was added to
 * what, in which order. The plan, its order of ops, its messages and its memory are the real ones; kernels are replaced. */
#ifndef TESTS_VIRTUAL_SYMBOLS_H
#define TESTS_VIRTUAL_SYMBOLS_H

#include "backend/cpu.h"

/* A training of `ranks` ranks. */
struct setup {
    int ranks, slots, zero, overlap, micro_batches, steps;
    int bucket;  /* chunks */
    int hidden;  /* size of the layers, which makes that of the flat space */
    int numbers; /* not expressions but numbers, and the real kernels for their sums */
};

enum { MOST_STEPS = 2 };

/* What the ranks of a setup have in common: each element of the flat space, summed over all slots, in each step; and the hashes of
 * chunks, of which the last may not be whole. */
struct expected {
    uint64_t *sum[MOST_STEPS], *chunk[MOST_STEPS], last[MOST_STEPS];
    int64_t elems;
};

/* One rank at work. */
struct worker {
    const struct setup *setup;
    const struct expected *expected;
    struct comm *comm;
    struct plan *plan;
    struct store store;
    struct exec *exec;
    int step;
    int failed; /* a replaced kernel has found something, and said it by fail() */
};

/* The plan of a rank. */
int symbols_plan(const struct setup *setup, int rank, struct plan **plan);

/* Loads the worker's plan on the CPU backend and replaces the kernels. */
int symbols_open(struct worker *w);
void symbols_close(struct worker *w);

/* A step as train/step.c makes it. Then, with nothing under way, everything that a rank must have: sums, moments, parameters, losses. */
int symbols_step(struct worker *w);
int symbols_check(struct worker *w);

/* For a space of so many elements. The sums depend on slots and micro-batches alone, so another setup may have the part that it needs. */
int expected_new(const struct setup *setup, int64_t elems, struct expected *expected);
int expected_part(const struct expected *of, int64_t elems, struct expected *part);
void expected_free(struct expected *expected);

#endif
