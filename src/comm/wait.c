/* Starting, and waiting for what was started. A wait polls: so it can look at the clock, and give the core to another rank where
 * there are more ranks than cores. */
#include <sched.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "comm/comm.h"
#include "comm/watch.h"

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
    struct comm_watch watch = {0};
    for (long polls = 0;; polls++) {
        int done = 0;
        TRY(test(comm, line, &done));
        if (done) return 0;
        pause_between(polls);
        if (polls % 64 == 0) TRY(watch_line(comm, line, &watch));
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
    return comm->device ? comm->device->settle(comm->device->context) : 0;
}
