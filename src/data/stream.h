/* The bytes of a file that may be compressed: gzip (RFC 1952) or zstd (RFC 8878), told by their magic numbers, and otherwise as
 * they are. Several members or frames follow each other as one text; zstd's skippable frames are passed over, also the first.
 * Memory does not depend on how much comes out. */
#ifndef DATA_STREAM_H
#define DATA_STREAM_H

#include <stdint.h>

struct stream;

/* "-" is standard input. Errors: STATUS_BAD_DATA. */
int stream_open(const char *path, struct stream **stream);
void stream_close(struct stream *stream);

/* Up to `room` bytes; *got is 0 at the end only. Damaged or truncated data is an error with the file and the place. */
int stream_read(struct stream *stream, char *out, int64_t room, int64_t *got);

/* Bytes read of the file as it is on disk. */
int64_t stream_position(const struct stream *stream);

#endif
