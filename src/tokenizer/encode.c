#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokenizer/tables.h"

enum {
    CACHE_BITS = 15,
    CACHED_BYTES = 16, /* of a piece, */
    CACHED_IDS = 11,   /* and of its ids: so that an entry is a cache line */
    SHORT_PIECE = 48,  /* bytes up to which a scan finds the next merge faster than a heap */
    CACHE_LINE = 64,
    CHILDREN = 4, /* of a place of the heap */
};

/* A piece of up to 16 bytes as two numbers: together with its length they are its bytes. */
struct piece_key {
    uint64_t low, high;
};

struct cache_entry {
    struct piece_key key;
    uint8_t length, count; /* length 0: free */
    int32_t id[CACHED_IDS];
};

struct encoder {
    const struct tokenizer *tokenizer;
    struct splitter *splitter;
    struct cache_entry *cache;
    /* Long pieces, `room` bytes: tokens as a linked list over the places of their first bytes, and a heap of
     * rank << 32 | place, so that the smallest is what is merged next. An entry whose rank is no longer that of its place
     * is stale. */
    int32_t *token, *next, *previous, *rank;
    uint64_t *heap;
    int64_t room, waiting;
    /* Special tokens: the lengths that they have, longest first, and which two bytes they begin with. */
    int64_t *special_length;
    int n_special_lengths;
    uint8_t special_pair[65536 / 8];
};

static void mark_pair(struct encoder *e, unsigned first, unsigned second) {
    unsigned pair = first << 8 | second;
    e->special_pair[pair / 8] |= (uint8_t)(1 << pair % 8);
}

static int index_specials(struct encoder *e) {
    const struct tokenizer *t = e->tokenizer;
    e->special_length = malloc(((size_t)t->n_special + 1) * sizeof *e->special_length);
    if (!e->special_length) return fail(STATUS_FAILED, "out of memory for an encoder");
    for (int i = 0; i < t->n_special; i++) {
        int64_t length;
        const uint8_t *bytes = tokenizer_bytes(t, t->special_ids[i], &length);
        if (!e->n_special_lengths || e->special_length[e->n_special_lengths - 1] != length)
            e->special_length[e->n_special_lengths++] = length;
        for (unsigned second = 0; second < 256; second++)
            if (length == 1 || second == bytes[1]) mark_pair(e, bytes[0], second);
    }
    return 0;
}

int encoder_open(const struct tokenizer *tokenizer, struct encoder **encoder) {
    const struct vocabulary *v = tokenizer_vocabulary(tokenizer);
    struct encoder *e = *encoder = calloc(1, sizeof *e);
    if (!e) return fail(STATUS_FAILED, "out of memory for an encoder");
    size_t bytes = sizeof *e->cache << CACHE_BITS;
    e->tokenizer = tokenizer;
    e->cache = aligned_alloc(CACHE_LINE, bytes);
    if (e->cache) memset(e->cache, 0, bytes);
    int status = e->cache ? splitter_open(v->split, v->pattern, &e->splitter)
                          : fail(STATUS_FAILED, "out of memory for an encoder");
    if (!status) status = index_specials(e);
    if (!status) return 0;
    encoder_close(e);
    *encoder = NULL;
    return status;
}

static void free_long(struct encoder *e) {
    free(e->token);
    free(e->next);
    free(e->previous);
    free(e->rank);
    free(e->heap);
}

