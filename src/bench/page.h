/* Pages about cases: Markdown in the form that every optimization's page has, its pictures, and the index. */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include <stdio.h>

#include "bench/summary.h"

/* The table of all cases that something is known of; or only of those that are chosen. */
void page_index(const struct summary *summaries, int count, int only_chosen, FILE *out);

/* The page of one case; its pictures lie beside it. */
void page_case(const struct summary *summary, FILE *out);

/* Its results alone, for the page in docs/: `folder` leads to the pictures. */
void page_table(const struct summary *summary, const char *folder, FILE *out);

/* pages.c. Writes FOLDER/NAME.md and the pictures FOLDER/NAME-*.svg of a case that something is known of. Where `docs` is not NULL, the lines
 * between "<!-- measured" and "<!-- end" of DOCS/NAME.md become the table and the pictures. */
int pages_write(const struct summary *summary, const char *folder, const char *docs);

/* Writes FOLDER/README.md and FOLDER/summary.json. */
int pages_write_index(const struct summary *summaries, int count, const char *folder);

#endif
