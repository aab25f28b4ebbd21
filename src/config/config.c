#include "config/config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "config/schema.h"

void config_defaults(struct config *config) {
    memset(config, 0, sizeof *config); /* padding too, so that equal configs are equal bytes */
    schema_defaults(&config_schema, config);
}

int config_set(struct config *config, const char *key, const char *value, const char *where) {
    const struct schema_key *found;
    int status = schema_lookup(&config_schema, key, &found);
    if (!status) status = schema_read(found, value, config);
    return status ? fail_within(status, "%s: ", where) : 0;
}

static void fill_derived(struct config *config) {
    struct config_model *model = &config->model;
    int64_t thirds = (8 * model->width + 2) / 3; /* the three matrices of SwiGLU then have the size of GELU's two */
    if (model->hidden == 0) model->hidden = model->ffn == FFN_SWIGLU ? (thirds + 63) / 64 * 64 : 4 * model->width;
    if (model->kv_heads == 0) model->kv_heads = model->heads;
    if (config->train.seq_len == 0) config->train.seq_len = config->model.context;
}

static int check_heads(const struct config_model *model) {
    int64_t heads = model->heads, width = model->width;
    if (width % heads == 0) return 0;
    int64_t below = heads < width ? heads : width, above = heads + 1;
    while (width % below) below--;
    while (above <= schema_find(&config_schema, "model.heads")->high && width % above) above++;
    char text[64];
    if (above <= schema_find(&config_schema, "model.heads")->high)
        snprintf(text, sizeof text, "%" PRId64 " or %" PRId64 " do", below, above);
    else
        snprintf(text, sizeof text, "%" PRId64 " does", below);
    return fail(STATUS_USAGE, "model.heads: %" PRId64 " does not divide model.width %" PRId64 "; %s", heads, width,
                text);
}

int64_t config_head_size(const struct config_model *model) { return model->width / model->heads; }

int64_t config_rope_size(const struct config_model *model) {
    double turning = model->rope_fraction * (double)config_head_size(model);
    return model->position == POSITION_ROPE ? (int64_t)(turning + 0.5) : 0;
}

int64_t config_vocab_rows(const struct config_model *model) {
    int64_t multiple = model->vocab_multiple;
    return (model->vocab + multiple - 1) / multiple * multiple;
}

static int check_kv_heads(const struct config_model *model) {
    int64_t kv_heads = model->kv_heads, heads = model->heads;
    if (kv_heads <= heads && heads % kv_heads == 0) return 0;
    int64_t below = kv_heads < heads ? kv_heads : heads;
    while (heads % below) below--;
    return fail(STATUS_USAGE, "model.kv_heads: %" PRId64 " does not divide model.heads %" PRId64 "; %" PRId64 " does",
                kv_heads, heads, below);
}

/* Channels turn in pairs. */
static int check_rope(const struct config_model *model) {
    if (model->position != POSITION_ROPE) return 0;
    int64_t size = config_head_size(model), turning = config_rope_size(model);
    if (size % 2)
        return fail(STATUS_USAGE,
                    "model.position: rope turns pairs of channels, but a head has %" PRId64
                    " (model.width / model.heads)",
                    size);
    if (turning >= 2 && turning % 2 == 0 && fabs((double)turning - model->rope_fraction * (double)size) < 1e-6)
        return 0;
    return fail(STATUS_USAGE,
                "model.rope_fraction: %g of a head's %" PRId64 " channels is not an even number of channels",
                model->rope_fraction, size);
}

static int check_name(const char *name) {
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return fail(STATUS_USAGE, "name: '%s' is not the name of one folder; runs_dir says where it lies", name);
    return 0;
}

static int check_stage(const struct config_train *train) {
    if (train->stage == 2 && !train->init_from[0])
        return fail(STATUS_USAGE, "train.stage: 2 starts from weights: name a checkpoint or a run in train.init_from");
    if (train->stage == 1 && train->init_from[0])
        return fail(STATUS_USAGE,
                    "train.init_from: is given, but stage 1 starts from random weights; set train.stage: 2");
    return 0;
}

