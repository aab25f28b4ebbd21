/* The built-in corpus: its grammar is decodable, its texts are what their seed says, and its bits are exact. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "data/stories.h"
#include "data/stories_grammar.h"

enum { SLOTS_MAX = 256 - SLOT_FIRST, STORY_MAX = 4096 };

/* ---- the grammar's tables ---- */

static bool is_slot(char c) { return (unsigned char)c >= SLOT_FIRST; }
static int slot_number(char c) { return (unsigned char)c - SLOT_FIRST; }

static size_t head_length(const char *text) {
    size_t n = 0;
    while (text[n] && !is_slot(text[n])) n++;
    return n;
}

typedef void list_check(int slot, int form, const struct list *list);

static void for_all_lists(list_check *check) {
    for (int slot = 0; slot < story_slot_count; slot++)
        for (int form = 0; form < FORMS; form++) check(slot, form, &story_slots[slot].list[form]);
}

static void check_rows(int slot, int form, const struct list *list) {
    (void)form;
    int total = 0;
    for (int i = 0; i < list->count; i++) {
        const struct row *row = &list->row[i];
        assert_in_range(row->weight, 1, TOTAL_MAX);
        assert_in_range(row->form, 0, FORMS - 1);
        total += row->weight;
        for (const char *c = row->text; *c; c++) {
            if (is_slot(*c))
                assert_in_range(slot_number(*c), 1, story_slot_count - 1);
            else
                assert_true(*c == '\n' || (*c >= ' ' && *c <= '~'));
        }
        /* A row whose text is said again must be plain: else saying it again would draw anew. */
        bool said_again = false;
        for (int other = 0; other < story_slot_count; other++) {
            const struct slot *s = &story_slots[other];
            said_again |= story_slots[slot].keep && s->by == story_slots[slot].keep && !s->list[0].count && !s->words[0];
        }
        if (said_again) assert_int_equal(head_length(row->text), strlen(row->text));
    }
    assert_in_range(total, 0, TOTAL_MAX);
}

static void test_rows(void **state) {
    (void)state;
    assert_in_range(story_slot_count, 1, SLOTS_MAX);
    for (int slot = 0; slot < story_slot_count; slot++) {
        assert_int_equal(strlen(story_slots[slot].code), 1);
        assert_int_equal(slot_number(story_slots[slot].code[0]), slot);
    }
    for_all_lists(check_rows);
}

static void check_prefix_free(int slot, int form, const struct list *list) {
    for (int i = 0; i < list->count; i++)
        for (int j = 0; j < list->count; j++) {
            const char *a = list->row[i].text, *b = list->row[j].text;
            size_t n = head_length(a);
            if (i != j && n <= head_length(b) && !memcmp(a, b, n))
                fail_msg("slot %d, form %d: \"%.*s\" begins \"%s\"", slot, form, (int)n, a, b);
        }
}

static void test_prefix_free(void **state) {
    (void)state;
    for_all_lists(check_prefix_free);
}

/* Where a form selects, there is something for every form that the kept row can have. */
static void test_every_form_is_served(void **state) {
    (void)state;
    for (int slot = 0; slot < story_slot_count; slot++) {
        const struct slot *s = &story_slots[slot];
        if (!s->by) assert_true(s->list[0].count > 0);
        for (int source = 0; source < story_slot_count; source++)
            for (int form = 0; form < FORMS && s->by && story_slots[source].keep == s->by; form++)
                for (int i = 0; i < story_slots[source].list[form].count; i++) {
                    int wanted = story_slots[source].list[form].row[i].form;
                    if (s->list[0].count) assert_true(s->list[wanted].count > 0);
                    if (s->words[0]) assert_non_null(s->words[wanted]);
                }
    }
}

/* Follows every way through a text. `kept` is the set of what is surely kept before it; gives that after it. So nothing
 * is ever said again that was not said before. `open` marks the slots that are being filled: none comes up within itself,
 * so that every story ends. */
static uint32_t surely_kept(const char *text, uint32_t kept, bool *open, bool *seen) {
    for (; *text; text++) {
        if (!is_slot(*text)) continue;
        int number = slot_number(*text);
        const struct slot *slot = &story_slots[number];
        assert_false(open[number]);
        if (slot->by) assert_true(kept >> slot->by & 1);
        open[number] = seen[number] = true;
        if (slot->list[0].count) {
            uint32_t after = UINT32_MAX, before = slot->keep ? kept | 1u << slot->keep : kept;
            for (int form = 0; form < FORMS; form++)
                for (int i = 0; i < slot->list[form].count; i++)
                    after &= surely_kept(slot->list[form].row[i].text, before, open, seen);
            kept = after;
        }
        open[number] = false;
    }
    return kept;
}

static void test_nothing_is_said_again_before_it_is_kept(void **state) {
    (void)state;
    bool open[SLOTS_MAX] = {0}, seen[SLOTS_MAX] = {0};
    assert_true(KEPT_COUNT <= 32);
    surely_kept(story_slots[0].code, 0, open, seen);
    for (int slot = 0; slot < story_slot_count; slot++)
        if (!seen[slot]) fail_msg("slot %d is never used", slot);
}

/* ---- texts ---- */

static char *make(int64_t bytes, uint64_t seed, int64_t *length) {
    char *text = NULL;
    assert_int_equal(stories_make(bytes, seed, &text, length), 0);
    assert_true(*length >= bytes);
    return text;
}

