#include "config/schema.h"

#include <ctype.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/utf8.h"

/* Whole numbers stay exact in JSON (metrics, manifests), whose numbers are doubles. */
#define WHOLE_MAX 9007199254740991.0 /* 2^53 - 1 */
#define NO_LIMIT  DBL_MAX
/* A step is 32 bits of the key of every random draw. */
#define STEP_MAX 4294967295.0

static const char *const boolean_names[] = {"false", "true", NULL};
static const char *const backend_names[] = {
    [BACKEND_AUTO] = "auto", [BACKEND_CPU] = "cpu", [BACKEND_NULL] = "null", NULL};
static const char *const mixer_names[] = {[MIXER_ATTENTION] = "attention", NULL};
static const char *const ffn_names[] = {[FFN_GELU] = "gelu", NULL};
static const char *const norm_names[] = {[NORM_LAYERNORM] = "layernorm", NULL};
static const char *const norm_place_names[] = {[NORM_PRE] = "pre", NULL};
static const char *const position_names[] = {[POSITION_LEARNED] = "learned", NULL};
static const char *const attention_names[] = {[ATTENTION_FLASH] = "flash", NULL};
static const char *const documents_names[] = {
    [DOCUMENTS_JOINED] = "joined", [DOCUMENTS_APART] = "apart", [DOCUMENTS_PACKED] = "packed", NULL};
static const char *const schedule_names[] = {[SCHEDULE_COSINE] = "cosine",
                                             [SCHEDULE_LINEAR] = "linear",
                                             [SCHEDULE_CONSTANT] = "constant",
                                             [SCHEDULE_WSD] = "wsd",
                                             NULL};
static const char *const precision_names[] = {[PRECISION_FP32] = "fp32", [PRECISION_FP64] = "fp64", NULL};
static const char *const recompute_names[] = {[RECOMPUTE_NONE] = "none", NULL};
static const char *const reduce_names[] = {[REDUCE_TREE] = "tree", NULL};
static const char *const wire_names[] = {[WIRE_FP32] = "fp32", NULL};

#define AT(field) offsetof(struct config, field)

