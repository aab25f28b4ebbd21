#include "data/stories_grammar.h"

#include "data/stories_words.h"

#define LIST(rows)                                                                                                     \
    { rows, (int)(sizeof rows / sizeof rows[0]) }

/* What becomes of the treasure; the closing hangs on it. */
enum outcome { FOUND, HELPED, GAVE, TRADED, WON, BEATEN };

/* The slots by name, in the order of story_slots at the end of this file. NEW_X draws X and keeps it; X says it again,
 * at no cost; HE is "he", "she" or "it" for the hero's gender, and so are HIM and HIS. */

/* The parts of a story. */
#define STORY    "\x80"
#define OPENING  "\x81"
#define LIFE     "\x82"
#define TREASURE "\x83"
#define JOURNEY  "\x84"
#define SIGHT    "\x85"
#define SKY      "\x86"
#define PLOT     "\x87"
#define DEAL     "\x88"
#define RACE     "\x89"
#define CLOSING  "\x8a"
#define EVENING  "\x8b"
#define HOME     "\x8c"
#define ENDING   "\x8d"

/* The hero. */
#define NEW_TRAIT      "\x8e"
#define TRAIT          "\x8f"
#define NEW_KIND       "\x90"
#define KIND           "\x91"
#define NEW_HIS        "\x92"
#define NEW_NAME_START "\x93"
#define NAME_START     "\x94"
#define NEW_NAME_END   "\x95"
#define NAME_END       "\x96"
#define HE             "\x97"

#define HIM "\x98"
#define HIS "\x99"

/* The place. */
#define NEW_PLACE_LOOK "\x9a"
#define PLACE_LOOK     "\x9b"
#define NEW_PLACE_NOUN "\x9c"
#define PLACE_NOUN     "\x9d"
#define AT             "\x9e"

/* The treasure, and who gave it. */
#define NEW_COLOUR          "\x9f"
#define COLOUR              "\xa0"
#define NEW_THING           "\xa1"
#define THING               "\xa2"
#define NEW_FIRST_SYLLABLE  "\xa3"
#define FIRST_SYLLABLE      "\xa4"
#define NEW_SECOND_SYLLABLE "\xa5"
#define SECOND_SYLLABLE     "\xa6"
#define NEW_THIRD_SYLLABLE  "\xa7"
#define THIRD_SYLLABLE      "\xa8"
#define NEW_RELATIVE        "\xa9"
#define RELATIVE            "\xaa"
#define RELATIVE_START      "\xab"
#define RELATIVE_END        "\xac"
#define RELATIVE_HE         "\xad"

/* The weather. */
#define NEW_WEATHER "\xae"
#define DAY         "\xaf"
#define MONTH       "\xb0"
#define CLOTHES     "\xb1"
#define SCENT       "\xb2"
#define SHONE       "\xb3"
#define DRUMMED     "\xb4"
#define SPARKLED    "\xb5"
#define HOWLED      "\xb6"

/* The friend, what the friend owns, and a spot that matters. */
#define NEW_FRIEND_TITLE "\xb7"
#define NEW_FRIEND_START "\xb8"
#define FRIEND_START     "\xb9"
#define NEW_FRIEND_END   "\xba"
#define FRIEND_END       "\xbb"
#define FRIEND_HE        "\xbc"
#define FRIEND_HIM       "\xbd"
#define FRIEND_HIS       "\xbe"
#define NEW_PRIZE_COLOUR "\xbf"
#define PRIZE_COLOUR     "\xc0"
#define NEW_PRIZE_THING  "\xc1"
#define PRIZE_THING      "\xc2"
#define NEW_SPOT_WHERE   "\xc3"
#define SPOT_WHERE       "\xc4"
#define NEW_SPOT_LOOK    "\xc5"
#define SPOT_LOOK        "\xc6"
#define NEW_SPOT_NOUN    "\xc7"
#define SPOT_NOUN        "\xc8"

