/* Latency and bandwidth of every pair of hosts, and of all at once.
 *
 * Pairs meet as in a round-robin tournament (the circle method): in each round every host talks to one other, so that H hosts need H - 1
 * rounds, not H (H - 1) / 2, and all pairs of a round load the network together, as a step does. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "doctor/doctor.h"

enum {
    PAIR = 1, /* lines of the communication */
    ALL = 2,
    LARGE = 4 << 20,  /* bytes of a message that shows the bandwidth */
    SHARE = 1 << 20,  /* bytes from each to each, */
    MOST = 256 << 20, /* but no more than this in all */
    TRIES = 3,
    AGAIN = 2, /* more looks at what seems slow */
    TURNS = 50 /* there and back, for the latency */
};

struct session {
    struct comm *comm;
    struct network *network;
    int unit; /* this rank's number among those that talk; -1: it does not */
    int quick;
    char *buffer;
    int64_t share;
};

/* One rank of each host; where there is one host, all ranks. */
static int choose_units(struct comm *comm, struct network *network) {
    int hosts = 0;
    network->rank = calloc((size_t)comm->size, sizeof *network->rank);
    if (!network->rank) return fail(STATUS_FAILED, "out of memory");
    for (int r = 0; r < comm->size; r++) {
        int first = 0;
        while (strcmp(comm->peers[first].host, comm->peers[r].host) != 0) first++;
        if (first == r) network->rank[hosts++] = r;
    }
    network->hosts = hosts > 1 ? hosts : 0;
    network->units = hosts > 1 ? hosts : comm->size;
    for (int r = 0; hosts == 1 && r < comm->size; r++) network->rank[r] = r;
    return 0;
}

static int send(struct session *s, int rank, int64_t bytes) {
    struct comm_message message = {rank, s->buffer, bytes};
    TRY(comm_start(s->comm, PAIR, &message, 1, NULL, 0));
    return comm_wait(s->comm, PAIR);
}

static int receive(struct session *s, int rank, int64_t bytes) {
    struct comm_message message = {rank, s->buffer, bytes};
    TRY(comm_start(s->comm, PAIR, NULL, 0, &message, 1));
    return comm_wait(s->comm, PAIR);
}

/* `there` bytes one way, `back` bytes the other; the first of a pair begins. */
static int turn(struct session *s, int rank, int begins, int64_t there, int64_t back, double *took) {
    double begin = clock_seconds();
    TRY(begins ? send(s, rank, there) : receive(s, rank, there));
    TRY(begins ? receive(s, rank, back) : send(s, rank, back));
    *took = clock_seconds() - begin;
    return 0;
}

static int measure_pair(struct session *s, int rank, int begins, struct link *link) {
    double best[2] = {1e9, 1e9}, time;
    int64_t large = s->quick ? LARGE / 64 : LARGE;
    link->latency_s = 1e9;
    TRY(turn(s, rank, begins, 8, 8, &time)); /* connections are made with the first message */
    for (int i = 0; i < (s->quick ? 3 : TURNS); i++) {
        TRY(turn(s, rank, begins, 8, 8, &time));
        if (time / 2 < link->latency_s) link->latency_s = time / 2;
    }
    for (int i = 0; i < (s->quick ? 1 : TRIES); i++)
        for (int way = 0; way < 2; way++) {
            TRY(turn(s, rank, begins, way ? 8 : large, way ? large : 8, &time));
            if (time < best[way]) best[way] = time;
        }
    link->bytes_per_s = (double)large / (best[0] > best[1] ? best[0] : best[1]);
    return 0;
}

/* Whom unit `me` of `n` meets in a round; with an odd number one rests: then it is `me`. */
static int opponent(int me, int round, int n) {
    int even = n + n % 2, last = even - 1, other;
    if (me == last)
        other = round;
    else if (me == round)
        other = last;
    else
        other = (2 * round - me + 2 * last) % last;
    return other >= n ? me : other;
}

