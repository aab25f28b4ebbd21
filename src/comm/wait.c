/* Starting, and waiting for what was started. A wait polls: so it can look at the clock, and give the core to another rank where
 * there are more ranks than cores. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "comm/comm.h"
#include "comm/peer.h"

enum { SPINS = 200, YIELDS = 2000, SLEEP_NS = 50000 };

/* On success the lock is held. */
static int take_line(struct comm *comm, int line) {
    if (comm->broken) return STATUS_FAILED;
    if (line >= comm->lines) return fail(STATUS_FAILED, "comm: there is no line %d of %d", line, comm->lines);
    comm_lock(comm);
    if (comm->busy[line]) {
        comm_unlock(comm);
        return fail(STATUS_FAILED, "comm: line %d is under way already", line);
    }
    comm->busy[line] = 1;
    comm->under_way++;
    return 0;
}

/* What did not start is not waited for, and ends the job. */
static int started(struct comm *comm, int line, int status) {
    if (status) {
        comm->busy[line] = 0;
        comm->under_way--;
        comm->broken = 1;
    }
    comm_unlock(comm);
    return status;
}

int comm_start(struct comm *comm, int line, const struct comm_message *sends, int n_sends,
               const struct comm_message *receives, int n_receives) {
    TRY(take_line(comm, line));
    return started(comm, line, comm->transport->start(comm, line, sends, n_sends, receives, n_receives));
}

int comm_start_sum(struct comm *comm, int line, const struct comm_sum *sum) {
    if (!comm->transport->start_sum)
        return fail(STATUS_USAGE, "dist.reduce: the transport '%s' has no sums of its own; set it to tree",
                    comm->transport->name);
    TRY(take_line(comm, line));
    return started(comm, line, comm->transport->start_sum(comm, line, sum));
}

static int test(struct comm *comm, int line, int *done) {
    comm_lock(comm);
    *done = !comm->busy[line]; /* the progress thread may have met its end */
    int status = comm_thread_failure(comm);
    if (!status && !*done) status = comm->transport->test(comm, line, done);
    if (!status && *done && comm->busy[line]) {
        comm->busy[line] = 0;
        comm->under_way--;
    }
    comm_unlock(comm);
    return status;
}

/* One line stands for all: transports move on everything at once. */
int comm_poll(struct comm *comm) {
    int done;
    if (!comm->under_way || comm->thread) return 0;
    for (int line = 0; line < comm->lines; line++)
        if (comm->busy[line]) return test(comm, line, &done);
    return 0;
}

static void where(const struct comm *comm, char text[160]) {
    const struct comm_phase *phase = &comm->phase;
    const char *doing = phase->doing ? phase->doing : "a talk of all ranks";
    if (phase->step < 0)
        snprintf(text, 160, "%s", doing);
    else
        snprintf(text, 160, "%s of step %lld", doing, (long long)phase->step);
}

static int missing(struct comm *comm, int line, int after) {
    comm_lock(comm);
    int rank = comm->transport->missing(comm, line, after);
    comm_unlock(comm);
    return rank;
}

/* All that wait run out of time together. The first to fail ends the job: the others give it time, in the order of their ranks,
 * so that one line is printed and not one a rank. With many that wait some print together, and most see the warning of the first. */
static double patience(const struct comm *comm, int late) {
    enum { MOST_PATIENT = 5 };
    int before = comm->rank - (late >= 0 && late < comm->rank);
    return before < MOST_PATIENT ? before : MOST_PATIENT;
}

struct waiting {
    double begin, last_look, asked;
    int told;
};

/* Of several that are missing one may hang and the others wait for it, so all are named. */
static int give_up(struct comm *comm, int line, double waited) {
    enum { MOST_NAMED = 4, NAME = 128 }; /* a host has at most 63 characters */
    char at[160], names[(MOST_NAMED + 1) * NAME] = "another rank";
    int count = 0, length = 0;
    for (int rank = missing(comm, line, -1); rank >= 0; rank = missing(comm, line, rank)) {
        if (count++ == MOST_NAMED) {
            snprintf(names + length, sizeof names - (size_t)length, " and others");
            break;
        }
        length += snprintf(names + length, sizeof names - (size_t)length, "%srank %d on %s (process %ld)",
                           count > 1 ? ", " : "", rank, comm->peers[rank].host, comm->peers[rank].pid);
    }
    where(comm, at);
    return fail(STATUS_FAILED,
                "%s %s not come to %s: waited %.0f s (%s is %g); %s hangs, or its host cannot be reached", names,
                count > 1 ? "do" : "does", at, waited, comm->phase.timeout_key, comm->phase.timeout_s,
                count > 1 ? "one of them" : "it");
}

