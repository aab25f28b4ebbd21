/* Folders and what is in them. */
#ifndef BASE_FOLDERS_H
#define BASE_FOLDERS_H

/* Makes the folder and those above it: mkdir -p. */
int folders_make(const char *path);

/* Removes the folder with all that is in it: rm -rf. What is not there is fine. */
void folders_remove(const char *path);

#endif
