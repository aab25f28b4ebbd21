/* The plan: a training step as a flat array of coarse ops over planned buffers.
 *
 * The model emits forward ops (emit.h); passes do the rest, each in one file, with plan_check() after each:
 *
 *     emit forward -> backward -> recompute -> fuse -> accumulate -> overlap(reduce) -> update -> memory -> a backend loads and runs it
 *
 * Values are written once: an op's outputs are new buffers, except for the buffers that outlive a segment (parameters,
 * gradients, optimizer state, results). Everything that the step needs is known before it runs: memory, FLOPs, bytes on
 * the wire. plan_explain() prints it. */
#ifndef PLAN_PLAN_H
#define PLAN_PLAN_H

#include <stdint.h>
#include <stdio.h>

#include "base/dtype.h"
#include "base/kernel.h"
#include "base/trace.h"
#include "config/config.h"

enum op_kind {
#define OP(name, outs, ins, reuse, lane) OP_##name,
#include "plan/op.def"
#undef OP
    OP_COUNT
};

enum lane { LANE_COMPUTE, LANE_COMM };

/* A part of the plan that runs as one. A training step on a rank with slots [lo, hi) is
 *   for each slot but the last:  micro_first, micro_next (micro_batches_per_slot - 1 times), fold
 *   for the last:                the same, but its last micro-batch is micro_last, which folds and communicates too
 *   update
 * With ZeRO 2 every leaf goes to its owner at once: the last micro-batch of each slot is micro_last, and fold takes part in a
 * round for which this rank has no slot. plan_micro_segment() and plan_after_slot() tell which segment runs when. */
enum segment {
    SEG_MICRO_FIRST,
    SEG_MICRO_NEXT,
    SEG_MICRO_LAST,
    SEG_FOLD,
    SEG_UPDATE,
    SEG_EVAL,
    SEG_PREFILL,
    SEG_DECODE,
    SEG_GUARD, /* hashes of what all ranks have */
    SEG_SEAL,  /* hashes of what this rank alone has */
    SEG_START, /* once after the host has written parameters: their copy in the type that ops read */
    SEG_COUNT
};

enum buf_kind {
    BUF_PARAM,  /* in the store: outlives plans; checkpointed */
    BUF_COPY,   /* the parameters in the type that ops read, where it is another; lives as long as the plan */
    BUF_STATE,  /* in the store: optimizer moments (checkpointed), key/value cache */
    BUF_GRAD,   /* lives as long as the plan; added to by several segments */
    BUF_LEAF,   /* gradients of one leaf: a value, but several ops may write it */
    BUF_INPUT,  /* written by the host: tokens, targets */
    BUF_RESULT, /* read by the host: losses; lives as long as the plan */
    BUF_ACT,    /* a value inside one segment, placed in the arena by the memory pass */
};

enum { NAME_SIZE = 48, NONE = -1 };

struct buf {
    char name[NAME_SIZE];
    enum buf_kind kind;
    enum dtype type;
    int rank;
    int64_t dim[MAX_RANK];
    int alias;      /* the buffer that this one is a part of, or NONE */
    int64_t offset; /* bytes: in the alias; for others in their home (arena or store entry), set by the memory pass */
    int grad;       /* the buffer of its gradient, or NONE */
    int takes;      /* the dying value whose memory this one takes over, or NONE; set by the memory pass */
    int64_t first, last; /* from which op's place in time to which it is live; set by the memory pass */
};

struct op {
    enum op_kind kind;
    enum segment segment;
    int out[MAX_OUT], in[MAX_IN]; /* buffers; NONE where an optional one is left out */
    unsigned add;                 /* bit i: out[i] is added to */
    int layer;                    /* the block of the model that it belongs to, or NONE */
    int again;                    /* a clone that the recompute pass made */
    int aside;                    /* put between the ops of a micro-batch by a later pass */
    int64_t at;                   /* its place in time, by the memory pass: lifetimes are counted in these */
    struct op_attr attr;
};

/* A part of the flat space, in elements. */
struct span {
    int64_t begin, end;
};

struct param {
    char name[NAME_SIZE];
    int64_t elems, offset; /* in the flat parameter space, in elements */
    int buf;               /* what ops read: its part of the compute copy */
    int decay;             /* weight decay applies */
    double init_std;       /* initial values: normal(0, init_std); when it is 0 all are init_value */
    double init_value;
    int64_t used; /* elements from here on are padding: they start at 0 and stay there */
};

/* What a plan is made for. */
struct plan_request {
    unsigned segments; /* bit s: enum segment s is wanted */
    int rank, ranks;   /* who runs it, of how many */
    int batch, time;   /* one micro-batch: sequences, tokens a sequence */
    int prefill;       /* tokens that one prefill takes */
    int keep_logits;   /* the logits of eval are a result */
};

