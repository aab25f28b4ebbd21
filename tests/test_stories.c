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

#include "base/check.h" /* before cmocka.h, which has a macro fail() */

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

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
            said_again |=
                story_slots[slot].keep && s->by == story_slots[slot].keep && !s->list[0].count && !s->words[0];
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

/* What is surely kept at some place of a derivation, as a set of bits for each outcome that the story may have taken so
 * far (closings speak of what only some plots bring in). NO_WAY: no derivation comes here with this outcome; it is also
 * the set that & leaves alone. */
struct knowledge {
    uint32_t kept[FORMS];
};
static const uint32_t NO_WAY = UINT32_MAX;

static bool open[SLOTS_MAX], used[SLOTS_MAX];

static struct knowledge after_text(const char *text, struct knowledge known);

/* All rows that the slot can draw, from one outcome and one set. */
static void after_rows(const struct slot *slot, int outcome, uint32_t kept, struct knowledge *after) {
    for (int form = 0; form < FORMS; form++)
        for (int i = 0; i < slot->list[form].count; i++) {
            if (slot->by == KEPT_OUTCOME && form != outcome) continue;
            const struct row *row = &slot->list[form].row[i];
            struct knowledge before;
            for (int o = 0; o < FORMS; o++) before.kept[o] = NO_WAY;
            before.kept[slot->keep == KEPT_OUTCOME ? row->form : outcome] =
                slot->keep ? kept | UINT32_C(1) << slot->keep : kept;
            before = after_text(row->text, before);
            for (int o = 0; o < FORMS; o++) after->kept[o] &= before.kept[o];
        }
}

/* Follows every way through a text. Nothing is asked of a kept row that may not be there, and no slot comes up while it
 * is being filled, so that every story ends. */
static struct knowledge after_text(const char *text, struct knowledge known) {
    for (; *text; text++) {
        if (!is_slot(*text)) continue;
        int number = slot_number(*text);
        const struct slot *slot = &story_slots[number];
        assert_false(open[number]);
        open[number] = used[number] = true;
        struct knowledge after;
        for (int o = 0; o < FORMS; o++) after.kept[o] = NO_WAY;
        for (int o = 0; o < FORMS; o++) {
            if (known.kept[o] == NO_WAY) continue;
            if (slot->by && !(known.kept[o] >> slot->by & 1)) fail_msg("slot %d, outcome %d: not kept", number, o);
            if (slot->list[0].count) after_rows(slot, o, known.kept[o], &after);
        }
        if (slot->list[0].count) known = after;
        open[number] = false;
    }
    return known;
}