static double bits_of(const char *text, int64_t length) {
    double bits = -1;
    if (stories_bits(text, length, &bits)) fail_msg("%s", fail_message());
    return bits;
}

/* The length of the story at the start of a text, its blank line included. */
static int64_t story_length(const char *text, int64_t length) {
    for (int64_t n = 2; n <= length; n++)
        if (text[n - 2] == '\n' && text[n - 1] == '\n') return n;
    fail_msg("no end of a story");
    return 0;
}

static void test_text_is_a_function_of_the_seed(void **state) {
    (void)state;
    static const char first[] = "@FIRST@";
    int64_t length, again_length, longer_length, other_length;
    char *text = make(1000000, 1, &length), *again = make(1000000, 1, &again_length);
    assert_memory_equal(text, first, sizeof first - 1);
    assert_true(XXH3_64bits(text, (size_t)length) == UINT64_C(@HASH@));
    assert_int_equal(length, again_length);
    assert_memory_equal(text, again, (size_t)length);

    char *longer = make(length + 1, 1, &longer_length);
    assert_true(longer_length > length);
    assert_memory_equal(text, longer, (size_t)length);

    /* Seeds that differ in the low word, in the high word, or by one story of drawing. */
    static const uint64_t seeds[] = {0, 2, UINT64_C(0x100000001), UINT64_MAX};
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        char *other = make(1000000, seeds[i], &other_length);
        int64_t story = story_length(text, length);
        assert_memory_not_equal(text, other, (size_t)story);
        other[other_length - 1] = '\0';
        text[story] = '\0'; /* nor does the first story of one seed come up later under another */
        assert_null(strstr(other, text));
        text[story] = again[story];
        free(other);
    }
    free(text), free(again), free(longer);
}

static void test_stops_at_the_first_end(void **state) {
    (void)state;
    int64_t length, one_length;
    char *text = make(20000, 7, &length);
    for (int64_t end = 0; end < 10000;) {
        int64_t next = end + story_length(text + end, length - end);
        const int64_t asked[] = {end + 1, next - 1, next};
        for (int i = 0; i < 3; i++) {
            char *one = make(asked[i], 7, &one_length);
            assert_int_equal(one_length, next);
            assert_memory_equal(one, text, (size_t)next);
            free(one);
        }
        end = next;
    }
    free(text);
    text = make(0, 7, &length);
    assert_int_equal(length, 0);
    assert_true(bits_of(text, 0) == 0);
    free(text);
}

static void test_bits_are_those_that_were_drawn(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        char *text;
        int64_t length;
        double drawn;
        assert_int_equal(stories_make_counted(100000, seed, &text, &length, &drawn), 0);
        assert_true(bits_of(text, length) == drawn);
        free(text);
    }
}

static void test_bits_add_up(void **state) {
    (void)state;
    int64_t length, other_length;
    char *text = make(300000, 3, &length), *other = make(200000, 4, &other_length);
    char *both = malloc((size_t)(length + other_length));
    memcpy(both, text, (size_t)length);
    memcpy(both + length, other, (size_t)other_length);
    assert_true(bits_of(both, length + other_length) == bits_of(text, length) + bits_of(other, other_length));

    double sum = 0;
    for (int64_t end = 0; end < length;) {
        int64_t story = story_length(text + end, length - end);
        sum += bits_of(text + end, story);
        end += story;
    }
    assert_true(bits_of(text, length) == sum);
    free(text), free(other), free(both);
}

/* The bits follow the weights: the same story with another opening differs by the logarithm of the ratio of the weights,
 * which are 4, 3 and 3 in the table. */
static void test_bits_follow_the_weights(void **state) {
    (void)state;
    static const char long_ago[] = "Long ago in ", far[] = "Far away in ", once[] = "Once upon a time in ";
    int64_t length;
    char *text = make(100000, 11, &length), other[STORY_MAX];
    int tried = 0;
    for (int64_t end = 0; end < length;) {
        const char *story = text + end;
        int64_t size = story_length(story, length - end), rest = size - (int64_t)strlen(long_ago);
        end += size;
        if (strncmp(story, long_ago, strlen(long_ago))) continue;
        double bits = bits_of(story, size);
        memcpy(other, far, strlen(far));
        memcpy(other + strlen(far), story + strlen(long_ago), (size_t)rest);
        assert_true(bits_of(other, (int64_t)strlen(far) + rest) == bits);
        memcpy(other, once, strlen(once));
        memcpy(other + strlen(once), story + strlen(long_ago), (size_t)rest);
        assert_true(fabs(bits - bits_of(other, (int64_t)strlen(once) + rest) - log2(4.0 / 3)) < 1e-8);
        tried++;
    }
    assert_true(tried > 5);
    free(text);
}

/* All of one small grammar by hand: the sum over the draws of this story, in the order of the text. The sizes of the word
 * lists are read from the tables, so that a new word does not break this; what is drawn where is written out here. */
static double list_bits(const char *word, int slot) {
    for (int form = 0; form < FORMS; form++) {
        const struct list *list = &story_slots[slot].list[form];
        int total = 0, weight = 0;
        for (int i = 0; i < list->count; i++) {
            total += list->row[i].weight;
            if (!strncmp(list->row[i].text, word, strlen(word))) weight = list->row[i].weight;
        }
        if (weight) return log2((double)total / weight);
    }
    fail_msg("no \"%s\" in slot %d", word, slot);
    return 0;
}
