/* A Hugging Face tokenizer.json with a byte-level BPE model.
 *
 * Left out of account: post_processor, truncation and padding, which add tokens around a text (that is the business of who
 * makes the data); model.unk_token, which no byte ever needs; and lstrip, rstrip and single_word of added tokens, which change
 * how text beside a special token is taken: here a special token is its text and nothing else.
 *
 * cJSON keeps objects as linked lists: a vocabulary is walked once, and nothing is ever looked up in it by name. */
#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokenizer/letters.h"
#include "tokenizer/read_list.h"

enum { SHOWN = 80 }; /* bytes of a value in a message */

struct added {
    const char *content;
    double id;
};

struct reader {
    const char *name;
    struct vocabulary *vocabulary;
    struct token_list list;
    struct added *by_content, *by_id; /* added_tokens, sorted */
    size_t n_added;
    uint8_t *bytes; /* room for all text of the file */
};

static const cJSON *get(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

static int is(const cJSON *object, const char *key, const char *value) {
    const cJSON *item = get(object, key);
    return cJSON_IsString(item) && !strcmp(item->valuestring, value);
}

/* How many bytes of `text` a message shows; no character is parted. */
static int shown(const char *text) {
    size_t n = strnlen(text, SHOWN + 1);
    if (n <= SHOWN) return (int)n;
    while (n && ((uint8_t)text[n] & 0xc0) == 0x80) n--;
    return (int)n;
}

/* object.key cannot be read. `path` is the object's place in the file, "" for the root. */
static int refuse(const struct reader *r, const char *path, const cJSON *object, const char *key, const char *wanted) {
    const cJSON *value = get(object, key);
    char *text = value ? cJSON_PrintUnformatted(value) : NULL;
    const char *show = text ? text : "missing";
    int n = shown(show);
    int status = fail(STATUS_BAD_DATA, "%s: %s%s%s is %.*s%s; %s", r->name, path, *path ? "." : "", key, n, show,
                      show[n] ? "…" : "", wanted);
    cJSON_free(text);
    return status;
}

/* A switch that must be off, or left out. */
static int off(const cJSON *object, const char *key) { return !get(object, key) || cJSON_IsFalse(get(object, key)); }

static int check_model(const struct reader *r, const cJSON *root) {
    const cJSON *model = get(root, "model"), *dropout = get(model, "dropout");
    if (!cJSON_IsObject(model)) return refuse(r, "", root, "model", "a tokenizer has a model");
    if (get(model, "type") && !is(model, "type", "BPE"))
        return refuse(r, "model", model, "type", "only byte-level BPE can be read");
    if (!off(model, "byte_fallback"))
        return refuse(r, "model", model, "byte_fallback", "it must be false: a byte-level model needs none");
    if (dropout && !(cJSON_IsNumber(dropout) && dropout->valuedouble == 0))
        return refuse(r, "model", model, "dropout", "it must be null, or encoding would be random");
    static const char *const empty[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++)
        if (get(model, empty[i]) && !is(model, empty[i], ""))
            return refuse(r, "model", model, empty[i], "it must be empty, as byte-level models have it");
    if (!cJSON_IsObject(get(model, "vocab"))) return refuse(r, "model", model, "vocab", "it must be an object");
    if (get(model, "merges") && !cJSON_IsArray(get(model, "merges")))
        return refuse(r, "model", model, "merges", "it must be an array");
    return 0;
}

static int copy_pattern(struct reader *r, const char *pattern) {
    r->vocabulary->pattern = strdup(pattern);
    r->vocabulary->split = split_of_pattern(pattern);
    return r->vocabulary->pattern ? 0 : fail(STATUS_FAILED, "%s: out of memory", r->name);
}

static int read_split(struct reader *r, const char *path, const cJSON *step) {
    const cJSON *regex = get(get(step, "pattern"), "Regex");
    if (!cJSON_IsString(regex)) return refuse(r, path, step, "pattern", "it must be {\"Regex\": \"…\"}");
    if (!is(step, "behavior", "Isolated"))
        return refuse(r, path, step, "behavior", "it must be Isolated, which keeps the whole text");
    if (!off(step, "invert")) return refuse(r, path, step, "invert", "it must be false");
    if (r->vocabulary->pattern) return refuse(r, path, step, "pattern", "it is the second one, and one can be read");
    return copy_pattern(r, regex->valuestring);
}

static int read_byte_level(struct reader *r, const char *path, const cJSON *step) {
    if (!off(step, "add_prefix_space"))
        return refuse(r, path, step, "add_prefix_space", "it must be false, or a text would not keep its bytes");
    const cJSON *use_regex = get(step, "use_regex"); /* true where it is left out */
    if (cJSON_IsFalse(use_regex)) return 0;
    if (use_regex && !cJSON_IsTrue(use_regex)) return refuse(r, path, step, "use_regex", "it must be true or false");
    if (r->vocabulary->pattern)
        return refuse(r, path, step, "use_regex", "it must be false after a Split, or a text would be cut twice");
    return copy_pattern(r, split_pattern(SPLIT_GPT2));
}

/* ByteLevel turns bytes into letters, so that a Split after it would not see the text. */
static int read_step(struct reader *r, const char *path, const cJSON *step, int *byte_level) {
    if (*byte_level) return refuse(r, path, step, "type", "ByteLevel must be the last step");
    if (is(step, "type", "Split")) return read_split(r, path, step);
    if (!is(step, "type", "ByteLevel")) return refuse(r, path, step, "type", "it must be Split or ByteLevel");
    *byte_level = 1;
    return read_byte_level(r, path, step);
}

static int read_pre_tokenizer(struct reader *r, const cJSON *root) {
    const cJSON *pre = get(root, "pre_tokenizer"), *step;
    char path[64];
    int byte_level = 0, i = 0;
    if (is(pre, "type", "Sequence")) {
        cJSON_ArrayForEach(step, get(pre, "pretokenizers")) {
            snprintf(path, sizeof path, "pre_tokenizer.pretokenizers[%d]", i++);
            TRY(read_step(r, path, step, &byte_level));
        }
    } else if (cJSON_IsObject(pre)) {
        TRY(read_step(r, "pre_tokenizer", pre, &byte_level));
    }
    if (byte_level) return 0;
    return refuse(r, "", root, "pre_tokenizer", "it must have a ByteLevel, or tokens would not be bytes");
}

static int by_content(const void *a, const void *b) {
    return strcmp(((const struct added *)a)->content, ((const struct added *)b)->content);
}

static int by_id(const void *a, const void *b) {
    double left = ((const struct added *)a)->id, right = ((const struct added *)b)->id;
    return (left > right) - (left < right);
}

static int read_added(struct reader *r, const cJSON *root) {
    const cJSON *added = get(root, "added_tokens"), *item;
    if (added && !cJSON_IsArray(added)) return refuse(r, "", root, "added_tokens", "it must be an array");
    size_t room = (size_t)cJSON_GetArraySize(added) + 1;
    r->by_content = malloc(room * sizeof *r->by_content);
    r->by_id = malloc(room * sizeof *r->by_id);
    if (!r->by_content || !r->by_id) return fail(STATUS_FAILED, "%s: out of memory", r->name);
    cJSON_ArrayForEach(item, added) {
        const cJSON *content = get(item, "content"), *id = get(item, "id");
        if (!cJSON_IsString(content) || !*content->valuestring || !cJSON_IsNumber(id))
            return fail(STATUS_BAD_DATA, "%s: added_tokens[%zu] has no content or no id", r->name, r->n_added);
        TRY(token_list_add(&r->list, r->name, id->valuedouble, content->valuestring,
                           (int64_t)strlen(content->valuestring), 1));
        r->by_content[r->n_added++] = (struct added){content->valuestring, id->valuedouble};
    }
    if (!r->n_added) return 0;
    memcpy(r->by_id, r->by_content, r->n_added * sizeof *r->by_id);
    qsort(r->by_content, r->n_added, sizeof *r->by_content, by_content);
    qsort(r->by_id, r->n_added, sizeof *r->by_id, by_id);
    return 0;
}

/* Whether an entry of the vocabulary is an added token, which then stands for it. It must be the same in both places: an added
 * token whose text the vocabulary has takes its id from there in `tokenizers`, whatever else is written. */
static int find_added(const struct reader *r, const char *text, double id, int *found) {
    struct added key = {text, id};
    const struct added *same = bsearch(&key, r->by_content, r->n_added, sizeof key, by_content);
    const struct added *other = bsearch(&key, r->by_id, r->n_added, sizeof key, by_id);
    *found = same && same->id == id;
    if (*found) return 0;
    if (same)
        return fail(STATUS_BAD_DATA, "%s: the token '%.*s' has id %.17g in model.vocab, and %.17g in added_tokens",
                    r->name, shown(text), text, id, same->id);
    if (other)
        return fail(STATUS_BAD_DATA, "%s: id %.17g is '%.*s' in model.vocab, and '%.*s' in added_tokens", r->name, id,
                    shown(text), text, shown(other->content), other->content);
    return 0;
}

/* Tokens that are not written in letters can neither be made by merges; they keep their text. */
static int read_vocab(struct reader *r, const cJSON *vocab) {
    const cJSON *item;
    int found;
    cJSON_ArrayForEach(item, vocab) {
        const char *text = item->string;
        int64_t size = (int64_t)strlen(text), length = letters_to_bytes(text, size, r->bytes);
        if (!cJSON_IsNumber(item) || !size)
            return fail(STATUS_BAD_DATA, "%s: model.vocab: the token '%.*s' is empty, or its id is no number", r->name,
                        shown(text), text);
        TRY(find_added(r, text, item->valuedouble, &found));
        if (found) continue;
        TRY(token_list_add(&r->list, r->name, item->valuedouble, length < 0 ? (const void *)text : r->bytes,
                           length < 0 ? size : length, 0));
    }
    return 0;
}

/* "left right", or ["left", "right"]. */
static int read_merge(struct reader *r, const cJSON *item, int64_t index, const struct token_table *table) {
    const char *left = NULL, *right = NULL, *space = NULL;
    if (cJSON_IsString(item)) {
        left = item->valuestring;
        space = strchr(left, ' ');
        right = space ? space + 1 : NULL;
    } else if (cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2) {
        left = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0));
        right = cJSON_GetStringValue(cJSON_GetArrayItem(item, 1));
    }
    if (!left || !right)
        return fail(STATUS_BAD_DATA, "%s: model.merges[%lld] is no pair of tokens", r->name, (long long)index);
    int64_t size = space ? space - left : (int64_t)strlen(left);
    int64_t a = letters_to_bytes(left, size, r->bytes);
    int64_t b = a < 0 ? -1 : letters_to_bytes(right, (int64_t)strlen(right), r->bytes + a);
    if (b < 0)
        return fail(STATUS_BAD_DATA, "%s: model.merges[%lld] ('%.*s' and '%.*s') has a letter that stands for no byte",
                    r->name, (long long)index, size > SHOWN ? SHOWN : (int)size, left, shown(right), right);
    int status = add_merge_of(r->vocabulary, table, r->name, index, r->bytes, a, r->bytes + a, b);
    if (status != STATUS_BAD_DATA) return status;
    return fail(status, "%s ('%.*s' and '%.*s')", fail_message(), size > SHOWN ? SHOWN : (int)size, left, shown(right),
                right);
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

