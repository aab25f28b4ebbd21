/* The transport of tests itself: many ranks in one process (comm/virtual.h), and what all ranks do together on top of it. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "comm/peer.h"
#include "comm/virtual.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { MOST_RANKS = 12 };

struct member {
    struct virtual_world *world;
    int (*body)(struct comm *comm);
    int rank, status;
    char message[FAIL_MESSAGE];
    pthread_t thread;
};

static void *work(void *argument) {
    struct member *m = argument;
    struct comm comm;
    m->status = virtual_join(m->world, m->rank, &comm);
    comm.phase.timeout_s = 20;
    if (!m->status) m->status = m->body(&comm);
    snprintf(m->message, sizeof m->message, "%s", m->status ? fail_message() : "");
    comm_close(&comm);
    return NULL;
}

/* Field 22 of /proc/PID/stat of a process whose name has no blanks. */
static unsigned long long birth_of(long pid) {
    char path[64];
    unsigned long long born = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (int field = 1; field < 22; field++) assert_int_equal(fscanf(f, "%*s"), 0);
    assert_int_equal(fscanf(f, "%llu", &born), 1);
    fclose(f);
    return born;
}

/* Each rank's status and message are left in member[]. */
static void run(int ranks, int (*body)(struct comm *comm), struct member *member) {
    struct virtual_world *world;
    assert_int_equal(virtual_new(ranks, &world), 0);
    for (int r = 0; r < ranks; r++) {
        member[r] = (struct member){.world = world, .body = body, .rank = r};
        if (pthread_create(&member[r].thread, NULL, work, &member[r])) fail_msg("no thread for rank %d", r);
    }
    for (int r = 0; r < ranks; r++) pthread_join(member[r].thread, NULL);
    virtual_free(world);
}

static void run_well(int ranks, int (*body)(struct comm *comm)) {
    static struct member member[MOST_RANKS];
    run(ranks, body, member);
    for (int r = 0; r < ranks; r++)
        if (member[r].status) fail_msg("rank %d of %d: %s", r, ranks, member[r].message);
}

/* Within a thread: cmocka's asserts belong to the first one. */
static int wrong(const char *what) { return (fail)(STATUS_FAILED, "%s", what); }

/* One rank starts line 1 before line 2, the other the other way round, and both receive before or after they send. */
static int cross_lines(struct comm *comm) {
    const int messages[] = {0, 2, 2};
    int peer = 1 - comm->rank, sent[2][2], got[2][2] = {{0}};
    TRY(comm_reserve(comm, 2, messages));
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 2; i++) {
            int line = (i + comm->rank + round) % 2;
            struct comm_message sends[2], receives[2];
            for (int k = 0; k < 2; k++) {
                sent[line][k] = round * 100 + comm->rank * 10 + line * 2 + k;
                sends[k] = (struct comm_message){peer, &sent[line][k], sizeof(int)};
                receives[k] = (struct comm_message){peer, &got[line][k], sizeof(int)};
            }
            TRY(comm_start(comm, 1 + line, sends, 2, receives, 2));
        }
        TRY(comm_wait_all(comm));
        for (int line = 0; line < 2; line++)
            for (int k = 0; k < 2; k++)
                if (got[line][k] != round * 100 + peer * 10 + line * 2 + k) return wrong("a message of another line");
        if (comm->under_way) return wrong("something is still under way");
    }
    return 0;
}

static void lines_are_apart(void **state) {
    (void)state;
    run_well(2, cross_lines);
}

static int start_twice(struct comm *comm) {
    const int messages[] = {0, 1};
    int out = comm->rank, in, peer = 1 - comm->rank;
    struct comm_message send = {peer, &out, sizeof out}, receive = {peer, &in, sizeof in};
    TRY(comm_reserve(comm, 1, messages));
    TRY(comm_start(comm, 1, &send, 1, &receive, 1));
    if (!comm_start(comm, 1, &send, 1, &receive, 1)) return wrong("a line was started twice");
    if (!strstr(fail_message(), "under way already")) return wrong("the message does not say why");
    return comm_wait(comm, 1);
}

