/* Documents from files that users have: text, JSONL, plain or compressed, alone or in folders.
 *
 *   *.jsonl, *.json, *.ndjson   a JSON object a line; a named field is the document's text (or two: prompt and response)
 *   anything else     the whole file is one document
 *   *.gz, *.zst       either of these, compressed; *.jsonl.gz, *.txt.zst …
 *   a folder          its files and those of its folders, in the order of their names (bytes), hidden ones left out
 *
 * A byte order mark at the start of a file is left out; all else stays as it is.
 *
 * Memory is bounded: long texts come in parts, cut where the tokenizer allows it. */
#ifndef DATA_INPUT_H
#define DATA_INPUT_H

#include <stdint.h>
#include <stdio.h>

#include "tokenizer/vocabulary.h"

struct input_options {
    const char *const *paths;
    int n_paths;
    const char *field;        /* of JSONL: "text" */
    const char *prompt_field; /* both given: fine-tuning data. Then every file must be JSONL */
    const char *response_field;
    enum split split;   /* where texts may be cut; see split_cut() */
    int skip_bad_lines; /* count and name them, and go on; otherwise the first one is an error */
};

/* A document, or a part of one. Valid until the next call of input_next(). */
struct document {
    const char *text; /* fine-tuning: the response */
    int64_t length;
    const char *prompt; /* fine-tuning, else NULL */
    int64_t prompt_length;
    int ends; /* the document's last part */
    const char *file;
    int64_t line; /* of JSONL, from 1; 0: none */
};

struct input;

/* Lists the files (so that a missing one is told before work begins) and opens the first. Errors: STATUS_BAD_DATA. */
int input_open(const struct input_options *options, struct input **input);
void input_close(struct input *input);

/* The next document or part; *more is 0 at the end. Bad data has file and line in its message. Empty documents are given, too. */
int input_next(struct input *input, struct document *document, int *more);

/* For progress: bytes of all files as they are on disk, and how many of them are read. */
int64_t input_bytes(const struct input *input);
int64_t input_bytes_read(const struct input *input);
int64_t input_files(const struct input *input);

/* Whether all of it is one text, and so one document. */
int input_is_single_text(const struct input *input);

/* Bad lines so far, and the first few of them as "FILE:LINE: reason", a line each ("" when there are none). */
int64_t input_bad_lines(const struct input *input);
const char *input_bad_line_texts(const struct input *input);

#endif
