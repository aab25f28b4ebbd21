/* What a rank is: its host, program, libraries, device, room, clock. */
#include <fcntl.h>
#include <hdf5.h>
#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "base/check.h"
#include "base/clock.h"
#include "doctor/doctor.h"

extern char **environ;

/* The name that `lockstep --version` has, and a hash of the file itself: the same commit may have been built in two ways. */
static void read_program(const char *name, char text[96]) {
    enum { BLOCK = 1 << 16 };
    XXH3_state_t *state = XXH3_createState();
    char *block = malloc(BLOCK);
    FILE *f = fopen("/proc/self/exe", "rb");
    size_t got;
    if (state && block && f) {
        XXH3_64bits_reset(state);
        while ((got = fread(block, 1, BLOCK, f)) > 0) XXH3_64bits_update(state, block, got);
        snprintf(text, 96, "%.70s, file %016llx", name, (unsigned long long)XXH3_64bits_digest(state));
    } else {
        snprintf(text, 96, "%.95s", name);
    }
    if (f) fclose(f);
    free(block);
    XXH3_freeState(state);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* What steers the libraries below, and differs where a host has another login file. */
static void read_settings(char *text, size_t size) {
    static const char *const prefix[] = {"NCCL_",  "UCX_",        "CUDA_DEVICE_", "CUDA_LAUNCH_",
                                         "CUBLAS", "NVIDIA_TF32", "OPENBLAS_",    "LOCKSTEP_"};
    static const char for_tests[] = "LOCKSTEP_FAULT=";
    char *found[256];
    int count = 0;
    size_t used = 0;
    text[0] = '\0';
    for (char **e = environ; *e && count < 256; e++) {
        int meant = 0;
        for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++) meant |= !strncmp(*e, prefix[i], strlen(prefix[i]));
        if (!strncmp(*e, for_tests, sizeof for_tests - 1)) meant = 0;
        if (meant) found[count++] = *e;
    }
    qsort(found, (size_t)count, sizeof *found, by_text);
    for (int i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " " : "", found[i]);
    if (!count) snprintf(text, size, "none");
}

static int64_t room(const char *folder) {
    struct statvfs info;
    return statvfs(folder, &info) ? 0 : (int64_t)info.f_bavail * (int64_t)info.f_frsize;
}

static int64_t cores(void) {
#ifdef __linux__
    cpu_set_t bound;
    if (!sched_getaffinity(0, sizeof bound, &bound)) return CPU_COUNT(&bound);
#endif
    return sysconf(_SC_NPROCESSORS_ONLN);
}

static double wall_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One message each way between rank 0 and rank r: *theirs is r's clock, *took rank 0's time for both ways. */
static int ask_clock(struct comm *comm, int r, double *middle, double *theirs, double *took) {
    double said = wall_clock();
    struct comm_message question = {comm->rank == 0 ? r : 0, &said, sizeof said}, answer = question;
    *took = clock_seconds();
    if (comm->rank == 0) {
        answer.data = theirs;
        TRY(comm_start(comm, 0, &question, 1, &answer, 1));
        TRY(comm_wait(comm, 0));
        *took = clock_seconds() - *took;
        *middle = said + *took / 2;
        return 0;
    }
    answer.data = theirs; /* the question: its content does not matter */
    TRY(comm_start(comm, 0, NULL, 0, &answer, 1));
    TRY(comm_wait(comm, 0));
    said = wall_clock();
    TRY(comm_start(comm, 0, &question, 1, NULL, 0));
    return comm_wait(comm, 0);
}

/* How far each rank's clock is ahead of rank 0's: of some answers the fastest tells best (Cristian, Probabilistic clock synchronization, 1989).
 * One rank of each host is asked. */
