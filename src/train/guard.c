/* The guard: memory that changes by itself does not stay unseen.
 *
 * What all ranks have a copy of is hashed by each of them every guard.every steps, before an update or a gathering overwrites it, and before
 * each checkpoint; the hashes must agree. What one rank alone has (with ZeRO, its shard of moments and parameters) it hashes after
 * each update and again before the next. On a difference the run stops; the last checkpoint stays the last. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/log.h"
#include "train/trainer.h"

int guard_open(struct trainer *t) {
    const struct plan *plan = t->run.plan;
    struct guard *g = &t->guard;
    if ((t->config->guard.every || t->config->guard.audit_every) && t->comm->size == 1)
        log_line(
            "guard: there is one rank, and nothing to compare it with: guard.every and guard.audit_every do nothing");
    if (plan->guard == NONE) return 0;
    g->all = calloc((size_t)t->comm->size, sizeof g->mine);
    g->tensor = calloc((size_t)t->comm->size, sizeof *g->tensor);
    return g->all && g->tensor ? 0 : fail(STATUS_FAILED, "out of memory");
}

void guard_close(struct trainer *t) {
    free(t->guard.all);
    free(t->guard.tensor);
    free(t->guard.values);
    t->guard = (struct guard){0};
}

static int read_hashes(struct trainer *t, enum segment segment, uint64_t hashes[GUARD_MOST]) {
    const struct plan *plan = t->run.plan;
    TRY(t->run.backend->run(t->run.exec, segment));
    TRY(t->run.backend->wait(t->run.exec));
    return t->run.backend->copy(t->run.exec, plan->guard, 0, hashes, plan->n_guarded * (int64_t)sizeof *hashes,
                                COPY_TO_HOST);
}

/* How many ranks have the hash that rank `r` has. */
static int agreeing(const struct guard *g, int ranks, int i, int r) {
    int count = 0;
    for (int k = 0; k < ranks; k++) count += g->all[k][i] == g->all[r][i];
    return count;
}

/* The first parameter in which this rank differs from `other`; collective. Works on the host: it runs once, at the end of a run. */
static int find_tensor(struct trainer *t, int buf, int other, const char **name) {
    const struct plan *plan = t->run.plan;
    struct guard *g = &t->guard;
    int64_t size = (int64_t)dtype_size(plan->bufs[buf].type), largest = 0;
    for (int p = 0; p < plan->n_params; p++)
        if (plan->params[p].elems > largest) largest = plan->params[p].elems;
    g->values = malloc((size_t)(largest * size));
    TRY(comm_agree(t->comm, g->values ? 0 : fail(STATUS_FAILED, "out of memory")));
    *name = NULL;
    for (int p = 0; p < plan->n_params; p++) {
        const struct param *param = &plan->params[p];
        int status =
            t->run.backend->copy(t->run.exec, buf, param->offset * size, g->values, param->elems * size, COPY_TO_HOST);
        TRY(comm_agree(t->comm, status));
        uint64_t hash = XXH3_64bits(g->values, (size_t)(param->elems * size));
        TRY(comm_gather_equal(t->comm, &hash, g->tensor, sizeof hash));
        for (int r = 0; r < t->comm->size && !*name; r++)
            if (g->tensor[r] != g->tensor[other]) *name = param->name;
        if (*name) return 0;
    }
    return 0;
}

/* Replica `i` differs. With more than half of the ranks on one side, the others are at fault. */
static int tell(struct trainer *t, int i) {
    const struct plan *plan = t->run.plan;
    const struct guard *g = &t->guard;
    int ranks = t->comm->size, right = 0, wrong = 0;
    for (int r = 1; r < ranks; r++)
        if (agreeing(g, ranks, i, r) > agreeing(g, ranks, i, right)) right = r;
    while (g->all[wrong][i] == g->all[right][i]) wrong++;
    const char *buffer = plan->bufs[plan->guarded[i].buf].name, *tensor;
    TRY(find_tensor(t, plan->guarded[i].buf, right, &tensor));
    const struct comm_peer *peers = t->comm->peers;
    char place[128] = "";
    t->comm->common = 1;
    if (tensor) snprintf(place, sizeof place, ", first in tensor %s", tensor);
    if (2 * agreeing(g, ranks, i, right) > ranks)
        fail(STATUS_FAILED,
             "guard: at step %lld %s of rank %d on %s differ from those of %d other ranks%s: memory or a device of "
             "that host "
             "changed them; the run ends, and %s holds its last good checkpoint: go on from it without that host",
             (long long)t->step, buffer, wrong, peers[wrong].host, agreeing(g, ranks, i, right), place, t->folder);
    else if (ranks > 2)
        fail(STATUS_FAILED,
             "guard: at step %lld %s differ between ranks, and of %d no more than %d have the same%s; rank %d on %s "
             "and rank %d on %s "
             "are two that differ: memory or devices of some hosts changed them; the run ends, and %s holds its last "
             "good checkpoint",
             (long long)t->step, buffer, ranks, agreeing(g, ranks, i, right), place, right, peers[right].host, wrong,
             peers[wrong].host, t->folder);
    else
        fail(STATUS_FAILED,
             "guard: at step %lld %s of rank %d on %s and of rank %d on %s differ%s: memory or a device of one of the "
             "two "
             "changed them; the run ends, and %s holds its last good checkpoint",
             (long long)t->step, buffer, right, peers[right].host, wrong, peers[wrong].host, place, t->folder);
    return comm_agree(t->comm, STATUS_FAILED);
}

int guard_compare(struct trainer *t) {
    const struct plan *plan = t->run.plan;
    struct guard *g = &t->guard;
    if (plan->guard == NONE) return 0;
    TRY(read_hashes(t, SEG_GUARD, g->mine));
    TRY(comm_gather_equal(t->comm, g->mine, g->all, sizeof g->mine));
    for (int i = 0; i < plan->n_guarded; i++)
        for (int r = 1; plan->guarded[i].replica && r < t->comm->size; r++)
            if (g->all[r][i] != g->all[0][i]) return tell(t, i);
    return 0;
}

static int any_alone(const struct plan *plan) {
    for (int i = 0; i < plan->n_guarded; i++)
        if (!plan->guarded[i].replica) return 1;
    return 0;
}

int guard_seal(struct trainer *t) {
    if (t->run.plan->guard == NONE || !any_alone(t->run.plan)) return 0;
    t->guard.sealed = 1;
    return read_hashes(t, SEG_SEAL, t->guard.seal);
}

static int check_seal(struct trainer *t) {
    const struct plan *plan = t->run.plan;
    struct guard *g = &t->guard;
    TRY(read_hashes(t, SEG_SEAL, g->mine));
    for (int i = 0; i < plan->n_guarded; i++)
        if (!plan->guarded[i].replica && g->mine[i] != g->seal[i])
            return fail(
                STATUS_FAILED,
                "guard: at step %lld this rank's shard of %s is not what the last update left: memory or a "
                "device of the host changed it; the run ends, and %s holds its last good checkpoint: go on from it "
                "without that host",
                (long long)t->step, plan->bufs[plan->guarded[i].buf].name, t->folder);
    return 0;
}

int guard_check_seal(struct trainer *t) {
    if (!t->guard.sealed) return 0;
    return comm_agree(t->comm, check_seal(t));
}
