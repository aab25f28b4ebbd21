/* Nothing is allocated while training: between step 10 and step 110 Lockstep's own code asks for no memory, evaluations
 * included, and the process's anonymous memory stays flat. The linker sends the calls of Lockstep's objects here
 * (-Wl,--wrap); those of libraries stay their own. Run alone, and under mpirun with several ranks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "train/train.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static long calls, calls_at_10, calls_at_110;
static long resident_at_10, resident_at_110; /* KiB of anonymous memory */

/* MPI and OpenMP may touch a few more pages of what they have; growth with the steps would be far more. */
enum { RESIDENT_SLACK_KIB = 512 };

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size) { return calls++, __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return calls++, __real_calloc(count, size); }
void *__wrap_realloc(void *memory, size_t size) { return calls++, __real_realloc(memory, size); }
void *__wrap_aligned_alloc(size_t alignment, size_t size) { return calls++, __real_aligned_alloc(alignment, size); }
char *__wrap_strdup(const char *text) { return calls++, __real_strdup(text); }

static long anonymous_kib(void) {
    char line[128];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && kib < 0 && fgets(line, sizeof line, f)) sscanf(line, "RssAnon: %ld kB", &kib);
    if (f) fclose(f);
    return kib;
}

static int on_step(void *context, int64_t step) {
    (void)context;
    if (step == 10) resident_at_10 = anonymous_kib();
    if (step == 10) calls_at_10 = calls;
    if (step == 110) calls_at_110 = calls;
    if (step == 110) resident_at_110 = anonymous_kib();
    return 0;
}

static void training_allocates_nothing(void **state) {
    char *scratch = *state;
    struct config c;
    struct comm comm;
    if (comm_open(&comm)) fail_msg("%s", fail_message());
    if (comm.rank) rmdir(scratch);
    assert_int_equal(comm_broadcast(&comm, scratch, (int64_t)strlen(scratch)), 0); /* one folder for all */
    char timeline[128]; /* recorded and written between the two counts */
    snprintf(timeline, sizeof timeline, "%s/trace.json", scratch);
    struct train_options options = {.on_step = on_step, .trace = timeline, .trace_first = 20, .trace_end = 40};
    config_defaults(&c);
    snprintf(c.runs_dir, sizeof c.runs_dir, "%s", scratch);
    snprintf(c.data.train, sizeof c.data.train, "stories:50000:3");
    c.model.layers = 2;
    c.model.width = 32;
    c.model.context = 16;
    c.train.slots = 4;
    c.train.micro_batch = 2;
    c.train.micro_batches_per_slot = 2;
    c.train.steps = 112;
    c.train.eval_every = 5;
    c.ckpt.every = 0;
    assert_int_equal(config_check(&c), 0);
    if (train_run(&c, &comm, &options)) fail_msg("%s", fail_message());
    assert_true(calls_at_10 > 0); /* set-up is seen: the counter works */
    assert_int_equal(calls_at_110 - calls_at_10, 0);
    printf("rank %d of %d: %ld KiB of anonymous memory at step 10, %ld at step 110\n", comm.rank, comm.size,
           resident_at_10, resident_at_110);
    assert_true(resident_at_10 > 0 && resident_at_110 - resident_at_10 <= RESIDENT_SLACK_KIB);
    comm_close(&comm);
}

static int make_scratch(void **state) {
    static char path[] = "/tmp/lockstep-alloc-XXXXXX";
    *state = mkdtemp(path);
    return !*state;
}

static int remove_scratch(void **state) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(training_allocates_nothing, make_scratch, remove_scratch)};
    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