static void test_nothing_is_said_again_before_it_is_kept(void **state) {
    (void)state;
    assert_true(KEPT_COUNT < 32);
    struct knowledge start = {{0}};
    for (int o = 1; o < FORMS; o++) start.kept[o] = NO_WAY;
    after_text(story_slots[0].code, start);
    for (int slot = 0; slot < story_slot_count; slot++)
        if (!used[slot]) fail_msg("slot %d is never used", slot);
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
    static const char first[] = "In 1999, in Jabrook, a strong cow lived near the noisy forest, and his name was Kozo.";
    int64_t length, again_length, longer_length, other_length;
    char *text = make(1000000, 1, &length), *again = make(1000000, 1, &again_length);
    assert_memory_equal(text, first, sizeof first - 1);
    assert_true(XXH3_64bits(text, (size_t)length) == UINT64_C(0x4c9dac4f6690fb05));
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

/* The bits follow the weights: the same story with another opening differs by the logarithm of the ratio of the
 * weights, which are 4, 3 and 3 in the table. */
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

/* What is still to come in a derivation: the rest of a text, then the rest of the texts around it. */
struct rest {
    const char *text;
    const struct rest *after;
};

/* Counts the derivations of the source by trying every row everywhere, whatever its head; *bits gets those of the
 * last one. It shares the tables with the code under test, and nothing else. */
static int derivations(const char *source, const char *end, struct rest rest, const struct row *const *kept,
                       double so_far, double *bits) {
    for (; !*rest.text || !is_slot(*rest.text); rest.text++) {
        while (!*rest.text) {
            if (!rest.after) {
                if (source == end) *bits = so_far;
                return source == end;
            }
            rest = *rest.after;
        }
        if (is_slot(*rest.text)) break;
        if (source == end || *source++ != *rest.text) return 0;
    }
    const struct slot *slot = &story_slots[slot_number(*rest.text++)];
    const struct row *by = slot->by ? kept[slot->by] : NULL;
    const struct list *list = &slot->list[by ? by->form : 0];
    if (!list->count) {
        struct rest again = {slot->words[0] ? slot->words[by->form] : by->text, &rest};
        return derivations(source, end, again, kept, so_far, bits);
    }
    int total = 0, found = 0;
    for (int i = 0; i < list->count; i++) total += list->row[i].weight;
    for (int i = 0; i < list->count; i++) {
        const struct row *kept_now[KEPT_COUNT];
        memcpy(kept_now, kept, sizeof kept_now);
        kept_now[slot->keep] = &list->row[i];
        struct rest row = {list->row[i].text, &rest};
        found += derivations(source, end, row, kept_now, so_far + log2((double)total / list->row[i].weight), bits);
    }
    return found;
}

static void test_one_derivation_and_its_bits(void **state) {
    (void)state;
    int64_t length;
    char *text = make(100000, 12, &length);
    for (int64_t end = 0; end < length;) {
        int64_t size = story_length(text + end, length - end);
        const struct row *kept[KEPT_COUNT] = {NULL};
        struct rest story = {story_slots[0].code, NULL};
        double bits = 0;
        assert_int_equal(derivations(text + end, text + end + size, story, kept, 0, &bits), 1);
        assert_true(fabs(bits - bits_of(text + end, size)) < 1e-6);
        end += size;
    }
    free(text);
}

static void refused_at(const char *text, int64_t length, int64_t at) {
    double bits = -1;
    char where[32];
    assert_int_equal(stories_bits(text, length, &bits), STATUS_BAD_DATA);
    snprintf(where, sizeof where, "byte %lld%s", (long long)at, at == length ? "," : " (");
    if (!strstr(fail_message(), where)) fail_msg("expected %s in: %s", where, fail_message());
    assert_true(bits == -1);
}

static void test_other_text_is_refused_with_its_place(void **state) {
    (void)state;
    int64_t length;
    char *text = make(4000, 5, &length);
    for (int64_t i = 0; i < length; i++) {
        char right = text[i];
        text[i] = '#';
        refused_at(text, length, i);
        text[i] = '\0';
        refused_at(text, length, i);
        text[i] = (char)0x85; /* the byte of a slot is no text */
        refused_at(text, length, i);
        text[i] = right;
    }
    refused_at("To be, or not to be", 19, 0);
    refused_at("One day", 7, 2); /* as far as "Once upon a time" goes along */
    refused_at("\n\n", 2, 0);
    double bits;
    assert_int_equal(stories_bits(text, -1, &bits), STATUS_USAGE);
    free(text);
}

static void test_part_of_a_story_is_refused(void **state) {
    (void)state;
    int64_t length;
    char *text = make(3000, 6, &length);
    int64_t first = story_length(text, length), end = 0;
    for (int64_t n = 1; n <= length; n++) {
        char *part = malloc((size_t)n); /* of this size exactly, so that a sanitizer sees any read beyond it */
        memcpy(part, text, (size_t)n);
        if (n == end + story_length(text + end, length - end)) {
            assert_true(bits_of(part, n) > 0);
            end = n;
            if (end == length) {
                free(part);
                break;
            }
        } else
            refused_at(part, n, n);
        free(part);
    }
    assert_int_equal(end, length);
    double bits;
    assert_int_equal(stories_bits(text + 1, length - 1, &bits), STATUS_BAD_DATA); /* the start is missing */
    assert_true(bits_of(text + first, length - first) > 0);
    free(text);
}

/* What was said before comes back with certainty: no other pronoun, name or word in its place is a story. */
static void test_context_settles_what_comes_back(void **state) {
    (void)state;
    int64_t length;
    char *text = make(60000, 8, &length), *other = malloc((size_t)length + 1);
    int pronouns = 0, words = 0;
    for (int64_t i = 0; i + 20 < length; i++) {
        if (!strncmp(text + i, " he ", 4)) {
            memcpy(other, text, (size_t)i);
            memcpy(other + i, " she ", 5);
            memcpy(other + i + 5, text + i + 4, (size_t)(length - i - 4));
            refused_at(other, length + 1, i + 1);
            pronouns++;
        }
        if (!strncmp(text + i, "Is it marked '", 14)) {
            memcpy(other, text, (size_t)length);
            int64_t letter = i + 14 + 3; /* a vowel of the word on the treasure */
            other[letter] = text[letter] == 'a' ? 'e' : 'a';
            refused_at(other, length, letter);
            words++;
        }
    }
    assert_true(pronouns > 30 && words > 5);
    free(text), free(other);
}

/* The weights are the true probabilities: of 14 stories 4, 3, 3, 3 and 1 begin so. Five standard deviations. */
static void test_draws_follow_the_weights(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int weight;
    } openings[] = {{"Once upon", 4}, {"Long ago", 3}, {"Far away", 3}, {"Between ", 3}, {"In 1", 1}};
    int64_t length;
    char *text = make(2000000, 9, &length);
    int count[5] = {0}, stories = 0;
    for (int64_t end = 0; end < length; stories++) {
        for (int i = 0; i < 5; i++) count[i] += !strncmp(text + end, openings[i].text, strlen(openings[i].text));
        end += story_length(text + end, length - end);
    }
    int sum = 0;
    for (int i = 0; i < 5; i++) {
        double p = openings[i].weight / 14.0;
        assert_true(fabs(count[i] - stories * p) < 5 * sqrt(stories * p * (1 - p)));
        sum += count[i];
    }
    assert_int_equal(sum, stories);
    free(text);
}

