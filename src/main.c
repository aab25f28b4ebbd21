/* lockstep: the subcommands. Only this file ends the process. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "build_info.h"
#include "cli/cli.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"train", cli_train, "train a model, or go on with a run; under mpirun or srun, on many ranks"},
    {"eval", cli_eval, "the loss of a text under a checkpoint"},
    {"generate", cli_generate, "continue a prompt"},
    {"tokenize", cli_tokenize, "train a tokenizer; encode and decode"},
    {"data", cli_data, "make token files of texts and JSONL; look into token files and texts"},
    {"ckpt", cli_ckpt, "list, show, verify and hash checkpoints"},
    {"plan", cli_plan, "print what a training step does and takes, before it runs"},
    {"doctor", cli_doctor, "check ranks, hosts, devices and network before a run"},
    {"bench", cli_bench, "where the time of a step goes; every optimization against its baseline"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static int help(FILE *out) {
    fprintf(out, "Lockstep trains language models; the weights are the same bits on any number of ranks.\n\n");
    for (int i = 0; i < COMMANDS; i++) fprintf(out, "  lockstep %-9s %s\n", commands[i].name, commands[i].help);
    fprintf(out, "\n'lockstep COMMAND --help' tells the options, with examples. 'lockstep --version' tells what it is "
                 "built with.\n"
                 "Exit status: 0 done, 1 the run failed, 2 usage or configuration, 3 bad data or checkpoint, 75 "
                 "stopped and saved.\n");
    return 0;
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        help(stderr);
        return fail(STATUS_USAGE, "a command is missing");
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) return help(stdout);
    if (!strcmp(argv[1], "--version")) return puts(BUILD_INFO) < 0;
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 1, argv + 1);
    return fail(STATUS_USAGE, "unknown command '%s'; 'lockstep --help' lists them", argv[1]);
}

int main(int argc, char **argv) {
    int status = dispatch(argc, argv);
    if (!status && (fflush(stdout) || ferror(stdout)))
        status = fail(STATUS_FAILED, "standard output cannot be written to; is the disk full?");
    if (status && status != STATUS_STOPPED && fail_message()[0]) fprintf(stderr, "lockstep: %s\n", fail_message());
    return status;
}
