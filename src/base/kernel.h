/* What a kernel is given: the one header of src/ that files in kernels/ may include.
 *
 * A kernel is a pure function of its operands, its attributes and the step block. It allocates nothing, keeps no state,
 * and adds in an order that depends on shapes alone, never on the number of threads. op.def lists the operands of each
 * op in order and is their manual. */
#ifndef BASE_KERNEL_H
#define BASE_KERNEL_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/philox.h"

#ifndef LOCKSTEP_CHUNK /* tests make it small, so that a small space has many chunks */
#define LOCKSTEP_CHUNK 65536
#endif

enum {
    MAX_RANK = 4,
    MAX_OUT = 4,
    MAX_IN = 7,
    CHUNK = LOCKSTEP_CHUNK, /* elements: the grain of all that is summed or sharded over the flat parameter space */
    ATTENTION_TILE = 64,    /* queries whose scores a thread holds at once: rules size scratch by it */
    ATTENTION_KEYS = 512,   /* in the backward pass, of so many keys: whole tiles, and whole draws of dropout */
};
static_assert(ATTENTION_KEYS % ATTENTION_TILE == 0, "a tile of queries begins in one block of keys");

/* Codes of the sum that tree_finish computes, in reverse Polish notation; see plan/tree.h, which makes it. */
enum { TREE_ADD = -1, TREE_OWN = -2, TREE_HELD = -3, TREE_KEEP = -100 };

/* One operand. Dimensions beyond the rank are 1. `data` is NULL where an optional operand is left out. */
struct view {
    void *data;
    int64_t dim[MAX_RANK];
};

/* The attributes of all ops; op.def says which op reads which. Unused ones are zero. */
struct op_attr {
    int64_t batch, time;      /* sequences, tokens a sequence */
    int64_t heads, kv_heads;  /* attention heads; heads of keys and values */
    int64_t turning;          /* RoPE: channels of a head that turn */
    int pairs, inverse;       /* RoPE: channels 2i and 2i + 1 turn together, not i and i + turning / 2; turns back */
    int64_t vocab, positions; /* rows of the embedding tables; xent: logits of a row that count */
    int64_t chunk_rows;       /* head_loss: rows whose logits exist at once */
    int64_t begin, end;       /* a range of the flat parameter space, in elements */
    int64_t decay_end;        /* AdamW: weight decay applies to flat elements below it */
    int64_t micro_batches;    /* micro-batches whose losses make one slot's mean */
    uint32_t site;            /* which random draw of the model this is; clones of an op keep it */
    double rate;              /* dropout probability */
    double scale, eps;        /* attention scale; norm epsilon or AdamW epsilon */
    int by_library; /* a GPU's library computes it: attention (model.attention_impl); GELU, in the product (fuse.epilogue) */
    double theta, cap;          /* RoPE: base of its wavelengths; largest logit */
    double low, high;           /* clamp range */
    double beta1, beta2, decay; /* AdamW */
    double max_norm;            /* gradient clipping; 0 is off */
    const int *program;         /* tree_finish: a sum for each round, in reverse Polish notation; see plan/tree.h */
    int rounds;                 /* how many there are; more than one: step.round tells which */
    int64_t column;             /* tree_finish: of staging, where the piece begins */
    int last;                   /* fold: of the rank's last leaf */
    int64_t word_bytes;         /* hash: bytes of an element */
    int audit;                  /* hash: only where step.audit asks for it */
    const int *order;           /* clip: where the sum of each chunk lies; NULL: in order of the chunks */
    int bucket;                 /* communication: of gradients or parameters, which bucket */
    int line;                   /* communication: what tells it from others under way (comm/comm.h) */
};

/* What changes from step to step. The host writes the first part before segments run; ops write the second part. It is
 * an ordinary buffer on the device, so that a captured graph bakes nothing in and a skip is a predicate. */
struct step_block {
    uint32_t seed;
    uint32_t step;
    uint32_t slot, micro; /* which leaf, which micro-batch of it */
    int32_t fold;         /* how many held sums the finished leaf takes up, see plan/tree.h */
    int32_t held;         /* how many sums are held before that */
    int32_t round;        /* ZeRO 2: which of this rank's leaves, counted from 0 */
    int32_t audit;        /* 1: the hash of this micro-batch's leaf is wanted */
    int64_t position;     /* generation: tokens already in the cache */
    int64_t row;          /* generation: the row whose logits are wanted */
    double grad_scale;    /* d(step loss)/d(micro-batch loss): the micro-batch's part of the step's targets */
    double weight;        /* grad_scale * slots * micro_batches_per_slot: 1 where all have the same number of targets */
    double lr;
    double loss_scale; /* gradients are this much too large until their norm is taken; 0 stands for 1 */
    int64_t adam_step; /* updates done so far; the next one is adam_step + 1 */

    double grad_norm;  /* by clip: L2 norm of the step's gradient */
    double clip_scale; /* by clip: what AdamW multiplies the gradient by, the loss scale taken out */
    int32_t skip;      /* by clip: 1 when a loss or the norm is not finite; the update then writes nothing */
};

struct kernel_args {
    struct view out[MAX_OUT], in[MAX_IN];
    const struct op_attr *attr;
    struct step_block *step;
    unsigned add;  /* bit i: out[i] is added to, not overwritten (weight gradients after the first) */
    char *scratch; /* one area a thread, `scratch_stride` bytes apart; the op's rule asks for its size */
    size_t scratch_stride;
};

#endif
