/* The merges of a BPE vocabulary, the most frequent pair first (Sennrich et al. 2016, algorithm 1), with counts that are kept up to
 * date: a merge looks only at the places that have its pair, so that words may be long. */
#include "tokenizer/train.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokenizer/letters.h"
#include "tokenizer/tables.h"
#include "tokenizer/words.h"

enum { NONE = -1 };

/* Where the left token of a pair begins. */
struct place {
    int32_t word, offset;
};

/* A pair of neighbouring tokens. */
struct pair {
    int32_t left, right;
    int64_t count, queued; /* how often it is there; the count with which it was last put on the heap, 0: not there */
    struct place *places;  /* that may have it: where it once was */
    int64_t n, room;
    int unordered; /* the places are not from left to right */
};

/* What the heap holds: a pair's count when it was put there. */
struct candidate {
    int64_t count;
    int32_t left, right;
    int32_t pair;
};

struct trainer {
    const struct train_bpe_options *options;
    /* The tokens of all words, NONE before each word and after the last. A token of n bytes has n places: its id is at the
     * first and the last of them, NONE between, so that its neighbours are found from either end. */
    int32_t *ids;
    int64_t *begin; /* of each word in ids */
    int64_t *count; /* of each word */
    int64_t words, text_tokens;

    struct pair *pairs;
    int32_t n_pairs, room_pairs;
    int32_t *table; /* pair index by (left, right); -1: free; at most half full */
    uint64_t table_size;

    struct candidate *heap;
    int64_t candidates, room_candidates;
    int32_t *touched; /* pairs whose count has grown in this merge */
    int32_t n_touched, room_touched;

    struct vocabulary vocabulary;
    struct token_table tokens;   /* room for options->vocab */
    struct vocabulary reserved;  /* what special tokens would be as other tokens: */
    struct token_table reserves; /* no merge may make these */
};

static int no_memory(void) { return fail(STATUS_FAILED, "out of memory for training a tokenizer"); }

/* ---- pairs ---- */

static uint64_t hash_pair(int32_t left, int32_t right) { return (pair_of(left, right) * 0x9E3779B97F4A7C15u) >> 20; }

static int grow_table(struct trainer *t) {
    uint64_t size = t->table_size ? 2 * t->table_size : 1 << 16;
    int32_t *table = malloc(size * sizeof *table);
    if (!table) return no_memory();
    memset(table, 0xff, size * sizeof *table);
    for (int32_t i = 0; i < t->n_pairs; i++) {
        uint64_t at = hash_pair(t->pairs[i].left, t->pairs[i].right);
        while (table[at & (size - 1)] >= 0) at++;
        table[at & (size - 1)] = i;
    }
    free(t->table);
    t->table = table;
    t->table_size = size;
    return 0;
}

/* The pair's index; made if it is not there. */
static int get_pair(struct trainer *t, int32_t left, int32_t right, int32_t *index) {
    if (2 * (uint64_t)t->n_pairs >= t->table_size) TRY(grow_table(t));
    uint64_t at = hash_pair(left, right);
    for (; t->table[at & (t->table_size - 1)] >= 0; at++) {
        *index = t->table[at & (t->table_size - 1)];
        if (t->pairs[*index].left == left && t->pairs[*index].right == right) return 0;
    }
    if (t->n_pairs == t->room_pairs) {
        int32_t room = t->room_pairs ? 2 * t->room_pairs : 1 << 15;
        struct pair *grown = realloc(t->pairs, (size_t)room * sizeof *grown);
        if (!grown) return no_memory();
        t->pairs = grown;
        t->room_pairs = room;
    }
    *index = t->n_pairs++;
    t->pairs[*index] = (struct pair){.left = left, .right = right};
    t->table[at & (t->table_size - 1)] = *index;
    return 0;
}