const struct schema_key schema[] = {
    {"name", VALUE_TEXT, AT(name), "run", CLASS_RUN, "the run's folder in runs_dir", .low = 1, .high = CONFIG_TEXT - 1},
    {"runs_dir", VALUE_TEXT, AT(runs_dir), "runs", CLASS_RUN, "where runs are kept", .low = 1, .high = CONFIG_TEXT - 1},
    {"backend", VALUE_NAME, AT(backend), "auto", CLASS_RUN, "what computes", .names = backend_names},

    {"model.mixer", VALUE_NAME, AT(model.mixer), "attention", CLASS_ARCHITECTURE, "token mixer of every block",
     .names = mixer_names},
    {"model.ffn", VALUE_NAME, AT(model.ffn), "gelu", CLASS_ARCHITECTURE, "channel mixer of every block",
     .names = ffn_names},
    {"model.norm", VALUE_NAME, AT(model.norm), "layernorm", CLASS_ARCHITECTURE, "normalization", .names = norm_names},
    {"model.norm_place", VALUE_NAME, AT(model.norm_place), "pre", CLASS_ARCHITECTURE,
     "where a block normalizes: pre is before each mixer", .names = norm_place_names},
    {"model.position", VALUE_NAME, AT(model.position), "learned", CLASS_ARCHITECTURE, "how a token's place is told",
     .names = position_names},
    {"model.layers", VALUE_WHOLE, AT(model.layers), "4", CLASS_ARCHITECTURE, "blocks", .low = 1, .high = 1000},
    {"model.width", VALUE_WHOLE, AT(model.width), "128", CLASS_ARCHITECTURE, "channels between blocks", .low = 1,
     .high = 65536},
    {"model.heads", VALUE_WHOLE, AT(model.heads), "4", CLASS_ARCHITECTURE, "attention heads; must divide model.width",
     .low = 1, .high = 1024},
    {"model.hidden", VALUE_WHOLE, AT(model.hidden), "0", CLASS_ARCHITECTURE,
     "channels inside the channel mixer; 0: four times model.width", .low = 0, .high = 1048576},
    {"model.vocab", VALUE_WHOLE, AT(model.vocab), "256", CLASS_ARCHITECTURE, "different tokens", .low = 2,
     .high = 1000000},
    {"model.context", VALUE_WHOLE, AT(model.context), "64", CLASS_ARCHITECTURE, "tokens that one position can look at",
     .low = 1, .high = 1048576},
    {"model.tie", VALUE_BOOLEAN, AT(model.tie), "true", CLASS_ARCHITECTURE, "one matrix embeds tokens and makes logits",
     .names = boolean_names},
    {"model.bias", VALUE_BOOLEAN, AT(model.bias), "true", CLASS_ARCHITECTURE, "linear layers and norms have biases",
     .names = boolean_names},
    /* Not architecture: implementations of attention share their parameters and differ in rounding alone. */
    {"model.attention", VALUE_NAME, AT(model.attention), "flash", CLASS_TRAINING, "how attention is computed",
     .names = attention_names},
    {"model.dropout.attention", VALUE_REAL, AT(model.dropout.attention), "0.1", CLASS_TRAINING,
     "chance to drop an attention weight", .low = 0, .high = 1, .below_high = 1},
    {"model.dropout.residual", VALUE_REAL, AT(model.dropout.residual), "0.1", CLASS_TRAINING,
     "chance to drop what a mixer adds to a channel", .low = 0, .high = 1, .below_high = 1},
    {"model.dropout.embedding", VALUE_REAL, AT(model.dropout.embedding), "0.1", CLASS_TRAINING,
     "chance to drop a channel of an embedded token", .low = 0, .high = 1, .below_high = 1},

    {"data.train", VALUE_LIST, AT(data.train), "stories", CLASS_TRAINING,
     "text or token files: a file, a folder, the built-in corpus (stories or stories:BYTES:SEED), or a list of these, "
     "each with a weight before it if you like: \"0.7 books, 0.3 web\"",
     .low = 1, .high = CONFIG_LIST - 1},
    {"data.val", VALUE_TEXT, AT(data.val), "0.1", CLASS_TRAINING,
     "a file, a folder, a fraction of data.train, or \"\" for none; stories hold out another seed", .low = 0,
     .high = CONFIG_TEXT - 1},
    {"data.tokenizer", VALUE_TEXT, AT(data.tokenizer), "auto", CLASS_TRAINING,
     "how text becomes tokens: bytes, a tokenizer file or folder, or auto (tokenizer.json beside the token files; else "
     "bytes)",
     .low = 1, .high = CONFIG_TEXT - 1},
    {"data.documents", VALUE_NAME, AT(data.documents), "joined", CLASS_TRAINING,
     "documents in one sequence: joined see each other, apart do not, packed are whole as well (for fine-tuning)",
     .names = documents_names},

    /* Not a matter of training: a run may be made longer, although that stretches the schedule. */
    {"train.steps", VALUE_WHOLE, AT(train.steps), "2000", CLASS_RUN, "steps in all", .low = 0, .high = STEP_MAX},
    {"train.slots", VALUE_WHOLE, AT(train.slots), "8", CLASS_TRAINING, "leaves of a step's sum: the most ranks",
     .low = 1, .high = 65536},
    {"train.micro_batch", VALUE_WHOLE, AT(train.micro_batch), "3", CLASS_TRAINING, "sequences computed at once",
     .low = 1, .high = 65536},
    {"train.micro_batches_per_slot", VALUE_WHOLE, AT(train.micro_batches_per_slot), "1", CLASS_TRAINING,
     "micro-batches accumulated in a slot", .low = 1, .high = 65536},
    {"train.seq_len", VALUE_WHOLE, AT(train.seq_len), "0", CLASS_TRAINING,
     "tokens a training sequence; 0: model.context", .low = 0, .high = 1048576},
    {"train.lr", VALUE_REAL, AT(train.lr), "0.001", CLASS_TRAINING, "highest learning rate", .low = 0, .high = 10,
     .above_low = 1},
    {"train.min_lr_ratio", VALUE_REAL, AT(train.min_lr_ratio), "0.1", CLASS_TRAINING,
     "last learning rate as a part of the highest", .low = 0, .high = 1},
    {"train.schedule", VALUE_NAME, AT(train.schedule), "cosine", CLASS_TRAINING, "learning rate after the warmup",
     .names = schedule_names},
    {"train.warmup", VALUE_WHOLE, AT(train.warmup), "100", CLASS_TRAINING, "steps in which the learning rate rises",
     .low = 0, .high = STEP_MAX},
    {"train.weight_decay", VALUE_REAL, AT(train.weight_decay), "0.01", CLASS_TRAINING, "AdamW: weight decay", .low = 0,
     .high = 1},
    {"train.betas", VALUE_PAIR, AT(train.betas), "[0.9, 0.999]", CLASS_TRAINING, "AdamW: decay of both moments",
     .low = 0, .high = 1, .below_high = 1},
    {"train.eps", VALUE_REAL, AT(train.eps), "1e-08", CLASS_TRAINING, "AdamW: added to the divisor", .low = 0,
     .high = NO_LIMIT, .above_low = 1},
    {"train.clip", VALUE_REAL, AT(train.clip), "1", CLASS_TRAINING, "largest norm of the gradient; 0: off", .low = 0,
     .high = NO_LIMIT},
    {"train.loss_clamp", VALUE_INTERVAL, AT(train.loss_clamp), "[0, 20]", CLASS_TRAINING,
     "a slot whose loss is outside adds no gradient", .low = -NO_LIMIT, .high = NO_LIMIT},
    {"train.seed", VALUE_WHOLE, AT(train.seed), "1337", CLASS_TRAINING, "of everything random", .low = 0,
     .high = 4294967295.0},
    {"train.precision", VALUE_NAME, AT(train.precision), "fp32", CLASS_TRAINING, "type of parameters and values",
     .names = precision_names},
    {"train.recompute", VALUE_NAME, AT(train.recompute), "none", CLASS_TRAINING,
     "what the backward pass computes again to save memory", .names = recompute_names},
    {"train.eval_every", VALUE_WHOLE, AT(train.eval_every), "250", CLASS_RUN, "steps between evaluations; 0: never",
     .low = 0, .high = WHOLE_MAX},
    {"train.eval_batches", VALUE_WHOLE, AT(train.eval_batches), "20", CLASS_RUN,
     "micro-batches of an evaluation; 0: all that the text gives", .low = 0, .high = WHOLE_MAX},

    {"dist.zero", VALUE_WHOLE, AT(dist.zero), "0", CLASS_RUN, "ZeRO stage: what ranks shard (0: nothing)", .low = 0,
     .high = 0},
    {"dist.reduce", VALUE_NAME, AT(dist.reduce), "tree", CLASS_TRAINING, "how gradients are added over ranks",
     .names = reduce_names},
    {"dist.bucket_mb", VALUE_REAL, AT(dist.bucket_mb), "25", CLASS_RUN, "MiB of gradients sent at once", .low = 0,
     .high = 1024, .above_low = 1},
    {"dist.wire", VALUE_NAME, AT(dist.wire), "fp32", CLASS_TRAINING, "type of gradients on the network",
     .names = wire_names},

    {"ckpt.every", VALUE_WHOLE, AT(ckpt.every), "500", CLASS_RUN, "steps between checkpoints; 0: only at the end",
     .low = 0, .high = WHOLE_MAX},
    {"ckpt.keep", VALUE_WHOLE, AT(ckpt.keep), "3", CLASS_RUN, "newest checkpoints kept; 0: all", .low = 0,
     .high = INT32_MAX},

    {"guard.max_skipped", VALUE_WHOLE, AT(guard.max_skipped), "10", CLASS_RUN,
     "skipped steps in a row that a run bears; one more ends it", .low = 0, .high = WHOLE_MAX},
};
const int schema_count = sizeof schema / sizeof schema[0];
_Static_assert(sizeof schema / sizeof schema[0] <= SCHEMA_MAX_KEYS, "raise SCHEMA_MAX_KEYS");

