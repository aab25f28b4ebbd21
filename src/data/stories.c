#include "data/stories.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/philox.h"
#include "data/stories_grammar.h"

/* Bits are counted in whole units of 2^-30 bit, so that sums do not depend on their order: the bits of two texts add up
 * to those of both in one. A logarithm is off by half a unit at most, and
 * a story of 100 draws by less than 1e-7 bit. */
#define UNITS_PER_BIT 1073741824.0

enum {
    PHILOX_STORIES = 0x53544f52, /* the last counter word: keeps these draws apart from all others under one seed */
    ROOM = 256,                  /* bytes that the target has beyond what was asked for, and that it grows by */
};

/* No story reaches 2 bits a byte (most are near 0.5), so that 64 bits hold the units of any text up to this length. */
static const int64_t LENGTH_MAX = INT64_C(1) << 33;

/* One walk over the grammar, either way: it reads when there is a source and writes to the target otherwise. The same
 * code makes and scores, so that the two cannot come to differ. */
struct tale {
    const char *source;
    char *target;
    int64_t size;  /* bytes of the source, or allocated for the target */
    int64_t at;    /* bytes read or written */
    int64_t begin; /* where the current story began */
    uint64_t units;

    /* Draws are keyed by the seed and the number of the story: a story does not hang on those before it. */
    uint64_t seed, story;
    uint32_t block; /* Philox blocks drawn in this story */
    struct philox random;
    int used; /* words of `random` that are spent */

    const struct row *kept[KEPT_COUNT];

    /* Worked out once a walk. */
    int total[256 - SLOT_FIRST][FORMS]; /* the sum of the weights of a list */
    uint64_t log2_units[TOTAL_MAX + 1]; /* log2(n) in units */
};

static const struct row nothing = {1, "", 0};

static struct tale tale_begin(void) {
    struct tale tale = {0};
    for (int slot = 0; slot < story_slot_count; slot++)
        for (int form = 0; form < FORMS; form++) {
            const struct list *list = &story_slots[slot].list[form];
            for (int row = 0; row < list->count; row++) tale.total[slot][form] += list->row[row].weight;
        }
    for (int n = 1; n <= TOTAL_MAX; n++) tale.log2_units[n] = (uint64_t)llround(log2(n) * UNITS_PER_BIT);
    return tale;
}

static uint32_t random_word(struct tale *tale) {
    if (tale->used == 4) {
        tale->random = philox(tale->block++, (uint32_t)tale->story, (uint32_t)(tale->story >> 32), PHILOX_STORIES,
                              (uint32_t)tale->seed, (uint32_t)(tale->seed >> 32));
        tale->used = 0;
    }
    return tale->random.word[tale->used++];
}

/* A whole number in [0, n), each equally likely: the few words that would favour some are thrown away (Lemire, "Fast
 * Random Integer Generation in an Interval", 2019). So the weights are the true probabilities. */
static int random_below(struct tale *tale, int n) {
    uint32_t range = (uint32_t)n, unfair = (0u - range) % range;
    uint64_t product;
    do product = (uint64_t)random_word(tale) * range;
    while ((uint32_t)product < unfair);
    return (int)(product >> 32);
}

static bool ends_head(char c) { return c == '\0' || (unsigned char)c >= SLOT_FIRST; }

/* How far the source agrees with the head of a text; *whole says whether that is all of the head. */
static int64_t agreement(const struct tale *tale, const char *text, bool *whole) {
    const char *source = tale->source + tale->at;
    int64_t left = tale->size - tale->at, n = 0;
    while (n < left && !ends_head(text[n]) && text[n] == source[n]) n++;
    *whole = ends_head(text[n]);
    return n;
}

/* `at` is the first byte that no derivation can explain. */
static int refuse(const struct tale *tale, int64_t at) {
    if (at == tale->size)
        return fail(STATUS_BAD_DATA,
                    "stories: the text ends at byte %lld, inside the story that begins at byte %lld; only whole "
                    "stories of the built-in corpus have a probability",
                    (long long)at, (long long)tale->begin);
    return fail(STATUS_BAD_DATA,
                "stories: byte %lld (0x%02x) does not fit the story that begins at byte %lld; only text of the "
                "built-in corpus has a probability",
                (long long)at, (unsigned)(unsigned char)tale->source[at], (long long)tale->begin);
}

