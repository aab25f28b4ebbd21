#include "config/config.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "config/schema.h"

const struct schema_key *schema_find(const char *name) {
    for (int i = 0; i < schema_count; i++)
        if (strcmp(schema[i].name, name) == 0) return &schema[i];
    return NULL;
}

static const struct schema_key *first_of_section(const char *name) {
    size_t length = strlen(name);
    for (int i = 0; i < schema_count; i++)
        if (strncmp(schema[i].name, name, length) == 0 && schema[i].name[length] == '.') return &schema[i];
    return NULL;
}

int schema_is_section(const char *name) { return first_of_section(name) != NULL; }

/* Levenshtein distance: letters to put in, take out or replace. Both texts are shorter than SCHEMA_NAME. */
static int edit_distance(const char *a, const char *b) {
    int row[SCHEMA_NAME], columns = (int)strlen(b);
    for (int j = 0; j <= columns; j++) row[j] = j;
    for (int i = 0; a[i]; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int j = 0; j < columns; j++) {
            int best = diagonal + (a[i] != b[j]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j + 1] + 1 < best) best = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[columns];
}

static const char *last_part(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* How far `written` is from a key. Sections left out cost 1 in all, wrong ones 2, whatever their letters. */
static int key_distance(const char *written, const char *name) {
    int best = edit_distance(written, name);
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        int distance = edit_distance(written, dot + 1) + 1;
        if (distance < best) best = distance;
    }
    int distance = edit_distance(last_part(written), last_part(name)) + 2;
    return distance < best ? distance : best;
}

/* The nearest key, or NULL where none is near enough to be what was meant. */
static const char *nearest_key(const char *written) {
    size_t length = strlen(written);
    if (length >= SCHEMA_NAME) return NULL;
    int best = (int)length / 4 + 3; /* one more than what is near enough */
    const char *nearest = NULL;
    for (int i = 0; i < schema_count; i++) {
        int distance = key_distance(written, schema[i].name);
        if (distance < best) {
            best = distance;
            nearest = schema[i].name;
        }
    }
    return nearest;
}

int schema_lookup(const char *name, const struct schema_key **key) {
    *key = schema_find(name);
    if (*key) return 0;
    const struct schema_key *inside = first_of_section(name);
    if (inside) return fail(STATUS_USAGE, "'%s' is a section: set its keys, such as '%s'", name, inside->name);
    const char *nearest = nearest_key(name);
    if (nearest) return fail(STATUS_USAGE, "unknown key '%s'; did you mean '%s'?", name, nearest);
    return fail(STATUS_USAGE, "unknown key '%s'; `lockstep train --help-config` prints all keys", name);
}

void config_defaults(struct config *config) {
    memset(config, 0, sizeof *config); /* padding too, so that equal configs are equal bytes */
    for (int i = 0; i < schema_count; i++)
        (void)schema_read(&schema[i], schema[i].initial, config); /* tested: all fit */
}

int config_set(struct config *config, const char *key, const char *value, const char *where) {
    const struct schema_key *found;
    int status = schema_lookup(key, &found);
    if (!status) status = schema_read(found, value, config);
    return status ? fail_within(status, "%s: ", where) : 0;
}

static void fill_derived(struct config *config) {
    if (config->model.hidden == 0) config->model.hidden = 4 * config->model.width;
    if (config->train.seq_len == 0) config->train.seq_len = config->model.context;
}

static int check_heads(const struct config_model *model) {
    int64_t heads = model->heads, width = model->width;
    if (width % heads == 0) return 0;
    int64_t below = heads < width ? heads : width, above = heads + 1;
    while (width % below) below--;
    while (above <= schema_find("model.heads")->high && width % above) above++;
    char text[64];
    if (above <= schema_find("model.heads")->high)
        snprintf(text, sizeof text, "%" PRId64 " or %" PRId64 " do", below, above);
    else
        snprintf(text, sizeof text, "%" PRId64 " does", below);
    return fail(STATUS_USAGE, "model.heads: %" PRId64 " does not divide model.width %" PRId64 "; %s", heads, width,
                text);
}

static int check_name(const char *name) {
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return fail(STATUS_USAGE, "name: '%s' is not the name of one folder; runs_dir says where it lies", name);
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
    if (train->seq_len > config->model.context)
        return fail(STATUS_USAGE, "train.seq_len: %" PRId64 " is more than model.context %" PRId64, train->seq_len,
                    config->model.context);
    double fraction;
    if (schema_is_number(config->data.val, &fraction) && !(fraction > 0 && fraction < 1))
        return fail(STATUS_USAGE, "data.val: the fraction %s is not between 0 and 1 (a file of that name: ./%s)",
                    config->data.val, config->data.val);
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
    for (int i = 0; i < schema_count; i++) {
        char value[SCHEMA_VALUE];
        schema_write(&schema[i], config, value);
        int depth = print_sections(previous, schema[i].name, out);
        fprintf(out, "%*s%s: %s\n", 2 * depth, "", last_part(schema[i].name), value);
        previous = schema[i].name;
    }
}

static int longer(int length, const char *text) {
    int other = (int)strlen(text);
    return other > length ? other : length;
}

void config_help(FILE *out) {
    char about[SCHEMA_RANGE];
    int name_width = 0, about_width = 0, initial_width = (int)strlen("default");
    for (int i = 0; i < schema_count; i++) {
        schema_describe(&schema[i], about);
        name_width = longer(name_width, schema[i].name);
        about_width = longer(about_width, about);
        initial_width = longer(initial_width, schema[i].initial);
    }
    fprintf(out, "%-*s  %-*s  %-*s  %s\n", name_width, "key", about_width, "value", initial_width, "default",
            "meaning");
    for (int i = 0; i < schema_count; i++) {
        const struct schema_key *key = &schema[i];
        size_t section = (size_t)(last_part(key->name) - key->name);
        if (i == 0 || section != (size_t)(last_part(key[-1].name) - key[-1].name) ||
            strncmp(key->name, key[-1].name, section) != 0)
            fputc('\n', out);
        schema_describe(key, about);
        fprintf(out, "%-*s  %-*s  %-*s  %s%s\n", name_width, key->name, about_width, about, initial_width, key->initial,
                key->help, key->class == CLASS_ARCHITECTURE ? " [architecture]" : "");
    }
    fputs("\n[architecture]: fixed by a checkpoint; whatever goes on from it must agree.\n", out);
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
    for (int i = 0; i < schema_count; i++) {
        char value_a[SCHEMA_VALUE], value_b[SCHEMA_VALUE];
        schema_write(&schema[i], &full_a, value_a);
        schema_write(&schema[i], &full_b, value_b);
        if (schema[i].class > last || strcmp(value_a, value_b) == 0) continue;
        size_t room = sizeof lines - used;
        int length = snprintf(lines + used, room, "%s%s: %s (%s) but %s (%s)", used ? "\n" : "", schema[i].name,
                              value_a, left, value_b, right);
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