/* Decimal only: strtod() would take hexadecimal, "inf" and "nan" too. A number too large for a double becomes infinite,
 * which is out of every range. */
int schema_is_number(const char *text, double *value) {
    if (text[strspn(text, "0123456789+-.eE")]) return 0;
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

/* Decimal digits, or a number with an exponent that comes out whole (1e6). No leading zeros: to C and YAML 1.1 they say
 * octal. Numbers beyond WHOLE_MAX become the ends of int64_t, which are out of every range. */
static int parse_whole(const char *text, int64_t *value) {
    const char *digits = text + (*text == '-' || *text == '+');
    if (!isdigit((unsigned char)*digits)) return 0;
    if (!digits[strspn(digits, "0123456789")]) {
        *value = strtoll(text, NULL, 10);
        return digits[0] != '0' || digits[1] == '\0';
    }
    double real;
    if (!strpbrk(text, "eE") || !schema_is_number(text, &real)) return 0;
    if (real < -WHOLE_MAX || real > WHOLE_MAX)
        *value = real < 0 ? INT64_MIN : INT64_MAX;
    else
        *value = (int64_t)real;
    return real < -WHOLE_MAX || real > WHOLE_MAX || (double)*value == real;
}

/* The code point at *text, which moves behind it; 0 if the bytes are not UTF-8 or the text is at its end. */
static uint32_t next_code_point(const char **text) {
    uint32_t point = 0;
    *text += utf8_character(*text, (int64_t)strnlen(*text, 4), &point);
    return point;
}

static int read_text(const struct schema_key *key, const char *text, char *field) {
    size_t length = strlen(text);
    if (key->type == VALUE_LIST && length > 1 && text[0] == '[' &&
        text[length - 1] == ']') { /* as YAML would have it */
        text++;
        length -= 2;
    }
    if ((double)length < key->low) return fail(STATUS_USAGE, "%s: must not be empty", key->name);
    if ((double)length > key->high) return fail(STATUS_USAGE, "%s: is longer than %.0f bytes", key->name, key->high);
    const char *at = text;
    while (*at)
        if (!next_code_point(&at)) return fail(STATUS_USAGE, "%s: '%s' is not valid UTF-8", key->name, text);
    char copy[CONFIG_LIST] = {0};
    memcpy(copy, text, length);
    memcpy(field, copy, key->type == VALUE_LIST ? CONFIG_LIST : CONFIG_TEXT);
    return 0;
}

static void join_names(const struct schema_key *key, const char *separator, char out[SCHEMA_RANGE]) {
    out[0] = '\0';
    for (int i = 0; key->names[i]; i++) {
        size_t used = strlen(out);
        snprintf(out + used, SCHEMA_RANGE - used, "%s%s", i ? separator : "", key->names[i]);
    }
}

static int read_name(const struct schema_key *key, const char *text, int *field) {
    for (int i = 0; key->names[i]; i++) {
        if (strcmp(key->names[i], text) == 0) {
            *field = i;
            return 0;
        }
    }
    char allowed[SCHEMA_RANGE];
    join_names(key, ", ", allowed);
    return fail(STATUS_USAGE, "%s: '%s' is not one of: %s", key->name, text, allowed);
}

static int read_boolean(const struct schema_key *key, const char *text, int *field) {
    static const struct {
        const char *word;
        int value;
    } words[] = {{"true", 1}, {"false", 0}, {"yes", 1}, {"no", 0}, {"on", 1}, {"off", 0}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(words[i].word, text) == 0) {
            *field = words[i].value;
            return 0;
        }
    }
    return fail(STATUS_USAGE, "%s: '%s' is not true or false", key->name, text);
}