/* Words that are said once. */
#define ANY_TRAIT     "\xc9"
#define ANY_COLOUR    "\xca"
#define ANY_THING     "\xcb"
#define WHERE         "\xcc"
#define LOOK          "\xcd"
#define NOUN          "\xce"
#define CREATURE_NOUN "\xcf"
#define DOING         "\xd0"
#define FOOD          "\xd1"
#define SOUND_LOOK    "\xd2"
#define SOUND_NOUN    "\xd3"
#define ADVERB        "\xd4"
#define SAID          "\xd5"
#define DEGREE        "\xd6"
#define SAD           "\xd7"
#define HAPPY         "\xd8"
#define MOVED         "\xd9"
#define STRANGER_KIND "\xda"
#define MADE          "\xdb"
#define SYLLABLE      "\xdc"
#define TOWN_START    "\xdd"
#define TOWN_END      "\xde"
#define HOUR          "\xdf"
#define TEN           "\xe0"
#define FIRST_DIGIT   "\xe1"
#define DIGIT         "\xe2"
#define SKILL         "\xe3"

/* Phrases made of slots. */
#define NEW_PLACE     NEW_PLACE_LOOK " " NEW_PLACE_NOUN
#define PLACE         PLACE_LOOK " " PLACE_NOUN
#define NEW_NAME      NEW_NAME_START NEW_NAME_END
#define NAME          NAME_START NAME_END
#define NEW_FRIEND    NEW_FRIEND_TITLE " " NEW_FRIEND_START NEW_FRIEND_END
#define FRIEND        FRIEND_START FRIEND_END
#define NEW_OBJECT    NEW_COLOUR " " NEW_THING
#define OBJECT        COLOUR " " THING
#define NEW_WORD      "'" NEW_FIRST_SYLLABLE NEW_SECOND_SYLLABLE NEW_THIRD_SYLLABLE "'"
#define WORD          "'" FIRST_SYLLABLE SECOND_SYLLABLE THIRD_SYLLABLE "'"
#define NEW_PRIZE     NEW_PRIZE_COLOUR " " NEW_PRIZE_THING
#define PRIZE         PRIZE_COLOUR " " PRIZE_THING
#define NEW_SPOT      NEW_SPOT_WHERE " a " NEW_SPOT_LOOK " " NEW_SPOT_NOUN
#define SPOT          SPOT_WHERE " the " SPOT_LOOK " " SPOT_NOUN
#define SOMEWHERE     WHERE " a " LOOK " " NOUN
#define RELATIVE_NAME RELATIVE_START RELATIVE_END
#define TRINKET       ANY_COLOUR " " ANY_THING
#define CREATURE      LOOK ", " LOOK " " CREATURE_NOUN
#define SOUND         SOUND_LOOK " " SOUND_NOUN
#define STRANGER      ANY_TRAIT " " STRANGER_KIND " from " TOWN
#define TOWN          TOWN_START TOWN_END
#define NUMBER        FIRST_DIGIT DIGIT
#define TIME          HOUR TEN DIGIT
#define BAR           SYLLABLE " " SYLLABLE " " SYLLABLE " " SYLLABLE " " SYLLABLE " " SYLLABLE
#define SONG          "\"" BAR ", " BAR "\""

static const struct row stories[] = {
    {1, OPENING " " LIFE ", and " TREASURE " " JOURNEY " " PLOT " " CLOSING " " EVENING " " ENDING "\n\n", 0},
};

/* The gender is told by "his" and so on, before the name, whose ending hangs on it. */
#define HERO "a " NEW_TRAIT " " NEW_KIND " lived near the " NEW_PLACE ", and " NEW_HIS " name was " NEW_NAME "."
static const struct row openings[] = {
    {4, "Once upon a time in " TOWN ", " HERO, 0},
    {3, "Long ago in " TOWN ", " HERO, 0},
    {3, "Far away in " TOWN ", " HERO, 0},
    {3, "Between " TOWN " and " TOWN ", " HERO, 0},
    {1, "In 1" DIGIT DIGIT DIGIT ", in " TOWN ", " HERO, 0},
};

