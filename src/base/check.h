/* Status and errors: how every function of Lockstep that can fail says so.
 *
 * A function that can fail returns an int: 0, or the exit status that the process should end with. It records one
 * message through fail(), and its callers hand the status up with TRY(). Only main() prints the message and ends the
 * process. A message says what is wrong, where (file, key, line), and what to do. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

enum status {
    STATUS_OK = 0,
    STATUS_FAILED = 1,   /* the run failed */
    STATUS_USAGE = 2,    /* usage or configuration */
    STATUS_BAD_DATA = 3, /* bad input data or checkpoint */
    STATUS_STOPPED = 75, /* stopped by a signal after saving: run it again to go on */
};

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        int try_status_ = (call);                                                                                      \
        if (try_status_) return try_status_;                                                                           \
    } while (0)

/* Records the message for this thread, in place of any earlier one, and returns `status`. */
__attribute__((format(printf, 2, 3))) int fail(int status, const char *format, ...);

/* Puts text in front of the recorded message ("config.yaml:12: " …) and returns `status`. */
__attribute__((format(printf, 2, 3))) int fail_within(int status, const char *format, ...);

/* The message of the last fail() on this thread; "" when there was none. */
const char *fail_message(void);

/* A failure on its way from the thread that met it to the thread that asked for the work, since messages belong to threads.
 * {0}: none. */
enum { FAIL_MESSAGE = 2048 };
struct failure {
    int status;
    char message[FAIL_MESSAGE];
};

/* Keeps this thread's failure, unless `status` is 0 or one is kept already; many threads may call it at once. */
void failure_keep(struct failure *failure, int status);

/* Records what was kept as this thread's own, and returns its status; 0: none. */
int failure_raise(const struct failure *failure);

#endif