/* Without a pattern the whole text is one piece; where nothing is merged either, a token is a byte. `tokenizers` reads the
 * pattern as well: it is one that means the same to Oniguruma and to PCRE2. */
static int settle_split(struct reader *r) {
    struct vocabulary *v = r->vocabulary;
    if (v->pattern) return 0;
    v->split = SPLIT_BYTES;
    return v->n_merges || v->whole_pieces ? copy_pattern(r, "[\\s\\S]+") : 0;
}

static int read_root(struct reader *r, const cJSON *root) {
    const cJSON *model = get(root, "model");
    TRY(check_model(r, root));
    if (get(root, "normalizer"))
        return refuse(r, "", root, "normalizer", "it must be null, or a text would not keep its bytes");
    if (get(root, "decoder") && !is(get(root, "decoder"), "type", "ByteLevel"))
        return refuse(r, "", root, "decoder", "it must be ByteLevel");
    TRY(read_pre_tokenizer(r, root));
    TRY(read_added(r, root));
    TRY(read_vocab(r, get(model, "vocab")));
    TRY(token_list_fill(&r->list, r->name, r->vocabulary));
    TRY(read_merges(r, get(model, "merges")));
    r->vocabulary->whole_pieces = cJSON_IsTrue(get(model, "ignore_merges"));
    return settle_split(r);
}

