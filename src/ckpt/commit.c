#include "ckpt/commit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "ckpt/files.h"
#include "ckpt/folder.h"

/* Every file has the size that its rank reported, seen from here; and the manifest reads back. */
static int write_manifest(const char *temporary, const struct manifest *manifest) {
    char path[PATH_SIZE], name[SHARD_NAME];
    for (int i = 0; i < manifest->files; i++) {
        struct stat info;
        manifest_file_name(name, manifest, i);
        TRY(path_join(path, temporary, name));
        if (stat(path, &info) || info.st_size != manifest->file[i].bytes)
            return fail(STATUS_FAILED,
                        "%s: rank 0 does not see this file as rank %d wrote it: the folder of checkpoints must be on a "
                        "file system that all ranks share",
                        path, i < manifest->ranks ? i : 0);
    }
    TRY(manifest_write(temporary, manifest));
    TRY(folder_sync(temporary));
    struct manifest written;
    TRY(manifest_read(temporary, &written));
    manifest_free(&written);
    return 0;
}

static int move(const char *from, const char *to) {
    if (rename(from, to)) return fail(STATUS_FAILED, "%s: cannot rename to %s: %s", from, to, strerror(errno));
    return 0;
}

int commit(const char *dir, const char *temporary, const char *final, const struct manifest *manifest) {
    char aside[PATH_SIZE];
    if (snprintf(aside, sizeof aside, "%s.old", final) >= PATH_SIZE)
        return fail(STATUS_FAILED, "%s: this path is too long", final);
    TRY(write_manifest(temporary, manifest));
    if (path_exists(final)) {
        TRY(move(final, aside));
        TRY(folder_sync(dir));
    }
    TRY(move(temporary, final));
    TRY(folder_sync(dir));
    folder_remove_checkpoint(aside, 0); /* else the next sweep does */
    return 0;
}
