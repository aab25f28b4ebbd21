/* The audit: every guard.audit_every steps another rank computes one slot again, before its own. Its gradients and its loss must be the
 * same bits; if they are not, one of the two hosts computes wrongly. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "plan/tree.h"
#include "train/trainer.h"

int audit_open(struct trainer *t) {
    const struct plan *plan = t->run.plan;
    struct audit *a = &t->audit;
    const struct sampler_options order = run_sampler_options(t->config);
    if (plan->audit == NONE) return 0;
    a->bytes = plan->n_buckets * (int64_t)sizeof(uint64_t) + (int64_t)sizeof(double);
    a->mine = calloc(1, (size_t)a->bytes);
    a->all = calloc((size_t)t->comm->size, (size_t)a->bytes);
    if (!a->mine || !a->all) return fail(STATUS_FAILED, "out of memory");
    return sampler_open(&a->sampler, t->data.train, t->data.parts, &order); /* the other is the reading thread's */
}

void audit_close(struct trainer *t) {
    free(t->audit.mine);
    free(t->audit.all);
    sampler_close(&t->audit.sampler);
}

static int owner_of(const struct plan *plan, int slot) {
    int lo, hi, r = 0;
    if (plan->zero == 2) return slot % plan->request.ranks;
    for (;; r++) {
        tree_range(plan->slots, plan->request.ranks, r, &lo, &hi);
        if (slot < hi) return r;
    }
}

/* Slots come in turn, and each time a slot comes again it meets another rank. */
int audit_begin(struct trainer *t) {
    const struct plan *plan = t->run.plan;
    int64_t every = t->config->guard.audit_every;
    struct audit *a = &t->audit;
    a->slot = -1;
    if (plan->audit == NONE || t->step % every) return 0;
    int64_t turn = t->step / every;
    a->slot = (int)(turn % plan->slots);
    a->owner = owner_of(plan, a->slot);
    a->auditor = (a->owner + 1 + (int)(turn / plan->slots % (t->comm->size - 1))) % t->comm->size;
    return a->auditor == t->comm->rank ? trainer_compute_again(t, a->slot) : 0;
}

int audit_keep(struct trainer *t) {
    const struct plan *plan = t->run.plan;
    struct audit *a = &t->audit;
    int64_t hashes = a->bytes - (int64_t)sizeof(double);
    TRY(t->run.backend->wait(t->run.exec));
    TRY(t->run.backend->copy(t->run.exec, plan->audit, 0, a->mine, hashes, COPY_TO_HOST));
    return t->run.backend->copy(t->run.exec, plan->slot_losses, a->slot * (int64_t)sizeof(double), a->mine + hashes,
                                sizeof(double), COPY_TO_HOST);
}

/* What differs first, for the message. */
static void what_differs(const struct trainer *t, const char *x, const char *y, char text[160]) {
    const struct plan *plan = t->run.plan;
    for (int b = 0; b < plan->n_buckets; b++)
        if (memcmp(x + 8 * b, y + 8 * b, 8) != 0) {
            snprintf(text, 160, "gradients of elements [%lld, %lld)", (long long)plan->buckets[b].begin,
                     (long long)plan->buckets[b].end);
            return;
        }
    snprintf(text, 160, "the losses");
}

int audit_compare(struct trainer *t) {
    struct audit *a = &t->audit;
    char what[160];
    if (a->slot < 0) return 0;
    TRY(comm_gather_equal(t->comm, a->mine, a->all, a->bytes));
    const char *first = a->all + a->owner * a->bytes, *again = a->all + a->auditor * a->bytes;
    if (!memcmp(first, again, (size_t)a->bytes)) return 0;
    TRY(guard_compare(t)); /* is it what they computed with? */
    what_differs(t, first, again, what);
    t->comm->common = 1;
    fail(STATUS_FAILED,
         "audit: slot %d of step %lld, computed by rank %d on %s and again by rank %d on %s: %s differ; one of these "
         "hosts "
         "computes wrongly; the run ends, and %s holds its last checkpoint: go on from it on one of the two at a time "
         "to see "
         "which",
         a->slot, (long long)t->step, a->owner, t->comm->peers[a->owner].host, a->auditor,
         t->comm->peers[a->auditor].host, what, t->folder);
    return comm_agree(t->comm, STATUS_FAILED);
}
