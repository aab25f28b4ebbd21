/* One rank, nobody to talk to. */
#include "base/check.h"
#include "comm/comm.h"

static int self_open(struct comm *comm) {
    comm->rank = 0;
    comm->size = 1;
    return 0;
}

static int self_reserve(struct comm *comm, int lines, const int *messages) {
    (void)comm, (void)lines, (void)messages;
    return 0;
}

static int self_start(struct comm *comm, int line, const struct comm_message *sends, int n_sends,
                      const struct comm_message *receives, int n_receives) {
    (void)comm, (void)line, (void)sends, (void)receives;
    return n_sends || n_receives ? fail(STATUS_FAILED, "comm self: a message to another rank") : 0;
}

static int self_test(struct comm *comm, int line, int *done) {
    (void)comm, (void)line;
    *done = 1;
    return 0;
}

static int self_missing(struct comm *comm, int line, int after) {
    (void)comm, (void)line, (void)after;
    return -1;
}

static void self_close(struct comm *comm) { (void)comm; }
static void self_warn(struct comm *comm) { (void)comm; }
static int self_warned(struct comm *comm) {
    (void)comm;
    return 0;
}
static void self_tell(struct comm *comm, int64_t word) { (void)comm, (void)word; }
static void self_hear(struct comm *comm, int64_t *words) { (void)comm, (void)words; }
static void self_stop(struct comm *comm, int status) { (void)comm, (void)status; }

const struct transport transport_self = {
    .name = "self",
    .open = self_open,
    .reserve = self_reserve,
    .start = self_start,
    .test = self_test,
    .missing = self_missing,
    .close = self_close,
    .warn = self_warn,
    .warned = self_warned,
    .tell = self_tell,
    .hear = self_hear,
    .stop = self_stop,
};
