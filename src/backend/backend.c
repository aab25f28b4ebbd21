#include "backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#ifdef LOCKSTEP_CUDA
#include "backend/cuda/cuda.h"
#include "base/log.h"
#endif

#ifdef LOCKSTEP_CUDA
/* All ranks compute on the same kind of device, since kinds differ in bits; and none of them goes without its GPU in silence. */
static int choose_for_all(struct comm *comm, const struct backend **backend) {
    struct gpu_survey survey;
    TRY(cuda_survey(comm, &survey));
    if (survey.found && survey.lacking != NONE) {
        comm->agreed = comm->common = 1; /* all ranks know */
        comm->speaker = 0;
        return fail(
            STATUS_FAILED,
            "rank %d on %s has no GPU that can be used, while others have: see nvidia-smi there; 'backend: cpu' "
            "computes on the CPUs of all",
            survey.lacking, comm->peers[survey.lacking].host);
    }
    if (survey.found && (survey.sharing == NONE || survey.may_share)) *backend = &backend_cuda;
    if (survey.sharing != NONE && !survey.may_share && comm->rank == 0)
        log_line("the CPU computes: rank %d on %s shares its GPU with another; start one rank a GPU to use them",
                 survey.sharing, comm->peers[survey.sharing].host);
    return 0;
}
#endif

int backend_choose(int choice, struct comm *comm, const struct backend **backend) {
    *backend = choice == BACKEND_NULL ? &backend_null : &backend_cpu;
#ifdef LOCKSTEP_CUDA
    if (choice == BACKEND_CUDA) *backend = &backend_cuda;
    return choice == BACKEND_AUTO ? choose_for_all(comm, backend) : 0;
#else
    (void)comm;
    if (choice != BACKEND_CUDA) return 0;
    return fail(STATUS_USAGE, "backend: cuda: this build is without CUDA; install the toolkit and build again with "
                              "-DLOCKSTEP_CUDA=ON, or use 'backend: cpu'");
#endif
}

enum ceiling ceiling_of_products(enum dtype type) {
    return type == DTYPE_F64 ? CEILING_MATRIX_F64 : type == DTYPE_BF16 ? CEILING_MATRIX_BF16 : CEILING_MATRIX_F32;
}

enum dtype backend_type_of_values(const struct plan *plan, const struct op *op) {
    for (int k = 0; k < MAX_OUT + MAX_IN; k++) {
        int id = k < MAX_OUT ? op->out[k] : op->in[k - MAX_OUT];
        if (id == NONE) continue;
        enum dtype type = plan->bufs[id].type;
        if (type == DTYPE_BF16 || type == DTYPE_F16) return type;
    }
    return plan->bufs[plan->flat_params].type;
}

struct comm_sum backend_sum(const struct plan *plan, void *const *data, const struct op *op, int64_t *counts) {
    const struct buf *in = &plan->bufs[op->in[0]];
    struct comm_sum sum = {.in = data[op->in[0]], .out = data[op->out[0]], .elems = buf_elems(in)};
    sum.type = in->type == DTYPE_BF16 ? COMM_BF16 : in->type == DTYPE_F64 ? COMM_F64 : COMM_F32;
    for (int r = 0; op->kind == OP_reduce_scatter && r < plan->request.ranks; r++) {
        struct span piece = plan_piece(plan, op->attr.bucket, r);
        counts[r] = piece.end - piece.begin;
        sum.counts = counts;
    }
    return sum;
}

void backend_name_communication(const struct op *op, char text[96]) {
    if (op->attr.end > op->attr.begin)
        snprintf(text, 96, "%s of elements [%lld, %lld)", op_info[op->kind].name, (long long)op->attr.begin,
                 (long long)op->attr.end);
    else
        snprintf(text, 96, "%s", op_info[op->kind].name);
}

int backend_poisons(void) {
    const char *poison = getenv("LOCKSTEP_POISON");
    return poison && !strcmp(poison, "1");
}

int backend_each_dead(const struct plan *plan, const struct op *op, int (*each)(void *context, int buf),
                      void *context) {
    for (int k = 0; k < MAX_OUT + MAX_IN; k++) {
        int id = k < MAX_OUT ? op->out[k] : op->in[k - MAX_OUT];
        if (id == NONE || plan->bufs[id].kind != BUF_ACT || plan->bufs[id].last != op->at) continue;
        if (op->out[0] != NONE && plan->bufs[op->out[0]].takes == id) continue;
        TRY(each(context, id));
    }
    int micro = op->segment == SEG_MICRO_FIRST || op->segment == SEG_MICRO_NEXT || op->segment == SEG_MICRO_LAST;
    for (int u = 0; micro && u < plan->n_units; u++)
        if (plan->bufs[plan->units[u].buf].last == op->at) TRY(each(context, plan->units[u].buf));
    return 0;
}

/* The entry for a root buffer of the store; one is added unless a plan before made it. */
static int store_entry(struct store *store, const struct buf *buf, backend_new *make, void *context, void **data) {
    int64_t bytes = buf_bytes(buf);
    for (int i = 0; i < store->count; i++)
        if (!strcmp(store->entry[i].name, buf->name)) {
            if (store->entry[i].bytes != bytes)
                return fail(STATUS_FAILED, "store: %s has %lld bytes, the plan wants %lld", buf->name,
                            (long long)store->entry[i].bytes, (long long)bytes);
            *data = store->entry[i].data;
            return 0;
        }
    if (store->count == (int)(sizeof store->entry / sizeof *store->entry))
        return fail(STATUS_FAILED, "store: too many entries");
    struct store_entry *entry = &store->entry[store->count];
    snprintf(entry->name, sizeof entry->name, "%s", buf->name);
    entry->bytes = bytes;
    TRY(make(context, &entry->data, bytes, buf->name));
    store->count++;
    *data = entry->data;
    return 0;
}

int backend_place(const struct plan *plan, struct store *store, char *arena, backend_new *make, void *context,
                  void **data) {
    for (int b = 0; b < plan->n_bufs; b++) {
        const struct buf *buf = &plan->bufs[b];
        if (buf->alias != NONE)
            data[b] = (char *)data[buf->alias] + buf->offset;
        else if (buf->kind == BUF_PARAM || buf->kind == BUF_STATE)
            TRY(store_entry(store, buf, make, context, &data[b]));
        else
            data[b] = arena + buf->offset;
    }
    return 0;
}

static void set_view(const struct plan *plan, void *const *data, int buf, struct view *view) {
    if (buf == NONE) return;
    view->data = data[buf];
    memcpy(view->dim, plan->bufs[buf].dim, sizeof view->dim);
}

void backend_set_args(const struct plan *plan, void *const *data, const struct op *op, struct kernel_args *args) {
    for (int k = 0; k < MAX_OUT; k++) set_view(plan, data, op->out[k], &args->out[k]);
    for (int k = 0; k < MAX_IN; k++) set_view(plan, data, op->in[k], &args->in[k]);
    args->add = op->add;
    args->step = data[plan->step];
}
