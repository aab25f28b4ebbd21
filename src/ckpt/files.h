/* Paths, folders and small files of a checkpoint. Errors have STATUS_FAILED, the path and the system's reason. */
#ifndef CKPT_FILES_H
#define CKPT_FILES_H

#include <stdint.h>

#include "base/folders.h"

enum { BYTES_TEXT = 32 };

/* FOLDER/NAME */
int path_join(char out[PATH_SIZE], const char *folder, const char *name);
int path_exists(const char *path);

/* Makes the content of an open file survive a power failure. */
int file_sync(int fd, const char *path);

/* Deletes the files in a folder, then the folder. It is no error if it is gone already, nor if something that is not
 * ours (a subfolder, a file that another process holds open over NFS) keeps the empty shell alive. */
int folder_remove(const char *path);

/* Fails, with what is needed and what is free, if the file system of `folder` has less than `need` bytes left. */
int space_check(const char *folder, int64_t need);

/* Reads a whole file into memory of the caller's, with a zero byte after its end. STATUS_BAD_DATA for an error of the disk. */
int file_read(const char *path, char **text, int64_t *length);

/* "12.3 MiB" */
void bytes_text(int64_t bytes, char text[BYTES_TEXT]);

#endif
