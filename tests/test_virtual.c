/* Any number of ranks makes the same sums, one expression for each element: all plans, messages and orders of ops for up to 64
 * slots on as many ranks as there may be, each a thread of this process (comm/virtual.h). The grain is small here (CHUNK), so that a
 * small space has fewer, as many and more chunks than ranks.
 *
 * VIRTUAL_SLOTS, where it is defined, is the most slots: with a sanitizer everything takes several times as long. */
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
    const struct expected *known; /* by known_at() */
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

/* Where the sums of a setup are in a table for all numbers of slots. */
static int known_at(const struct setup *setup) {
    return (setup->slots * 2 + setup->micro_batches - 1) * 2 + setup->numbers;
}

/* What all compare with. */
static int find_expected(struct team *team, const struct setup *setup, int64_t elems) {
    return expected_part(&team->known[known_at(setup)], elems, &team->expected);
}

/* Whether all go on is read where nobody writes it: between two barriers. */
static int go_on(struct team *team) {
    pthread_barrier_wait(&team->barrier);
    int status = team->failure.status;
    pthread_barrier_wait(&team->barrier);
    return !status;
}

static int run_setup(struct team *team, struct worker *w) {
    int status = symbols_plan(w->setup, w->comm->rank, &w->plan);
    if (!status && w->comm->rank == 0) status = find_expected(team, w->setup, w->plan->flat_elems);
    failure_keep(&team->failure, status);
    if (go_on(team)) failure_keep(&team->failure, run_steps(w));
    int all_well = go_on(team);
    symbols_close(w);
    return all_well;
}

static void *work(void *argument) {
    struct member *member = argument;
    struct team *team = member->team;
    struct comm comm;
    failure_keep(&team->failure, virtual_join(team->world, member->rank, &comm));
    comm.phase.timeout_s = TIMEOUT_S;
    int all_well = go_on(team);
    for (int i = 0; all_well && i < team->count; i++) {
        struct worker w = {.setup = &team->setups[i], .expected = &team->expected, .comm = &comm};
        all_well = run_setup(team, &w);
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

/* Elements of the tables, of the layers for each of `hidden`, and at most so many behind each of the 5 tensors. */
enum { REST = 2 * 29 * 8, OF_HIDDEN = 8 + 1 + 8, PADDING = 64 };

/* So that there are at least three buckets, the last of them not whole. */
static int hidden_for(int bucket) {
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

enum { KNOWN = (MOST_SLOTS + 1) * 4 };

static int elems_of(int hidden) { return REST + 5 * PADDING + hidden * OF_HIDDEN; }

static void make_known(struct expected *known, struct setup setup, int most_ranks) {
    int elems = elems_of(hidden_for(bucket_of(most_ranks, 3)));
    if (expected_new(&setup, elems, &known[known_at(&setup)])) fail_msg("%s", fail_message());
}

static void free_known(struct expected *known) {
    for (int i = 0; i < KNOWN; i++) expected_free(&known[i]);
}

static void every_rank_count_makes_the_same_sums(void **state) {
    (void)state;
    static struct expected known[KNOWN];
    struct setup setup = {.overlap = 1, .micro_batches = 1, .steps = 1};
    long trainings = 0;
    for (setup.slots = 1; setup.slots <= MOST_SLOTS; setup.slots++) make_known(known, setup, MOST_SLOTS);
    for (setup.ranks = 1; setup.ranks <= MOST_SLOTS; setup.ranks++) {
        int count = 0;
        for (setup.slots = setup.ranks; setup.slots <= MOST_SLOTS; setup.slots++)
            for (setup.zero = 0; setup.zero < 3; setup.zero++) {
                setup.bucket = bucket_of(setup.ranks, setup.slots + setup.zero + setup.ranks / 4);
                count = add_setup(count, setup);
            }
        run_team(setup.ranks, setups, count, known);
        trainings += count;
    }
    free_known(known);
    printf("%ld trainings\n", trainings);
}

/* All of them where there are few slots, and a second step, which begins while parameters are on their way. What is over leaves junk
 * in its memory (backend.h). */
static void switches_do_not_change_sums(void **state) {
    (void)state;
    enum { RANKS = 9, SLOTS = 17 };
    _Static_assert((int)SLOTS <= (int)MOST_SLOTS, "the table of sums has no more");
    static struct expected known[KNOWN];
    struct setup setup = {.steps = MOST_STEPS};
    assert_int_equal(setenv("LOCKSTEP_POISON", "1", 1), 0);
    for (setup.slots = 1; setup.slots <= SLOTS; setup.slots++)
        for (int i = 0; i < 4; i++) {
            setup.micro_batches = 1 + i % 2;
            setup.numbers = i / 2;
            make_known(known, setup, RANKS);
        }
    for (setup.ranks = 1; setup.ranks <= RANKS; setup.ranks++) {
        int count = 0;
        for (setup.slots = setup.ranks; setup.slots <= SLOTS; setup.slots += 1 + setup.slots / 6)
            for (int i = 0; i < 3 * 2 * 2 * 2 * 4; i++) {
                setup.zero = i % 3;
                setup.overlap = i / 3 % 2;
                setup.micro_batches = 1 + i / 6 % 2;
                setup.numbers = i / 12 % 2;
                setup.bucket = bucket_of(setup.ranks, i / 24);
                count = add_setup(count, setup);
            }
        run_team(setup.ranks, setups, count, known);
    }
    free_known(known);
    unsetenv("LOCKSTEP_POISON");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switches_do_not_change_sums),
        cmocka_unit_test(every_rank_count_makes_the_same_sums),
    };
    return cmocka_run_group_tests_name("virtual", tests, NULL, NULL);
}