/* A rank that the line waits for, best one whose process is gone: others that are missing may wait for that one. Where the transport
 * does not know, any that is gone. */
static int late_rank(struct comm *comm, int line) {
    int late = missing(comm, line, -1);
    for (int rank = late; rank >= 0; rank = missing(comm, line, rank))
        if (peer_is_gone(comm, rank)) return rank;
    for (int rank = 0; late < 0 && rank < comm->size; rank++)
        if (rank != comm->rank && peer_is_gone(comm, rank)) late = rank;
    return late;
}

/* Another rank has said why it ends the job, which takes a moment, and begins with a signal. */
static int end_in_silence(struct comm *comm) {
    struct timespec moment = {10, 0};
    comm->silent = 1;
    while (nanosleep(&moment, &moment) && errno == EINTR) continue;
    return fail(STATUS_FAILED, "%s", "");
}

static int warned(struct comm *comm) {
    comm_lock(comm);
    int told = comm->transport->warned(comm);
    comm_unlock(comm);
    return told;
}

/* A few times a second. */
static int look_around(struct comm *comm, int line, struct waiting *w, double now) {
    enum { PATIENCE_AFTER_A_SIGNAL = 1 };
    char at[160];
    if (warned(comm)) return end_in_silence(comm);
    int late = late_rank(comm, line);
    where(comm, at);
    if (late >= 0 && peer_is_gone(comm, late)) {
        if (now - w->begin < patience(comm, late)) return 0;
        return fail(STATUS_FAILED, "rank %d on %s (process %ld) is gone: it died before %s was done", late,
                    comm->peers[late].host, comm->peers[late].pid, at);
    }
    int asked = comm->stop_signal && *comm->stop_signal;
    if (asked && w->asked == 0) w->asked = now;
    if (asked && !w->told && now - w->asked > PATIENCE_AFTER_A_SIGNAL && late >= 0 && patience(comm, late) < 1) {
        fprintf(stderr, "lockstep: rank %d on %s was asked to stop, but rank %d on %s has not come to %s\n", comm->rank,
                comm->host, late, comm->peers[late].host, at);
        w->told = 1;
    }
    if (comm->phase.timeout_s > 0 && now - w->begin > comm->phase.timeout_s + patience(comm, late))
        return give_up(comm, line, now - w->begin);
    return 0;
}

static void pause_between(long polls) {
    if (polls < SPINS) return;
    if (polls < YIELDS) {
        sched_yield();
        return;
    }
    const struct timespec shortly = {0, SLEEP_NS};
    nanosleep(&shortly, NULL);
}

static int wait_for(struct comm *comm, int line) {
    enum { LOOK_EVERY_MS = 100, MOST_S = 1 };
    struct waiting w = {0};
    for (long polls = 0;; polls++) {
        int done = 0;
        TRY(test(comm, line, &done));
        if (done) return 0;
        pause_between(polls);
        if (polls % 64) continue;
        double now = clock_seconds();
        if (w.begin == 0) w.begin = w.last_look = now;
        if (now - w.last_look < 1e-3 * LOOK_EVERY_MS) continue;
        /* While this process stood still, as jobs that are suspended do, it did not wait for others. */
        if (now - w.last_look > MOST_S) w.begin += now - w.last_look - MOST_S;
        w.last_look = now;
        TRY(look_around(comm, line, &w, now));
    }
}

/* What could not be waited for ends the job: nothing more is sent, and later failures do not take the place of the first. */
int comm_wait(struct comm *comm, int line) {
    if (line >= comm->lines) return 0;
    if (comm->broken) return STATUS_FAILED;
    int status = wait_for(comm, line);
    comm->broken = status != 0;
    return status;
}

int comm_wait_all(struct comm *comm) {
    for (int line = 0; line < comm->lines; line++) TRY(comm_wait(comm, line));
    return 0;
}