static int check_loss_scale(const struct config_train *train) {
    if (train->loss_scale & (train->loss_scale - 1))
        return fail(STATUS_USAGE, "train.loss_scale: %" PRId64 " is not a power of two", train->loss_scale);
    if (train->precision == PRECISION_FP16 && train->loss_scaling == LOSS_SCALING_OFF)
        return fail(STATUS_USAGE,
                    "train.loss_scaling: off, but gradients in fp16 vanish without it; set auto, or precision bf16");
    return 0;
}

static int check_recompute(const struct config_train *train) {
    if (train->recompute != RECOMPUTE_NONE && !train->compile)
        return fail(STATUS_USAGE,
                    "train.recompute: where every value has memory of its own (train.compile: false), computing values "
                    "again only takes more of it; set one of the two");
    if (train->recompute != RECOMPUTE_BUDGET || train->recompute_budget_mb > 0) return 0;
    return fail(STATUS_USAGE, "train.recompute: budget needs train.recompute_budget_mb, the MiB that a rank may take");
}

static int check_dist(const struct config *config) {
    const struct config_dist *dist = &config->dist;
    if (dist->wire == WIRE_BF16 && dist->reduce != REDUCE_VENDOR)
        return fail(
            STATUS_USAGE,
            "dist.wire: bf16 would round sums on their way, and the tree's bits would depend on the number of ranks; "
            "set dist.reduce: vendor, or dist.wire: fp32");
    if (dist->wire == WIRE_BF16 && config->train.precision == PRECISION_FP64)
        return fail(STATUS_USAGE,
                    "dist.wire: bf16 is not for train.precision: fp64; set fp32, which sends gradients as they are");
    if (dist->reduce == REDUCE_VENDOR && config->guard.audit_every)
        return fail(
            STATUS_USAGE,
            "guard.audit_every: with dist.reduce: vendor a rank's slots are one running sum, and none can be told "
            "from it; set dist.reduce: tree, or 0");
    if (dist->reduce == REDUCE_VENDOR && dist->zero == 2)
        return fail(STATUS_USAGE,
                    "dist.zero: 2 sends leaves to be added in the tree; with dist.reduce: vendor, set 0 or 1");
    return 0;
}

/* Counters of tokens must hold the steps of the longest run. */
static int check_tokens(const struct config_train *train) {
    double tokens = (double)train->slots * (double)train->micro_batch * (double)train->micro_batches_per_slot *
                    (double)train->seq_len * (double)(train->steps ? train->steps : 1);
    if (tokens <= 9007199254740992.0) return 0;
    return fail(STATUS_USAGE,
                "train: steps * slots * micro_batches_per_slot * micro_batch * seq_len is %.3g tokens, above 2^53",
                tokens);
}

int config_check(struct config *config) {
    fill_derived(config);
    const struct config_train *train = &config->train;
    TRY(check_name(config->name));
    TRY(check_heads(&config->model));
    TRY(check_kv_heads(&config->model));
    TRY(check_rope(&config->model));
    if (train->seq_len > config->model.context)
        return fail(STATUS_USAGE, "train.seq_len: %" PRId64 " is more than model.context %" PRId64, train->seq_len,
                    config->model.context);
    double fraction;
    if (schema_is_number(config->data.val, &fraction) && !(fraction > 0 && fraction < 1))
        return fail(STATUS_USAGE, "data.val: the fraction %s is not between 0 and 1 (a file of that name: ./%s)",
                    config->data.val, config->data.val);
    TRY(check_stage(train));
    TRY(check_recompute(train));
    TRY(check_loss_scale(train));
    TRY(check_dist(config));
    return check_tokens(train);
}

/* Heads of the sections that `name` is in and `previous` is not; returns how deep `name` lies. */
static int print_sections(const char *previous, const char *name, FILE *out) {
    int depth = 0;
    const char *begin = name;
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(begin, '.')) {
        if (strncmp(previous, name, (size_t)(dot + 1 - name)) != 0)
            fprintf(out, "%*s%.*s:\n", 2 * depth, "", (int)(dot - begin), begin);
        begin = dot + 1;
        depth++;
    }
    return depth;
}

void config_print(const struct config *config, FILE *out) {
    const char *previous = "";
    for (int i = 0; i < config_schema.count; i++) {
        char value[SCHEMA_VALUE];
        schema_write(&config_schema.keys[i], config, value);
        int depth = print_sections(previous, config_schema.keys[i].name, out);
        fprintf(out, "%*s%s: %s\n", 2 * depth, "", schema_last_part(config_schema.keys[i].name), value);
        previous = config_schema.keys[i].name;
    }
}

