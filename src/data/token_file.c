#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/check.h"
#include "data/token_format.h"

uint32_t get_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
uint64_t get_u64(const uint8_t *p) { return get_u32(p) | (uint64_t)get_u32(p + 4) << 32; }
void put_u32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> 8 * i);
}
void put_u64(uint8_t *p, uint64_t value) {
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(value >> 8 * i);
}

int map_file(const char *path, struct mapped *file) {
    *file = (struct mapped){0};
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), status = 0; /* a pipe without a writer must not hold us */
    if (fd < 0)
        return fail(STATUS_BAD_DATA,
                    "%s: cannot read data: %s (data takes text or token files, or 'stories' for the built-in corpus)",
                    path, strerror(errno));
    if (fstat(fd, &info))
        status = fail(STATUS_BAD_DATA, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = fail(STATUS_BAD_DATA, "%s: is not a regular file; name a text or token file", path);
    else if (!info.st_size)
        status = fail(STATUS_BAD_DATA, "%s: the file is empty; name a text or token file", path);
    else {
        void *mapping = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (mapping == MAP_FAILED)
            status = fail(STATUS_BAD_DATA, "%s: cannot map: %s", path, strerror(errno));
        else
            *file = (struct mapped){mapping, info.st_size};
    }
    close(fd);
    return status;
}

void unmap_file(struct mapped *file) {
    if (file->bytes) munmap((void *)file->bytes, (size_t)file->size);
    *file = (struct mapped){0};
}

const char *token_format_name(enum token_format format) {
    static const char *const names[] = {
        [TOKENS_NATIVE] = "native",     [TOKENS_NANOGPT] = "nanoGPT", [TOKENS_LLMC] = "llm.c",
        [TOKENS_MEGATRON] = "Megatron", [TOKENS_HDF5] = "HDF5",       [TOKENS_BYTES] = "bytes"};
    return names[format];
}

static int ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* The extension of FILE.h5:DATASET counts before the colon. */
static int is_hdf5(const char *path) {
    return ends_with(path, ".h5") || ends_with(path, ".hdf5") || strstr(path, ".h5:") || strstr(path, ".hdf5:");
}

/* NAME.idx beside NAME.bin. */
static int has_index(const char *path) {
    char index[1100];
    struct stat info;
    if (snprintf(index, sizeof index, "%s", path) >= (int)sizeof index) return 0;
    strcpy(index + strlen(index) - 4, ".idx");
    return !stat(index, &info);
}

static enum token_format detect(const struct mapped *file, const char *path) {
    if (file->size >= 8 && !memcmp(file->bytes, NATIVE_MAGIC, 8)) return TOKENS_NATIVE;
    if (ends_with(path, ".tokens")) return TOKENS_NATIVE; /* so that a damaged one is told */
    if (!ends_with(path, ".bin")) return TOKENS_BYTES;
    if (has_index(path)) return TOKENS_MEGATRON; /* first: its tokens may look like any magic number */
    uint32_t magic = file->size < 4 ? 0 : get_u32(file->bytes);
    return magic == LLMC_MAGIC_U16 || magic == LLMC_MAGIC_U32 ? TOKENS_LLMC : TOKENS_NANOGPT;
}

/* Maps the file of tokens that `path` names; NAME.idx stands for NAME.bin, which `name` gets then. */
static int map_named(const char *path, char name[LONGEST_NAME], struct mapped *file) {
    struct stat info;
    *file = (struct mapped){0};
    if (strlen(path) >= LONGEST_NAME) return fail(STATUS_BAD_DATA, "%.200s…: this path is too long", path);
    strcpy(name, path);
    if (ends_with(path, ".idx") && !stat(path, &info)) strcpy(name + strlen(name) - 4, ".bin");
    return map_file(name, file);
}

int tokens_detect(const char *path, enum token_format *format) {
    struct mapped file;
    char name[LONGEST_NAME];
    *format = TOKENS_HDF5;
    if (is_hdf5(path)) return 0;
    TRY(map_named(path, name, &file));
    *format = detect(&file, name);
    unmap_file(&file);
    return 0;
}

static int open_hdf5(struct tokens *tokens, const char *path, struct mapped *file) {
    char name[LONGEST_NAME];
    int64_t offset;
    tokens->format = TOKENS_HDF5;
    TRY(find_hdf5(path, name, &tokens->width, &tokens->count, &offset));
    TRY(map_file(name, file));
    if (offset < 0 || offset > file->size || tokens->count > (file->size - offset) / tokens->width)
        return fail(STATUS_BAD_DATA,
                    "%s: the dataset reaches beyond the file's end; the file is truncated: copy it again", path);
    tokens->data = file->bytes + offset;
    return 0;
}

