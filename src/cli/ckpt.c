#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/ckpt.h"
#include "cli/cli.h"
#include "run/run.h"

static const char usage[] =
    "lockstep ckpt ls RUNDIR       the checkpoints of a run, one line each\n"
    "lockstep ckpt show CKPT       counters, files, arrays and config of one\n"
    "lockstep ckpt verify CKPT     check every file against the manifest\n"
    "lockstep ckpt prune RUNDIR    delete those that are not to be kept: see lockstep ckpt prune --help\n"
    "lockstep ckpt hash CKPT       one hash of parameters, optimizer state and counters, whatever the sharding\n"
    "\n"
    "CKPT is a checkpoint folder, or a run folder, whose newest whole checkpoint is meant.\n"
    "\n"
    "Example: lockstep ckpt hash runs/quickstart\n";

static int ls(const char *name) {
    char folder[2048];
    snprintf(folder, sizeof folder, "%s/ckpt", name);
    FILE *probe = fopen(folder, "r"); /* a run folder, or the folder of checkpoints itself */
    if (probe) fclose(probe);
    return ckpt_ls(probe ? folder : name, stdout);
}

static int show(const char *name) {
    char path[2048];
    TRY(run_find_checkpoint(name, path, sizeof path));
    return ckpt_show(path, stdout);
}

static int verify(const char *name) {
    char path[2048];
    TRY(run_find_checkpoint(name, path, sizeof path));
    TRY(ckpt_verify(path));
    printf("%s: whole\n", path);
    return 0;
}

static int hash(const char *name) {
    char path[2048], hex[33];
    TRY(run_find_checkpoint(name, path, sizeof path));
    TRY(ckpt_hash(path, hex));
    printf("%s\n", hex);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const char *name);
} verbs[] = {{"ls", ls}, {"show", show}, {"verify", verify}, {"hash", hash}};

int cli_ckpt(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "prune")) return cli_ckpt_prune(argc - 1, argv + 1);
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    for (size_t i = 0; argc == 3 && i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(argv[1], verbs[i].name)) return verbs[i].run(argv[2]);
    return fail(
        STATUS_USAGE,
        "lockstep ckpt: say 'ls', 'show', 'verify', 'hash' or 'prune' and one folder; see 'lockstep ckpt --help'");
}
