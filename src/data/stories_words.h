/* The words of the built-in corpus, as lists of the grammar: see stories_grammar.h. Only stories_grammar.c includes
 * this.
 *
 * A word that may follow "a" begins with a consonant. Where nobody asks for the form it is 0. */
#ifndef DATA_STORIES_WORDS_H
#define DATA_STORIES_WORDS_H

#include "data/stories_grammar.h"

enum gender { GENDER_HE, GENDER_SHE, GENDER_IT };
enum names { HE_OR_SHE, HE_ONLY, SHE_ONLY, IT_ONLY };
enum surroundings { WATER, WOOD, HEIGHT, TOWN };
enum weather { FAIR, RAIN, SNOW, WIND };

/* Of heroes and strangers. */
static const struct row traits[] = {
    {2, "little", 0},   {1, "brave", 0},    {1, "clever", 0},   {1, "lazy", 0},       {1, "kind", 0},
    {1, "shy", 0},      {1, "curious", 0},  {1, "gentle", 0},   {1, "cheerful", 0},   {1, "stubborn", 0},
    {1, "sleepy", 0},   {1, "hungry", 0},   {1, "lonely", 0},   {1, "proud", 0},      {1, "quiet", 0},
    {1, "merry", 0},    {1, "nervous", 0},  {1, "patient", 0},  {1, "polite", 0},     {1, "playful", 0},
    {1, "silly", 0},    {1, "young", 0},    {1, "tiny", 0},     {1, "careful", 0},    {1, "clumsy", 0},
    {1, "dreamy", 0},   {1, "friendly", 0}, {1, "funny", 0},    {1, "greedy", 0},     {1, "grumpy", 0},
    {1, "humble", 0},   {1, "lively", 0},   {1, "lucky", 0},    {1, "messy", 0},      {1, "nosy", 0},
    {1, "plump", 0},    {1, "quick", 0},    {1, "restless", 0}, {1, "shaggy", 0},     {1, "skinny", 0},
    {1, "strong", 0},   {1, "sweet", 0},    {1, "tidy", 0},     {1, "wise", 0},       {1, "witty", 0},
    {1, "bold", 0},     {1, "busy", 0},     {1, "daring", 0},   {1, "fearless", 0},   {1, "forgetful", 0},
    {1, "generous", 0}, {1, "helpful", 0},  {1, "jolly", 0},    {1, "modest", 0},     {1, "noisy", 0},
    {1, "peaceful", 0}, {1, "speedy", 0},   {1, "tall", 0},     {1, "thoughtful", 0}, {1, "tired", 0},
    {1, "calm", 0},     {1, "chatty", 0},   {1, "cranky", 0},   {1, "cunning", 0},    {1, "fair", 0},
    {1, "fat", 0},      {1, "faithful", 0}, {1, "famous", 0},   {1, "frail", 0},      {1, "fussy", 0},
    {1, "glum", 0},     {1, "good", 0},     {1, "graceful", 0}, {1, "handsome", 0},   {1, "hardy", 0},
    {1, "hasty", 0},    {1, "honest", 0},   {1, "jumpy", 0},    {1, "keen", 0},       {1, "lean", 0},
    {1, "loud", 0},     {1, "loyal", 0},    {1, "meek", 0},     {1, "mild", 0},       {1, "moody", 0},
    {1, "neat", 0},     {1, "nimble", 0},   {1, "nice", 0},     {1, "noble", 0},      {1, "pale", 0},
    {1, "poor", 0},     {1, "pretty", 0},   {1, "prim", 0},     {1, "rash", 0},       {1, "rich", 0},
    {1, "rude", 0},     {1, "serious", 0},  {1, "sharp", 0},    {1, "sly", 0},        {1, "small", 0},
    {1, "smart", 0},    {1, "sober", 0},    {1, "solemn", 0},   {1, "spry", 0},       {1, "stern", 0},
    {1, "swift", 0},    {1, "tame", 0},     {1, "tender", 0},   {1, "timid", 0},      {1, "tough", 0},
    {1, "trusty", 0},   {1, "vain", 0},     {1, "warm", 0},     {1, "weary", 0},      {1, "wild", 0},
    {1, "zany", 0},     {1, "big", 0},      {1, "bright", 0},   {1, "dizzy", 0},      {1, "gruff", 0}};

/* The form says which pronouns a hero of this kind may have. */
static const struct row kinds[] = {
    {1, "fox", HE_OR_SHE},      {1, "rabbit", HE_OR_SHE},   {1, "bear", HE_OR_SHE},     {1, "mouse", HE_OR_SHE},
    {1, "hedgehog", HE_OR_SHE}, {1, "squirrel", HE_OR_SHE}, {1, "badger", HE_OR_SHE},   {1, "cat", HE_OR_SHE},
    {1, "dog", HE_OR_SHE},      {1, "duck", HE_OR_SHE},     {1, "goose", HE_OR_SHE},    {1, "hen", HE_OR_SHE},
    {1, "frog", HE_OR_SHE},     {1, "lamb", HE_OR_SHE},     {1, "goat", HE_OR_SHE},     {1, "pony", HE_OR_SHE},
    {1, "donkey", HE_OR_SHE},   {1, "pig", HE_OR_SHE},      {1, "beaver", HE_OR_SHE},   {1, "raccoon", HE_OR_SHE},
    {1, "turtle", HE_OR_SHE},   {1, "penguin", HE_OR_SHE},  {1, "panda", HE_OR_SHE},    {1, "koala", HE_OR_SHE},
    {1, "lion", HE_OR_SHE},     {1, "tiger", HE_OR_SHE},    {1, "monkey", HE_OR_SHE},   {1, "zebra", HE_OR_SHE},
    {1, "giraffe", HE_OR_SHE},  {1, "camel", HE_OR_SHE},    {1, "kangaroo", HE_OR_SHE}, {1, "wolf", HE_OR_SHE},
    {1, "mole", HE_OR_SHE},     {1, "hamster", HE_OR_SHE},  {1, "lizard", HE_OR_SHE},   {1, "dragon", HE_OR_SHE},
    {1, "parrot", HE_OR_SHE},   {1, "robin", HE_OR_SHE},    {1, "crow", HE_OR_SHE},     {1, "swan", HE_OR_SHE},
    {1, "crab", HE_OR_SHE},     {1, "seal", HE_OR_SHE},     {1, "walrus", HE_OR_SHE},   {1, "moose", HE_OR_SHE},
    {1, "bison", HE_OR_SHE},    {1, "ferret", HE_OR_SHE},   {1, "weasel", HE_OR_SHE},   {1, "llama", HE_OR_SHE},
    {1, "puppy", HE_OR_SHE},    {1, "kitten", HE_OR_SHE},   {1, "calf", HE_OR_SHE},     {1, "foal", HE_OR_SHE},
    {1, "gardener", HE_OR_SHE}, {1, "sailor", HE_OR_SHE},   {1, "shepherd", HE_OR_SHE}, {1, "knight", HE_OR_SHE},
    {1, "giant", HE_OR_SHE},    {1, "dwarf", HE_OR_SHE},    {1, "raven", HE_OR_SHE},    {1, "stork", HE_OR_SHE},
    {1, "heron", HE_OR_SHE},    {1, "toad", HE_OR_SHE},     {1, "snail", HE_OR_SHE},    {1, "beetle", HE_OR_SHE},
    {1, "cricket", HE_OR_SHE},  {1, "spider", HE_OR_SHE},   {1, "mule", HE_OR_SHE},     {1, "horse", HE_OR_SHE},
    {1, "cow", HE_OR_SHE},      {1, "sheep", HE_OR_SHE},    {1, "ram", HE_OR_SHE},      {1, "stag", HE_OR_SHE},
    {1, "boar", HE_OR_SHE},     {1, "lynx", HE_OR_SHE},     {1, "jackal", HE_OR_SHE},   {1, "hyena", HE_OR_SHE},
    {1, "gorilla", HE_OR_SHE},  {1, "tortoise", HE_OR_SHE}, {1, "pelican", HE_OR_SHE},  {1, "flamingo", HE_OR_SHE},
    {1, "peacock", HE_OR_SHE},  {1, "turkey", HE_OR_SHE},   {1, "magpie", HE_OR_SHE},   {1, "skunk", HE_OR_SHE},
    {1, "chipmunk", HE_OR_SHE}, {1, "buffalo", HE_OR_SHE},  {1, "cheetah", HE_OR_SHE},  {1, "gazelle", HE_OR_SHE},
    {1, "hare", HE_OR_SHE},     {1, "hippo", HE_OR_SHE},    {1, "jaguar", HE_OR_SHE},   {1, "leopard", HE_OR_SHE},
    {1, "lobster", HE_OR_SHE},  {1, "mongoose", HE_OR_SHE}, {1, "panther", HE_OR_SHE},  {1, "pheasant", HE_OR_SHE},
    {1, "possum", HE_OR_SHE},   {1, "puffin", HE_OR_SHE},   {1, "python", HE_OR_SHE},   {1, "rat", HE_OR_SHE},
    {1, "rhino", HE_OR_SHE},    {1, "sloth", HE_OR_SHE},    {1, "tapir", HE_OR_SHE},    {1, "toucan", HE_OR_SHE},
    {1, "vulture", HE_OR_SHE},  {1, "yak", HE_OR_SHE},      {1, "gecko", HE_OR_SHE},    {1, "hawk", HE_OR_SHE},
    {1, "jay", HE_OR_SHE},      {1, "lark", HE_OR_SHE},     {1, "mink", HE_OR_SHE},     {1, "newt", HE_OR_SHE},
    {1, "pike", HE_OR_SHE},     {1, "quail", HE_OR_SHE},    {1, "shrew", HE_OR_SHE},    {1, "shark", HE_OR_SHE},
    {1, "tuna", HE_OR_SHE},     {1, "viper", HE_OR_SHE},    {1, "wasp", HE_OR_SHE},     {1, "whale", HE_OR_SHE},
    {1, "wren", HE_OR_SHE},     {1, "dove", HE_OR_SHE},     {1, "finch", HE_OR_SHE},    {1, "flea", HE_OR_SHE},
    {1, "gnat", HE_OR_SHE},     {1, "gull", HE_OR_SHE},     {1, "moth", HE_OR_SHE},     {1, "baker", HE_OR_SHE},
    {1, "cook", HE_OR_SHE},     {1, "tailor", HE_OR_SHE},   {1, "miller", HE_OR_SHE},   {1, "miner", HE_OR_SHE},
    {1, "pirate", HE_OR_SHE},   {1, "poet", HE_OR_SHE},     {1, "potter", HE_OR_SHE},   {1, "page", HE_OR_SHE},
    {1, "smith", HE_OR_SHE},    {1, "scout", HE_OR_SHE},    {1, "thief", HE_OR_SHE},    {1, "weaver", HE_OR_SHE},
    {2, "boy", HE_ONLY},        {1, "king", HE_ONLY},       {1, "wizard", HE_ONLY},     {2, "girl", SHE_ONLY},
    {1, "queen", SHE_ONLY},     {1, "witch", SHE_ONLY},     {2, "robot", IT_ONLY},      {2, "teapot", IT_ONLY},
    {2, "train", IT_ONLY},      {1, "scarecrow", IT_ONLY},  {1, "broom", IT_ONLY},      {1, "tractor", IT_ONLY},
    {1, "tugboat", IT_ONLY},    {1, "wagon", IT_ONLY}};

