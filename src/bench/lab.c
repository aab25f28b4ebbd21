#include "bench/lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "infer/generate.h"
#include "plan/tree.h"
#include "run/run.h"

void lab_ceilings(const struct backend *backend, struct ceilings *ceilings) {
    for (int kind = 0; kind < CEILING_COUNT; kind++) ceilings->rate[kind] = backend->ceiling((enum ceiling)kind, 0.5);
}

/* What is measured: a loaded plan, and what its ops took. */
struct bench {
    const struct lab_request *request;
    struct comm comm;
    struct run run;
    double *op_s;    /* [rounds][ops]: seconds, summed over one round */
    double *round_s; /* [rounds]: all ops */
    int *times;      /* [ops]: in one round */
    int round;       /* negative: to warm up */
};

static int run_segment(struct bench *b, enum segment segment) {
    struct run *run = &b->run;
    const struct plan *plan = run->plan;
    TRY(run_write_block(run));
    for (int i = plan->segment_begin[segment]; i < plan->segment_end[segment]; i++) {
        if (op_info[plan->ops[i].kind].lane == LANE_COMM) continue;
        double begin = clock_seconds();
        TRY(run->backend->run_op(run->exec, i));
        double took = clock_seconds() - begin;
        if (b->round < 0) continue;
        b->op_s[(int64_t)b->round * plan->n_ops + i] += took;
        b->round_s[b->round] += took;
        if (b->round == 0) b->times[i]++;
    }
    return 0;
}

static int run_slot(struct bench *b, int i) {
    struct run *run = &b->run;
    const struct plan *plan = run->plan;
    int slot = plan->slot_lo + i * plan->slot_step;
    enum segment after = plan_after_slot(plan, i);
    run->block.slot = (uint32_t)slot;
    tree_fold(plan->slots, plan->slot_lo, slot, &run->block.held, &run->block.fold);
    for (int micro = 0; micro < plan->micro_batches; micro++) {
        run->block.micro = (uint32_t)micro;
        TRY(run_segment(b, plan_micro_segment(plan, i, micro)));
    }
    return after == SEG_COUNT ? 0 : run_segment(b, after);
}

static int run_round(struct bench *b) {
    struct run *run = &b->run;
    const struct plan *plan = run->plan;
    if (b->request->generate) {
        run->block.position = 0;
        TRY(run_segment(b, SEG_PREFILL));
        run->block.position = run->config->model.context - 1; /* the dearest token: all keys are there */
        return run_segment(b, SEG_DECODE);
    }
    run->block.step = (uint32_t)(b->round + 1);
    for (int i = 0; i < plan_n_slots(plan); i++) TRY(run_slot(b, i));
    return run_segment(b, SEG_UPDATE);
}

static int open_bench(struct bench *b) {
    const struct lab_request *request = b->request;
    const struct config *config = request->config;
    struct plan_request plan = {.segments = 1u << SEG_MICRO_FIRST,
                                .ranks = request->ranks,
                                .batch = (int)config->train.micro_batch,
                                .time = (int)config->train.seq_len};
    if (request->generate) {
        plan.segments = 1u << SEG_PREFILL;
        plan.batch = 1;
        plan.time = (int)config->model.context;
        plan.prefill = generate_prefill(config);
    }
    TRY(run_open(&b->run, config, &plan, &b->comm, NULL));
    size_t ops = (size_t)b->run.plan->n_ops, rounds = (size_t)request->rounds;
    b->op_s = calloc(ops * rounds, sizeof *b->op_s);
    b->round_s = calloc(rounds, sizeof *b->round_s);
    b->times = calloc(ops, sizeof *b->times);
    if (!b->op_s || !b->round_s || !b->times) return fail(STATUS_FAILED, "out of memory");
    b->run.block.lr = 1e-4;
    b->run.block.grad_scale = b->run.block.weight = 1;
    TRY(run_init(&b->run));
    return run_write_random(&b->run);
}

static void close_bench(struct bench *b) {
    run_close(&b->run);
    free(b->op_s);
    free(b->round_s);
    free(b->times);
}

static void append_shape(char text[96], const struct plan *plan, int id) {
    if (id == NONE || plan->bufs[id].type == DTYPE_I32) return;
    const struct buf *buf = &plan->bufs[id];
    size_t used = strlen(text);
    used += (size_t)snprintf(text + used, 96 - used, "%s%s[", used ? " " : "", dtype_name(buf->type));
    for (int i = 0; i < buf->rank && used < 96; i++)
        used += (size_t)snprintf(text + used, 96 - used, "%s%lld", i ? "," : "", (long long)buf->dim[i]);
    if (used < 96) snprintf(text + used, 96 - used, "]");
}

