/* The recorder of timelines: names that need escapes, times, rows, the end of its memory, threads. */
#include "base/trace.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "scratch.h"

enum { TEXT = 1 << 20 };

/* All of the text, in pieces of this size, as JSON. */
static cJSON *read_text(const struct trace *trace, struct trace_process process, int64_t piece) {
    char *text = malloc(TEXT), *end = text;
    assert_non_null(text);
    *end++ = '[';
    if (process.rank) end += sprintf(end, "0"); /* what a comma may follow */
    for (int64_t n; (n = trace_text(trace, &process, end, piece)); end += n) assert_true(n <= piece);
    memcpy(end, "]", 2);
    cJSON *json = cJSON_ParseWithOpts(text, NULL, 1);
    if (!json) fail_msg("no JSON: %s", text);
    free(text);
    return json;
}

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static const char *string(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static const cJSON *args(const cJSON *event) { return cJSON_GetObjectItemCaseSensitive(event, "args"); }

/* The n-th slice (names are no slices), or NULL. */
static const cJSON *slice(const cJSON *all, int n) {
    const cJSON *event;
    cJSON_ArrayForEach(event, all) {
        const char *phase = string(event, "ph");
        if (phase && !strcmp(phase, "X") && n-- == 0) return event;
    }
    return NULL;
}

static void names_are_escaped(void **state) {
    (void)state;
    char out[64];
    trace_quote(out, sizeof out, "a\"b\\c\n\x01\xc3\xa9\xff");
    assert_string_equal(out, "\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\\ufffd\"");
    trace_quote(out, 12, "\x01\x01\x01"); /* whole characters, and the quote */
    assert_string_equal(out, "\"\\u0001\"");
    struct trace t;
    const struct trace_label label = {"tab\t\"q\"", "up\\date", "h0.{x}\xfe", 7, 3, 1, 2000, 500};
    must(trace_open(&t, 4));
    trace_start(&t);
    trace_add(&t, TRACE_COMPUTE, &label, NULL, 1, 1.5);
    trace_stop(&t);
    cJSON *json = read_text(&t, (struct trace_process){.rank = 2, .host = "a \"host\""}, TRACE_ITEM);
    const cJSON *found = slice(json, 0);
    assert_string_equal(string(args(cJSON_GetArrayItem(json, 1)), "name"), "rank 2 on a \"host\"");
    assert_string_equal(string(found, "name"), "tab\t\"q\"");
    assert_string_equal(string(args(found), "segment"), "up\\date");
    assert_string_equal(string(args(found), "out"), "h0.{x}\xef\xbf\xbd");
    assert_true(number(args(found), "op") == 7 && number(args(found), "layer") == 3);
    assert_true(number(args(found), "flop") == 2000 && number(args(found), "bytes") == 500);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(args(found), "again")) && number(found, "pid") == 2);
    cJSON_Delete(json);
    trace_close(&t);
}

/* Microseconds since the origin, with three digits; what follows without a gap does so in the text. */
static void times_are_microseconds(void **state) {
    (void)state;
    static const struct trace_label op = TRACE_LABEL("op");
    const double at[] = {100.0000004996, 100.0000014996, 100.25};
    struct trace t;
    must(trace_open(&t, 8));
    trace_start(&t);
    trace_add(&t, TRACE_COMPUTE, &op, NULL, at[1], at[2]);
    trace_add(&t, TRACE_COMPUTE, &op, NULL, at[0], at[1]);
    trace_add(&t, TRACE_COMPUTE, &op, NULL, 101,
              100.5); /* a device's clock may be a little off: never a negative time */
    trace_stop(&t);
    cJSON *json = read_text(&t, (struct trace_process){.host = "h", .origin = 100}, TEXT / 2);
    assert_true(fabs(number(slice(json, 0), "ts") - 0.500) < 1e-9);
    assert_true(fabs(number(slice(json, 0), "dur") - 1.000) < 1e-9);
    assert_true(fabs(number(slice(json, 1), "ts") - 1.500) < 1e-9); /* in the order of time */
    assert_true(fabs(number(slice(json, 1), "dur") - 249998.5) < 1e-6);
    assert_true(number(slice(json, 2), "dur") == 0);
    assert_null(slice(json, 3));
    cJSON_Delete(json);
    trace_close(&t);
}

static void what_overlaps_has_rows(void **state) {
    (void)state;
    static const struct trace_label label = TRACE_LABEL("exchange");
    static const struct {
        double begin, end, thread;
    } c[] = {{1, 4, 10}, {2, 3, 11}, {2.5, 6, 12}, {3, 5, 11}, {4, 7, 10}};
    struct trace t;
    must(trace_open(&t, 100));
    trace_start(&t);
    for (int i = 4; i >= 0; i--) trace_add(&t, TRACE_COMM, &label, &label, c[i].begin, c[i].end);
    trace_stop(&t);
    cJSON *json = read_text(&t, (struct trace_process){.host = "h"}, TRACE_ITEM);
    for (int i = 0; i < 5; i++) assert_true(number(slice(json, i), "tid") == c[i].thread);
    assert_string_equal(string(args(slice(json, 0)), "for"), "exchange");
    cJSON_Delete(json);
    trace_close(&t);
}

