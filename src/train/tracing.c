/* The timeline of --trace: some steps of all ranks, in one file that rank 0 writes as soon as they are done. What each rank recorded
 * comes to it as text, piece by piece, through memory that was allocated at the start. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/folders.h"
#include "base/log.h"
#include "train/trainer.h"

enum {
    PIECE = 1 << 16,
    WARM_UP = 2, /* steps that are slower than those after them */
    STEPS = 5,
    MEETINGS = 16 /* for comparing clocks */
};

static int cannot_write(const char *path, int error) {
    return fail(STATUS_FAILED, "--trace %s: cannot write: %s", path, strerror(error));
}

/* Nothing is made yet: that comes when it is certain that the run begins. */
static int check_path(const char *path) {
    char folder[PATH_SIZE], above[PATH_SIZE];
    struct stat info;
    if (!*path) return fail(STATUS_USAGE, "--trace: the file's name is empty");
    if (path_is_folder(path)) return fail(STATUS_USAGE, "--trace %s: this is a folder; name a file", path);
    if (path[strlen(path) - 1] == '/') return fail(STATUS_USAGE, "--trace %s: this names a folder; name a file", path);
    if (!stat(path, &info)) return access(path, W_OK) ? cannot_write(path, errno) : 0;
    if (errno != ENOENT) return cannot_write(path, errno);
    TRY(path_parent(folder, path));
    while (stat(folder, &info)) {
        if (errno != ENOENT) return cannot_write(path, errno);
        TRY(path_parent(above, folder));
        strcpy(folder, above);
    }
    if (!S_ISDIR(info.st_mode)) return cannot_write(path, ENOTDIR);
    return access(folder, W_OK | X_OK) ? cannot_write(path, errno) : 0;
}

int tracing_check(const struct trainer *t) {
    const struct train_options *o = t->options;
    if (!o->trace || t->comm->rank) return 0;
    if (o->trace_end && o->trace_first >= t->config->train.steps)
        return fail(STATUS_USAGE, "--trace-steps %lld:%lld: the last step is %lld (train.steps is %lld)",
                    (long long)o->trace_first, (long long)o->trace_end, (long long)t->config->train.steps - 1,
                    (long long)t->config->train.steps);
    return check_path(o->trace);
}

int tracing_open(struct trainer *t) {
    struct tracing *tracing = &t->tracing;
    struct run *run = &t->run;
    if (!t->options->trace) return 0;
    TRY(trace_open(&tracing->trace, TRACE_SLICES));
    TRY(plan_labels(run->plan, &tracing->labels));
    tracing->trace.ops = tracing->labels;
    tracing->piece = malloc(PIECE);
    tracing->ranks = calloc((size_t)t->comm->size, sizeof *tracing->ranks);
    if (!tracing->piece || !tracing->ranks) return fail(STATUS_FAILED, "out of memory for a timeline");
    t->trace = &tracing->trace;
    return run->backend->trace ? run->backend->trace(run->exec, t->trace) : 0;
}

int tracing_open_file(struct trainer *t) {
    const struct train_options *o = t->options;
    struct tracing *tracing = &t->tracing;
    char folder[PATH_SIZE];
    int64_t steps = t->config->train.steps;
    if (!t->trace) return 0;
    tracing->first = o->trace_first;
    tracing->end = o->trace_end;
    if (!o->trace_end) {
        tracing->first = t->step + WARM_UP < steps ? t->step + WARM_UP : t->step;
        tracing->end = tracing->first + STEPS;
    }
    if (tracing->end > steps) tracing->end = steps;
    if (tracing->end <= t->step && o->trace_end)
        return fail(STATUS_USAGE, "--trace-steps %lld:%lld: these steps are done; the run goes on with step %lld",
                    (long long)o->trace_first, (long long)o->trace_end, (long long)t->step);
    if (tracing->first < t->step) tracing->first = t->step;
    if (t->comm->rank) return 0;
    if (path_parent(folder, o->trace) || folders_make(folder))
        return fail_within(STATUS_FAILED, "--trace %s: ", o->trace);
    tracing->file = fopen(o->trace, "w");
    if (!tracing->file) return cannot_write(o->trace, errno);
    if (!t->run.backend->trace) log_line("timeline: backend %s does not time its ops", t->run.backend->name);
    return 0;
}

void tracing_begin_step(struct trainer *t) {
    if (t->trace && t->step == t->tracing.first) trace_start(t->trace);
}

int tracing_end_step(struct trainer *t) { return t->trace && t->step == t->tracing.end ? tracing_finish(t) : 0; }

/* How far this rank's clock is ahead of rank 0's. Nobody leaves a meeting before all have entered it, so
 *     entered here, one meeting later  >=  entered there        left there  >=  entered here        (times of one clock)
 * bound the difference from both sides; meetings that go fast bound it well. Ranks of one host have one clock, and there 0 is between the bounds. */
static int compare_clocks(struct trainer *t) {
    struct tracing_rank *ranks = t->tracing.ranks, mine = {0};
    double least = -HUGE_VAL, most = HUGE_VAL;
    for (int i = 0; i < MEETINGS; i++) {
        double before = mine.entered, zero_before = ranks[0].entered;
        mine.entered = clock_seconds();
        if (i && mine.entered - zero_before < most) most = mine.entered - zero_before;
        TRY(comm_gather_equal(t->comm, &mine, ranks, sizeof mine));
        mine.left = clock_seconds();
        if (i && before - ranks[0].left > least) least = before - ranks[0].left;
    }
    if (least > 0 || most < 0) {
        mine.ahead = (least + most) / 2;
        mine.doubt = (most - least) / 2;
    }
    mine.begin = t->trace->count ? t->trace->slices[0].begin : HUGE_VAL;
    mine.slices = t->trace->count;
    mine.left_out = t->trace->left_out;
    return comm_gather_equal(t->comm, &mine, ranks, sizeof mine);
}

