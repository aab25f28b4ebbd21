/* A Hugging Face tokenizer.json with a byte-level BPE model.
 *
 * Left out of account: post_processor, truncation and padding, which add tokens around a text (that is the business of who
 * makes the data), and decoder, since decoding bytes needs none. lstrip, rstrip and single_word of added tokens change how text
 * beside a special token is taken; here a special token is its text and nothing else. */
#include <cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokenizer/letters.h"
#include "tokenizer/read_list.h"

struct reader {
    const char *name;
    struct vocabulary *vocabulary;
    struct token_list list;
    uint8_t *bytes; /* room for the longest text of the file */
    int64_t room;
};

static const cJSON *get(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

static int is(const cJSON *object, const char *key, const char *value) {
    const cJSON *item = get(object, key);
    return cJSON_IsString(item) && !strcmp(item->valuestring, value);
}

static int unsupported(const struct reader *r, const char *field, const char *what) {
    return fail(STATUS_BAD_DATA, "%s: %s: %s; byte-level BPE tokenizers are read", r->name, field, what);
}

/* What must be left out, or be as if it were. */
static int check_model(const struct reader *r, const cJSON *model) {
    if (!cJSON_IsObject(model)) return unsupported(r, "model", "is missing");
    if (get(model, "type") && !is(model, "type", "BPE")) return unsupported(r, "model.type", "is not BPE");
    if (cJSON_IsTrue(get(model, "byte_fallback"))) return unsupported(r, "model.byte_fallback", "is true");
    const cJSON *dropout = get(model, "dropout");
    if (dropout && !(cJSON_IsNumber(dropout) && dropout->valuedouble == 0))
        return unsupported(r, "model.dropout", "is set, which makes encoding random");
    static const char *const empty[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++)
        if (get(model, empty[i]) && !is(model, empty[i], "")) return unsupported(r, empty[i], "is not empty");
    if (!cJSON_IsObject(get(model, "vocab"))) return unsupported(r, "model.vocab", "is missing");
    return 0;
}

static int copy_pattern(struct reader *r, const char *pattern) {
    free(r->vocabulary->pattern);
    r->vocabulary->pattern = strdup(pattern);
    r->vocabulary->split = split_of_pattern(pattern);
    return r->vocabulary->pattern ? 0 : fail(STATUS_FAILED, "%s: out of memory", r->name);
}

static int read_split(struct reader *r, const cJSON *step) {
    const cJSON *pattern = get(get(step, "pattern"), "Regex");
    if (!cJSON_IsString(pattern)) return unsupported(r, "pre_tokenizer", "a Split has no pattern.Regex");
    if (!is(step, "behavior", "Isolated") || cJSON_IsTrue(get(step, "invert")))
        return unsupported(r, "pre_tokenizer", "a Split is not Isolated, or is inverted");
    if (r->vocabulary->pattern) return unsupported(r, "pre_tokenizer", "has more than one Split");
    return copy_pattern(r, pattern->valuestring);
}

static int read_byte_level(struct reader *r, const cJSON *step) {
    if (cJSON_IsTrue(get(step, "add_prefix_space")))
        return unsupported(r, "pre_tokenizer.add_prefix_space", "is true, which would not keep the text");
    if (cJSON_IsFalse(get(step, "use_regex"))) return 0;
    if (r->vocabulary->pattern) return unsupported(r, "pre_tokenizer", "splits twice");
    return copy_pattern(r, split_pattern(SPLIT_GPT2));
}

static int read_step(struct reader *r, const cJSON *step, int *byte_level) {
    if (is(step, "type", "Split")) return read_split(r, step);
    if (!is(step, "type", "ByteLevel"))
        return unsupported(r, "pre_tokenizer", "has a step that is not Split or ByteLevel");
    *byte_level = 1;
    return read_byte_level(r, step);
}

static int read_pre_tokenizer(struct reader *r, const cJSON *root) {
    const cJSON *pre = get(root, "pre_tokenizer"), *step;
    int byte_level = 0;
    if (get(root, "normalizer"))
        return unsupported(r, "normalizer", "is set, so decoding would not give the same bytes");
    if (!pre) return unsupported(r, "pre_tokenizer", "is missing");
    if (is(pre, "type", "Sequence")) {
        cJSON_ArrayForEach(step, get(pre, "pretokenizers")) TRY(read_step(r, step, &byte_level));
    } else {
        TRY(read_step(r, pre, &byte_level));
    }
    return byte_level ? 0 : unsupported(r, "pre_tokenizer", "has no ByteLevel");
}

/* The bytes of letters into r->bytes; -1 where they are none. */
static int64_t to_bytes(struct reader *r, const char *letters) {
    int64_t length = (int64_t)strlen(letters);
    return length <= r->room ? letters_to_bytes(letters, length, r->bytes) : -1;
}

static int read_vocab(struct reader *r, const cJSON *vocab) {
    const cJSON *item;
    cJSON_ArrayForEach(item, vocab) {
        if (!cJSON_IsNumber(item)) return fail(STATUS_BAD_DATA, "%s: model.vocab: an id is no number", r->name);
        int64_t length = to_bytes(r, item->string);
        /* A special token may stand in the vocabulary too, in its own letters: its added token says so. */
        if (length < 0) {
            TRY(token_list_add(&r->list, r->name, item->valuedouble, item->string, (int64_t)strlen(item->string), 0));
            continue;
        }
        if (!length) return fail(STATUS_BAD_DATA, "%s: model.vocab: token %.0f is empty", r->name, item->valuedouble);
        TRY(token_list_add(&r->list, r->name, item->valuedouble, r->bytes, length, 0));
    }
    return 0;
}

static int read_added(struct reader *r, const cJSON *added) {
    const cJSON *item;
    cJSON_ArrayForEach(item, added) {
        const cJSON *content = get(item, "content"), *id = get(item, "id");
        if (!cJSON_IsString(content) || !*content->valuestring || !cJSON_IsNumber(id))
            return fail(STATUS_BAD_DATA, "%s: added_tokens: an entry has no content or no id", r->name);
        TRY(token_list_add(&r->list, r->name, id->valuedouble, content->valuestring,
                           (int64_t)strlen(content->valuestring), 1));
    }
    return 0;
}

/* "left right", or ["left", "right"]. Parts come as letters; both fit into the room of the longest text. */
static int read_merge(struct reader *r, const cJSON *item, int64_t index, const struct token_table *table) {
    const char *left = NULL, *right = NULL;
    char *space = NULL;
    if (cJSON_IsString(item)) {
        left = item->valuestring;
        space = strchr(item->valuestring, ' ');
        right = space ? space + 1 : NULL;
    } else if (cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2) {
        left = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0));
        right = cJSON_GetStringValue(cJSON_GetArrayItem(item, 1));
    }
    if (!left || !right) return fail(STATUS_BAD_DATA, "%s: model.merges: %lld is no pair", r->name, (long long)index);
    int64_t left_length = space ? space - left : (int64_t)strlen(left), right_length = (int64_t)strlen(right);
    int64_t a = letters_to_bytes(left, left_length, r->bytes);
    int64_t b = a < 0 ? -1 : letters_to_bytes(right, right_length, r->bytes + a);
    if (b < 0)
        return fail(STATUS_BAD_DATA, "%s: model.merges: %lld has a letter that stands for no byte", r->name,
                    (long long)index);
    return add_merge_of(r->vocabulary, table, r->name, index, r->bytes, a, r->bytes + a, b);
}

