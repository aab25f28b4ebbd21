/* A backend loads a plan on a device and runs its segments.
 *
 * load() makes every allocation: the arena, scratch, and the store entries that are missing; it rejects by name an op that
 * has no kernel. run() never allocates. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include "base/trace.h"
#include "comm/comm.h"
#include "plan/plan.h"

struct exec; /* a plan loaded on one device; opaque */

/* What a device is measured against: large matrix products, in FLOP/s, and copies of memory, in bytes read and written a
 * second. */
enum ceiling { CEILING_MATRIX_F32, CEILING_MATRIX_F64, CEILING_MATRIX_BF16, CEILING_COPY, CEILING_COUNT };

/* What products of values of this type are measured against. */
enum ceiling ceiling_of_products(enum dtype type);

enum copy_direction { COPY_TO_DEVICE, COPY_TO_HOST };

/* What a rank computes on, for who compares ranks. */
struct device_info {
    char name[128];              /* "NVIDIA H200"; of a CPU its processor */
    char id[48];                 /* of this one among all of its kind; "" where there is none */
    char versions[128];          /* of what it computes with, as it was found at run time: driver, libraries */
    int threads;                 /* of the host that compute; 0: the device does */
    int64_t memory, free_memory; /* bytes; 0: not known */
};

struct backend {
    const char *name;
    /* Takes this rank's device, as load() would with the same `comm`, and tells what it is. */
    int (*describe)(const struct comm *comm, struct device_info *info);
    /* `plan`, `store` and `comm` stay the caller's and must outlive *exec. */
    int (*load)(const struct plan *plan, struct store *store, struct comm *comm, struct exec **exec);
    int (*run)(struct exec *exec, enum segment segment);
    /* One op of the plan, by its number, and waits for it: what run() does, piece by piece, for measuring. */
    int (*run_op)(struct exec *exec, int op);
    /* Returns when all that was run is done. Where that waits for other ranks it fails as comm_wait() does. */
    int (*wait)(struct exec *exec);
    /* From now on each op that runs is added to `trace`, which is the caller's and knows the plan's ops; NULL: no more. Called once after
     * load(), before anything runs, when it may allocate. A device with clocks of its own records at wait(). NULL where ops are not timed. */
    int (*trace)(struct exec *exec, struct trace *trace);
    /* Between `host` and bytes [offset, offset + bytes) of buffer `buf`. */
    int (*copy)(struct exec *exec, int buf, int64_t offset, void *host, int64_t bytes, enum copy_direction direction);
    void (*unload)(struct exec *exec);
    void (*free_store)(struct store *store);
    /* Where a library chooses among algorithms that differ in bits: what it chose, a line each, which lives as long as the exec; and to use
     * what a checkpoint kept. *missing: how many choices are not among those, and stay. NULL: there is no choice. */
    const char *(*choices)(const struct exec *exec);
    int (*use_choices)(struct exec *exec, const char *choices, int *missing);
    /* By how many bytes the device's memory was too small in the last load() that failed; 0 where it was not that. NULL: not told. */
    int64_t (*short_of)(void);
    /* Where the host cannot read the store: memory that is copied to and from the device the fastest. NULL: it can. */
    int (*host_new)(void **memory, int64_t bytes);
    void (*host_free)(void *memory);
    /* The best that this device reached in about `seconds` of trying; 0 if there is no device. */
    double (*ceiling)(enum ceiling kind, double seconds);
};

extern const struct backend backend_cpu, backend_null, backend_cuda; /* cuda: in builds with LOCKSTEP_CUDA */

/* The backend that the config asks for (enum backend_choice), the same on all ranks of `comm` (NULL: there is one): collective. "auto" is cuda
 * where this build has it and each rank has a GPU of its own; it says why not where ranks share GPUs, and fails where only some have
 * one. Fails where this build has not what is asked for. */
int backend_choose(int choice, struct comm *comm, const struct backend **backend);

/* What backends share. The type of an op's values: that of half an operand where there is one, else that of the parameters (losses are f64 in every
 * plan). */
enum dtype backend_type_of_values(const struct plan *plan, const struct op *op);

/* Finds each buffer's place in the device's memory: data[buf]. `make` makes zeroed memory for an entry of the store that is missing. */
typedef int backend_new(void *context, void **memory, int64_t bytes, const char *what);
int backend_place(const struct plan *plan, struct store *store, char *arena, backend_new *make, void *context,
                  void **data);
/* Operands, the add bits and the step block, of what an op's kernel is given. */
void backend_set_args(const struct plan *plan, void *const *data, const struct op *op, struct kernel_args *args);

/* What a library that adds is given; `counts` has room for a number a rank. */
struct comm_sum backend_sum(const struct plan *plan, void *const *data, const struct op *op, int64_t *counts);
/* "exchange of elements [0, 10)". */
void backend_name_communication(const struct op *op, char text[96]);

/* With the environment variable LOCKSTEP_POISON=1 backends fill every value with NaN when it is loaded and again
 * when it dies, so that reading memory that no longer holds what was meant shows at once. For tests: it costs time. */
int backend_poisons(void);
/* Calls `each` for the values that die with this op, unless their memory has been taken over. */
int backend_each_dead(const struct plan *plan, const struct op *op, int (*each)(void *context, int buf), void *context);

#endif
