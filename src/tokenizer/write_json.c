/* tokenizer.json as Hugging Face's `tokenizers` reads it. Written by hand rather than through a tree of cJSON: a vocabulary has
 * hundreds of thousands of entries, and each is one line here.
 *
 * Special tokens stand in the vocabulary as well, by their text. Without that `tokenizers` numbers them itself, after all
 * others, and pays no heed to the id that is written beside them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/letters.h"
#include "tokenizer/tables.h"

/* Text in quotes. Bytes of UTF-8 stay as they are (RFC 8259, section 7). */
static void write_string(FILE *out, const char *text, int64_t length) {
    putc_unlocked('"', out);
    for (int64_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') putc_unlocked('\\', out);
        if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            putc_unlocked(c, out);
    }
    putc_unlocked('"', out);
}

static int64_t length_of(const struct vocabulary *v, int32_t id) { return v->begin[id + 1] - v->begin[id]; }

static const char *text_of(const struct vocabulary *v, int32_t id) { return (const char *)v->bytes + v->begin[id]; }

static void write_added(FILE *out, const struct vocabulary *v) {
    const char *comma = "\n";
    fputs("  \"added_tokens\": [", out);
    for (int32_t id = 0; id < v->count; id++) {
        if (!v->special[id] || !length_of(v, id)) continue;
        fprintf(out, "%s    {\"id\": %d, \"content\": ", comma, id);
        write_string(out, text_of(v, id), length_of(v, id));
        fputs(
            ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}",
            out);
        comma = ",\n";
    }
    fputs("\n  ],\n", out);
}

/* ByteLevel alone, without its pattern, is how "bytes" is told: there are no merges, so nothing is lost by one long piece. */
static void write_split(FILE *out, const struct vocabulary *v) {
    static const char level[] =
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": %s}";
    fputs("  \"pre_tokenizer\": ", out);
    if (v->split == SPLIT_BYTES || v->split == SPLIT_GPT2) {
        fprintf(out, level, v->split == SPLIT_GPT2 ? "true" : "false");
    } else {
        fputs("{\"type\": \"Sequence\", \"pretokenizers\": [\n    {\"type\": \"Split\", \"pattern\": {\"Regex\": ",
              out);
        write_string(out, v->pattern, (int64_t)strlen(v->pattern));
        fputs("}, \"behavior\": \"Isolated\", \"invert\": false},\n    ", out);
        fprintf(out, level, "false");
        fputs("]}", out);
    }
    fputs(",\n  \"post_processor\": null,\n  \"decoder\": ", out);
    fprintf(out, level, "true");
    fputs(",\n", out);
}

static void write_vocab(FILE *out, const struct vocabulary *v, char *letters) {
    const char *comma = "\n";
    fputs("    \"vocab\": {", out);
    for (int32_t id = 0; id < v->count; id++) {
        if (!length_of(v, id)) continue;
        fprintf(out, "%s      ", comma);
        if (v->special[id])
            write_string(out, text_of(v, id), length_of(v, id));
        else
            write_string(out, letters, bytes_to_letters(v->bytes + v->begin[id], length_of(v, id), letters));
        fprintf(out, ": %d", id);
        comma = ",\n";
    }
    fputs("\n    },\n", out);
}

/* As "left right", which all versions of `tokenizers` read: no letter is a space. `letters` has room for two tokens. */
static void write_merges(FILE *out, const struct vocabulary *v, char *letters) {
    fputs("    \"merges\": [", out);
    for (int i = 0; i < v->n_merges; i++) {
        const struct merge *m = &v->merges[i];
        int64_t n = bytes_to_letters(v->bytes + v->begin[m->left], length_of(v, m->left), letters);
        letters[n++] = ' ';
        n += bytes_to_letters(v->bytes + v->begin[m->right], length_of(v, m->right), letters + n);
        fputs(i ? ",\n      " : "\n      ", out);
        write_string(out, letters, n);
    }
    fputs("\n    ]\n", out);
}

static void write_model(FILE *out, const struct vocabulary *v, char *letters) {
    fprintf(out,
            "  \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": "
            "null,\n    \"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, "
            "\"ignore_merges\": %s,\n",
            v->whole_pieces ? "true" : "false");
    write_vocab(out, v, letters);
    write_merges(out, v, letters);
    fputs("  }\n", out);
}

/* The text of a special token must be UTF-8, and not be what another token's letters are. */
static int check_special(const struct tokenizer *t, int32_t id, char *letters) {
    const struct vocabulary *v = &t->vocabulary;
    int length = (int)length_of(v, id);
    const uint8_t *text = v->bytes + v->begin[id];
    if (utf8_valid(text, length) < length || memchr(text, 0, (size_t)length))
        return fail(STATUS_BAD_DATA, "special token %d is not UTF-8 text, so that no tokenizer.json can hold it", id);
    int64_t n = letters_to_bytes(text_of(v, id), length, (uint8_t *)letters);
    int32_t other = n < 1 ? -1 : find_token(v, &t->tokens, letters, n);
    if (other < 0) return 0;
    return fail(STATUS_BAD_DATA,
                "special token %d ('%.*s') is written like token %d, so that no tokenizer.json can hold both: give it "
                "another text",
                id, length > 80 ? 80 : length, text_of(v, id), other);
}

static int check_specials(const struct tokenizer *t, char *letters) {
    for (int32_t id = 0; id < t->vocabulary.count; id++)
        if (t->vocabulary.special[id] && length_of(&t->vocabulary, id)) TRY(check_special(t, id, letters));
    return 0;
}

static int write_all(const struct vocabulary *v, char *letters, char **json, int64_t *length) {
    size_t size = 0;
    FILE *out = open_memstream(json, &size);
    if (!out) return fail(STATUS_FAILED, "out of memory for a tokenizer.json");
    fputs("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n", out);
    write_added(out, v);
    fputs("  \"normalizer\": null,\n", out);
    write_split(out, v);
    write_model(out, v, letters);
    fputs("}\n", out);
    int bad = ferror(out) | fclose(out);
    *length = (int64_t)size;
    if (!bad) return 0;
    free(*json);
    *json = NULL;
    return fail(STATUS_FAILED, "out of memory for a tokenizer.json");
}

int tokenizer_to_json(const struct tokenizer *tokenizer, char **json, int64_t *length) {
    const struct vocabulary *v = &tokenizer->vocabulary;
    int64_t longest = 0;
    *json = NULL;
    for (int32_t id = 0; id < v->count; id++)
        if (length_of(v, id) > longest) longest = length_of(v, id);
    char *letters = malloc(4 * (size_t)longest + 1); /* two tokens and a space */
    if (!letters) return fail(STATUS_FAILED, "out of memory for a tokenizer.json");
    int status = check_specials(tokenizer, letters);
    if (!status) status = write_all(v, letters, json, length);
    free(letters);
    return status;
}