/* The first two operands tell a shape well enough; an op without inputs is told by what it writes. */
static void describe(char text[96], const struct plan *plan, const struct op *op) {
    text[0] = '\0';
    for (int k = 0; k < 2; k++) append_shape(text, plan, op->in[k]);
    if (!text[0]) append_shape(text, plan, op->out[0]);
    size_t used = strlen(text);
    if (op->attr.heads)
        snprintf(text + used, 96 - used, " %lld x %lld heads", (long long)op->attr.batch, (long long)op->attr.heads);
}

static struct lab_row *find_row(struct lab *lab, const char *op, const char *shapes) {
    for (int i = 0; i < lab->count; i++)
        if (!strcmp(lab->rows[i].op, op) && !strcmp(lab->rows[i].shapes, shapes)) return &lab->rows[i];
    struct lab_row *row = &lab->rows[lab->count++];
    memset(row, 0, sizeof *row);
    snprintf(row->op, sizeof row->op, "%s", op);
    snprintf(row->shapes, sizeof row->shapes, "%s", shapes);
    return row;
}

double lab_floor(const struct lab *lab, const struct lab_row *row, const struct ceilings *ceilings) {
    double work = ceilings->rate[lab->products], copy = ceilings->rate[CEILING_COPY];
    double compute = work > 0 ? row->flops / work : 0, traffic = copy > 0 ? row->bytes / copy : 0;
    return compute > traffic ? compute : traffic;
}

static int slower(const void *a, const void *b) {
    double x = ((const struct lab_row *)a)->seconds.median, y = ((const struct lab_row *)b)->seconds.median;
    return (x < y) - (x > y);
}

/* Adds up the ops of one kind and shape, round by round. `row_s` is [rounds][ops]. */
static void make_rows(const struct bench *b, struct lab *lab, double *row_s) {
    const struct plan *plan = b->run.plan;
    int rounds = b->request->rounds;
    for (int i = 0; i < plan->n_ops; i++) {
        const struct op *op = &plan->ops[i];
        char shapes[96];
        if (!b->times[i]) continue;
        describe(shapes, plan, op);
        struct lab_row *row = find_row(lab, op_info[op->kind].name, shapes);
        row->times += b->times[i];
        row->flops += (double)plan_op_flops(plan, op) * b->times[i];
        row->bytes += (double)plan_op_bytes(plan, op) * b->times[i];
        for (int r = 0; r < rounds; r++) row_s[(row - lab->rows) * rounds + r] += b->op_s[(int64_t)r * plan->n_ops + i];
    }
    for (int i = 0; i < lab->count; i++) {
        struct lab_row *row = &lab->rows[i];
        row->seconds = spread_of(row_s + (int64_t)i * rounds, rounds);
        lab->flops += row->flops;
    }
    lab->step_s = spread_of(b->round_s, rounds);
    lab->rounds = rounds;
    lab->products = ceiling_of_products(b->run.plan->bufs[b->run.plan->flat_copy].type);
    qsort(lab->rows, (size_t)lab->count, sizeof *lab->rows, slower);
}

static int measure(struct bench *b, struct lab *lab) {
    TRY(open_bench(b));
    for (b->round = -1; b->round < b->request->rounds; b->round++) TRY(run_round(b));
    size_t ops = (size_t)b->run.plan->n_ops;
    double *row_s = calloc(ops * (size_t)b->request->rounds, sizeof *row_s);
    lab->rows = calloc(ops, sizeof *lab->rows);
    if (row_s && lab->rows) make_rows(b, lab, row_s);
    free(row_s);
    return lab->count ? 0 : fail(STATUS_FAILED, "out of memory, or a plan without ops");
}

int lab_measure(const struct lab_request *request, struct lab *lab) {
    struct bench b = {.request = request, .comm = {.transport = &transport_self, .size = 1, .local_size = 1}};
    memset(lab, 0, sizeof *lab);
    snprintf(lab->name, sizeof lab->name, "%s", request->name);
    int status = measure(&b, lab);
    close_bench(&b);
    return status;
}

void lab_free(struct lab *lab) {
    free(lab->rows);
    lab->rows = NULL;
}
