/* Documents on their way through the encoders: some dozens at a time, so that memory is bounded and threads have work. Only
 * make*.c include this. */
#ifndef DATA_MAKE_BATCH_H
#define DATA_MAKE_BATCH_H

#include "data/input.h"
#include "tokenizer/tokenizer.h"

enum { BATCH_PARTS = 256, BATCH_BYTES = 64 << 20, IDS_KEPT = 1 << 16 };

struct part {
    int64_t text, length, prompt, prompt_length; /* offsets in the batch's bytes */
    int ends, val;
    int64_t document; /* its number */
    struct ids ids;   /* of the prompt, then of the text; not kept from batch to batch where there are many */
    int64_t prompt_ids;
};

struct make_batch {
    struct part part[BATCH_PARTS];
    int parts;
    char *bytes;
    int64_t used, room;
    struct encoder **encoders; /* one a thread */
    int threads;
};

int make_batch_open(struct make_batch *batch, const struct tokenizer *tokenizer, int threads);
void make_batch_close(struct make_batch *batch);

/* Whether another document fits. */
int make_batch_has_room(const struct make_batch *batch);

/* Copies a document or a part of one. */
int make_batch_add(struct make_batch *batch, const struct document *document, int64_t number, int ends, int val);

/* Encodes all parts, prompts and texts apart. */
int make_batch_encode(struct make_batch *batch);

#endif
