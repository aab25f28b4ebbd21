/* Holds a timeline against the plan of its run: check_trace FILE CONFIG RANKS FIRST END [full]
 * It is JSON; all ranks and steps are there; every op of a step was recorded as often as it ran; what one thread did does not overlap;
 * the ops of a step take no longer than the step. With `full`: the memory was, and the file says so. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/trace.h"
#include "base/utf8.h"
#include "base/whole_file.h"
#include "model/model.h"
#include "plan/plan.h"

enum { STEPS_MOST = 64, THREADS = 200 };

static _Noreturn void die(const char *what, const cJSON *event) {
    char *text = event ? cJSON_PrintUnformatted(event) : NULL;
    printf("%s%s%s\n", what, text ? ": " : "", text ? text : "");
    exit(1);
}

static void must(int status) {
    if (status) die(fail_message(), NULL);
}

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(item)) die(key, object);
    return item->valuedouble;
}

static const char *string(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    if (!text) die(key, object);
    return text;
}

static struct task {
    int ranks, first, end, full;
    struct config config;
} task;

static int is(const cJSON *event, const char *lane) { return !strcmp(string(event, "cat"), lane); }

/* How often each op of the segments of a step ran. */
static void expect(const struct plan *plan, int64_t *times) {
    int64_t runs[SEG_COUNT] = {0};
    for (int i = 0; i < plan_n_rounds(plan); i++) {
        for (int micro = 0; i < plan_n_slots(plan) && micro < plan->micro_batches; micro++)
            runs[plan_micro_segment(plan, i, micro)]++;
        if (plan_after_slot(plan, i) != SEG_COUNT) runs[plan_after_slot(plan, i)]++;
    }
    runs[SEG_UPDATE]++;
    for (int i = 0; i < plan->n_ops; i++) times[i] = runs[plan->ops[i].segment] * (task.end - task.first);
}

static void check_op(const struct plan *plan, const cJSON *event, int64_t *times) {
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(event, "args");
    int i = (int)number(args, "op");
    if (i < 0 || i >= plan->n_ops) die("no such op", event);
    const struct op *op = &plan->ops[i];
    const char *lane = op->kind == OP_wait                   ? "waiting"
                       : op_info[op->kind].lane == LANE_COMM ? "communication"
                                                             : "compute";
    if (!is(event, lane) || strcmp(string(event, "name"), op_info[op->kind].name)) die("another op", event);
    if (strcmp(string(args, "segment"), segment_name(op->segment))) die("another segment", event);
    if (op->layer != NONE && number(args, "layer") != op->layer) die("another layer", event);
    if (op->out[0] != NONE && strcmp(string(args, "out"), plan->bufs[op->out[0]].name)) die("another output", event);
    if (plan_op_flops(plan, op) > 0 && number(args, "flop") != (double)plan_op_flops(plan, op)) die("FLOP", event);
    if (is(event, "compute") && number(args, "bytes") != (double)plan_op_bytes(plan, op)) die("bytes", event);
    times[i]--;
}

static void check_counts(const struct plan *plan, const int64_t *times) {
    for (int i = 0; i < plan->n_ops && !task.full; i++) {
        enum segment s = plan->ops[i].segment;
        int whole = s == SEG_EVAL || s == SEG_GUARD || s == SEG_SEAL || s == SEG_START; /* as often as its first op */
        int64_t meant = whole ? times[plan->segment_begin[s]] : 0;
        if (times[i] == meant) continue;
        printf("op %d (%s, %s): %+lld times too few\n", i, op_info[plan->ops[i].kind].name, segment_name(s),
               (long long)(times[i] - meant));
        exit(1);
    }
}

/* Slices come in the order of time. Ops and the waits between them are one thread's, in the program as well. */
static void check_order(const cJSON *event, double *busy_until) {
    enum { OPS = 0 };
    int thread = (int)number(event, "tid");
    if (thread <= 0 || thread >= THREADS || number(event, "dur") < 0 || number(event, "ts") < 0) die("times", event);
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(event, "args");
    int op = cJSON_HasObjectItem(args, "op") && !is(event, "communication");
    double begin = number(event, "ts") + 5e-4; /* they are written with three digits */
    if (busy_until[thread] > begin && !is(event, "waiting")) die("overlaps with the one before", event);
    if (op && busy_until[OPS] > begin) die("overlaps with the op before", event);
    busy_until[thread] = begin - 5e-4 + number(event, "dur");
    if (op) busy_until[OPS] = busy_until[thread];
}

