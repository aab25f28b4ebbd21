#include "data/dataset.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "data/source_files.h"
#include "data/stories.h"

enum { SPEC_SIZE = 4096 };

/* The tokenizer.json in the folder of the first file that a source means; 0 where there is none. */
static int beside(const char *spec, char path[SPEC_SIZE + 32]) {
    struct file_list files;
    struct stat info;
    if (source_files(spec, &files)) return 0;
    char *dataset = strstr(files.path[0], ".h5:"); /* FILE.h5:GROUP/DATASET */
    if (!dataset) dataset = strstr(files.path[0], ".hdf5:");
    if (dataset) *dataset = '\0';
    const char *slash = strrchr(files.path[0], '/');
    int length = slash ? (int)(slash - files.path[0]) : 1;
    snprintf(path, SPEC_SIZE + 32, "%.*s/tokenizer.json", length < SPEC_SIZE ? length : SPEC_SIZE,
             slash ? files.path[0] : ".");
    source_files_free(&files);
    return !stat(path, &info);
}

static int is_text(const char *spec) {
    struct file_list files;
    enum token_format format;
    if (source_is_stories(spec)) return 1;
    if (source_files(spec, &files)) return 0;
    int text = !tokens_detect(files.path[0], &format) && format == TOKENS_BYTES;
    source_files_free(&files);
    return text;
}

static int open_tokenizer(const char *spec, const char *name, struct tokenizer **tokenizer) {
    char path[SPEC_SIZE + 32];
    *tokenizer = NULL;
    if (strcmp(name, "auto")) return tokenizer_open(name, tokenizer);
    if (is_text(spec)) return tokenizer_open("bytes", tokenizer);
    if (source_is_stories(spec) || !beside(spec, path)) return 0;
    return tokenizer_open(path, tokenizer);
}

int dataset_open_source(struct source *source, const char *spec, const char *tokenizer, struct tokenizer **opened) {
    TRY(open_tokenizer(spec, tokenizer, opened));
    int status = source_open(source, spec, *opened);
    if (!status) return 0;
    tokenizer_close(*opened);
    *opened = NULL;
    return status;
}

/* Takes one entry off a list: its weight and its source. */
static int next_entry(const char **list, double *weight, char spec[SPEC_SIZE]) {
    const char *end = strchr(*list, ','), *begin = *list + strspn(*list, " ");
    if (!end) end = *list + strlen(*list);
    *list = *end ? end + 1 : end;
    while (end > begin && end[-1] == ' ') end--;
    if (end - begin >= SPEC_SIZE) return fail(STATUS_USAGE, "data.train: an entry is too long");
    snprintf(spec, SPEC_SIZE, "%.*s", (int)(end - begin), begin);
    *weight = 1;
    char *rest;
    double number = strtod(spec, &rest);
    if (rest != spec && *rest == ' ') {
        if (!(number > 0 && number < 1e12))
            return fail(STATUS_USAGE, "data.train: '%s': a weight must be a positive number", spec);
        *weight = number;
        rest += strspn(rest, " ");
        memmove(spec, rest, strlen(rest) + 1);
    }
    return *spec ? 0 : fail(STATUS_USAGE, "data.train: an entry of the list is empty");
}

static int open_train(struct dataset *data, const struct dataset_options *o) {
    char spec[SPEC_SIZE];
    double weight;
    int entries = 1;
    for (const char *p = o->train; *p; p++) entries += *p == ',';
    data->train = calloc((size_t)entries, sizeof *data->train);
    if (!data->train) return fail(STATUS_FAILED, "out of memory");
    for (const char *list = o->train; data->parts < entries; data->parts++) {
        TRY(next_entry(&list, &weight, spec));
        if (!data->parts) TRY(open_tokenizer(spec, o->tokenizer, &data->tokenizer));
        TRY(source_open(&data->train[data->parts], spec, data->tokenizer));
        data->train[data->parts].weight = weight;
    }
    return 0;
}

