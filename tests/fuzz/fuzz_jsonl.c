/* Lines of JSONL: what a line gives is no longer than it, and is valid UTF-8 without zeros. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "data/input_parts.h"

static void check(const char *text, int64_t length, int64_t most) {
    if (length > most || (length && memchr(text, 0, (size_t)length))) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct line_text out;
    struct input_options plain = {.field = "text"}, tuning = {.prompt_field = "prompt", .response_field = "response"};
    char reason[200];
    if (read_line(&plain, (const char *)data, (int64_t)size, &out, reason) > 0)
        check(out.text, out.length, (int64_t)size);
    if (read_line(&tuning, (const char *)data, (int64_t)size, &out, reason) > 0)
        check(out.text, out.length + out.prompt_length, (int64_t)size);
    return 0;
}
