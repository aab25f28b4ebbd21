#include "bench/summary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_PAIRS = 1000 };

struct values {
    double peak[SIDES][MOST_PAIRS], speed[SIDES][MOST_PAIRS], loss[SIDES][MOST_PAIRS];
};

static void note_failures(struct summary *s) {
    for (int i = 0; i < s->record->count && !s->failure[0]; i++) {
        const struct bench_run *run = &s->record->runs[i];
        if (!run->failure[0]) continue;
        snprintf(s->failure, sizeof s->failure, "%s, pair %d, seed %lld: %s",
                 run->side == BASELINE ? "baseline" : "optimized", run->pair + 1, (long long)run->seed, run->failure);
    }
    for (char *p = s->failure; *p; p++) /* it goes into a table */
        if (*p == '|') *p = '/';
}

static void note_speed(struct summary *s, const struct bench_run *run, struct values *v) {
    s->planned[run->side] = (double)run->planned_bytes;
    v->peak[run->side][s->pairs] = (double)run->peak_bytes;
    v->speed[run->side][s->pairs] = (double)run->tokens_per_step / run->step_s;
}

void summarize(struct summary *s, const struct bench_case *c, const struct record *record) {
    static struct values v; /* too large for a stack; one thread writes pages */
    memset(s, 0, sizeof *s);
    s->c = c;
    s->record = record;
    note_failures(s);
    for (int pair = 0; pair < MOST_PAIRS; pair++) {
        const struct bench_run *run[SIDES];
        for (int side = 0; side < SIDES; side++) run[side] = record_find(record, (enum side)side, pair);
        if (!run[BASELINE] || !run[OPTIMIZED]) break;
        int for_loss = run[BASELINE]->for_loss && run[OPTIMIZED]->for_loss;
        int timed = !for_loss || !case_speed_apart(c);
        for (int side = 0; side < SIDES; side++) {
            if (timed) note_speed(s, run[side], &v);
            if (for_loss) v.loss[side][s->seeds] = run[side]->val_loss;
        }
        s->seeds += for_loss;
        s->pairs += timed;
        s->whole++;
    }
    for (int side = 0; side < SIDES; side++) {
        int trained = case_speed_apart(c) ? 0 : s->seeds; /* whole runs come first */
        s->peak[side] = spread_of(v.peak[side], trained ? trained : s->pairs);
        s->speed[side] = spread_of(v.speed[side], s->pairs);
        s->loss[side] = spread_of(v.loss[side], s->seeds);
    }
    s->memory = compare_pairs(v.peak[BASELINE], v.peak[OPTIMIZED], s->pairs, LEAST_MEMORY);
    s->faster = compare_pairs(v.speed[BASELINE], v.speed[OPTIMIZED], s->pairs, LEAST_SPEED);
    s->better = compare_losses(v.loss[BASELINE], v.loss[OPTIMIZED], s->seeds);
}

const char *verdict_word(enum verdict verdict) {
    static const char *const words[] = {[VERDICT_NONE] = "too few runs",
                                        [VERDICT_NOISY] = "too noisy to tell",
                                        [VERDICT_SAME] = "within noise",
                                        [VERDICT_LESS] = "less",
                                        [VERDICT_MORE] = "more"};
    return words[verdict];
}

static void add_side(cJSON *json, const char *name, const struct spread spread[SIDES]) {
    cJSON *object = cJSON_AddObjectToObject(json, name);
    static const char *const sides[] = {"baseline", "optimized"};
    for (int side = 0; side < SIDES; side++) {
        const double values[] = {spread[side].median, spread[side].least, spread[side].most};
        cJSON_AddItemToObject(object, sides[side], cJSON_CreateDoubleArray(values, 3));
    }
}

static void add_difference(cJSON *json, const char *name, enum verdict verdict, double ratio, double low, double high) {
    cJSON *object = cJSON_GetObjectItem(json, name);
    cJSON_AddStringToObject(object, "verdict", verdict_word(verdict));
    cJSON_AddNumberToObject(object, "ratio", ratio);
    cJSON_AddNumberToObject(object, "low", low);
    cJSON_AddNumberToObject(object, "high", high);
}

cJSON *summary_json(const struct summary *s) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "case", s->c->name);
    cJSON_AddStringToObject(json, "failure", s->failure);
    cJSON_AddNumberToObject(json, "pairs", s->pairs);
    cJSON_AddNumberToObject(json, "seeds", s->seeds);
    cJSON_AddItemToObject(json, "planned_bytes", cJSON_CreateDoubleArray(s->planned, SIDES));
    add_side(json, "peak_bytes", s->peak);
    add_difference(json, "peak_bytes", s->memory.verdict, s->memory.ratio, s->memory.low, s->memory.high);
    add_side(json, "tok_per_s", s->speed);
    add_difference(json, "tok_per_s", s->faster.verdict, s->faster.ratio, s->faster.low, s->faster.high);
    add_side(json, "val_loss", s->loss);
    add_difference(json, "val_loss", s->better.verdict, s->better.ratio, s->better.low, s->better.high);
    return json;
}
