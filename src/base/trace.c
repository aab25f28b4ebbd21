#include "base/trace.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/utf8.h"

/* Threads of the text's processes are numbered in the order in which they are shown; communication comes in rows. */
static const struct {
    const char *name;
    int thread;
} lanes[TRACE_LANES] = {
    [TRACE_STEP] = {"step", 1},
    [TRACE_EVALUATION] = {"evaluation", 2},
    [TRACE_COMPUTE] = {"compute", 3},
    [TRACE_WAITING] = {"waiting", 4},
    [TRACE_COMM] = {"communication", 10},
    [TRACE_DATA] = {"data", 100},
    [TRACE_CHECKPOINT] = {"checkpoint", 101},
};

int trace_open(struct trace *trace, int64_t room) {
    memset(trace, 0, sizeof *trace);
    trace->slices = malloc((size_t)room * sizeof *trace->slices + 1);
    if (!trace->slices) return fail(STATUS_FAILED, "out of memory for a timeline of %lld slices", (long long)room);
    memset(trace->slices, 0, (size_t)room * sizeof *trace->slices); /* the memory is there, not only promised */
    trace->room = room;
    pthread_mutex_init(&trace->mutex, NULL);
    return 0;
}

void trace_close(struct trace *trace) {
    if (!trace->slices) return;
    pthread_mutex_destroy(&trace->mutex);
    free(trace->slices);
    memset(trace, 0, sizeof *trace);
}

void trace_start(struct trace *trace) { trace->recording = 1; }

static int in_time(const void *a, const void *b) {
    const struct trace_slice *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->lane > y->lane) - (x->lane < y->lane);
}

/* Each into the first row that is free when it begins; where there are none, into the last. */
static void choose_rows(struct trace *trace) {
    double free_from[TRACE_ROWS] = {0};
    for (int64_t i = 0; i < trace->count; i++) {
        struct trace_slice *slice = &trace->slices[i];
        if (slice->lane == TRACE_COMM) {
            while (slice->row < TRACE_ROWS - 1 && free_from[slice->row] > slice->begin) slice->row++;
            free_from[slice->row] = slice->end;
        }
        if (trace->rows[slice->lane] <= slice->row) trace->rows[slice->lane] = slice->row + 1;
    }
}

void trace_stop(struct trace *trace) {
    pthread_mutex_lock(&trace->mutex);
    int ends_now = trace->recording;
    double now = clock_seconds();
    trace->recording = 0;
    for (int64_t i = 0; ends_now && i < trace->count; i++) {
        struct trace_slice *slice = &trace->slices[i];
        slice->unfinished = slice->end < slice->begin;
        if (slice->unfinished) slice->end = now;
    }
    if (ends_now) {
        qsort(trace->slices, (size_t)trace->count, sizeof *trace->slices, in_time);
        choose_rows(trace);
    }
    pthread_mutex_unlock(&trace->mutex);
}

static int64_t record(struct trace *trace, const struct trace_slice *slice) {
    int64_t at = -1;
    pthread_mutex_lock(&trace->mutex);
    if (trace->recording && trace->count < trace->room) {
        at = trace->count++;
        trace->slices[at] = *slice;
    } else
        trace->left_out += trace->recording;
    pthread_mutex_unlock(&trace->mutex);
    return at;
}

void trace_add(struct trace *trace, enum trace_lane lane, const struct trace_label *label, const struct trace_label *of,
               double begin, double end) {
    if (!trace || !trace->recording) return;
    const struct trace_slice slice = {
        .label = label, .of = of, .begin = begin, .end = end > begin ? end : begin, .step = -1, .lane = (short)lane};
    record(trace, &slice);
}

int64_t trace_begin(struct trace *trace, enum trace_lane lane, const struct trace_label *label, int64_t step) {
    if (!trace || !trace->recording) return -1;
    const struct trace_slice slice = {
        .label = label, .begin = clock_seconds(), .end = -HUGE_VAL, .step = step, .lane = (short)lane};
    return record(trace, &slice);
}

void trace_end(struct trace *trace, int64_t slice, double loss) {
    if (!trace || slice < 0) return;
    double now = clock_seconds();
    pthread_mutex_lock(&trace->mutex);
    if (trace->recording) { /* afterwards slices are in another order */
        trace->slices[slice].end = now;
        trace->slices[slice].loss = loss;
    }
    pthread_mutex_unlock(&trace->mutex);
}

/* Text that is cut where its room ends. */
struct text {
    char *at;
    int64_t room, used;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int64_t left = text->room - text->used;
    int64_t bytes = vsnprintf(text->at + text->used, (size_t)left, format, args);
    va_end(args);
    text->used += bytes < left ? bytes : left - 1;
}

void trace_quote(char *out, int64_t room, const char *string) {
    enum { MOST = 6, CLOSE = 2 }; /* bytes of one character; of the quote and the 0 */
    struct text text = {out, room, 0};
    int64_t length = (int64_t)strlen(string), size;
    put(&text, "\"");
    for (int64_t i = 0; i < length && room - text.used >= MOST + CLOSE; i += size ? size : 1) {
        unsigned char c = (unsigned char)string[i];
        size = utf8_character(string + i, length - i, NULL);
        if (c == '"' || c == '\\')
            put(&text, "\\%c", c);
        else if (!size || c < 0x20 || c == 0x7f)
            put(&text, "\\u%04x", size ? c : 0xfffdu);
        else
            put(&text, "%.*s", (int)size, string + i);
    }
    put(&text, "\"");
}

