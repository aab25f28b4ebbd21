/* A GPU for tests: runs CUDA kernels on the CPU.
 *
 * A kernel is compiled by the host's C++ compiler against include/ in place of the toolkit's headers. Each thread of a block is a
 * fiber; blocks run one after the other. Threads change only where they wait for each other, and in an order that a schedule
 * chooses, so what depends on the order shows as other bits. Shared memory is allocated for each block, as long as was asked for, and
 * full of NaN: under AddressSanitizer a step beyond it is an error, as it is for device memory. An asynchronous copy
 * lands when its thread waits for it, and no earlier; with SHIM_BACKWARD as soon as it is asked for. Work on a stream is done when somebody waits for it, and no earlier, unless the
 * schedule says that all is done at once.
 *
 * What no program may do ends the process with a message: threads that wait for each other in different places, or for some that have
 * ended; a collective call of a part of a warp; a launch that a GPU would refuse. */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which of the threads that could go on does, and in which order blocks come: the first, the last, or one that is drawn. */
enum shim_order { SHIM_FORWARD, SHIM_BACKWARD, SHIM_DRAWN, SHIM_ORDERS };

/* For kernels and streams from now on. lazy: work on streams waits until somebody needs it. */
void shim_schedule(int order, uint64_t seed, int lazy); /* enum shim_order */

/* The function of the runtime of this name fails at its n-th call from now (1: the next), and from then on, with this error. */
void shim_fail(const char *function, int n, int error);

/* What the device says of itself: 0 devices, its memory, its compute capability (9, 0). */
void shim_device(int devices, size_t memory, int major, int minor);

/* Memory that the device has given and not got back, in bytes. */
size_t shim_memory_in_use(void);

/* Kernels launched so far, and threads that have run in them. */
uint64_t shim_launches(void);
uint64_t shim_threads(void);

#ifdef __cplusplus
}
#endif
#endif
