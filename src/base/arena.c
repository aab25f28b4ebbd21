#include "base/arena.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

int64_t arena_available(void) {
    FILE *f = fopen("/proc/meminfo", "r");
    if (!f) return -1;
    char line[128];
    long long kib = -1;
    while (kib < 0 && fgets(line, sizeof line, f)) sscanf(line, "MemAvailable: %lld kB", &kib);
    fclose(f);
    return kib < 0 ? -1 : kib * 1024;
}

int arena_check(int64_t bytes, const char *what) {
    int64_t available = arena_available();
    if (available < 0 || bytes <= available) return 0;
    return fail(STATUS_FAILED,
                "%s: %.1f MiB are needed, %.1f MiB are free on this machine; make the model, the micro-batch or the "
                "context smaller ('lockstep plan' prints what each part takes)",
                what, (double)bytes / 1048576, (double)available / 1048576);
}

int arena_new(void **memory, int64_t bytes, const char *what) {
    *memory = NULL;
    if (!bytes) return 0;
    TRY(arena_check(bytes, what));
    void *got = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED)
        return fail(STATUS_FAILED, "%s: cannot allocate %.1f MiB: %s", what, (double)bytes / 1048576, strerror(errno));
#ifdef MADV_HUGEPAGE
    madvise(got, (size_t)bytes, MADV_HUGEPAGE); /* only speed depends on it */
#endif
    *memory = got;
    return 0;
}

void arena_free(void *memory, int64_t bytes) {
    if (memory) munmap(memory, (size_t)bytes);
}
