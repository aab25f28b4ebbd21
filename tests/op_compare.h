/* Comparisons of what ops leave, on any backend. */
#ifndef TESTS_OP_COMPARE_H
#define TESTS_OP_COMPARE_H

#include "op_table.h"

/* 1 for buffers that outlive a segment and that ops write. */
int op_observed(const struct trial *t, int buf);

/* Fails unless all that is observed, in `type` on `backend`, is what the CPU has in double: as vectors, to `rounding` of the double one's
 * length, and several times as much for whole models. */
void op_compare_with_double(const struct op_case *row, enum dtype type, const struct backend *backend, double rounding);

/* The same of a trial that has just run. */
void op_compare_run_with_double(const struct trial *single, double rounding);

/* Keeps the values of all that is observed, kept[buf], or fails unless they have the bits of those that were kept. `what` and `number`
 * say in the message what was different. */
void op_keep_or_compare(const struct trial *t, double **kept, const char *what, int number);

/* Fails unless the fused ops of the row leave the bits of their parts. */
void op_compare_parts(const struct op_case *row, enum dtype type, const struct backend *backend);

#endif
