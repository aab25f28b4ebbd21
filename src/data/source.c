#include "data/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "data/source_files.h"
#include "data/stories.h"
#include "tokenizer/vocabulary.h"

#include <xxhash.h>

enum { STORIES_BYTES = 4000000, STORIES_SEED = 1, READ = 4096, SEARCH = 1 << 24 };
static const uint8_t unknown[TOKENS_HASH];

int source_is_stories(const char *spec) { return !strcmp(spec, "stories") || !strncmp(spec, "stories:", 8); }

int source_parse_stories(const char *spec, int64_t *bytes, uint64_t *seed) {
    long long b = STORIES_BYTES;
    unsigned long long s = STORIES_SEED;
    char rest;
    if (strchr(spec, '-')) return fail(STATUS_USAGE, "data: '%s': a number is negative", spec);
    int fields = sscanf(spec, "stories:%lld:%llu%c", &b, &s, &rest);
    if (strcmp(spec, "stories") && (fields < 1 || fields > 2 || (fields == 1 && strchr(spec + 8, ':'))))
        return fail(STATUS_USAGE, "data: '%s' is not 'stories', 'stories:BYTES' or 'stories:BYTES:SEED'", spec);
    if (b < 1) return fail(STATUS_USAGE, "data: '%s': the number of bytes must be positive", spec);
    *bytes = b;
    *seed = s;
    return 0;
}

static int make_room(struct source *source, int shards) {
    source->shard = calloc((size_t)shards, sizeof *source->shard);
    source->shard_begin = calloc((size_t)shards + 1, sizeof *source->shard_begin);
    return source->shard && source->shard_begin ? 0 : fail(STATUS_FAILED, "%s: out of memory", source->name);
}

static int is_bytes(const struct tokenizer *tokenizer) { return tokenizer_vocabulary(tokenizer)->split == SPLIT_BYTES; }

/* In place of a text its tokens, in memory. They have no end of text: a text is one document. */
static int encode(struct source *source, struct tokens *text, const struct tokenizer *tokenizer) {
    struct encoder *encoder;
    struct ids ids = {0};
    if (text->count > SOURCE_TEXT_MAX)
        return fail(STATUS_BAD_DATA,
                    "%s: is a text of %" PRId64 " bytes, more than is encoded in memory; make token files of it first: "
                    "lockstep data make --tokenizer T --out DIR %s",
                    source->name, text->count, source->name);
    TRY(encoder_open(tokenizer, &encoder));
    int status = encoder_encode(encoder, text->data, text->count, 0, &ids);
    encoder_close(encoder);
    if (status) {
        ids_free(&ids);
        return status;
    }
    struct tokens made = {.format = TOKENS_BYTES, .width = 4, .count = ids.count, .end_of_text = -1, .data = ids.id};
    memcpy(made.name, text->name, sizeof made.name);
    made.vocab = tokenizer_vocab(tokenizer);
    tokenizer_hash(tokenizer, made.tokenizer);
    tokens_close(text);
    *text = made;
    free(source->made);
    source->made = ids.id;
    return 0;
}

/* A text is what the tokenizer makes of it. */
static int take_text(struct source *source, struct tokens *text, const struct tokenizer *tokenizer) {
    if (!tokenizer)
        return fail(STATUS_BAD_DATA,
                    "%s: is a text, and it is not known which tokenizer encodes it; name one "
                    "(data.tokenizer, or --tokenizer)",
                    source->name);
    return is_bytes(tokenizer) ? 0 : encode(source, text, tokenizer);
}

static int make_stories(struct source *source, const char *spec, const struct tokenizer *tokenizer) {
    int64_t bytes, length;
    uint64_t seed;
    double bits;
    char *text;
    TRY(source_parse_stories(spec, &bytes, &seed));
    snprintf(source->name, sizeof source->name, "stories:%" PRId64 ":%" PRIu64, bytes, seed);
    TRY(make_room(source, 1));
    TRY(stories_make(bytes, seed, &text, &length));
    source->made = text;
    source->shards = 1;
    source->shard[0] = (struct tokens){.format = TOKENS_BYTES, .width = 1, .count = length, .vocab = 256};
    source->shard[0].end_of_text = -1;
    source->shard[0].data = text;
    TRY(stories_bits(text, length, &bits));
    TRY(take_text(source, &source->shard[0], tokenizer));
    source->floor_nats = bits * 0.69314718055994530942 / (double)source->shard[0].count;
    return 0;
}

