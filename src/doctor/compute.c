/* Each device computes the gradients of one and the same micro-batch, again and again: they must keep their bits, and be those of the others. This is
 * what training runs, so it meets the same kernels; faults that come with heat need some seconds to show. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/clock.h"
#include "doctor/doctor.h"
#include "plan/tree.h"
#include "run/run.h"

struct bench {
    struct comm self; /* of this rank alone */
    struct run run;
    char *gradients; /* the host's copy */
    int64_t bytes;
    const char *fault; /* LOCKSTEP_FAULT, for tests: as lockstep train has it, with rounds for steps */
};

/* Libraries that choose algorithms by timing would choose others on each rank. `opened`: this rank has an exec. */
static int share_choices(struct comm *comm, const struct backend *backend, struct bench *b, int opened) {
    if (!backend->choices) return 0;
    const char *mine = opened ? backend->choices(b->run.exec) : "";
    int64_t length = (int64_t)strlen(mine);
    int missing;
    TRY(comm_broadcast(comm, &length, sizeof length));
    char *text = calloc((size_t)length + 1, 1);
    TRY(comm_agree(comm, text ? 0 : fail(STATUS_FAILED, "out of memory")));
    if (comm->rank == 0) memcpy(text, mine, (size_t)length);
    int status = comm_broadcast(comm, text, length);
    if (!status && length && opened) status = backend->use_choices(b->run.exec, text, &missing);
    free(text);
    return status;
}

static int open_bench(struct comm *comm, const struct backend *backend, const struct config *config, struct bench *b) {
    const struct plan_request plan = {.segments = 1u << SEG_MICRO_FIRST,
                                      .ranks = 1,
                                      .batch = (int)config->train.micro_batch,
                                      .time = (int)config->train.seq_len};
    const char *fault = getenv("LOCKSTEP_FAULT");
    b->fault = fault ? fault : "";
    TRY(comm_open_with(&b->self, &transport_self, NULL));
    b->self.local_size = comm->local_size; /* these share the host's cores and memory */
    TRY(run_open(&b->run, config, &plan, &b->self, backend));
    b->run.block.lr = 1e-4;
    b->run.block.grad_scale = b->run.block.weight = 1;
    for (int64_t at = 0, end = b->run.plan->flat_elems; at < end;) {
        int buf;
        int64_t from, part = plan_grads_at(b->run.plan, at, end, &buf, &from);
        b->bytes += (part - at) * (int64_t)dtype_size(b->run.plan->bufs[buf].type);
        at = part;
    }
    b->gradients = malloc((size_t)b->bytes);
    if (!b->gradients) return fail(STATUS_FAILED, "out of memory");
    TRY(run_init(&b->run));
    return run_write_random(&b->run);
}

static void close_bench(struct bench *b) {
    run_close(&b->run);
    comm_close(&b->self);
    free(b->gradients);
}

static int hash_gradients(struct bench *b, unsigned char bits[16]) {
    const struct plan *plan = b->run.plan;
    char *to = b->gradients;
    for (int64_t at = 0; at < plan->flat_elems;) {
        int buf;
        int64_t from, part = plan_grads_at(plan, at, plan->flat_elems, &buf, &from);
        int64_t size = (int64_t)dtype_size(plan->bufs[buf].type), bytes = (part - at) * size;
        TRY(b->run.backend->copy(b->run.exec, buf, from * size, to, bytes, COPY_TO_HOST));
        to += bytes;
        at = part;
    }
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(b->gradients, (size_t)b->bytes));
    memcpy(bits, hash.digest, 16);
    return 0;
}

static int flip(struct bench *b) {
    unsigned char byte;
    int buf = b->run.plan->flat_copy;
    int64_t at = buf_bytes(&b->run.plan->bufs[buf]) / 2 + 1;
    TRY(b->run.backend->copy(b->run.exec, buf, at, &byte, 1, COPY_TO_HOST));
    byte ^= 1;
    return b->run.backend->copy(b->run.exec, buf, at, &byte, 1, COPY_TO_DEVICE);
}

/* One slot of one micro-batch; nothing is updated, so each round has the same input. */
static int run_round(struct bench *b) {
    struct run *run = &b->run;
    enum segment after = plan_after_slot(run->plan, 0);
    run->block.slot = run->block.micro = 0;
    tree_fold(run->plan->slots, run->plan->slot_lo, run->plan->slot_lo, &run->block.held, &run->block.fold);
    TRY(run_write_block(run));
    TRY(run->backend->run(run->exec, plan_micro_segment(run->plan, 0, 0)));
    if (after != SEG_COUNT) TRY(run->backend->run(run->exec, after));
    return run->backend->wait(run->exec);
}

