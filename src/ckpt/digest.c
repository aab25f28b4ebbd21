#include "ckpt/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

void digest_hex(XXH128_hash_t hash, char hex[DIGEST_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, hash);
    for (int i = 0; i < 16; i++) {
        hex[2 * i] = digits[bytes.digest[i] >> 4];
        hex[2 * i + 1] = digits[bytes.digest[i] & 15];
    }
    hex[32] = 0;
}

static int digest_open_file(int fd, const char *path, XXH3_state_t *state, char *block, int64_t *bytes) {
    *bytes = 0;
    XXH3_128bits_reset(state);
    for (;;) {
        ssize_t n = read(fd, block, DIGEST_BLOCK);
        if (n == 0) return 0;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(STATUS_FAILED, "%s: cannot read: %s", path, strerror(errno));
        XXH3_128bits_update(state, block, (size_t)n);
        *bytes += n;
    }
}

int digest_file(const char *path, int from_disk, int64_t *bytes, char hex[DIGEST_SIZE]) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(STATUS_FAILED, "%s: cannot open: %s", path, strerror(errno));
#ifdef POSIX_FADV_DONTNEED
    if (from_disk) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
#else
    (void)from_disk;
#endif
    XXH3_state_t *state = XXH3_createState();
    char *block = malloc(DIGEST_BLOCK);
    int status = 0;
    if (state && block)
        status = digest_open_file(fd, path, state, block, bytes);
    else
        status = fail(STATUS_FAILED, "%s: out of memory", path);
    if (!status) digest_hex(XXH3_128bits_digest(state), hex);
    free(block);
    XXH3_freeState(state);
    close(fd);
    return status;
}
