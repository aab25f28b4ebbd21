#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "comm/comm.h"

int cli_set(struct config *config, const char *assignment) {
    char key[128];
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment || equals - assignment >= (long)sizeof key)
        return fail(STATUS_USAGE, "--set: '%s' is not KEY=VALUE, such as train.steps=100", assignment);
    memcpy(key, assignment, (size_t)(equals - assignment));
    key[equals - assignment] = '\0';
    return config_set(config, key, equals + 1, "--set");
}

int cli_whole(const char *option, const char *text, int64_t low, int64_t high, int64_t *value) {
    char *rest;
    errno = 0;
    long long number = strtoll(text, &rest, 10);
    if (!*text || *rest || errno) return fail(STATUS_USAGE, "%s: '%s' is not a whole number", option, text);
    if (number < low || number > high)
        return fail(STATUS_USAGE, "%s: %lld is out of range (%lld to %lld)", option, number, (long long)low,
                    (long long)high);
    *value = number;
    return 0;
}

int cli_real(const char *option, const char *text, double low, double high, double *value) {
    char *rest;
    double number = strtod(text, &rest);
    if (!*text || *rest) return fail(STATUS_USAGE, "%s: '%s' is not a number", option, text);
    if (!(number >= low && number <= high))
        return fail(STATUS_USAGE, "%s: %g is out of range (%g to %g)", option, number, low, high);
    *value = number;
    return 0;
}

int cli_bad_option(const char *command, char **argv) {
    const char *word = argv[optind > 0 ? optind - 1 : 0];
    return fail(STATUS_USAGE, "lockstep %s: unknown option or missing value at '%s'; see 'lockstep %s --help'", command,
                word, command);
}

void cli_print_bits(double bits, int64_t length) {
    printf("information %.3f bits in all: %.6f bits, or %.6f nats, a byte\n", bits, bits / (double)length,
           bits * 0.69314718055994530942 / (double)length);
}

int cli_end_ranks(struct comm *comm, int status) {
    int parted = status && status != STATUS_STOPPED ? 0 : comm_part(comm);
    if (parted) status = parted;
    if (!status || status == STATUS_STOPPED) {
        comm_close(comm);
        return status;
    }
    int agreed = comm->agreed;
    if (!comm->silent && (!agreed || comm->speaker == comm->rank) && *fail_message()) {
        if (comm->size > 1 && !comm->common) fail_within(status, "rank %d on %s: ", comm->rank, comm->host);
        fprintf(stderr, "lockstep: %s\n", fail_message());
    }
    fail(status, "%s", ""); /* said already */
    if (!agreed) comm_stop(comm, status);
    comm_close(comm);
    return status;
}
