/* Lines of code. */
#ifndef BENCH_LINES_H
#define BENCH_LINES_H

#include <stdint.h>

/* Counts the lines of the files that `files` names (patterns as of a shell, commas between, starting at `root`) that are neither
 * blank nor comment alone. A pattern that finds nothing is STATUS_USAGE. */
int lines_of_files(const char *files, const char *root, int64_t *lines);

#endif
