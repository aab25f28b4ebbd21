/* The merges of a BPE vocabulary, the most frequent pair first (Sennrich et al. 2016, algorithm 1), with counts that are kept up to
 * date: a merge looks only at the words that have its pair. */
#include "tokenizer/train.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokenizer/letters.h"
#include "tokenizer/tables.h"
#include "tokenizer/words.h"

/* A pair of neighbouring tokens. */
struct pair {
    int32_t left, right;
    int64_t count;
    int32_t *words; /* that may have it: where it once was. A word may be listed again after it lost and got the pair */
    int32_t n, room;
};

/* What the heap holds: a pair's count when it was put there. */
struct candidate {
    int64_t count;
    int32_t left, right;
    int32_t pair;
};

struct trainer {
    const struct train_bpe_options *options;
    int32_t *ids; /* of all words, one after the other; a merge shortens a word in its place */
    int64_t *begin;
    int32_t *length;
    int64_t *count; /* of each word */
    int64_t words;

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

static int list_word(struct pair *p, int32_t word) {
    if (p->n && p->words[p->n - 1] == word) return 0;
    if (p->n == p->room) {
        int32_t room = p->room ? 2 * p->room : 4;
        int32_t *grown = realloc(p->words, (size_t)room * sizeof *grown);
        if (!grown) return no_memory();
        p->words = grown;
        p->room = room;
    }
    p->words[p->n++] = word;
    return 0;
}

/* A pair is in a word once more. */
static int gain(struct trainer *t, int32_t left, int32_t right, int32_t word, int32_t *index) {
    TRY(get_pair(t, left, right, index));
    t->pairs[*index].count += t->count[word];
    return list_word(&t->pairs[*index], word);
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
    const struct pair *p = &t->pairs[index];
    struct candidate new = {p->count, p->left, p->right, index};
    if (p->count < 1) return 0;
    if (t->candidates == t->room_candidates) {
        int64_t room = t->room_candidates ? 2 * t->room_candidates : 1 << 15;
        struct candidate *grown = realloc(t->heap, (size_t)room * sizeof *grown);
        if (!grown) return no_memory();
        t->heap = grown;
        t->room_candidates = room;
    }
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

static int gain_touched(struct trainer *t, int32_t left, int32_t right, int32_t word) {
    int32_t index;
    TRY(gain(t, left, right, word, &index));
    return touch(t, index);
}

/* Merges the pair in one word, from left to right: what stands left of it is merged already. */
static int merge_word(struct trainer *t, int32_t left, int32_t right, int32_t result, int32_t word) {
    int32_t *ids = t->ids + t->begin[word], n = t->length[word], out = 0;
    for (int32_t i = 0; i < n;) {
        if (i + 1 >= n || ids[i] != left || ids[i + 1] != right) {
            ids[out++] = ids[i++];
            continue;
        }
        if (out > 0) {
            TRY(lose(t, ids[out - 1], left, word));
            TRY(gain_touched(t, ids[out - 1], result, word));
        }
        i += 2;
        if (i < n) {
            TRY(lose(t, right, ids[i], word));
            TRY(gain_touched(t, result, ids[i], word));
        }
        ids[out++] = result;
    }
    t->length[word] = out;
    return 0;
}

static int merge_pair(struct trainer *t, int32_t index, int32_t result) {
    struct pair p = t->pairs[index];
    t->pairs[index].words = NULL; /* the table of pairs may move */
    t->pairs[index].n = t->pairs[index].room = 0;
    t->pairs[index].count = 0;
    t->n_touched = 0;
    int status = 0;
    for (int32_t i = 0; i < p.n && !status; i++) status = merge_word(t, p.left, p.right, result, p.words[i]);
    free(p.words);
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
    for (int64_t i = 0; i < c->words; i++) total += c->sorted[i].length;
    t->ids = malloc(((size_t)total + 1) * sizeof *t->ids);
    t->begin = malloc(((size_t)c->words + 1) * sizeof *t->begin);
    t->length = malloc(((size_t)c->words + 1) * sizeof *t->length);
    t->count = malloc(((size_t)c->words + 1) * sizeof *t->count);
    if (!t->ids || !t->begin || !t->length || !t->count) return no_memory();
    total = 0;
    for (int64_t i = 0; i < c->words; i++) {
        const struct counted_word *w = &c->sorted[i];
        t->begin[i] = total;
        t->length[i] = w->length;
        t->count[i] = w->count;
        for (int32_t k = 0; k < w->length; k++) t->ids[total++] = t->vocabulary.byte_id[w->bytes[k]];
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
        for (int32_t i = 0; i + 1 < t->length[w]; i++) {
            const int32_t *at = t->ids + t->begin[w] + i;
            int32_t index;
            TRY(gain(t, at[0], at[1], (int32_t)w, &index));
        }
    for (int32_t i = 0; i < t->n_pairs; i++) TRY(push(t, i));
    return 0;
}

static int train(struct trainer *t, struct word_counts *counts) {
    const struct train_bpe_options *o = t->options;
    int64_t words, bytes;
    if (o->vocab < 256 + o->n_special)
        return fail(STATUS_USAGE, "a vocabulary of %d tokens is too small: 256 bytes and %d special tokens must fit",
                    o->vocab, o->n_special);
    TRY(reserve_specials(t));
    TRY(word_counts_finish(counts, &words, &bytes));
    TRY(token_table_new(&t->tokens, o->vocab));
    TRY(add_bytes(t));
    TRY(load_words(t, counts));
    TRY(count_pairs(t));
    TRY(merge_all(t));
    for (int i = 0; i < o->n_special; i++)
        TRY(vocabulary_add(&t->vocabulary, o->special[i], (int64_t)strlen(o->special[i]), 1));
    t->vocabulary.split = counts->split;
    counts->tokens = 0;
    for (int64_t w = 0; w < t->words; w++) counts->tokens += t->count[w] * t->length[w];
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
    for (int32_t i = 0; i < t.n_pairs; i++) free(t.pairs[i].words);
    free(t.ids);
    free(t.begin);
    free(t.length);
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