static int measure_pairs(struct session *s) {
    struct network *network = s->network;
    int n = network->units, rounds = n + n % 2 - 1;
    for (int round = 0; round < rounds && s->unit >= 0; round++) {
        int other = opponent(s->unit, round, n), begins = s->unit < other;
        if (other == s->unit) continue;
        TRY(measure_pair(s, network->rank[other], begins, &network->link[(int64_t)s->unit * n + other]));
    }
    return 0;
}

static int send_to_all(struct session *s, struct comm_message *messages) {
    const struct network *network = s->network;
    int n = network->units, count = 0;
    for (int u = 0; u < n; u++) {
        if (u == s->unit) continue;
        messages[count] = (struct comm_message){network->rank[u], s->buffer, s->share};
        messages[n + count++] =
            (struct comm_message){network->rank[u], s->buffer + (int64_t)(u + 1) * s->share, s->share};
    }
    TRY(comm_start(s->comm, ALL, messages, count, messages + n, count));
    return comm_wait(s->comm, ALL);
}

/* The best of some tries; of each the slowest unit counts. */
static int measure_all(struct session *s) {
    int n = s->network->units;
    struct comm_message *messages = calloc(2 * (size_t)n, sizeof *messages);
    double *times = calloc((size_t)s->comm->size, sizeof *times);
    int status = comm_agree(s->comm, messages && times ? 0 : fail(STATUS_FAILED, "out of memory"));
    for (int i = 0; i < TRIES && !status; i++) {
        double begin = clock_seconds(), took, slowest = 0;
        if (s->unit >= 0) status = send_to_all(s, messages);
        took = s->unit >= 0 ? clock_seconds() - begin : 0;
        if (!status) status = comm_gather_equal(s->comm, &took, times, sizeof took);
        for (int r = 0; r < s->comm->size; r++) slowest = times[r] > slowest ? times[r] : slowest;
        double rate = slowest > 0 ? (double)(n - 1) * (double)s->share / slowest : 0;
        if (rate > s->network->all_to_all) s->network->all_to_all = rate;
    }
    free(messages);
    free(times);
    return status;
}

/* Rank 0 gets the row of each unit. */
static int collect(struct session *s) {
    struct network *network = s->network;
    int64_t row = network->units * (int64_t)sizeof *network->link;
    for (int u = 0; u < network->units; u++) {
        int rank = network->rank[u];
        if (s->comm->rank != 0 && s->comm->rank != rank) continue;
        TRY(comm_to_first(s->comm, rank, network->link + (int64_t)u * network->units, row));
    }
    return 0;
}

static const struct link *link_of(const struct network *network, int a, int b) {
    return &network->link[(int64_t)a * network->units + b];
}

/* Over all pairs: the medians, and the pair that is slowest by each. */
struct extent {
    double latency_s, bytes_per_s;
    int far[2], thin[2];
    int pairs;
};

static struct extent survey(const struct network *network) {
    struct extent e = {.pairs = network->units * (network->units - 1) / 2};
    double *latency = calloc((size_t)e.pairs + 1, sizeof *latency), *rate = calloc((size_t)e.pairs + 1, sizeof *rate);
    const struct link *far = NULL, *thin = NULL;
    int count = 0;
    for (int a = 0; latency && rate && a < network->units; a++)
        for (int b = a + 1; b < network->units; b++) {
            const struct link *link = link_of(network, a, b);
            latency[count] = link->latency_s;
            rate[count++] = link->bytes_per_s;
            if (!far || link->latency_s > far->latency_s) far = link, e.far[0] = a, e.far[1] = b;
            if (!thin || link->bytes_per_s < thin->bytes_per_s) thin = link, e.thin[0] = a, e.thin[1] = b;
        }
    if (latency && rate) {
        e.latency_s = doctor_median(latency, count);
        e.bytes_per_s = doctor_median(rate, count);
    }
    free(latency);
    free(rate);
    return e;
}

/* Slow beside the others: the least of three pairs can tell. Connections of like hosts vary by a few percent, and by some microseconds where a
 * process is not woken at once. */
