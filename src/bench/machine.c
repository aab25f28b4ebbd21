#include "bench/machine.h"

#include <ctype.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "backend/cpu.h"

/* "AMD EPYC 9R14 96-Core Processor" becomes "amd-epyc-9r14-96-core-processor-2cpu". */
static void make_name(struct machine *m) {
    size_t used = 0;
    for (const char *p = m->processor; *p && used < sizeof m->name - 12; p++) {
        if (isalnum((unsigned char)*p))
            m->name[used++] = (char)tolower((unsigned char)*p);
        else if (used && m->name[used - 1] != '-')
            m->name[used++] = '-';
    }
    while (used && m->name[used - 1] == '-') used--;
    snprintf(m->name + used, sizeof m->name - used, "%s%dcpu", used ? "-" : "", m->cores);
}

void machine_read(struct machine *m) {
    struct utsname system;
    memset(m, 0, sizeof *m);
    m->cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    m->threads = omp_get_max_threads();
    m->memory_gib = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    cpu_processor(m->processor, sizeof m->processor);
    if (!uname(&system)) {
        if (!m->processor[0]) snprintf(m->processor, sizeof m->processor, "%s", system.machine);
        snprintf(m->system, sizeof m->system, "%.40s %.80s", system.sysname, system.release);
    }
    make_name(m);
}

cJSON *machine_json(const struct machine *m) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "name", m->name);
    cJSON_AddStringToObject(json, "processor", m->processor);
    cJSON_AddStringToObject(json, "system", m->system);
    cJSON_AddNumberToObject(json, "cores", m->cores);
    cJSON_AddNumberToObject(json, "threads", m->threads);
    cJSON_AddNumberToObject(json, "memory_gib", m->memory_gib);
    return json;
}

void machine_date(char date[11]) {
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(date, 11, "%Y-%m-%d", &utc);
}
