/* metrics.jsonl: one object a step, written by rank 0 without allocating. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/folders.h"
#include "train/trainer.h"

static void metrics_path(const struct trainer *t, char *path, size_t size) {
    snprintf(path, size, "%s/metrics.jsonl", t->folder);
}

int metrics_open(struct trainer *t) {
    if (t->comm->rank) return 0;
    char path[1200];
    metrics_path(t, path, sizeof path);
    t->metrics = fopen(path, "a");
    if (!t->metrics) return fail(STATUS_FAILED, "%s: cannot write metrics: %s", path, strerror(errno));
    setvbuf(t->metrics, NULL, _IOFBF, 1 << 16);
    return folder_sync(t->folder); /* it is the last of the run's files that a resume needs */
}

/* JSON has no NaN: null stands for it. */
static const char *number(double value, char text[40]) {
    snprintf(text, 40, isfinite(value) ? "%.9g" : "null", value);
    return text;
}

int metrics_write(struct trainer *t, const struct step_report *r) {
    if (t->comm->rank) return 0;
    char loss[40], norm[40], val[40];
    const struct plan *plan = t->run.plan;
    long long peak = (long long)(plan_store_bytes(plan) + plan->arena_bytes);
    if (r->step < t->config->train.steps)
        fprintf(
            t->metrics,
            "{\"step\": %lld, \"loss\": %s, \"loss_hex\": \"%a\", \"lr\": %.9g, \"grad_norm\": %s, \"tokens\": %lld, "
            "\"tok_per_s\": %.1f, \"mfu\": %.4f, \"peak_bytes\": %lld, \"time_s\": %.6f, \"save_s\": %.6f, "
            "\"skipped\": %s",
            (long long)r->step, number(r->loss, loss), r->loss, r->lr, number(r->grad_norm, norm), (long long)r->tokens,
            r->tok_per_s, r->mfu, peak, r->time_s, t->saving.stall_s, r->skipped ? "true" : "false");
    if (r->step < t->config->train.steps && t->scale.scale)
        fprintf(t->metrics, ", \"loss_scale\": %lld", (long long)t->scale.scale);
    if (r->step >= t->config->train.steps) /* after the last step there is a state to evaluate, but no step */
        fprintf(t->metrics, "{\"step\": %lld, \"tokens\": %lld", (long long)r->step, (long long)r->tokens);
    t->saving.stall_s = 0;
    if (r->evaluated)
        fprintf(t->metrics, ", \"val_loss\": %s, \"val_loss_hex\": \"%a\"", number(r->val_loss, val), r->val_loss);
    fprintf(t->metrics, "}\n");
    if (fflush(t->metrics))
        return fail(STATUS_FAILED, "%s/metrics.jsonl: cannot write: %s", t->folder, strerror(errno));
    return 0;
}

/* Copies the whole lines of steps before `step`; returns a status. */
static int copy_lines(FILE *from, FILE *to, int64_t step, const char *path) {
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    int failed = 0;
    while (!failed && (length = getline(&line, &size, from)) > 0) {
        long long at;
        if (line[length - 1] != '\n' || sscanf(line, "{\"step\": %lld", &at) != 1 || at >= step) continue;
        failed = fputs(line, to) < 0;
    }
    free(line);
    failed = failed || ferror(from) || fflush(to) || fsync(fileno(to));
    return failed ? fail(STATUS_FAILED, "%s: cannot cut back: %s", path, strerror(errno)) : 0;
}

int metrics_add_loss(struct ckpt_losses *losses, int64_t step, double loss) {
    if (losses->count == losses->room) {
        int room = 2 * losses->room + 64;
        struct ckpt_loss *more = realloc(losses->list, (size_t)room * sizeof *more);
        if (!more) return fail(STATUS_FAILED, "out of memory");
        losses->list = more;
        losses->room = room;
    }
    losses->list[losses->count++] = (struct ckpt_loss){step, loss};
    return 0;
}

int metrics_read_losses(const char *path, struct ckpt_losses *losses) {
    static const char key[] = "\"val_loss\": ";
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;
    long long step;
    int status = 0;
    while (f && !status && getline(&line, &size, f) > 0) {
        const char *found = strstr(line, key);
        char *end;
        if (!found || sscanf(line, "{\"step\": %lld", &step) != 1) continue;
        double loss = strtod(found + sizeof key - 1, &end);
        if (end != found + sizeof key - 1) status = metrics_add_loss(losses, step, loss); /* null is none */
    }
    free(line);
    if (f) fclose(f);
    return status;
}

int64_t metrics_steps(const char *path) {
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;
    long long at = -1, last = -1;
    while (f && getline(&line, &size, f) > 0)
        if (sscanf(line, "{\"step\": %lld", &at) == 1 && at > last) last = at;
    free(line);
    if (f) fclose(f);
    return last + 1;
}

int metrics_cut(const char *path, int64_t step) {
    char cut[1300];
    FILE *from = fopen(path, "r");
    if (!from) return errno == ENOENT ? 0 : fail(STATUS_FAILED, "%s: cannot read metrics: %s", path, strerror(errno));
    snprintf(cut, sizeof cut, "%s.tmp", path);
    FILE *to = fopen(cut, "w");
    int status =
        to ? copy_lines(from, to, step, path) : fail(STATUS_FAILED, "%s: cannot write: %s", cut, strerror(errno));
    fclose(from);
    if (to && fclose(to) && !status) status = fail(STATUS_FAILED, "%s: cannot write: %s", cut, strerror(errno));
    if (!status && rename(cut, path)) status = fail(STATUS_FAILED, "%s: cannot replace: %s", path, strerror(errno));
    if (status) unlink(cut);
    return status;
}