static int is_slow(const struct link *link, const struct extent *e) {
    return e->pairs >= 3 && (link->bytes_per_s < e->bytes_per_s / 2 || link->latency_s > 4 * e->latency_s + 200e-6);
}

/* Pairs that look slow are measured again, one at a time, and the better figures count: another program may have used the network, or a
 * busy host have kept one waiting. */
static int measure_again(struct session *s) {
    struct network *network = s->network;
    int n = network->units, left = 4 * n;
    char *slow = calloc((size_t)n * (size_t)n, 1);
    int status = comm_agree(s->comm, slow ? 0 : fail(STATUS_FAILED, "out of memory"));
    if (!status && s->comm->rank == 0) {
        const struct extent e = survey(network);
        for (int a = 0; a < n; a++)
            for (int b = a + 1; b < n && left > 0; b++)
                if (is_slow(link_of(network, a, b), &e)) slow[a * n + b] = 1, left--;
    }
    if (!status) status = comm_broadcast(s->comm, slow, (int64_t)n * n);
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n && !status; b++) {
            struct link again, *link = &network->link[(int64_t)a * n + b];
            if (!slow[a * n + b]) continue;
            if (s->unit == a || s->unit == b)
                status = measure_pair(s, network->rank[s->unit == a ? b : a], s->unit == a, &again);
            if (!status && s->unit == a && again.latency_s < link->latency_s) link->latency_s = again.latency_s;
            if (!status && s->unit == a && again.bytes_per_s > link->bytes_per_s) link->bytes_per_s = again.bytes_per_s;
        }
    free(slow);
    return status ? status : collect(s);
}

static int measure(struct session *s) {
    TRY(measure_pairs(s));
    if (!s->quick) TRY(measure_all(s));
    TRY(collect(s));
    for (int i = 0; i < AGAIN && !s->quick && s->network->hosts >= 3; i++) TRY(measure_again(s));
    return 0;
}

int network_measure(struct comm *comm, int quick, struct network *network) {
    const struct comm_phase before = comm->phase;
    memset(network, 0, sizeof *network);
    if (comm->size == 1) return 0;
    struct session s = {.comm = comm, .network = network, .unit = -1, .quick = quick};
    TRY(comm_agree(comm, choose_units(comm, network)));
    network->quick = quick;
    int n = network->units, messages[] = {0, 1, n};
    for (int u = 0; u < n; u++)
        if (network->rank[u] == comm->rank) s.unit = u;
    s.share = (int64_t)SHARE * (n + 1) > MOST ? MOST / (n + 1) : SHARE;
    int64_t bytes = s.share * (n + 1) > LARGE ? s.share * (n + 1) : LARGE;
    s.buffer = calloc((size_t)bytes, 1);
    network->link = calloc((size_t)n * (size_t)n, sizeof *network->link);
    int status = comm_agree(comm, s.buffer && network->link ? 0 : fail(STATUS_FAILED, "out of memory"));
    if (!status) status = comm_reserve(comm, 2, messages);
    comm->phase.doing = "the check of the network";
    if (!status) status = measure(&s);
    comm->phase = before;
    if (!comm->broken) free(s.buffer);
    return status;
}

void network_free(struct network *network) {
    free(network->rank);
    free(network->link);
    memset(network, 0, sizeof *network);
}

static const char *host_of(const struct network *network, const struct comm *comm, int unit) {
    return comm->peers[network->rank[unit]].host;
}

/* With how many others a unit is slow; *example is one of them. */
static int slow_with(const struct network *network, const struct extent *e, int a, int *example) {
    int count = 0;
    for (int b = 0; b < network->units; b++)
        if (b != a && is_slow(link_of(network, a < b ? a : b, a < b ? b : a), e)) count++, *example = b;
    return count;
}

/* Who is slow with most others is to blame, and not they. */
static int is_to_blame(const struct network *network, const struct extent *e, int a) {
    int example;
    return 2 * slow_with(network, e, a, &example) > network->units - 1;
}

