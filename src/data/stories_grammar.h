/* The grammar of the built-in corpus as data. Only stories.c and its test include this.
 *
 * A row is one alternative of a choice: its weight, its text, and its form. In the text, a byte from SLOT_FIRST on is a
 * slot, to be filled when the walk comes to it:
 *   - a slot with lists draws a row, says its text, and may keep the row for later;
 *   - a slot with words says the word for the form of a kept row: "he" or "she", fixed when the hero was introduced;
 *   - a slot with neither says the text of a kept row once more.
 * Only the first kind costs bits. Which list it draws from may hang on the form of a kept row.
 *
 * The head of a row is its text up to the first slot. In one list no head may be a prefix of another: so the text tells
 * at once which row was taken, and a text has one derivation only. tests/test_stories.c checks this and what else is
 * said here of the tables. */
#ifndef DATA_STORIES_GRAMMAR_H
#define DATA_STORIES_GRAMMAR_H

#include <stdint.h>

enum {
    SLOT_FIRST = 0x80, /* all text is ASCII, below it */
    FORMS = 6,         /* a row's form is below this */
    TOTAL_MAX = 512,   /* the weights of one list add up to no more */
};

/* The rows that a story keeps. KEPT_NOTHING stands for none: as a selector it has form 0. */
enum kept {
    KEPT_NOTHING,
    KEPT_KIND,
    KEPT_TRAIT,
    KEPT_GENDER,
    KEPT_NAME_START,
    KEPT_NAME_END,
    KEPT_PLACE_LOOK,
    KEPT_PLACE,
    KEPT_COLOUR,
    KEPT_THING,
    KEPT_FIRST_SYLLABLE,
    KEPT_SECOND_SYLLABLE,
    KEPT_THIRD_SYLLABLE,
    KEPT_RELATIVE,
    KEPT_WEATHER,
    KEPT_FRIEND_TITLE,
    KEPT_FRIEND_START,
    KEPT_FRIEND_END,
    KEPT_PRIZE_COLOUR,
    KEPT_PRIZE,
    KEPT_SPOT_WHERE,
    KEPT_SPOT_LOOK,
    KEPT_SPOT,
    KEPT_OUTCOME,
    KEPT_COUNT,
};

struct row {
    int weight;
    const char *text;
    int form;
};

struct list {
    const struct row *row;
    int count;
};

struct slot {
    const char *code;         /* the one byte that stands for it: SLOT_FIRST + its place in story_slots */
    enum kept by;             /* whose form selects among the lists or words; or whose text is said again */
    enum kept keep;           /* where a drawn row is kept */
    struct list list[FORMS];  /* by form */
    const char *words[FORMS]; /* by form */
};

extern const struct slot story_slots[]; /* the first one is a whole story with the blank line after it */
extern const int story_slot_count;

/* stories_make() that also gives the bits that it counted while drawing. */
int stories_make_counted(int64_t bytes, uint64_t seed, char **text, int64_t *length, double *bits);

#endif
