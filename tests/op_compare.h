/* Comparisons of what ops leave, on any backend. */
#ifndef TESTS_OP_COMPARE_H
#define TESTS_OP_COMPARE_H

#include "op_table.h"

/* 1 for buffers that outlive a segment and that ops write. */
int op_observed(const struct trial *t, int buf);

/* Fails unless all that is observed, in `type` on `backend`, is what the CPU has in double: as vectors, to `rounding` of the double one's
 * length, and several times as much for whole models. */
void op_compare_with_double(const struct op_case *row, enum dtype type, const struct backend *backend, double rounding);

#endif
