/* The cases of test_ops.c: every op alone and in company, and whole models. */
#ifndef TESTS_OP_TABLE_H
#define TESTS_OP_TABLE_H

#include "op_case.h"

/* Checks that a row names; test_ops.c tells what they are. */
enum { GRADIENT = 1, PRECISION = 2, THREADS = 4, ALL = GRADIENT | PRECISION | THREADS, PARTS = 8 };

extern const struct op_case op_table[];
extern const int op_table_count;

/* A model has its gradient from a mean over many tokens, and rounding adds up over its layers. */
int op_case_is_model(const struct op_case *row);

#endif