static int is_due(const struct bench *b, const char *kind, int rank, int64_t round) {
    char meant[64];
    snprintf(meant, sizeof meant, "%s:%d:%lld", kind, rank, (long long)round);
    return !strcmp(b->fault, meant);
}

static int64_t flops_of_round(const struct plan *plan) {
    enum segment after = plan_after_slot(plan, 0);
    return plan_flops(plan, plan_micro_segment(plan, 0, 0)) + (after == SEG_COUNT ? 0 : plan_flops(plan, after));
}

/* Rounds between two looks at the gradients: a device with its own memory computes for most of the time, not copies. */
enum { UNSEEN = 15 };

static int compute(struct bench *b, int rank, double seconds, struct computed *computed) {
    int apart = b->run.backend->host_new != NULL;
    double begin = clock_seconds(), spent = 0;
    int64_t flops = flops_of_round(b->run.plan), timed = 0;
    for (int64_t round = 0; round < 3 || clock_seconds() - begin < seconds; round++) {
        unsigned char bits[16];
        int flips = is_due(b, "flip-compute", rank, round);
        if (flips || is_due(b, "flip-params", rank, round)) TRY(flip(b));
        double at = clock_seconds();
        for (int i = 0; i <= (apart && round ? UNSEEN : 0); i++, timed += round > 0) TRY(run_round(b));
        if (round) spent += clock_seconds() - at; /* the first is not timed */
        TRY(hash_gradients(b, round ? bits : computed->bits));
        if (flips) TRY(flip(b));
        if (round && computed->wrong_round < 0 && memcmp(bits, computed->bits, 16) != 0) computed->wrong_round = round;
        computed->rounds = round + 1;
    }
    if (spent > 0) computed->flops_per_s = (double)(flops * timed) / spent;
    return 0;
}

/* A device that fails is a finding, not the end of the check: so the others go on. */
static int fails(int status, struct computed *computed) {
    if (!status || computed->failed) return status;
    computed->failed = 1;
    snprintf(computed->message, sizeof computed->message, "%.255s", fail_message());
    return status;
}

int compute_check(struct comm *comm, const struct backend *backend, const struct config *config, double seconds,
                  int usable, struct computed *computed) {
    struct bench b = {0};
    const struct comm_phase before = comm->phase;
    memset(computed, 0, sizeof *computed);
    computed->wrong_round = -1;
    if (seconds <= 0) return 0;
    comm->phase = (struct comm_phase){"the check of the devices", -1, 600 + seconds, "its own limit"};
    int opened = usable && !fails(open_bench(comm, backend, config, &b), computed);
    int status = share_choices(comm, backend, &b, opened);
    if (!status) status = comm_agree(comm, 0); /* all begin at once */
    if (!status && opened) fails(compute(&b, comm->rank, seconds, computed), computed);
    if (!status) status = comm_agree(comm, 0);
    if (usable) close_bench(&b);
    comm->phase = before;
    return status;
}

/* Whether this rank has bits to compare. */
static int has_bits(const struct computed *computed) { return computed->rounds > 0 && !computed->failed; }

/* The bits that most ranks with a device of this kind have: those of the rank that is returned; NONE where no more than half of them agree. */
static int usual(const struct computed *computed, const struct facts *facts, int ranks, int rank) {
    int best = NONE, most = 0, all = 0;
    for (int r = 0; r < ranks; r++) {
        int count = 0;
        if (strcmp(facts[r].device.name, facts[rank].device.name) != 0 || !has_bits(&computed[r])) continue;
        all++;
        if (best != NONE && !memcmp(computed[r].bits, computed[best].bits, 16)) continue;
        for (int other = 0; other < ranks; other++)
            count += has_bits(&computed[other]) && !strcmp(facts[other].device.name, facts[r].device.name) &&
                     !memcmp(computed[other].bits, computed[r].bits, 16);
        if (count > most) most = count, best = r;
    }
    return 2 * most > all ? best : NONE;
}

/* The first rank with a device of this kind, that has other bits. */
static int other_bits(const struct computed *computed, const struct facts *facts, int rank) {
    for (int r = 0; r < rank; r++)
        if (has_bits(&computed[r]) && !strcmp(facts[r].device.name, facts[rank].device.name) &&
            memcmp(computed[r].bits, computed[rank].bits, 16) != 0)
            return r;
    return NONE;
}

