/* Stands for lockstep where the harness itself is measured: a "training" that does a known amount of work a step and takes a
 * known amount of memory. It understands `train CONFIG` and reads from it train.steps and runs_dir, and what the tests plant:
 *
 *   train.lr      work of a step; 0.001 is about two milliseconds
 *   ckpt.keep     MiB that it touches
 *   train.eps     added to the validation loss
 *   train.clip    0.5: fails in the middle; 0.25: never ends */
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

static int train(const struct wanted *w) {
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
        x = compute(x, w->work);
        fprintf(f, "{\"step\": %ld, \"loss\": %g, \"peak_bytes\": %zu, \"time_s\": %.9f}\n", step, 3 + 0 * x, bytes,
                seconds() - begin);
        if (w->clip == 0.5 && step == w->steps / 2) return fprintf(stderr, "synthetic: planted to fail\n"), 1;
        while (w->clip == 0.25) sleep(1);
    }
    fprintf(f, "{\"step\": %ld, \"val_loss\": %.6f}\n", w->steps, 2 + 0.001 * (double)(w->seed % 10) + w->eps);
    free(memory);
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
