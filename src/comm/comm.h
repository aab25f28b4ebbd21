/* Ranks and what they say to each other.
 *
 * A transport only moves bytes, between a start and a test that tells that it is over; sums are made by kernels, in the
 * order of the fixed tree. (start_sum is the exception: the library's own sums, for comparison.) Everything else here is
 * made of starts and waits: so every wait has a time limit, and can name the rank that it waits for. What is not is the library's own beginning
 * (MPI_Init, its launcher's to watch) and end (MPI_Finalize, which has an alarm clock).
 *
 * What is under way has a line, a small number: one thing at a time on a line, any number of lines at once. Line 0 belongs
 * to the functions that return when they are done. Those are collective: all ranks call them, in the same order. */
#ifndef COMM_COMM_H
#define COMM_COMM_H

#include <signal.h>
#include <stdint.h>

struct comm;

struct comm_message {
    int peer;
    void *data;
    int64_t bytes;
};

enum comm_type { COMM_F32, COMM_F64, COMM_BF16 };

/* A sum over all ranks by the transport's own algorithm, whose order is not ours. */
struct comm_sum {
    const void *in;
    void *out; /* may be `in` for an all-reduce */
    int64_t elems;
    const int64_t
        *counts; /* NULL: all ranks get all sums; else rank r gets the next counts[r] of them (reduce-scatter) */
    enum comm_type type;
};

struct transport {
    const char *name;
    int (*open)(struct comm *comm);
    /* Makes room, so that starts allocate nothing: lines 0 to `lines` - 1, at most messages[line] sends and receives. */
    int (*reserve)(struct comm *comm, int lines, const int *messages);
    /* Sends all and receives all. Messages between a pair of ranks match in their order in the two lists; sizes agree.
     * Memory must not be touched (sends: not be written) before the line is done. */
    int (*start)(struct comm *comm, int line, const struct comm_message *sends, int n_sends,
                 const struct comm_message *receives, int n_receives);
    int (*start_sum)(struct comm *comm, int line, const struct comm_sum *sum); /* NULL: there is none */
    /* Moves everything on, and tells whether nothing is left to do on this line. */
    int (*test)(struct comm *comm, int line, int *done);
    /* The first rank after `after` whose message on this line is not through; -1: none, or not known. */
    int (*missing)(struct comm *comm, int line, int after);
    void (*close)(struct comm *comm);
    /* Tells all ranks, without waiting for them, that this one is about to stop them and has said why; whether another has. */
    void (*warn)(struct comm *comm);
    int (*warned)(struct comm *comm);
    /* Tells all ranks how far this one's device has come (not 0); and words[r] is what rank r told, if it did. */
    void (*tell)(struct comm *comm, int64_t word);
    void (*hear)(struct comm *comm, int64_t *words);
    void (*stop)(struct comm *comm, int status); /* ends all ranks at once; may not return */
    void (*library)(char text[128]);             /* whose it is and of which version; NULL: nobody's */
};

/* Of ranks whose devices talk to each other by themselves: what is asked of this one's when a wait takes too long. How far it has come is a
 * word, not 0, that grows; words of all ranks mean the same. */
struct comm_device {
    void *context;
    int64_t (*reached)(void *context);                             /* what it has begun to send */
    int64_t (*moving)(void *context);                              /* any number that changes while it works */
    void (*describe)(void *context, int64_t word, char text[160]); /* "exchange of elements [0, 10) of step 7" */
    int (*settle)(void *context); /* waits for all that is under way, as comm_wait() does */
    void (*leave)(void *context); /* before the process ends: gives up what is under way; a few seconds at most */
};

/* What the ranks are at: what is said of a wait that fails, and how long one may last. Who changes it for a while puts it back. */
struct comm_phase {
    const char *doing;       /* NULL: nothing in particular */
    int64_t step;            /* -1: none */
    double timeout_s;        /* 0: for ever */
    const char *timeout_key; /* the setting that it is from */
};

struct comm_peer {
    char host[64];
    long pid;                /* with `born`, for noticing that a process of this host is gone */
    unsigned long long born; /* when it started; 0: the system does not tell */
    int seen;                /* this process has found it alive */
};

struct comm {
    const struct transport *transport;
    int rank, size;
    int local_size; /* ranks on this host */
    char host[64];
    struct comm_peer *peers; /* of all ranks */
    int agreed;              /* comm_agree() found a failure: all ranks know, and end in order */
    int speaker;             /* then the rank that tells it: the lowest that failed */
    int common;              /* what failed is not the speaker's own: the message names who */
    int silent;              /* another rank has said why the job ends */
    int broken;              /* a wait has failed; starts and waits fail from then on, and leave its message */

