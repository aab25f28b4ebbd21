#include "comm/nccl.h"

#include <stdio.h>

#include "base/check.h"

#ifdef LOCKSTEP_NCCL

#include <dlfcn.h>
#include <nccl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/thread.h"
#include "comm/watch.h"

#define NCCL_FUNCTIONS(F)                                                                                              \
    F(ncclGetVersion)                                                                                                  \
    F(ncclGetUniqueId)                                                                                                 \
    F(ncclCommInitRankConfig)                                                                                          \
    F(ncclCommGetAsyncError)                                                                                           \
    F(ncclCommAbort)                                                                                                   \
    F(ncclCommFinalize)                                                                                                \
    F(ncclCommDestroy)                                                                                                 \
    F(ncclGroupStart)                                                                                                  \
    F(ncclGroupEnd)                                                                                                    \
    F(ncclSend)                                                                                                        \
    F(ncclRecv)                                                                                                        \
    F(ncclAllReduce)                                                                                                   \
    F(ncclReduce)                                                                                                      \
    F(ncclGetErrorString)                                                                                              \
    F(ncclGetLastError)

static struct library {
#define FUNCTION(name) __typeof__(&name) name;
    NCCL_FUNCTIONS(FUNCTION)
#undef FUNCTION
    int open;
} lib;

struct nccl {
    struct comm *comm;
    ncclComm_t group;
    _Atomic int ended; /* by the thread that aborts it */
    int left;          /* that thread goes on, with this struct */
};

#ifdef LOCKSTEP_SHIM /* tests bring their own */

static int open_library(void) {
#define FUNCTION(name) lib.name = name;
    NCCL_FUNCTIONS(FUNCTION)
#undef FUNCTION
    return 0;
}

#else

