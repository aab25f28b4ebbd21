/* The files that a list of paths means: folders are gone through, in byte order of names, hidden entries left out. */
#ifndef DATA_INPUT_FILES_H
#define DATA_INPUT_FILES_H

#include <stdint.h>

struct input_file {
    char *path;
    int64_t bytes; /* 0 for standard input */
};

struct input_files {
    struct input_file *file;
    int64_t count, capacity, bytes;
};

/* Errors: STATUS_BAD_DATA with the path; a folder without files is one. */
int input_files_list(const char *const *paths, int n, struct input_files *files);
void input_files_free(struct input_files *files);

#endif
