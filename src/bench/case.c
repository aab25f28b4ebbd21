#include "bench/case.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "bench/lines.h"
#include "config/schema.h"

#define AT(field) offsetof(struct bench_case, field)
#define TEXT(name, field, initial, help)                                                                               \
    { name, VALUE_TEXT, AT(field), initial, CLASS_RUN, help, .low = 0, .high = CONFIG_TEXT - 1 }
#define SETTINGS(name, field, help)                                                                                    \
    { name, VALUE_SETTINGS, AT(field), "", CLASS_RUN, help, .low = 0, .high = CONFIG_LIST - 1 }

static const struct schema_key keys[] = {
    TEXT("title", title, "", "the optimization's name, as the page's heading has it"),
    TEXT("config", config, "configs/tiny.yaml",
         "the config that both sides start from; paths start at the project's root"),
    SETTINGS("set", set, "keys of the config that both sides set: a map, such as {model.layers: 2}"),
    SETTINGS("speed_set", speed_set,
             "keys that both sides set in addition in runs for memory and speed, which then are runs of their own: a "
             "larger model, say; --quick does without"),
    SETTINGS("quick_set", quick_set, "keys that both sides set in addition with --quick: less text, say"),
    SETTINGS("baseline.set", side[BASELINE].set, "keys that the baseline sets"),
    {"baseline.ranks", VALUE_WHOLE, AT(side[BASELINE].ranks), "0", CLASS_RUN,
     "ranks of the baseline; 0: as run_all says", .low = 0, .high = 1024},
    SETTINGS("optimized.set", side[OPTIMIZED].set, "keys that the optimized side sets"),
    {"optimized.ranks", VALUE_WHOLE, AT(side[OPTIMIZED].ranks), "0", CLASS_RUN,
     "ranks of the optimized side; 0: as run_all says", .low = 0, .high = 1024},
    {"threads", VALUE_WHOLE, AT(threads), "0", CLASS_RUN, "threads of each rank; 0: the rank's share of the cores",
     .low = 0, .high = 1024},
    {"tokens", VALUE_WHOLE, AT(tokens), "1000000", CLASS_RUN, "tokens that each run for the loss trains on", .low = 1,
     .high = SCHEMA_WHOLE_MAX},
    {"quick_tokens", VALUE_WHOLE, AT(quick_tokens), "100000", CLASS_RUN, "the same with --quick", .low = 1,
     .high = SCHEMA_WHOLE_MAX},
    {"speed_steps", VALUE_WHOLE, AT(speed_steps), "20", CLASS_RUN, "steps of a run that is only timed", .low = 4,
     .high = 2000},
    {"seeds", VALUE_LIST, AT(seeds_text), "1337, 1338, 1339, 1340, 1341", CLASS_RUN, "seeds of the runs for the loss",
     .low = 1, .high = CONFIG_LIST - 1},
    {"files", VALUE_LIST, AT(files), "", CLASS_RUN, "source files that belong to it, for counting lines; * is allowed",
     .low = 0, .high = CONFIG_LIST - 1},
    {"hours", VALUE_REAL, AT(hours), "0", CLASS_RUN, "hours that it took to build", .low = 0, .high = 10000},
    TEXT("dependencies", dependencies, "none", "libraries that it needs"),
    TEXT("expected.memory", expected_memory, "", "what is said of it elsewhere"),
    TEXT("expected.speed", expected_speed, "", "the same"),
    TEXT("expected.loss", expected_loss, "", "the same"),
    TEXT("use_when", use_when, "", "when to use it"),
    TEXT("skip_when", skip_when, "", "when not to"),
    TEXT("trade_offs", trade_offs, "", "what it costs"),
    TEXT("upkeep", upkeep, "", "what it takes to maintain, in one line"),
};

static const struct schema case_schema = {keys, sizeof keys / sizeof keys[0], sizeof(struct bench_case),
                                          "bench/run_all --help-case"};

void case_help(FILE *out) {
    for (int i = 0; i < case_schema.count; i++) {
        char about[SCHEMA_RANGE];
        schema_describe(&keys[i], about);
        fprintf(out, "%-16s %s\n%-16s %s; default: %s\n", keys[i].name, keys[i].help, "", about,
                keys[i].initial[0] ? keys[i].initial : "empty");
    }
}

