#include "data/make.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "data/make_batch.h"

struct output {
    struct token_writer *writer;
    int64_t tokens, targets, documents;
};

struct make {
    const struct make_options *options;
    struct make_summary *summary;
    struct input *input;
    struct make_batch batch;
    struct output train, val;
    int single;       /* the input is one text: no end of text, and val is its last characters */
    int64_t cut;      /* single: the byte where val begins */
    int64_t position; /* single: bytes so far */
    int64_t documents;
};

static int open_output(struct make *m, const char *name, struct output *output) {
    const struct make_options *o = m->options;
    char path[4096];
    struct token_writer_options writer = {.path = path, .shard_tokens = o->shard_tokens, .end_of_text = o->end_of_text};
    if (snprintf(path, sizeof path, "%s/%s", o->folder, name) >= (int)sizeof path)
        return fail(STATUS_USAGE, "%.200s…: this path is too long", o->folder);
    writer.vocab = tokenizer_vocab(o->tokenizer);
    writer.mask = o->input.prompt_field != NULL;
    tokenizer_hash(o->tokenizer, writer.tokenizer);
    return token_writer_open(&writer, &output->writer);
}

/* In UTF-8 each character has one byte that is no continuation. */
static int starts_character(char byte) { return ((uint8_t)byte & 0xc0) != 0x80; }

/* Goes through the text until `limit` characters (-1: all); how many there were, in how many bytes. */
static int count_characters(const struct make_options *o, int64_t limit, int64_t *characters, int64_t *bytes) {
    struct input *input;
    struct document d;
    int more;
    *characters = *bytes = 0;
    TRY(input_open(&o->input, &input));
    int status = input_next(input, &d, &more), full = 0;
    while (!status && more && !full) {
        for (int64_t i = 0; i < d.length && !full; i++) {
            full = starts_character(d.text[i]) && *characters == limit;
            *characters += !full && starts_character(d.text[i]);
            *bytes += !full;
        }
        if (!full) status = input_next(input, &d, &more);
    }
    input_close(input);
    return status;
}

/* As nanoGPT cuts a text: the first int(n * (1 - val)) characters train. */
static int find_cut(struct make *m) {
    int64_t characters, bytes, before;
    m->cut = INT64_MAX;
    if (!m->single || m->options->val == 0) return 0;
    TRY(count_characters(m->options, -1, &characters, &bytes));
    return count_characters(m->options, (int64_t)((double)characters * (1 - m->options->val)), &before, &m->cut);
}

/* By its number, so that it depends on nothing else. */
static int goes_to_val(const struct make *m, int64_t document) {
    uint64_t hash = XXH3_64bits(&document, sizeof document);
    return !m->single && (double)(hash >> 11) * 0x1p-53 < m->options->val;
}

static int add_document(struct make *m, struct document *d) {
    int64_t number = m->documents;
    m->summary->bytes += d->length + d->prompt_length;
    m->documents += d->ends;
    if (!m->single) return make_batch_add(&m->batch, d, number, d->ends, goes_to_val(m, number));
    int64_t left = m->cut - m->position;
    m->position += d->length;
    if (left >= d->length) return make_batch_add(&m->batch, d, number, d->ends, 0);
    if (left <= 0) return make_batch_add(&m->batch, d, number, d->ends, 1);
    struct document rest = *d;
    d->length = left;
    rest.text += left;
    rest.length -= left;
    TRY(make_batch_add(&m->batch, d, number, 1, 0));
    return make_batch_add(&m->batch, &rest, number, rest.ends, 1);
}

/* Prompts do not count as targets; the response and what ends it do. */
static int write_part(struct make *m, struct part *part) {
    struct output *output = part->val ? &m->val : &m->train;
    int32_t end = m->single ? -1 : m->options->end_of_text;
    uint8_t *counts = NULL;
    if (part->ends && end >= 0) TRY(ids_append(&part->ids, end));
    if (m->options->input.prompt_field) {
        counts = malloc((size_t)part->ids.count + 1);
        if (!counts) return fail(STATUS_FAILED, "out of memory");
        for (int64_t i = 0; i < part->ids.count; i++) counts[i] = i >= part->prompt_ids;
    }
    output->tokens += part->ids.count;
    output->targets += part->ids.count - part->prompt_ids;
    output->documents += part->ends;
    int status = token_writer_add(output->writer, part->ids.id, counts, part->ids.count, part->ends);
    free(counts);
    if (part->ids.capacity > IDS_KEPT) ids_free(&part->ids);
    return status;
}

static int fill_batch(struct make *m, int *more) {
    struct document d;
    m->batch.parts = 0;
    m->batch.used = 0;
    /* A single text may be cut in two: room for both. */
    for (*more = 1; *more && make_batch_has_room(&m->batch) && m->batch.parts < BATCH_PARTS - 1;) {
        TRY(input_next(m->input, &d, more));
        if (*more) TRY(add_document(m, &d));
    }
    return 0;
}

static int run(struct make *m) {
    const struct make_options *o = m->options;
    for (int more = 1; more;) {
        TRY(fill_batch(m, &more));
        TRY(make_batch_encode(&m->batch));
        for (int i = 0; i < m->batch.parts; i++) TRY(write_part(m, &m->batch.part[i]));
        if (o->progress) o->progress(o->context, input_bytes_read(m->input), input_bytes(m->input));
    }
    return 0;
}

static int finish(struct make *m) {
    struct make_summary *s = m->summary;
    s->documents = m->documents;
    s->tokens = m->train.tokens;
    s->targets = m->train.targets + m->val.targets;
    s->val_tokens = m->val.tokens;
    s->val_documents = m->val.documents;
    s->bad_lines = input_bad_lines(m->input);
    snprintf(s->bad_line_texts, sizeof s->bad_line_texts, "%s", input_bad_line_texts(m->input));
    if (m->options->val > 0 && (!m->train.tokens || !m->val.tokens))
        return fail(STATUS_BAD_DATA, "--val: %s gets nothing of %" PRId64 " document%s; choose another fraction",
                    m->val.tokens ? m->options->name : "val", s->documents, s->documents == 1 ? "" : "s");
    TRY(token_writer_finish(m->train.writer, &s->shards));
    return m->val.writer ? token_writer_finish(m->val.writer, &s->val_shards) : 0;
}

static int open_all(struct make *m) {
    const struct make_options *o = m->options;
    TRY(input_open(&o->input, &m->input));
    m->summary->files = input_files(m->input);
    m->single = input_is_single_text(m->input);
    if (!m->single && o->end_of_text < 0)
        return fail(STATUS_USAGE,
                    "the tokenizer has no end-of-text token, which must stand between documents; name one with "
                    "--end-of-text");
    TRY(find_cut(m));
    TRY(make_batch_open(&m->batch, o->tokenizer, o->threads));
    TRY(open_output(m, o->name, &m->train));
    return o->val > 0 ? open_output(m, "val", &m->val) : 0;
}

int make_tokens(const struct make_options *options, struct make_summary *summary) {
    *summary = (struct make_summary){0};
    struct make *m = calloc(1, sizeof *m);
    if (!m) return fail(STATUS_FAILED, "out of memory");
    m->options = options;
    m->summary = summary;
    int status = open_all(m);
    if (!status) status = run(m);
    if (!status) status = finish(m);
    token_writer_close(m->train.writer);
    token_writer_close(m->val.writer);
    make_batch_close(&m->batch);
    input_close(m->input);
    free(m);
    return status;
}
