/* One rank, nobody to talk to. */
#include "comm/comm.h"

#include "base/check.h"

static int self_open(struct comm *comm) {
    comm->rank = 0;
    comm->size = 1;
    return 0;
}

static int self_exchange(struct comm *comm, const struct comm_message *sends, int n_sends,
                         const struct comm_message *receives, int n_receives) {
    (void)comm, (void)sends, (void)receives;
    return n_sends || n_receives ? fail(STATUS_FAILED, "comm self: a message to another rank") : 0;
}

static int self_gather(struct comm *comm, void *base, const int64_t *offset, const int64_t *bytes) {
    (void)comm, (void)base, (void)offset, (void)bytes;
    return 0;
}

static int self_largest(struct comm *comm, int *value) {
    (void)comm, (void)value;
    return 0;
}

static int self_broadcast(struct comm *comm, void *data, int64_t bytes) {
    (void)comm, (void)data, (void)bytes;
    return 0;
}

static void self_close(struct comm *comm) { (void)comm; }
static void self_stop(struct comm *comm, int status) { (void)comm, (void)status; }

const struct transport transport_self = {
    "self", self_open, self_exchange, self_gather, self_largest, self_broadcast, self_close, self_stop,
};
