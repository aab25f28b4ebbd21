/* A file that may be compressed: read to its end or to the damage, in bounded memory. */
#include "fuzz.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <stdio.h>

#include "data/stream.h"

enum { MOST = 1 << 24 }; /* bytes that are read of what comes out */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64], out[4096];
    struct stream *stream;
    int64_t got = 1, total = 0;
    int fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (!stream_open(path, &stream)) {
        while (got && total < MOST && !stream_read(stream, out, (int64_t)sizeof out, &got)) {
            if (got < 0 || got > (int64_t)sizeof out) abort();
            total += got;
        }
        if (stream_position(stream) < 0 || stream_position(stream) > (int64_t)size) abort();
        stream_close(stream);
    }
    close(fd);
    return 0;
}
