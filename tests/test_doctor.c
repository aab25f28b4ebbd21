/* What the doctor makes of ranks: findings of made-up facts, links and computations, each with the host that it must name; and measured links of
 * ranks that are threads of this process. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "comm/virtual.h"
#include "doctor/doctor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { RANKS = 6 }; /* two on each of three hosts */

static void make_facts(struct facts facts[RANKS]) {
    memset(facts, 0, RANKS * sizeof *facts);
    for (int r = 0; r < RANKS; r++) {
        snprintf(facts[r].host, sizeof facts[r].host, "node%d", r / 2 + 1);
        snprintf(facts[r].program, sizeof facts[r].program, "0.1.0, file 12");
        snprintf(facts[r].device.name, sizeof facts[r].device.name, "H200");
        facts[r].device.memory = facts[r].device.free_memory = 100ll << 30;
        facts[r].shm_free = facts[r].disk_free = 10ll << 30;
        facts[r].threads = 1;
        facts[r].online = 8;
        facts[r].sees_runs = 1;
    }
}

static struct verdict judged(const struct facts *facts) {
    struct verdict verdict = {0};
    facts_judge(facts, RANKS, &verdict);
    return verdict;
}

static void finds(const struct verdict *verdict, int at, const char *host, const char *words) {
    assert_true(verdict->count > at);
    assert_string_equal(verdict->problem[at].host, host);
    if (!strstr(verdict->problem[at].text, words)) fail_msg("'%s' has no '%s'", verdict->problem[at].text, words);
}

static void differences(void **state) {
    (void)state;
    struct facts facts[RANKS];
    struct verdict verdict;
    make_facts(facts);
    assert_int_equal(judged(facts).count, 0);

    /* Both ranks of node2 have it, so it is said once; the majority is right, also where rank 0 is not of it. */
    for (int r = 2; r < 4; r++) snprintf(facts[r].program, sizeof facts[r].program, "0.1.0, file 13");
    verdict = judged(facts);
    assert_int_equal(verdict.count, 1);
    finds(&verdict, 0, "node2", "program: 0.1.0, file 13, and 0.1.0, file 12 on node1");
    make_facts(facts);
    for (int r = 0; r < 2; r++) facts[r].threads = 4;
    verdict = judged(facts);
    assert_int_equal(verdict.count, 1);
    finds(&verdict, 0, "node1", "threads: 4, and 1 on node2");

    /* One device of two is partly taken; a little less is no finding. */
    make_facts(facts);
    facts[4].device.free_memory = 90ll << 30;
    facts[5].device.free_memory = 40ll << 30;
    verdict = judged(facts);
    assert_int_equal(verdict.count, 1);
    assert_int_equal(verdict.problem[0].rank, 5);
    finds(&verdict, 0, "node3", "40.0 GiB, and 100.0 GiB on most");

    make_facts(facts);
    facts[2].clock_s = facts[3].clock_s = -3.5;
    facts[4].sees_runs = facts[5].sees_runs = 0;
    facts[0].disk_free = 1 << 20;
    verdict = judged(facts);
    assert_int_equal(verdict.count, 3);
    finds(&verdict, 0, "node3", "not that of node1");
    finds(&verdict, 1, "node1", "disk of the folder of runs is full");
    finds(&verdict, 2, "node2", "its clock is 3.5 s behind most others'");
    assert_true(verdict.problem[0].grave && !verdict.problem[2].grave);

    /* Rank 0's host is the one that is wrong: others measured their clocks against it, and do not see its folder. */
    make_facts(facts);
    for (int r = 2; r < RANKS; r++) facts[r].clock_s = -100, facts[r].sees_runs = 0;
    verdict = judged(facts);
    assert_int_equal(verdict.count, 2);
    finds(&verdict, 0, "node1", "not that of node3");
    finds(&verdict, 1, "node1", "its clock is 100.0 s ahead of");

    /* A device that cannot be opened is told once, not as a difference, too. */
    make_facts(facts);
    memset(&facts[3].device, 0, sizeof facts[3].device);
    facts[3].failed = 1;
    snprintf(facts[3].message, sizeof facts[3].message, "no driver");
    verdict = judged(facts);
    assert_int_equal(verdict.count, 1);
    finds(&verdict, 0, "node2", "its device cannot be used: no driver");
}

/* More findings than there is room for are counted. */
static void many_findings(void **state) {
    (void)state;
    struct verdict verdict = {0};
    for (int i = 0; i < 3 * PROBLEMS; i++) verdict_add(&verdict, "host", i, GRAVE, "finding %d", i);
    assert_int_equal(verdict.count, 3 * PROBLEMS);
    finds(&verdict, PROBLEMS - 1, "host", "finding 63");
}

