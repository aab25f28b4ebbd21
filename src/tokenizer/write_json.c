/* tokenizer.json as Hugging Face's `tokenizers` reads it. Written by hand rather than through a tree of cJSON: a vocabulary has
 * hundreds of thousands of entries, and each is one line here. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "tokenizer/letters.h"
#include "tokenizer/tables.h"

/* Text in quotes. Bytes of UTF-8 stay as they are (RFC 8259, section 7). */
static void write_string(FILE *out, const char *text, int64_t length) {
    fputc('"', out);
    for (int64_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static int64_t length_of(const struct vocabulary *v, int32_t id) { return v->begin[id + 1] - v->begin[id]; }

static void write_letters(FILE *out, const struct vocabulary *v, int32_t id, char *letters) {
    write_string(out, letters, bytes_to_letters(v->bytes + v->begin[id], length_of(v, id), letters));
}

static void write_added(FILE *out, const struct vocabulary *v) {
    const char *comma = "\n";
    fputs("  \"added_tokens\": [", out);
    for (int32_t id = 0; id < v->count; id++) {
        if (!v->special[id]) continue;
        fprintf(out, "%s    {\"id\": %d, \"content\": ", comma, id);
        write_string(out, (const char *)v->bytes + v->begin[id], length_of(v, id));
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

static void write_model(FILE *out, const struct vocabulary *v, char *letters) {
    const char *comma = "\n";
    fprintf(
        out,
        "  \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": "
        "null,\n    \"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": "
        "%s,\n    \"vocab\": {",
        v->whole_pieces ? "true" : "false");
    for (int32_t id = 0; id < v->count; id++) {
        if (v->special[id] || !length_of(v, id)) continue;
        fprintf(out, "%s      ", comma);
        write_letters(out, v, id, letters);
        fprintf(out, ": %d", id);
        comma = ",\n";
    }
    fputs("\n    },\n    \"merges\": [", out);
    for (int i = 0; i < v->n_merges; i++) {
        fputs(i ? ",\n      [" : "\n      [", out);
        write_letters(out, v, v->merges[i].left, letters);
        fputs(", ", out);
        write_letters(out, v, v->merges[i].right, letters);
        fputc(']', out);
    }
    fputs("\n    ]\n  }\n}\n", out);
}

int tokenizer_to_json(const struct tokenizer *tokenizer, char **json, int64_t *length) {
    const struct vocabulary *v = &tokenizer->vocabulary;
    int64_t longest = 0;
    size_t size = 0;
    *json = NULL;
    for (int32_t id = 0; id < v->count; id++)
        if (length_of(v, id) > longest) longest = length_of(v, id);
    char *letters = malloc(2 * (size_t)longest + 1);
    FILE *out = letters ? open_memstream(json, &size) : NULL;
    if (!out) {
        free(letters);
        return fail(STATUS_FAILED, "out of memory for a tokenizer.json");
    }
    fputs("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n", out);
    write_added(out, v);
    fputs("  \"normalizer\": null,\n", out);
    write_split(out, v);
    write_model(out, v, letters);
    free(letters);
    int bad = ferror(out) | fclose(out);
    *length = (int64_t)size;
    if (!bad) return 0;
    free(*json);
    *json = NULL;
    return fail(STATUS_FAILED, "out of memory for a tokenizer.json");
}
