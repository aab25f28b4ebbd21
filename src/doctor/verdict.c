/* What all judges use. */
#include <stdarg.h>
#include <stdlib.h>

#include "doctor/doctor.h"

void verdict_add(struct verdict *verdict, const char *host, int rank, int grave, const char *format, ...) {
    if (verdict->count++ >= PROBLEMS) return;
    struct problem *problem = &verdict->problem[verdict->count - 1];
    va_list args;
    snprintf(problem->host, sizeof problem->host, "%s", host);
    problem->rank = rank;
    problem->grave = grave;
    va_start(args, format);
    vsnprintf(problem->text, sizeof problem->text, format, args);
    va_end(args);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double doctor_median(double *numbers, int count) {
    if (count <= 0) return 0;
    qsort(numbers, (size_t)count, sizeof *numbers, by_size);
    return count % 2 ? numbers[count / 2] : (numbers[count / 2 - 1] + numbers[count / 2]) / 2;
}
