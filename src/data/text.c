#include "data/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "data/stories.h"

enum { STORIES_BYTES = 4000000, STORIES_SEED = 1 };

static int is_stories(const char *spec) { return !strcmp(spec, "stories") || !strncmp(spec, "stories:", 8); }

/* "stories[:BYTES[:SEED]]" */
static int parse_stories(const char *spec, int64_t *bytes, uint64_t *seed) {
    long long b = STORIES_BYTES;
    unsigned long long s = STORIES_SEED;
    char rest;
    int fields = sscanf(spec, "stories:%lld:%llu%c", &b, &s, &rest);
    if (strcmp(spec, "stories") && (fields < 1 || fields > 2 || (fields == 1 && strchr(spec + 8, ':'))))
        return fail(STATUS_USAGE, "data: '%s' is not 'stories', 'stories:BYTES' or 'stories:BYTES:SEED'", spec);
    if (b < 1) return fail(STATUS_USAGE, "data: '%s': the number of bytes must be positive", spec);
    *bytes = b;
    *seed = s;
    return 0;
}

static int make_stories(struct text *text, int64_t bytes, uint64_t seed) {
    double bits;
    snprintf(text->name, sizeof text->name, "stories:%lld:%llu", (long long)bytes, (unsigned long long)seed);
    TRY(stories_make(bytes, seed, &text->made, &text->length));
    TRY(stories_bits(text->made, text->length, &bits));
    text->bytes = (const uint8_t *)text->made;
    text->floor_nats = bits * 0.69314718055994530942 / (double)text->length;
    return 0;
}

static int map_file(struct text *text, const char *path) {
    snprintf(text->name, sizeof text->name, "%s", path);
    text->floor_nats = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(STATUS_BAD_DATA,
                    "%s: cannot read data: %s (data.train and data.val take a path, or 'stories' for the "
                    "built-in corpus)",
                    path, strerror(errno));
    struct stat info;
    int status = 0;
    if (fstat(fd, &info))
        status = fail(STATUS_BAD_DATA, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = fail(STATUS_BAD_DATA, "%s: is not a regular file; name a text file", path);
    else if (!info.st_size)
        status = fail(STATUS_BAD_DATA, "%s: the file is empty; name a text file", path);
    else {
        text->mapping = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        text->mapping_bytes = info.st_size;
        if (text->mapping == MAP_FAILED) {
            text->mapping = NULL;
            status = fail(STATUS_BAD_DATA, "%s: cannot map: %s", path, strerror(errno));
        }
        text->bytes = text->mapping;
        text->length = info.st_size;
    }
    close(fd);
    return status;
}

int text_open(struct text *text, const char *spec) {
    memset(text, 0, sizeof *text);
    if (!is_stories(spec)) return map_file(text, spec);
    int64_t bytes;
    uint64_t seed;
    TRY(parse_stories(spec, &bytes, &seed));
    return make_stories(text, bytes, seed);
}

int text_check(const struct text *text, int64_t window, int64_t vocab) {
    if (text->length < window + 1)
        return fail(STATUS_BAD_DATA,
                    "%s: has %lld tokens, but one sequence takes %lld and the one after it; use a longer text or "
                    "a smaller train.seq_len or model.context",
                    text->name, (long long)text->length, (long long)window);
    for (int64_t i = 0; vocab < 256 && i < text->length; i++)
        if (text->bytes[i] >= vocab)
            return fail(STATUS_BAD_DATA, "%s: byte %lld is %d, but model.vocab is %lld; bytes need model.vocab: 256",
                        text->name, (long long)i, text->bytes[i], (long long)vocab);
    return 0;
}

void text_close(struct text *text) {
    if (text->mapping) munmap(text->mapping, (size_t)text->mapping_bytes);
    free(text->made);
    memset(text, 0, sizeof *text);
}

/* The last `fraction` of train becomes val; train keeps the mapping. */
static void split(struct dataset *data, double fraction) {
    int64_t cut = (int64_t)((1 - fraction) * (double)data->train.length);
    data->val = data->train;
    data->val.mapping = NULL;
    data->val.made = NULL;
    data->val.bytes += cut;
    data->val.length -= cut;
    snprintf(data->val.name, sizeof data->val.name, "%.400s (its last %g%%)", data->train.name, 100 * fraction);
    data->train.length = cut;
}

static int open_val(struct dataset *data, const char *train, const char *val) {
    char *rest;
    double fraction = strtod(val, &rest);
    if (!*val) return 0;
    if (*rest) return text_open(&data->val, val);
    if (!is_stories(train)) {
        split(data, fraction);
        return 0;
    }
    int64_t bytes;
    uint64_t seed;
    TRY(parse_stories(train, &bytes, &seed));
    bytes = (int64_t)(fraction * (double)bytes);
    return make_stories(&data->val, bytes > 0 ? bytes : 1, seed ^ 0x76616c6964617465u);
}

int dataset_open(struct dataset *data, const char *train, const char *val, int64_t window, int64_t vocab) {
    memset(data, 0, sizeof *data);
    int status = text_open(&data->train, train);
    if (!status) status = open_val(data, train, val);
    if (!status) status = text_check(&data->train, window, vocab);
    if (!status && data->val.length) status = text_check(&data->val, window, vocab);
    if (status) dataset_close(data);
    return status;
}

void dataset_close(struct dataset *data) {
    text_close(&data->val);
    text_close(&data->train);
}