/* cJSON ends a string at U+0000, which would make another token of one that has it. */
static int check_zeros(const char *text, int64_t length, const char *name) {
    const char *end = text + length, *at = memchr(text, 0, (size_t)length);
    for (const char *p = text; !at && p < end && (p = memchr(p, '\\', (size_t)(end - p))); p += 2)
        if (end - p > 5 && !memcmp(p + 1, "u0000", 5)) at = p;
    if (!at) return 0;
    return fail(STATUS_BAD_DATA, "%s: offset %lld: U+0000 cannot be part of a token", name, (long long)(at - text));
}

static int parse(const char *text, int64_t length, const char *name, cJSON **root) {
    const char *at = text, *end = text + length;
    if (!length) return fail(STATUS_BAD_DATA, "%s: is empty; a tokenizer.json is a JSON object", name);
    TRY(check_zeros(text, length, name));
    *root = cJSON_ParseWithLengthOpts(text, (size_t)length, &at, 0);
    if (*root)
        while (at < end && strchr(" \t\r\n", *at)) at++;
    if (!*root || at < end)
        return fail(STATUS_BAD_DATA, "%s: offset %lld: this is not JSON", name, (long long)(at - text));
    if (!cJSON_IsObject(*root)) return fail(STATUS_BAD_DATA, "%s: is JSON, but no object", name);
    return 0;
}

int read_tokenizer_json(const char *text, int64_t length, const char *name, struct vocabulary *vocabulary) {
    struct reader r = {.name = name, .vocabulary = vocabulary};
    cJSON *root = NULL;
    r.bytes = malloc((size_t)length + 1);
    int status = r.bytes ? parse(text, length, name, &root) : fail(STATUS_FAILED, "%s: out of memory", name);
    if (!status) status = read_root(&r, root);
    cJSON_Delete(root);
    token_list_free(&r.list);
    free(r.by_content);
    free(r.by_id);
    free(r.bytes);
    return status;
}