void encoder_close(struct encoder *e) {
    if (!e) return;
    splitter_close(e->splitter);
    free_long(e);
    free(e->special_length);
    free(e->cache);
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

/* Room for a piece of n bytes. The heap begins with n - 1 entries; each of at most n - 1 merges takes one and adds two. */
static int make_room(struct encoder *e, int64_t n) {
    if (n <= e->room) return 0;
    if (n >= INT32_MAX)
        return fail(STATUS_BAD_DATA, "a word of %lld bytes is too long: cut the text into documents", (long long)n);
    int64_t room = n + n / 4 + 4096;
    free_long(e);
    e->token = malloc((size_t)room * sizeof *e->token);
    e->next = malloc((size_t)room * sizeof *e->next);
    e->previous = malloc((size_t)room * sizeof *e->previous);
    e->rank = malloc((size_t)room * sizeof *e->rank);
    e->heap = malloc((size_t)room * 2 * sizeof *e->heap);
    e->room = e->token && e->next && e->previous && e->rank && e->heap ? room : 0;
    return e->room ? 0 : fail(STATUS_FAILED, "out of memory for a word of %lld bytes", (long long)n);
}

/* Lets `entry` sink from place i of the heap. It is CHILDREN wide: fewer levels miss the processor's caches less often. */
static void sink(struct encoder *e, int64_t i, uint64_t entry) {
    uint64_t *heap = e->heap;
    for (int64_t child; (child = CHILDREN * i + 1) < e->waiting; i = child) {
        int64_t end = child + CHILDREN < e->waiting ? child + CHILDREN : e->waiting, least = child;
        for (int64_t k = child + 1; k < end; k++) least = heap[k] < heap[least] ? k : least;
        child = least;
        if (heap[child] >= entry) break;
        heap[i] = heap[child];
    }
    heap[i] = entry;
}

static uint64_t pop(struct encoder *e) {
    uint64_t top = e->heap[0], last = e->heap[--e->waiting];
    if (e->waiting) sink(e, 0, last);
    return top;
}

static void push(struct encoder *e, uint64_t entry) {
    uint64_t *heap = e->heap;
    int64_t i = e->waiting++;
    for (; i > 0 && entry < heap[(i - 1) / CHILDREN]; i = (i - 1) / CHILDREN) heap[i] = heap[(i - 1) / CHILDREN];
    heap[i] = entry;
}

static uint64_t entry_of(int32_t rank, int64_t at) { return (uint64_t)rank << 32 | (uint64_t)at; }

/* Looks up the pair at `at` anew. */
static void rank_again(struct encoder *e, int32_t at, int64_t n) {
    int32_t after = e->next[at];
    e->rank[at] = after < n ? rank_of(e->tokenizer, e->token[at], e->token[after]) : NO_RANK;
    if (e->rank[at] != NO_RANK) push(e, entry_of(e->rank[at], at));
}

static void merge_at(struct encoder *e, int32_t at, int64_t n) {
    int32_t after = e->next[at];
    e->token[at] = find_pair(e->tokenizer, e->token[at], e->token[after])->result;
    e->rank[after] = NO_RANK;
    e->next[at] = e->next[after];
    if (e->next[at] < n) e->previous[e->next[at]] = at;
    rank_again(e, at, n);
    if (e->previous[at] >= 0) rank_again(e, e->previous[at], n);
}

static int merge_long(struct encoder *e, const uint8_t *piece, int64_t n, struct ids *ids) {
    TRY(make_room(e, n));
    e->waiting = 0;
    for (int32_t i = 0; i < n; i++) {
        e->token[i] = e->tokenizer->vocabulary.byte_id[piece[i]];
        e->next[i] = i + 1;
        e->previous[i] = i - 1;
    }
    for (int32_t i = 0; i < n; i++) {
        e->rank[i] = i + 1 < n ? rank_of(e->tokenizer, e->token[i], e->token[i + 1]) : NO_RANK;
        if (e->rank[i] != NO_RANK) e->heap[e->waiting++] = entry_of(e->rank[i], i);
    }
    for (int64_t i = (e->waiting + CHILDREN - 2) / CHILDREN; i-- > 0;) sink(e, i, e->heap[i]);
    while (e->waiting) {
        uint64_t entry = pop(e);
        int32_t at = (int32_t)(entry & UINT32_MAX);
        if (e->rank[at] == (int32_t)(entry >> 32)) merge_at(e, at, n);
    }
    int64_t count = 0;
    for (int64_t i = 0; i < n; i = e->next[i]) count++;
    TRY(ids_reserve(ids, count));
    for (int64_t i = 0; i < n; i = e->next[i]) ids->id[ids->count++] = e->token[i];
    return 0;
}

/* Reads nothing beyond the piece, and every byte of it: in two numbers that may overlap. n is 1 to CACHED_BYTES. */
static struct piece_key key_of(const char *piece, int64_t n) {
    struct piece_key key = {0, 0};
    const uint8_t *p = (const uint8_t *)piece;
    if (n >= 8) {
        memcpy(&key.low, p, 8);
        memcpy(&key.high, p + n - 8, 8);
    } else if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + n - 4, 4);
        key.low = (uint64_t)last << 32 | first;
    } else {
        key.low = p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
    }
    return key;
}