/* Strangers have titles, which settle their gender: none of these does. */
static const struct row stranger_kinds[] = {
    {1, "fox", 0},       {1, "bear", 0},       {1, "mouse", 0},    {1, "squirrel", 0},  {1, "badger", 0},
    {1, "dog", 0},       {1, "duck", 0},       {1, "hen", 0},      {1, "frog", 0},      {1, "goat", 0},
    {1, "pony", 0},      {1, "pig", 0},        {1, "beaver", 0},   {1, "turtle", 0},    {1, "penguin", 0},
    {1, "koala", 0},     {1, "lion", 0},       {1, "monkey", 0},   {1, "zebra", 0},     {1, "camel", 0},
    {1, "kangaroo", 0},  {1, "mole", 0},       {1, "hamster", 0},  {1, "dragon", 0},    {1, "parrot", 0},
    {1, "crow", 0},      {1, "swan", 0},       {1, "seal", 0},     {1, "walrus", 0},    {1, "bison", 0},
    {1, "ferret", 0},    {1, "llama", 0},      {1, "puppy", 0},    {1, "calf", 0},      {1, "foal", 0},
    {1, "sailor", 0},    {1, "shepherd", 0},   {1, "giant", 0},    {1, "dwarf", 0},     {1, "stork", 0},
    {1, "heron", 0},     {1, "snail", 0},      {1, "beetle", 0},   {1, "spider", 0},    {1, "mule", 0},
    {1, "cow", 0},       {1, "sheep", 0},      {1, "stag", 0},     {1, "boar", 0},      {1, "jackal", 0},
    {1, "hyena", 0},     {1, "tortoise", 0},   {1, "pelican", 0},  {1, "peacock", 0},   {1, "turkey", 0},
    {1, "skunk", 0},     {1, "chipmunk", 0},   {1, "cheetah", 0},  {1, "gazelle", 0},   {1, "hippo", 0},
    {1, "jaguar", 0},    {1, "lobster", 0},    {1, "mongoose", 0}, {1, "pheasant", 0},  {1, "possum", 0},
    {1, "python", 0},    {1, "rat", 0},        {1, "sloth", 0},    {1, "tapir", 0},     {1, "vulture", 0},
    {1, "yak", 0},       {1, "hawk", 0},       {1, "jay", 0},      {1, "mink", 0},      {1, "newt", 0},
    {1, "quail", 0},     {1, "shrew", 0},      {1, "tuna", 0},     {1, "viper", 0},     {1, "whale", 0},
    {1, "wren", 0},      {1, "finch", 0},      {1, "flea", 0},     {1, "gull", 0},      {1, "moth", 0},
    {1, "cook", 0},      {1, "tailor", 0},     {1, "miner", 0},    {1, "pirate", 0},    {1, "potter", 0},
    {1, "page", 0},      {1, "scout", 0},      {1, "thief", 0},    {1, "chameleon", 0}, {1, "salamander", 0},
    {1, "porcupine", 0}, {1, "woodpecker", 0}, {1, "dolphin", 0},  {1, "clown", 0},     {1, "juggler", 0},
    {1, "judge", 0},     {1, "nurse", 0},      {1, "pilot", 0},    {1, "tutor", 0}};

/* Names of heroes, friends and towns begin with one of these. */
static const struct row name_starts[] = {
    {1, "Ba", 0},  {1, "Be", 0},  {1, "Bi", 0},  {1, "Bo", 0},  {1, "Da", 0},  {1, "De", 0},  {1, "Di", 0},
    {1, "Do", 0},  {1, "Fa", 0},  {1, "Fe", 0},  {1, "Fi", 0},  {1, "Fo", 0},  {1, "Ga", 0},  {1, "Ge", 0},
    {1, "Gi", 0},  {1, "Go", 0},  {1, "Ha", 0},  {1, "He", 0},  {1, "Hi", 0},  {1, "Ho", 0},  {1, "Ja", 0},
    {1, "Je", 0},  {1, "Ji", 0},  {1, "Jo", 0},  {1, "Ka", 0},  {1, "Ke", 0},  {1, "Ki", 0},  {1, "Ko", 0},
    {1, "La", 0},  {1, "Le", 0},  {1, "Li", 0},  {1, "Lo", 0},  {1, "Ma", 0},  {1, "Me", 0},  {1, "Mi", 0},
    {1, "Mo", 0},  {1, "Na", 0},  {1, "Ne", 0},  {1, "Ni", 0},  {1, "No", 0},  {1, "Pa", 0},  {1, "Pe", 0},
    {1, "Pi", 0},  {1, "Po", 0},  {1, "Ra", 0},  {1, "Re", 0},  {1, "Ri", 0},  {1, "Ro", 0},  {1, "Sa", 0},
    {1, "Se", 0},  {1, "Si", 0},  {1, "So", 0},  {1, "Ta", 0},  {1, "Te", 0},  {1, "Ti", 0},  {1, "To", 0},
    {1, "Va", 0},  {1, "Ve", 0},  {1, "Vi", 0},  {1, "Vo", 0},  {1, "Wa", 0},  {1, "We", 0},  {1, "Wi", 0},
    {1, "Wo", 0},  {1, "Za", 0},  {1, "Ze", 0},  {1, "Zi", 0},  {1, "Zo", 0},  {1, "Bra", 0}, {1, "Bre", 0},
    {1, "Bri", 0}, {1, "Bro", 0}, {1, "Dra", 0}, {1, "Dre", 0}, {1, "Dri", 0}, {1, "Dro", 0}, {1, "Fla", 0},
    {1, "Fle", 0}, {1, "Fli", 0}, {1, "Flo", 0}, {1, "Gra", 0}, {1, "Gre", 0}, {1, "Gri", 0}, {1, "Gro", 0},
    {1, "Kra", 0}, {1, "Kre", 0}, {1, "Kri", 0}, {1, "Kro", 0}, {1, "Pla", 0}, {1, "Ple", 0}, {1, "Pli", 0},
    {1, "Plo", 0}, {1, "Tra", 0}, {1, "Tre", 0}, {1, "Tri", 0}, {1, "Tro", 0}};

static const struct row he_name_ends[] = {
    {1, "bald", 0}, {1, "rin", 0},   {1, "mur", 0}, {1, "lf", 0},   {1, "ndo", 0},  {1, "ston", 0}, {1, "vin", 0},
    {1, "sper", 0}, {1, "bert", 0},  {1, "kur", 0}, {1, "mund", 0}, {1, "nard", 0}, {1, "lek", 0},  {1, "to", 0},
    {1, "bin", 0},  {1, "zo", 0},    {1, "ric", 0}, {1, "dric", 0}, {1, "no", 0},   {1, "ppo", 0},  {1, "dan", 0},
    {1, "fus", 0},  {1, "garth", 0}, {1, "han", 0}, {1, "jo", 0},   {1, "lan", 0},  {1, "pek", 0},  {1, "wald", 0},
    {1, "ron", 0},  {1, "xus", 0},   {1, "don", 0}, {1, "rold", 0}};

