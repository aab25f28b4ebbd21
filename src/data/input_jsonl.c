/* A line of JSONL (RFC 8259 objects, one a line). */
#include <cJSON.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"
#include "data/input_parts.h"

/* The value of an escape \uXXXX; -1: there is none. */
static int escape_value(const char *p, int64_t length) {
    int value = 0;
    if (length < 6 || p[0] != '\\' || p[1] != 'u') return -1;
    for (int i = 2; i < 6; i++) {
        if (!isxdigit((uint8_t)p[i])) return -1;
        value = value * 16 + (p[i] <= '9' ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
    }
    return value;
}

static int refuse_zero(char reason[200]) {
    snprintf(reason, 200, "has the character U+0000, which is not read");
    return 1;
}

/* What cJSON would not tell: it ends a string at U+0000, so that text would be lost, and calls half of a surrogate pair
 * bad syntax. 1: the line has one of them. */
static int has_no_character(const char *line, int64_t length, char reason[200]) {
    const char *end = line + length;
    if (memchr(line, 0, (size_t)length)) return refuse_zero(reason);
    for (const char *p = line; (p = memchr(p, '\\', (size_t)(end - p)));) {
        int value = escape_value(p, end - p), high = value >= 0xd800 && value < 0xdc00;
        if (value == 0) return refuse_zero(reason);
        int second = high ? escape_value(p + 6, end - p - 6) : -1;
        if (second >= 0xdc00 && second < 0xe000) {
            p += 12;
        } else if (value >= 0xd800 && value < 0xe000) {
            snprintf(reason, 200, "has \\u%04x, half of a surrogate pair, which is no character", (unsigned)value);
            return 1;
        } else if (end - p < 2) {
            return 0;
        } else {
            p += value > 0 ? 6 : 2; /* an escaped backslash escapes nothing */
        }
    }
    return 0;
}

static int is_utf8(const char *text) {
    int64_t length = (int64_t)strlen(text);
    return utf8_valid(text, length) == length;
}

/* The names of an object's fields, as far as they fit. */
static void name_fields(const cJSON *object, char *out, size_t size) {
    const cJSON *item;
    out[0] = '\0';
    cJSON_ArrayForEach(item, object) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s'%.30s'", used ? ", " : "", item->string);
    }
    for (char *p = out; *p; p++)
        if (iscntrl((uint8_t)*p)) *p = '?'; /* a message is one line */
}

static const char *find_field(const cJSON *root, const char *field, char reason[200]) {
    char names[100];
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, field);
    if (!item) {
        name_fields(root, names, sizeof names);
        snprintf(reason, 200, "has no field '%.40s' (there are %s)", field, *names ? names : "none");
    } else if (!cJSON_IsString(item)) {
        snprintf(reason, 200, "field '%.40s' is no string", field);
    } else if (!is_utf8(item->valuestring)) {
        snprintf(reason, 200, "field '%.40s' is not valid UTF-8", field);
    } else {
        return item->valuestring;
    }
    return NULL;
}

static int keep(struct line_text *out, const char *text, const char *prompt) {
    out->length = (int64_t)strlen(text);
    out->prompt_length = prompt ? (int64_t)strlen(prompt) : 0;
    int64_t needed = out->length + out->prompt_length + 1;
    if (needed > out->room) {
        char *grown = realloc(out->text, (size_t)needed * 2);
        if (!grown) return -1;
        out->text = grown;
        out->room = needed * 2;
    }
    memcpy(out->text, text, (size_t)out->length);
    if (prompt) memcpy(out->text + out->length, prompt, (size_t)out->prompt_length);
    return 1;
}

int read_line(const struct input_options *o, const char *line, int64_t length, struct line_text *out,
              char reason[200]) {
    if (has_no_character(line, length, reason)) return 0;
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(line, (size_t)length, &end, 0);
    int64_t rest = root ? end - line : length;
    while (rest < length && strchr(" \t\r\n", line[rest]) && line[rest]) rest++;
    const char *text = NULL, *prompt = NULL;
    int wanted = o->prompt_field != NULL;
    if (!root || rest < length)
        snprintf(reason, 200, "is not JSON (at its byte %lld)", (long long)(end ? end - line : 0));
    else if (!cJSON_IsObject(root))
        snprintf(reason, 200, "is JSON, but no object");
    else {
        text = find_field(root, wanted ? o->response_field : o->field, reason);
        if (text && wanted) prompt = find_field(root, o->prompt_field, reason);
    }
    int result = text && (prompt || !wanted) ? keep(out, text, prompt) : 0;
    cJSON_Delete(root);
    return result;
}