static const struct row his_or_her[] = {{1, "his", GENDER_HE}, {1, "her", GENDER_SHE}};
static const struct row his[] = {{1, "his", GENDER_HE}};
static const struct row her[] = {{1, "her", GENDER_SHE}};
static const struct row its[] = {{1, "its", GENDER_IT}};

static const struct row lives[] = {
    {6, "Every day " HE " ate " FOOD ", " FOOD " and " FOOD, 0},      {8, "At night " HE " sang " SONG, 0},
    {2, "Most of all " HE " liked to " SKILL " and eat " FOOD, 0},    {2, "Nobody could " SKILL " so " ADVERB, 0},
    {2, "When " HE " was " SAD ", " HE " ate " FOOD " and " FOOD, 0},
};

static const struct row treasures[] = {
    {3,
     "wherever " HE " went, " HE " took a " NEW_OBJECT " marked " NEW_WORD ", a gift from " HIS " " NEW_RELATIVE
     " " RELATIVE_NAME ".",
     0},
    {2,
     "under " HIS " bed " HE " kept a " NEW_OBJECT " marked " NEW_WORD ", " MADE " by " HIS " " NEW_RELATIVE
     " " RELATIVE_NAME ".",
     0},
    {2, "one day " HIS " " NEW_RELATIVE " " RELATIVE_NAME " gave " HIM " a " NEW_OBJECT " marked " NEW_WORD ".", 0},
};

static const struct row journeys[] = {
    {3,
     "One " NEW_WEATHER " " DAY " in " MONTH ", " NAME " put on " HIS " " ANY_COLOUR " " CLOTHES ", packed " FOOD
     ", " FOOD " and the " OBJECT ", and " MOVED " to the " PLACE ". " SIGHT,
     0},
    {2,
     "On a " NEW_WEATHER " " DAY " in " MONTH ", at " TIME ", " HIS " " RELATIVE " sent " HIM " to the " PLACE
     " with the " OBJECT ", some " FOOD " and a " TRINKET ", and there a " CREATURE " was " DOING " " SOMEWHERE ".",
     0},
    {2,
     "It was " TIME " on a " NEW_WEATHER " " DAY " in " MONTH " when " NAME " took the " OBJECT ", a " TRINKET
     " and some " FOOD " and " MOVED " to the " PLACE ". " SIGHT,
     0},
};

static const struct row sights[] = {
    {6, "There " HE " saw a " CREATURE ", a " CREATURE " and a " CREATURE " " DOING " " SOMEWHERE ".", 0},
    {6, "A " CREATURE " and a " CREATURE " were " DOING " " SOMEWHERE " and singing " SONG ".", 0},
    {2,
     "First " HE " passed a " LOOK " " NOUN ", then a " LOOK " " NOUN ", and then a " CREATURE " " DOING " " ADVERB ".",
     0},
    {2, "The " SKY, 0},
};

static const struct row fair_skies[] = {
    {1, "sun " SHONE " on a " LOOK " " NOUN " and a " CREATURE ", and the air smelled of " SCENT " and " SCENT ".", 0},
    {1, "sky was blue, and a " CREATURE " and a " CREATURE " were " DOING " " SOMEWHERE ".", 0},
};
static const struct row rain_skies[] = {
    {1, "rain " DRUMMED " on a " LOOK " " NOUN " and a " CREATURE ", and the air smelled of " SCENT " and " SCENT ".",
     0},
    {1, "puddles grew, and a wet " CREATURE_NOUN " was " DOING " " SOMEWHERE ".", 0},
};
static const struct row snow_skies[] = {
    {1, "snow " SPARKLED " " SOMEWHERE " and " SOMEWHERE ", and a cold " CREATURE_NOUN " was " DOING ".", 0},
    {1, "ice was thick, and " SOMEWHERE " a " CREATURE " and a " CREATURE " were " DOING ".", 0},
};
static const struct row wind_skies[] = {
    {1, "wind " HOWLED " and blew the hat of a " CREATURE " over a " LOOK " " NOUN " and a " LOOK " " NOUN ".", 0},
    {1, "clouds flew by, and " SOMEWHERE " a " CREATURE " and a " CREATURE " were " DOING ".", 0},
};