static const struct row she_name_ends[] = {
    {1, "lla", 0},   {1, "na", 0},   {1, "nia", 0},   {1, "ra", 0},   {1, "rissa", 0}, {1, "lia", 0},
    {1, "mina", 0},  {1, "tta", 0},  {1, "della", 0}, {1, "rose", 0}, {1, "bel", 0},   {1, "lynn", 0},
    {1, "wen", 0},   {1, "dora", 0}, {1, "beth", 0},  {1, "sia", 0},  {1, "line", 0},  {1, "vita", 0},
    {1, "ya", 0},    {1, "via", 0},  {1, "thea", 0},  {1, "cy", 0},   {1, "nelle", 0}, {1, "ga", 0},
    {1, "hanna", 0}, {1, "ja", 0},   {1, "melle", 0}, {1, "sha", 0},  {1, "xa", 0}};

static const struct row it_name_ends[] = {{1, "ppit", 0}, {1, "bbit", 0}, {1, "zzle", 0}, {1, "ngle", 0},
                                          {1, "dget", 0}, {1, "bot", 0},  {1, "wee", 0},  {1, "lt", 0},
                                          {1, "rky", 0},  {1, "mble", 0}, {1, "ffin", 0}, {1, "mmer", 0},
                                          {1, "bbon", 0}, {1, "tang", 0}, {1, "tron", 0}, {1, "lox", 0}};

static const struct row town_ends[] = {
    {1, "ford", 0},   {1, "ton", 0},     {1, "dale", 0},  {1, "mouth", 0}, {1, "wick", 0},   {1, "bury", 0},
    {1, "stead", 0},  {1, "by", 0},      {1, "ham", 0},   {1, "field", 0}, {1, "port", 0},   {1, "stow", 0},
    {1, "well", 0},   {1, "ness", 0},    {1, "worth", 0}, {1, "ville", 0}, {1, "brook", 0},  {1, "haven", 0},
    {1, "castle", 0}, {1, "minster", 0}, {1, "gate", 0},  {1, "den", 0},   {1, "ley", 0},    {1, "more", 0},
    {1, "rock", 0},   {1, "land", 0},    {1, "kirk", 0},  {1, "cliff", 0}, {1, "thorpe", 0}, {1, "pool", 0},
    {1, "fell", 0},   {1, "head", 0}};

/* Of the words on treasures, and of songs. */
static const struct row syllables[] = {
    {1, "ba", 0}, {1, "be", 0}, {1, "bi", 0}, {1, "bo", 0}, {1, "bu", 0}, {1, "da", 0}, {1, "de", 0}, {1, "di", 0},
    {1, "do", 0}, {1, "du", 0}, {1, "fa", 0}, {1, "fe", 0}, {1, "fi", 0}, {1, "fo", 0}, {1, "ja", 0}, {1, "je", 0},
    {1, "ji", 0}, {1, "jo", 0}, {1, "ju", 0}, {1, "la", 0}, {1, "le", 0}, {1, "li", 0}, {1, "lo", 0}, {1, "lu", 0},
    {1, "ma", 0}, {1, "me", 0}, {1, "mi", 0}, {1, "mo", 0}, {1, "mu", 0}, {1, "na", 0}, {1, "ne", 0}, {1, "ni", 0},
    {1, "no", 0}, {1, "nu", 0}, {1, "ra", 0}, {1, "re", 0}, {1, "ri", 0}, {1, "ro", 0}, {1, "ru", 0}, {1, "sa", 0},
    {1, "se", 0}, {1, "si", 0}, {1, "so", 0}, {1, "su", 0}, {1, "ta", 0}, {1, "te", 0}, {1, "ti", 0}, {1, "to", 0},
    {1, "tu", 0}, {1, "va", 0}, {1, "ve", 0}, {1, "vi", 0}, {1, "vo", 0}, {1, "vu", 0}, {1, "za", 0}, {1, "ze", 0},
    {1, "zo", 0}, {1, "zu", 0}};

static const struct row titles[] = {{1, "Mister", GENDER_HE}, {1, "Sir", GENDER_HE},   {1, "Lord", GENDER_HE},
                                    {1, "King", GENDER_HE},   {1, "Uncle", GENDER_HE}, {1, "Duke", GENDER_HE},
                                    {1, "Miss", GENDER_SHE},  {1, "Lady", GENDER_SHE}, {1, "Queen", GENDER_SHE},
                                    {1, "Aunt", GENDER_SHE},  {1, "Dame", GENDER_SHE}, {1, "Granny", GENDER_SHE}};

static const struct row colours[] = {
    {1, "red", 0},     {1, "blue", 0},      {1, "green", 0},    {1, "yellow", 0},  {1, "golden", 0},  {1, "silver", 0},
    {1, "purple", 0},  {1, "pink", 0},      {1, "white", 0},    {1, "black", 0},   {1, "brown", 0},   {1, "gray", 0},
    {1, "violet", 0},  {1, "scarlet", 0},   {1, "crimson", 0},  {1, "striped", 0}, {1, "spotted", 0}, {1, "wooden", 0},
    {1, "shiny", 0},   {1, "glass", 0},     {1, "copper", 0},   {1, "velvet", 0},  {1, "paper", 0},   {1, "woolen", 0},
    {1, "tin", 0},     {1, "plain", 0},     {1, "painted", 0},  {1, "faded", 0},   {1, "dusty", 0},   {1, "bright", 0},
    {1, "beige", 0},   {1, "checkered", 0}, {1, "marbled", 0},  {1, "patched", 0}, {1, "cream", 0},   {1, "tartan", 0},
    {1, "leather", 0}, {1, "bronze", 0},    {1, "polished", 0}, {1, "tan", 0},     {1, "navy", 0},    {1, "lime", 0},
    {1, "rose", 0},    {1, "ruby", 0},      {1, "jade", 0},     {1, "pearl", 0},   {1, "brass", 0},   {1, "steel", 0},
    {1, "stone", 0},   {1, "clay", 0},      {1, "cotton", 0},   {1, "silk", 0},    {1, "felt", 0},    {1, "linen", 0},
    {1, "cork", 0},    {1, "lead", 0},      {1, "lemon", 0},    {1, "peach", 0},   {1, "plum", 0},    {1, "mint", 0},
    {1, "rusty", 0},   {1, "pale", 0},      {1, "dark", 0},     {1, "dotted", 0}};

static const struct row things[] = {
    {1, "ball", 0},     {1, "kite", 0},     {1, "drum", 0},    {1, "hat", 0},     {1, "scarf", 0},     {1, "lamp", 0},
    {1, "book", 0},     {1, "bell", 0},     {1, "whistle", 0}, {1, "basket", 0},  {1, "ring", 0},      {1, "key", 0},
    {1, "map", 0},      {1, "shell", 0},    {1, "spoon", 0},   {1, "button", 0},  {1, "ribbon", 0},    {1, "mirror", 0},
    {1, "compass", 0},  {1, "blanket", 0},  {1, "cup", 0},     {1, "flute", 0},   {1, "trumpet", 0},   {1, "violin", 0},
    {1, "puppet", 0},   {1, "doll", 0},     {1, "boat", 0},    {1, "box", 0},     {1, "bottle", 0},    {1, "clock", 0},
    {1, "coin", 0},     {1, "crown", 0},    {1, "feather", 0}, {1, "flag", 0},    {1, "fiddle", 0},    {1, "glove", 0},
    {1, "hammer", 0},   {1, "jar", 0},      {1, "jug", 0},     {1, "kettle", 0},  {1, "ladder", 0},    {1, "mask", 0},
    {1, "necklace", 0}, {1, "notebook", 0}, {1, "pencil", 0},  {1, "pillow", 0},  {1, "purse", 0},     {1, "rope", 0},
    {1, "shovel", 0},   {1, "slipper", 0},  {1, "stamp", 0},   {1, "sword", 0},   {1, "telescope", 0}, {1, "whip", 0},
    {1, "bracelet", 0}, {1, "brush", 0},    {1, "candle", 0},  {1, "lantern", 0}, {1, "marble", 0},    {1, "medal", 0},
    {1, "mitten", 0},   {1, "saddle", 0},   {1, "helmet", 0},  {1, "wheel", 0},   {1, "bag", 0},       {1, "bat", 0},
    {1, "bead", 0},     {1, "belt", 0},     {1, "bib", 0},     {1, "block", 0},   {1, "bolt", 0},      {1, "boot", 0},
    {1, "bowl", 0},     {1, "brick", 0},    {1, "bucket", 0},  {1, "cage", 0},    {1, "cane", 0},      {1, "cap", 0},
    {1, "card", 0},     {1, "chain", 0},    {1, "chair", 0},   {1, "chest", 0},   {1, "coat", 0},      {1, "comb", 0},
    {1, "cork", 0},     {1, "dice", 0},     {1, "dish", 0},    {1, "fan", 0},     {1, "fork", 0},      {1, "frame", 0},
    {1, "funnel", 0},   {1, "gong", 0},     {1, "harp", 0},    {1, "hook", 0},    {1, "horn", 0},      {1, "jewel", 0},
    {1, "knife", 0},    {1, "knot", 0},     {1, "lid", 0},     {1, "lock", 0},    {1, "mat", 0},       {1, "mug", 0},
    {1, "nail", 0},     {1, "net", 0},      {1, "pan", 0},     {1, "pin", 0},     {1, "pipe", 0},      {1, "plate", 0},
    {1, "pot", 0},      {1, "rag", 0},      {1, "rattle", 0},  {1, "reel", 0},    {1, "robe", 0},      {1, "rod", 0},
    {1, "rug", 0},      {1, "sack", 0},     {1, "saw", 0},     {1, "scroll", 0},  {1, "shawl", 0},     {1, "shirt", 0},
    {1, "shoe", 0},     {1, "sled", 0},     {1, "sock", 0},    {1, "sponge", 0},  {1, "stick", 0},     {1, "stool", 0},
    {1, "string", 0},   {1, "tent", 0},     {1, "tile", 0},    {1, "toy", 0},     {1, "tray", 0},      {1, "tube", 0},
    {1, "vase", 0},     {1, "vest", 0},     {1, "wand", 0},    {1, "watch", 0},   {1, "wig", 0}};