static int open_bytes(struct tokens *tokens, const struct mapped *file) {
    tokens->data = file->bytes;
    tokens->width = 1;
    tokens->count = file->size;
    tokens->vocab = 256;
    return 0;
}

static int open_other(struct tokens *tokens, const char *path, struct mapped *file) {
    char name[LONGEST_NAME];
    TRY(map_named(path, name, file));
    switch (tokens->format = detect(file, name)) {
    case TOKENS_NATIVE:
        return open_native(tokens, file, name);
    case TOKENS_NANOGPT:
        return open_nanogpt(tokens, file, name);
    case TOKENS_LLMC:
        return open_llmc(tokens, file, name);
    case TOKENS_MEGATRON:
        return open_megatron(tokens, file, name);
    case TOKENS_HDF5: /* its name tells it, not its content */
    case TOKENS_BYTES:
        break;
    }
    return open_bytes(tokens, file);
}

int tokens_open(struct tokens *tokens, const char *path) {
    struct mapped file = {0};
    *tokens = (struct tokens){.end_of_text = -1};
    if (strlen(path) >= sizeof tokens->name) return fail(STATUS_BAD_DATA, "%.200s…: this path is too long", path);
    strcpy(tokens->name, path);
    int status = is_hdf5(path) ? open_hdf5(tokens, path, &file) : open_other(tokens, path, &file);
    if (!status && tokens->count < 1) status = fail(STATUS_BAD_DATA, "%s: has no tokens", path);
    tokens->mapping = (void *)file.bytes;
    tokens->mapping_bytes = file.size;
    if (status) tokens_close(tokens);
    return status;
}

void tokens_close(struct tokens *tokens) {
    if (tokens->mapping) munmap(tokens->mapping, (size_t)tokens->mapping_bytes);
    *tokens = (struct tokens){.end_of_text = -1};
}

void tokens_read(const struct tokens *tokens, int64_t from, int64_t n, int32_t *out) {
    const uint8_t *bytes = (const uint8_t *)tokens->data + from * tokens->width;
    if (tokens->width == 1) {
        for (int64_t i = 0; i < n; i++) out[i] = bytes[i];
    } else if (tokens->width == 2) {
        for (int64_t i = 0; i < n; i++) {
            uint16_t token;
            memcpy(&token, bytes + 2 * i, sizeof token);
            out[i] = le16toh(token);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            uint32_t token;
            memcpy(&token, bytes + 4 * i, sizeof token);
            out[i] = (int32_t)le32toh(token);
        }
    }
}

/* Where the first token is that is not below `vocab`. */
static int beyond(const struct tokens *tokens, const int32_t *block, int64_t at, int64_t vocab) {
    while ((uint32_t)*block < vocab) block++, at++;
    if (tokens->vocab)
        return fail(STATUS_BAD_DATA, "%s: token %" PRId64 " is %" PRIu32 ", outside the vocabulary of %" PRId64,
                    tokens->name, at, (uint32_t)*block, vocab);
    return fail(STATUS_BAD_DATA, "%s: token %" PRId64 " is %" PRId32 ", which no vocabulary has", tokens->name, at,
                *block);
}

/* Compares as unsigned numbers, so that what would be negative is the largest of all. */
static int find_largest(const struct tokens *tokens, uint32_t *largest) {
    enum { BLOCK = 4096 };
    int32_t block[BLOCK];
    int64_t vocab = tokens->vocab ? tokens->vocab : (int64_t)INT32_MAX + 1;
    *largest = 0;
    for (int64_t at = 0; at < tokens->count; at += BLOCK) {
        int64_t n = tokens->count - at < BLOCK ? tokens->count - at : BLOCK;
        uint32_t top = 0;
        tokens_read(tokens, at, n, block);
        for (int64_t i = 0; i < n; i++) top = (uint32_t)block[i] > top ? (uint32_t)block[i] : top;
        if (top >= vocab) return beyond(tokens, block, at, vocab);
        if (top > *largest) *largest = top;
    }
    return 0;
}

int tokens_verify(const struct tokens *tokens, int32_t *largest) {
    uint32_t top = 0;
    if (tokens->format == TOKENS_NATIVE && tokens->mapping) {
        const uint8_t *bytes = tokens->mapping;
        uint64_t found = XXH3_64bits(bytes + NATIVE_HEADER, (size_t)(tokens->mapping_bytes - NATIVE_HEADER));
        if (found != tokens->checksum)
            return fail(STATUS_BAD_DATA,
                        "%s: the checksum of its content is %016" PRIx64 ", its header says %016" PRIx64
                        "; the file is damaged: copy it or make it again",
                        tokens->name, found, tokens->checksum);
    }
    TRY(find_largest(tokens, &top));
    *largest = (int32_t)top;
    return 0;
}