/* `most`: usual() of this rank. */
static void judge_bits(const struct computed *computed, const struct facts *facts, int r, int most,
                       struct verdict *verdict) {
    const struct computed *c = &computed[r];
    int other = most == NONE ? other_bits(computed, facts, r) : NONE;
    if (c->failed)
        verdict_add(verdict, facts[r].host, r, GRAVE, "its device fails: %s", c->message);
    else if (c->wrong_round >= 0)
        verdict_add(verdict, facts[r].host, r, GRAVE,
                    "its device computes wrong: round %lld of the same step gave other bits than round 0; take it out "
                    "of use",
                    (long long)c->wrong_round);
    else if (has_bits(c) && most != NONE && memcmp(c->bits, computed[most].bits, 16) != 0)
        verdict_add(verdict, facts[r].host, r, GRAVE,
                    "its device computes wrong: the same step has other bits than on rank %d on %s, which most devices "
                    "of this kind agree with; take it out of use",
                    most, facts[most].host);
    else if (has_bits(c) && other != NONE)
        verdict_add(verdict, "", -1, DIFFERS,
                    "rank %d on %s and rank %d on %s compute other bits from the same step: one of the two is wrong; "
                    "check again beside a third",
                    other, facts[other].host, r, facts[r].host);
}

static double middle(const struct computed *computed, int ranks) {
    double *all = ranks > 0 ? calloc((size_t)ranks, sizeof *all) : NULL, median = 0;
    int count = 0;
    for (int r = 0; all && r < ranks; r++)
        if (has_bits(&computed[r])) all[count++] = computed[r].flops_per_s;
    if (all) median = doctor_median(all, count);
    free(all);
    return median;
}

/* Ranks that compute with more threads than their host has cores take turns, and by chance not the same. */
static int shares_cores(const struct facts *facts, int ranks, int rank) {
    int64_t threads = 0;
    for (int r = 0; r < ranks; r++)
        if (!strcmp(facts[r].host, facts[rank].host)) threads += facts[r].device.threads;
    return threads > facts[rank].online;
}

void compute_judge(const struct computed *computed, const struct facts *facts, int ranks, struct verdict *verdict) {
    const double least = 0.7; /* of the median: ranks that share a host differ by less */
    double median = middle(computed, ranks);
    int most = NONE;
    for (int r = 0; r < ranks; r++) {
        const struct computed *c = &computed[r];
        if (r == 0 || strcmp(facts[r].device.name, facts[r - 1].device.name) != 0)
            most = usual(computed, facts, ranks, r);
        judge_bits(computed, facts, r, most, verdict);
        if (has_bits(c) && c->flops_per_s < least * median && !shares_cores(facts, ranks, r))
            verdict_add(verdict, facts[r].host, r, GRAVE,
                        "its device is slow: %.4g GFLOP/s where %.4g are usual; look for other programs there, heat, "
                        "and power limits",
                        c->flops_per_s / 1e9, median / 1e9);
    }
}

void compute_print(const struct computed *computed, const struct facts *facts, int ranks, FILE *out) {
    int low = NONE, high = NONE;
    for (int r = 0; r < ranks; r++) {
        if (!has_bits(&computed[r])) continue;
        if (low == NONE || computed[r].flops_per_s < computed[low].flops_per_s) low = r;
        if (high == NONE || computed[r].flops_per_s > computed[high].flops_per_s) high = r;
    }
    if (low == NONE) return;
    int most = usual(computed, facts, ranks, low);
    fprintf(out, "%-14s %.4g GFLOP/s a rank (median); least %.4g: rank %d on %s; most %.4g\n", "compute",
            middle(computed, ranks) / 1e9, computed[low].flops_per_s / 1e9, low, facts[low].host,
            computed[high].flops_per_s / 1e9);
    fprintf(out, "%-14s ", "gradients");
    for (int i = 0; i < 16 && most != NONE; i++) fprintf(out, "%02x", computed[most].bits[i]);
    fprintf(out, "%s, %lld rounds on rank %d\n", most == NONE ? "differ" : "", (long long)computed[low].rounds, low);
}

cJSON *compute_json(const struct computed *computed, int ranks) {
    cJSON *all = cJSON_CreateArray();
    for (int r = 0; all && r < ranks; r++) {
        if (!computed[r].rounds && !computed[r].failed) continue;
        cJSON *one = cJSON_CreateObject();
        char hex[33];
        for (int i = 0; i < 16; i++) snprintf(hex + (size_t)i * 2, 3, "%02x", computed[r].bits[i]);
        cJSON_AddNumberToObject(one, "rank", r);
        cJSON_AddNumberToObject(one, "flops_per_s", computed[r].flops_per_s);
        cJSON_AddNumberToObject(one, "rounds", (double)computed[r].rounds);
        cJSON_AddStringToObject(one, "gradients", hex);
        cJSON_AddBoolToObject(one, "steady", computed[r].wrong_round < 0);
        if (computed[r].failed) cJSON_AddStringToObject(one, "failure", computed[r].message);
        cJSON_AddItemToArray(all, one);
    }
    return all;
}