/* Sets each line "key=value" of `lines`. */
static int apply(const char *lines, struct config *config, const char *where) {
    char line[CONFIG_LIST];
    for (const char *at = lines; *at; at += strcspn(at, "\n") + 1) {
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
        char *value = strchr(line, '='); /* the reader of settings put it there */
        if (!value) return fail(STATUS_USAGE, "%s: '%s' is not KEY=VALUE", where, line);
        *value++ = '\0';
        TRY(config_set(config, line, value, where));
    }
    return 0;
}

void case_make_quick(struct bench_case *c) {
    size_t used = strlen(c->set);
    snprintf(c->set + used, sizeof c->set - used, "%s", c->quick_set);
    c->speed_set[0] = '\0';
}

int case_speed_apart(const struct bench_case *c) { return c->speed_set[0] != '\0'; }

int case_config(const struct bench_case *c, enum side side, int for_loss, const char *root, struct config *config) {
    char path[2 * CONFIG_TEXT], where[128];
    snprintf(path, sizeof path, "%s/%s", root, c->config);
    snprintf(where, sizeof where, "case %s, %s", c->name, side == BASELINE ? "baseline" : "optimized");
    config_defaults(config);
    TRY(config_load(config, path));
    TRY(apply(c->set, config, where));
    if (!for_loss) TRY(apply(c->speed_set, config, where));
    TRY(apply(c->side[side].set, config, where));
    int status = config_check(config);
    return status ? fail_within(status, "%s: ", where) : 0;
}

static int read_seeds(struct bench_case *c) {
    const char *at = c->seeds_text;
    for (c->n_seeds = 0; *at;) {
        char *end;
        long long seed = strtoll(at, &end, 10);
        if (end == at || seed < 0 || seed > UINT32_MAX)
            return fail(STATUS_USAGE, "seeds: '%s' is not a list of whole numbers from 0 to 2^32 - 1", c->seeds_text);
        if (c->n_seeds == MOST_SEEDS) return fail(STATUS_USAGE, "seeds: at most %d", MOST_SEEDS);
        for (int i = 0; i < c->n_seeds; i++)
            if (c->seeds[i] == seed) return fail(STATUS_USAGE, "seeds: %lld is there twice", seed);
        c->seeds[c->n_seeds++] = seed;
        at = end + strspn(end, ", ");
    }
    return 0;
}

/* What the page cannot do without, and what would break its tables. */
static int check_texts(const struct bench_case *c) {
    const struct {
        const char *key, *value;
        int needed;
    } texts[] = {{"title", c->title, 1},
                 {"use_when", c->use_when, 1},
                 {"skip_when", c->skip_when, 1},
                 {"trade_offs", c->trade_offs, 1},
                 {"upkeep", c->upkeep, 1},
                 {"expected.memory", c->expected_memory, 0},
                 {"expected.speed", c->expected_speed, 0},
                 {"expected.loss", c->expected_loss, 0}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i].needed && !texts[i].value[0])
            return fail(STATUS_USAGE, "%s: is missing; the page has a line for it", texts[i].key);
        if (strpbrk(texts[i].value, "|\n"))
            return fail(STATUS_USAGE, "%s: a table's cell has no '|' and no line's end", texts[i].key);
    }
    return 0;
}

/* Losses are compared, so both sides must be asked about the same text, cut in the same way. */
static int check_evaluation(const struct config *a, const struct config *b) {
    int same = !strcmp(a->data.val, b->data.val) && !strcmp(a->data.tokenizer, b->data.tokenizer) &&
               a->data.documents == b->data.documents && a->train.seq_len == b->train.seq_len;
    int all = a->train.eval_batches == 0 && b->train.eval_batches == 0;
    int part = a->train.eval_batches == b->train.eval_batches && a->train.micro_batch == b->train.micro_batch;
    if (!same)
        return fail(STATUS_USAGE,
                    "both sides need the same data.val, data.tokenizer, data.documents and train.seq_len: their "
                    "losses are compared");
    if (all || part) return 0;
    return fail(STATUS_USAGE,
                "train.eval_batches counts micro-batches, and those of the sides differ: set it to 0 for both, "
                "or losses of different texts are compared");
}

