/* Short names of settings, as flags of `lockstep train` and `lockstep plan`: --use-rope for --set model.position=rope. Listed in flags.c. */
#ifndef CLI_FLAGS_H
#define CLI_FLAGS_H

#include <getopt.h>

#include "config/config.h"

enum { CLI_FLAGS_FIRST = 1024, CLI_FLAGS_ROOM = 64 };

/* Copies a command's own options, which end with a zero name, and appends the flags. `out` has CLI_FLAGS_ROOM entries; own ones have
 * codes below CLI_FLAGS_FIRST. */
int cli_add_flags(const struct option *own, struct option out[CLI_FLAGS_ROOM]);

/* Sets what the option with this code stands for; nothing when it is no flag. `argument` is getopt's optarg. */
int cli_take_flag(int code, const char *argument, struct config *config);

/* A line a flag, for --help. */
void cli_print_flags(FILE *out);

#endif