/* A limit of a range; the largest whole number is 2^53 - 1 to everyone who knows it. */
static void write_limit(double limit, char out[32]) {
    if (limit == WHOLE_MAX)
        snprintf(out, 32, "2^53 - 1");
    else
        snprintf(out, 32, "%.10g", limit);
}

static void write_range(const struct schema_key *key, char *out, size_t size) {
    char low[32], high[32];
    write_limit(key->low, low);
    write_limit(key->high, high);
    if (key->low == -NO_LIMIT && key->high == NO_LIMIT)
        snprintf(out, size, "finite");
    else if (key->high == NO_LIMIT)
        snprintf(out, size, "%s %s", key->above_low ? "above" : "at least", low);
    else if (key->low == key->high)
        snprintf(out, size, "only %s", low);
    else if (key->above_low)
        snprintf(out, size, "above %s, up to %s", low, high);
    else
        snprintf(out, size, "%s to %s%s", low, key->below_high ? "below " : "", high);
}

static int check_range(const struct schema_key *key, const char *text, double value) {
    if (value >= key->low && value <= key->high && !(key->above_low && value == key->low) &&
        !(key->below_high && value == key->high))
        return 0;
    char range[SCHEMA_RANGE];
    write_range(key, range, sizeof range);
    return fail(STATUS_USAGE, "%s: %s is out of range (%s)", key->name, text, range);
}

