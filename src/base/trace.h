/* A timeline of what this process did: slices on lanes, as text that ui.perfetto.dev and chrome://tracing show (docs/trace.md).
 *
 * Slices go into memory that is allocated once. When it is full nothing more is recorded: what is left out is counted, and the text
 * says so. Any thread may record. Where the trace is NULL, or not recording, nothing is recorded and nothing fails. Times are seconds of
 * clock_seconds(). */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <pthread.h>
#include <stdint.h>

enum {
    TRACE_SLICES = 1 << 17, /* that there is room for, 56 bytes each: 7 MiB a rank */
    TRACE_ROWS = 64,        /* things under way at once that get a row each */
    TRACE_ITEM = 4096       /* bytes that trace_text() needs room for, at least */
};

/* In the order in which they are shown. */
enum trace_lane {
    TRACE_STEP,       /* a slice a step */
    TRACE_EVALUATION, /* a slice each */
    TRACE_COMPUTE,    /* ops, one after the other */
    TRACE_WAITING,    /* for what training stands still */
    TRACE_COMM,       /* from a start to the end of its wait; in several rows, since they overlap */
    TRACE_DATA,       /* micro-batches being read */
    TRACE_CHECKPOINT, /* the files of a checkpoint being written */
    TRACE_LANES
};

/* What slices show. Made before anything is recorded; must outlive the trace, as must its strings. */
struct trace_label {
    const char *name;
    const char *segment, *out; /* of an op: its part of the step, and the buffer that it writes; NULL: none */
    int op, layer;             /* numbers; -1: none */
    int again;                 /* an op that computes once more what was dropped */
    int64_t flops;             /* 0: none, or not known */
    int64_t bytes;             /* read and written by an op, or sent by a communication; -1: not known */
};

/* One that is not an op's. */
#define TRACE_LABEL(text)                                                                                              \
    { .name = (text), .op = -1, .layer = -1, .bytes = -1 }

struct trace_slice {
    const struct trace_label *label, *of; /* of: what is waited for, or NULL */
    double begin, end, loss;              /* loss: of a step; 0 in others */
    int64_t step;                         /* -1: not told */
    short lane, row;                      /* row: among those of the lane */
    int unfinished;                       /* it had no end yet when recording stopped */
};

struct trace {
    const struct trace_label *ops; /* one an op of the plan, by number; for backends */
    pthread_mutex_t mutex;
    _Atomic int recording;
    struct trace_slice *slices;
    int64_t room, count, left_out;
    int rows[TRACE_LANES]; /* in use, once recording has stopped */
};

/* Room for so many slices; the trace does not record yet. */
int trace_open(struct trace *trace, int64_t room);
void trace_close(struct trace *trace); /* also of one that was never opened, and is all zero */

/* Recording begins, and ends for good: slices without an end are cut there, and all are put in order for trace_text(). */
void trace_start(struct trace *trace);
void trace_stop(struct trace *trace);

/* A slice that is over. */
void trace_add(struct trace *trace, enum trace_lane lane, const struct trace_label *label, const struct trace_label *of,
               double begin, double end);

/* One that begins now, and ends with trace_end() of the number that is returned; -1, which trace_end() passes over, where it is left
 * out. `step`: -1 to tell none. `loss` of a step is shown; 0 in others. */
int64_t trace_begin(struct trace *trace, enum trace_lane lane, const struct trace_label *label, int64_t step);
void trace_end(struct trace *trace, int64_t slice, double loss);

/* The process as the text shows it. */
struct trace_process {
    int rank;
    const char *host;
    double origin; /* this clock's time that is 0 in the text */
    double doubt;  /* by which times of other ranks may be off against these, in s; 0: they have one clock */
    int item;      /* for trace_text(): the next one; 0 at first */
};

/* The next piece of the text, after trace_stop(): whole items of a JSON array, with commas between them and in front of all but rank 0's
 * first. At most `room` bytes, without a 0 at the end. Returns how many; 0: that was all. */
int64_t trace_text(const struct trace *trace, struct trace_process *process, char *text, int64_t room);

/* `text` as a JSON string, with quotes; bytes that are no UTF-8 become U+FFFD. Cut short where `room` is less than 6 bytes for each of
 * the text's and 3 more. */
void trace_quote(char *out, int64_t room, const char *text);

#endif