void network_judge(const struct network *network, const struct comm *comm, struct verdict *verdict) {
    if (network->hosts < 3 || network->quick) return; /* ranks of one host share its memory, and its noise */
    const struct extent e = survey(network);
    char usual[64], found[64];
    snprintf(usual, sizeof usual, "%.0f us, %.3g GB/s", e.latency_s * 1e6, e.bytes_per_s / 1e9);
    for (int a = 0; a < network->units; a++)
        for (int b = a + 1; b < network->units; b++) {
            const struct link *link = link_of(network, a, b);
            if (!is_slow(link, &e) || is_to_blame(network, &e, a) || is_to_blame(network, &e, b)) continue;
            snprintf(found, sizeof found, "%.0f us, %.3g GB/s", link->latency_s * 1e6, link->bytes_per_s / 1e9);
            verdict_add(verdict, "", -1, DIFFERS, "the way between %s and %s is slow: %s, where %s are usual",
                        host_of(network, comm, a), host_of(network, comm, b), found, usual);
        }
    for (int a = 0; a < network->units; a++) {
        int b = 0;
        if (!is_to_blame(network, &e, a) || !slow_with(network, &e, a, &b)) continue;
        const struct link *link = link_of(network, a < b ? a : b, a < b ? b : a);
        snprintf(found, sizeof found, "%.0f us, %.3g GB/s", link->latency_s * 1e6, link->bytes_per_s / 1e9);
        verdict_add(verdict, host_of(network, comm, a), -1, GRAVE,
                    "slow to and from most others, such as %s: %s, where %s are usual; look at its cable, its switch "
                    "port, and which network MPI takes",
                    host_of(network, comm, b), found, usual);
    }
}

static void name_unit(const struct network *network, const struct comm *comm, int unit, char text[80]) {
    if (network->hosts)
        snprintf(text, 80, "%s", host_of(network, comm, unit));
    else
        snprintf(text, 80, "rank %d", network->rank[unit]);
}

void network_print(const struct network *network, const struct comm *comm, FILE *out) {
    char a[80], b[80];
    if (!network->units) return;
    const struct extent e = survey(network);
    const struct link *far = link_of(network, e.far[0], e.far[1]), *thin = link_of(network, e.thin[0], e.thin[1]);
    fprintf(out, "%-14s %d pairs of %d %s: %.1f us, %.3g GB/s (medians)\n", "network", e.pairs, network->units,
            network->hosts ? "hosts" : "ranks of one host", e.latency_s * 1e6, e.bytes_per_s / 1e9);
    name_unit(network, comm, e.far[0], a);
    name_unit(network, comm, e.far[1], b);
    fprintf(out, "%-14s latency %.1f us: %s and %s", "slowest pair", far->latency_s * 1e6, a, b);
    name_unit(network, comm, e.thin[0], a);
    name_unit(network, comm, e.thin[1], b);
    fprintf(out, "; bandwidth %.3g GB/s: %s and %s\n", thin->bytes_per_s / 1e9, a, b);
    if (network->all_to_all > 0)
        fprintf(out, "%-14s %.3g GB/s sent by each at once\n", "all to all", network->all_to_all / 1e9);
}

cJSON *network_json(const struct network *network, const struct comm *comm) {
    char name[80];
    cJSON *json = cJSON_CreateObject(), *pairs = cJSON_AddArrayToObject(json, "pairs");
    cJSON_AddStringToObject(json, "between", network->hosts ? "hosts" : "ranks");
    cJSON_AddNumberToObject(json, "all_to_all_bytes_per_s", network->all_to_all);
    for (int a = 0; a < network->units; a++)
        for (int b = a + 1; b < network->units; b++) {
            cJSON *pair = cJSON_CreateObject();
            name_unit(network, comm, a, name);
            cJSON_AddStringToObject(pair, "a", name);
            name_unit(network, comm, b, name);
            cJSON_AddStringToObject(pair, "b", name);
            cJSON_AddNumberToObject(pair, "latency_s", link_of(network, a, b)->latency_s);
            cJSON_AddNumberToObject(pair, "bytes_per_s", link_of(network, a, b)->bytes_per_s);
            cJSON_AddItemToArray(pairs, pair);
        }
    return json;
}