static const struct row place_looks[] = {
    {1, "dark", 0},    {1, "quiet", 0},  {1, "old", 0},       {1, "windy", 0},    {1, "deep", 0},    {1, "misty", 0},
    {1, "green", 0},   {1, "wide", 0},   {1, "narrow", 0},    {1, "sunny", 0},    {1, "hidden", 0},  {1, "ancient", 0},
    {1, "crooked", 0}, {1, "famous", 0}, {1, "forgotten", 0}, {1, "lonely", 0},   {1, "lovely", 0},  {1, "magic", 0},
    {1, "muddy", 0},   {1, "mossy", 0},  {1, "noisy", 0},     {1, "peaceful", 0}, {1, "pretty", 0},  {1, "rocky", 0},
    {1, "sandy", 0},   {1, "secret", 0}, {1, "silent", 0},    {1, "sleepy", 0},   {1, "strange", 0}, {1, "tiny", 0},
    {1, "wild", 0},    {1, "foggy", 0},  {1, "golden", 0},    {1, "gray", 0},     {1, "haunted", 0}, {1, "long", 0},
    {1, "royal", 0},   {1, "great", 0},  {1, "beautiful", 0}, {1, "nameless", 0}, {1, "big", 0},     {1, "black", 0},
    {1, "blue", 0},    {1, "bright", 0}, {1, "calm", 0},      {1, "cold", 0},     {1, "cool", 0},    {1, "damp", 0},
    {1, "dim", 0},     {1, "far", 0},    {1, "grand", 0},     {1, "little", 0},   {1, "lost", 0},    {1, "low", 0},
    {1, "new", 0},     {1, "nice", 0},   {1, "poor", 0},      {1, "red", 0},      {1, "rich", 0},    {1, "shady", 0},
    {1, "small", 0},   {1, "vast", 0},   {1, "warm", 0},      {1, "white", 0}};

/* The form says how to be there (by, in, on) and what is seen there. */
static const struct row places[] = {
    {1, "river", WATER},     {1, "lake", WATER},   {1, "pond", WATER},   {1, "stream", WATER},  {1, "sea", WATER},
    {1, "waterfall", WATER}, {1, "brook", WATER},  {1, "harbor", WATER}, {1, "lagoon", WATER},  {1, "canal", WATER},
    {1, "forest", WOOD},     {1, "wood", WOOD},    {1, "grove", WOOD},   {1, "jungle", WOOD},   {1, "thicket", WOOD},
    {1, "orchard", WOOD},    {1, "park", WOOD},    {1, "glen", WOOD},    {1, "hill", HEIGHT},   {1, "mountain", HEIGHT},
    {1, "cliff", HEIGHT},    {1, "ridge", HEIGHT}, {1, "heath", HEIGHT}, {1, "meadow", HEIGHT}, {1, "island", HEIGHT},
    {1, "moor", HEIGHT},     {1, "village", TOWN}, {1, "market", TOWN},  {1, "garden", TOWN},   {1, "square", TOWN},
    {1, "castle", TOWN},     {1, "city", TOWN},    {1, "barn", TOWN},    {1, "mill", TOWN},     {1, "library", TOWN},
    {1, "station", TOWN},    {1, "school", TOWN},  {1, "palace", TOWN}};

/* The form says he or she. */
static const struct row relatives[] = {
    {1, "grandmother", GENDER_SHE}, {1, "mother", GENDER_SHE},     {1, "godmother", GENDER_SHE},
    {1, "niece", GENDER_SHE},       {1, "sister", GENDER_SHE},     {1, "aunt", GENDER_SHE},
    {1, "stepmother", GENDER_SHE},  {1, "great-aunt", GENDER_SHE}, {1, "cook", GENDER_SHE},
    {1, "maid", GENDER_SHE},        {1, "grandfather", GENDER_HE}, {1, "father", GENDER_HE},
    {1, "uncle", GENDER_HE},        {1, "godfather", GENDER_HE},   {1, "nephew", GENDER_HE},
    {1, "brother", GENDER_HE},      {1, "teacher", GENDER_HE},     {1, "boss", GENDER_HE}};

static const struct row foods[] = {
    {1, "bread", 0},      {1, "cheese", 0},  {1, "soup", 0},      {1, "honey", 0},    {1, "apples", 0},
    {1, "cake", 0},       {1, "pie", 0},     {1, "porridge", 0},  {1, "rice", 0},     {1, "noodles", 0},
    {1, "pancakes", 0},   {1, "carrots", 0}, {1, "beans", 0},     {1, "berries", 0},  {1, "plums", 0},
    {1, "pears", 0},      {1, "nuts", 0},    {1, "mushrooms", 0}, {1, "potatoes", 0}, {1, "pumpkin", 0},
    {1, "milk", 0},       {1, "tea", 0},     {1, "cocoa", 0},     {1, "jam", 0},      {1, "butter", 0},
    {1, "cookies", 0},    {1, "waffles", 0}, {1, "grapes", 0},    {1, "cherries", 0}, {1, "peaches", 0},
    {1, "corn", 0},       {1, "cabbage", 0}, {1, "toast", 0},     {1, "biscuits", 0}, {1, "custard", 0},
    {1, "dumplings", 0},  {1, "fish", 0},    {1, "lemonade", 0},  {1, "muffins", 0},  {1, "peas", 0},
    {1, "pickles", 0},    {1, "pudding", 0}, {1, "radishes", 0},  {1, "raisins", 0},  {1, "salad", 0},
    {1, "sandwiches", 0}, {1, "stew", 0},    {1, "tomatoes", 0},  {1, "turnips", 0},  {1, "walnuts", 0},
    {1, "yogurt", 0},     {1, "lentils", 0}, {1, "figs", 0},      {1, "dates", 0},    {1, "oats", 0},
    {1, "rye", 0},        {1, "ham", 0},     {1, "eggs", 0},      {1, "kale", 0},     {1, "leeks", 0},
    {1, "limes", 0},      {1, "lemons", 0},  {1, "melon", 0},     {1, "mint", 0},     {1, "onions", 0},
    {1, "olives", 0},     {1, "prunes", 0},  {1, "quince", 0},    {1, "sugar", 0},    {1, "syrup", 0},
    {1, "toffee", 0},     {1, "tarts", 0},   {1, "trifle", 0},    {1, "fudge", 0},    {1, "jelly", 0},
    {1, "juice", 0},      {1, "chips", 0},   {1, "chives", 0},    {1, "cream", 0},    {1, "crackers", 0},
    {1, "cress", 0},      {1, "buns", 0},    {1, "beets", 0},     {1, "beef", 0},     {1, "bacon", 0},
    {1, "pasta", 0},      {1, "pepper", 0},  {1, "popcorn", 0},   {1, "salt", 0},     {1, "seeds", 0},
    {1, "spinach", 0},    {1, "squash", 0},  {1, "yams", 0},      {1, "veal", 0},     {1, "sausages", 0},
    {1, "rolls", 0},      {1, "roots", 0},   {1, "gravy", 0},     {1, "ginger", 0},   {1, "garlic", 0},
    {1, "mustard", 0},    {1, "mango", 0},   {1, "malt", 0},      {1, "cloves", 0},   {1, "celery", 0},
    {1, "barley", 0},     {1, "basil", 0},   {1, "bananas", 0},   {1, "almonds", 0}};