struct plan {
    struct plan_request request;
    struct buf *bufs;
    int n_bufs, cap_bufs;
    struct op *ops;
    int n_ops, cap_ops;
    struct param *params;
    int n_params, cap_params;
    int segment_begin[SEG_COUNT], segment_end[SEG_COUNT]; /* ranges of ops */

    int64_t decay_end;                          /* flat elements below it get weight decay */
    int64_t flat_elems;                         /* elements of the flat parameter space, padding included */
    int64_t param_elems;                        /* without padding: what people call the number of parameters */
    int slots, slot_lo, slot_hi, micro_batches; /* this rank's slots, micro-batches a slot */
    int slot_step;                              /* from one slot to the next: 1; with ZeRO 2 the number of ranks */
    int running_sum;                            /* leaves are added one after the other (dist.reduce: vendor) */
    int held;                                   /* most sums held at once while leaves are folded */
    int *program;                               /* the sum that tree_finish computes, */
    int rounds;                                 /* for each of so many rounds */

    /* How the flat space is cut for communication (shard.c). Rank r owns its piece of each bucket: plan_piece(). */
    int zero;             /* the ZeRO stage at work; 0 on one rank */
    struct span *buckets; /* in the order of the flat space; none on one rank */
    int n_buckets;
    int64_t *shard_at;   /* where this rank's piece of each bucket begins in buffers that hold its shard alone */
    int64_t shard_elems; /* of all its pieces; on one rank the whole space */
    int *order;          /* where the sum of squares of each chunk lies: those of a rank together; NULL: in order */
    int64_t *norms_at;   /* where those of each rank begin, and the end */
    int lines;           /* communication lines in use: 1 up to this (comm/comm.h) */

    int share_memory;    /* values that are never live together share memory */
    int graphs;          /* a device that can may record segments and launch each as one */
    int recompute_depth; /* for a budget: how many ops to drop; */
    int recompute_most;  /* by the recompute pass: how many there are to drop */

    /* Well-known buffers, NONE where the plan has no use for them. */
    int tokens, targets, logits[SEG_COUNT];
    int starts;    /* where each token's document begins in its sequence; see op.def */
    int step;      /* the step block (base/kernel.h), as bytes */
    int flat_copy; /* what ops read of the parameters: flat_params itself, or a copy in another type */
    int flat_params, flat_grads, flat_m, flat_v, held_sums, slot_losses, eval_loss;
    struct guarded {      /* what is hashed, in the order of the hashes in `guard`: */
        int buf, replica; /* all ranks have it; else only this one */
    } guarded[4];
    int n_guarded, guard; /* guard: u8[8 * n_guarded] */
    int audit;            /* u8[8 * buckets]: hashes of a leaf, where step.audit asks for them */
    /* ZeRO 2, where a leaf is one micro-batch: its gradients leave before the next, and each unit of them (whole parameters) has memory
     * only while it is needed. flat_grads is NONE then. */
    struct unit {
        struct span span;
        int buf;
    } * units;
    int n_units;
    int shard_grads; /* ZeRO 2: the sums of this rank's shard; else flat_grads holds them, each piece in its place */

    /* By the memory pass, in bytes. The arena is one allocation: persistent buffers first, then values. */
    int64_t persistent_bytes, arena_bytes, scratch_bytes; /* scratch: for each thread */
};

/* What outlives plans, so that train, eval and decode plans share weights: one entry for each BUF_PARAM or BUF_STATE
 * root buffer, found by name. A backend's load() adds the entries that are missing, zeroed, in its device's memory. */
struct store {
    struct store_entry {
        char name[NAME_SIZE];
        int64_t bytes;
        void *data;
    } entry[16];
    int count;
};

struct builder;

/* Builds a plan: `forward` emits the model's ops for each segment asked for, the passes do the rest. The caller owns
 * *plan and frees it with plan_free(). Errors: STATUS_USAGE with the reason. */
int plan_build(const struct config *config, const struct plan_request *request, int (*forward)(struct builder *builder),
               struct plan **plan);
void plan_free(struct plan *plan);

/* Every invariant that passes must keep; `after` names the pass in the message. */
int plan_check(const struct plan *plan, const char *after);

/* Passes (each a file of its own). */
int plan_backward(struct plan *plan, int first_op, int loss, int dloss); /* backward.c: appends gradient ops */
int plan_recompute(struct plan *plan, const struct config *config);      /* recompute.c: forward ops again */
int plan_fuse(struct plan *plan, enum segment segment, const struct config *config); /* fuse.c: of the newest segment */
int plan_accumulate(struct plan *plan); /* accumulate.c: micro_next, micro_last */
int plan_overlap(struct plan *plan,
                 const struct config *config);                   /* overlap.c: the sum over slots and ranks, and when */