/* Where the file cannot be written the other ranks hand over theirs all the same. */
static void write_piece(struct trainer *t, int64_t bytes) {
    struct tracing *tracing = &t->tracing;
    if (!tracing->error && fwrite(tracing->piece, 1, (size_t)bytes, tracing->file) != (size_t)bytes)
        tracing->error = errno;
}

/* One rank's part of the text, to the file. */
static int write_rank(struct trainer *t, int rank, double origin) {
    struct tracing *tracing = &t->tracing;
    struct comm *comm = t->comm;
    if (comm->rank && comm->rank != rank) return 0;
    struct trace_process process = {rank, comm->host, origin + tracing->ranks[rank].ahead, tracing->ranks[rank].doubt,
                                    0};
    for (int64_t bytes = 1; bytes;) {
        if (comm->rank == rank) bytes = trace_text(t->trace, &process, tracing->piece, PIECE);
        TRY(comm_to_first(comm, rank, &bytes, sizeof bytes));
        if (bytes) TRY(comm_to_first(comm, rank, tracing->piece, bytes));
        if (comm->rank == 0) write_piece(t, bytes);
    }
    return 0;
}

static void write_end(struct trainer *t, int64_t slices, int64_t left_out) {
    const struct tracing *tracing = &t->tracing;
    char name[600], build[600];
    double doubt = 0;
    for (int r = 0; r < t->comm->size; r++)
        if (tracing->ranks[r].doubt > doubt) doubt = tracing->ranks[r].doubt;
    trace_quote(name, sizeof name, t->config->name);
    trace_quote(build, sizeof build, t->options->build ? t->options->build : "");
    fprintf(tracing->file,
            "\n],\"displayTimeUnit\":\"ms\",\"otherData\":{\"program\":\"lockstep\",\"build\":%s,\"run\":%s,"
            "\"backend\":\"%s\","
            "\"ranks\":%d,\"steps\":\"%lld:%lld\",\"slices\":%lld,\"left_out\":%lld,\"clocks_agree_to_us\":%.1f}}\n",
            build, name, t->run.backend->name, t->comm->size, (long long)tracing->first, (long long)t->step,
            (long long)slices, (long long)left_out, 1e6 * doubt);
}

/* The file is whole, or is not there; what is no file, such as /dev/null, stays. */
static void remove_file(const char *path) {
    struct stat info;
    if (!stat(path, &info) && S_ISREG(info.st_mode)) unlink(path);
}

/* By rank 0. */
static void close_file(struct trainer *t) {
    struct tracing *tracing = &t->tracing;
    const char *path = t->options->trace;
    int64_t slices = 0, left_out = 0;
    for (int r = 0; r < t->comm->size; r++) {
        slices += tracing->ranks[r].slices;
        left_out += tracing->ranks[r].left_out;
    }
    write_end(t, slices, left_out);
    if (fflush(tracing->file) && !tracing->error) tracing->error = errno;
    if (fclose(tracing->file) && !tracing->error) tracing->error = errno;
    tracing->file = NULL;
    if (tracing->error) {
        remove_file(path);
        log_line("timeline: %s could not be written: %s; training goes on", path, strerror(tracing->error));
        return;
    }
    log_line("timeline of steps %lld to %lld: %s; open it in https://ui.perfetto.dev or chrome://tracing",
             (long long)tracing->first, (long long)t->step - 1, path);
    if (left_out)
        log_line("timeline: %lld slices are left out: there is room for %d a rank; choose fewer steps with "
                 "--trace-steps",
                 (long long)left_out, TRACE_SLICES);
}

static int write_all(struct trainer *t) {
    const struct tracing_rank *ranks = t->tracing.ranks;
    double origin = HUGE_VAL;
    TRY(compare_clocks(t));
    for (int r = 0; r < t->comm->size; r++)
        if (ranks[r].begin - ranks[r].ahead < origin) origin = ranks[r].begin - ranks[r].ahead;
    if (t->tracing.file) fputs("{\"traceEvents\":[\n", t->tracing.file);
    for (int r = 0; r < t->comm->size; r++) TRY(write_rank(t, r, origin));
    if (t->comm->rank == 0) close_file(t);
    return 0;
}

int tracing_finish(struct trainer *t) {
    const struct backend *backend = t->run.backend;
    const struct comm_phase before = t->comm->phase;
    if (!t->trace || t->step <= t->tracing.first) return 0;
    trace_stop(t->trace);
    if (backend->trace) TRY(backend->trace(t->run.exec, NULL));
    trainer_file_phase(t, "the file of the timeline");
    int status = write_all(t);
    t->comm->phase = before;
    t->trace = NULL;
    return status;
}

void tracing_close(struct trainer *t) {
    struct tracing *tracing = &t->tracing;
    if (tracing->file) { /* the run ended before it was written */
        fclose(tracing->file);
        remove_file(t->options->trace);
    }
    free(tracing->labels);
    free(tracing->piece);
    free(tracing->ranks);
    trace_close(&tracing->trace);
}