/* How creatures and things look. */
static const struct row looks[] = {
    {1, "big", 0},      {1, "small", 0},   {1, "tiny", 0},    {1, "huge", 0},   {1, "vast", 0},    {1, "fat", 0},
    {1, "thin", 0},     {1, "tall", 0},    {1, "short", 0},   {1, "long", 0},   {1, "wide", 0},    {1, "round", 0},
    {1, "bent", 0},     {1, "pale", 0},    {1, "dark", 0},    {1, "dim", 0},    {1, "gray", 0},    {1, "red", 0},
    {1, "blue", 0},     {1, "green", 0},   {1, "tan", 0},     {1, "pink", 0},   {1, "white", 0},   {1, "black", 0},
    {1, "brown", 0},    {1, "wet", 0},     {1, "dry", 0},     {1, "damp", 0},   {1, "cold", 0},    {1, "cool", 0},
    {1, "warm", 0},     {1, "soft", 0},    {1, "hard", 0},    {1, "rough", 0},  {1, "sleek", 0},   {1, "smooth", 0},
    {1, "clean", 0},    {1, "dirty", 0},   {1, "dusty", 0},   {1, "muddy", 0},  {1, "shiny", 0},   {1, "dull", 0},
    {1, "bright", 0},   {1, "fine", 0},    {1, "plain", 0},   {1, "fancy", 0},  {1, "pretty", 0},  {1, "nice", 0},
    {1, "neat", 0},     {1, "lovely", 0},  {1, "cute", 0},    {1, "grand", 0},  {1, "proud", 0},   {1, "poor", 0},
    {1, "rich", 0},     {1, "rare", 0},    {1, "young", 0},   {1, "cheap", 0},  {1, "fresh", 0},   {1, "strange", 0},
    {1, "weird", 0},    {1, "funny", 0},   {1, "silly", 0},   {1, "sad", 0},    {1, "merry", 0},   {1, "jolly", 0},
    {1, "glum", 0},     {1, "grim", 0},    {1, "calm", 0},    {1, "still", 0},  {1, "quiet", 0},   {1, "loud", 0},
    {1, "noisy", 0},    {1, "shy", 0},     {1, "bold", 0},    {1, "brave", 0},  {1, "wild", 0},    {1, "tame", 0},
    {1, "mad", 0},      {1, "sly", 0},     {1, "wise", 0},    {1, "quick", 0},  {1, "slow", 0},    {1, "swift", 0},
    {1, "weak", 0},     {1, "strong", 0},  {1, "tough", 0},   {1, "frail", 0},  {1, "frozen", 0},  {1, "sleepy", 0},
    {1, "tired", 0},    {1, "lazy", 0},    {1, "busy", 0},    {1, "lost", 0},   {1, "lone", 0},    {1, "hidden", 0},
    {1, "secret", 0},   {1, "magic", 0},   {1, "royal", 0},   {1, "holy", 0},   {1, "bumpy", 0},   {1, "chubby", 0},
    {1, "crooked", 0},  {1, "curly", 0},   {1, "curved", 0},  {1, "dainty", 0}, {1, "fluffy", 0},  {1, "fuzzy", 0},
    {1, "gaudy", 0},    {1, "giant", 0},   {1, "gloomy", 0},  {1, "glossy", 0}, {1, "golden", 0},  {1, "greasy", 0},
    {1, "hairy", 0},    {1, "heavy", 0},   {1, "humble", 0},  {1, "knobby", 0}, {1, "limp", 0},    {1, "little", 0},
    {1, "lively", 0},   {1, "lumpy", 0},   {1, "messy", 0},   {1, "narrow", 0}, {1, "plump", 0},   {1, "prickly", 0},
    {1, "puny", 0},     {1, "ragged", 0},  {1, "rosy", 0},    {1, "rusty", 0},  {1, "scruffy", 0}, {1, "shabby", 0},
    {1, "shaggy", 0},   {1, "skinny", 0},  {1, "slender", 0}, {1, "slimy", 0},  {1, "smelly", 0},  {1, "smoky", 0},
    {1, "spotted", 0},  {1, "square", 0},  {1, "sticky", 0},  {1, "stiff", 0},  {1, "stout", 0},   {1, "striped", 0},
    {1, "sturdy", 0},   {1, "tidy", 0},    {1, "wobbly", 0},  {1, "woolly", 0}, {1, "yellow", 0},  {1, "purple", 0},
    {1, "scarlet", 0},  {1, "silver", 0},  {1, "hollow", 0},  {1, "broken", 0}, {1, "new", 0},     {1, "patched", 0},
    {1, "peaceful", 0}, {1, "perfect", 0}, {1, "sooty", 0},   {1, "simple", 0}, {1, "salty", 0},   {1, "windy", 0}};

static const struct row water_creatures[] = {
    {1, "minnow", 0},  {1, "tadpole", 0},   {1, "trout", 0},     {1, "crayfish", 0},  {1, "duckling", 0},
    {1, "newt", 0},    {1, "shrimp", 0},    {1, "seagull", 0},   {1, "dragonfly", 0}, {1, "water snake", 0},
    {1, "mallard", 0}, {1, "perch", 0},     {1, "carp", 0},      {1, "salmon", 0},    {1, "starfish", 0},
    {1, "pike", 0},    {1, "water rat", 0}, {1, "fisherman", 0}, {1, "mermaid", 0},   {1, "swimmer", 0},
    {1, "bream", 0},   {1, "clam", 0},      {1, "cod", 0},       {1, "coot", 0},      {1, "crane", 0},
    {1, "diver", 0},   {1, "dolphin", 0},   {1, "frog", 0},      {1, "gnat", 0},      {1, "heron", 0},
    {1, "leech", 0},   {1, "loach", 0},     {1, "mussel", 0},    {1, "pelican", 0},   {1, "sailor", 0},
    {1, "shark", 0},   {1, "snipe", 0},     {1, "squid", 0},     {1, "toad", 0},      {1, "tench", 0},
    {1, "turtle", 0},  {1, "walrus", 0},    {1, "whale", 0},     {1, "stork", 0},     {1, "crab", 0},
    {1, "catfish", 0}, {1, "beaver", 0},    {1, "mosquito", 0}};

static const struct row wood_creatures[] = {
    {1, "woodpecker", 0}, {1, "caterpillar", 0}, {1, "ladybug", 0}, {1, "worm", 0},       {1, "finch", 0},
    {1, "thrush", 0},     {1, "nightingale", 0}, {1, "cuckoo", 0},  {1, "jay", 0},        {1, "bumblebee", 0},
    {1, "firefly", 0},    {1, "doe", 0},         {1, "fawn", 0},    {1, "marten", 0},     {1, "centipede", 0},
    {1, "tree frog", 0},  {1, "moth", 0},        {1, "wasp", 0},    {1, "woodcutter", 0}, {1, "hunter", 0},
    {1, "ranger", 0},     {1, "sparrow", 0},     {1, "gnome", 0},   {1, "blackbird", 0},  {1, "badger", 0},
    {1, "bat", 0},        {1, "bear", 0},        {1, "beetle", 0},  {1, "boar", 0},       {1, "deer", 0},
    {1, "dormouse", 0},   {1, "fairy", 0},       {1, "fox", 0},     {1, "grouse", 0},     {1, "hare", 0},
    {1, "hornet", 0},     {1, "lizard", 0},      {1, "mole", 0},    {1, "mouse", 0},      {1, "pixie", 0},
    {1, "rook", 0},       {1, "shrew", 0},       {1, "slug", 0},    {1, "snail", 0},      {1, "spider", 0},
    {1, "squirrel", 0},   {1, "stag", 0},        {1, "tick", 0},    {1, "troll", 0},      {1, "wolf", 0},
    {1, "wren", 0}};

static const struct row height_creatures[] = {
    {1, "lark", 0},        {1, "hawk", 0},      {1, "falcon", 0},    {1, "buzzard", 0},  {1, "marmot", 0},
    {1, "grasshopper", 0}, {1, "butterfly", 0}, {1, "goldfinch", 0}, {1, "swift", 0},    {1, "partridge", 0},
    {1, "quail", 0},       {1, "goatherd", 0},  {1, "swallow", 0},   {1, "dormouse", 0}, {1, "condor", 0},
    {1, "hiker", 0},       {1, "painter", 0},   {1, "piper", 0},     {1, "yeti", 0},     {1, "shepherdess", 0},
    {1, "glowworm", 0},    {1, "hermit", 0},    {1, "bison", 0},     {1, "bull", 0},     {1, "chamois", 0},
    {1, "cow", 0},         {1, "crow", 0},      {1, "donkey", 0},    {1, "fly", 0},      {1, "gopher", 0},
    {1, "giant", 0},       {1, "hare", 0},      {1, "kestrel", 0},   {1, "kite", 0},     {1, "lamb", 0},
    {1, "llama", 0},       {1, "mule", 0},      {1, "pony", 0},      {1, "puma", 0},     {1, "rabbit", 0},
    {1, "ram", 0},         {1, "raven", 0},     {1, "snake", 0},     {1, "vulture", 0},  {1, "yak", 0},
    {1, "weasel", 0}};

static const struct row town_creatures[] = {
    {1, "pigeon", 0},  {1, "baker", 0},    {1, "tailor", 0},    {1, "postman", 0},    {1, "juggler", 0},
    {1, "clown", 0},   {1, "merchant", 0}, {1, "policeman", 0}, {1, "blacksmith", 0}, {1, "dancer", 0},
    {1, "peddler", 0}, {1, "poodle", 0},   {1, "singer", 0},    {1, "soldier", 0},    {1, "student", 0},
    {1, "waiter", 0},  {1, "watchman", 0}, {1, "weaver", 0},    {1, "canary", 0},     {1, "carpenter", 0},
    {1, "barber", 0},  {1, "judge", 0},    {1, "tourist", 0},   {1, "fiddler", 0},    {1, "banker", 0},
    {1, "beggar", 0},  {1, "boy", 0},      {1, "butcher", 0},   {1, "cat", 0},        {1, "cook", 0},
    {1, "dog", 0},     {1, "doctor", 0},   {1, "farmer", 0},    {1, "girl", 0},       {1, "goose", 0},
    {1, "hen", 0},     {1, "king", 0},     {1, "knight", 0},    {1, "lawyer", 0},     {1, "maid", 0},
    {1, "mason", 0},   {1, "mayor", 0},    {1, "monk", 0},      {1, "nun", 0},        {1, "nurse", 0},
    {1, "pilot", 0},   {1, "poet", 0},     {1, "priest", 0},    {1, "queen", 0},      {1, "rat", 0},
    {1, "spy", 0},     {1, "thief", 0},    {1, "tutor", 0}};

