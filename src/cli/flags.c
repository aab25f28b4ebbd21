#include "cli/flags.h"

#include <string.h>

#include "base/check.h"

/* `on` is what --use-NAME sets, `off` what --no-NAME sets; without them the flag is --NAME VALUE. */
static const struct flag {
    const char *name, *key, *on, *off;
} flags[] = {
    {"gradient-accumulation-steps", "train.micro_batches_per_slot", NULL, NULL},
    {"n-kv-heads", "model.kv_heads", NULL, NULL},
    {"rope", "model.position", "rope", "learned"},
    {"rmsnorm", "model.norm", "rmsnorm", "layernorm"},
    {"swiglu", "model.ffn", "swiglu", "gelu"},
    {"amp", "train.precision", "bf16", "fp32"},
    {"gradient-checkpointing", "train.recompute", "block", "none"},
    {"flash-attention", "model.attention", "flash", "naive"},
    {"compile", "train.compile", "true", "false"},
};
enum { FLAGS = sizeof flags / sizeof *flags };

static char option_names[2 * FLAGS][48];

static void add(struct option *out, int index, int off) {
    const struct flag *flag = &flags[index];
    char *name = option_names[2 * index + off];
    snprintf(name, sizeof option_names[0], "%s%s", !flag->on ? "" : off ? "no-" : "use-", flag->name);
    *out = (struct option){name, flag->on ? no_argument : required_argument, NULL, CLI_FLAGS_FIRST + 2 * index + off};
}

int cli_add_flags(const struct option *own, struct option out[CLI_FLAGS_ROOM]) {
    int count = 0;
    for (; own[count].name; count++) {
        if (count + 2 * FLAGS + 1 >= CLI_FLAGS_ROOM) return fail(STATUS_FAILED, "raise CLI_FLAGS_ROOM");
        out[count] = own[count];
    }
    for (int i = 0; i < FLAGS; i++)
        for (int off = 0; off <= (flags[i].on != NULL); off++) add(&out[count++], i, off);
    memset(&out[count], 0, sizeof out[count]);
    return 0;
}

int cli_take_flag(int code, const char *argument, struct config *config) {
    if (code < CLI_FLAGS_FIRST) return 0;
    int index = (code - CLI_FLAGS_FIRST) / 2, off = (code - CLI_FLAGS_FIRST) % 2;
    const struct flag *flag = &flags[index];
    char where[64];
    snprintf(where, sizeof where, "--%s", option_names[2 * index + off]);
    return config_set(config, flag->key, !flag->on ? argument : off ? flag->off : flag->on, where);
}

void cli_print_flags(FILE *out) {
    for (int i = 0; i < FLAGS; i++) {
        char text[96];
        const struct flag *flag = &flags[i];
        if (flag->on)
            snprintf(text, sizeof text, "--use-%s, --no-%s", flag->name, flag->name);
        else
            snprintf(text, sizeof text, "--%s N", flag->name);
        fprintf(out, "  %-58s %s%s%s%s%s\n", text, flag->key, flag->on ? ": " : "", flag->on ? flag->on : "",
                flag->on ? ", " : "", flag->on ? flag->off : "");
    }
}
