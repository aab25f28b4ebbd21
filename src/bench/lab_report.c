#include "bench/lab_report.h"

#include <math.h>
#include <string.h>

static const char *const ceiling_names[CEILING_COUNT] = {[CEILING_MATRIX_F32] = "matrix_f32",
                                                         [CEILING_MATRIX_F64] = "matrix_f64",
                                                         [CEILING_MATRIX_BF16] = "matrix_bf16",
                                                         [CEILING_COPY] = "copy"};

/* The median that an earlier report has for the same op and shapes in the lab of this name; NaN: it has none. */
static double earlier_seconds(const cJSON *against, const char *lab, const struct lab_row *row) {
    const cJSON *labs = cJSON_GetObjectItem(against, "labs"), *one, *other;
    cJSON_ArrayForEach(one, labs) {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(one, "name"));
        if (!name || strcmp(name, lab)) continue;
        cJSON_ArrayForEach(other, cJSON_GetObjectItem(one, "rows")) {
            const char *op = cJSON_GetStringValue(cJSON_GetObjectItem(other, "op"));
            const char *shapes = cJSON_GetStringValue(cJSON_GetObjectItem(other, "shapes"));
            if (op && shapes && !strcmp(op, row->op) && !strcmp(shapes, row->shapes))
                return cJSON_GetNumberValue(cJSON_GetObjectItem(other, "seconds"));
        }
    }
    return NAN;
}

static void print_row(const struct lab_page *page, const struct lab *lab, const struct lab_row *row, FILE *out) {
    double s = row->seconds.median, floor = lab_floor(lab, row, page->ceilings);
    fprintf(out, "| %s | %s | %d | %.3f | %.3f to %.3f | %.1f | %.1f | %.1f | %.0f | %.3f |", row->op, row->shapes,
            row->times, 1e3 * s, 1e3 * row->seconds.least, 1e3 * row->seconds.most, 100 * s / lab->step_s.median,
            1e-9 * row->flops / s, 1e-9 * row->bytes / s, 100 * floor / s, 1e3 * (s - floor));
    double earlier = page->against ? earlier_seconds(page->against, lab->name, row) : NAN;
    if (page->against && isfinite(earlier))
        fprintf(out, " %.3f | %.2f |", 1e3 * earlier, earlier / s);
    else if (page->against)
        fprintf(out, " | |");
    fputc('\n', out);
}

static void print_lab(const struct lab_page *page, const struct lab *lab, FILE *out) {
    double matrix = page->ceilings->rate[lab->products], floors = 0;
    for (int i = 0; i < lab->count; i++) floors += lab_floor(lab, &lab->rows[i], page->ceilings);
    fprintf(out, "\n## %s\n\n", lab->name);
    fprintf(out, "%.4f s (%.4f to %.4f, %d rounds) for %.1f GFLOP: %.1f GFLOP/s", lab->step_s.median, lab->step_s.least,
            lab->step_s.most, lab->rounds, 1e-9 * lab->flops, 1e-9 * lab->flops / lab->step_s.median);
    if (matrix > 0)
        fprintf(out, ". At the ceiling of matrix products all that work takes %.4f s: %.2f times as long. ",
                lab->flops / matrix, lab->step_s.median * matrix / lab->flops);
    fprintf(out, "The ops' own floors add up to %.4f s.\n\n", floors);
    fprintf(out,
            "| op | first operands | times | ms | spread | %% of all | GFLOP/s | GB/s | %% of ceiling | ms above "
            "it |%s\n|---|---|---|---|---|---|---|---|---|---|%s\n",
            page->against ? " ms earlier | times faster |" : "", page->against ? "---|---|" : "");
    for (int i = 0; i < lab->count; i++) print_row(page, lab, &lab->rows[i], out);
}

void lab_report_print(const struct lab_page *page, FILE *out) {
    const struct machine *m = page->machine;
    const double *rate = page->ceilings->rate;
    char date[11];
    machine_date(date);
    fprintf(out, "%s, %d cores, %d threads, %.0f GiB, %s; Lockstep %s; %s\n\n", m->processor, m->cores, m->threads,
            m->memory_gib, m->system, page->build, date);
    fprintf(
        out,
        "| ceiling | best seen |\n|---|---|\n| matrix product, fp32 | %.1f GFLOP/s |\n| matrix product, fp64 | "
        "%.1f GFLOP/s |\n| matrix product, bf16, of Lockstep's own kernel | %.1f GFLOP/s |\n| memory copy, read and "
        "written | %.1f GB/s |\n",
        1e-9 * rate[CEILING_MATRIX_F32], 1e-9 * rate[CEILING_MATRIX_F64], 1e-9 * rate[CEILING_MATRIX_BF16],
        1e-9 * rate[CEILING_COPY]);
    for (int i = 0; i < page->count; i++) print_lab(page, &page->labs[i], out);
    fprintf(out,
            "\nThe ceiling of an op is the slower of its arithmetic at the rate of matrix products and its traffic at "
            "the rate of copies; what fits into a cache, or is faster than the BLAS that was measured, is above it. "
            "Medians of rounds; each op is timed where "
            "it stands in the step.\n");
}

static cJSON *row_json(const struct lab_row *row) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "op", row->op);
    cJSON_AddStringToObject(json, "shapes", row->shapes);
    cJSON_AddNumberToObject(json, "times", row->times);
    cJSON_AddNumberToObject(json, "seconds", row->seconds.median);
    cJSON_AddNumberToObject(json, "least", row->seconds.least);
    cJSON_AddNumberToObject(json, "most", row->seconds.most);
    cJSON_AddNumberToObject(json, "flops", row->flops);
    cJSON_AddNumberToObject(json, "bytes", row->bytes);
    return json;
}

cJSON *lab_report_json(const struct lab_page *page) {
    cJSON *top = cJSON_CreateObject();
    char date[11];
    machine_date(date);
    cJSON_AddItemToObject(top, "machine", machine_json(page->machine));
    cJSON_AddStringToObject(top, "build", page->build);
    cJSON_AddStringToObject(top, "date", date);
    cJSON *ceilings = cJSON_AddObjectToObject(top, "ceilings");
    for (int i = 0; i < CEILING_COUNT; i++)
        cJSON_AddNumberToObject(ceilings, ceiling_names[i], page->ceilings->rate[i]);
    cJSON *labs = cJSON_AddArrayToObject(top, "labs");
    for (int i = 0; i < page->count; i++) {
        const struct lab *lab = &page->labs[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddItemToArray(labs, one);
        cJSON_AddStringToObject(one, "name", lab->name);
        cJSON_AddNumberToObject(one, "rounds", lab->rounds);
        cJSON_AddNumberToObject(one, "seconds", lab->step_s.median);
        cJSON_AddNumberToObject(one, "least", lab->step_s.least);
        cJSON_AddNumberToObject(one, "most", lab->step_s.most);
        cJSON_AddNumberToObject(one, "flops", lab->flops);
        cJSON *rows = cJSON_AddArrayToObject(one, "rows");
        for (int r = 0; r < lab->count; r++) cJSON_AddItemToArray(rows, row_json(&lab->rows[r]));
    }
    return top;
}
