/* The backend that computes nothing: it walks the plan as a device would. Read it first. It shows what a backend must do,
 * and times the trainer's own overhead (backend: null). */
#include "backend/backend.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct exec {
    const struct plan *plan;
    char *host; /* what copy() writes and reads: inputs and results, never values or parameters */
    int64_t ops_run;
};

static int null_load(const struct plan *plan, struct store *store, struct comm *comm, struct exec **exec) {
    (void)store, (void)comm;
    *exec = calloc(1, sizeof **exec);
    if (*exec) (*exec)->host = calloc(1, (size_t)plan->persistent_bytes + 1);
    if (!*exec || !(*exec)->host) return fail(STATUS_FAILED, "backend null: out of memory");
    (*exec)->plan = plan;
    return 0;
}

static int null_run_op(struct exec *exec, int op) {
    (void)op;
    exec->ops_run++;
    return 0;
}

static int null_run(struct exec *exec, enum segment segment) {
    const struct plan *plan = exec->plan;
    for (int i = plan->segment_begin[segment]; i < plan->segment_end[segment]; i++) null_run_op(exec, i);
    return 0;
}

static int null_wait(struct exec *exec) {
    (void)exec;
    return 0;
}

static int null_copy(struct exec *exec, int buf, int64_t offset, void *host, int64_t bytes,
                     enum copy_direction direction) {
    int64_t inside;
    const struct buf *root = &exec->plan->bufs[buf_root(exec->plan, buf, &inside)];
    if (root->kind == BUF_PARAM || root->kind == BUF_STATE || root->kind == BUF_ACT || root->kind == BUF_LEAF) {
        if (direction == COPY_TO_HOST) memset(host, 0, (size_t)bytes);
        return 0;
    }
    char *device = exec->host + root->offset + inside + offset;
    if (direction == COPY_TO_DEVICE)
        memcpy(device, host, (size_t)bytes);
    else
        memcpy(host, device, (size_t)bytes);
    return 0;
}

static void null_unload(struct exec *exec) {
    if (exec) free(exec->host);
    free(exec);
}

static void null_free_store(struct store *store) { store->count = 0; }
static double null_ceiling(enum ceiling kind, double seconds) {
    (void)kind, (void)seconds;
    return 0;
}

static int null_describe(const struct comm *comm, struct device_info *info) {
    (void)comm;
    *info = (struct device_info){.name = "nothing"};
    return 0;
}

const struct backend backend_null = {
    .name = "null",
    .describe = null_describe,
    .load = null_load,
    .run = null_run,
    .run_op = null_run_op,
    .wait = null_wait,
    .copy = null_copy,
    .unload = null_unload,
    .free_store = null_free_store,
    .ceiling = null_ceiling,
};
