/* That all ranks train the same thing. Each reads its own configuration and data, and a file that is old on one host would train other
 * weights there without a word: so each compares what it has with rank 0's, and tells the first line that differs. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "config/schema.h"
#include "train/trainer.h"

/* Rank 0's text on every rank. Collective. */
static int share(struct comm *comm, const char *mine, char **theirs) {
    int64_t length = (int64_t)strlen(mine);
    TRY(comm_broadcast(comm, &length, sizeof length));
    *theirs = calloc((size_t)length + 1, 1);
    TRY(comm_agree(comm, *theirs ? 0 : fail(STATUS_FAILED, "out of memory")));
    if (comm->rank == 0) memcpy(*theirs, mine, (size_t)length);
    return comm_broadcast(comm, *theirs, length);
}

static int compare(const struct comm *comm, const char *what, const char *mine, const char *theirs) {
    while (*mine || *theirs) {
        size_t here = strcspn(mine, "\n"), there = strcspn(theirs, "\n");
        if (here != there || memcmp(mine, theirs, here) != 0)
            return fail(STATUS_USAGE,
                        "%s is not the same as on rank 0 on %s: '%.*s' here, '%.*s' there; give all ranks the same, "
                        "for instance files that all hosts share",
                        what, comm->peers[0].host, (int)here, mine, (int)there, theirs);
        mine += here + (mine[here] == '\n');
        theirs += there + (theirs[there] == '\n');
    }
    return 0;
}

static int same(struct comm *comm, const char *what, const char *mine) {
    char *theirs = NULL;
    int status = comm->size > 1 ? share(comm, mine, &theirs) : 0;
    if (!status && theirs) status = comm_agree(comm, compare(comm, what, mine, theirs));
    free(theirs);
    return status;
}

int trainer_same_config(struct trainer *t) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (out) {
        const struct train_options *o = t->options;
        fprintf(out, "lockstep %s\nresume: %s\n", o->build ? o->build : "", o->resume ? o->resume : "");
        fprintf(out, "trace: %s, steps %lld:%lld\n", o->trace ? o->trace : "no", (long long)o->trace_first,
                (long long)o->trace_end);
        for (int i = 0; i < config_schema.count; i++) {
            char value[SCHEMA_VALUE];
            schema_write(&config_schema.keys[i], t->config, value);
            fprintf(out, "%s: %s\n", config_schema.keys[i].name, value);
        }
    }
    int failed = !out || fclose(out);
    int status = comm_agree(t->comm, failed ? fail(STATUS_FAILED, "out of memory") : 0);
    if (!status) status = same(t->comm, "the configuration", text);
    free(text);
    return status;
}

int trainer_same_data(struct trainer *t) {
    char hash[33] = "", *text = NULL;
    size_t length;
    int status = t->data.val.count ? source_fingerprint(&t->data.val, hash) : 0;
    FILE *out = status ? NULL : open_memstream(&text, &length);
    if (out) fprintf(out, "%svalidation %lld %s\n", t->data_text, (long long)t->data.val.count, hash);
    if (!status && (!out || fclose(out))) status = fail(STATUS_FAILED, "out of memory");
    status = comm_agree(t->comm, status);
    if (!status) status = same(t->comm, "the data", text);
    free(text);
    return status;
}
