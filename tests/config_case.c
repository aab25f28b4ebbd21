#include "config_case.h"

#include <unistd.h>

void set(struct config *config, const char *key, const char *value) {
    if (config_set(config, key, value, "test")) fail_msg("%s", fail_message());
}

size_t field_size(const struct schema_key *key) {
    static const size_t sizes[] = {[VALUE_WHOLE] = sizeof(int64_t),   [VALUE_REAL] = sizeof(double),
                                   [VALUE_PAIR] = 2 * sizeof(double), [VALUE_INTERVAL] = 2 * sizeof(double),
                                   [VALUE_BOOLEAN] = sizeof(int),     [VALUE_NAME] = sizeof(int),
                                   [VALUE_TEXT] = CONFIG_TEXT,        [VALUE_LIST] = CONFIG_LIST};
    return sizes[key->type];
}

int same_bits(const struct schema_key *key, const struct config *a, const struct config *b) {
    return memcmp((const char *)a + key->offset, (const char *)b + key->offset, field_size(key)) == 0;
}

void write_file(const char *path, const char *text, size_t length) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

int load(struct config *config, const char *text) {
    config_defaults(config);
    write_file("run.yaml", text, strlen(text));
    return config_load(config, "run.yaml");
}

void load_well(struct config *config, const char *text) {
    if (load(config, text)) fail_msg("%s", fail_message());
}

char *printed(const struct config *config) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    if (config)
        config_print(config, out);
    else
        config_help(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char folder[] = "test_config_XXXXXX";

int enter_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? chdir(folder) : -1;
}

int leave_folder(void **state) {
    (void)state;
    return unlink("run.yaml") || chdir("..") || rmdir(folder);
}
