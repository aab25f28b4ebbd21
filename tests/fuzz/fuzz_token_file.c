/* A token file of each format, told by its first byte; Megatron's index goes before a length of two bytes. Opened, read, verified.
 *
 * HDF5 only where FUZZ_HDF5 is in the environment: within a minute libhdf5 1.10 itself leaks on damaged files and crashes in
 * H5HL_protect(), so nothing of ours would be found behind that. */
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <xxhash.h>

#include "data/token_format.h"

static char folder[64];

static void write_file(const char *name, const uint8_t *data, size_t size, char path[128]) {
    snprintf(path, 128, "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    close(fd);
}

/* Without right checksums nothing else would ever be looked at. */
static void write_native(const uint8_t *data, size_t size, char path[128]) {
    uint8_t *copy = malloc(size);
    if (!copy) abort();
    for (size_t i = 0; i < size; i++) copy[i] = data[i];
    put_u64(copy + 64, XXH3_64bits(copy + NATIVE_HEADER, size - NATIVE_HEADER));
    put_u64(copy + 72, XXH3_64bits(copy, 72));
    write_file("a.tokens", copy, size, path);
    free(copy);
}

static void use(const char *path) {
    struct tokens t;
    int32_t some[64], largest;
    if (tokens_open(&t, path)) return;
    int64_t n = t.count < 64 ? t.count : 64;
    tokens_read(&t, 0, n, some);
    tokens_read(&t, t.count - n, n, some);
    for (int64_t i = 0; i < t.count && i < 1000; i++)
        some[0] += tokens_counts(&t, i) + tokens_counts(&t, t.count - 1 - i);
    (void)tokens_verify(&t, &largest);
    tokens_close(&t);
}

static void clean_up(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command)) return;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"a.tokens", "a.bin", "b.bin", "text", "a.h5"};
    char path[128], index[128];
    if (size < 3) return 0;
    if (!*folder) {
        /* In memory if there is such a folder: a disk would be waited for at every input. */
        snprintf(folder, sizeof folder, "%s/lockstep-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
        if (!mkdtemp(folder)) abort();
        atexit(clean_up);
    }
    int kind = data[0] % 5;
    if (kind == 4 && !getenv("FUZZ_HDF5")) return 0;
    if (kind == 2) {
        size_t split = (size_t)(data[1] | data[2] << 8) % (size - 2);
        write_file("b.idx", data + 3, split < size - 3 ? split : size - 3, index);
        write_file("b.bin", data + 3 + (split < size - 3 ? split : size - 3), split < size - 3 ? size - 3 - split : 0,
                   path);
    } else if (kind == 0 && size > NATIVE_HEADER) {
        write_native(data + 1, size - 1, path);
    } else {
        write_file(names[kind], data + 1, size - 1, path);
    }
    use(path);
    return 0;
}
