/* Philox4x32-10: a counter-based random generator (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
 * SC 2011). Four 32-bit words are a pure function of a 128-bit counter and a 64-bit key, so that a draw belongs to its
 * place (seed, step, slot, micro-batch, site, element) and not to the rank or thread that makes it. */
#ifndef BASE_PHILOX_H
#define BASE_PHILOX_H

#include <stdint.h>

#ifdef __CUDACC__ /* kernels on a GPU draw the same words */
#define ON_DEVICES __host__ __device__
#else
#define ON_DEVICES
#endif

struct philox {
    uint32_t word[4];
};

ON_DEVICES static inline struct philox philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                                              uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    struct philox random = {{c0, c1, c2, c3}};
    return random;
}

/* A word as a number in [0, 1), with 24 bits. */
ON_DEVICES static inline float philox_unit(uint32_t word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }

#endif
