/* lockstep ckpt prune: which checkpoints of a run may go. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "ckpt/ckpt.h"
#include "cli/cli.h"
#include "train/train.h"

static const char usage[] =
    "lockstep ckpt prune RUNDIR [options]   deletes checkpoints that are not to be kept, and tells their names\n"
    "\n"
    "  --keep N         keep the newest N (default: ckpt.keep of the run)\n"
    "  --keep-every N   and those of steps that N divides (default: ckpt.keep_every of the run)\n"
    "  --keep-best N    and the N with the lowest validation losses (default: ckpt.keep_best of the run)\n"
    "  --dry-run        only tell\n"
    "\n"
    "The newest one that verifies always stays; where none does, nothing is deleted.\n"
    "\n"
    "Examples:\n"
    "  lockstep ckpt prune runs/quickstart --keep 1 --dry-run\n"
    "  lockstep ckpt prune runs/long --keep 2 --keep-every 10000 --keep-best 3\n";

enum { OPT_KEEP = 256, OPT_EVERY, OPT_BEST, OPT_DRY, OPT_HELP };

static const struct option options[] = {
    {"keep", required_argument, NULL, OPT_KEEP},
    {"keep-every", required_argument, NULL, OPT_EVERY},
    {"keep-best", required_argument, NULL, OPT_BEST},
    {"dry-run", no_argument, NULL, OPT_DRY},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct request {
    const char *run;
    int64_t keep, every, best; /* -1: as the run's config says */
    int dry, help;
};

static int parse(int argc, char **argv, struct request *r) {
    *r = (struct request){NULL, -1, -1, -1, 0, 0};
    opterr = 0;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("ckpt prune", argv);
        if (c == OPT_KEEP) TRY(cli_whole("--keep", optarg, 1, INT32_MAX, &r->keep));
        if (c == OPT_EVERY) TRY(cli_whole("--keep-every", optarg, 0, INT64_MAX / 2, &r->every));
        if (c == OPT_BEST) TRY(cli_whole("--keep-best", optarg, 0, INT32_MAX, &r->best));
        r->dry |= c == OPT_DRY;
        r->help |= c == OPT_HELP;
    }
    if (r->help) return 0;
    if (optind + 1 != argc)
        return fail(STATUS_USAGE, "lockstep ckpt prune: name one run; see 'lockstep ckpt prune --help'");
    r->run = argv[optind];
    return 0;
}

static int prune(const struct request *r) {
    char path[2048];
    struct config config;
    struct ckpt_losses losses = {0};
    int lock;
    snprintf(path, sizeof path, "%s/config.yaml", r->run);
    if (access(path, R_OK))
        return fail(STATUS_USAGE, "%s: there is no %s; name the folder of a run, such as runs/NAME", r->run, path);
    config_defaults(&config);
    TRY(config_load(&config, path));
    struct ckpt_keep keep = {.newest = (int)(r->keep < 0 ? config.ckpt.keep : r->keep),
                             .every = r->every < 0 ? config.ckpt.keep_every : r->every,
                             .best = (int)(r->best < 0 ? config.ckpt.keep_best : r->best)};
    if (!keep.newest)
        return fail(STATUS_USAGE, "%s: ckpt.keep of this run is 0, which keeps all; give --keep N", r->run);
    TRY(train_lock(r->run, ": it prunes by itself (ckpt.keep)", &lock)); /* the lock goes with the process */
    snprintf(path, sizeof path, "%s/metrics.jsonl", r->run);
    int status = keep.best ? metrics_read_losses(path, &losses) : 0;
    keep.losses = losses.list;
    keep.count = losses.count;
    snprintf(path, sizeof path, "%s/ckpt", r->run);
    if (!status) status = ckpt_prune(path, &keep, r->dry, stdout);
    free(losses.list);
    return status;
}

int cli_ckpt_prune(int argc, char **argv) {
    struct request request;
    TRY(parse(argc, argv, &request));
    if (request.help) return fputs(usage, stdout) < 0;
    return prune(&request);
}
