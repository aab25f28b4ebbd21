/* Ranks and what they say to each other: one table of functions a transport.
 *
 * Every function is collective: all ranks call it, in the same order. A transport moves bytes and never adds: sums are
 * made by kernels, in the order of the fixed tree. */
#ifndef COMM_COMM_H
#define COMM_COMM_H

#include <stdint.h>

struct comm;

struct comm_message {
    int peer;
    void *data;
    int64_t bytes;
};

struct transport {
    const char *name;
    int (*open)(struct comm *comm);
    /* Sends all and receives all. Messages between a pair of ranks match in their order in the two lists; sizes agree. */
    int (*exchange)(struct comm *comm, const struct comm_message *sends, int n_sends,
                    const struct comm_message *receives, int n_receives);
    /* Rank r's part, bytes[r] at offset[r] of `base`, reaches all ranks; a rank's own part is in place. */
    int (*gather)(struct comm *comm, void *base, const int64_t *offset, const int64_t *bytes);
    /* `value` becomes the largest of all ranks. */
    int (*largest)(struct comm *comm, int *value);
    int (*broadcast)(struct comm *comm, void *data, int64_t bytes); /* from rank 0 */
    void (*close)(struct comm *comm);
    void (*stop)(struct comm *comm, int status); /* ends all ranks at once; may not return */
};

struct comm {
    const struct transport *transport;
    int rank, size;
    int local_size; /* ranks on this host */
    char host[64];
    int agreed;    /* comm_agree() found a failure: all ranks know, and end in order */
    int speaker;   /* then the rank that tells it: the lowest that failed */
    void *scratch; /* the transport's, sized at open */
    int64_t scratch_count;
};

/* Opens the transport that this process was started for: mpi under mpirun or srun, self otherwise. */
int comm_open(struct comm *comm);
void comm_close(struct comm *comm);

/* Every rank passes its status; all return the largest. A rank that failed keeps its own message. */
int comm_agree(struct comm *comm, int status);

extern const struct transport transport_self, transport_mpi;

#endif
