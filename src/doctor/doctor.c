#include "doctor/doctor.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* What one check of all ranks has found. */
struct report {
    struct facts *facts;       /* [ranks], on rank 0 */
    struct computed *computed; /* [ranks], on rank 0 */
    struct network network;
};

static void print_hosts(const struct facts *facts, int ranks, FILE *out) {
    int hosts = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass) fprintf(out, "%-14s %d on %d host%s:", "ranks", ranks, hosts, hosts == 1 ? "" : "s");
        for (int r = 0; r < ranks; r++) {
            int first = 0, count = 0;
            while (strcmp(facts[first].host, facts[r].host) != 0) first++;
            if (first < r) continue;
            for (int other = 0; other < ranks; other++) count += !strcmp(facts[other].host, facts[r].host);
            if (!pass) hosts++;
            if (pass) fprintf(out, " %s %d", facts[r].host, count);
        }
    }
    fputc('\n', out);
}

static void print_text(const struct report *report, const struct comm *comm, const struct verdict *verdict, FILE *out) {
    print_hosts(report->facts, comm->size, out);
    facts_print(report->facts, comm->size, out);
    network_print(&report->network, comm, out);
    compute_print(report->computed, report->facts, comm->size, out);
    fprintf(out, "%-14s %s\n", "problems", verdict->count ? "" : "none");
    for (int i = 0; i < verdict->count && i < PROBLEMS; i++) {
        const struct problem *p = &verdict->problem[i];
        if (p->rank >= 0)
            fprintf(out, "  rank %d on %s: %s\n", p->rank, p->host, p->text);
        else
            fprintf(out, "  %s%s%s\n", p->host, *p->host ? ": " : "", p->text);
    }
    if (verdict->count > PROBLEMS) fprintf(out, "  and %d more\n", verdict->count - PROBLEMS);
}

static int print_json(const struct report *report, const struct comm *comm, const struct verdict *verdict, FILE *out) {
    cJSON *json = cJSON_CreateObject(), *problems, *bad;
    cJSON_AddItemToObject(json, "ranks", facts_json(report->facts, comm->size));
    cJSON_AddItemToObject(json, "network", network_json(&report->network, comm));
    cJSON_AddItemToObject(json, "compute", compute_json(report->computed, comm->size));
    problems = cJSON_AddArrayToObject(json, "problems");
    bad = cJSON_AddArrayToObject(json, "bad_hosts");
    for (int i = 0; i < verdict->count && i < PROBLEMS; i++) {
        const struct problem *p = &verdict->problem[i];
        cJSON *one = cJSON_CreateObject();
        int known = !*p->host || !p->grave;
        for (int k = 0; k < i; k++) known |= verdict->problem[k].grave && !strcmp(verdict->problem[k].host, p->host);
        if (!known) cJSON_AddItemToArray(bad, cJSON_CreateString(p->host));
        cJSON_AddStringToObject(one, "host", p->host);
        if (p->rank >= 0) cJSON_AddNumberToObject(one, "rank", p->rank);
        cJSON_AddBoolToObject(one, "leave_out", p->grave && *p->host);
        cJSON_AddStringToObject(one, "text", p->text);
        cJSON_AddItemToArray(problems, one);
    }
    char *text = cJSON_Print(json);
    int status = text && fprintf(out, "%s\n", text) >= 0 ? 0 : fail(STATUS_FAILED, "cannot print the report");
    cJSON_free(text);
    cJSON_Delete(json);
    return status;
}

/* A model that fills a device for a moment, where the user names none. */
static void own_config(const struct backend *backend, struct config *config) {
    int gpu = backend->host_new != NULL;
    config->model.layers = gpu ? 4 : 2;
    config->model.width = gpu ? 1024 : 256;
    config->model.heads = gpu ? 16 : 4;
    config->model.context = config->train.seq_len = gpu ? 1024 : 128;
    config->train.micro_batch = 4;
    config->train.precision = gpu ? PRECISION_BF16 : PRECISION_FP32;
}

static int examine(struct comm *comm, const struct doctor_request *request, struct report *report) {
    const struct backend *backend;
    struct config config = *request->config;
    struct facts mine;
    struct computed made;
    TRY(comm_agree(comm, backend_choose(config.backend, comm, &backend)));
    if (request->own_model) own_config(backend, &config);
    TRY(facts_gather(comm, backend, request, &mine));
    TRY(network_measure(comm, request->quick, &report->network));
    TRY(compute_check(comm, backend, &config, request->seconds, !mine.failed, &made));
    TRY(comm_gather_equal(comm, &mine, report->facts, sizeof mine));
    return comm_gather_equal(comm, &made, report->computed, sizeof made);
}

int doctor_run(struct comm *comm, const struct doctor_request *request, FILE *out, struct verdict *verdict) {
    struct report report = {0};
    memset(verdict, 0, sizeof *verdict);
    report.facts = calloc((size_t)comm->size, sizeof *report.facts);
    report.computed = calloc((size_t)comm->size, sizeof *report.computed);
    int status = comm_agree(comm, report.facts && report.computed ? 0 : fail(STATUS_FAILED, "out of memory"));
    if (!status) status = examine(comm, request, &report);
    if (!status && comm->rank == 0) {
        facts_judge(report.facts, comm->size, verdict);
        network_judge(&report.network, comm, verdict);
        compute_judge(report.computed, report.facts, comm->size, verdict);
        if (request->json)
            status = print_json(&report, comm, verdict, out);
        else
            print_text(&report, comm, verdict, out);
    }
    if (!comm->broken) {
        network_free(&report.network);
        free(report.facts);
        free(report.computed);
    }
    status = comm->broken ? status : comm_agree(comm, status);
    return status ? status : comm_broadcast(comm, verdict, sizeof *verdict);
}
