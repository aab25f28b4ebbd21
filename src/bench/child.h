/* Runs a program and waits for it. */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdint.h>

struct child {
    const char *const *argv; /* ends with NULL; argv[0] is a path, or a name that PATH finds */
    const char *folder;      /* where it runs */
    const char *log;         /* where its output and errors go, made anew */
    int threads;             /* OMP_NUM_THREADS */
    double limit_s;          /* longer and it is ended, with all that it started; 0: no limit */

    double seconds;     /* that it took */
    int64_t peak_bytes; /* the largest resident set of it or of any process that it started and waited for */
    int code;           /* its exit status; 128 + the signal that ended it */
};

/* Signals that ask this program to stop end the child (SIGTERM, three seconds later SIGKILL): STATUS_STOPPED. STATUS_FAILED where it cannot be started or
 * takes too long. A child that fails of its own gives 0 and its `code`. */
int child_run(struct child *child);

/* From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT are noted for child_run() and child_stopped(). */
void child_catch_signals(void);
int child_stopped(void);

/* The last line of a log that says something, for a message: lockstep's own error where there is one. */
void child_last_words(const char *log, char *out, int64_t size);

#endif