static const struct row doings[] = {
    {1, "sleeping", 0},  {1, "singing", 0},    {1, "dancing", 0},    {1, "resting", 0},   {1, "hiding", 0},
    {1, "waiting", 0},   {1, "humming", 0},    {1, "snoring", 0},    {1, "hopping", 0},   {1, "playing", 0},
    {1, "dozing", 0},    {1, "yawning", 0},    {1, "sneezing", 0},   {1, "whistling", 0}, {1, "giggling", 0},
    {1, "shivering", 0}, {1, "nibbling", 0},   {1, "stretching", 0}, {1, "grumbling", 0}, {1, "smiling", 0},
    {1, "sulking", 0},   {1, "crouching", 0},  {1, "peeping", 0},    {1, "wobbling", 0},  {1, "muttering", 0},
    {1, "searching", 0}, {1, "scratching", 0}, {1, "trembling", 0},  {1, "chuckling", 0}, {1, "listening", 0},
    {1, "baking", 0},    {1, "bathing", 0},    {1, "begging", 0},    {1, "blinking", 0},  {1, "boasting", 0},
    {1, "camping", 0},   {1, "chewing", 0},    {1, "cooking", 0},    {1, "coughing", 0},  {1, "crying", 0},
    {1, "digging", 0},   {1, "drawing", 0},    {1, "dreaming", 0},   {1, "drinking", 0},  {1, "fishing", 0},
    {1, "fighting", 0},  {1, "frowning", 0},   {1, "gossiping", 0},  {1, "grinning", 0},  {1, "hiccuping", 0},
    {1, "jumping", 0},   {1, "kneeling", 0},   {1, "knitting", 0},   {1, "laughing", 0},  {1, "limping", 0},
    {1, "munching", 0},  {1, "napping", 0},    {1, "nodding", 0},    {1, "painting", 0},  {1, "panting", 0},
    {1, "posing", 0},    {1, "pouting", 0},    {1, "praying", 0},    {1, "reading", 0},   {1, "rowing", 0},
    {1, "running", 0},   {1, "sewing", 0},     {1, "shouting", 0},   {1, "sighing", 0},   {1, "sitting", 0},
    {1, "skipping", 0},  {1, "sobbing", 0},    {1, "standing", 0},   {1, "staring", 0},   {1, "talking", 0},
    {1, "thinking", 0},  {1, "trotting", 0},   {1, "waltzing", 0},   {1, "wading", 0},    {1, "weeping", 0},
    {1, "writing", 0}};

static const struct row wheres[] = {
    {2, "under", 0},       {2, "behind", 0},   {2, "beside", 0}, {2, "near", 0},         {1, "next to", 0},
    {1, "in front of", 0}, {1, "close to", 0}, {1, "below", 0},  {1, "not far from", 0}, {1, "opposite", 0},
    {1, "above", 0},       {1, "at", 0},       {2, "by", 0}};

static const struct row water_spots[] = {
    {1, "rock", 0},   {1, "reed", 0},       {1, "willow", 0}, {1, "boat", 0},  {1, "net", 0},        {1, "pier", 0},
    {1, "raft", 0},   {1, "log", 0},        {1, "stump", 0},  {1, "dock", 0},  {1, "water lily", 0}, {1, "sandbank", 0},
    {1, "buoy", 0},   {1, "fence", 0},      {1, "bench", 0},  {1, "rod", 0},   {1, "bridge", 0},     {1, "ferry", 0},
    {1, "canoe", 0},  {1, "lighthouse", 0}, {1, "barge", 0},  {1, "beach", 0}, {1, "cove", 0},       {1, "crate", 0},
    {1, "dam", 0},    {1, "dune", 0},       {1, "jetty", 0},  {1, "hut", 0},   {1, "mast", 0},       {1, "nest", 0},
    {1, "pool", 0},   {1, "post", 0},       {1, "puddle", 0}, {1, "sail", 0},  {1, "shed", 0},       {1, "ship", 0},
    {1, "sluice", 0}, {1, "spring", 0},     {1, "tree", 0},   {1, "wreck", 0}, {1, "wharf", 0},      {1, "well", 0}};

static const struct row wood_spots[] = {
    {1, "tree", 0},     {1, "bush", 0},   {1, "fern", 0},  {1, "mushroom", 0}, {1, "log", 0},    {1, "stump", 0},
    {1, "nest", 0},     {1, "branch", 0}, {1, "fir", 0},   {1, "pine", 0},     {1, "birch", 0},  {1, "toadstool", 0},
    {1, "bramble", 0},  {1, "holly", 0},  {1, "vine", 0},  {1, "thistle", 0},  {1, "hazel", 0},  {1, "den", 0},
    {1, "woodpile", 0}, {1, "bank", 0},   {1, "beech", 0}, {1, "burrow", 0},   {1, "cabin", 0},  {1, "cedar", 0},
    {1, "clearing", 0}, {1, "creek", 0},  {1, "ditch", 0}, {1, "fence", 0},    {1, "gate", 0},   {1, "hole", 0},
    {1, "hut", 0},      {1, "larch", 0},  {1, "maple", 0}, {1, "mound", 0},    {1, "nettle", 0}, {1, "path", 0},
    {1, "pit", 0},      {1, "poplar", 0}, {1, "root", 0},  {1, "rose", 0},     {1, "shed", 0},   {1, "stile", 0},
    {1, "tent", 0},     {1, "trap", 0},   {1, "twig", 0},  {1, "yew", 0}};

static const struct row height_spots[] = {
    {1, "boulder", 0},  {1, "thistle", 0},   {1, "cairn", 0},  {1, "hut", 0},      {1, "signpost", 0}, {1, "wall", 0},
    {1, "haystack", 0}, {1, "windmill", 0},  {1, "fence", 0},  {1, "tent", 0},     {1, "flagpole", 0}, {1, "hedge", 0},
    {1, "daisy", 0},    {1, "pine", 0},      {1, "tower", 0},  {1, "rosebush", 0}, {1, "campfire", 0}, {1, "cave", 0},
    {1, "chapel", 0},   {1, "milestone", 0}, {1, "bench", 0},  {1, "bush", 0},     {1, "cross", 0},    {1, "crag", 0},
    {1, "den", 0},      {1, "ditch", 0},     {1, "fort", 0},   {1, "gate", 0},     {1, "gorge", 0},    {1, "hole", 0},
    {1, "ledge", 0},    {1, "mast", 0},      {1, "mound", 0},  {1, "nest", 0},     {1, "path", 0},     {1, "peak", 0},
    {1, "pit", 0},      {1, "rock", 0},      {1, "ruin", 0},   {1, "shed", 0},     {1, "shrine", 0},   {1, "slope", 0},
    {1, "stone", 0},    {1, "tree", 0},      {1, "trench", 0}, {1, "well", 0}};

static const struct row town_spots[] = {
    {1, "cart", 0},     {1, "barrel", 0}, {1, "bench", 0},  {1, "door", 0},      {1, "gate", 0},   {1, "wall", 0},
    {1, "pump", 0},     {1, "stall", 0},  {1, "lamp", 0},   {1, "wagon", 0},     {1, "ladder", 0}, {1, "crate", 0},
    {1, "chimney", 0},  {1, "window", 0}, {1, "statue", 0}, {1, "staircase", 0}, {1, "cellar", 0}, {1, "shed", 0},
    {1, "fountain", 0}, {1, "bakery", 0}, {1, "bank", 0},   {1, "bed", 0},       {1, "booth", 0},  {1, "bush", 0},
    {1, "cafe", 0},     {1, "chair", 0},  {1, "church", 0}, {1, "clock", 0},     {1, "column", 0}, {1, "desk", 0},
    {1, "fence", 0},    {1, "hedge", 0},  {1, "hut", 0},    {1, "kiosk", 0},     {1, "lane", 0},   {1, "ledge", 0},
    {1, "mailbox", 0},  {1, "museum", 0}, {1, "pillar", 0}, {1, "porch", 0},     {1, "post", 0},   {1, "roof", 0},
    {1, "shop", 0},     {1, "shelf", 0},  {1, "sign", 0},   {1, "stove", 0},     {1, "table", 0},  {1, "tower", 0},
    {1, "tree", 0}};

static const struct row sound_looks[] = {
    {1, "loud", 0},   {1, "soft", 0},    {1, "strange", 0},  {1, "faint", 0}, {1, "sudden", 0}, {1, "sad", 0},
    {1, "tiny", 0},   {1, "deep", 0},    {1, "terrible", 0}, {1, "sharp", 0}, {1, "hollow", 0}, {1, "muffled", 0},
    {1, "gentle", 0}, {1, "curious", 0}, {1, "long", 0},     {1, "low", 0},   {1, "big", 0},    {1, "bright", 0},
    {1, "brief", 0},  {1, "clear", 0},   {1, "dry", 0},      {1, "dull", 0},  {1, "funny", 0},  {1, "harsh", 0},
    {1, "mad", 0},    {1, "merry", 0},   {1, "quick", 0},    {1, "rude", 0},  {1, "shrill", 0}, {1, "sweet", 0},
    {1, "weak", 0},   {1, "wild", 0}};

