/* Facts of all ranks held against each other: one table says which must agree, and what to do where they do not. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/doctor.h"

enum kind { TEXT, COUNT, BYTES };

/* What is expected of a fact over all ranks. */
enum rule {
    TELL,   /* nothing: differences are told */
    AGREE,  /* the same everywhere */
    PLENTY, /* nowhere less than half of what is usual */
};

static const struct fact {
    const char *name, *key; /* for people; in JSON */
    size_t at;
    enum kind kind;
    enum rule rule;
    const char *advice;
} table[] = {
    {"program", "program", offsetof(struct facts, program), TEXT, AGREE,
     "copy one build to all hosts, or share the folder"},
    {"MPI", "mpi", offsetof(struct facts, mpi), TEXT, AGREE, "load the same module, or set LD_LIBRARY_PATH alike"},
    {"HDF5", "hdf5", offsetof(struct facts, hdf5), TEXT, AGREE, "load the same module, or set LD_LIBRARY_PATH alike"},
    {"C library", "libc", offsetof(struct facts, libc), TEXT, AGREE,
     "its exp() and log() may differ in the last bit: use one image, or a bundle (launch/bundle)"},
    {"device", "device", offsetof(struct facts, device) + offsetof(struct device_info, name), TEXT, AGREE,
     "kinds of devices differ in bits: use one kind"},
    {"computes with", "versions", offsetof(struct facts, device) + offsetof(struct device_info, versions), TEXT, AGREE,
     "versions differ in bits: install the same"},
    {"settings", "settings", offsetof(struct facts, settings), TEXT, AGREE,
     "set the environment alike: mpirun -x NAME, or sbatch --export"},
    {"system", "system", offsetof(struct facts, system), TEXT, TELL, NULL},
    {"cores", "cores", offsetof(struct facts, cores), COUNT, TELL, NULL},
    {"threads", "threads", offsetof(struct facts, threads), COUNT, AGREE,
     "the slowest rank decides: set OMP_NUM_THREADS alike"},
    {"device memory", "memory_bytes", offsetof(struct facts, device) + offsetof(struct device_info, memory), BYTES,
     TELL, NULL},
    {"of it free", "free_memory_bytes", offsetof(struct facts, device) + offsetof(struct device_info, free_memory),
     BYTES, PLENTY, "another program has it: nvidia-smi, or top, tells which"},
    {"/dev/shm free", "shm_free_bytes", offsetof(struct facts, shm_free), BYTES, PLENTY,
     "remove what is left in /dev/shm by programs that were killed; containers need --shm-size"},
    {"disk free", "disk_free_bytes", offsetof(struct facts, disk_free), BYTES, TELL, NULL},
};
enum { FACTS = sizeof table / sizeof *table };

static const void *value(const struct fact *fact, const struct facts *facts) { return (const char *)facts + fact->at; }

static int64_t number(const struct fact *fact, const struct facts *facts) {
    return *(const int64_t *)value(fact, facts);
}

static int equal(const struct fact *fact, const struct facts *a, const struct facts *b) {
    return fact->kind == TEXT ? !strcmp(value(fact, a), value(fact, b)) : number(fact, a) == number(fact, b);
}

static void write_value(const struct fact *fact, const struct facts *facts, char *text, size_t size) {
    if (fact->kind == TEXT)
        snprintf(text, size, "%s", (const char *)value(fact, facts));
    else if (fact->kind == COUNT || !number(fact, facts))
        snprintf(text, size, "%lld", (long long)number(fact, facts));
    else
        snprintf(text, size, "%.1f GiB", (double)number(fact, facts) / (1 << 30));
}

/* The rank whose value most ranks have; of several the first. */
static int usual(const struct fact *fact, const struct facts *facts, int ranks) {
    int best = 0, most = 0;
    for (int r = 0; r < ranks && most <= ranks / 2; r++) {
        int count = 0;
        for (int other = 0; other < ranks; other++) count += equal(fact, &facts[r], &facts[other]);
        if (count > most) most = count, best = r;
    }
    return best;
}

static double middle(const struct fact *fact, const struct facts *facts, int ranks) {
    double *all = malloc((size_t)ranks * sizeof *all), median = 0;
    for (int r = 0; all && r < ranks; r++) all[r] = (double)number(fact, &facts[r]);
    if (all) median = doctor_median(all, ranks);
    free(all);
    return median;
}

/* The first rank of each host speaks for it where the others of that host say the same. */
static int is_said(const struct fact *fact, const struct facts *facts, int rank) {
    for (int r = 0; r < rank; r++)
        if (!strcmp(facts[r].host, facts[rank].host) && equal(fact, &facts[r], &facts[rank])) return 1;
    return 0;
}