static int read_real(const struct schema_key *key, const char *text, double *field) {
    double value;
    if (!schema_is_number(text, &value)) return fail(STATUS_USAGE, "%s: '%s' is not a number", key->name, text);
    TRY(check_range(key, text, value));
    *field = value;
    return 0;
}

static int read_whole(const struct schema_key *key, const char *text, int64_t *field) {
    int64_t value;
    if (!parse_whole(text, &value)) return fail(STATUS_USAGE, "%s: '%s' is not a whole number", key->name, text);
    TRY(check_range(key, text, (double)value));
    *field = value;
    return 0;
}

/* "[0.9, 0.999]"; the brackets may be left out, which is kinder to shells. */
static int read_pair(const struct schema_key *key, const char *text, double field[2]) {
    int interval = key->type == VALUE_INTERVAL;
    if (interval && strcmp(text, "off") == 0) {
        field[0] = -INFINITY;
        field[1] = INFINITY;
        return 0;
    }
    char part[2][64];
    int used = -1;
    if (*text == '[')
        sscanf(text, "[ %63[^], \t\n] , %63[^], \t\n] ]%n", part[0], part[1], &used);
    else
        sscanf(text, "%63[^], \t\n] , %63[^], \t\n]%n", part[0], part[1], &used);
    if (used < 0 || text[used])
        return fail(STATUS_USAGE, "%s: '%s' is not a pair of numbers, such as %s%s", key->name, text, key->initial,
                    interval ? ", or off" : "");
    double value[2];
    for (int i = 0; i < 2; i++) TRY(read_real(key, part[i], &value[i]));
    if (interval && !(value[0] < value[1]))
        return fail(STATUS_USAGE, "%s: the first number must be below the second, not [%s, %s]", key->name, part[0],
                    part[1]);
    memcpy(field, value, sizeof value);
    return 0;
}

int schema_read(const struct schema_key *key, const char *text, struct config *config) {
    void *field = (char *)config + key->offset;
    switch (key->type) {
    case VALUE_WHOLE:
        return read_whole(key, text, field);
    case VALUE_REAL:
        return read_real(key, text, field);
    case VALUE_PAIR:
    case VALUE_INTERVAL:
        return read_pair(key, text, field);
    case VALUE_BOOLEAN:
        return read_boolean(key, text, field);
    case VALUE_NAME:
        return read_name(key, text, field);
    case VALUE_TEXT:
    case VALUE_LIST:
        return read_text(key, text, field);
    }
    return fail(STATUS_FAILED, "%s: the schema gives it no type", key->name);
}

/* The shortest of two forms that reads back to the same bits; 17 digits always do. */
static void write_real(double value, char *out, size_t size) {
    snprintf(out, size, "%.15g", value);
    if (strtod(out, NULL) != value) snprintf(out, size, "%.17g", value);
}

/* Whether YAML reads the text back as this text without quotes. Numbers do, for us: the schema knows the type. */
static int is_plain(const char *text) {
    static const char *const special[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", NULL};
    for (int i = 0; special[i]; i++)
        if (strcasecmp(special[i], text) == 0) return 0;
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        int letter = isascii((unsigned char)text[i]) && isalnum((unsigned char)text[i]);
        if (!letter && !strchr(i ? "/._-+:=@" : "/._", text[i])) return 0;
    }
    return length > 0 && text[length - 1] != ':';
}