static const struct row sounds[] = {
    {1, "crash", 0},   {1, "splash", 0}, {1, "squeak", 0}, {1, "whisper", 0}, {1, "rustle", 0}, {1, "thump", 0},
    {1, "whimper", 0}, {1, "groan", 0},  {1, "rumble", 0}, {1, "sneeze", 0},  {1, "howl", 0},   {1, "shriek", 0},
    {1, "giggle", 0},  {1, "cough", 0},  {1, "creak", 0},  {1, "bang", 0},    {1, "sigh", 0},   {1, "sob", 0},
    {1, "yelp", 0},    {1, "click", 0},  {1, "bark", 0},   {1, "beep", 0},    {1, "bleat", 0},  {1, "boom", 0},
    {1, "buzz", 0},    {1, "chime", 0},  {1, "clang", 0},  {1, "cry", 0},     {1, "drip", 0},   {1, "fizz", 0},
    {1, "gasp", 0},    {1, "growl", 0},  {1, "hiss", 0},   {1, "honk", 0},    {1, "hoot", 0},   {1, "hum", 0},
    {1, "knock", 0},   {1, "meow", 0},   {1, "moan", 0},   {1, "neigh", 0},   {1, "pop", 0},    {1, "purr", 0},
    {1, "quack", 0},   {1, "roar", 0},   {1, "scream", 0}, {1, "snap", 0},    {1, "snarl", 0},  {1, "snore", 0},
    {1, "song", 0},    {1, "thud", 0},   {1, "tune", 0},   {1, "twang", 0},   {1, "wail", 0},   {1, "whine", 0},
    {1, "whoop", 0},   {1, "yawn", 0},   {1, "yodel", 0}};

static const struct row adverbs[] = {
    {1, "slowly", 0},     {1, "quickly", 0},  {1, "quietly", 0},   {1, "happily", 0},      {1, "sadly", 0},
    {1, "carefully", 0},  {1, "softly", 0},   {1, "loudly", 0},    {1, "bravely", 0},      {1, "gently", 0},
    {1, "eagerly", 0},    {1, "politely", 0}, {1, "proudly", 0},   {1, "shyly", 0},        {1, "kindly", 0},
    {1, "calmly", 0},     {1, "gladly", 0},   {1, "nervously", 0}, {1, "patiently", 0},    {1, "boldly", 0},
    {1, "cheerfully", 0}, {1, "warmly", 0},   {1, "wisely", 0},    {1, "thoughtfully", 0}, {1, "hopefully", 0},
    {1, "gravely", 0},    {1, "firmly", 0},   {1, "merrily", 0},   {1, "sweetly", 0},      {1, "solemnly", 0},
    {1, "timidly", 0},    {1, "badly", 0},    {1, "busily", 0},    {1, "coolly", 0},       {1, "coyly", 0},
    {1, "crossly", 0},    {1, "drily", 0},    {1, "dully", 0},     {1, "fairly", 0},       {1, "fondly", 0},
    {1, "freely", 0},     {1, "glumly", 0},   {1, "grimly", 0},    {1, "hotly", 0},        {1, "idly", 0},
    {1, "keenly", 0},     {1, "lazily", 0},   {1, "lightly", 0},   {1, "madly", 0},        {1, "meekly", 0},
    {1, "mildly", 0},     {1, "neatly", 0},   {1, "nicely", 0},    {1, "oddly", 0},        {1, "quaintly", 0},
    {1, "rudely", 0},     {1, "sharply", 0},  {1, "slyly", 0},     {1, "smugly", 0},       {1, "tamely", 0},
    {1, "tartly", 0},     {1, "truly", 0},    {1, "vainly", 0},    {1, "weakly", 0}};

static const struct row sayings[] = {{4, "said", 0},     {1, "whispered", 0}, {1, "cried", 0},   {1, "replied", 0},
                                     {1, "answered", 0}, {1, "shouted", 0},   {1, "called", 0},  {1, "murmured", 0},
                                     {1, "muttered", 0}, {1, "laughed", 0},   {1, "sighed", 0},  {1, "squeaked", 0},
                                     {1, "mumbled", 0},  {1, "growled", 0},   {1, "chirped", 0}, {1, "sang", 0},
                                     {1, "barked", 0},   {1, "begged", 0},    {1, "croaked", 0}, {1, "gasped", 0},
                                     {1, "giggled", 0},  {1, "groaned", 0},   {1, "grunted", 0}, {1, "hissed", 0},
                                     {1, "hummed", 0},   {1, "joked", 0},     {1, "moaned", 0},  {1, "pleaded", 0},
                                     {1, "purred", 0},   {1, "roared", 0},    {1, "sobbed", 0},  {1, "yelled", 0}};

static const struct row degrees[] = {{2, "very", 0},     {2, "so", 0},     {1, "quite", 0},  {1, "rather", 0},
                                     {1, "terribly", 0}, {1, "truly", 0},  {1, "really", 0}, {1, "deeply", 0},
                                     {1, "a little", 0}, {1, "a bit", 0},  {1, "most", 0},   {1, "now", 0},
                                     {1, "still", 0},    {1, "just", 0},   {1, "fully", 0},  {1, "oddly", 0},
                                     {1, "partly", 0},   {1, "highly", 0}, {1, "hugely", 0}};

static const struct row sad_feelings[] = {
    {1, "sad", 0},       {1, "worried", 0},    {1, "upset", 0},        {1, "lonely", 0},      {1, "gloomy", 0},
    {1, "miserable", 0}, {1, "frightened", 0}, {1, "unhappy", 0},      {1, "heartbroken", 0}, {1, "hopeless", 0},
    {1, "ashamed", 0},   {1, "sorry", 0},      {1, "disappointed", 0}, {1, "puzzled", 0},     {1, "tearful", 0},
    {1, "troubled", 0},  {1, "nervous", 0},    {1, "scared", 0},       {1, "confused", 0},    {1, "homesick", 0},
    {1, "dismayed", 0},  {1, "bitter", 0},     {1, "wretched", 0},     {1, "angry", 0},       {1, "tired", 0},
    {1, "glum", 0},      {1, "mad", 0},        {1, "hurt", 0},         {1, "cross", 0},       {1, "lost", 0},
    {1, "weary", 0},     {1, "sick", 0},       {1, "poor", 0},         {1, "grim", 0},        {1, "bored", 0},
    {1, "shocked", 0},   {1, "sore", 0},       {1, "tense", 0},        {1, "afraid", 0},      {1, "alone", 0},
    {1, "annoyed", 0},   {1, "blue", 0},       {1, "broken", 0},       {1, "cold", 0},        {1, "jealous", 0},
    {1, "shy", 0}};

static const struct row happy_feelings[] = {
    {1, "happy", 0},        {1, "glad", 0},    {1, "proud", 0},     {1, "cheerful", 0}, {1, "merry", 0},
    {1, "delighted", 0},    {1, "joyful", 0},  {1, "thankful", 0},  {1, "grateful", 0}, {1, "pleased", 0},
    {1, "relieved", 0},     {1, "content", 0}, {1, "excited", 0},   {1, "jolly", 0},    {1, "thrilled", 0},
    {1, "lighthearted", 0}, {1, "calm", 0},    {1, "satisfied", 0}, {1, "hopeful", 0},  {1, "blissful", 0},
    {1, "peaceful", 0},     {1, "amazed", 0},  {1, "surprised", 0}, {1, "cozy", 0},     {1, "lucky", 0},
    {1, "safe", 0},         {1, "warm", 0},    {1, "free", 0},      {1, "fine", 0},     {1, "bold", 0},
    {1, "brave", 0},        {1, "bright", 0},  {1, "eager", 0},     {1, "elated", 0},   {1, "keen", 0},
    {1, "lively", 0},       {1, "rich", 0},    {1, "strong", 0},    {1, "sunny", 0},    {1, "tickled", 0},
    {1, "touched", 0},      {1, "blessed", 0}, {1, "charmed", 0},   {1, "cheery", 0}};

/* Ways to go to a place. */
static const struct row moves[] = {
    {1, "walked", 0},  {1, "ran", 0},    {1, "hurried", 0}, {1, "skipped", 0}, {1, "wandered", 0}, {1, "strolled", 0},
    {1, "marched", 0}, {1, "raced", 0},  {1, "trotted", 0}, {1, "dashed", 0},  {1, "rushed", 0},   {1, "tiptoed", 0},
    {1, "set off", 0}, {2, "went", 0},   {1, "bounced", 0}, {1, "crept", 0},   {1, "came", 0},     {1, "crawled", 0},
    {1, "cycled", 0},  {1, "danced", 0}, {1, "darted", 0},  {1, "drove", 0},   {1, "fled", 0},     {1, "hiked", 0},
    {1, "hopped", 0},  {1, "jogged", 0}, {1, "limped", 0},  {1, "moved", 0},   {1, "rode", 0},     {1, "rolled", 0},
    {1, "roamed", 0},  {1, "sped", 0},   {1, "stomped", 0}, {1, "swept", 0},   {1, "tramped", 0},  {1, "zoomed", 0}};