static void judge_fact(const struct fact *fact, const struct facts *facts, int ranks, struct verdict *verdict) {
    char here[256], there[256];
    int most = usual(fact, facts, ranks);
    double median = fact->rule == PLENTY ? middle(fact, facts, ranks) : 0;
    for (int r = 0; r < ranks && fact->rule != TELL; r++) {
        if (facts[r].failed && fact->at >= offsetof(struct facts, device) && fact->at < offsetof(struct facts, online))
            continue; /* that it is not known is told already */
        if (fact->rule == AGREE ? equal(fact, &facts[r], &facts[most]) : (double)number(fact, &facts[r]) >= median / 2)
            continue;
        if (is_said(fact, facts, r)) continue;
        write_value(fact, &facts[r], here, sizeof here);
        if (fact->rule == AGREE)
            write_value(fact, &facts[most], there, sizeof there);
        else
            snprintf(there, sizeof there, "%.1f GiB", median / (1 << 30));
        verdict_add(verdict, facts[r].host, r, DIFFERS, "%s: %s, and %s on %s; %s", fact->name, here, there,
                    fact->rule == AGREE ? facts[most].host : "most", fact->advice);
    }
}

static int is_first_of_host(const struct facts *facts, int rank) {
    for (int r = 0; r < rank; r++)
        if (!strcmp(facts[r].host, facts[rank].host)) return 0;
    return 1;
}

/* Clocks are told against rank 0's, which may itself be the one that is wrong. */
static double middle_clock(const struct facts *facts, int ranks) {
    double *all = ranks > 0 ? malloc((size_t)ranks * sizeof *all) : NULL, median = 0;
    for (int r = 0; all && r < ranks; r++) all[r] = facts[r].clock_s;
    if (all) median = doctor_median(all, ranks);
    free(all);
    return median;
}

/* Where most do not see what rank 0 wrote, it is rank 0's host that has another folder. */
static void judge_folder(const struct facts *facts, int ranks, struct verdict *verdict) {
    static const char text[] = "the folder of runs is not that of %s: checkpoints need one folder that all hosts see";
    int hosts = 0, blind = 0, other = 0;
    for (int r = 0; r < ranks; r++) {
        if (!is_first_of_host(facts, r)) continue;
        hosts++;
        blind += !facts[r].sees_runs;
        if (!facts[r].sees_runs) other = r;
    }
    if (blind > 1 && blind == hosts - 1) {
        verdict_add(verdict, facts[0].host, -1, GRAVE, text, facts[other].host);
        return;
    }
    for (int r = 0; r < ranks; r++)
        if (is_first_of_host(facts, r) && !facts[r].sees_runs)
            verdict_add(verdict, facts[r].host, -1, GRAVE, text, facts[0].host);
}

void facts_judge(const struct facts *facts, int ranks, struct verdict *verdict) {
    const double clock_limit_s = 1, least_bytes = 64 << 20, clock_s = middle_clock(facts, ranks);
    for (int r = 0; r < ranks; r++)
        if (facts[r].failed)
            verdict_add(verdict, facts[r].host, r, GRAVE, "its device cannot be used: %s", facts[r].message);
    judge_folder(facts, ranks, verdict);
    for (int i = 0; i < FACTS; i++) judge_fact(&table[i], facts, ranks, verdict);
    for (int r = 0; r < ranks; r++) {
        double ahead = facts[r].clock_s - clock_s;
        if (!is_first_of_host(facts, r)) continue;
        if (ahead > clock_limit_s || ahead < -clock_limit_s)
            verdict_add(verdict, facts[r].host, -1, DIFFERS,
                        "its clock is %.1f s %s most others': times of files and logs will mislead; see chronyc "
                        "tracking",
                        ahead < 0 ? -ahead : ahead, ahead < 0 ? "behind" : "ahead of");
        if (facts[r].disk_free > 0 && (double)facts[r].disk_free < least_bytes)
            verdict_add(verdict, facts[r].host, -1, DIFFERS, "the disk of the folder of runs is full");
    }
}

void facts_print(const struct facts *facts, int ranks, FILE *out) {
    for (int i = 0; i < FACTS; i++) {
        char text[800], other[800];
        int most = usual(&table[i], facts, ranks), others = 0;
        write_value(&table[i], &facts[most], text, sizeof text);
        fprintf(out, "%-14s %s", table[i].name, text);
        for (int r = 0; r < ranks; r++) {
            write_value(&table[i], &facts[r], other, sizeof other);
            if (!strcmp(other, text) || is_said(&table[i], facts, r) || ++others > 8) continue;
            fprintf(out, "; %s on %s", other, facts[r].host);
        }
        fprintf(out, "%s\n", others > 8 ? "; …" : "");
    }
}

cJSON *facts_json(const struct facts *facts, int ranks) {
    cJSON *all = cJSON_CreateArray();
    for (int r = 0; all && r < ranks; r++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "rank", r);
        cJSON_AddStringToObject(one, "host", facts[r].host);
        for (int i = 0; i < FACTS; i++) {
            const char *name = table[i].key;
            if (table[i].kind == TEXT)
                cJSON_AddStringToObject(one, name, value(&table[i], &facts[r]));
            else
                cJSON_AddNumberToObject(one, name, (double)number(&table[i], &facts[r]));
        }
        cJSON_AddStringToObject(one, "device_id", facts[r].device.id);
        cJSON_AddNumberToObject(one, "clock_s", facts[r].clock_s);
        cJSON_AddBoolToObject(one, "sees_runs", facts[r].sees_runs);
        cJSON_AddItemToArray(all, one);
    }
    return all;
}
