/* Looking around while something is waited for: whether those who are waited for still live, and what is said when they do not come. */
#include "comm/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "comm/peer.h"

/* On line DEVICE, once ranks were asked how far their devices have come: those that have not answered. */
enum { DEVICE = -1 };

static void where(const struct comm *comm, int line, char text[160]) {
    const struct comm_device *device = comm->device;
    const struct comm_phase *phase = &comm->phase;
    const char *doing = phase->doing ? phase->doing : "a talk of all ranks";
    if (line == DEVICE && device)
        device->describe(device->context, device->reached(device->context), text);
    else if (phase->step < 0)
        snprintf(text, 160, "%s", doing);
    else
        snprintf(text, 160, "%s of step %lld", doing, (long long)phase->step);
}

static int missing(struct comm *comm, int line, int after) {
    if (line == DEVICE) {
        for (int rank = after + 1; comm->told && rank < comm->size; rank++)
            if (!comm->words[rank]) return rank;
        return -1;
    }
    comm_lock(comm);
    int rank = comm->transport->missing(comm, line, after);
    comm_unlock(comm);
    return rank;
}

/* All that wait run out of time together. The first to fail ends the job: the others give it time, in the order of their ranks,
 * so that one line is printed and not one a rank. With many that wait some print together, and most see the warning of the first. */
double comm_patience(const struct comm *comm, int late) {
    enum { MOST_PATIENT = 5 };
    int before = comm->rank - (late >= 0 && late < comm->rank);
    return before < MOST_PATIENT ? before : MOST_PATIENT;
}

/* The next rank after `after` whose device has come no further than that; -1: there is none. */
static int stands_at(struct comm *comm, int64_t word, int after) {
    for (int rank = after + 1; rank < comm->size; rank++)
        if (comm->words[rank] == word) return rank;
    return -1;
}

enum { MOST_NAMED = 4, NAME = 128 }; /* a host has at most 63 characters */

/* Adds a rank to a list of them; 0: it is full. */
static int name_rank(const struct comm *comm, int rank, int *count, char names[(MOST_NAMED + 1) * NAME]) {
    size_t length = *count ? strlen(names) : 0, room = (MOST_NAMED + 1) * NAME - length;
    if ((*count)++ == MOST_NAMED) {
        snprintf(names + length, room, " and others");
        return 0;
    }
    snprintf(names + length, room, "%srank %d on %s (process %ld)", *count > 1 ? ", " : "", rank,
             comm->peers[rank].host, comm->peers[rank].pid);
    return 1;
}

/* Of several that are missing one may hang and the others wait for it, so all are named. */
static int give_up(struct comm *comm, int line, double waited, const char *at) {
    char names[(MOST_NAMED + 1) * NAME] = "another rank";
    int count = 0, rank = missing(comm, line, -1);
    while (rank >= 0 && name_rank(comm, rank, &count, names)) rank = missing(comm, line, rank);
    return fail(STATUS_FAILED,
                "%s %s not come to %s: waited %.0f s (%s is %g); %s hangs, or its host cannot be reached", names,
                count > 1 ? "do" : "does", at, waited, comm->phase.timeout_key, comm->phase.timeout_s,
                count > 1 ? "one of them" : "it");
}

/* All processes answer: then it is the devices, or what is between them. */
static int give_up_devices(struct comm *comm, double waited) {
    char names[(MOST_NAMED + 1) * NAME], at[160];
    int64_t farthest = 0, nearest = INT64_MAX;
    for (int r = 0; r < comm->size; r++) {
        if (comm->words[r] > farthest) farthest = comm->words[r];
        if (comm->words[r] < nearest) nearest = comm->words[r];
    }
    comm->device->describe(comm->device->context, farthest, at);
    if (missing(comm, DEVICE, -1) >= 0) return give_up(comm, DEVICE, waited, at);
    int count = 0, rank = stands_at(comm, nearest, -1);
    comm->common = 1;
    if (nearest == farthest)
        return fail(
            STATUS_FAILED,
            "the devices of all ranks have begun %s, and none gets through it: waited %.0f s (%s is %g); what is "
            "between them hangs (NCCL_DEBUG=INFO tells which way they talk)",
            at, waited, comm->phase.timeout_key, comm->phase.timeout_s);
    while (rank >= 0 && name_rank(comm, rank, &count, names)) rank = stands_at(comm, nearest, rank);
    return fail(STATUS_FAILED,
                "the device of %s does not come to %s: waited %.0f s (%s is %g); its process answers, so it hangs in a "
                "computation before that ('nvidia-smi -q' and the kernel's log tell of devices that failed)",
                names, at, waited, comm->phase.timeout_key, comm->phase.timeout_s);
}