static const struct row fair_clothes[] = {{1, "sun hat", 0}, {1, "straw hat", 0}, {1, "sandals", 0}, {1, "cap", 0},
                                          {1, "shoes", 0},   {1, "vest", 0},      {1, "scarf", 0},   {1, "shirt", 0},
                                          {1, "shorts", 0},  {1, "socks", 0},     {1, "belt", 0},    {1, "bow tie", 0},
                                          {1, "sash", 0},    {1, "kilt", 0},      {1, "hairpin", 0}, {1, "clogs", 0}};

static const struct row rain_clothes[] = {
    {1, "raincoat", 0}, {1, "boots", 0},  {1, "rain hat", 0}, {1, "oilskin", 0}, {1, "cape", 0},   {1, "galoshes", 0},
    {1, "hood", 0},     {1, "waders", 0}, {1, "cloak", 0},    {1, "poncho", 0},  {1, "bonnet", 0}, {1, "leggings", 0},
    {1, "overalls", 0}, {1, "jacket", 0}, {1, "parka", 0},    {1, "shawl", 0}};

static const struct row snow_clothes[] = {{1, "coat", 0},   {1, "mittens", 0}, {1, "fur cap", 0},   {1, "scarf", 0},
                                          {1, "boots", 0},  {1, "socks", 0},   {1, "wool hat", 0},  {1, "earmuffs", 0},
                                          {1, "gloves", 0}, {1, "sweater", 0}, {1, "parka", 0},     {1, "muff", 0},
                                          {1, "skis", 0},   {1, "tights", 0},  {1, "snowshoes", 0}, {1, "shawl", 0}};

static const struct row wind_clothes[] = {{1, "jacket", 0},   {1, "sweater", 0}, {1, "cap", 0},     {1, "boots", 0},
                                          {1, "cloak", 0},    {1, "coat", 0},    {1, "goggles", 0}, {1, "hood", 0},
                                          {1, "gloves", 0},   {1, "jeans", 0},   {1, "vest", 0},    {1, "scarf", 0},
                                          {1, "trousers", 0}, {1, "beret", 0},   {1, "shoes", 0},   {1, "helmet", 0}};

/* The form decides the clothes, the month and what the sky does later. */
static const struct row weathers[] = {
    {4, "sunny", FAIR},    {2, "warm", FAIR},     {2, "bright", FAIR}, {2, "clear", FAIR}, {2, "mild", FAIR},
    {2, "fine", FAIR},     {2, "hot", FAIR},      {2, "dry", FAIR},    {3, "rainy", RAIN}, {2, "wet", RAIN},
    {2, "damp", RAIN},     {2, "gray", RAIN},     {1, "murky", RAIN},  {3, "snowy", SNOW}, {1, "frosty", SNOW},
    {1, "freezing", SNOW}, {1, "white", SNOW},    {1, "cold", SNOW},   {1, "polar", SNOW}, {1, "crisp", SNOW},
    {2, "windy", WIND},    {1, "blustery", WIND}, {1, "breezy", WIND}, {1, "gusty", WIND}, {2, "wild", WIND},
    {1, "stormy", WIND}};

static const struct row days[] = {{1, "morning", 0},  {1, "afternoon", 0}, {1, "evening", 0},  {1, "day", 0},
                                  {1, "Sunday", 0},   {1, "Monday", 0},    {1, "Tuesday", 0},  {1, "Wednesday", 0},
                                  {1, "Thursday", 0}, {1, "Friday", 0},    {1, "Saturday", 0}, {1, "noon", 0},
                                  {1, "night", 0},    {1, "holiday", 0},   {1, "weekend", 0},  {1, "payday", 0}};

static const struct row fair_months[] = {{1, "April", 0}, {1, "May", 0},    {1, "June", 0},
                                         {1, "July", 0},  {1, "August", 0}, {1, "September", 0}};

static const struct row rain_months[] = {{1, "March", 0}, {1, "April", 0}, {1, "October", 0}, {1, "November", 0}};

static const struct row snow_months[] = {{1, "December", 0}, {1, "January", 0}, {1, "February", 0}};

static const struct row wind_months[] = {
    {1, "March", 0}, {1, "April", 0}, {1, "September", 0}, {1, "October", 0}, {1, "November", 0}};

static const struct row scents[] = {
    {1, "roses", 0},    {1, "lilacs", 0}, {1, "hay", 0},     {1, "pine", 0},  {1, "mint", 0},  {1, "clover", 0},
    {1, "lavender", 0}, {1, "thyme", 0},  {1, "jasmine", 0}, {1, "honey", 0}, {1, "salt", 0},  {1, "smoke", 0},
    {1, "cinnamon", 0}, {1, "grass", 0},  {1, "apples", 0},  {1, "paint", 0}, {1, "bread", 0}, {1, "moss", 0},
    {1, "mud", 0},      {1, "musk", 0},   {1, "oil", 0},     {1, "sage", 0},  {1, "soap", 0},  {1, "tar", 0},
    {1, "tea", 0},      {1, "wax", 0},    {1, "wine", 0},    {1, "wood", 0},  {1, "fish", 0},  {1, "figs", 0},
    {1, "glue", 0},     {1, "gas", 0}};

static const struct row drumming[] = {{1, "drummed", 0},  {1, "pattered", 0}, {1, "splashed", 0}, {1, "dripped", 0},
                                      {1, "hammered", 0}, {1, "trickled", 0}, {1, "fell", 0},     {1, "poured", 0}};

static const struct row howling[] = {{1, "howled", 0}, {1, "whistled", 0}, {1, "roared", 0}, {1, "moaned", 0},
                                     {1, "sang", 0},   {1, "blew", 0},     {1, "sighed", 0}, {1, "hissed", 0}};

static const struct row sparkling[] = {{1, "sparkled", 0}, {1, "glittered", 0}, {1, "lay", 0},  {1, "crunched", 0},
                                       {1, "gleamed", 0},  {1, "drifted", 0},   {1, "fell", 0}, {1, "shone", 0}};

static const struct row shining[] = {{1, "shone", 0},  {1, "glowed", 0}, {1, "sparkled", 0}, {1, "smiled", 0},
                                     {1, "blazed", 0}, {1, "beamed", 0}, {1, "burned", 0},   {1, "glittered", 0}};

static const struct row skills[] = {
    {1, "sing", 0},       {1, "dance", 0}, {1, "swim", 0},  {1, "jump", 0},  {1, "whistle", 0}, {1, "cook", 0},
    {1, "climb", 0},      {1, "paint", 0}, {1, "draw", 0},  {1, "count", 0}, {1, "juggle", 0},  {1, "sew", 0},
    {1, "read", 0},       {1, "knit", 0},  {1, "ski", 0},   {1, "row", 0},   {1, "joke", 0},    {1, "bake", 0},
    {1, "play chess", 0}, {1, "write", 0}, {1, "build", 0}, {1, "hide", 0},  {1, "yodel", 0},   {1, "box", 0},
    {1, "dig", 0},        {1, "dive", 0},  {1, "drum", 0},  {1, "fish", 0},  {1, "fly", 0},     {1, "fry", 0},
    {1, "hop", 0},        {1, "hum", 0},   {1, "hunt", 0},  {1, "lie", 0},   {1, "nap", 0},     {1, "run", 0},
    {1, "sail", 0},       {1, "skate", 0}, {1, "spell", 0}, {1, "think", 0}, {1, "weave", 0},   {1, "wink", 0},
    {1, "work", 0},       {1, "yawn", 0}};

/* How the treasure came from a relative. */
static const struct row makings[] = {{1, "made", 0}, {1, "found", 0},    {1, "bought", 0}, {1, "mended", 0},
                                     {1, "won", 0},  {1, "borrowed", 0}, {1, "carved", 0}, {1, "polished", 0},
                                     {1, "sewn", 0}, {1, "drawn", 0},    {1, "dug up", 0}, {1, "given", 0},
                                     {1, "got", 0},  {1, "hidden", 0},   {1, "lost", 0},   {1, "saved", 0}};

/* Numbers have two digits. */
static const struct row first_digits[] = {{1, "1", 0}, {1, "2", 0}, {1, "3", 0}, {1, "4", 0}, {1, "5", 0},
                                          {1, "6", 0}, {1, "7", 0}, {1, "8", 0}, {1, "9", 0}};

static const struct row digits[] = {{1, "0", 0}, {1, "1", 0}, {1, "2", 0}, {1, "3", 0}, {1, "4", 0},
                                    {1, "5", 0}, {1, "6", 0}, {1, "7", 0}, {1, "8", 0}, {1, "9", 0}};

/* A time is 7:42. */
static const struct row hours[] = {{1, "1:", 0}, {1, "2:", 0},  {1, "3:", 0},  {1, "4:", 0},
                                   {1, "5:", 0}, {1, "6:", 0},  {1, "7:", 0},  {1, "8:", 0},
                                   {1, "9:", 0}, {1, "10:", 0}, {1, "11:", 0}, {1, "12:", 0}};

static const struct row tens[] = {{1, "0", 0}, {1, "1", 0}, {1, "2", 0}, {1, "3", 0}, {1, "4", 0}, {1, "5", 0}};

#endif