/* A text must be alone in its source: files that follow each other without a sign between them are no one text. */
static int open_shard(struct source *source, const char *path, int alone, const struct tokenizer *tokenizer) {
    struct tokens *shard = &source->shard[source->shards];
    TRY(tokens_open(shard, path));
    source->shards++;
    if (shard->format == TOKENS_BYTES && !alone)
        return fail(STATUS_BAD_DATA,
                    "%s: is a text beside other files; make one set of token files of them: lockstep data make --out "
                    "DIR FILES…",
                    path);
    return shard->format == TOKENS_BYTES ? take_text(source, shard, tokenizer) : 0;
}

static int open_files(struct source *source, const char *spec, const struct tokenizer *tokenizer) {
    struct file_list files;
    snprintf(source->name, sizeof source->name, "%s", spec);
    TRY(source_files(spec, &files));
    int status = make_room(source, files.count);
    for (int i = 0; i < files.count && !status; i++)
        status = open_shard(source, files.path[i], files.count == 1, tokenizer);
    source_files_free(&files);
    return status;
}

/* A shard joins the row: it must not speak of another tokenizer than those before it, or than the one given. */
static int join_tokenizer(struct source *source, const struct tokens *shard, const struct tokenizer *tokenizer) {
    uint8_t meant[TOKENS_HASH] = {0};
    if (tokenizer) tokenizer_hash(tokenizer, meant);
    if (!memcmp(shard->tokenizer, unknown, TOKENS_HASH)) return 0;
    if (tokenizer && memcmp(shard->tokenizer, meant, TOKENS_HASH))
        return fail(STATUS_BAD_DATA,
                    "%s: was made with another tokenizer than the one in use (hash %02x%02x%02x%02x…, not "
                    "%02x%02x%02x%02x…); name the one that it was made with in data.tokenizer, or make the file again",
                    shard->name, shard->tokenizer[0], shard->tokenizer[1], shard->tokenizer[2], shard->tokenizer[3],
                    meant[0], meant[1], meant[2], meant[3]);
    if (!memcmp(source->tokenizer, unknown, TOKENS_HASH))
        memcpy(source->tokenizer, shard->tokenizer, TOKENS_HASH);
    else if (memcmp(source->tokenizer, shard->tokenizer, TOKENS_HASH))
        return fail(STATUS_BAD_DATA, "%s: was made with another tokenizer than %s", shard->name, source->shard[0].name);
    return 0;
}

static int join(struct source *source, const struct tokenizer *tokenizer) {
    source->end_of_text = -1;
    for (int i = 0; i < source->shards; i++) {
        const struct tokens *shard = &source->shard[i];
        source->shard_begin[i + 1] = source->shard_begin[i] + shard->count;
        if (shard->vocab > source->vocab) source->vocab = shard->vocab;
        if (shard->mask) source->masked = 1;
        if (shard->end_of_text >= 0)
            source->end_of_text = shard->end_of_text;
        else if (tokenizer && shard->format != TOKENS_BYTES) /* a text has no sign for it */
            source->end_of_text = tokenizer_end_of_text(tokenizer);
        TRY(join_tokenizer(source, shard, tokenizer));
    }
    source->count = source->shard_begin[source->shards];
    return 0;
}

int source_open(struct source *source, const char *spec, const struct tokenizer *tokenizer) {
    memset(source, 0, sizeof *source);
    source->weight = 1;
    source->floor_nats = -1;
    int status = source_is_stories(spec) ? make_stories(source, spec, tokenizer) : open_files(source, spec, tokenizer);
    if (!status) status = join(source, tokenizer);
    if (status) source_close(source);
    return status;
}

void source_close(struct source *source) {
    for (int i = 0; i < source->shards && !source->borrowed; i++) tokens_close(&source->shard[i]);
    if (!source->borrowed) {
        free(source->shard);
        free(source->shard_begin);
        free(source->made);
    }
    memset(source, 0, sizeof *source);
}

/* The place after the first end of a document at or after `at` - 1, or `at` where there is none within SEARCH tokens. */
static int64_t after_document(const struct source *source, int64_t at) {
    int32_t part[READ];
    int64_t end = source->count - 1 < at + SEARCH ? source->count - 1 : at + SEARCH;
    for (int64_t from = at > 0 ? at - 1 : 0; from < end; from += READ) {
        int64_t n = end - from < READ ? end - from : READ;
        source_read(source, from, n, part);
        for (int64_t i = 0; i < n; i++)
            if (part[i] == source->end_of_text) return from + i + 1;
    }
    return at;
}