static void put_string(struct text *text, const char *key, const char *value) {
    char quoted[600];
    if (!value) return;
    trace_quote(quoted, sizeof quoted, value);
    put(text, "\"%s\":%s,", key, quoted);
}

/* In front of a closing brace: the comma behind the last member goes. */
static void put_close(struct text *text, const char *close) {
    if (text->used && text->at[text->used - 1] == ',') text->used--;
    put(text, "%s", close);
}

/* Names of a process or of one of its threads, and its place among others. */
static void put_place(struct text *text, const char *what, int pid, int tid, const char *name, int sort) {
    put(text, "{\"name\":\"%s_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{", what, pid, tid);
    put_string(text, "name", name);
    put_close(text, "}},\n");
    put(text, "{\"name\":\"%s_sort_index\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{\"sort_index\":%d}}", what, pid,
        tid, sort);
}

static void put_process(struct text *text, const struct trace *trace, const struct trace_process *process) {
    char name[128];
    snprintf(name, sizeof name, "rank %d on %s", process->rank, process->host);
    put_place(text, "process", process->rank, 0, name, process->rank);
    if (!trace->left_out && process->doubt == 0) return;
    put(text, ",\n{\"name\":\"process_labels\",\"ph\":\"M\",\"pid\":%d,\"args\":{\"labels\":\"", process->rank);
    if (trace->left_out) put(text, "full: %lld slices left out", (long long)trace->left_out);
    if (process->doubt > 0)
        put(text, "%sclock set to rank 0's to within %.1f us", trace->left_out ? "; " : "", 1e6 * process->doubt);
    put(text, "\"}}");
}

/* The item-th row in use; 0 when there are fewer. */
static int put_thread(struct text *text, const struct trace *trace, const struct trace_process *process, int item) {
    for (int lane = 0; lane < TRACE_LANES; item -= trace->rows[lane++]) {
        if (item >= trace->rows[lane]) continue;
        char name[64];
        int thread = lanes[lane].thread + item;
        snprintf(name, sizeof name, lane == TRACE_COMM ? "%s %d" : "%s", lanes[lane].name, item + 1);
        put_place(text, "thread", process->rank, thread, name, thread);
        return 1;
    }
    return 0;
}

static void put_op(struct text *text, const struct trace_slice *slice, double seconds) {
    const struct trace_label *label = slice->label;
    put_string(text, "segment", label->segment);
    if (label->layer >= 0) put(text, "\"layer\":%d,", label->layer);
    if (label->op >= 0) put(text, "\"op\":%d,", label->op);
    put_string(text, "out", label->out);
    if (label->again) put(text, "\"again\":true,");
    if (label->flops > 0) put(text, "\"flop\":%lld,", (long long)label->flops);
    if (label->bytes >= 0)
        put(text, "\"%s\":%lld,", slice->lane == TRACE_COMM ? "bytes_sent" : "bytes", (long long)label->bytes);
    if (label->flops > 0 && seconds > 0) put(text, "\"gflop_per_s\":%.3f,", 1e-9 * (double)label->flops / seconds);
}

/* Times in microseconds, as the format asks for, with three digits: begin and end are rounded, so that what follows without a gap neither
 * overlaps nor leaves one. */
static void put_slice(struct text *text, const struct trace_slice *slice, const struct trace_process *process) {
    char name[600], title[320];
    long long begin = llround(1e9 * (slice->begin - process->origin));
    long long end = llround(1e9 * (slice->end - process->origin));
    snprintf(title, sizeof title, "%s", slice->label->name);
    if (slice->lane == TRACE_STEP) snprintf(title, sizeof title, "%s %lld", slice->label->name, (long long)slice->step);
    trace_quote(name, sizeof name, title);
    put(text, "{\"name\":%s,\"cat\":\"%s\",\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"args\":{",
        name, lanes[slice->lane].name, process->rank, lanes[slice->lane].thread + slice->row, 1e-3 * (double)begin,
        1e-3 * (double)(end - begin));
    put_op(text, slice, slice->end - slice->begin);
    if (slice->of) {
        put_string(text, "for", slice->of->name);
        put_string(text, "for_out", slice->of->out);
        put(text, "\"for_op\":%d,", slice->of->op);
    }
    if (slice->step >= 0) put(text, "\"step\":%lld,", (long long)slice->step);
    if (slice->lane == TRACE_STEP && !slice->unfinished)
        put(text, isfinite(slice->loss) ? "\"loss\":%.9g," : "\"loss\":\"%g\",", slice->loss); /* JSON has no NaN */
    if (slice->unfinished) put(text, "\"unfinished\":true,");
    put_close(text, "}}");
}

int64_t trace_text(const struct trace *trace, struct trace_process *process, char *out, int64_t room) {
    char item[TRACE_ITEM];
    int64_t used = 0;
    int threads = 0;
    for (int lane = 0; lane < TRACE_LANES; lane++) threads += trace->rows[lane];
    for (; process->item < 1 + threads + trace->count; process->item++) {
        struct text text = {item, sizeof item, 0};
        if (process->rank || process->item) put(&text, ",\n");
        if (!process->item)
            put_process(&text, trace, process);
        else if (!put_thread(&text, trace, process, process->item - 1))
            put_slice(&text, &trace->slices[process->item - 1 - threads], process);
        if (used + text.used > room) break;
        memcpy(out + used, item, (size_t)text.used);
        used += text.used;
    }
    return used;
}
