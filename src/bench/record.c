#include "bench/record.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/whole_file.h"

/* The fields of a run and of a record that are plain numbers or texts, and how the file calls them. */
enum field_type { TEXT, WHOLE, INT, REAL };
struct field {
    const char *name;
    enum field_type type;
    size_t offset, size;
};
#define RUN(name, type, field)                                                                                         \
    { name, type, offsetof(struct bench_run, field), sizeof(((struct bench_run *)0)->field) }
#define RECORD(name, type, field)                                                                                      \
    { name, type, offsetof(struct record, field), sizeof(((struct record *)0)->field) }

static const struct field run_fields[] = {
    RUN("side", INT, side),
    RUN("pair", INT, pair),
    RUN("seed", WHOLE, seed),
    RUN("for_loss", INT, for_loss),
    RUN("steps", WHOLE, steps),
    RUN("tokens_per_step", WHOLE, tokens_per_step),
    RUN("step_s", REAL, step_s),
    RUN("step_s_least", REAL, least),
    RUN("step_s_most", REAL, most),
    RUN("train_s", REAL, train_s),
    RUN("planned_bytes", WHOLE, planned_bytes),
    RUN("peak_bytes", WHOLE, peak_bytes),
    RUN("failure", TEXT, failure),
    RUN("val_loss", REAL, val_loss),
};
static const struct field record_fields[] = {
    RECORD("case", TEXT, name),           RECORD("key", TEXT, key),         RECORD("machine", TEXT, machine),
    RECORD("processor", TEXT, processor), RECORD("system", TEXT, system),   RECORD("build", TEXT, build),
    RECORD("date", TEXT, date),           RECORD("backend", TEXT, backend), RECORD("cores", INT, cores),
    RECORD("quick", INT, quick),          RECORD("tokens", WHOLE, tokens),
};
enum {
    RUN_FIELDS = sizeof run_fields / sizeof *run_fields,
    RECORD_FIELDS = sizeof record_fields / sizeof *record_fields
};

/* To the last bit, since equal losses are told from nearly equal ones; cJSON itself writes 15 digits. JSON has no NaN. */
static void add_exact(cJSON *json, const char *name, double value) {
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    cJSON_AddRawToObject(json, name, isfinite(value) ? text : "null");
}

static void write_fields(cJSON *json, const struct field *fields, int count, const void *from) {
    for (int i = 0; i < count; i++) {
        const char *at = (const char *)from + fields[i].offset;
        double real = 0;
        if (fields[i].type == TEXT) {
            cJSON_AddStringToObject(json, fields[i].name, at);
            continue;
        }
        if (fields[i].type == WHOLE) real = (double)*(const int64_t *)at;
        if (fields[i].type == INT) real = *(const int *)at;
        if (fields[i].type == REAL) real = *(const double *)at;
        add_exact(json, fields[i].name, real);
    }
}

static int read_fields(const cJSON *json, const struct field *fields, int count, void *to) {
    for (int i = 0; i < count; i++) {
        const cJSON *item = cJSON_GetObjectItem(json, fields[i].name);
        char *at = (char *)to + fields[i].offset;
        double real = cJSON_IsNumber(item) ? item->valuedouble : NAN;
        if (fields[i].type == TEXT ? !cJSON_IsString(item) : !cJSON_IsNumber(item) && !cJSON_IsNull(item))
            return fail(STATUS_BAD_DATA, "'%s' is missing or of another type", fields[i].name);
        if (fields[i].type == TEXT) snprintf(at, fields[i].size, "%s", item->valuestring);
        if (fields[i].type == REAL) *(double *)at = real;
        if (fields[i].type == INT) *(int *)at = real > -1e9 && real < 1e9 ? (int)real : 0;
        if (fields[i].type == WHOLE) *(int64_t *)at = real > -9e15 && real < 9e15 ? (int64_t)real : 0;
    }
    return 0;
}