void source_split(struct source *source, double fraction, struct source *rest) {
    int64_t cut = (int64_t)((1 - fraction) * (double)source->count);
    if (source->end_of_text >= 0) cut = after_document(source, cut);
    *rest = *source;
    rest->borrowed = 1;
    rest->made = NULL;
    rest->first += cut;
    rest->count -= cut;
    snprintf(rest->name, sizeof rest->name, "%.1000s (its last %g%%)", source->name, 100 * fraction);
    source->count = cut;
}

/* The shard that holds token `at` of all shards. */
static int find_shard(const struct source *source, int64_t at) {
    int low = 0, high = source->shards - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (source->shard_begin[middle] <= at)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

void source_read(const struct source *source, int64_t from, int64_t n, int32_t *out) {
    int64_t at = source->first + from;
    for (int i = find_shard(source, at); n > 0; i++) {
        int64_t inside = at - source->shard_begin[i], part = source->shard[i].count - inside;
        if (part > n) part = n;
        tokens_read(&source->shard[i], inside, part, out);
        at += part;
        out += part;
        n -= part;
    }
}

void source_mask(const struct source *source, int64_t from, int64_t n, int32_t *targets) {
    int64_t at = source->first + from;
    int shard = find_shard(source, at);
    for (int64_t i = 0; i < n && source->masked; i++, at++) {
        while (at >= source->shard_begin[shard + 1]) shard++;
        if (!tokens_counts(&source->shard[shard], at - source->shard_begin[shard])) targets[i] = -1;
    }
}

int source_check_vocab(const struct source *source, int64_t vocab) {
    for (int i = 0; i < source->shards; i++) {
        const struct tokens *shard = &source->shard[i];
        if (shard->vocab <= vocab) continue;
        if (shard->width > 1)
            return fail(STATUS_BAD_DATA,
                        "%s: its vocabulary has %" PRId64 " tokens, but model.vocab is %" PRId64
                        "; set model.vocab to %" PRId64 " or more",
                        source->name, shard->vocab, vocab, shard->vocab);
        const uint8_t *bytes = shard->data;
        for (int64_t k = 0; k < shard->count; k++)
            if (bytes[k] >= vocab)
                return fail(STATUS_BAD_DATA,
                            "%s: byte %" PRId64 " is %d, but model.vocab is %" PRId64 "; bytes need model.vocab: 256",
                            source->name, k, bytes[k], vocab);
    }
    return 0;
}

int source_check_length(const struct source *source, int64_t window) {
    if (source->count > window) return 0;
    return fail(STATUS_BAD_DATA,
                "%s: has %" PRId64 " tokens, but one sequence takes %" PRId64
                " and the one after it; use a longer text or a smaller train.seq_len or model.context",
                source->name, source->count, window);
}

enum { FINGERPRINT_PARTS = 256, FINGERPRINT_BYTES = 4096 };

static void hash_shard(XXH3_state_t *state, const struct tokens *shard) {
    int64_t bytes = shard->count * shard->width, step = bytes / FINGERPRINT_PARTS;
    XXH3_128bits_update(state, &shard->count, sizeof shard->count);
    if (shard->checksum) {
        XXH3_128bits_update(state, &shard->checksum, sizeof shard->checksum);
        return;
    }
    if (step < FINGERPRINT_BYTES) step = FINGERPRINT_BYTES;
    for (int64_t at = 0; at < bytes; at += step)
        XXH3_128bits_update(state, (const char *)shard->data + at,
                            (size_t)(bytes - at < FINGERPRINT_BYTES ? bytes - at : FINGERPRINT_BYTES));
}

int source_fingerprint(const struct source *source, char hex[33]) {
    XXH3_state_t *state = XXH3_createState();
    if (!state) return fail(STATUS_FAILED, "%s: out of memory", source->name);
    XXH3_128bits_reset(state);
    for (int i = 0; i < source->shards; i++) hash_shard(state, &source->shard[i]);
    int64_t part[2] = {source->first, source->count};
    XXH3_128bits_update(state, part, sizeof part);
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    snprintf(hex, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64, (uint64_t)hash.low64);
    return 0;
}
