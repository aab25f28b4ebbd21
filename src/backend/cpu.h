/* The inside of a plan loaded on the CPU; shared by cpu.c and cpu_comm.c. */
#ifndef BACKEND_CPU_H
#define BACKEND_CPU_H

#include "backend/backend.h"

typedef void cpu_kernel(const struct kernel_args *args);

struct exec {
    const struct plan *plan;
    struct comm *comm;
    char *arena, *scratch;
    int64_t scratch_bytes;    /* of all threads together */
    int threads;              /* that there is scratch for */
    void **data;              /* where each buffer is */
    struct kernel_args *args; /* what each op's kernel is given, made at load, */
    cpu_kernel **kernel;      /* and the kernel; NULL: an op of LANE_COMM */
    int poison;
    struct trace *trace; /* NULL: nobody wants to know when what ran */

    /* Communication, sized at load (cpu_comm.c). */
    struct comm_message *sends, *receives;
    const struct op **started; /* by line: what started there last, */
    int64_t *started_in;       /* and in which step */
    int64_t *slices;           /* and its number in the trace; -1: none */
    int64_t *counts;           /* for each rank */
};

/* Room for what the plan's communication ops need. */
int cpu_prepare_comm(struct exec *exec);

/* Runs an op of LANE_COMM. */
int cpu_communicate(struct exec *exec, const struct op *op);

/* cpu_device.c: how many threads this rank takes; what /proc/cpuinfo calls the processor ("": not told); struct backend's describe(). */
void cpu_choose_threads(const struct comm *comm);
void cpu_processor(char *name, int64_t size);
int cpu_describe(const struct comm *comm, struct device_info *info);

/* struct backend's ceiling() (cpu_ceiling.c). */
double cpu_ceiling(enum ceiling kind, double seconds);

#endif