/* In double quotes, with escapes for what YAML takes for a line break, a mark or not printable (YAML 1.1, 5.1). */
static void write_text(const char *text, char out[SCHEMA_VALUE]) {
    if (is_plain(text)) {
        snprintf(out, SCHEMA_VALUE, "%s", text);
        return;
    }
    const char *at = text;
    char *to = out;
    *to++ = '"';
    while (*at) {
        const char *begin = at;
        uint32_t point = next_code_point(&at);
        if (!point) /* not UTF-8: schema_read() lets none in */
            to += sprintf(to, "\\x%02X", (unsigned char)*at++);
        else if (point == '"' || point == '\\')
            to += sprintf(to, "\\%c", (int)point);
        else if (point < 0x20 || (point >= 0x7F && point < 0xA0))
            to += sprintf(to, "\\x%02X", (unsigned)point);
        else if (point == 0x2028 || point == 0x2029 || point == 0xFEFF || point == 0xFFFE || point == 0xFFFF)
            to += sprintf(to, "\\u%04X", (unsigned)point);
        else
            to += sprintf(to, "%.*s", (int)(at - begin), begin);
    }
    strcpy(to, "\"");
}

void schema_write(const struct schema_key *key, const struct config *config, char out[SCHEMA_VALUE]) {
    const void *field = (const char *)config + key->offset;
    switch (key->type) {
    case VALUE_WHOLE:
        snprintf(out, SCHEMA_VALUE, "%" PRId64, *(const int64_t *)field);
        break;
    case VALUE_REAL:
        write_real(*(const double *)field, out, SCHEMA_VALUE);
        break;
    case VALUE_PAIR:
    case VALUE_INTERVAL: {
        const double *pair = field;
        char first[32], second[32];
        write_real(pair[0], first, sizeof first);
        write_real(pair[1], second, sizeof second);
        if (isinf(pair[0]))
            snprintf(out, SCHEMA_VALUE, "off");
        else
            snprintf(out, SCHEMA_VALUE, "[%s, %s]", first, second);
        break;
    }
    case VALUE_BOOLEAN:
        snprintf(out, SCHEMA_VALUE, "%s", key->names[*(const int *)field]);
        break;
    case VALUE_NAME:
        write_text(key->names[*(const int *)field], out);
        break;
    case VALUE_TEXT:
    case VALUE_LIST:
        write_text(field, out);
        break;
    }
}

const char *schema_type_name(enum value_type type) {
    static const char *const names[] = {
        [VALUE_WHOLE] = "a whole number",
        [VALUE_REAL] = "a number",
        [VALUE_PAIR] = "a pair of numbers",
        [VALUE_INTERVAL] = "a pair of numbers",
        [VALUE_BOOLEAN] = "true or false",
        [VALUE_NAME] = "a name",
        [VALUE_TEXT] = "a text",
        [VALUE_LIST] = "a text or a list of texts",
    };
    return names[type];
}

void schema_describe(const struct schema_key *key, char out[SCHEMA_RANGE]) {
    char range[64];
    switch (key->type) {
    case VALUE_WHOLE:
    case VALUE_REAL:
    case VALUE_PAIR:
        write_range(key, range, sizeof range);
        snprintf(out, SCHEMA_RANGE, "%s, %s", schema_type_name(key->type), range);
        break;
    case VALUE_INTERVAL:
        snprintf(out, SCHEMA_RANGE, "a rising pair of numbers, or off");
        break;
    case VALUE_BOOLEAN:
        snprintf(out, SCHEMA_RANGE, "%s", schema_type_name(key->type));
        break;
    case VALUE_NAME:
        join_names(key, " | ", out);
        break;
    case VALUE_TEXT:
    case VALUE_LIST:
        snprintf(out, SCHEMA_RANGE, "%s, %.0f to %.0f bytes", schema_type_name(key->type), key->low, key->high);
        break;
    }
}
