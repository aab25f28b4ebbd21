/* What the figures of a case depend on, as one short text: where it is another, old figures are not mixed with new ones. */
#ifndef BENCH_KEY_H
#define BENCH_KEY_H

#include "bench/measure.h"

/* Hashes the program's file. */
int key_program(const char *path, uint64_t *hash);

/* Of the program, both sides' configs, ranks and threads, tokens and seeds, the processor, the files that data.train and data.val name (by their
 * sizes and times), and what the environment says to OpenMP, OpenBLAS and the launcher. */
int key_of_case(const struct measure *m, const struct bench_case *c, uint64_t program, const char *processor, int seeds,
                int quick, char key[17]);

/* Of what the baseline's losses depend on, but for the seed: cases with one key may share them. */
int key_of_baseline(const struct measure *m, const struct bench_case *c, uint64_t program, const char *processor,
                    int quick, char key[17]);

#endif