/* Where in the cache: multiplications by odd numbers, whose upper bits depend on every bit below. */
static uint64_t place_of(struct piece_key key, int64_t n) {
    uint64_t mixed = (key.low ^ (uint64_t)n) * 0x9E3779B97F4A7C15u ^ key.high;
    mixed = (mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93u;
    return mixed >> (64 - CACHE_BITS);
}

/* A piece of at most SHORT_PIECE bytes. `out` has room for as many ids; gives how many there are. */
static int encode_short(const struct tokenizer *t, const char *piece, int64_t n, int32_t *out) {
    if (t->vocabulary.whole_pieces) {
        out[0] = find_token(&t->vocabulary, &t->tokens, piece, n);
        if (out[0] >= 0) return 1;
    }
    return merge_short(t, (const uint8_t *)piece, (int)n, out);
}

/* The same of a piece that may be in the cache. */
static int encode_cached(struct encoder *e, const char *piece, int64_t n, int32_t *out) {
    struct piece_key key = key_of(piece, n);
    struct cache_entry *entry = &e->cache[place_of(key, n)];
    if (entry->key.low == key.low && entry->key.high == key.high && entry->length == n) {
        memcpy(out, entry->id, sizeof entry->id);
        return entry->count;
    }
    int count = encode_short(e->tokenizer, piece, n, out);
    if (count > CACHED_IDS) return count;
    entry->key = key;
    entry->length = (uint8_t)n;
    entry->count = (uint8_t)count;
    memcpy(entry->id, out, (size_t)count * sizeof *out);
    return count;
}

static int encode_long(struct encoder *e, const char *piece, int64_t n, struct ids *ids) {
    const struct tokenizer *t = e->tokenizer;
    int32_t id = t->vocabulary.whole_pieces ? find_token(&t->vocabulary, &t->tokens, piece, n) : -1;
    return id >= 0 ? ids_append(ids, id) : merge_long(e, (const uint8_t *)piece, n, ids);
}

static int encode_piece(struct encoder *e, const char *piece, int64_t n, struct ids *ids) {
    if (n > SHORT_PIECE) return encode_long(e, piece, n, ids);
    if (ids->capacity - ids->count < SHORT_PIECE) TRY(ids_reserve(ids, SHORT_PIECE));
    int32_t *out = ids->id + ids->count;
    ids->count += n > CACHED_BYTES ? encode_short(e->tokenizer, piece, n, out) : encode_cached(e, piece, n, out);
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

/* Whether a special token may begin at `text`. */
static int may_be_special(const struct encoder *e, const char *text, int64_t left) {
    if (!e->tokenizer->special_first[(uint8_t)text[0]]) return 0;
    unsigned pair = (unsigned)(uint8_t)text[0] << 8 | (left > 1 ? (uint8_t)text[1] : 0);
    return e->special_pair[pair / 8] >> pair % 8 & 1;
}

/* The special token at `text`, the longest one, or -1. */
static int32_t special_at(const struct encoder *e, const char *text, int64_t left) {
    const struct tokenizer *t = e->tokenizer;
    for (int i = 0; i < e->n_special_lengths; i++) {
        int64_t length = e->special_length[i];
        int32_t id = length <= left ? find_token(&t->vocabulary, &t->specials, text, length) : -1;
        if (id >= 0) return id;
    }
    return -1;
}

int encoder_encode(struct encoder *e, const char *text, int64_t length, int specials, struct ids *ids) {
    int64_t begin = 0, size;
    for (int64_t at = 0; specials && at < length;) {
        int32_t id = may_be_special(e, text + at, length - at) ? special_at(e, text + at, length - at) : -1;
        if (id < 0) {
            at++;
            continue;
        }
        TRY(encode_text(e, text + begin, at - begin, ids));
        TRY(ids_append(ids, id));
        tokenizer_bytes(e->tokenizer, id, &size);
        begin = at += size;
    }
    return encode_text(e, text + begin, length - begin, ids);
}
