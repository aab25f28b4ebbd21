#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokenizer/tables.h"

enum {
    CACHE_BITS = 15,
    CACHED_BYTES = 22, /* of a piece, */
    CACHED_IDS = 8,    /* and of its ids: so that an entry fills a cache line */
    SHORT_PIECE = 48,  /* bytes up to which a scan finds the next merge faster than a heap */
};

struct cache_entry {
    uint64_t hash;
    uint8_t length, count; /* length 0: free */
    char piece[CACHED_BYTES];
    int32_t id[CACHED_IDS];
};

/* A candidate of a long piece: the neighbours at `at` and the one after it, if they still are what they were. */
struct candidate {
    int32_t rank, result;
    int64_t at;
    int32_t left, right;
};

struct encoder {
    const struct tokenizer *tokenizer;
    struct splitter *splitter;
    struct cache_entry *cache;
    /* Long pieces, `room` bytes: tokens as a linked list over the places of their first bytes; and the heap. */
    int32_t *token;
    int64_t *next, *previous;
    struct candidate *heap;
    int64_t room, candidates;
};

int encoder_open(const struct tokenizer *tokenizer, struct encoder **encoder) {
    const struct vocabulary *v = tokenizer_vocabulary(tokenizer);
    struct encoder *e = *encoder = calloc(1, sizeof *e);
    if (!e) return fail(STATUS_FAILED, "out of memory for an encoder");
    e->tokenizer = tokenizer;
    e->cache = calloc((size_t)1 << CACHE_BITS, sizeof *e->cache);
    int status = e->cache ? splitter_open(v->split, v->pattern, &e->splitter)
                          : fail(STATUS_FAILED, "out of memory for an encoder");
    if (!status) return 0;
    encoder_close(e);
    *encoder = NULL;
    return status;
}

void encoder_close(struct encoder *e) {
    if (!e) return;
    splitter_close(e->splitter);
    free(e->cache);
    free(e->token);
    free(e->next);
    free(e->previous);
    free(e->heap);
    free(e);
}

static int32_t rank_of(const struct tokenizer *t, int32_t left, int32_t right) {
    const struct pair_entry *entry = find_pair(t, left, right);
    return entry ? entry->rank : NO_RANK;
}

/* A short piece: scans for the lowest rank, the leftmost first. Gives the number of ids. */
static int merge_short(const struct tokenizer *t, const uint8_t *piece, int n, int32_t *id) {
    int32_t rank[SHORT_PIECE];
    for (int i = 0; i < n; i++) id[i] = t->vocabulary.byte_id[piece[i]];
    for (int i = 0; i + 1 < n; i++) rank[i] = rank_of(t, id[i], id[i + 1]);
    for (;;) {
        int best = -1;
        int32_t lowest = NO_RANK;
        for (int i = 0; i + 1 < n; i++)
            if (rank[i] < lowest) {
                lowest = rank[i];
                best = i;
            }
        if (best < 0) return n;
        id[best] = find_pair(t, id[best], id[best + 1])->result;
        n--;
        for (int i = best + 1; i < n; i++) {
            id[i] = id[i + 1];
            rank[i] = rank[i + 1];
        }
        if (best + 1 < n) rank[best] = rank_of(t, id[best], id[best + 1]);
        if (best > 0) rank[best - 1] = rank_of(t, id[best - 1], id[best]);
    }
}

static int before(const struct candidate *a, const struct candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(struct encoder *e, int64_t at, int64_t after) {
    const struct pair_entry *entry = find_pair(e->tokenizer, e->token[at], e->token[after]);
    if (!entry) return;
    struct candidate new = {entry->rank, entry->result, at, e->token[at], e->token[after]};
    int64_t i = e->candidates++;
    for (; i > 0 && before(&new, &e->heap[(i - 1) / 2]); i = (i - 1) / 2) e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = new;
}

static struct candidate pop(struct encoder *e) {
    struct candidate top = e->heap[0], last = e->heap[--e->candidates];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < e->candidates; i = child) {
        if (child + 1 < e->candidates && before(&e->heap[child + 1], &e->heap[child])) child++;
        if (!before(&e->heap[child], &last)) break;
        e->heap[i] = e->heap[child];
    }
    e->heap[i] = last;
    return top;
}

/* Each merge takes one candidate and makes at most two, so that three a byte are never exceeded. */
static int make_room(struct encoder *e, int64_t n) {
    if (n <= e->room) return 0;
    int64_t room = 4096;
    while (room < n) room *= 2;
    free(e->token);
    free(e->next);
    free(e->previous);
    free(e->heap);
    e->room = room;
    e->token = malloc((size_t)room * sizeof *e->token);
    e->next = malloc((size_t)room * sizeof *e->next);
    e->previous = malloc((size_t)room * sizeof *e->previous);
    e->heap = malloc((size_t)room * 3 * sizeof *e->heap);
    if (e->token && e->next && e->previous && e->heap) return 0;
    e->room = 0;
    return fail(STATUS_FAILED, "out of memory for a word of %lld bytes", (long long)n);
}