static int compare_clocks(struct comm *comm, double *ahead) {
    enum { TRIES = 5 };
    double *all = calloc((size_t)comm->size, sizeof *all);
    if (comm_agree(comm, all ? 0 : fail(STATUS_FAILED, "out of memory"))) return free(all), STATUS_FAILED;
    int status = 0;
    for (int r = 1; r < comm->size && !status; r++) {
        double best = 1e9, middle = 0, theirs = 0, took = 0;
        int first = 0;
        while (strcmp(comm->peers[first].host, comm->peers[r].host) != 0) first++;
        all[r] = all[first];
        if (first < r || (comm->rank != 0 && comm->rank != r)) continue;
        for (int i = 0; i < TRIES && !status; i++) {
            status = ask_clock(comm, r, &middle, &theirs, &took);
            if (status || took >= best || comm->rank != 0) continue;
            best = took;
            all[r] = theirs - middle;
        }
    }
    if (!status) status = comm_broadcast(comm, all, (int64_t)((size_t)comm->size * sizeof *all));
    *ahead = all[comm->rank];
    free(all);
    return status;
}

/* Rank 0 leaves a file in the folder of runs, and takes it away when all have looked. Network file systems may take a moment to show it. */
static int look_for_file(struct comm *comm, const char *folder, int32_t *sees) {
    char path[4200];
    long long token[2] = {getpid(), (long long)(wall_clock() * 1e6)};
    TRY(comm_broadcast(comm, token, sizeof token));
    snprintf(path, sizeof path, "%.4000s/.lockstep-doctor-%lld-%lld", folder, token[0], token[1]);
    int made = comm->rank == 0 ? open(path, O_CREAT | O_EXCL | O_WRONLY, 0666) : 0;
    int status = comm_agree(
        comm, made < 0 ? fail(STATUS_USAGE, "cannot write into the folder %s; --runs-dir names another", folder) : 0);
    if (comm->rank == 0 && made >= 0) close(made);
    for (int i = 0; !status && i < 30; i++) {
        const struct timespec moment = {0, 100000000};
        *sees = !access(path, F_OK);
        if (*sees) break;
        nanosleep(&moment, NULL);
    }
    if (!status) status = comm_agree(comm, 0);
    if (comm->rank == 0 && made >= 0) unlink(path);
    return status;
}

int facts_gather(struct comm *comm, const struct backend *backend, const struct doctor_request *request,
                 struct facts *facts) {
    struct utsname system;
    unsigned major, minor, release;
    memset(facts, 0, sizeof *facts);
    snprintf(facts->host, sizeof facts->host, "%s", comm->host);
    read_program(request->program, facts->program);
    if (comm->transport->library)
        comm->transport->library(facts->mpi);
    else
        snprintf(facts->mpi, sizeof facts->mpi, "none (one rank)");
    H5get_libversion(&major, &minor, &release);
    snprintf(facts->hdf5, sizeof facts->hdf5, "%u.%u.%u", major, minor, release);
#ifdef __GLIBC__
    snprintf(facts->libc, sizeof facts->libc, "glibc %s", gnu_get_libc_version());
#else
    snprintf(facts->libc, sizeof facts->libc, "the system's");
#endif
    if (!uname(&system)) snprintf(facts->system, sizeof facts->system, "%.30s %.60s", system.sysname, system.release);
    read_settings(facts->settings, sizeof facts->settings);
    facts->online = sysconf(_SC_NPROCESSORS_ONLN);
    facts->cores = cores();
    facts->shm_free = room("/dev/shm");
    facts->disk_free = room(request->folder);
    if (backend->describe(comm, &facts->device)) { /* a finding, not the end of the check */
        facts->device = (struct device_info){0};
        facts->failed = 1;
        snprintf(facts->message, sizeof facts->message, "%.255s", fail_message());
    }
    facts->threads = facts->device.threads ? facts->device.threads : omp_get_max_threads();
    TRY(compare_clocks(comm, &facts->clock_s));
    return look_for_file(comm, request->folder, &facts->sees_runs);
}