static int read_merges(struct reader *r, const cJSON *merges) {
    struct token_table table = {0};
    const cJSON *item;
    int64_t index = 0;
    int status = table_of(r->vocabulary, &table);
    cJSON_ArrayForEach(item, merges) {
        if (status) break;
        status = read_merge(r, item, index++, &table);
    }
    token_table_free(&table);
    return status;
}

/* Without a pattern the whole text is one piece; without merges besides, a token is a byte. */
static int settle_split(struct reader *r) {
    struct vocabulary *v = r->vocabulary;
    if (v->pattern) return 0;
    if (v->n_merges) {
        TRY(copy_pattern(r, "(?s).+"));
        v->split = SPLIT_OTHER;
        return 0;
    }
    v->split = SPLIT_BYTES;
    return 0;
}

static int read_root(struct reader *r, const cJSON *root) {
    const cJSON *model = get(root, "model");
    if (!cJSON_IsObject(root)) return fail(STATUS_BAD_DATA, "%s: this is not JSON", r->name);
    TRY(check_model(r, model));
    TRY(read_pre_tokenizer(r, root));
    TRY(read_vocab(r, get(model, "vocab")));
    TRY(read_added(r, get(root, "added_tokens")));
    TRY(token_list_fill(&r->list, r->name, r->vocabulary));
    TRY(read_merges(r, get(model, "merges")));
    r->vocabulary->whole_pieces = cJSON_IsTrue(get(model, "ignore_merges"));
    return settle_split(r);
}

int read_tokenizer_json(const char *text, int64_t length, const char *name, struct vocabulary *vocabulary) {
    struct reader r = {.name = name, .vocabulary = vocabulary, .room = length};
    r.bytes = malloc((size_t)length + 1);
    if (!r.bytes) return fail(STATUS_FAILED, "%s: out of memory", name);
    cJSON *root = cJSON_ParseWithLength(text, (size_t)length);
    int status = read_root(&r, root);
    cJSON_Delete(root);
    token_list_free(&r.list);
    free(r.bytes);
    return status;
}