static const struct row plots[] = {
    {3,
     "But oh, the " THING " was gone, and " HE " looked " SOMEWHERE ", " SOMEWHERE " and " SOMEWHERE
     ", but found only a " TRINKET " and a " TRINKET " and was " DEGREE " " SAD ". \"Is it marked " WORD
     "? It lies " NEW_SPOT ",\" " SAID " " NEW_FRIEND ", a " STRANGER ". And there, " SPOT ", lay the " OBJECT ".",
     FOUND},
    {2,
     "Then " HE " heard a " SOUND ", for a " STRANGER " called " NEW_FRIEND " was stuck " NEW_SPOT
     ". \"Help, I am " DEGREE " " SAD ",\" " SAID " " FRIEND " " ADVERB ". " NAME " held out the " THING ", sang " SONG
     ", counted to " NUMBER " and pulled " FRIEND_HIM " out.",
     HELPED},
    {2,
     "All at once " HE " heard a " SOUND ", for " NEW_SPOT " sat " NEW_FRIEND ", a " STRANGER ". \"I am " DEGREE " " SAD
     ", because a " CREATURE " took my " TRINKET ",\" " SAID " " FRIEND " " ADVERB ". " NAME " gave " FRIEND_HIM
     " the " OBJECT ".",
     GAVE},
    {2,
     "Along came " NEW_FRIEND ", a " STRANGER " with a " NEW_PRIZE ", a " TRINKET " and some " FOOD
     ". \"Give me the " THING " marked " WORD ", and take my " PRIZE ",\" " SAID " " FRIEND " " ADVERB ". " DEAL,
     TRADED},
    {2,
     "At " TIME " came " NEW_FRIEND ", a " STRANGER " with a " NEW_PRIZE ". \"Let us race to the " NEW_SPOT_LOOK
     " " NEW_SPOT_NOUN " for your " THING " and my " PRIZE_THING ",\" " SAID " " FRIEND " " ADVERB
     ". They ran past a " LOOK " " NOUN ", a " CREATURE " and a " CREATURE ", and " RACE,
     WON},
};

/* The plots that end with one of these leave the outcome to it: it is kept in place of the plot's own. */
static const struct row deals[] = {
    {2, "So they traded " ADVERB ".", TRADED},
    {1, "But " NAME " thought of " HIS " " RELATIVE " and kept the " OBJECT ".", FOUND},
};
static const struct row races[] = {
    {1, "after " NUMBER " minutes " NAME " came first to the " SPOT_LOOK " " SPOT_NOUN " and won the " PRIZE ".", WON},
    {1, "by " NUMBER " steps " FRIEND " came first to the " SPOT_LOOK " " SPOT_NOUN " and won the " OBJECT ".", BEATEN},
};

static const struct row found_closings[] = {
    {1, "Then " NAME " and " FRIEND " ate " FOOD ", " FOOD " and " FOOD ", and both were " DEGREE " " HAPPY ".", 0},
    {1, "How " HAPPY " " NAME " was to have the " THING ", and how " ADVERB " " FRIEND " sang " SONG "!", 0},
};
static const struct row helped_closings[] = {
    {1,
     "Then " FRIEND " gave " NAME " a " TRINKET ", some " FOOD " and some " FOOD ", for " FRIEND_HE " was " DEGREE
     " " HAPPY ".",
     0},
    {1, "So " NAME " made a friend, and together they ate " FOOD ", " FOOD " and " FOOD " " SOMEWHERE ".", 0},
};
static const struct row gave_closings[] = {
    {1, "Now " NAME " had no " THING ", but " HE " had a " ANY_TRAIT " friend and was " DEGREE " " HAPPY ".", 0},
    {1, "In return, " FRIEND " gave " HIM " " FOOD ", " FOOD " and a " TRINKET ", and sang " SONG ".", 0},
};
static const struct row traded_closings[] = {
    {1,
     "Now the " PRIZE_THING " was " HIS " own, and " FRIEND " played " ADVERB " with the " THING " and a " TRINKET
     " " SOMEWHERE ".",
     0},
    {1, "How " HAPPY " " FRIEND " was with the " THING ", and how " HAPPY " " NAME " was with the " PRIZE_THING "!", 0},
};
static const struct row won_closings[] = {
    {1, "Now " NAME " had a " OBJECT " and a " PRIZE " and was " DEGREE " " HAPPY ".", 0},
    {1, "Because " FRIEND " was " DEGREE " " SAD ", " NAME " gave " FRIEND_HIM " " FOOD ", " FOOD " and a " TRINKET ".",
     0},
};
static const struct row beaten_closings[] = {
    {1, "Now the " THING " was with " FRIEND ", and " NAME " was " DEGREE " " SAD " and " SAD ".", 0},
    {1, "Because " NAME " was " DEGREE " " SAD ", " FRIEND " gave " HIM " " FOOD " and " FRIEND_HIS " " TRINKET ".", 0},
};