static int by_place(const void *a, const void *b) {
    const struct place *left = a, *right = b;
    if (left->word != right->word) return left->word < right->word ? -1 : 1;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

static int list_place(struct pair *p, struct place place) {
    if (p->n == p->room) {
        int64_t room = p->room ? 2 * p->room : 4;
        struct place *grown = realloc(p->places, (size_t)room * sizeof *grown);
        if (!grown) return no_memory();
        p->places = grown;
        p->room = room;
    }
    if (p->n && by_place(&p->places[p->n - 1], &place) > 0) p->unordered = 1;
    p->places[p->n++] = place;
    return 0;
}

/* A pair is in a word once more. */
static int gain(struct trainer *t, int32_t left, int32_t right, struct place place, int32_t *index) {
    TRY(get_pair(t, left, right, index));
    t->pairs[*index].count += t->count[place.word];
    return list_place(&t->pairs[*index], place);
}

static int lose(struct trainer *t, int32_t left, int32_t right, int32_t word) {
    int32_t index;
    TRY(get_pair(t, left, right, &index));
    t->pairs[index].count -= t->count[word];
    return 0;
}

/* ---- the heap ---- */

static int before(const struct candidate *a, const struct candidate *b) {
    if (a->count != b->count) return a->count > b->count;
    return a->left != b->left ? a->left < b->left : a->right < b->right;
}

static int push(struct trainer *t, int32_t index) {
    struct pair *p = &t->pairs[index];
    struct candidate new = {p->count, p->left, p->right, index};
    if (p->count < 1 || p->count == p->queued) return 0;
    if (t->candidates == t->room_candidates) {
        int64_t room = t->room_candidates ? 2 * t->room_candidates : 1 << 15;
        struct candidate *grown = realloc(t->heap, (size_t)room * sizeof *grown);
        if (!grown) return no_memory();
        t->heap = grown;
        t->room_candidates = room;
    }
    p->queued = p->count;
    int64_t i = t->candidates++;
    for (; i > 0 && before(&new, &t->heap[(i - 1) / 2]); i = (i - 1) / 2) t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = new;
    return 0;
}

static struct candidate pop(struct trainer *t) {
    struct candidate top = t->heap[0], last = t->heap[--t->candidates];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < t->candidates; i = child) {
        if (child + 1 < t->candidates && before(&t->heap[child + 1], &t->heap[child])) child++;
        if (!before(&t->heap[child], &last)) break;
        t->heap[i] = t->heap[child];
    }
    t->heap[i] = last;
    if (t->pairs[top.pair].queued == top.count) t->pairs[top.pair].queued = 0;
    return top;
}

/* ---- merging ---- */

static int touch(struct trainer *t, int32_t index) {
    if (t->n_touched && t->touched[t->n_touched - 1] == index) return 0;
    if (t->n_touched == t->room_touched) {
        int32_t room = t->room_touched ? 2 * t->room_touched : 1024;
        int32_t *grown = realloc(t->touched, (size_t)room * sizeof *grown);
        if (!grown) return no_memory();
        t->touched = grown;
        t->room_touched = room;
    }
    t->touched[t->n_touched++] = index;
    return 0;
}

static int gain_touched(struct trainer *t, int32_t left, int32_t right, struct place place) {
    int32_t index;
    TRY(gain(t, left, right, place, &index));
    return touch(t, index);
}

static int32_t bytes_of(const struct trainer *t, int32_t id) {
    return (int32_t)(t->vocabulary.begin[id + 1] - t->vocabulary.begin[id]);
}

/* Merges the pair at a place, if it is still there. What stands left of it in its word is merged already. */
static int merge_place(struct trainer *t, int32_t left, int32_t right, int32_t result, struct place place) {
    int32_t *at = t->ids + t->begin[place.word] + place.offset;
    int32_t middle = bytes_of(t, left);
    if (at[0] != left || at[middle] != right) return 0;
    int32_t end = middle + bytes_of(t, right), before = at[-1], after = at[end];
    if (before != NONE) {
        TRY(lose(t, before, left, place.word));
        TRY(gain_touched(t, before, result, (struct place){place.word, place.offset - bytes_of(t, before)}));
    }
    if (after != NONE) {
        TRY(lose(t, right, after, place.word));
        TRY(gain_touched(t, result, after, place));
    }
    at[middle - 1] = at[middle] = NONE;
    at[0] = at[end - 1] = result;
    t->text_tokens -= t->count[place.word];
    return 0;
}

