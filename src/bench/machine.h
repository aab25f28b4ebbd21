/* The machine that a measurement was made on, as far as it matters to read it later. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <cjson/cJSON.h>

struct machine {
    char name[64];       /* of its folder under bench/results: letters, digits and hyphens, such as amd-epyc-2cpu */
    char processor[128]; /* as the system calls it */
    char system[128];
    int cores, threads; /* threads: that a process uses */
    double memory_gib;
};

void machine_read(struct machine *machine);

/* A new object; NULL: out of memory. */
cJSON *machine_json(const struct machine *machine);

/* Today, as 2026-11-24. */
void machine_date(char date[11]);

#endif