static void a_line_has_one_thing_under_way(void **state) {
    (void)state;
    run_well(2, start_twice);
}

static int talk(struct comm *comm) {
    int64_t offset[MOST_RANKS], bytes[MOST_RANKS], at = 0;
    char text[128] = {0}, equal[MOST_RANKS][3];
    for (int r = 0; r < comm->size; r++) { /* parts of 0, 1, 2 … bytes */
        offset[r] = at;
        bytes[r] = r;
        at += r;
    }
    memset(text + offset[comm->rank], 'a' + comm->rank, (size_t)bytes[comm->rank]);
    TRY(comm_gather(comm, text, offset, bytes));
    for (int r = 0; r < comm->size; r++)
        for (int64_t i = 0; i < bytes[r]; i++)
            if (text[offset[r] + i] != 'a' + r) return wrong("comm_gather");
    if (text[at]) return wrong("comm_gather wrote beyond the parts");
    const char mine[3] = {(char)comm->rank, 7, (char)(2 * comm->rank)};
    TRY(comm_gather_equal(comm, mine, equal, 3));
    for (int r = 0; r < comm->size; r++)
        if (equal[r][0] != r || equal[r][1] != 7 || equal[r][2] != 2 * r) return wrong("comm_gather_equal");
    int value = comm->rank ? -1 : 42, largest = comm->rank == comm->size / 2 ? 9 : comm->rank % 3;
    TRY(comm_broadcast(comm, &value, sizeof value));
    if (value != 42) return wrong("comm_broadcast");
    TRY(comm_largest(comm, &largest));
    if (largest != 9) return wrong("comm_largest");
    return 0;
}

static void all_talk(void **state) {
    (void)state;
    for (int ranks = 1; ranks <= MOST_RANKS; ranks++) run_well(ranks, talk);
}

static int talk_beside_a_thread(struct comm *comm) {
    TRY(comm_thread_start(comm));
    for (int i = 0; i < 20; i++) TRY(talk(comm));
    return 0;
}

static void all_talk_beside_a_thread(void **state) {
    (void)state;
    run_well(3, talk_beside_a_thread);
}

/* The last rank fails; the others are told who. */
static int fail_on_one(struct comm *comm) {
    int last = comm->rank == comm->size - 1;
    return comm_agree(comm, last ? (fail)(STATUS_BAD_DATA, "a reason") : 0);
}

static void all_agree_on_a_failure(void **state) {
    (void)state;
    static struct member member[MOST_RANKS];
    run(4, fail_on_one, member);
    for (int r = 0; r < 4; r++) {
        assert_int_equal(member[r].status, STATUS_BAD_DATA);
        assert_string_equal(member[r].message, r == 3 ? "a reason" : "rank 3 failed");
    }
}

static int differ_in_size(struct comm *comm) {
    char room[8] = {0};
    int peer = 1 - comm->rank;
    struct comm_message message = {peer, room, comm->rank ? 4 : 8};
    if (comm->rank)
        TRY(comm_start(comm, 0, NULL, 0, &message, 1));
    else
        TRY(comm_start(comm, 0, &message, 1, NULL, 0));
    return comm_wait(comm, 0);
}

static void sizes_agree(void **state) {
    (void)state;
    static struct member member[MOST_RANKS];
    run(2, differ_in_size, member);
    if (!member[1].status && !member[0].status) fail_msg("a message and its receiver differ in size, unseen");
    for (int r = 0; r < 2; r++)
        if (member[r].status) assert_non_null(strstr(member[r].message, "differ in size"));
}

/* Rank 2 never comes. */
static int stay_away(struct comm *comm) {
    int mine = comm->rank, all[3];
    comm->phase.timeout_s = 0.2;
    return comm->rank == 2 ? 0 : comm_gather_equal(comm, &mine, all, sizeof mine);
}

static void who_waits_knows_for_whom(void **state) {
    (void)state;
    static struct member member[MOST_RANKS];
    run(3, stay_away, member);
    for (int r = 0; r < 2; r++) {
        assert_int_equal(member[r].status, STATUS_FAILED);
        assert_non_null(strstr(member[r].message, "rank 2 on "));
    }
}

