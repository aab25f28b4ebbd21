/* Schemas: tables of the keys that a YAML file may have, each with its type, default, range and help, and how values are read
 * into the fields of a plain struct and written. keys.c has the one of configurations. Messages about a single value start
 * with the key; the caller puts the place (file and line, "--set") in front. */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <float.h>
#include <stddef.h>

#include "config/config.h"

enum value_type {
    VALUE_WHOLE,    /* int64_t */
    VALUE_REAL,     /* double, finite */
    VALUE_PAIR,     /* double[2]: both in the range */
    VALUE_INTERVAL, /* double[2]: the first below the second; -inf, +inf is written `off` */
    VALUE_BOOLEAN,  /* int: 0 or 1 */
    VALUE_NAME,     /* int: an index into `names` */
    VALUE_TEXT,     /* char[CONFIG_TEXT]: UTF-8, zero to its end; low and high bound its bytes */
    VALUE_LIST, /* char[CONFIG_LIST]: the same; in YAML also a list of texts, which is one text with commas between */
    VALUE_SETTINGS, /* char[CONFIG_LIST]: a map of keys of another schema to values; a line "key=value" for each */
};

/* The most that another value of the key changes. */
enum key_class {
    CLASS_ARCHITECTURE, /* the parameters of the model: their number, shapes and meaning */
    CLASS_TRAINING,     /* the bits of the trained weights */
    CLASS_RUN,          /* neither: where a run is kept, how long it goes, how often it looks */
};

struct schema_key {
    const char *name; /* dotted, its sections first; keys of one section stand together */
    enum value_type type;
    size_t offset;       /* in the struct */
    const char *initial; /* the default, as one would write it */
    enum key_class class;
    const char *help;
    double low, high;         /* the range, with its ends unless below_high or above_low says otherwise */
    int above_low;            /* low itself is out of range */
    int below_high;           /* high itself is out of range */
    const char *const *names; /* VALUE_NAME and VALUE_BOOLEAN: the values as written, by number; ends with NULL */
};

enum {
    SCHEMA_MAX_KEYS = 128,
    SCHEMA_NAME = 128,              /* bytes: more than any key takes */
    SCHEMA_VALUE = 4 * CONFIG_LIST, /* bytes: any value as written, every byte of a text escaped */
    SCHEMA_RANGE = 160,             /* bytes: the words about a key's type and range */
};

/* Whole numbers stay exact in JSON (metrics, manifests), whose numbers are doubles. */
#define SCHEMA_WHOLE_MAX 9007199254740991.0 /* 2^53 - 1 */
#define SCHEMA_NO_LIMIT  DBL_MAX

struct schema {
    const struct schema_key *keys;
    int count;        /* at most SCHEMA_MAX_KEYS */
    size_t size;      /* of the struct */
    const char *help; /* the command that prints all keys */
};

extern const struct schema config_schema;

const struct schema_key *schema_find(const struct schema *schema, const char *name); /* NULL if there is none */
int schema_is_section(const struct schema *schema, const char *name);                /* 1 if some key lies in it */
const char *schema_last_part(const char *name);                                      /* without its sections */

/* Finds a key. The message of an unknown one names the nearest key; a section is not a key. */
int schema_lookup(const struct schema *schema, const char *name, const struct schema_key **key);

/* Every field at its default. */
void schema_defaults(const struct schema *schema, void *target);

/* Reads a YAML file, or its text (`name` is its file in messages), over *target, which stays as it was on an error. */
int schema_load(const struct schema *schema, void *target, const char *path);
int schema_load_text(const struct schema *schema, void *target, const char *text, size_t length, const char *name);

/* Reads `text` into the key's field; on an error the field keeps its value. */
int schema_read(const struct schema_key *key, const char *text, void *target);

/* Writes the key's field as YAML that schema_read() takes back to the same bits. */
void schema_write(const struct schema_key *key, const void *target, char out[SCHEMA_VALUE]);

/* Whether `text` is a number, in the sense of VALUE_REAL. */
int schema_is_number(const char *text, double *value);

const char *schema_type_name(enum value_type type);                         /* "a whole number" … */
void schema_describe(const struct schema_key *key, char out[SCHEMA_RANGE]); /* "a whole number, 1 to 1000" … */

#endif