static const struct row fair_evenings[] = {
    {2, "At sunset " NAME " " HOME, 0},
    {1, "Under a red sky " NAME " " HOME, 0},
};
static const struct row rain_evenings[] = {
    {2, "When the rain stopped, " NAME " " HOME, 0},
    {1, "Wet to the skin, " NAME " " HOME, 0},
};
static const struct row snow_evenings[] = {
    {2, "In the deep snow " NAME " " HOME, 0},
    {1, "With cold feet " NAME " " HOME, 0},
};
static const struct row wind_evenings[] = {
    {2, "When the wind died down, " NAME " " HOME, 0},
    {1, "With the wind behind " HIM ", " NAME " " HOME, 0},
};

static const struct row homes[] = {
    {3, "went home to " HIS " " RELATIVE ", who made " HIM " " FOOD ", " FOOD " and " FOOD ".", 0},
    {1, "told " HIS " " RELATIVE " about " FRIEND ", and " RELATIVE_HE " was " DEGREE " " HAPPY ".", 0},
    {2, "slept " SOMEWHERE " and dreamed of a " CREATURE " with a " TRINKET ".", 0},
};

static const struct row endings[] = {
    {8, "The end.", 0},
    {2, "And that is the story of the " TRAIT " " KIND " and the " THING " marked " WORD ".", 0},
    {2, "Ever since, " NAME " and " FRIEND " meet " AT " the " PLACE " every " DAY " at " TIME ".", 0},
    {2, "Now a sign " AT " the " PLACE " says: \"Here lives " NAME " the " KIND ".\"", 0},
};

