/* Which files an entry of data.train or data.val means: see source.h. */
#ifndef DATA_SOURCE_FILES_H
#define DATA_SOURCE_FILES_H

struct file_list {
    char **path;
    int count;
};

/* At least one file, in byte order of their names; whether they are readable is not looked at. STATUS_BAD_DATA. */
int source_files(const char *spec, struct file_list *files);
void source_files_free(struct file_list *files);

#endif