    struct comm_phase phase;
    const volatile sig_atomic_t *stop_signal; /* not 0 after a signal asked for a stop; may be NULL */

    int lines;                        /* that there is room for */
    _Atomic int under_way;            /* how many of them are */
    int threads;                      /* the transport may be called from several threads, one at a time */
    unsigned char *busy;              /* one a line */
    struct comm_message *room;        /* 2 * size: messages of the functions below, */
    int *values;                      /* and a number a rank */
    struct comm_thread *thread;       /* thread.c */
    const struct comm_device *device; /* NULL: none that talks */
    int64_t *words;                   /* what ranks told of theirs; 0: nothing */
    int told;                         /* this one has */
    void *own;                        /* the transport's */
};

/* Opens the transport that this process was started for: mpi under mpirun or srun, self otherwise. */
int comm_open(struct comm *comm);
/* Opens a given one; `own` is handed to it. */
int comm_open_with(struct comm *comm, const struct transport *transport, void *own);
/* The last meeting, so that no rank waits without limit in comm_close() for one that does not come; collective. */
int comm_part(struct comm *comm);
void comm_close(struct comm *comm);

/* Room for lines 1 to `lines`, of messages[line] sends and receives each; messages[0] is not read. Nothing may be under way. */
int comm_reserve(struct comm *comm, int lines, const int *messages);

/* The transport's functions, safe beside a progress thread. */
int comm_start(struct comm *comm, int line, const struct comm_message *sends, int n_sends,
               const struct comm_message *receives, int n_receives);
int comm_start_sum(struct comm *comm, int line, const struct comm_sum *sum);
int comm_poll(struct comm *comm); /* moves on what is under way; cheap where nothing is */

/* Waits until the line is done; at once where it never was started. Fails after comm->phase.timeout_s, and at once where the
 * system tells that the process waited for is gone, in either case up to 5 s later on ranks that let a lower one tell it first; the
 * message names rank, host, step and what was being done. After a failure memory that was to be received into may still be written:
 * it must not be freed before the job is stopped, which should be at once. */
int comm_wait(struct comm *comm, int line);
int comm_wait_all(struct comm *comm);

/* For who waits for its device, whose work waits for other ranks: to be called again and again meanwhile, with a struct that began as {0}.
 * Fails as comm_wait() does, once the device has not moved for comm->phase.timeout_s; ranks then tell each other how far theirs have
 * come, so that the message names the rank that the others wait for. */
struct comm_watch {
    double begin, last_look, asked, called;
    int64_t moving;
    int told;
};
int comm_watch(struct comm *comm, struct comm_watch *watch);

/* A thread that polls, for as long as the ranks compute; without it, who computes should poll now and then. */
int comm_thread_start(struct comm *comm);
void comm_thread_stop(struct comm *comm);
int comm_thread_failure(struct comm *comm); /* what it has met, with the lock held */
void comm_lock(struct comm *comm);
void comm_unlock(struct comm *comm);

/* Rank r's part, bytes[r] at offset[r] of `base`, reaches all ranks; a rank's own part is in place. Starts on a line: */
int comm_start_gather(struct comm *comm, int line, void *base, const int64_t *offset, const int64_t *bytes);
/* and waits, too. */
int comm_gather(struct comm *comm, void *base, const int64_t *offset, const int64_t *bytes);
/* Equal parts in rank order: `mine` is copied to all + rank * bytes, and so on. */
int comm_gather_equal(struct comm *comm, const void *mine, void *all, int64_t bytes);
int comm_broadcast(struct comm *comm, void *data, int64_t bytes); /* from rank 0 */
int comm_largest(struct comm *comm, int *value);                  /* `value` becomes the largest of all ranks */
/* `data` of rank `from` reaches rank 0's. Only these two take part; from 0 does nothing. */
int comm_to_first(struct comm *comm, int from, void *data, int64_t bytes);

/* Ends all ranks at once with this status, after this one has said why; the others then stay silent. May not return. */
void comm_stop(struct comm *comm, int status);

/* Every rank passes its status; all return the largest. A rank that failed keeps its own message. */
int comm_agree(struct comm *comm, int status);

extern const struct transport transport_self, transport_mpi, transport_virtual;

#endif
