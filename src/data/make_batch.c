#include "data/make_batch.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

int make_batch_open(struct make_batch *batch, const struct tokenizer *tokenizer, int threads) {
    memset(batch, 0, sizeof *batch);
    batch->threads = threads > 0 ? threads : omp_get_max_threads();
    batch->encoders = calloc((size_t)batch->threads, sizeof(*batch->encoders));
    int status = batch->encoders ? 0 : fail(STATUS_FAILED, "out of memory");
    for (int i = 0; i < batch->threads && !status; i++) status = encoder_open(tokenizer, &batch->encoders[i]);
    if (status) make_batch_close(batch);
    return status;
}

void make_batch_close(struct make_batch *batch) {
    for (int i = 0; i < batch->threads && batch->encoders; i++) encoder_close(batch->encoders[i]);
    for (int i = 0; i < BATCH_PARTS; i++) ids_free(&batch->part[i].ids);
    free(batch->encoders);
    free(batch->bytes);
    memset(batch, 0, sizeof *batch);
}

int make_batch_has_room(const struct make_batch *batch) {
    return batch->parts < BATCH_PARTS && batch->used < BATCH_BYTES;
}

int make_batch_add(struct make_batch *batch, const struct document *d, int64_t number, int ends, int val) {
    int64_t needed = batch->used + d->length + d->prompt_length;
    if (!batch->bytes || needed > batch->room) {
        int64_t room = batch->room ? batch->room : 1 << 20;
        while (room < needed) room *= 2;
        char *grown = realloc(batch->bytes, (size_t)room);
        if (!grown) return fail(STATUS_FAILED, "%s: out of memory", d->file);
        batch->bytes = grown;
        batch->room = room;
    }
    struct part *part = &batch->part[batch->parts++];
    part->text = batch->used;
    part->length = d->length;
    part->prompt = batch->used + d->length;
    part->prompt_length = d->prompt_length;
    part->document = number;
    part->ends = ends;
    part->val = val;
    if (d->length) memcpy(batch->bytes + part->text, d->text, (size_t)d->length);
    if (d->prompt_length) memcpy(batch->bytes + part->prompt, d->prompt, (size_t)d->prompt_length);
    batch->used = needed;
    return 0;
}

static int encode(const struct make_batch *batch, struct encoder *encoder, struct part *part) {
    part->ids.count = 0;
    TRY(encoder_encode(encoder, batch->bytes + part->prompt, part->prompt_length, 0, &part->ids));
    part->prompt_ids = part->ids.count;
    return encoder_encode(encoder, batch->bytes + part->text, part->length, 0, &part->ids);
}

int make_batch_encode(struct make_batch *batch) {
    struct failure failure = {0};
#pragma omp parallel for schedule(dynamic) num_threads(batch->threads)
    for (int i = 0; i < batch->parts; i++) {
        failure_keep(&failure, encode(batch, batch->encoders[omp_get_thread_num()], &batch->part[i]));
    }
    return failure_raise(&failure);
}
