/* The check of ranks, hosts and network before a run: what differs, what is slow, what computes wrong, each by name.
 *
 * All of it is collective. Every rank measures; rank 0 gathers, judges, and prints. */
#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "backend/backend.h"
#include "config/config.h"

struct doctor_request {
    const struct config *config; /* whose step each device computes, */
    int own_model;               /* but of a model that fits the device, not the config's */
    const char *program;         /* "lockstep 0.1.0 (…)" */
    const char *folder;          /* where runs are: that all hosts see the same, and how much room there is */
    double seconds;              /* of computing; 0: none */
    int quick;                   /* a few messages instead of a measured network */
    int json;
};

/* What a rank tells of itself; facts.c. Texts end with 0 and are cut where they are too long. Bytes and counts: 0, not known. */
struct facts {
    char host[64], program[96], mpi[128], hdf5[32], libc[32], system[96], settings[768];
    struct device_info device;
    int64_t online;                              /* cores of the host */
    int64_t cores, threads, shm_free, disk_free; /* cores: that this rank may use */
    double clock_s;                              /* ahead of rank 0's */
    int32_t sees_runs;                           /* the file that rank 0 wrote into the folder of runs */
    int32_t failed;                              /* the device cannot be used */
    char message[256];                           /* then: why */
};

/* What a rank's device made of the same step, again and again; compute.c. */
struct computed {
    double flops_per_s;     /* over all rounds, without what the check itself takes */
    int64_t rounds;         /* 0: nothing was computed */
    int64_t wrong_round;    /* the first whose gradients had other bits than round 0's; -1: none */
    unsigned char bits[16]; /* XXH3-128 of round 0's gradients */
    int32_t failed;
    char message[256]; /* then: why */
};

/* Between two hosts, or, where there is one, between two ranks; network.c. */
struct link {
    double latency_s;   /* half of the best time there and back: hosts may be busy */
    double bytes_per_s; /* the slower way, the best of some tries */
};

struct network {
    int units;         /* how many talk: one rank of each host, or all ranks of one */
    int hosts;         /* 0: units are ranks of one host */
    int quick;         /* a few messages each: not enough to judge */
    int *rank;         /* of each unit */
    struct link *link; /* [units][units]: between a < b; rank 0 has them */
    double all_to_all; /* bytes/s that each unit sends while all send to all; 0: not measured */
};

/* What is wrong, for people and for scripts. */
struct problem {
    char host[64]; /* whose it is; "": nobody's alone */
    int rank;      /* -1: of the whole host, or of all */
    int grave;     /* the host should be left out; else it merely differs */
    char text[640];
};
enum { PROBLEMS = 64 };
struct verdict {
    struct problem problem[PROBLEMS]; /* the first of them */
    int count;                        /* may be more than there is room for */
};
enum { DIFFERS, GRAVE };
__attribute__((format(printf, 5, 6))) void verdict_add(struct verdict *verdict, const char *host, int rank, int grave,
                                                       const char *format, ...);

/* What this rank is; takes its device. */
int facts_gather(struct comm *comm, const struct backend *backend, const struct doctor_request *request,
                 struct facts *facts);
/* What differs between ranks though it must not, or is much less than others have. On rank 0, over all ranks. */
void facts_judge(const struct facts *facts, int ranks, struct verdict *verdict);
/* A line for each fact: the value that most have, and who has another. As JSON: an array of objects, one a rank; NULL: out of memory. */
void facts_print(const struct facts *facts, int ranks, FILE *out);
cJSON *facts_json(const struct facts *facts, int ranks);

/* Measures; *network is the caller's, who ends with network_free(), whatever the status. */
int network_measure(struct comm *comm, int quick, struct network *network);
void network_judge(const struct network *network, const struct comm *comm, struct verdict *verdict);
void network_print(const struct network *network, const struct comm *comm, FILE *out);
cJSON *network_json(const struct network *network, const struct comm *comm);
void network_free(struct network *network);

/* A step of the config's model on this rank's device, alone, for so many seconds, on all ranks at once. `usable`: this rank has a
 * device. */
int compute_check(struct comm *comm, const struct backend *backend, const struct config *config, double seconds,
                  int usable, struct computed *computed);
void compute_judge(const struct computed *computed, const struct facts *facts, int ranks, struct verdict *verdict);
void compute_print(const struct computed *computed, const struct facts *facts, int ranks, FILE *out);
cJSON *compute_json(const struct computed *computed, int ranks);

/* All of it, printed to `out` by rank 0. *verdict is the same on all ranks. */
int doctor_run(struct comm *comm, const struct doctor_request *request, FILE *out, struct verdict *verdict);

/* The median of `count` numbers, whose order changes; 0 of none. */
double doctor_median(double *numbers, int count);

#endif