/* Writes literal text, or reads it. */
static int emit(struct tale *tale, const char *text, int64_t length) {
    if (tale->source) {
        bool whole;
        if (tale->size - tale->at < length || memcmp(tale->source + tale->at, text, (size_t)length))
            return refuse(tale, tale->at + agreement(tale, text, &whole));
    } else {
        if (tale->size - tale->at < length) {
            int64_t size = tale->at + length + ROOM;
            char *target = realloc(tale->target, (size_t)size);
            if (!target) return fail(STATUS_FAILED, "stories: no memory for %lld bytes of text", (long long)size);
            tale->target = target;
            tale->size = size;
        }
        memcpy(tale->target + tale->at, text, (size_t)length);
    }
    tale->at += length;
    return 0;
}

static const struct row *draw_row(struct tale *tale, const struct list *list, int total) {
    const struct row *row = list->row;
    for (int number = random_below(tale, total); number >= row->weight; row++) number -= row->weight;
    return row;
}

/* The one row whose head the source goes on with. */
static int find_row(const struct tale *tale, const struct list *list, const struct row **found) {
    char first = tale->at < tale->size ? tale->source[tale->at] : '\0';
    int64_t farthest = 0;
    for (const struct row *row = list->row; row < list->row + list->count; row++) {
        if (row->text[0] != first && !ends_head(row->text[0])) continue; /* most rows: keep this loop quick */
        bool whole;
        int64_t n = agreement(tale, row->text, &whole);
        if (whole) {
            *found = row;
            return 0;
        }
        if (n > farthest) farthest = n;
    }
    return refuse(tale, tale->at + farthest);
}

static int pick(struct tale *tale, int slot, int form, const struct row **picked) {
    const struct list *list = &story_slots[slot].list[form];
    int total = tale->total[slot][form];
    if (tale->source)
        TRY(find_row(tale, list, picked));
    else
        *picked = draw_row(tale, list, total);
    tale->units += tale->log2_units[total] - tale->log2_units[(*picked)->weight];
    return 0;
}

/* Walks over a text and fills its slots. The depth is that of the grammar, which has no cycle. */
static int say(struct tale *tale, const char *text) {
    while (*text) {
        int64_t length = 0;
        while (!ends_head(text[length])) length++;
        if (length) {
            TRY(emit(tale, text, length));
            text += length;
            continue;
        }
        int number = (unsigned char)*text++ - SLOT_FIRST;
        const struct slot *slot = &story_slots[number];
        const struct row *row = tale->kept[slot->by];
        const char *word = slot->words[row->form];
        if (slot->list[row->form].count) {
            TRY(pick(tale, number, row->form, &row));
            if (slot->keep) tale->kept[slot->keep] = row;
        }
        TRY(say(tale, word ? word : row->text));
    }
    return 0;
}

/* One story; it forgets all that the last one kept. */
static int tell(struct tale *tale) {
    tale->begin = tale->at;
    tale->block = 0;
    tale->used = 4;
    for (int i = 0; i < KEPT_COUNT; i++) tale->kept[i] = &nothing;
    TRY(say(tale, story_slots[0].code));
    tale->story++;
    return 0;
}

int stories_make_counted(int64_t bytes, uint64_t seed, char **text, int64_t *length, double *bits) {
    if (bytes < 0 || bytes > LENGTH_MAX / 2) /* the last story goes beyond `bytes` */
        return fail(STATUS_USAGE, "stories: asked for %lld bytes of text; ask for 0 to %lld", (long long)bytes,
                    (long long)(LENGTH_MAX / 2));
    struct tale tale = tale_begin();
    tale.seed = seed;
    tale.size = bytes + ROOM;
    tale.target = malloc((size_t)tale.size);
    if (!tale.target) return fail(STATUS_FAILED, "stories: no memory for %lld bytes of text", (long long)tale.size);
    while (tale.at < bytes) {
        int status = tell(&tale);
        if (status) {
            free(tale.target);
            return status;
        }
    }
    *text = tale.target;
    *length = tale.at;
    *bits = (double)tale.units / UNITS_PER_BIT;
    return 0;
}

int stories_make(int64_t bytes, uint64_t seed, char **text, int64_t *length) {
    double bits;
    return stories_make_counted(bytes, seed, text, length, &bits);
}

int stories_bits(const char *text, int64_t length, double *bits) {
    if (length < 0 || length > LENGTH_MAX)
        return fail(STATUS_USAGE, "stories: a text of %lld bytes cannot be scored; 0 to %lld can", (long long)length,
                    (long long)LENGTH_MAX);
    struct tale tale = tale_begin();
    tale.source = text;
    tale.size = length;
    while (tale.at < length) TRY(tell(&tale));
    *bits = (double)tale.units / UNITS_PER_BIT;
    return 0;
}
