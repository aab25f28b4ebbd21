/* How a source is cut into sequences of `window` tokens, and how documents that share one are kept apart.
 *
 *   joined   windows follow each other through the row of tokens; documents in one window see each other
 *   apart    the same windows; `starts` says where each token's document begins, so that attention and positions stay
 *            inside it, and the token after a document's end is no target
 *   packed   each window is filled with whole documents, one after the other, as many as fit; the rest is padding that is
 *            neither seen nor a target. Documents longer than a window are cut off at its end. Otherwise as `apart` */
#ifndef DATA_WINDOWS_H
#define DATA_WINDOWS_H

#include "data/source.h"

enum documents { JOINED, APART, PACKED };

struct windows {
    const struct source *source;
    enum documents documents;
    int64_t window;
    int64_t
        count; /* packed: how many there are; else how many fit one after the other, whatever the first one's place */
    int64_t *begin;        /* packed: [count], the first token of each, */
    int32_t *length;       /* and how many it holds */
    int64_t held, dropped; /* packed: tokens in windows; tokens that were cut off */
};

/* One micro-batch: [batch * window] each. `starts` may be NULL where documents are joined; if it is there, it says that a sequence is one
 * document. */
struct batch {
    int32_t *tokens, *targets, *starts; /* a target of -1 does not count */
    int64_t counted;                    /* targets that count */
};

/* `source` stays the caller's and must hold a window and the token after it. Packing reads all of it once. */
int windows_open(struct windows *windows, const struct source *source, int64_t window, enum documents documents);
void windows_close(struct windows *windows);

/* Fills row `row` of a batch from token `at` on (joined, apart) or with window number `at` (packed). Beyond the end of the source
 * tokens are padding. Fails when a token is not below `vocab`. */
int windows_fill(const struct windows *windows, int64_t at, int64_t vocab, struct batch *batch, int64_t row);

/* Evaluation walks all windows in order, the last one shorter. How many batches of `rows` rows cover the source; and batch number `index`. */
int64_t windows_eval_batches(const struct windows *windows, int64_t rows);
int windows_eval_batch(const struct windows *windows, int64_t rows, int64_t index, int64_t vocab, struct batch *batch);

#endif
