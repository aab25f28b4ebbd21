#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "build_info.h"
#include "cli/cli.h"
#include "cli/flags.h"
#include "train/train.h"

static const char usage[] =
    "lockstep train CONFIG.yaml [options]      start a run in runs/NAME\n"
    "lockstep train --resume RUNDIR [options]  go on from its newest whole checkpoint, on any number of ranks\n"
    "\n"
    "  --set KEY=VALUE                    override a key of the config; may be given again\n"
    "  --run NAME                         the run's name (key name)\n"
    "  --trace FILE                       write a timeline of some steps, for ui.perfetto.dev: every op, "
    "communication\n"
    "                                     and waiting of every rank (docs/trace.md)\n"
    "  --trace-steps FIRST:END            which steps, END not included (default: five, after the first two: 2:7)\n"
    "  --help-config                      print every key with its type, default and range\n"
    "\n"
    "Short names of settings:\n";

static const char more_usage[] =
    "\n"
    "Examples:\n"
    "  lockstep train configs/tiny.yaml\n"
    "  mpirun -np 4 lockstep train configs/shakespeare.yaml --set train.steps=500 --run trial\n"
    "  mpirun -np 2 lockstep train --resume runs/trial\n"
    "  lockstep train configs/tiny.yaml --run modern --use-rope --use-rmsnorm --use-swiglu --n-kv-heads 2\n"
    "  lockstep train configs/tiny.yaml --run timed --trace timed.json --trace-steps 10:12\n"
    "  lockstep train configs/tiny.yaml --run tuned --set train.stage=2 --set train.init_from=runs/tiny --set "
    "train.lr=3e-4\n"
    "\n"
    "Ctrl-C, SIGTERM and SIGUSR1 save the state and end with status 75; --resume goes on. Under mpirun, send SIGUSR1 "
    "to mpirun,\n"
    "which passes it on and ends with 75. On SIGTERM and Ctrl-C mpirun ends with 1, and kills ranks that save for "
    "longer than\n"
    "two seconds: launch/local, launch/hosts and launch/keep-running send SIGUSR1 then.\n";

enum { OPT_SET = 256, OPT_RUN, OPT_RESUME, OPT_HELP_CONFIG, OPT_HELP, OPT_TRACE, OPT_TRACE_STEPS };

static const struct option own_options[] = {
    {"set", required_argument, NULL, OPT_SET},
    {"run", required_argument, NULL, OPT_RUN},
    {"resume", required_argument, NULL, OPT_RESUME},
    {"help-config", no_argument, NULL, OPT_HELP_CONFIG},
    {"help", no_argument, NULL, OPT_HELP},
    {"trace", required_argument, NULL, OPT_TRACE},
    {"trace-steps", required_argument, NULL, OPT_TRACE_STEPS},
    {NULL, 0, NULL, 0},
};

struct request {
    const char *config, *resume;
    const char *trace;
    long long trace_first, trace_end; /* end 0: not asked for */
    int done;                         /* help was printed */
    struct option options[CLI_FLAGS_ROOM];
};

static int read_steps(const char *text, struct request *request) {
    int read = 0;
    if (sscanf(text, "%lld:%lld%n", &request->trace_first, &request->trace_end, &read) == 2 && !text[read] &&
        request->trace_first >= 0 && request->trace_end > request->trace_first)
        return 0;
    return fail(
        STATUS_USAGE,
        "--trace-steps %s: write FIRST:END, such as 2:7 for steps 2 to 6; steps count from 0 as in metrics.jsonl",
        text);
}

/* First look: what to read before any --set applies. */
static int find_files(int argc, char **argv, int print, struct request *request) {
    opterr = 0;
    optind = 1;
    TRY(cli_add_flags(own_options, request->options));
    for (int c; (c = getopt_long(argc, argv, "", request->options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("train", argv);
        if (c == OPT_RESUME) request->resume = optarg;
        if (c == OPT_TRACE) request->trace = optarg;
        if (c == OPT_TRACE_STEPS) TRY(read_steps(optarg, request));
        if (c == OPT_HELP || c == OPT_HELP_CONFIG) {
            if (print && c == OPT_HELP) {
                fputs(usage, stdout);
                cli_print_flags(stdout);
                fputs(more_usage, stdout);
            }
            if (print && c == OPT_HELP_CONFIG) config_help(stdout);
            request->done = 1;
            return 0;
        }
    }
    if (optind < argc) request->config = argv[optind++];
    if (optind < argc) return fail(STATUS_USAGE, "lockstep train: '%s' is one argument too many", argv[optind]);
    if (request->trace_end && !request->trace)
        return fail(STATUS_USAGE, "--trace-steps: of what? Give --trace FILE, too");
    if (!request->config == !request->resume)
        return fail(STATUS_USAGE,
                    "lockstep train: give a CONFIG.yaml, or --resume RUNDIR; see 'lockstep train --help'");
    return 0;
}

/* From here on its own time limit counts. */
static int read_config(int argc, char **argv, const struct request *request, struct config *config,
                       struct comm_phase *phase) {
    char path[1100];
    snprintf(path, sizeof path, "%s", request->config ? request->config : "");
    if (request->resume) {
        snprintf(path, sizeof path, "%.1000s/config.yaml", request->resume);
        if (access(path, R_OK))
            return fail(STATUS_USAGE, "--resume %s: there is no %s; name the folder of a run, such as runs/NAME",
                        request->resume, path);
    }
    config_defaults(config);
    TRY(config_load(config, path));
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", request->options, NULL)) != -1;) {
        if (c == OPT_SET) TRY(cli_set(config, optarg));
        if (c == OPT_RUN) TRY(config_set(config, "name", optarg, "--run"));
        TRY(cli_take_flag(c, optarg, config));
    }
    TRY(config_check(config));
    *phase = (struct comm_phase){"the reading of the configuration", -1, config->dist.timeout_s, "dist.timeout_s"};
    return 0;
}

int cli_train(int argc, char **argv) {
    struct request request = {0};
    struct config config;
    struct comm comm;
    struct train_options train = {0};
    /* Ranks are connected before anything can fail: then they end together, and one tells why. */
    TRY(comm_open(&comm));
    int status = comm_agree(&comm, find_files(argc, argv, comm.rank == 0, &request));
    if (!status && !request.done) status = comm_agree(&comm, read_config(argc, argv, &request, &config, &comm.phase));
    if (!status && !request.done) status = log_open(NULL, comm.rank);
    train.build = BUILD_ID;
    train.resume = request.resume;
    train.trace = request.trace;
    train.trace_first = request.trace_first;
    train.trace_end = request.trace_end;
    if (!status && !request.done) status = train_run(&config, &comm, &train);
    return cli_end_ranks(&comm, status);
}