int plan_update(struct plan *plan, const struct config *config); /* update.c: norm, clip, AdamW */
int plan_memory(struct plan *plan);                              /* memory.c: places every buffer */

/* What a timeline says of each op, by number; the caller's: free(). The plan must outlive it. */
int plan_labels(const struct plan *plan, struct trace_label **labels);

/* Prints the plan as a hand-written forward and backward would read. */
void plan_explain(const struct plan *plan, FILE *out);
/* Memory, FLOPs, bytes on the wire. `stages`: the same plan with each ZeRO stage, for comparison; NULL, or NULL where a stage cannot be.
 * `saving`: bytes that it takes to save a checkpoint, beside a copy. */
enum { ZERO_STAGES = 3 };
void plan_summary(const struct plan *plan, const struct config *config, struct plan *const *stages, int64_t saving,
                  FILE *out);
int plan_json(const struct plan *plan, const struct config *config, struct plan *const *stages, FILE *out);

/* Numbers of a plan. FLOPs: a multiply-add counts two. */
int64_t plan_op_flops(const struct plan *plan, const struct op *op);
int64_t plan_op_bytes(const struct plan *plan,
                      const struct op *op); /* read and written, as if no cache kept anything */
int64_t plan_flops(const struct plan *plan, enum segment segment);
int64_t plan_step_flops(const struct plan *plan);                     /* of this rank's share of a step */
int64_t plan_wire_bytes(const struct plan *plan);                     /* sent by this rank in one step */
int64_t plan_wire_of(const struct plan *plan, enum op_kind kind);     /* of these, by ops of one kind */
int64_t plan_kind_bytes(const struct plan *plan, enum buf_kind kind); /* of root buffers */
int64_t plan_store_bytes(const struct plan *plan);                    /* parameters and state */
int64_t plan_saved_bytes(
    const struct plan *plan); /* at most, by this rank in a checkpoint: its pieces of parameters and moments */
int64_t plan_total_bytes(const struct plan *plan); /* these and the arena: all but scratch */

/* Access. */
int64_t buf_elems(const struct buf *buf);
int64_t buf_bytes(const struct buf *buf);
int buf_root(const struct plan *plan, int buf, int64_t *offset); /* resolves aliases; *offset in bytes, may be NULL */
int plan_find(const struct plan *plan, const char *name);        /* a buffer by name, or NONE */
const char *segment_name(enum segment segment);

/* The slots of this rank, in the order in which it computes them: slot_lo + i * slot_step. */
int plan_n_slots(const struct plan *plan);
/* How many times a step goes through them: as often, or with ZeRO 2 once more where other ranks have one more. */
int plan_n_rounds(const struct plan *plan);
/* What computes a micro-batch of the i-th of them, and what runs once it is done (SEG_COUNT: nothing). With ZeRO 2 there may be one
 * round more than slots of this rank: i is then plan_n_slots(), and only the second is asked. */
enum segment plan_micro_segment(const struct plan *plan, int i, int micro);
enum segment plan_after_slot(const struct plan *plan, int i);

/* The piece of bucket `b` that `rank` owns; may be empty. */
struct span plan_piece(const struct plan *plan, int b, int rank);

/* Where the gradients of the range [begin, end) of the flat space lie: they begin at element *at of *buf. Returns where the part ends
 * that lies there in one piece; the caller goes on from there. */
int64_t plan_grads_at(const struct plan *plan, int64_t begin, int64_t end, int *buf, int64_t *at);
/* 1 if the buffer is gradients of a leaf, which begin at element *begin of the flat space. */
int plan_is_grads(const struct plan *plan, int buf, int64_t *begin);

/* What an op of LANE_COMM that moves bytes sends and receives: `bytes` at `offset` of buffer `buf`. `round` as in the step block. Calls
 * `each` for all, in an order that agrees between ranks. */
struct wire {
    int peer, receives, buf;
    int64_t offset, bytes;
};
void plan_wire(const struct plan *plan, const struct op *op, int round,
               void (*each)(void *context, const struct wire *wire), void *context);
/* The most messages that one op on this line sends, or receives. */
int plan_line_messages(const struct plan *plan, int line);

/* For passes and builders. An op with every operand left out; append a buffer, an op. */
struct op plan_new_op(enum op_kind kind);
int plan_add_buf(struct plan *plan, const struct buf *buf, int *id);
int plan_add_op(struct plan *plan, const struct op *op);

/* The static facts of op kinds, from op.def. */
struct op_info {
    const char *name;
    int outs, ins;
    unsigned reuse;
    enum lane lane;
};
extern const struct op_info op_info[OP_COUNT];

/* Whether the op puts messages on their way. */
static inline int op_starts(const struct op *op) { return op_info[op->kind].lane == LANE_COMM && op->kind != OP_wait; }

#endif