static int longer(int length, const char *text) {
    int other = (int)strlen(text);
    return other > length ? other : length;
}

void config_help(FILE *out) {
    char about[SCHEMA_RANGE];
    int name_width = 0, about_width = 0, initial_width = (int)strlen("default");
    for (int i = 0; i < config_schema.count; i++) {
        schema_describe(&config_schema.keys[i], about);
        name_width = longer(name_width, config_schema.keys[i].name);
        about_width = longer(about_width, about);
        initial_width = longer(initial_width, config_schema.keys[i].initial);
    }
    fprintf(out, "%-*s  %-*s  %-*s  %s\n", name_width, "key", about_width, "value", initial_width, "default",
            "meaning");
    for (int i = 0; i < config_schema.count; i++) {
        const struct schema_key *key = &config_schema.keys[i];
        size_t section = (size_t)(schema_last_part(key->name) - key->name);
        if (i == 0 || section != (size_t)(schema_last_part(key[-1].name) - key[-1].name) ||
            strncmp(key->name, key[-1].name, section) != 0)
            fputc('\n', out);
        schema_describe(key, about);
        fprintf(out, "%-*s  %-*s  %-*s  %s%s\n", name_width, key->name, about_width, about, initial_width, key->initial,
                key->help, key->class == CLASS_ARCHITECTURE ? " [architecture]" : "");
    }
    fputs("\n[architecture]: fixed by a checkpoint; whatever goes on from it must agree.\n", out);
}

/* Keys that say nothing about these two models: those of RoPE without RoPE, the longest sequence with it, for which it has
 * no parameters, and how a table of the same rows came about. */
static int says_nothing(const struct schema_key *key, const struct config *a, const struct config *b) {
    int turning = (a->model.position == POSITION_ROPE) + (b->model.position == POSITION_ROPE);
    if (!strcmp(key->name, "model.vocab_multiple"))
        return a->model.vocab == b->model.vocab && config_vocab_rows(&a->model) == config_vocab_rows(&b->model);
    return (turning == 0 && !strncmp(key->name, "model.rope_", 11)) ||
           (turning == 2 && !strcmp(key->name, "model.context"));
}

/* One line for every differing key up to a class, as far as a message holds them. */
static int compare(enum key_class last, const struct config *a, const char *left, const struct config *b,
                   const char *right) {
    struct config full_a = *a, full_b = *b; /* 0 and the value it stands for are the same */
    fill_derived(&full_a);
    fill_derived(&full_b);
    char lines[1900] = "";
    size_t used = 0;
    int left_out = 0;
    for (int i = 0; i < config_schema.count; i++) {
        char value_a[SCHEMA_VALUE], value_b[SCHEMA_VALUE];
        schema_write(&config_schema.keys[i], &full_a, value_a);
        schema_write(&config_schema.keys[i], &full_b, value_b);
        if (config_schema.keys[i].class > last || strcmp(value_a, value_b) == 0) continue;
        if (last == CLASS_ARCHITECTURE && says_nothing(&config_schema.keys[i], a, b)) continue;
        size_t room = sizeof lines - used;
        int length = snprintf(lines + used, room, "%s%s: %s (%s) but %s (%s)", used ? "\n" : "",
                              config_schema.keys[i].name, value_a, left, value_b, right);
        if (length >= 0 && (size_t)length < room) {
            used += (size_t)length;
        } else {
            lines[used] = '\0';
            left_out++;
        }
    }
    if (left_out)
        return fail(STATUS_BAD_DATA, "%s%skeys that differ too and are too long to print here: %d", lines,
                    used ? "\n" : "", left_out);
    return used ? fail(STATUS_BAD_DATA, "%s", lines) : 0;
}

int config_same_architecture(const struct config *a, const char *left, const struct config *b, const char *right) {
    return compare(CLASS_ARCHITECTURE, a, left, b, right);
}

int config_same_training(const struct config *a, const char *left, const struct config *b, const char *right) {
    return compare(CLASS_TRAINING, a, left, b, right);
}

int config_load_text(struct config *config, const char *text, size_t length, const char *name) {
    return schema_load_text(&config_schema, config, text, length, name);
}

int config_load(struct config *config, const char *path) { return schema_load(&config_schema, config, path); }