static int read_run(const cJSON *json, struct bench_run *run) {
    const cJSON *point, *curve = cJSON_GetObjectItem(json, "curve");
    memset(run, 0, sizeof *run);
    TRY(read_fields(json, run_fields, RUN_FIELDS, run));
    run->side = run->side == BASELINE ? BASELINE : OPTIMIZED;
    cJSON_ArrayForEach(point, curve) {
        if (run->points == CURVE_POINTS) return fail(STATUS_BAD_DATA, "a curve has more than %d points", CURVE_POINTS);
        for (int k = 0; k < 3; k++) run->curve[run->points][k] = cJSON_GetNumberValue(cJSON_GetArrayItem(point, k));
        run->points++;
    }
    return 0;
}

static int read_record(const cJSON *json, struct record *record) {
    const cJSON *item;
    TRY(read_fields(json, record_fields, RECORD_FIELDS, record));
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "runs")) {
        struct bench_run run;
        TRY(read_run(item, &run));
        TRY(record_add(record, &run));
    }
    return 0;
}

static void path_of(char path[1200], const char *folder, const char *name) {
    snprintf(path, 1200, "%s/raw/%s.json", folder, name);
}

int record_load(struct record *record, const char *folder, const char *name) {
    char path[1200], *text;
    int64_t length;
    memset(record, 0, sizeof *record);
    path_of(path, folder, name);
    TRY(whole_file_read(path, &text, &length));
    cJSON *json = text ? cJSON_Parse(text) : NULL;
    int status = !text ? 0 : json ? read_record(json, record) : fail(STATUS_BAD_DATA, "is not JSON");
    free(text);
    cJSON_Delete(json);
    snprintf(record->name, sizeof record->name, "%s", name); /* whatever the file says: it is where it will be kept */
    return status ? fail_within(status, "%s: (remove it to measure anew) ", path) : 0;
}

static cJSON *to_json(const struct record *record) {
    cJSON *json = cJSON_CreateObject();
    write_fields(json, record_fields, RECORD_FIELDS, record);
    cJSON *runs = cJSON_AddArrayToObject(json, "runs");
    for (int i = 0; i < record->count; i++) {
        const struct bench_run *run = &record->runs[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddItemToArray(runs, one);
        write_fields(one, run_fields, RUN_FIELDS, run);
        cJSON *curve = run->points ? cJSON_AddArrayToObject(one, "curve") : NULL;
        for (int p = 0; p < run->points; p++) cJSON_AddItemToArray(curve, cJSON_CreateDoubleArray(run->curve[p], 3));
    }
    return json;
}

int record_save(const struct record *record, const char *folder) {
    char path[1200];
    cJSON *json = to_json(record);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    path_of(path, folder, record->name);
    int status = text ? whole_file_write(path, text, (int64_t)strlen(text)) : fail(STATUS_FAILED, "out of memory");
    cJSON_free(text);
    return status;
}

void record_free(struct record *record) {
    free(record->runs);
    record->runs = NULL;
    record->count = record->room = 0;
}

int record_add(struct record *record, const struct bench_run *run) {
    for (int i = 0; i < record->count; i++) {
        struct bench_run *old = &record->runs[i];
        if (old->side != run->side || old->pair != run->pair) continue;
        *old = *run;
        return 0;
    }
    if (record->count == record->room) {
        int room = record->room ? 2 * record->room : 16;
        struct bench_run *moved = realloc(record->runs, (size_t)room * sizeof *moved);
        if (!moved) return fail(STATUS_FAILED, "out of memory");
        record->runs = moved;
        record->room = room;
    }
    record->runs[record->count++] = *run;
    return 0;
}

const struct bench_run *record_find(const struct record *record, enum side side, int pair) {
    for (int i = 0; i < record->count; i++) {
        const struct bench_run *run = &record->runs[i];
        if (run->side == side && run->pair == pair && !run->failure[0] && run->step_s > 0 && run->peak_bytes > 0)
            return run;
    }
    return NULL;
}