static int open_library(void) {
    const char *named = getenv("LOCKSTEP_NCCL");
    void *library = dlopen(named ? named : "libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library && !named) library = dlopen(CUDA_LIBRARY_FOLDER "/libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fail(
            STATUS_FAILED,
            "more than one rank on GPUs needs NCCL, and libnccl.so.2 cannot be opened (%s); install it, or name "
            "the file in LOCKSTEP_NCCL",
            dlerror());
#define FUNCTION(name)                                                                                                 \
    *(void **)&lib.name = dlsym(library, #name);                                                                       \
    if (!lib.name) return fail(STATUS_FAILED, "this NCCL has no " #name "; 2.14 or newer has it");
    NCCL_FUNCTIONS(FUNCTION)
#undef FUNCTION
    return 0;
}

#endif

static int open_once(void) {
    if (!lib.open) TRY(open_library());
    lib.open = 1;
    return 0;
}

void nccl_library(char text[32]) {
    int version = 0;
    if (open_once() || lib.ncclGetVersion(&version) != ncclSuccess)
        snprintf(text, 32, "no NCCL");
    else
        snprintf(text, 32, "NCCL %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
}

/* Nothing more can be sent. An error is mostly another rank's end, of which comm_watch() can say more within this time; ranks that see it as
 * well wait a little longer, for the first to tell it. */
static int failed(struct nccl *n, ncclResult_t result, const char *doing) {
    enum { PATIENCE_S = 3 };
    const struct timespec moment = {0, 10000000};
    struct comm_watch watch = {0};
    const double end = clock_seconds() + PATIENCE_S + comm_patience(n->comm, -1);
    while (clock_seconds() < end) {
        TRY(comm_watch(n->comm, &watch));
        nanosleep(&moment, NULL);
    }
    n->comm->broken = 1;
    const char *last = lib.ncclGetLastError(n->group);
    return fail(STATUS_FAILED, "NCCL: %s while %s%s%s%s", lib.ncclGetErrorString(result), doing,
                last && *last ? " (" : "", last ? last : "", last && *last ? ")" : "");
}

static int check(struct nccl *n, ncclResult_t result, const char *doing) {
    return result == ncclSuccess ? 0 : failed(n, result, doing);
}

/* Calls of a communicator that does not block come back before they are done. */
static int settle(struct nccl *n, ncclResult_t result, const char *doing) {
    struct comm_watch watch = {0};
    while (result == ncclInProgress) {
        ncclResult_t now = ncclSuccess;
        TRY(check(n, lib.ncclCommGetAsyncError(n->group, &now), doing));
        result = now;
        if (result == ncclInProgress) {
            TRY(comm_watch(n->comm, &watch));
            sched_yield();
        }
    }
    return check(n, result, doing);
}

static int meet(struct nccl *n) {
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    struct comm *comm = n->comm;
    memset(&id, 0, sizeof id);
    int status = open_once();
    if (!status && comm->rank == 0) status = check(n, lib.ncclGetUniqueId(&id), "starting");
    TRY(comm_agree(comm, status));
    TRY(comm_broadcast(comm, &id, sizeof id));
    config.blocking = 0;
    return settle(n, lib.ncclCommInitRankConfig(&n->group, comm->size, id, comm->rank, &config),
                  "meeting the other ranks");
}

int nccl_open(struct comm *comm, struct nccl **nccl) {
    struct nccl *n = calloc(1, sizeof *n);
    if (!n) return fail(STATUS_FAILED, "out of memory for NCCL");
    n->comm = comm;
    *nccl = n;
    int status = meet(n);
    comm->broken |= status && !comm->agreed; /* others may still be waiting there */
    return status;
}

static int add_messages(struct nccl *n, const struct comm_message *list, int count, int receives, cudaStream_t stream) {
    for (int i = 0; i < count; i++) {
        const struct comm_message *m = &list[i];
        ncclResult_t result = receives ? lib.ncclRecv(m->data, (size_t)m->bytes, ncclUint8, m->peer, n->group, stream)
                                       : lib.ncclSend(m->data, (size_t)m->bytes, ncclUint8, m->peer, n->group, stream);
        if (result != ncclInProgress) TRY(check(n, result, receives ? "receiving" : "sending"));
    }
    return 0;
}

/* A group that was begun is ended, whatever happened inside. */
static int end_group(struct nccl *n, int status, const char *doing) {
    ncclResult_t result = lib.ncclGroupEnd();
    return status ? status : settle(n, result, doing);
}

int nccl_exchange(struct nccl *n, const struct comm_message *sends, int n_sends, const struct comm_message *receives,
                  int n_receives, cudaStream_t stream) {
    if (n_sends + n_receives == 0) return 0;
    TRY(check(n, lib.ncclGroupStart(), "sending"));
    int status = add_messages(n, sends, n_sends, 0, stream);
    if (!status) status = add_messages(n, receives, n_receives, 1, stream);
    return end_group(n, status, "sending");
}

static ncclDataType_t type_of(enum comm_type type) {
    return type == COMM_F32 ? ncclFloat : type == COMM_F64 ? ncclDouble : ncclBfloat16;
}

/* NCCL's reduce-scatter has parts of one size; ours differ, so each is a sum that goes to its owner. */
static int add_parts(struct nccl *n, const struct comm_sum *sum, cudaStream_t stream) {
    const size_t size = sum->type == COMM_F32 ? 4 : sum->type == COMM_F64 ? 8 : 2;
    const char *in = sum->in;
    for (int r = 0; r < n->comm->size; in += (size_t)sum->counts[r++] * size) {
        if (!sum->counts[r]) continue;
        ncclResult_t result =
            lib.ncclReduce(in, sum->out, (size_t)sum->counts[r], type_of(sum->type), ncclSum, r, n->group, stream);
        if (result != ncclInProgress) TRY(check(n, result, "adding"));
    }
    return 0;
}

int nccl_sum(struct nccl *n, const struct comm_sum *sum, cudaStream_t stream) {
    if (!sum->counts)
        return settle(
            n, lib.ncclAllReduce(sum->in, sum->out, (size_t)sum->elems, type_of(sum->type), ncclSum, n->group, stream),
            "adding");
    TRY(check(n, lib.ncclGroupStart(), "adding"));
    return end_group(n, add_parts(n, sum, stream), "adding");
}

int nccl_check(struct nccl *n) {
    ncclResult_t now = ncclSuccess;
    TRY(check(n, lib.ncclCommGetAsyncError(n->group, &now), "looking for errors"));
    return now == ncclInProgress ? 0 : check(n, now, "exchanging gradients or parameters");
}

static void *abort_in_thread(void *argument) {
    struct nccl *n = argument;
    lib.ncclCommAbort(n->group);
    n->ended = 1;
    return NULL;
}

/* The call itself has been seen to hang: then the process ends without it. */
void nccl_abort(struct nccl *n) {
    enum { PATIENCE_MS = 3000, LOOK_MS = 10 };
    const struct timespec moment = {0, LOOK_MS * 1000000L};
    pthread_t thread;
    if (!n || !n->group || n->left) return;
    if (thread_start(&thread, abort_in_thread, n)) return;
    for (int waited = 0; !n->ended && waited < PATIENCE_MS; waited += LOOK_MS) nanosleep(&moment, NULL);
    if (n->ended) {
        pthread_join(thread, NULL);
        n->group = NULL;
    } else {
        pthread_detach(thread);
        n->left = 1;
    }
}

void nccl_close(struct nccl *n) {
    if (!n || n->left) return;
    if (n->group && n->comm->broken) nccl_abort(n);
    if (n->left) return;
    if (n->group && !settle(n, lib.ncclCommFinalize(n->group), "ending")) lib.ncclCommDestroy(n->group);
    free(n);
}

#else

void nccl_library(char text[32]) { snprintf(text, 32, "no NCCL"); }

int nccl_open(struct comm *comm, struct nccl **nccl) {
    (void)comm, (void)nccl;
    return fail(STATUS_USAGE,
                "more than one rank on GPUs needs NCCL, and this build is without it: install nccl.h (package "
                "libnccl-dev), configure again and build; or use 'backend: cpu'");
}

int nccl_exchange(struct nccl *nccl, const struct comm_message *sends, int n_sends, const struct comm_message *receives,
                  int n_receives, cudaStream_t stream) {
    (void)nccl, (void)sends, (void)n_sends, (void)receives, (void)n_receives, (void)stream;
    return STATUS_FAILED;
}

int nccl_sum(struct nccl *nccl, const struct comm_sum *sum, cudaStream_t stream) {
    (void)nccl, (void)sum, (void)stream;
    return STATUS_FAILED;
}

int nccl_check(struct nccl *nccl) {
    (void)nccl;
    return 0;
}

void nccl_abort(struct nccl *nccl) { (void)nccl; }
void nccl_close(struct nccl *nccl) { (void)nccl; }

#endif
