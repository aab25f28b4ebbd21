/* YAML over the schema: libyaml's events, nested maps flattened to dotted keys. Tags and aliases are refused: nothing in
 * a configuration may mean more than it says. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/check.h"
#include "config/schema.h"

enum { FILE_MAX = 1 << 20 }; /* bytes; a configuration is far below it */

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; owned */
    const char *name, *text;
    size_t length; /* of text, in bytes */
    const struct schema *schema;
    void *target;
    char path[SCHEMA_NAME]; /* the key whose value is read; its size bounds the depth of maps too */
    int line;               /* where that key stands, from 1 */
    struct place {
        char path[SCHEMA_NAME];
        int line;
    } seen[2 * SCHEMA_MAX_KEYS]; /* known keys and sections so far; sections are fewer than keys */
    int seen_count;
};

/* Puts the place of the current key in front of a message. */
static int within(const struct reader *reader, int status) {
    return status ? fail_within(status, "%s:%d: ", reader->name, reader->line) : 0;
}

__attribute__((format(printf, 2, 3))) static int problem(const struct reader *reader, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return within(reader, fail(STATUS_USAGE, "%s", text));
}

static int syntax_error(const struct reader *reader) {
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR) return fail(STATUS_FAILED, "%s: out of memory", reader->name);
    size_t line = parser->problem_mark.line;
    if (parser->error == YAML_READER_ERROR) { /* has an offset and no mark */
        line = 0;
        for (size_t i = 0; i < parser->problem_offset && i < reader->length; i++) line += reader->text[i] == '\n';
    }
    if (!parser->context) return fail(STATUS_USAGE, "%s:%zu: %s", reader->name, line + 1, parser->problem);
    return fail(STATUS_USAGE, "%s:%zu: %s (%s from line %zu)", reader->name, line + 1, parser->problem, parser->context,
                parser->context_mark.line + 1);
}

static int advance(struct reader *reader) {
    yaml_event_delete(&reader->event);
    return yaml_parser_parse(&reader->parser, &reader->event) ? 0 : syntax_error(reader);
}

/* The words of a scalar event, as a text that holds no zero byte; they live as long as the event. */
static int scalar_text(const struct reader *reader, const char **text) {
    *text = (const char *)reader->event.data.scalar.value;
    if (strlen(*text) != reader->event.data.scalar.length) return problem(reader, "a text holds a zero byte");
    return 0;
}

static int refuse_extras(const struct reader *reader) {
    const yaml_event_t *event = &reader->event;
    const yaml_char_t *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT)
        return problem(reader, "aliases (*%s) are not supported", (const char *)event->data.alias.anchor);
    if (event->type == YAML_SCALAR_EVENT) tag = event->data.scalar.tag;
    if (event->type == YAML_SEQUENCE_START_EVENT) tag = event->data.sequence_start.tag;
    if (event->type == YAML_MAPPING_START_EVENT) tag = event->data.mapping_start.tag;
    return tag ? problem(reader, "tags (%s) are not supported", (const char *)tag) : 0;
}

/* Refuses a second value for a key, whether it is nested or dotted the second time. */
static int note_first(struct reader *reader) {
    for (int i = 0; i < reader->seen_count; i++)
        if (strcmp(reader->seen[i].path, reader->path) == 0)
            return problem(reader, "'%s' is given a second time; the first is in line %d", reader->path,
                           reader->seen[i].line);
    struct place *place = &reader->seen[reader->seen_count++];
    snprintf(place->path, sizeof place->path, "%s", reader->path);
    place->line = reader->line;
    return 0;
}

/* A scalar that stands for no value at all. "null" is also a name, for keys that have names. */
static int is_null(const yaml_event_t *event, const char *text, const struct schema_key *key) {
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return 0;
    if (*text == '\0' || strcmp(text, "~") == 0) return 1;
    return strcmp(text, "null") == 0 && !(key && key->type == VALUE_NAME);
}

static int read_scalar(struct reader *reader) {
    const char *text;
    TRY(scalar_text(reader, &text));
    const struct schema_key *key = schema_find(reader->schema, reader->path);
    if (is_null(&reader->event, text, key)) {
        if (schema_is_section(reader->schema, reader->path)) return 0; /* a section whose keys are all left out */
        TRY(within(reader, schema_lookup(reader->schema, reader->path, &key)));
        return problem(reader, "%s: no value is given%s", key->name,
                       key->type == VALUE_TEXT || key->type == VALUE_LIST ? "; an empty text is written \"\"" : "");
    }
    TRY(within(reader, schema_lookup(reader->schema, reader->path, &key)));
    if (key->type == VALUE_SETTINGS)
        return problem(reader, "%s: '%s' is given where %s is meant, such as {train.steps: 100}", key->name, text,
                       schema_type_name(key->type));
    return within(reader, schema_read(key, text, reader->target));
}

