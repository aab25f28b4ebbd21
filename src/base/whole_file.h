/* Small files as a whole. */
#ifndef BASE_WHOLE_FILE_H
#define BASE_WHOLE_FILE_H

#include <stdint.h>

/* Writes a file that appears whole or not at all, also where the power fails; one that was there before stays until then. */
int whole_file_write(const char *path, const char *text, int64_t length);

/* Reads a file into memory of the caller's, with a zero byte after its end. A file that is not there gives NULL and 0. */
int whole_file_read(const char *path, char **text, int64_t *length);

#endif
