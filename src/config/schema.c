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

/* Decimal only: strtod() would take hexadecimal, "inf" and "nan" too. A number too large for a double becomes infinite,
 * which is out of every range. */
int schema_is_number(const char *text, double *value) {
    if (text[strspn(text, "0123456789+-.eE")]) return 0;
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

/* Decimal digits, or a number with an exponent that comes out whole (1e6). No leading zeros: to C and YAML 1.1 they say
 * octal. Numbers beyond SCHEMA_WHOLE_MAX become the ends of int64_t, which are out of every range. */
static int parse_whole(const char *text, int64_t *value) {
    const char *digits = text + (*text == '-' || *text == '+');
    if (!isdigit((unsigned char)*digits)) return 0;
    if (!digits[strspn(digits, "0123456789")]) {
        *value = strtoll(text, NULL, 10);
        return digits[0] != '0' || digits[1] == '\0';
    }
    double real;
    if (!strpbrk(text, "eE") || !schema_is_number(text, &real)) return 0;
    if (real < -SCHEMA_WHOLE_MAX || real > SCHEMA_WHOLE_MAX)
        *value = real < 0 ? INT64_MIN : INT64_MAX;
    else
        *value = (int64_t)real;
    return real < -SCHEMA_WHOLE_MAX || real > SCHEMA_WHOLE_MAX || (double)*value == real;
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
    memcpy(field, copy, key->type == VALUE_TEXT ? CONFIG_TEXT : CONFIG_LIST);
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
    if (limit == SCHEMA_WHOLE_MAX)
        snprintf(out, 32, "2^53 - 1");
    else
        snprintf(out, 32, "%.10g", limit);
}

static void write_range(const struct schema_key *key, char *out, size_t size) {
    char low[32], high[32];
    write_limit(key->low, low);
    write_limit(key->high, high);
    if (key->low == -SCHEMA_NO_LIMIT && key->high == SCHEMA_NO_LIMIT)
        snprintf(out, size, "finite");
    else if (key->high == SCHEMA_NO_LIMIT)
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

int schema_read(const struct schema_key *key, const char *text, void *target) {
    void *field = (char *)target + key->offset;
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
    case VALUE_SETTINGS:
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

void schema_write(const struct schema_key *key, const void *target, char out[SCHEMA_VALUE]) {
    const void *field = (const char *)target + key->offset;
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
    case VALUE_SETTINGS:
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
        [VALUE_SETTINGS] = "a map of keys to values",
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
    case VALUE_SETTINGS:
        snprintf(out, SCHEMA_RANGE, "%s, %.0f to %.0f bytes", schema_type_name(key->type), key->low, key->high);
        break;
    }
}

void schema_defaults(const struct schema *schema, void *target) {
    for (int i = 0; i < schema->count; i++)
        (void)schema_read(&schema->keys[i], schema->keys[i].initial, target); /* tested: all fit */
}
