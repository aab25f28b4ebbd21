/* What the files of input share. Only input*.c and their tests include this. */
#ifndef DATA_INPUT_PARTS_H
#define DATA_INPUT_PARTS_H

#include "data/input.h"

enum { PART_BYTES = 4 << 20, TEXT_MOST = 1 << 30 };

/* How long a part of a text is before it is cut; tests make it small. */
extern int64_t input_part_bytes;

/* The text of one line of JSONL. The strings are in the caller's memory, as long as the line: out[0 .. 2). */
struct line_text {
    char *text; /* both in one allocation that grows */
    int64_t room;
    int64_t length, prompt_length; /* the prompt follows the text */
};

/* Reads the fields of a JSON object; a reason for what is wrong goes to `reason`, and 0 is returned; 1: well. -1: out of memory. */
int read_line(const struct input_options *options, const char *line, int64_t length, struct line_text *out,
              char reason[200]);

#endif
