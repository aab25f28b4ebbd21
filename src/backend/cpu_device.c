/* The CPU as a device: whose it is, and how much of it a rank takes. */
#include <cblas.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/cpu.h"
#include "base/arena.h"

void cpu_processor(char *name, int64_t size) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    name[0] = '\0';
    while (f && !name[0] && fgets(line, sizeof line, f)) {
        const char *value = strchr(line, ':');
        if (!strncmp(line, "model name", 10) && value) snprintf(name, (size_t)size, "%s", value + 2);
    }
    if (f) fclose(f);
    name[strcspn(name, "\n")] = '\0';
}

/* OMP_NUM_THREADS decides. Without it, a rank that is not alone on its host takes the cores that the launcher bound it to,
 * or its share of the machine: more threads than cores would wait for each other. The bits do not depend on it. */
void cpu_choose_threads(const struct comm *comm) {
    if (!comm || comm->local_size <= 1 || getenv("OMP_NUM_THREADS")) return;
    long online = sysconf(_SC_NPROCESSORS_ONLN), mine = online;
#ifdef __linux__
    cpu_set_t bound;
    if (!sched_getaffinity(0, sizeof bound, &bound)) mine = CPU_COUNT(&bound);
#endif
    if (mine == online) mine /= comm->local_size;
    omp_set_num_threads(mine > 0 ? (int)mine : 1);
}

/* OpenBLAS chooses kernels by the processor that it finds, and those differ in bits. "OpenBLAS 0.3.21 for SkylakeX". */
static void tell_versions(char text[128]) {
    char version[48] = "";
    sscanf(openblas_get_config(), "OpenBLAS %47s", version);
    snprintf(text, 128, "OpenBLAS %s for %s", version, openblas_get_corename());
}

int cpu_describe(const struct comm *comm, struct device_info *info) {
    int64_t free_memory = arena_available(), pages = sysconf(_SC_PHYS_PAGES);
    *info = (struct device_info){.free_memory = free_memory > 0 ? free_memory : 0};
    cpu_choose_threads(comm);
    cpu_processor(info->name, sizeof info->name);
    tell_versions(info->versions);
    info->threads = omp_get_max_threads();
    if (pages > 0) info->memory = pages * sysconf(_SC_PAGESIZE);
    return 0;
}
