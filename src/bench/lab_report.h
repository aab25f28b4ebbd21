/* What the op lab found, as Markdown and as JSON. */
#ifndef BENCH_LAB_REPORT_H
#define BENCH_LAB_REPORT_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "bench/lab.h"
#include "bench/machine.h"

struct lab_page {
    const struct machine *machine;
    const char *build; /* version and commit */
    const struct ceilings *ceilings;
    const struct lab *labs;
    int count;
    const cJSON *against; /* an earlier lab_report_json() to show beside; NULL: none */
};

void lab_report_print(const struct lab_page *page, FILE *out);

/* A new object; NULL: out of memory. */
cJSON *lab_report_json(const struct lab_page *page);

#endif