static int merge_pair(struct trainer *t, int32_t index, int32_t result) {
    struct pair p = t->pairs[index];
    t->pairs[index].places = NULL; /* the table of pairs may move */
    t->pairs[index].n = t->pairs[index].room = 0;
    t->pairs[index].count = 0;
    t->n_touched = 0;
    int status = 0;
    if (p.unordered) qsort(p.places, (size_t)p.n, sizeof *p.places, by_place);
    for (int64_t i = 0; i < p.n && !status; i++) status = merge_place(t, p.left, p.right, result, p.places[i]);
    free(p.places);
    t->pairs[index].unordered = 0;
    t->pairs[index].count = 0; /* overlaps, as in "aaa", were counted twice */
    for (int32_t i = 0; i < t->n_touched && !status; i++)
        if (t->touched[i] != index) status = push(t, t->touched[i]);
    return status;
}

/* The token that a pair becomes: one with its bytes, if there is one, or a new one; -1: none, since it would be written like a
 * special token. (`tokenizers` makes the special token its result, which text would then become.) */
static int result_of(struct trainer *t, const struct candidate *c, int32_t *result) {
    struct vocabulary *v = &t->vocabulary;
    int64_t left = v->begin[c->left + 1] - v->begin[c->left], right = v->begin[c->right + 1] - v->begin[c->right];
    uint8_t *bytes = malloc((size_t)(left + right));
    if (!bytes) return no_memory();
    memcpy(bytes, v->bytes + v->begin[c->left], (size_t)left);
    memcpy(bytes + left, v->bytes + v->begin[c->right], (size_t)right);
    int reserved = find_token(&t->reserved, &t->reserves, bytes, left + right) >= 0, status = 0;
    *result = reserved ? -1 : find_token(v, &t->tokens, bytes, left + right);
    if (*result < 0 && !reserved) {
        *result = v->count;
        status = vocabulary_add(v, bytes, left + right, 0);
        if (!status) token_table_add(&t->tokens, v, *result);
    }
    free(bytes);
    return status;
}

static int merge_all(struct trainer *t) {
    const struct train_bpe_options *o = t->options;
    struct vocabulary *v = &t->vocabulary;
    int32_t of = o->vocab - o->n_special - 256;
    while (v->count < o->vocab - o->n_special && t->candidates) {
        struct candidate c = pop(t);
        if (c.count != t->pairs[c.pair].count) {
            if (t->pairs[c.pair].count < c.count) TRY(push(t, c.pair)); /* else it is there with its new count */
            continue;
        }
        if (c.count < o->min_count) break;
        int32_t result = -1;
        TRY(result_of(t, &c, &result));
        if (result < 0) continue;
        TRY(vocabulary_add_merge(v, c.left, c.right, result, v->n_merges));
        TRY(merge_pair(t, c.pair, result));
        if (o->progress) o->progress(o->context, v->count - 256, of);
    }
    return 0;
}

/* ---- from counts to a tokenizer ---- */

static int load_words(struct trainer *t, const struct word_counts *c) {
    int64_t total = 0;
    t->words = c->words;
    if (c->words > INT32_MAX) return fail(STATUS_BAD_DATA, "more than 2^31 different words");
    for (int64_t i = 0; i < c->words; i++) total += c->sorted[i].length + 1;
    t->ids = malloc(((size_t)total + 1) * sizeof *t->ids);
    t->begin = malloc(((size_t)c->words + 1) * sizeof *t->begin);
    t->count = malloc(((size_t)c->words + 1) * sizeof *t->count);
    if (!t->ids || !t->begin || !t->count) return no_memory();
    t->ids[0] = NONE;
    total = 1;
    for (int64_t i = 0; i < c->words; i++) {
        const struct counted_word *w = &c->sorted[i];
        t->begin[i] = total;
        t->count[i] = w->count;
        t->text_tokens += w->count * w->length;
        for (int32_t k = 0; k < w->length; k++) t->ids[total++] = t->vocabulary.byte_id[w->bytes[k]];
        t->ids[total++] = NONE;
    }
    return 0;
}