/* Of the built-in corpus a fraction is made from another seed, so that it is independent of the training text. */
static int open_fraction(struct dataset *data, const char *train, double fraction) {
    char spec[SPEC_SIZE];
    int64_t bytes;
    uint64_t seed;
    double weight;
    if (data->parts > 1)
        return fail(STATUS_USAGE, "data.val: a fraction is taken from one source, and data.train has %d; name a file",
                    data->parts);
    TRY(next_entry(&train, &weight, spec));
    if (!source_is_stories(spec)) {
        source_split(&data->train[0], fraction, &data->val);
        return 0;
    }
    TRY(source_parse_stories(spec, &bytes, &seed));
    bytes = (int64_t)(fraction * (double)bytes);
    snprintf(spec, sizeof spec, "stories:%" PRId64 ":%" PRIu64, bytes > 0 ? bytes : 1, seed ^ 0x76616c6964617465u);
    return source_open(&data->val, spec, data->tokenizer);
}

/* Sources that say what they were made with must say the same. */
static int check_tokenizers(const struct dataset *data) {
    static const uint8_t unknown[TOKENS_HASH];
    const struct source *first = NULL;
    for (int i = 0; i <= data->parts; i++) {
        const struct source *source = i < data->parts ? &data->train[i] : &data->val;
        if (!memcmp(source->tokenizer, unknown, TOKENS_HASH)) continue;
        if (!first) first = source;
        if (memcmp(first->tokenizer, source->tokenizer, TOKENS_HASH))
            return fail(STATUS_BAD_DATA, "%s and %s were made with different tokenizers", first->name, source->name);
    }
    return 0;
}

/* A number as the configuration understands it; whatever else is a file. */
static int is_fraction(const char *val, double *fraction) {
    char *rest;
    if (!*val || val[strspn(val, "0123456789+-.eE")]) return 0;
    *fraction = strtod(val, &rest);
    return !*rest && *fraction > 0 && *fraction < 1;
}

static int open_all(struct dataset *data, const struct dataset_options *o) {
    double fraction;
    int divide = is_fraction(o->val, &fraction);
    TRY(open_train(data, o));
    if (*o->val)
        TRY(!divide ? source_open(&data->val, o->val, data->tokenizer) : open_fraction(data, o->train, fraction));
    TRY(check_tokenizers(data));
    for (int i = 0; i < data->parts; i++) {
        TRY(source_check_length(&data->train[i], o->window));
        TRY(source_check_vocab(&data->train[i], o->vocab));
    }
    if (!data->val.count) return *o->val ? source_check_length(&data->val, o->window) : 0;
    TRY(source_check_length(&data->val, o->window));
    return source_check_vocab(&data->val, o->vocab);
}

int dataset_open(struct dataset *data, const struct dataset_options *options) {
    memset(data, 0, sizeof *data);
    int status = open_all(data, options);
    if (status) dataset_close(data);
    return status;
}

void dataset_close(struct dataset *data) {
    source_close(&data->val);
    for (int i = 0; i < data->parts; i++) source_close(&data->train[i]);
    free(data->train);
    tokenizer_close(data->tokenizer);
    memset(data, 0, sizeof *data);
}

int dataset_describe(const struct dataset *data, char **text) {
    size_t length;
    int status = 0;
    *text = NULL;
    FILE *out = open_memstream(text, &length);
    if (!out) return fail(STATUS_FAILED, "out of memory");
    for (int i = 0; i < data->parts && !status; i++) {
        const struct source *source = &data->train[i];
        char hash[33];
        status = source_fingerprint(source, hash);
        if (!status) fprintf(out, "%.17g %" PRId64 " %s %s\n", source->weight, source->count, hash, source->name);
    }
    if (fclose(out) && !status) status = fail(STATUS_FAILED, "out of memory");
    return status;
}

/* The length of a line up to its name: three words. */
static size_t without_name(const char *line) {
    size_t length = 0;
    for (int word = 0; word < 3; word++) {
        length += strcspn(line + length, " \n");
        if (line[length] == ' ') length++;
    }
    return length;
}

int dataset_same(const char *a, const char *b) {
    while (*a && *b) {
        size_t length = without_name(a);
        if (length != without_name(b) || strncmp(a, b, length)) return 0;
        a += strcspn(a, "\n");
        b += strcspn(b, "\n");
        a += *a == '\n';
        b += *b == '\n';
    }
    return *a == *b;
}