/* Writes the list as one text, which schema_read() or the key's user takes apart again. */
static int read_list(struct reader *reader) {
    const struct schema_key *key;
    TRY(within(reader, schema_lookup(reader->schema, reader->path, &key)));
    int pair = key->type == VALUE_PAIR || key->type == VALUE_INTERVAL;
    if (!pair && key->type != VALUE_LIST)
        return problem(reader, "%s: a list is given where %s is meant", key->name, schema_type_name(key->type));
    char list[CONFIG_LIST + 8] = "";
    int count = 0;
    for (;; count++) {
        TRY(advance(reader));
        TRY(refuse_extras(reader));
        if (reader->event.type == YAML_SEQUENCE_END_EVENT) break;
        const char *text;
        if (reader->event.type != YAML_SCALAR_EVENT)
            return problem(reader, "%s: a list or map is given where a %s is meant", key->name,
                           pair ? "number" : "text");
        TRY(scalar_text(reader, &text));
        if (!pair && strchr(text, ','))
            return problem(reader, "%s: '%s' has a comma, which is what texts of this list are told apart by",
                           key->name, text);
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", count ? ", " : "", text);
    }
    if (pair && count != 2)
        return problem(reader, "%s: a list of %d is given where %s is meant, such as %s", key->name, count,
                       schema_type_name(key->type), key->initial);
    return within(reader, schema_read(key, list, reader->target));
}

/* One value of a map of settings, as its own schema will read it: a scalar, or a list of scalars in brackets. */
static int read_setting(struct reader *reader, char value[CONFIG_LIST]) {
    const char *text;
    TRY(refuse_extras(reader));
    if (reader->event.type == YAML_SCALAR_EVENT) {
        TRY(scalar_text(reader, &text));
        snprintf(value, CONFIG_LIST, "%s", text);
        return 0;
    }
    if (reader->event.type != YAML_SEQUENCE_START_EVENT)
        return problem(reader, "%s: write keys with their sections, such as train.steps: 100", reader->path);
    size_t used = (size_t)snprintf(value, CONFIG_LIST, "[");
    for (int count = 0;; count++) {
        TRY(advance(reader));
        TRY(refuse_extras(reader));
        if (reader->event.type == YAML_SEQUENCE_END_EVENT) break;
        if (reader->event.type != YAML_SCALAR_EVENT) return problem(reader, "%s: a list in a list", reader->path);
        TRY(scalar_text(reader, &text));
        if (used + strlen(text) + 4 >= CONFIG_LIST) return problem(reader, "%s: the list is too long", reader->path);
        used += (size_t)snprintf(value + used, CONFIG_LIST - used, "%s%s", count ? ", " : "", text);
    }
    snprintf(value + used, CONFIG_LIST - used, "]");
    return 0;
}

/* A map of settings becomes one text, a line each. */
static int read_settings(struct reader *reader, const struct schema_key *key) {
    char lines[CONFIG_LIST] = "", name[SCHEMA_NAME], value[CONFIG_LIST];
    size_t used = 0;
    for (;;) {
        const char *text;
        TRY(advance(reader));
        if (reader->event.type == YAML_MAPPING_END_EVENT) break;
        reader->line = (int)reader->event.start_mark.line + 1;
        TRY(refuse_extras(reader));
        if (reader->event.type != YAML_SCALAR_EVENT)
            return problem(reader, "a key must be a word, not a list or a map");
        TRY(scalar_text(reader, &text));
        snprintf(name, sizeof name, "%s", text);
        TRY(advance(reader));
        TRY(read_setting(reader, value));
        size_t length = strlen(name) + strlen(value) + 2;
        char again[SCHEMA_NAME + 2];
        snprintf(again, sizeof again, "\n%s=", name);
        if (strstr(lines, again) || !strncmp(lines, again + 1, strlen(again) - 1))
            return problem(reader, "%s: '%s' is given a second time", key->name, name);
        if (strchr(name, '=') || strchr(value, '\n') || used + length >= sizeof lines)
            return problem(reader, "%s: '%s' does not fit into a list of settings", key->name, name);
        used += (size_t)snprintf(lines + used, sizeof lines - used, "%s=%s\n", name, value);
    }
    return within(reader, schema_read(key, lines, reader->target));
}