static void begin_and_end(void **state) {
    (void)state;
    static const struct trace_label label = TRACE_LABEL("step");
    struct trace t;
    must(trace_open(&t, 100));
    assert_int_equal(trace_begin(NULL, TRACE_STEP, &label, 1), -1);
    trace_end(NULL, 0, 0);
    trace_add(NULL, TRACE_STEP, &label, NULL, 0, 1);
    assert_int_equal(trace_begin(&t, TRACE_STEP, &label, 1), -1); /* not yet */
    trace_start(&t);
    trace_end(&t, -1, 9);
    int64_t first = trace_begin(&t, TRACE_STEP, &label, 41);
    usleep(2000);
    trace_end(&t, first, 2.5);
    int64_t second = trace_begin(&t, TRACE_STEP, &label, 42), third = trace_begin(&t, TRACE_STEP, &label, 43);
    trace_end(&t, second, NAN);
    trace_stop(&t);
    trace_end(&t, third, 1); /* too late */
    trace_add(&t, TRACE_STEP, &label, NULL, 0, 1);
    assert_true(t.count == 3 && t.left_out == 0);
    cJSON *json = read_text(&t, (struct trace_process){.host = "h"}, TRACE_ITEM);
    assert_string_equal(string(slice(json, 0), "name"), "step 41");
    assert_true(number(args(slice(json, 0)), "loss") == 2.5 && number(args(slice(json, 0)), "step") == 41);
    assert_true(number(slice(json, 0), "dur") >= 2000 && number(slice(json, 0), "dur") < 1e6);
    assert_string_equal(string(args(slice(json, 1)), "loss"), "nan");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(args(slice(json, 2)), "unfinished")));
    assert_null(cJSON_GetObjectItem(args(slice(json, 2)), "loss"));
    assert_true(number(slice(json, 2), "dur") >= 0);
    cJSON_Delete(json);
    trace_close(&t);
}

static void full_memory_stops_it(void **state) {
    (void)state;
    static const struct trace_label label = TRACE_LABEL("op");
    struct trace t;
    must(trace_open(&t, 10));
    trace_start(&t);
    int64_t open = trace_begin(&t, TRACE_STEP, &label, 0);
    for (int i = 1; i < 25; i++) trace_add(&t, TRACE_COMPUTE, &label, NULL, i, i + 1);
    assert_int_equal(trace_begin(&t, TRACE_STEP, &label, 1), -1);
    trace_end(&t, open, 1); /* what was begun may end */
    trace_stop(&t);
    assert_true(t.count == 10 && t.left_out == 16);
    cJSON *json = read_text(&t, (struct trace_process){.host = "h", .doubt = 2e-6}, TRACE_ITEM);
    assert_non_null(slice(json, 9));
    assert_null(slice(json, 10));
    const char *labels = string(args(cJSON_GetArrayItem(json, 2)), "labels");
    assert_string_equal(labels, "full: 16 slices left out; clock set to rank 0's to within 2.0 us");
    cJSON_Delete(json);
    trace_close(&t);
}

static void *add_many(void *argument) {
    static const struct trace_label label = TRACE_LABEL("op");
    for (int i = 0; i < 5000; i++) {
        double now = clock_seconds();
        trace_add(argument, TRACE_DATA, &label, NULL, now, now);
        trace_end(argument, trace_begin(argument, TRACE_CHECKPOINT, &label, i), 0);
    }
    return NULL;
}

static void threads_may_record(void **state) {
    (void)state;
    pthread_t threads[4];
    struct trace t;
    must(trace_open(&t, 30000));
    trace_start(&t);
    for (int i = 0; i < 4; i++) assert_int_equal(thread_start(&threads[i], add_many, &t), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    trace_stop(&t);
    assert_true(t.count == 30000 && t.left_out == 10000);
    for (int64_t i = 0; i < t.count; i++) {
        assert_true(t.slices[i].end >= t.slices[i].begin && !t.slices[i].unfinished);
        assert_true(!i || t.slices[i].begin >= t.slices[i - 1].begin);
    }
    trace_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_escaped),      cmocka_unit_test(times_are_microseconds),
        cmocka_unit_test(what_overlaps_has_rows), cmocka_unit_test(begin_and_end),
        cmocka_unit_test(full_memory_stops_it),   cmocka_unit_test(threads_may_record),
    };
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
