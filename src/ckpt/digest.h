/* XXH3 with 128 bits (xxHash), as 32 hex digits: what `xxhsum -H2` prints. */
#ifndef CKPT_DIGEST_H
#define CKPT_DIGEST_H

#include <stdint.h>

#include <xxhash.h>

enum { DIGEST_SIZE = 33 };

void digest_hex(XXH128_hash_t hash, char hex[DIGEST_SIZE]);

#endif
