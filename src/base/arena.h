/* One large allocation at load, so that nothing is allocated while training. Memory is zeroed, aligned to pages, and comes
 * straight from the system, with huge pages where it offers them. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdint.h>

/* `what` names the memory in the message when there is not enough. bytes 0 gives NULL. */
int arena_new(void **memory, int64_t bytes, const char *what);
void arena_free(void *memory, int64_t bytes);

/* Fails, naming `what`, when this machine has less than `bytes` of memory left. */
int arena_check(int64_t bytes, const char *what);

/* Bytes that a new allocation can still use on this machine, as the system estimates; -1 if it does not tell. */
int64_t arena_available(void);

#endif
