/* The random draws of one dropout op: Philox blocks of four, counted from the op's first element, to the bits of kernels/cpu. */
#ifndef CUDA_RANDOM_CUH
#define CUDA_RANDOM_CUH

#include "device.cuh"

/* What the host knows of them; the step block says the rest on the device. */
struct draw_site {
    const struct step_block *step;
    uint32_t site, micro_batches;
    uint32_t threshold; /* an element is kept when the upper 24 bits of its word are not below it */
    real factor;        /* what a kept element is multiplied by */
};

struct draws {
    uint32_t site, leaf, seed, step, threshold;
    real factor;
};

static inline struct draw_site draw_site_of(const struct kernel_args *a) {
    struct draw_site site;
    site.step = a->step;
    site.site = a->attr->site;
    site.micro_batches = a->attr->micro_batches > 0 ? (uint32_t)a->attr->micro_batches : 1;
    site.threshold = (uint32_t)ceil(a->attr->rate * 16777216.0);
    site.factor = (real)(1 / (1 - a->attr->rate));
    return site;
}

__device__ static inline struct draws draws_of(const struct draw_site &site) {
    struct draws d;
    d.site = site.site;
    d.leaf = site.step->slot * site.micro_batches + site.step->micro;
    d.seed = site.step->seed;
    d.step = site.step->step;
    d.threshold = site.threshold;
    d.factor = site.factor;
    return d;
}

__device__ static inline struct philox draw(const struct draws &d, uint64_t block) {
    return philox((uint32_t)block, (uint32_t)(block >> 32), d.site, d.leaf, d.seed, d.step);
}

/* Chosen by comparison: an index known at run time would put the words into memory. */
__device__ static inline uint32_t word_of(const struct philox &random, int64_t i) {
    const uint32_t low = i & 1 ? random.word[1] : random.word[0], high = i & 1 ? random.word[3] : random.word[2];
    return i & 2 ? high : low;
}

/* What an element with this word is multiplied by: the factor if it is kept, 0 if it is dropped. */
__device__ static inline real kept(const struct draws &d, uint32_t word) {
    return word >> 8 >= d.threshold ? d.factor : 0;
}

#endif
