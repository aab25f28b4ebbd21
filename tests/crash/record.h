/* What the shim writes of each call that changes files, and replay.c reads: a record, then its path, its other path and its data. */
#ifndef TESTS_CRASH_RECORD_H
#define TESTS_CRASH_RECORD_H

#include <stdint.h>

enum record_kind {
    RECORD_CREATE, /* a file that may be there already: data that it has stay */
    RECORD_CUT,    /* offset: the new size */
    RECORD_WRITE,  /* offset and data */
    RECORD_SYNC,   /* of a file; data: all that it holds, also where writes to it are not seen */
    RECORD_SYNC_FOLDER,
    RECORD_MKDIR,
    RECORD_RENAME,
    RECORD_UNLINK,
    RECORD_RMDIR,
    RECORD_KINDS
};

enum { RECORD_MAGIC = 0x4c6b7301 };

struct record {
    uint32_t magic;
    uint16_t kind, rank;
    uint32_t path_bytes, other_bytes; /* without a 0 at the end; paths are relative to the folder that is watched */
    int64_t offset, bytes;            /* of the data */
    int64_t at;                       /* the number of the call in its rank, from 1 on */
};

#endif