int64_t case_tokens_per_step(const struct config *config) {
    const struct config_train *t = &config->train;
    return t->slots * t->micro_batches_per_slot * t->micro_batch * t->seq_len;
}

/* Steps that a side's run for the loss has. */
static int64_t steps_of(const struct config *config, int64_t tokens) {
    int64_t step = case_tokens_per_step(config);
    return (tokens + step - 1) / step;
}

static int check_sides(const struct bench_case *c, const char *root) {
    enum { FEWEST_STEPS = 4 }; /* two of them warm up */
    struct bench_case quick = *c;
    case_make_quick(&quick);
    struct config config[SIDES];
    for (int side = 0; side < SIDES; side++) {
        TRY(case_config(&quick, (enum side)side, 1, root, &config[side]));
        TRY(case_config(c, (enum side)side, 0, root, &config[side]));
        TRY(case_config(c, (enum side)side, 1, root, &config[side]));
        int64_t fewer = c->quick_tokens < c->tokens ? c->quick_tokens : c->tokens;
        if (steps_of(&config[side], fewer) < FEWEST_STEPS)
            return fail(STATUS_USAGE, "%lld tokens are less than %d steps, too few to be timed", (long long)fewer,
                        FEWEST_STEPS);
    }
    return check_evaluation(&config[BASELINE], &config[OPTIMIZED]);
}

int64_t case_steps(const struct bench_case *c, const struct config *config, int quick) {
    return steps_of(config, quick ? c->quick_tokens : c->tokens);
}

int case_load(struct bench_case *c, const char *path, const char *root) {
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    memset(c, 0, sizeof *c);
    schema_defaults(&case_schema, c);
    int length = (int)strlen(file) - 5;
    if (length < 1 || length >= (int)sizeof c->name || strcmp(file + length, ".yaml"))
        return fail(STATUS_USAGE, "%s: a case is a file NAME.yaml with a name below %zu letters", path, sizeof c->name);
    TRY(schema_load(&case_schema, c, path));
    snprintf(c->name, sizeof c->name, "%.*s", length, file);
    int status = read_seeds(c);
    if (!status) status = check_texts(c);
    if (!status) status = check_sides(c, root);
    if (!status) status = lines_of_files(c->files, root, &c->lines);
    return status ? fail_within(status, "%s: ", path) : 0;
}

/* Whether `name` is among the names in `only`. */
static int chosen(const char *only, const char *name) {
    size_t length = strlen(name);
    for (const char *at = only; at && *at; at += strspn(at, ", ")) {
        size_t word = strcspn(at, ", ");
        if (word == length && !strncmp(at, name, word)) return 1;
        at += word;
    }
    return !only;
}

/* Every name in `only` must be one of the cases. */
static int check_only(const char *only, const struct bench_case *cases, int count) {
    for (const char *at = only; at && *at; at += strspn(at, ", ")) {
        int word = (int)strcspn(at, ", "), found = 0;
        for (int i = 0; i < count; i++)
            found |= (int)strlen(cases[i].name) == word && !strncmp(cases[i].name, at, (size_t)word);
        if (!found) return fail(STATUS_USAGE, "--only: there is no case '%.*s'; --list shows all", word, at);
        at += word;
    }
    return 0;
}

static int load_found(const glob_t *found, const char *root, const char *only, struct bench_case *cases, int *count) {
    for (size_t i = 0; i < found->gl_pathc; i++) {
        TRY(case_load(&cases[i], found->gl_pathv[i], root));
        cases[i].chosen = chosen(only, cases[i].name);
        *count += 1;
    }
    return check_only(only, cases, *count);
}

int case_load_all(const char *folder, const char *root, const char *only, struct bench_case **cases, int *count) {
    char pattern[1024];
    glob_t found;
    *cases = NULL;
    *count = 0;
    snprintf(pattern, sizeof pattern, "%s/*.yaml", folder);
    if (glob(pattern, 0, NULL, &found))
        return fail(STATUS_USAGE, "%s: no cases; give the folder of NAME.yaml files with --cases", folder);
    *cases = calloc(found.gl_pathc, sizeof **cases);
    int status = *cases ? load_found(&found, root, only, *cases, count) : fail(STATUS_FAILED, "out of memory");
    globfree(&found);
    return status;
}
