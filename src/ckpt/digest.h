/* XXH3 with 128 bits (xxHash), as 32 hex digits: what `xxhsum -H2` prints. */
#ifndef CKPT_DIGEST_H
#define CKPT_DIGEST_H

#include <stdint.h>

#include <xxhash.h>

enum { DIGEST_SIZE = 33, DIGEST_BLOCK = 4 << 20 };

void digest_hex(XXH128_hash_t hash, char hex[DIGEST_SIZE]);

/* Hashes a whole file and counts its bytes. `from_disk`: first drops what memory holds of it, so that the bytes come
 * from the disk (after a sync; where the system can). STATUS_FAILED with the path and the system's reason. */
int digest_file(const char *path, int from_disk, int64_t *bytes, char hex[DIGEST_SIZE]);

#endif