const struct slot story_slots[] = {
    /* The parts of a story. */
    {STORY, .list = {LIST(stories)}},
    {OPENING, .list = {LIST(openings)}},
    {LIFE, .list = {LIST(lives)}},
    {TREASURE, .list = {LIST(treasures)}},
    {JOURNEY, .list = {LIST(journeys)}},
    {SIGHT, .list = {LIST(sights)}},
    {SKY, .by = KEPT_WEATHER, .list = {LIST(fair_skies), LIST(rain_skies), LIST(snow_skies), LIST(wind_skies)}},
    {PLOT, .keep = KEPT_OUTCOME, .list = {LIST(plots)}},
    {DEAL, .keep = KEPT_OUTCOME, .list = {LIST(deals)}},
    {RACE, .keep = KEPT_OUTCOME, .list = {LIST(races)}},
    {CLOSING, .by = KEPT_OUTCOME,
     .list = {LIST(found_closings), LIST(helped_closings), LIST(gave_closings), LIST(traded_closings),
              LIST(won_closings), LIST(beaten_closings)}},
    {EVENING, .by = KEPT_WEATHER,
     .list = {LIST(fair_evenings), LIST(rain_evenings), LIST(snow_evenings), LIST(wind_evenings)}},
    {HOME, .list = {LIST(homes)}},
    {ENDING, .list = {LIST(endings)}},
    /* The hero. */
    {NEW_TRAIT, .keep = KEPT_TRAIT, .list = {LIST(traits)}},
    {TRAIT, .by = KEPT_TRAIT},
    {NEW_KIND, .keep = KEPT_KIND, .list = {LIST(kinds)}},
    {KIND, .by = KEPT_KIND},
    {NEW_HIS, .by = KEPT_KIND, .keep = KEPT_GENDER, .list = {LIST(his_or_her), LIST(his), LIST(her), LIST(its)}},
    {NEW_NAME_START, .keep = KEPT_NAME_START, .list = {LIST(name_starts)}},
    {NAME_START, .by = KEPT_NAME_START},
    {NEW_NAME_END, .by = KEPT_GENDER, .keep = KEPT_NAME_END,
     .list = {LIST(he_name_ends), LIST(she_name_ends), LIST(it_name_ends)}},
    {NAME_END, .by = KEPT_NAME_END},
    {HE, .by = KEPT_GENDER, .words = {"he", "she", "it"}},

    {HIM, .by = KEPT_GENDER, .words = {"him", "her", "it"}},
    {HIS, .by = KEPT_GENDER, .words = {"his", "her", "its"}},
    /* The place. */
    {NEW_PLACE_LOOK, .keep = KEPT_PLACE_LOOK, .list = {LIST(place_looks)}},
    {PLACE_LOOK, .by = KEPT_PLACE_LOOK},
    {NEW_PLACE_NOUN, .keep = KEPT_PLACE, .list = {LIST(places)}},
    {PLACE_NOUN, .by = KEPT_PLACE},
    {AT, .by = KEPT_PLACE, .words = {"by", "in", "on", "in"}},
    /* The treasure, and who gave it. */
    {NEW_COLOUR, .keep = KEPT_COLOUR, .list = {LIST(colours)}},
    {COLOUR, .by = KEPT_COLOUR},
    {NEW_THING, .keep = KEPT_THING, .list = {LIST(things)}},
    {THING, .by = KEPT_THING},
    {NEW_FIRST_SYLLABLE, .keep = KEPT_FIRST_SYLLABLE, .list = {LIST(syllables)}},
    {FIRST_SYLLABLE, .by = KEPT_FIRST_SYLLABLE},
    {NEW_SECOND_SYLLABLE, .keep = KEPT_SECOND_SYLLABLE, .list = {LIST(syllables)}},
    {SECOND_SYLLABLE, .by = KEPT_SECOND_SYLLABLE},
    {NEW_THIRD_SYLLABLE, .keep = KEPT_THIRD_SYLLABLE, .list = {LIST(syllables)}},
    {THIRD_SYLLABLE, .by = KEPT_THIRD_SYLLABLE},
    {NEW_RELATIVE, .keep = KEPT_RELATIVE, .list = {LIST(relatives)}},
    {RELATIVE, .by = KEPT_RELATIVE},
    {RELATIVE_START, .list = {LIST(name_starts)}},
    {RELATIVE_END, .by = KEPT_RELATIVE, .list = {LIST(he_name_ends), LIST(she_name_ends)}},
    {RELATIVE_HE, .by = KEPT_RELATIVE, .words = {"he", "she"}},
    /* The weather. */
    {NEW_WEATHER, .keep = KEPT_WEATHER, .list = {LIST(weathers)}},
    {DAY, .list = {LIST(days)}},
    {MONTH, .by = KEPT_WEATHER, .list = {LIST(fair_months), LIST(rain_months), LIST(snow_months), LIST(wind_months)}},
    {CLOTHES, .by = KEPT_WEATHER,
     .list = {LIST(fair_clothes), LIST(rain_clothes), LIST(snow_clothes), LIST(wind_clothes)}},
    {SCENT, .list = {LIST(scents)}},
    {SHONE, .list = {LIST(shining)}},
    {DRUMMED, .list = {LIST(drumming)}},
    {SPARKLED, .list = {LIST(sparkling)}},
    {HOWLED, .list = {LIST(howling)}},
    /* The friend, what the friend owns, and a spot that matters. */
    {NEW_FRIEND_TITLE, .keep = KEPT_FRIEND_TITLE, .list = {LIST(titles)}},
    {NEW_FRIEND_START, .keep = KEPT_FRIEND_START, .list = {LIST(name_starts)}},
    {FRIEND_START, .by = KEPT_FRIEND_START},
    {NEW_FRIEND_END, .by = KEPT_FRIEND_TITLE, .keep = KEPT_FRIEND_END,
     .list = {LIST(he_name_ends), LIST(she_name_ends)}},
    {FRIEND_END, .by = KEPT_FRIEND_END},
    {FRIEND_HE, .by = KEPT_FRIEND_TITLE, .words = {"he", "she"}},
    {FRIEND_HIM, .by = KEPT_FRIEND_TITLE, .words = {"him", "her"}},
    {FRIEND_HIS, .by = KEPT_FRIEND_TITLE, .words = {"his", "her"}},
    {NEW_PRIZE_COLOUR, .keep = KEPT_PRIZE_COLOUR, .list = {LIST(colours)}},
    {PRIZE_COLOUR, .by = KEPT_PRIZE_COLOUR},
    {NEW_PRIZE_THING, .keep = KEPT_PRIZE, .list = {LIST(things)}},
    {PRIZE_THING, .by = KEPT_PRIZE},
    {NEW_SPOT_WHERE, .keep = KEPT_SPOT_WHERE, .list = {LIST(wheres)}},
    {SPOT_WHERE, .by = KEPT_SPOT_WHERE},
    {NEW_SPOT_LOOK, .keep = KEPT_SPOT_LOOK, .list = {LIST(looks)}},
    {SPOT_LOOK, .by = KEPT_SPOT_LOOK},
    {NEW_SPOT_NOUN, .by = KEPT_PLACE, .keep = KEPT_SPOT,
     .list = {LIST(water_spots), LIST(wood_spots), LIST(height_spots), LIST(town_spots)}},
    {SPOT_NOUN, .by = KEPT_SPOT},
    /* Words that are said once. */
    {ANY_TRAIT, .list = {LIST(traits)}},
    {ANY_COLOUR, .list = {LIST(colours)}},
    {ANY_THING, .list = {LIST(things)}},
    {WHERE, .list = {LIST(wheres)}},
    {LOOK, .list = {LIST(looks)}},
    {NOUN, .by = KEPT_PLACE, .list = {LIST(water_spots), LIST(wood_spots), LIST(height_spots), LIST(town_spots)}},
    {CREATURE_NOUN, .by = KEPT_PLACE,
     .list = {LIST(water_creatures), LIST(wood_creatures), LIST(height_creatures), LIST(town_creatures)}},
    {DOING, .list = {LIST(doings)}},
    {FOOD, .list = {LIST(foods)}},
    {SOUND_LOOK, .list = {LIST(sound_looks)}},
    {SOUND_NOUN, .list = {LIST(sounds)}},
    {ADVERB, .list = {LIST(adverbs)}},
    {SAID, .list = {LIST(sayings)}},
    {DEGREE, .list = {LIST(degrees)}},
    {SAD, .list = {LIST(sad_feelings)}},
    {HAPPY, .list = {LIST(happy_feelings)}},
    {MOVED, .list = {LIST(moves)}},
    {STRANGER_KIND, .list = {LIST(stranger_kinds)}},
    {MADE, .list = {LIST(makings)}},
    {SYLLABLE, .list = {LIST(syllables)}},
    {TOWN_START, .list = {LIST(name_starts)}},
    {TOWN_END, .list = {LIST(town_ends)}},
    {HOUR, .list = {LIST(hours)}},
    {TEN, .list = {LIST(tens)}},
    {FIRST_DIGIT, .list = {LIST(first_digits)}},
    {DIGIT, .list = {LIST(digits)}},
    {SKILL, .list = {LIST(skills)}},
};
const int story_slot_count = (int)(sizeof story_slots / sizeof story_slots[0]);
