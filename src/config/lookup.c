/* Finding keys by name, and the nearest one where there is none of that name. */
#include <string.h>

#include "base/check.h"
#include "config/schema.h"

const struct schema_key *schema_find(const struct schema *schema, const char *name) {
    for (int i = 0; i < schema->count; i++)
        if (strcmp(schema->keys[i].name, name) == 0) return &schema->keys[i];
    return NULL;
}

static const struct schema_key *first_of_section(const struct schema *schema, const char *name) {
    size_t length = strlen(name);
    for (int i = 0; i < schema->count; i++)
        if (strncmp(schema->keys[i].name, name, length) == 0 && schema->keys[i].name[length] == '.')
            return &schema->keys[i];
    return NULL;
}

int schema_is_section(const struct schema *schema, const char *name) { return first_of_section(schema, name) != NULL; }

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

const char *schema_last_part(const char *name) {
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
    int distance = edit_distance(schema_last_part(written), schema_last_part(name)) + 2;
    return distance < best ? distance : best;
}

/* The nearest key, or NULL where none is near enough to be what was meant. */
static const char *nearest_key(const struct schema *schema, const char *written) {
    size_t length = strlen(written);
    if (length >= SCHEMA_NAME) return NULL;
    int best = (int)length / 4 + 3; /* one more than what is near enough */
    const char *nearest = NULL;
    for (int i = 0; i < schema->count; i++) {
        int distance = key_distance(written, schema->keys[i].name);
        if (distance < best) {
            best = distance;
            nearest = schema->keys[i].name;
        }
    }
    return nearest;
}

int schema_lookup(const struct schema *schema, const char *name, const struct schema_key **key) {
    *key = schema_find(schema, name);
    if (*key) return 0;
    const struct schema_key *inside = first_of_section(schema, name);
    if (inside) return fail(STATUS_USAGE, "'%s' is a section: set its keys, such as '%s'", name, inside->name);
    const char *nearest = nearest_key(schema, name);
    if (nearest) return fail(STATUS_USAGE, "unknown key '%s'; did you mean '%s'?", name, nearest);
    return fail(STATUS_USAGE, "unknown key '%s'; `%s` prints all keys", name, schema->help);
}
