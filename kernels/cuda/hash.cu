/* A hash that finds whether two copies of a buffer are the same, for the guard and the audit: to the bits of kernels/cpu. Sums
 * mod 2^64 have no order. */
#include "device.cuh"
#include "kernels.h"

enum { HASH_WARPS = 8, HASH_THREADS = HASH_WARPS * WARP, WORDS_A_BLOCK = 16 * HASH_THREADS, MOST_BLOCKS = 1024 };

/* One to one in `word`: so a change of one word always changes the sum. */
static __device__ inline uint64_t mix(uint64_t word, uint64_t index) {
    uint64_t x = word ^ (index * 0x9e3779b97f4a7c15u);
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xa0761d6478bd642fu;
    return x ^ x >> 29;
}

static __device__ inline uint64_t block_sum(uint64_t sum, uint64_t *room) {
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) sum += __shfl_xor_sync(~0u, sum, bits);
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = sum;
    __syncthreads();
    uint64_t total = 0;
    for (int w = 0; w < HASH_WARPS; w++) total += room[w];
    return total;
}

static __global__ void __launch_bounds__(HASH_THREADS)
    hash_part(const uint64_t *words, int64_t count, int64_t first, uint64_t *partial) {
    SHARED(uint64_t, room);
    uint64_t sum = 0;
    for (int64_t i = (int64_t)blockIdx.x * HASH_THREADS + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * HASH_THREADS)
        sum += mix(words[i], (uint64_t)(first + i));
    sum = block_sum(sum, room);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__(HASH_THREADS)
    hash_finish(const uint64_t *partial, int64_t blocks, int add, int audit, const struct step_block *step,
                uint64_t *hash) {
    SHARED(uint64_t, room);
    uint64_t sum = 0;
    for (int64_t i = threadIdx.x; i < blocks; i += HASH_THREADS) sum += partial[i];
    sum = block_sum(sum, room);
    if (threadIdx.x || (audit && !step->audit)) return;
    *hash = add ? *hash + sum : sum;
}

static int64_t words_of(const struct kernel_args *a) { return elements(&a->in[0]) * a->attr->word_bytes / 8; }
static int64_t blocks_of(int64_t words) { return smaller(divide_up(words, WORDS_A_BLOCK), MOST_BLOCKS); }

#if !defined KERNEL_BF16 && !defined KERNEL_F16
extern "C" int64_t cuda_hash_workspace(const struct kernel_args *a) {
    return blocks_of(words_of(a)) * (int64_t)sizeof(uint64_t);
}
#endif

extern "C" void K(hash)(const struct kernel_args *a, cudaStream_t stream) {
    const int64_t words = words_of(a), blocks = blocks_of(words), first = a->attr->begin * a->attr->word_bytes / 8;
    uint64_t *partial = (uint64_t *)a->scratch;
    const size_t room = HASH_WARPS * sizeof(uint64_t);
    if (blocks)
        LAUNCH(hash_part, dim3((unsigned)blocks), dim3(HASH_THREADS), room, stream, (const uint64_t *)a->in[0].data,
               words, first, partial);
    LAUNCH(hash_finish, dim3(1), dim3(HASH_THREADS), room, stream, partial, blocks, (int)(a->add & 1), a->attr->audit,
           a->step, (uint64_t *)a->out[0].data);
}