static void check_rank(const cJSON *events, int rank, double *losses) {
    struct plan_request request = {
        .segments = 1u << SEG_MICRO_FIRST | 1u << SEG_EVAL, .rank = rank, .ranks = task.ranks};
    struct plan *plan;
    double busy_until[THREADS] = {0}, begin = 0, end = 0, spent = 0;
    int steps = 0, named = 0, read = 0;
    request.batch = (int)task.config.train.micro_batch;
    request.time = (int)task.config.train.seq_len;
    must(plan_build(&task.config, &request, model_forward, &plan));
    int64_t *times = calloc((size_t)plan->n_ops + 1, sizeof *times);
    expect(plan, times);
    const cJSON *event;
    cJSON_ArrayForEach(event, events) {
        if (number(event, "pid") != rank) continue;
        if (strcmp(string(event, "ph"), "X")) {
            named += !strcmp(string(event, "name"), "process_name");
            continue;
        }
        const cJSON *args = cJSON_GetObjectItemCaseSensitive(event, "args");
        check_order(event, busy_until);
        read += is(event, "data");
        if (cJSON_HasObjectItem(args, "op")) check_op(plan, event, times);
        if (is(event, "step")) {
            if (number(args, "step") != task.first + steps || steps == STEPS_MOST) die("another step", event);
            if (!task.full && losses[steps] != 0 && losses[steps] != number(args, "loss")) die("another loss", event);
            if (!task.full) losses[steps] = number(args, "loss");
            steps++;
            begin = number(event, "ts"), end = begin + number(event, "dur"), spent = 0;
        }
        if (is(event, "compute") && number(event, "ts") >= begin && number(event, "ts") < end)
            spent += number(event, "dur");
        if (steps && spent > end - begin + 1) die("the ops take longer than the step", event);
    }
    if (named != 1 || !read) die("a rank has no name, or read nothing", NULL);
    if (!task.full && steps != task.end - task.first) die("steps are missing", NULL);
    check_counts(plan, times);
    free(times);
    plan_free(plan);
}

int main(int argc, char **argv) {
    char *text;
    int64_t length;
    double losses[STEPS_MOST] = {0};
    if (argc < 6) die("usage: check_trace FILE CONFIG RANKS FIRST END [full]", NULL);
    task.ranks = atoi(argv[3]), task.first = atoi(argv[4]), task.end = atoi(argv[5]), task.full = argc > 6;
    config_defaults(&task.config);
    must(config_load(&task.config, argv[2]));
    must(config_check(&task.config));
    must(whole_file_read(argv[1], &text, &length));
    if (!text || utf8_valid(text, length) != length) die("there is no such file, or it is no UTF-8", NULL);
    for (int64_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' && text[i] != '\n') die("a control character", NULL);
    cJSON *json = cJSON_ParseWithOpts(text, NULL, 1);
    if (!json) die("no JSON", NULL);
    const cJSON *events = cJSON_GetObjectItemCaseSensitive(json, "traceEvents"), *event;
    const cJSON *other = cJSON_GetObjectItemCaseSensitive(json, "otherData");
    int64_t slices = 0;
    cJSON_ArrayForEach(event, events) {
        if (number(event, "pid") < 0 || number(event, "pid") >= task.ranks) die("no such rank", event);
        slices += !strcmp(string(event, "ph"), "X");
    }
    for (int r = 0; r < task.ranks; r++) check_rank(events, r, losses);
    if (number(other, "slices") != (double)slices || number(other, "ranks") != task.ranks) die("numbers", other);
    if ((number(other, "left_out") > 0) != task.full) die("what is left out", other);
    if (task.full && slices != (int64_t)TRACE_SLICES * task.ranks) die("it is not full", other);
    printf("%lld slices\n", (long long)slices);
    cJSON_Delete(json);
    free(text);
    return 0;
}
