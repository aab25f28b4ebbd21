/* The command line: one file a subcommand, all listed in the table of main.c. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <getopt.h>

#include "config/config.h"

struct comm;

/* Each takes the arguments after the subcommand's name, argv[0] being that name. */
int cli_train(int argc, char **argv);
int cli_eval(int argc, char **argv);
int cli_generate(int argc, char **argv);
int cli_tokenize(int argc, char **argv);
int cli_data(int argc, char **argv);
int cli_data_make(int argc, char **argv); /* cli_data() hands on to these */
int cli_data_show(int argc, char **argv);
int cli_data_order(int argc, char **argv);
int cli_ckpt(int argc, char **argv);
int cli_ckpt_prune(int argc, char **argv); /* cli_ckpt() hands on to it */
int cli_plan(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_bench_cases(int argc, char **argv); /* cli_bench() hands on to these */
int cli_bench_compare(int argc, char **argv);

/* "key=value" of --set. */
int cli_set(struct config *config, const char *assignment);

/* Option values; `option` names it in the message. */
int cli_whole(const char *option, const char *text, int64_t low, int64_t high, int64_t *value);
int cli_real(const char *option, const char *text, double low, double high, double *value);

/* "information 123.4 bits in all: …" of a text of the built-in corpus. */
void cli_print_bits(double bits, int64_t length);

/* Closes ranks that have come to their end with this status, which is returned. After a failure the one rank that speaks for it prints it, and
 * all end together. */
int cli_end_ranks(struct comm *comm, int status);

/* What getopt_long did not accept, as a usage error that points to --help. */
int cli_bad_option(const char *command, char **argv);

#endif
