/* What moved between two folders of results. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include <stdio.h>

/* Compares every case and side that both folders have: speed, memory and validation loss. Prints a table of what moved beyond the spread and
 * what cannot be compared. The sets were not measured in turns, so a machine that was slower for hours shows as a
 * difference. */
int compare_folders(const char *old_folder, const char *new_folder, FILE *out);

#endif
