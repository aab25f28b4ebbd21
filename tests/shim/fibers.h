/* The device side of the shim: what kernels reach through include/cuda_runtime.h. */
#ifndef SHIM_FIBERS_H
#define SHIM_FIBERS_H

#include <cstddef>
#include <cstdint>
#include <functional>

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

struct shim_thread {
    dim3 place, block, block_size, grid_size;
    void *shared;
};

/* The thread that runs now. */
extern shim_thread shim_now;

/* What a lane brings to a collective call of its warp. */
enum { SHIM_WORDS = 24 };
struct shim_words {
    uint64_t word[SHIM_WORDS];
};

/* Waits for all threads of the block, at this line of the source. */
void shim_barrier(int line);

/* Waits for all lanes of the warp, which must make the same call (`what`); returns what each of the 32 brought, until the next one. */
const shim_words *shim_warp(const char *what, const void *mine, size_t bytes);

/* cp.async and its groups. */
void shim_copy_later(void *to, const void *from, size_t bytes, size_t zeros);
void shim_commit();
void shim_wait_groups(unsigned left);

int shim_lane();

void shim_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, struct shim_stream *stream,
                 std::function<void()> thread);

/* Work on a stream that no kernel does. */
void shim_enqueue(struct shim_stream *stream, std::function<void()> work);

/* For runtime.cpp: runs a grid now. */
void shim_run_grid(const char *name, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &thread);
/* Ends the process. */
[[noreturn]] void shim_stop(const char *format, ...);
/* The schedule's next number below `n`. */
uint64_t shim_draw(uint64_t n);
void shim_set_order(int order, uint64_t seed);

#endif
