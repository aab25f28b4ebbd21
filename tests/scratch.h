/* For tests that write files: a folder of their own that is the current one while they run, and what they do there. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static inline void must(int status) {
    if (status) fail_msg("status %d: %s", status, fail_message());
}

/* The recorded message has these words. */
static inline void says(const char *words) {
    if (!strstr(fail_message(), words)) fail_msg("'%s' does not say '%s'", fail_message(), words);
}

static inline void write_file(const char *path, const void *content, size_t bytes) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(content, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static inline void write_text(const char *path, const char *text) { write_file(path, text, strlen(text)); }

/* Setup and teardown of a group of tests. */
static char scratch_folder[] = "test_scratch_XXXXXX";

static inline int enter_scratch(void **state) {
    (void)state;
    return mkdtemp(scratch_folder) ? chdir(scratch_folder) : -1;
}

static inline int leave_scratch(void **state) {
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", scratch_folder);
    return chdir("..") || system(command);
}

#endif
