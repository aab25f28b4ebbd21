#include "data/windows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { READ = 4096 };

/* Packing: one walk through the tokens. */
struct packing {
    struct windows *windows;
    int64_t capacity;
    int64_t document; /* first token of the document at hand */
};

static int new_window(struct packing *p, int64_t begin) {
    struct windows *w = p->windows;
    if (w->count == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 1024;
        int64_t *grown = realloc(w->begin, (size_t)p->capacity * sizeof *grown);
        if (grown) w->begin = grown;
        int32_t *lengths = realloc(w->length, (size_t)p->capacity * sizeof *lengths);
        if (lengths) w->length = lengths;
        if (!grown || !lengths) return fail(STATUS_FAILED, "%s: out of memory for packing", w->source->name);
    }
    w->begin[w->count] = begin;
    w->length[w->count++] = 0;
    return 0;
}

/* The document [p->document, end) goes into the last window or a new one. A window's documents follow each other without a gap:
 * after one that was cut off there is no room anyway. */
static int place(struct packing *p, int64_t end) {
    struct windows *w = p->windows;
    int64_t length = end - p->document;
    if (length > w->window) {
        w->dropped += length - w->window;
        length = w->window;
    }
    if (length && (!w->count || w->length[w->count - 1] + length > w->window)) TRY(new_window(p, p->document));
    if (length) w->length[w->count - 1] += (int32_t)length;
    w->held += length;
    p->document = end;
    return 0;
}

static int pack(struct windows *w) {
    struct packing p = {.windows = w};
    int32_t part[READ];
    for (int64_t at = 0; at < w->source->count; at += READ) {
        int64_t n = w->source->count - at < READ ? w->source->count - at : READ;
        source_read(w->source, at, n, part);
        for (int64_t i = 0; i < n; i++)
            if (part[i] == w->source->end_of_text) TRY(place(&p, at + i + 1));
    }
    return place(&p, w->source->count);
}

int windows_open(struct windows *windows, const struct source *source, int64_t window, enum documents documents) {
    *windows = (struct windows){.source = source, .window = window, .documents = documents};
    if (documents != JOINED && source->end_of_text < 0)
        return fail(STATUS_BAD_DATA,
                    "%s: does not say which token ends a document, so documents cannot be told apart; use "
                    "data.documents: joined, or make the file with lockstep data make",
                    source->name);
    if (documents == PACKED) {
        int status = pack(windows);
        if (status) windows_close(windows);
        return status;
    }
    /* One window less than fits leaves room for every shift; a source that holds one window has just that. */
    windows->count = (source->count - window) / window;
    if (windows->count < 1) windows->count = 1;
    return 0;
}

void windows_close(struct windows *windows) {
    free(windows->begin);
    free(windows->length);
    *windows = (struct windows){0};
}

static int bad_token(const struct source *source, int64_t at, int32_t token, int64_t vocab) {
    return fail(STATUS_BAD_DATA,
                "%s: token %" PRId64 " is %" PRIu32 ", outside the model's vocabulary of %" PRId64
                "; the file is damaged, or was made with another tokenizer",
                source->name, source->first + at, (uint32_t)token, vocab);
}

/* Tokens [at, at + n) and the one after each, where the source has it. */
static int copy(const struct windows *w, int64_t at, int64_t n, int64_t vocab, int32_t *tokens, int32_t *targets) {
    const struct source *source = w->source;
    int64_t next = source->count - 1 - at < n ? source->count - 1 - at : n;
    source_read(source, at, n, tokens);
    if (next > 0) source_read(source, at + 1, next, targets);
    for (int64_t i = next > 0 ? next : 0; i < n; i++) targets[i] = -1;
    for (int64_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= vocab) return bad_token(source, at + i, tokens[i], vocab);
    if (next > 0 && (targets[next - 1] < 0 || targets[next - 1] >= vocab))
        return bad_token(source, at + next, targets[next - 1], vocab);
    if (next > 0) source_mask(source, at + 1, next, targets);
    return 0;
}

/* A document starts after each end of one; what follows an end is no target. */
static void keep_apart(const struct windows *w, int64_t n, const int32_t *tokens, int32_t *targets, int32_t *starts) {
    int32_t start = 0;
    for (int64_t i = 0; i < n; i++) {
        starts[i] = start;
        if (tokens[i] != w->source->end_of_text) continue;
        targets[i] = -1;
        start = (int32_t)i + 1;
    }
}

int windows_fill(const struct windows *w, int64_t at, int64_t vocab, struct batch *batch, int64_t row) {
    int32_t *tokens = batch->tokens + row * w->window, *targets = batch->targets + row * w->window;
    int64_t from = at, n = w->source->count - at < w->window ? w->source->count - at : w->window;
    if (w->documents == PACKED) {
        int inside = at < w->count;
        from = inside ? w->begin[at] : 0;
        n = inside ? w->length[at] : 0;
    }
    if (n > 0) TRY(copy(w, from, n, vocab, tokens, targets));
    if (n < 0) n = 0;
    if (w->documents == PACKED && n) targets[n - 1] = -1; /* its target lies in the next window */
    if (batch->starts) {
        int32_t *starts = batch->starts + row * w->window;
        memset(starts, 0, (size_t)w->window * sizeof *starts);
        if (w->documents != JOINED) keep_apart(w, n, tokens, targets, starts);
        for (int64_t i = n; i < w->window && w->documents != JOINED; i++) starts[i] = (int32_t)n;
    }
    for (int64_t i = n; i < w->window; i++) {
        tokens[i] = 0;
        targets[i] = -1;
    }
    for (int64_t i = 0; i < n; i++) batch->counted += targets[i] >= 0;
    return 0;
}

/* Windows that start in the source and have a target. */
static int64_t eval_windows(const struct windows *w) {
    return w->documents == PACKED ? w->count : (w->source->count - 1 + w->window - 1) / w->window;
}

int64_t windows_eval_batches(const struct windows *w, int64_t rows) { return (eval_windows(w) + rows - 1) / rows; }

int windows_eval_batch(const struct windows *w, int64_t rows, int64_t index, int64_t vocab, struct batch *batch) {
    batch->counted = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t number = index * rows + row;
        TRY(windows_fill(w, w->documents == PACKED ? number : number * w->window, vocab, batch, row));
    }
    return 0;
}