static int read_map(struct reader *reader);

/* The value of the key `path`; its first event is the current one. */
static int read_value(struct reader *reader) {
    const struct schema_key *key = schema_find(reader->schema, reader->path);
    TRY(refuse_extras(reader));
    if (key || schema_is_section(reader->schema, reader->path)) TRY(note_first(reader));
    if (reader->event.type == YAML_SCALAR_EVENT) return read_scalar(reader);
    if (reader->event.type == YAML_SEQUENCE_START_EVENT) return read_list(reader);
    if (key && key->type == VALUE_SETTINGS) return read_settings(reader, key);
    if (key) return problem(reader, "%s: a map is given where %s is meant", key->name, schema_type_name(key->type));
    return read_map(reader);
}

/* The keys of the map `path`; the current event is its start. An unknown map is told by its first key, whose whole name
 * is nearer to what was meant. */
static int read_map(struct reader *reader) {
    size_t length = strlen(reader->path);
    for (int count = 0;; count++) {
        const struct schema_key *key;
        const char *text;
        TRY(advance(reader));
        if (reader->event.type == YAML_MAPPING_END_EVENT) {
            int empty = count == 0 && length > 0 && !schema_is_section(reader->schema, reader->path);
            return empty ? within(reader, schema_lookup(reader->schema, reader->path, &key)) : 0;
        }
        reader->line = (int)reader->event.start_mark.line + 1;
        TRY(refuse_extras(reader));
        if (reader->event.type != YAML_SCALAR_EVENT)
            return problem(reader, "a key must be a word, not a list or a map");
        TRY(scalar_text(reader, &text));
        if (length + 1 + strlen(text) >= SCHEMA_NAME)
            return problem(reader, "a key with its sections is longer than %d bytes", SCHEMA_NAME - 2);
        snprintf(reader->path + length, SCHEMA_NAME - length, "%s%s", length ? "." : "", text);
        TRY(advance(reader));
        TRY(read_value(reader));
        reader->path[length] = '\0';
    }
}

static int read_document(struct reader *reader) {
    TRY(advance(reader)); /* the stream's start */
    TRY(advance(reader));
    if (reader->event.type != YAML_DOCUMENT_START_EVENT)
        return fail(STATUS_USAGE, "%s: is empty; `%s` prints all keys", reader->name, reader->schema->help);
    TRY(advance(reader));
    reader->line = (int)reader->event.start_mark.line + 1;
    TRY(refuse_extras(reader));
    if (reader->event.type != YAML_MAPPING_START_EVENT)
        return problem(reader, "a map of keys is meant, such as `name: run`");
    TRY(read_map(reader));
    TRY(advance(reader)); /* the document's end */
    TRY(advance(reader));
    reader->line = (int)reader->event.start_mark.line + 1;
    if (reader->event.type != YAML_STREAM_END_EVENT)
        return problem(reader, "a second document begins; only one is read");
    return 0;
}

int schema_load_text(const struct schema *schema, void *target, const char *text, size_t length, const char *name) {
    void *next = malloc(schema->size); /* so that a file with an error changes nothing */
    struct reader reader = {.name = name, .text = text, .length = length, .schema = schema, .target = next};
    if (!next || !yaml_parser_initialize(&reader.parser)) {
        free(next);
        return fail(STATUS_FAILED, "%s: out of memory", name);
    }
    memcpy(next, target, schema->size);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, length);
    int status = read_document(&reader);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    if (!status) memcpy(target, next, schema->size);
    free(next);
    return status;
}

int schema_load(const struct schema *schema, void *target, const char *path) {
    char *text = malloc(FILE_MAX);
    if (!text) return fail(STATUS_FAILED, "%s: out of memory", path);
    FILE *file = fopen(path, "rb");
    size_t length = file ? fread(text, 1, FILE_MAX, file) : 0;
    int status = 0;
    if (!file || ferror(file))
        status = fail(STATUS_USAGE, "%s: %s", path, strerror(errno));
    else if (length == FILE_MAX)
        status = fail(STATUS_USAGE, "%s: is larger than a configuration can be (%d bytes)", path, FILE_MAX - 1);
    else
        status = schema_load_text(schema, target, text, length, path);
    if (file) fclose(file);
    free(text);
    return status;
}