/* The bytes, in the order of their letters. */
static int add_bytes(struct trainer *t) {
    struct vocabulary *v = &t->vocabulary;
    for (uint32_t letter = 0; v->count < 256; letter++) {
        int byte = letter_byte(letter);
        uint8_t text = (uint8_t)byte;
        if (byte < 0) continue;
        v->byte_id[byte] = v->count;
        TRY(vocabulary_add(v, &text, 1, 0));
        token_table_add(&t->tokens, v, v->count - 1);
    }
    return 0;
}

/* A tokenizer.json tells tokens apart by how they are written: special ones as they are, others in letters of their bytes. */
static int reserve_specials(struct trainer *t) {
    const struct train_bpe_options *o = t->options;
    TRY(token_table_new(&t->reserves, o->n_special));
    for (int i = 0; i < o->n_special; i++) {
        const char *text = o->special[i];
        if (!*text) return fail(STATUS_USAGE, "special token %d of %d has no text", i + 1, o->n_special);
        for (int k = 0; k < i; k++)
            if (!strcmp(text, o->special[k])) return fail(STATUS_USAGE, "special token '%s' is named twice", text);
        int64_t length = (int64_t)strlen(text);
        uint8_t *bytes = malloc((size_t)length + 1);
        if (!bytes) return no_memory();
        int64_t n = letters_to_bytes(text, length, bytes);
        int status = n == 1 ? fail(STATUS_USAGE,
                                   "special token '%s' is written like the token of a byte: give it another text", text)
                            : 0;
        if (!status && n > 1) status = vocabulary_add(&t->reserved, bytes, n, 0);
        free(bytes);
        TRY(status);
        if (n > 1) token_table_add(&t->reserves, &t->reserved, t->reserved.count - 1);
    }
    return 0;
}

static int count_pairs(struct trainer *t) {
    for (int64_t w = 0; w < t->words; w++)
        for (const int32_t *word = t->ids + t->begin[w], *at = word; at[1] != NONE; at++) {
            int32_t index;
            TRY(gain(t, at[0], at[1], (struct place){(int32_t)w, (int32_t)(at - word)}, &index));
        }
    for (int32_t i = 0; i < t->n_pairs; i++) TRY(push(t, i));
    return 0;
}

static int train(struct trainer *t, struct word_counts *counts) {
    const struct train_bpe_options *o = t->options;
    if (o->vocab < 256 + o->n_special)
        return fail(STATUS_USAGE, "a vocabulary of %d tokens is too small: 256 bytes and %d special tokens must fit",
                    o->vocab, o->n_special);
    TRY(reserve_specials(t));
    TRY(word_counts_finish(counts));
    TRY(token_table_new(&t->tokens, o->vocab));
    TRY(add_bytes(t));
    TRY(load_words(t, counts));
    TRY(count_pairs(t));
    TRY(merge_all(t));
    for (int i = 0; i < o->n_special; i++)
        TRY(vocabulary_add(&t->vocabulary, o->special[i], (int64_t)strlen(o->special[i]), 1));
    t->vocabulary.split = counts->split;
    counts->tokens = t->text_tokens;
    return 0;
}

int train_bpe(struct word_counts *counts, const struct train_bpe_options *options, struct tokenizer **tokenizer) {
    struct trainer t = {.options = options};
    *tokenizer = NULL;
    int status = train(&t, counts);
    if (!status)
        status = tokenizer_build(&t.vocabulary, "the trained tokenizer", tokenizer);
    else
        vocabulary_free(&t.vocabulary);
    for (int32_t i = 0; i < t.n_pairs; i++) free(t.pairs[i].places);
    free(t.ids);
    free(t.begin);
    free(t.count);
    free(t.pairs);
    free(t.table);
    free(t.heap);
    free(t.touched);
    token_table_free(&t.tokens);
    vocabulary_free(&t.reserved);
    token_table_free(&t.reserves);
    return status;
}
