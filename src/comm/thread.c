/* A thread that moves messages on while the ranks compute: MPI does so only while it is called. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/thread.h"
#include "comm/comm.h"

enum { REST_NS = 200000 };

struct comm_thread {
    pthread_t thread;
    pthread_mutex_t mutex;
    int stop;
    struct failure failure; /* of a test; whoever waits raises it */
};

void comm_lock(struct comm *comm) {
    if (comm->thread) pthread_mutex_lock(&comm->thread->mutex);
}

void comm_unlock(struct comm *comm) {
    if (comm->thread) pthread_mutex_unlock(&comm->thread->mutex);
}

/* With the lock held. */
int comm_thread_failure(struct comm *comm) { return comm->thread ? failure_raise(&comm->thread->failure) : 0; }

/* A failed test need not fail again: it is kept for who waits. */
static void *work(void *argument) {
    struct comm *comm = argument;
    const struct timespec rest = {0, REST_NS};
    for (int stop = 0; !stop;) {
        pthread_mutex_lock(&comm->thread->mutex);
        stop = comm->thread->stop;
        for (int line = 0; line < comm->lines && comm->under_way; line++) {
            int done = 0;
            if (!comm->busy[line]) continue;
            failure_keep(&comm->thread->failure, comm->transport->test(comm, line, &done));
            if (done) {
                comm->busy[line] = 0;
                comm->under_way--;
            }
            break;
        }
        pthread_mutex_unlock(&comm->thread->mutex);
        nanosleep(&rest, NULL);
    }
    return NULL;
}

int comm_thread_start(struct comm *comm) {
    if (comm->thread || comm->size == 1) return 0;
    if (!comm->threads)
        return fail(STATUS_USAGE, "dist.progress: this %s may be called from one thread only; set it to poll",
                    comm->transport->name);
    struct comm_thread *t = calloc(1, sizeof *t);
    if (!t) return fail(STATUS_FAILED, "out of memory");
    pthread_mutex_init(&t->mutex, NULL);
    comm->thread = t;
    int error = thread_start(&t->thread, work, comm);
    if (!error) return 0;
    comm->thread = NULL;
    free(t);
    return fail(STATUS_FAILED, "cannot start a thread for communication: %s", strerror(error));
}

void comm_thread_stop(struct comm *comm) {
    struct comm_thread *t = comm->thread;
    if (!t) return;
    pthread_mutex_lock(&t->mutex);
    t->stop = 1;
    pthread_mutex_unlock(&t->mutex);
    pthread_join(t->thread, NULL);
    pthread_mutex_destroy(&t->mutex);
    comm->thread = NULL;
    free(t);
}
