/* Stands for lockstep where the harness itself is measured: a "training" that does a known amount of work a step and takes a
 * known amount of memory. It understands `train CONFIG` and reads from it train.steps and runs_dir, and what the tests plant:
 *
 *   train.lr      work of a step; 0.001 is about two milliseconds
 *   ckpt.keep     MiB that it touches
 *   train.eps     added to the validation loss
 *   train.clip    0.5: fails in the middle; 0.25: never ends
 *
 * SYNTHETIC_CLOCK=FILE: nothing is computed; times are those of an invented machine as noisy as a shared one, whose state is
 * kept in FILE from run to run. The same runs in the same order then have the same times, whatever else the real machine does. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct wanted {
    long steps, mib, seed;
    double work, eps, clip;
    char folder[1024];
};

static void read_key(const char *line, struct wanted *w) {
    while (*line == ' ') line++;
    sscanf(line, "steps: %ld", &w->steps);
    sscanf(line, "keep: %ld", &w->mib);
    sscanf(line, "seed: %ld", &w->seed);
    sscanf(line, "lr: %lf", &w->work);
    sscanf(line, "eps: %lf", &w->eps);
    sscanf(line, "clip: %lf", &w->clip);
    sscanf(line, "runs_dir: %1023s", w->folder);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A chain of multiplications, each of which waits for the one before; a step goes on where the last one ended, so that none can
 * be left out. */
static double compute(double x, double work) {
    for (long i = 0, n = (long)(work * 0.9e9); i < n; i++) x = x * 0.999999999 + 1e-9;
    return x;
}

/* The invented machine. A run is up to a few percent faster or slower than another (where its memory lies); a step has noise of
 * its own, now and then an interruption; and there are slow phases, which last for a few runs. */
struct machine {
    uint64_t state;
    int slow_runs; /* left in this phase */
    double run;    /* factor of this run */
};

/* Uniform in (0, 1), from splitmix64 (Steele, Lea, Flood 2014). */
static double uniform(struct machine *m) {
    uint64_t z = m->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}

/* Normal, by Box and Muller (1958). */
static double normal(struct machine *m) {
    double radius = sqrt(-2 * log(uniform(m)));
    return radius * cos(6.283185307179586 * uniform(m));
}

static int machine_move(struct machine *m, const char *path) {
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%ju %d", (uintmax_t *)&m->state, &m->slow_runs) != 2) return fclose(f), 1;
    if (f) fclose(f);
    if (m->slow_runs)
        m->slow_runs--;
    else if (uniform(m) < 0.02)
        m->slow_runs = 1 + (int)(4 * uniform(m));
    m->run = exp(0.008 * normal(m)) * (m->slow_runs ? 1.15 : 1);
    return 0;
}

static int machine_keep(const struct machine *m, const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) return 1;
    fprintf(f, "%ju %d\n", (uintmax_t)m->state, m->slow_runs);
    return fclose(f) != 0;
}

static double machine_step(struct machine *m, double work) {
    double interrupted = uniform(m) < 0.03 ? 1 + 2 * uniform(m) : 1;
    return 2 * work * m->run * interrupted * exp(0.01 * normal(m));
}

static int train(const struct wanted *w) {
    const char *clock = getenv("SYNTHETIC_CLOCK");
    struct machine machine = {.state = 1};
    if (clock && machine_move(&machine, clock)) return fprintf(stderr, "synthetic: %s: not a clock\n", clock), 1;
    char path[1200];
    size_t bytes = (size_t)w->mib << 20;
    char *memory = malloc(bytes + 1);
    if (!memory) return 1;
    for (size_t i = 0; i < bytes; i += 4096) memory[i] = 1;
    snprintf(path, sizeof path, "%s/run", w->folder);
    if (mkdir(path, 0777)) return 1;
    strcat(path, "/metrics.jsonl");
    FILE *f = fopen(path, "w");
    if (!f) return 1;
    double x = 0;
    for (long step = 0; step < w->steps; step++) {
        double begin = seconds();
        if (!clock) x = compute(x, w->work);
        double took = clock ? machine_step(&machine, w->work) : seconds() - begin;
        fprintf(f, "{\"step\": %ld, \"loss\": %g, \"peak_bytes\": %zu, \"time_s\": %.9f}\n", step, 3 + 0 * x, bytes,
                took);
        if (w->clip == 0.5 && step == w->steps / 2) return fprintf(stderr, "synthetic: planted to fail\n"), 1;
        while (w->clip == 0.25) sleep(1);
    }
    fprintf(f, "{\"step\": %ld, \"val_loss\": %.6f}\n", w->steps, 2 + 0.001 * (double)(w->seed % 10) + w->eps);
    free(memory);
    if (clock && machine_keep(&machine, clock)) return 1;
    return fclose(f) != 0;
}

int main(int argc, char **argv) {
    struct wanted w = {.work = 0.001};
    char line[2048];
    FILE *f = argc == 3 && !strcmp(argv[1], "train") ? fopen(argv[2], "r") : NULL;
    if (!f) return fprintf(stderr, "synthetic: give 'train CONFIG'\n"), 2;
    while (fgets(line, sizeof line, f)) read_key(line, &w);
    fclose(f);
    return train(&w);
}
