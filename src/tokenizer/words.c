#include "tokenizer/words.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"

enum { FIRST_SIZE = 4096 };

static int table_new(struct word_table *t, uint64_t size) {
    *t = (struct word_table){.size = size};
    t->word = calloc(size, sizeof *t->word);
    return t->word ? 0 : fail(STATUS_FAILED, "out of memory for words");
}

static void table_free(struct word_table *t) {
    free(t->word);
    free(t->bytes);
    *t = (struct word_table){0};
}

static struct word *place(struct word_table *t, const void *bytes, int32_t length, uint64_t hash) {
    for (uint64_t at = hash;; at++) {
        struct word *w = &t->word[at & (t->size - 1)];
        if (!w->count) return w;
        if (w->hash == hash && w->length == length && !memcmp(t->bytes + w->begin, bytes, (size_t)length)) return w;
    }
}

static int grow(struct word_table *t) {
    struct word *old = t->word;
    uint64_t size = t->size;
    t->word = calloc(2 * size, sizeof *t->word);
    if (!t->word) {
        t->word = old;
        return fail(STATUS_FAILED, "out of memory for words");
    }
    t->size = 2 * size;
    for (uint64_t i = 0; i < size; i++) {
        uint64_t at = old[i].hash;
        if (!old[i].count) continue;
        while (t->word[at & (t->size - 1)].count) at++;
        t->word[at & (t->size - 1)] = old[i];
    }
    free(old);
    return 0;
}

static int add_word(struct word_table *t, const void *bytes, int32_t length, int64_t count) {
    uint64_t hash = XXH3_64bits(bytes, (size_t)length);
    if (2 * (uint64_t)t->used >= t->size) TRY(grow(t));
    struct word *w = place(t, bytes, length, hash);
    w->count += count;
    if (w->count > count) return 0;
    if (t->bytes_used + length > t->bytes_room) {
        int64_t room = t->bytes_room ? 2 * t->bytes_room : 1 << 16;
        while (room < t->bytes_used + length) room *= 2;
        uint8_t *grown = realloc(t->bytes, (size_t)room);
        if (!grown) return fail(STATUS_FAILED, "out of memory for words");
        t->bytes = grown;
        t->bytes_room = room;
    }
    memcpy(t->bytes + t->bytes_used, bytes, (size_t)length);
    *w = (struct word){hash, t->bytes_used, length, count};
    t->bytes_used += length;
    t->used++;
    return 0;
}

int word_counts_new(enum split split, int threads, struct word_counts **counts) {
    struct word_counts *c = *counts = calloc(1, sizeof *c);
    if (!c) return fail(STATUS_FAILED, "out of memory");
    c->split = split;
    c->threads = threads > 0 ? threads : omp_get_max_threads();
    c->table = calloc((size_t)c->threads, sizeof *c->table);
    c->splitters = calloc((size_t)c->threads, sizeof(*c->splitters));
    int status = c->table && c->splitters ? 0 : fail(STATUS_FAILED, "out of memory");
    for (int i = 0; i < c->threads && !status; i++) {
        status = table_new(&c->table[i], FIRST_SIZE);
        if (!status) status = splitter_open(split, NULL, &c->splitters[i]);
    }
    if (!status) return 0;
    word_counts_free(c);
    *counts = NULL;
    return status;
}

void word_counts_free(struct word_counts *c) {
    if (!c) return;
    for (int i = 0; i < c->threads; i++) {
        if (c->table) table_free(&c->table[i]);
        if (c->splitters) splitter_close(c->splitters[i]);
    }
    free(c->table);
    free(c->splitters);
    free(c->sorted);
    free(c);
}

static int count_text(struct word_table *t, struct splitter *splitter, const char *text, int64_t length) {
    const char *piece;
    int64_t n;
    int more;
    splitter_begin(splitter, text, length);
    while ((more = splitter_next(splitter, &piece, &n)) > 0) {
        if (n > INT32_MAX) return fail(STATUS_BAD_DATA, "a word has more than 2 GiB");
        TRY(add_word(t, piece, (int32_t)n, 1));
    }
    return more ? STATUS_BAD_DATA : 0;
}

int word_counts_add(struct word_counts *c, const char *const *text, const int64_t *length, int n) {
    struct failure failure = {0};
#pragma omp parallel for schedule(dynamic) num_threads(c->threads)
    for (int i = 0; i < n; i++) {
        int thread = omp_get_thread_num();
        failure_keep(&failure, count_text(&c->table[thread], c->splitters[thread], text[i], length[i]));
    }
    for (int i = 0; i < n; i++) c->bytes += length[i];
    return failure_raise(&failure);
}

static int by_bytes(const void *a, const void *b) {
    const struct counted_word *left = a, *right = b;
    int32_t n = left->length < right->length ? left->length : right->length;
    int order = memcmp(left->bytes, right->bytes, (size_t)n);
    return order ? order : left->length - right->length;
}

int word_counts_finish(struct word_counts *c) {
    struct word_table *all = &c->table[0];
    for (int i = 1; i < c->threads; i++) {
        struct word_table *t = &c->table[i];
        for (uint64_t k = 0; k < t->size; k++)
            if (t->word[k].count) TRY(add_word(all, t->bytes + t->word[k].begin, t->word[k].length, t->word[k].count));
        table_free(t);
        TRY(table_new(t, FIRST_SIZE));
    }
    free(c->sorted);
    c->words = 0;
    c->sorted = malloc(((size_t)all->used + 1) * sizeof *c->sorted);
    if (!c->sorted) return fail(STATUS_FAILED, "out of memory for words");
    for (uint64_t k = 0; k < all->size; k++)
        if (all->word[k].count)
            c->sorted[c->words++] =
                (struct counted_word){all->bytes + all->word[k].begin, all->word[k].length, all->word[k].count};
    qsort(c->sorted, (size_t)c->words, sizeof *c->sorted, by_bytes);
    return 0;
}

struct word_totals word_counts_totals(const struct word_counts *c) {
    return (struct word_totals){c->words, c->bytes, c->tokens};
}