/* Ranks 1 and 3 never come. */
static int two_stay_away(struct comm *comm) {
    int mine = comm->rank, all[4];
    comm->phase.timeout_s = 0.2;
    comm->phase.doing = "the meeting";
    comm->phase.step = 7;
    return comm->rank % 2 ? 0 : comm_gather_equal(comm, &mine, all, sizeof mine);
}

static void all_that_are_missing_are_named(void **state) {
    (void)state;
    static struct member member[MOST_RANKS];
    run(4, two_stay_away, member);
    for (int r = 0; r < 4; r += 2) {
        assert_int_equal(member[r].status, STATUS_FAILED);
        const char *first = strstr(member[r].message, "rank 1 on ");
        assert_non_null(first);
        assert_non_null(strstr(first, "rank 3 on "));
        assert_non_null(strstr(first, "do not come to the meeting of step 7: waited"));
        assert_non_null(strstr(first, "one of them hangs"));
    }
}

/* Of 12 ranks the last two wait: they do not give each rank before them a second. */
static int patient(struct comm *comm) {
    int mine = comm->rank, all[MOST_RANKS];
    comm->phase.timeout_s = 0.2;
    return comm->rank < 10 ? 0 : comm_gather_equal(comm, &mine, all, sizeof mine);
}

static void patience_has_an_end(void **state) {
    (void)state;
    static struct member member[MOST_RANKS];
    double begin = clock_seconds();
    run(12, patient, member);
    double took = clock_seconds() - begin;
    for (int r = 10; r < 12; r++) assert_int_equal(member[r].status, STATUS_FAILED);
    if (took > 8) fail_msg("%g s", took);
}

/* Rank 0 lives and does not come; rank 2 is a process that has ended, as far as this host can tell. */
static struct comm_peer dead;

static int one_is_dead(struct comm *comm) {
    int mine = comm->rank, all[MOST_RANKS];
    comm->phase.timeout_s = 15;
    if (comm->rank != 1) return 0;
    memcpy(dead.host, comm->host, sizeof dead.host);
    comm->peers[2] = dead;
    return comm_gather_equal(comm, &mine, all, sizeof mine);
}

static void the_dead_are_named_before_the_late(void **state) {
    (void)state;
    static struct member member[MOST_RANKS];
    struct comm watcher = {.size = 1};
    dead = (struct comm_peer){.pid = (long)fork()};
    if (dead.pid == 0)
        for (;;) pause();
    gethostname(watcher.host, sizeof watcher.host - 1);
    gethostname(dead.host, sizeof dead.host - 1);
    dead.born = birth_of(dead.pid);
    watcher.peers = &dead;
    assert_int_equal(peer_is_gone(&watcher, 0), 0);
    assert_int_equal(dead.seen, 1);
    struct rlimit files, none; /* who cannot look has not seen anybody die */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    none = files;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(peer_is_gone(&watcher, 0), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    kill((pid_t)dead.pid, SIGKILL);
    waitpid((pid_t)dead.pid, NULL, 0);
    assert_int_equal(peer_is_gone(&watcher, 0), 1);
    double begin = clock_seconds();
    run(3, one_is_dead, member);
    assert_int_equal(member[1].status, STATUS_FAILED);
    assert_non_null(strstr(member[1].message, "rank 2 on "));
    assert_non_null(strstr(member[1].message, "is gone"));
    assert_true(clock_seconds() - begin < 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_apart),
        cmocka_unit_test(a_line_has_one_thing_under_way),
        cmocka_unit_test(all_talk),
        cmocka_unit_test(all_talk_beside_a_thread),
        cmocka_unit_test(all_agree_on_a_failure),
        cmocka_unit_test(sizes_agree),
        cmocka_unit_test(who_waits_knows_for_whom),
        cmocka_unit_test(all_that_are_missing_are_named),
        cmocka_unit_test(patience_has_an_end),
        cmocka_unit_test(the_dead_are_named_before_the_late),
    };
    return cmocka_run_group_tests_name("comm", tests, NULL, NULL);
}