/* Merges the candidate's two tokens, unless one of them is another by now. A place that was merged away has token -1. */
static void merge_candidate(struct encoder *e, const struct candidate *c, int64_t n) {
    int64_t at = c->at, after = e->next[at];
    if (e->token[at] != c->left || after >= n || e->token[after] != c->right) return;
    e->token[at] = c->result;
    e->token[after] = -1;
    e->next[at] = e->next[after];
    if (e->next[at] < n) {
        e->previous[e->next[at]] = at;
        push(e, at, e->next[at]);
    }
    if (e->previous[at] >= 0) push(e, e->previous[at], at);
}

static int merge_long(struct encoder *e, const uint8_t *piece, int64_t n, struct ids *ids) {
    TRY(make_room(e, n));
    e->candidates = 0;
    for (int64_t i = 0; i < n; i++) {
        e->token[i] = e->tokenizer->vocabulary.byte_id[piece[i]];
        e->next[i] = i + 1;
        e->previous[i] = i - 1;
    }
    for (int64_t i = 0; i + 1 < n; i++) push(e, i, i + 1);
    while (e->candidates) {
        struct candidate c = pop(e);
        merge_candidate(e, &c, n);
    }
    TRY(ids_reserve(ids, n));
    for (int64_t i = 0; i < n; i = e->next[i]) ids->id[ids->count++] = e->token[i];
    return 0;
}

/* `ids` has room for the piece. */
static void encode_short(struct encoder *e, const char *piece, int64_t n, struct ids *ids) {
    const struct tokenizer *t = e->tokenizer;
    int32_t *out = ids->id + ids->count;
    uint64_t hash = XXH3_64bits(piece, (size_t)n);
    struct cache_entry *entry = &e->cache[hash >> (64 - CACHE_BITS)];
    if (entry->hash == hash && entry->length == n && !memcmp(entry->piece, piece, (size_t)n)) {
        for (int i = 0; i < CACHED_IDS; i++) out[i] = entry->id[i];
        ids->count += entry->count;
        return;
    }
    int count = merge_short(t, (const uint8_t *)piece, (int)n, out);
    ids->count += count;
    if (n > CACHED_BYTES || count > CACHED_IDS) return;
    entry->hash = hash;
    entry->length = (uint8_t)n;
    entry->count = (uint8_t)count;
    memcpy(entry->piece, piece, (size_t)n);
    memcpy(entry->id, out, (size_t)count * sizeof *out);
}

static int encode_piece(struct encoder *e, const char *piece, int64_t n, struct ids *ids) {
    const struct tokenizer *t = e->tokenizer;
    if (t->vocabulary.whole_pieces) {
        int32_t id = find_token(&t->vocabulary, &t->tokens, piece, n);
        if (id >= 0) return ids_append(ids, id);
    }
    if (n > SHORT_PIECE) return merge_long(e, (const uint8_t *)piece, n, ids);
    if (ids->capacity - ids->count < SHORT_PIECE) TRY(ids_reserve(ids, SHORT_PIECE));
    encode_short(e, piece, n, ids);
    return 0;
}

static int encode_bytes(const struct vocabulary *v, const char *text, int64_t length, struct ids *ids) {
    TRY(ids_reserve(ids, length));
    for (int64_t i = 0; i < length; i++) ids->id[ids->count++] = v->byte_id[(uint8_t)text[i]];
    return 0;
}

/* Text without special tokens. */
static int encode_text(struct encoder *e, const char *text, int64_t length, struct ids *ids) {
    const struct vocabulary *v = &e->tokenizer->vocabulary;
    const char *piece;
    int64_t n;
    int more;
    if (v->split == SPLIT_BYTES) return encode_bytes(v, text, length, ids);
    splitter_begin(e->splitter, text, length);
    while ((more = splitter_next(e->splitter, &piece, &n)) > 0) TRY(encode_piece(e, piece, n, ids));
    return more ? STATUS_BAD_DATA : 0;
}

/* The special token at `text`, the longest one, or -1. */
static int32_t special_at(const struct tokenizer *t, const char *text, int64_t left) {
    for (int i = 0; i < t->n_special; i++) {
        int64_t length;
        const uint8_t *bytes = tokenizer_bytes(t, t->special_ids[i], &length);
        if (length <= left && !memcmp(bytes, text, (size_t)length)) return t->special_ids[i];
    }
    return -1;
}

int encoder_encode(struct encoder *e, const char *text, int64_t length, int specials, struct ids *ids) {
    const struct tokenizer *t = e->tokenizer;
    int64_t begin = 0, size;
    for (int64_t at = 0; specials && at < length;) {
        int32_t id = t->special_first[(uint8_t)text[at]] ? special_at(t, text + at, length - at) : -1;
        if (id < 0) {
            at++;
            continue;
        }
        TRY(encode_text(e, text + begin, at - begin, ids));
        TRY(ids_append(ids, id));
        tokenizer_bytes(t, id, &size);
        begin = at += size;
    }
    return encode_text(e, text + begin, length - begin, ids);
}
