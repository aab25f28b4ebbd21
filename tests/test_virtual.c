/* Any number of ranks makes the same sums, one expression for each element: all plans, messages and orders of ops for up to 64
 * slots on as many ranks as there may be, each a thread of this process (comm/virtual.h). The grain is small here (CHUNK), so that a
 * small space has fewer, as many and more chunks than ranks.
 *
 * LOCKSTEP_VIRTUAL names the most slots; what is not named there are the ranks and stages of ZeRO: all are gone through. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "comm/virtual.h"
#include "virtual/symbols.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#ifndef VIRTUAL_SLOTS
#define VIRTUAL_SLOTS 64
#endif
enum { MOST_SLOTS = VIRTUAL_SLOTS, TIMEOUT_S = 60, MOST_SETUPS = 4096 };

/* Setups that the same ranks go through, one after the other. */
struct team {
    const struct setup *setups;
    int count, ranks;
    struct virtual_world *world;
    const struct expected *known; /* by slots; NULL: made for each setup */
    struct expected expected;
    pthread_barrier_t barrier;
    struct failure failure;
};

struct member {
    struct team *team;
    int rank;
    pthread_t thread;
};

static int run_steps(struct worker *w) {
    TRY(symbols_open(w));
    for (w->step = 0; w->step < w->setup->steps; w->step++) TRY(symbols_step(w));
    w->step--;
    TRY(comm_wait_all(w->comm));
    return symbols_check(w);
}

/* What they all compare with. */
static int find_expected(struct team *team, const struct setup *setup, int64_t elems) {
    if (!team->known) return expected_new(setup, elems, &team->expected);
    return expected_part(&team->known[setup->slots], elems, &team->expected);
}

static void run_setup(struct team *team, struct worker *w) {
    int status = symbols_plan(w->setup, w->comm->rank, &w->plan);
    if (!status && w->comm->rank == 0) status = find_expected(team, w->setup, w->plan->flat_elems);
    failure_keep(&team->failure, status);
    pthread_barrier_wait(&team->barrier);
    if (!team->failure.status) failure_keep(&team->failure, run_steps(w));
    pthread_barrier_wait(&team->barrier);
    symbols_close(w);
    if (w->comm->rank == 0 && !team->known) expected_free(&team->expected);
}

static void *work(void *argument) {
    struct member *member = argument;
    struct team *team = member->team;
    struct comm comm;
    failure_keep(&team->failure, virtual_join(team->world, member->rank, &comm));
    comm.timeout_s = TIMEOUT_S;
    for (int i = 0; i < team->count; i++) {
        struct worker w = {.setup = &team->setups[i], .expected = &team->expected, .comm = &comm};
        pthread_barrier_wait(&team->barrier);
        if (team->failure.status) break;
        run_setup(team, &w);
    }
    comm_close(&comm);
    return NULL;
}

static void run_team(int ranks, const struct setup *setups, int count, const struct expected *known) {
    static struct member member[MOST_SLOTS];
    static struct team team;
    team = (struct team){.setups = setups, .count = count, .ranks = ranks, .known = known};
    assert_int_equal(virtual_new(ranks, &team.world), 0);
    pthread_barrier_init(&team.barrier, NULL, (unsigned)ranks);
    for (int r = 0; r < ranks; r++) {
        member[r] = (struct member){.team = &team, .rank = r};
        if (pthread_create(&member[r].thread, NULL, work, &member[r])) fail_msg("no thread for rank %d", r);
    }
    for (int r = 0; r < ranks; r++) pthread_join(member[r].thread, NULL);
    pthread_barrier_destroy(&team.barrier);
    virtual_free(team.world);
    if (team.failure.status) fail_msg("%s", team.failure.message);
}

/* Sizes of buckets, in chunks: one owner a bucket, fewer than ranks, as many, and more. */
static int bucket_of(int ranks, int which) {
    const int sizes[] = {1, (ranks + 1) / 2, ranks, ranks + ranks / 3 + 1};
    return sizes[which % 4];
}

/* So that there are at least three buckets, the last of them not whole. */
static int hidden_for(int bucket) {
    enum { REST = 2 * 29 * 8, OF_HIDDEN = 3 * (8 + 1 + 8) };
    int elems = (bucket * 5 / 2 + 3) * CHUNK;
    return (elems - REST) / OF_HIDDEN + 1;
}

static struct setup setups[MOST_SETUPS];

static int add_setup(int count, struct setup setup) {
    setup.hidden = hidden_for(setup.bucket);
    if (count == MOST_SETUPS) fail_msg("more than %d setups", MOST_SETUPS);
    setups[count] = setup;
    return count + 1;
}

/* For all numbers of slots, of as many elements as the largest space has. */
static void make_known(struct expected *known) {
    int bucket = bucket_of(MOST_SLOTS, 3);
    int64_t elems = (int64_t)hidden_for(bucket) * 64;
    for (int slots = 1; slots <= MOST_SLOTS; slots++) {
        const struct setup setup = {.slots = slots, .micro_batches = 1, .steps = 1};
        if (expected_new(&setup, elems, &known[slots])) fail_msg("%s", fail_message());
    }
}

static void every_rank_count_makes_the_same_sums(void **state) {
    (void)state;
    static struct expected known[MOST_SLOTS + 1];
    long trainings = 0;
    make_known(known);
    for (int ranks = 1; ranks <= MOST_SLOTS; ranks++) {
        int count = 0;
        for (int slots = ranks; slots <= MOST_SLOTS; slots++)
            for (int zero = 0; zero < 3; zero++)
                count = add_setup(count, (struct setup){.ranks = ranks,
                                                        .slots = slots,
                                                        .zero = zero,
                                                        .overlap = 1,
                                                        .micro_batches = 1,
                                                        .steps = 1,
                                                        .bucket = bucket_of(ranks, slots + zero + ranks / 4)});
        run_team(ranks, setups, count, known);
        trainings += count;
    }
    for (int slots = 1; slots <= MOST_SLOTS; slots++) expected_free(&known[slots]);
    printf("%ld trainings\n", trainings);
}

/* All of them where there are few slots, and a second step, which begins while parameters are on their way. */
static void switches_do_not_change_sums(void **state) {
    (void)state;
    for (int ranks = 1; ranks <= 9; ranks++) {
        int count = 0;
        for (int slots = ranks; slots <= 17 && slots <= MOST_SLOTS; slots += 1 + slots / 6)
            for (int i = 0; i < 3 * 2 * 2 * 2 * 4; i++)
                count = add_setup(count, (struct setup){.ranks = ranks,
                                                        .slots = slots,
                                                        .zero = i % 3,
                                                        .overlap = i / 3 % 2,
                                                        .micro_batches = 1 + i / 6 % 2,
                                                        .numbers = i / 12 % 2,
                                                        .steps = MOST_STEPS,
                                                        .bucket = bucket_of(ranks, i / 24)});
        run_team(ranks, setups, count, NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switches_do_not_change_sums),
        cmocka_unit_test(every_rank_count_makes_the_same_sums),
    };
    return cmocka_run_group_tests_name("virtual", tests, NULL, NULL);
}