static void computations(void **state) {
    (void)state;
    struct facts facts[RANKS];
    struct computed computed[RANKS];
    struct verdict verdict = {0};
    make_facts(facts);
    memset(computed, 0, sizeof computed);
    for (int r = 0; r < RANKS; r++) {
        computed[r].rounds = 10;
        computed[r].flops_per_s = 1e12;
        computed[r].wrong_round = -1;
    }
    compute_judge(computed, facts, RANKS, &verdict);
    assert_int_equal(verdict.count, 0);

    computed[0].bits[3] = 1; /* rank 0 is the one that is wrong */
    computed[3].wrong_round = 7;
    computed[4].flops_per_s = 0.5e12;
    computed[5].failed = 1;
    snprintf(computed[5].message, sizeof computed[5].message, "ECC");
    compute_judge(computed, facts, RANKS, &verdict);
    assert_int_equal(verdict.count, 4);
    finds(&verdict, 0, "node1", "other bits than on rank 1 on node1");
    finds(&verdict, 1, "node2", "round 7 of the same step");
    finds(&verdict, 2, "node3", "its device is slow: 500 GFLOP/s where 1000 are usual");
    finds(&verdict, 3, "node3", "its device fails: ECC");

    /* Of two devices nobody knows which is wrong. */
    memset(&verdict, 0, sizeof verdict);
    compute_judge(computed, facts, 2, &verdict);
    assert_int_equal(verdict.count, 1);
    finds(&verdict, 0, "", "rank 0 on node1 and rank 1 on node1 compute other bits");

    /* Another kind of device may have other bits; who shares cores may be slow. */
    memset(&verdict, 0, sizeof verdict);
    computed[3].wrong_round = -1;
    computed[5].failed = 0;
    snprintf(facts[0].device.name, sizeof facts[0].device.name, "H100");
    facts[4].device.threads = 16;
    compute_judge(computed, facts, RANKS, &verdict);
    assert_int_equal(verdict.count, 0);
}

static void slow_links(void **state) {
    (void)state;
    enum { HOSTS = 4 };
    int rank[HOSTS];
    struct link link[HOSTS * HOSTS];
    struct comm_peer peers[HOSTS];
    struct comm comm = {.size = HOSTS, .peers = peers};
    struct network network = {.units = HOSTS, .hosts = HOSTS, .rank = rank, .link = link};
    struct verdict verdict = {0};
    for (int i = 0; i < HOSTS * HOSTS; i++) link[i] = (struct link){10e-6, 1e9 + 1e7 * i};
    for (int i = 0; i < HOSTS; i++) {
        rank[i] = i;
        snprintf(peers[i].host, sizeof peers[i].host, "node%d", i + 1);
    }
    network_judge(&network, &comm, &verdict);
    assert_int_equal(verdict.count, 0);

    link[1 * HOSTS + 3].bytes_per_s = 1e8; /* one way */
    network_judge(&network, &comm, &verdict);
    assert_int_equal(verdict.count, 1);
    finds(&verdict, 0, "", "the way between node2 and node4 is slow");

    memset(&verdict, 0, sizeof verdict);
    link[0 * HOSTS + 3].latency_s = 5e-3; /* all ways but one of node4 */
    network_judge(&network, &comm, &verdict);
    assert_int_equal(verdict.count, 1);
    finds(&verdict, 0, "node4", "slow to and from most others");
}

struct member {
    struct virtual_world *world;
    int rank;
    pthread_t thread;
    struct network network;
    struct failure failure;
};

static int measure(struct member *m) {
    struct comm comm;
    TRY(virtual_join(m->world, m->rank, &comm));
    comm.phase = (struct comm_phase){"the test", -1, 60, "its limit"};
    int status = network_measure(&comm, 0, &m->network);
    comm_close(&comm);
    return status;
}

static void *run_member(void *context) {
    struct member *m = context;
    failure_keep(&m->failure, measure(m));
    return NULL;
}

/* Each rank meets each other once, also where their number is odd and one of them rests in each round. */
static void all_pairs(void **state) {
    (void)state;
    for (int ranks = 2; ranks <= 7; ranks++) {
        struct member member[7];
        struct virtual_world *world;
        memset(member, 0, sizeof member);
        assert_int_equal(virtual_new(ranks, &world), 0);
        for (int r = 0; r < ranks; r++) {
            member[r].world = world;
            member[r].rank = r;
            assert_int_equal(pthread_create(&member[r].thread, NULL, run_member, &member[r]), 0);
        }
        for (int r = 0; r < ranks; r++) pthread_join(member[r].thread, NULL);
        for (int r = 0; r < ranks; r++) assert_int_equal(failure_raise(&member[r].failure), 0);
        const struct network *first = &member[0].network;
        assert_int_equal(first->units, ranks);
        assert_true(first->all_to_all > 0);
        for (int a = 0; a < ranks; a++)
            for (int b = a + 1; b < ranks; b++) {
                assert_true(first->link[a * ranks + b].bytes_per_s > 1e3);
                assert_true(first->link[a * ranks + b].latency_s > 0 && first->link[a * ranks + b].latency_s < 10);
            }
        for (int r = 0; r < ranks; r++) network_free(&member[r].network);
        virtual_free(world);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences), cmocka_unit_test(many_findings), cmocka_unit_test(computations),
        cmocka_unit_test(slow_links),  cmocka_unit_test(all_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