static void tell(struct comm *comm) {
    comm->told = 1;
    comm->words[comm->rank] = comm->device->reached(comm->device->context);
    comm->transport->tell(comm, comm->words[comm->rank]);
}

/* Who is asked answers, whatever it waits for itself. */
static void answer(struct comm *comm) {
    if (!comm->device) return;
    comm_lock(comm);
    comm->transport->hear(comm, comm->words);
    for (int r = 0; r < comm->size && !comm->told; r++)
        if (comm->words[r]) tell(comm);
    comm_unlock(comm);
}

/* The device has stood still for too long: first all are asked how far theirs have come. */
static int ask_devices(struct comm *comm, struct comm_watch *w, double now) {
    enum { TIME_TO_ANSWER = 2 };
    if (w->called == 0) {
        w->called = now;
        comm_lock(comm);
        if (!comm->told) tell(comm);
        comm_unlock(comm);
    }
    int all = missing(comm, DEVICE, -1) < 0;
    return all || now - w->called > TIME_TO_ANSWER ? give_up_devices(comm, now - w->begin) : 0;
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
    if (comm->device) comm->device->leave(comm->device->context);
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
static int look_around(struct comm *comm, int line, struct comm_watch *w, double now) {
    enum { PATIENCE_AFTER_A_SIGNAL = 1 };
    char at[160];
    if (warned(comm)) return end_in_silence(comm);
    answer(comm);
    int late = late_rank(comm, line);
    where(comm, line, at);
    if (late >= 0 && peer_is_gone(comm, late)) {
        if (now - w->begin < comm_patience(comm, late)) return 0;
        return fail(STATUS_FAILED, "rank %d on %s (process %ld) is gone: it died before %s was done", late,
                    comm->peers[late].host, comm->peers[late].pid, at);
    }
    int asked = comm->stop_signal && *comm->stop_signal;
    if (asked && w->asked == 0) w->asked = now;
    if (asked && !w->told && now - w->asked > PATIENCE_AFTER_A_SIGNAL && late >= 0 && comm_patience(comm, late) < 1) {
        fprintf(stderr, "lockstep: rank %d on %s was asked to stop, but rank %d on %s has not come to %s\n", comm->rank,
                comm->host, late, comm->peers[late].host, at);
        w->told = 1;
    }
    if (comm->phase.timeout_s <= 0 || now - w->begin <= comm->phase.timeout_s + comm_patience(comm, late)) return 0;
    return line == DEVICE && comm->device ? ask_devices(comm, w, now) : give_up(comm, line, now - w->begin, at);
}

int watch_line(struct comm *comm, int line, struct comm_watch *w) {
    enum { LOOK_EVERY_MS = 100, MOST_S = 1 };
    double now = clock_seconds();
    if (w->begin == 0) w->begin = now;
    if (w->last_look == 0) w->last_look = now;
    if (now - w->last_look < 1e-3 * LOOK_EVERY_MS) return 0;
    /* While this process stood still, as jobs that are suspended do, it did not wait for others. */
    if (now - w->last_look > MOST_S) w->begin += now - w->last_look - MOST_S;
    w->last_look = now;
    return look_around(comm, line, w, now);
}

int comm_watch(struct comm *comm, struct comm_watch *w) {
    int64_t moving = comm->device && w->called == 0 ? comm->device->moving(comm->device->context) : w->moving;
    if (moving != w->moving) w->begin = 0;
    w->moving = moving;
    if (comm->broken) return STATUS_FAILED;
    int status = watch_line(comm, DEVICE, w);
    comm->broken = status != 0;
    return status;
}