/* ---- what the stories are like ---- */

static void check_shape(const char *story, int64_t size) {
    char text[STORY_MAX];
    assert_in_range(size, 1, STORY_MAX - 1);
    memcpy(text, story, (size_t)size);
    text[size] = '\0';
    int sentences = 0;
    for (int64_t i = 0; i < size; i++) {
        assert_true(i >= size - 2 ? text[i] == '\n' : text[i] >= ' ' && text[i] <= '~');
        bool stop = text[i] == '.' || text[i] == '!';
        int64_t next = i + 1 + (stop && text[i + 1] == '"');
        sentences += stop && (text[next] == ' ' || text[next] == '\n');
        if (text[i] != ' ') continue;
        assert_null(memchr(" .,!?\n", text[i + 1], 6));
        if (!strncmp(text + i, " a ", 3)) assert_null(memchr("aeiouAEIOU", text[i + 3], 10));
    }
    assert_in_range(sentences, 4, 10);
}

static void test_shape_and_rate(void **state) {
    (void)state;
    int64_t length;
    char *text = make(2000000, 10, &length);
    for (int64_t end = 0; end < length;) {
        int64_t size = story_length(text + end, length - end);
        check_shape(text + end, size);
        assert_true(bits_of(text + end, size) < 1.0 * (double)size);
        end += size;
    }
    double rate = bits_of(text, length) / (double)length;
    print_message("%.4f bits a byte over %lld bytes\n", rate, (long long)length);
    assert_true(rate > 0.5 && rate < 0.52);
    free(text);
}

static void test_impossible_sizes(void **state) {
    (void)state;
    char *text = NULL;
    int64_t length = -1;
    assert_int_equal(stories_make(-1, 1, &text, &length), STATUS_USAGE);
    assert_int_equal(stories_make(INT64_MAX, 1, &text, &length), STATUS_USAGE);
    assert_null(text);
    assert_int_equal(length, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_prefix_free),
        cmocka_unit_test(test_every_form_is_served),
        cmocka_unit_test(test_nothing_is_said_again_before_it_is_kept),
        cmocka_unit_test(test_text_is_a_function_of_the_seed),
        cmocka_unit_test(test_stops_at_the_first_end),
        cmocka_unit_test(test_bits_are_those_that_were_drawn),
        cmocka_unit_test(test_bits_add_up),
        cmocka_unit_test(test_bits_follow_the_weights),
        cmocka_unit_test(test_one_derivation_and_its_bits),
        cmocka_unit_test(test_other_text_is_refused_with_its_place),
        cmocka_unit_test(test_part_of_a_story_is_refused),
        cmocka_unit_test(test_context_settles_what_comes_back),
        cmocka_unit_test(test_draws_follow_the_weights),
        cmocka_unit_test(test_shape_and_rate),
        cmocka_unit_test(test_impossible_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
