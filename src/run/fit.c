/* Which settings would make a plan fit that a device has no room for: each is tried, by building the plan that it leads to. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "model/model.h"
#include "run/run.h"

/* The same sequences a step: what a micro-batch loses, more of them make up for. */
struct change {
    const char *key, *value, *beside;
};

static const struct change changes[] = {
    {"train.recompute", "block", ""},
    {"train.precision", "bf16", ""},
    {"fuse.head", "true", ""},
    {"train.micro_batch", NULL, ", with more train.micro_batches_per_slot"},
};

/* Bytes of the plan with this setting; -1: it changes nothing, or cannot be. */
static int64_t bytes_with(const struct config *config, const struct plan_request *request, const char *key,
                          const char *value) {
    struct config other = *config;
    struct plan_request asked = *request;
    struct plan *plan = NULL;
    int64_t bytes = -1;
    if (config_set(&other, key, value, "") || config_check(&other)) return -1;
    asked.batch = request->batch == (int)config->train.micro_batch ? (int)other.train.micro_batch : request->batch;
    if (!plan_build(&other, &asked, model_forward, &plan)) bytes = plan_total_bytes(plan);
    plan_free(plan);
    return bytes;
}

/* The largest micro-batch below the config's that fits; 0: none. */
static int64_t smaller_batch(const struct config *config, const struct plan_request *request, int64_t most,
                             int64_t *bytes) {
    for (int64_t batch = config->train.micro_batch / 2; batch >= 1; batch /= 2) {
        char value[32];
        snprintf(value, sizeof value, "%lld", (long long)batch);
        *bytes = bytes_with(config, request, "train.micro_batch", value);
        if (*bytes >= 0 && *bytes <= most) return batch;
    }
    return 0;
}

int run_cannot_fit(const struct config *config, const struct plan_request *request, const struct plan *plan,
                   int64_t missing, int status) {
    const int64_t most = plan_total_bytes(plan) - missing;
    const double gib = 1 << 30;
    char message[1024], list[1024] = "";
    size_t used = 0;
    snprintf(message, sizeof message, "%s", fail_message());
    for (size_t i = 0; i < sizeof changes / sizeof *changes && used < sizeof list; i++) {
        const struct change *c = &changes[i];
        char value[32];
        int64_t bytes = 0, batch = c->value ? 0 : smaller_batch(config, request, most, &bytes);
        snprintf(value, sizeof value, "%lld", (long long)batch);
        if (c->value) bytes = bytes_with(config, request, c->key, c->value);
        if ((!c->value && !batch) || bytes < 0 || bytes > most) continue;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s--set %s=%s (%.3f GiB less%s)",
                                 used ? ", or " : "", c->key, c->value ? c->value : value,
                                 (double)(plan_total_bytes(plan) - bytes) / gib, c->beside);
    }
    if (!used)
        return fail(status,
                    "%s; no single setting makes it fit: together train.recompute=block, train.precision=bf16, "
                    "fuse.head=true and a "
                    "smaller train.micro_batch take the least ('lockstep plan' tells how much)",
                    message);
    return fail(status, "%s; it would fit with %s", message, list);
}
