/* What moved between two folders of results. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include <stdio.h>

/* Compares every case and side that both folders have: speed, memory and validation loss. Prints a table of what moved beyond the spread,
 * and what cannot be compared. The sets were not measured in turns, so two measurements of one program differ by more than the
 * spread inside each: how much more is estimated from how the speeds of all cases scatter around their common change. A
 * machine that was slower as a whole shows in that common change, which is printed. */
int compare_folders(const char *old_folder, const char *new_folder, FILE *out);

#endif
