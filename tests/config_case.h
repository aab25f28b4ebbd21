/* What the tests of the configuration share. */
#ifndef TESTS_CONFIG_CASE_H
#define TESTS_CONFIG_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "config/config.h"
#include "config/schema.h"

#include <cmocka.h> /* last: its macro fail() would hide ours */

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Sets a key that must be accepted. */
void set(struct config *config, const char *key, const char *value);

size_t field_size(const struct schema_key *key);
int same_bits(const struct schema_key *key, const struct config *a, const struct config *b);
void write_file(const char *path, const char *text, size_t length);

/* Loads `text` as run.yaml over the defaults; the second expects that it is accepted. */
int load(struct config *config, const char *text);
void load_well(struct config *config, const char *text);

/* What config_print() writes, or config_help() without a config; owned by the caller. */
char *printed(const struct config *config);

/* Each test program works in a folder of its own. */
int enter_folder(void **state);
int leave_folder(void **state);

#endif
