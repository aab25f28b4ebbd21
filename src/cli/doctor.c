#include <stdio.h>

#include "base/check.h"
#include "base/folders.h"
#include "base/log.h"
#include "build_info.h"
#include "cli/cli.h"
#include "cli/flags.h"
#include "doctor/doctor.h"

static const char usage[] =
    "lockstep doctor [CONFIG.yaml] [options]\n"
    "\n"
    "Checks ranks, hosts and network before a run, under the same mpirun or srun: what differs between ranks "
    "(program,\n"
    "libraries, devices, settings, clocks), whether all hosts see the same folder of runs, how fast each pair of "
    "hosts\n"
    "talks, and whether each device computes the same bits as the others, and as fast. Status 1 if something is "
    "wrong;\n"
    "each finding names the host.\n"
    "\n"
    "  --seconds S       of computing on each device (default 10; 0: none)\n"
    "  --quick           one second of computing, a few messages\n"
    "  --json            the report as JSON, for scripts; \"bad_hosts\" lists whom a finding names\n"
    "  --runs-dir DIR    the folder of runs (default: runs if it is there, else the current folder)\n"
    "  --set KEY=VALUE   override a key of the config\n"
    "\n"
    "With CONFIG.yaml the step that devices compute is one micro-batch of its model; without, of a model that fits a "
    "GPU\n"
    "or a core.\n"
    "\n"
    "Examples: mpirun -np 8 lockstep doctor\n"
    "          srun --mpi=pmix lockstep doctor --quick --json > doctor.json\n";

enum { OPT_SET = 256, OPT_SECONDS, OPT_QUICK, OPT_JSON, OPT_RUNS_DIR, OPT_HELP };

static const struct option own_options[] = {
    {"set", required_argument, NULL, OPT_SET},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"quick", no_argument, NULL, OPT_QUICK},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {"runs-dir", required_argument, NULL, OPT_RUNS_DIR},
    {NULL, 0, NULL, 0},
};

static int read_options(int argc, char **argv, struct config *config, struct doctor_request *request, int *help) {
    struct option options[CLI_FLAGS_ROOM];
    double seconds = -1;
    TRY(cli_add_flags(own_options, options));
    config_defaults(config);
    opterr = 0;
    for (int pass = 0; pass < 2; pass++) { /* the file first, then what overrides it */
        optind = 1;
        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
            if (c == '?') return cli_bad_option("doctor", argv);
            if (c == OPT_HELP) *help = 1;
            if (c == OPT_SECONDS) TRY(cli_real("--seconds", optarg, 0, 86400, &seconds));
            if (c == OPT_QUICK) request->quick = 1;
            if (c == OPT_JSON) request->json = 1;
            if (c == OPT_RUNS_DIR) request->folder = optarg;
            if (c == OPT_SET && pass) TRY(cli_set(config, optarg));
            if (pass) TRY(cli_take_flag(c, optarg, config));
        }
        if (*help) return 0;
        if (optind < argc - 1)
            return fail(STATUS_USAGE, "lockstep doctor: '%s' is one argument too many", argv[optind + 1]);
        request->own_model = optind == argc;
        if (!pass && optind < argc) TRY(config_load(config, argv[optind]));
    }
    request->seconds = seconds >= 0 ? seconds : request->quick ? 1 : 10;
    if (!request->folder) request->folder = path_is_folder("runs") ? "runs" : ".";
    return config_check(config);
}

/* What is wrong is in the report; one line says that there is something. */
static int conclude(struct comm *comm, const struct verdict *verdict) {
    if (!verdict->count) return 0;
    comm->agreed = comm->common = 1; /* all ranks know */
    comm->speaker = 0;
    const struct problem *first = &verdict->problem[0];
    char whose[96] = "";
    if (first->rank >= 0)
        snprintf(whose, sizeof whose, "rank %d on %s: ", first->rank, first->host);
    else if (*first->host)
        snprintf(whose, sizeof whose, "%s: ", first->host);
    return fail(STATUS_FAILED, "%d problem%s found; the first: %s%s", verdict->count, verdict->count == 1 ? "" : "s",
                whose, first->text);
}

int cli_doctor(int argc, char **argv) {
    struct config config;
    struct doctor_request request = {.config = &config, .program = BUILD_ID};
    struct comm comm;
    static struct verdict verdict;
    int help = 0;
    TRY(comm_open(&comm));
    int status = comm_agree(&comm, read_options(argc, argv, &config, &request, &help));
    if (!status && help && comm.rank == 0) fputs(usage, stdout);
    if (!status && !help) {
        log_open(NULL, comm.rank);
        comm.phase = (struct comm_phase){"the check", -1, config.dist.timeout_s, "dist.timeout_s"};
        status = doctor_run(&comm, &request, stdout, &verdict);
        if (!status) status = conclude(&comm, &verdict);
    }
    return cli_end_ranks(&comm, status);
}
