/* Folders and what is in them. Errors have STATUS_FAILED, the path and the system's reason. */
#ifndef BASE_FOLDERS_H
#define BASE_FOLDERS_H

enum { PATH_SIZE = 4096 };

int path_is_folder(const char *path);

/* The folder that holds `path`. */
int path_parent(char out[PATH_SIZE], const char *path);

/* Makes the folder and those above it, mkdir -p, so that they survive a power failure. */
int folders_make(const char *path);

/* Makes the entries of a folder survive a power failure. */
int folder_sync(const char *path);

/* Removes the folder with all that is in it: rm -rf. What is not there is fine. */
void folders_remove(const char *path);

#endif
