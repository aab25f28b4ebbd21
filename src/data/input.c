#include "data/input.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "data/input_files.h"
#include "data/input_parts.h"
#include "data/stream.h"

enum { NAMED_BAD_LINES = 10, BAD_LINE_TEXT = 400, READ = 1 << 18 };

int64_t input_part_bytes = PART_BYTES;

struct input {
    struct input_options options;
    struct input_files files;
    int64_t next;          /* the next file */
    struct stream *stream; /* of the file before it; NULL: none is open */
    int jsonl, begun, ended;
    char *buffer; /* what was read and not yet given: [at, end) */
    int64_t at, end, room;
    int64_t line;         /* of JSONL: lines so far */
    int64_t bytes_before; /* of the files that are done */
    struct line_text text;
    int64_t bad_lines;
    char bad_line_texts[NAMED_BAD_LINES * BAD_LINE_TEXT];
};

static int ends_with(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    return n >= m && !strcmp(path + n - m, end);
}

static int is_jsonl(const char *path) {
    static const char *const names[] = {".jsonl", ".json", ".ndjson"}, *const compressed[] = {"", ".gz", ".zst"};
    char end[16];
    for (int i = 0; i < 9; i++) {
        snprintf(end, sizeof end, "%s%s", names[i / 3], compressed[i % 3]);
        if (ends_with(path, end)) return 1;
    }
    return 0;
}

int input_open(const struct input_options *options, struct input **input) {
    struct input *in = *input = calloc(1, sizeof *in);
    if (!in) return fail(STATUS_FAILED, "out of memory");
    in->options = *options;
    if (!in->options.field) in->options.field = "text";
    int status = input_files_list(options->paths, options->n_paths, &in->files);
    for (int64_t i = 0; i < in->files.count && !status && options->prompt_field; i++)
        if (!is_jsonl(in->files.file[i].path))
            status = fail(STATUS_BAD_DATA, "%s: prompts and responses are read from JSONL (*.jsonl, also .gz and .zst)",
                          in->files.file[i].path);
    if (!status) return 0;
    input_close(in);
    *input = NULL;
    return status;
}

void input_close(struct input *in) {
    if (!in) return;
    stream_close(in->stream);
    input_files_free(&in->files);
    free(in->buffer);
    free(in->text.text);
    free(in);
}

int64_t input_bytes(const struct input *in) { return in->files.bytes; }
int64_t input_files(const struct input *in) { return in->files.count; }
int64_t input_bad_lines(const struct input *in) { return in->bad_lines; }
const char *input_bad_line_texts(const struct input *in) { return in->bad_line_texts; }

int input_is_single_text(const struct input *in) { return in->files.count == 1 && !is_jsonl(in->files.file[0].path); }

int64_t input_bytes_read(const struct input *in) {
    return in->bytes_before + (in->stream ? stream_position(in->stream) : 0);
}

static const char *file_name(const struct input *in) { return in->files.file[in->next - 1].path; }

static int open_next(struct input *in) {
    in->next++;
    TRY(stream_open(file_name(in), &in->stream));
    in->jsonl = is_jsonl(file_name(in));
    in->at = in->end = in->line = 0;
    in->begun = in->ended = 0;
    return 0;
}

static void close_file(struct input *in) {
    stream_close(in->stream);
    in->stream = NULL;
    in->bytes_before += in->files.file[in->next - 1].bytes;
}

/* Room for another read, and for a zero after it: cJSON may look one byte behind a line. */
static int make_room(struct input *in) {
    if (in->end - in->at > TEXT_MOST && in->jsonl)
        return fail(STATUS_BAD_DATA, "%s:%" PRId64 ": has more than 1 GiB in one line; divide it into several",
                    file_name(in), in->line + 1);
    if (in->end - in->at > TEXT_MOST)
        return fail(STATUS_BAD_DATA, "%s: has more than 1 GiB without a place to cut it; divide it into several files",
                    file_name(in));
    if (in->room - in->end < READ) {
        if (in->end > in->at) memmove(in->buffer, in->buffer + in->at, (size_t)(in->end - in->at));
        in->end -= in->at;
        in->at = 0;
    }
    if (in->room - in->end >= READ) return 0;
    int64_t room = in->room ? 2 * in->room : 4 * (int64_t)READ;
    char *grown = realloc(in->buffer, (size_t)room + 1);
    if (!grown) return fail(STATUS_FAILED, "%s: out of memory", file_name(in));
    in->buffer = grown;
    in->room = room;
    return 0;
}

/* Reads on, keeping what is not yet given. A byte order mark at the file's start is left out; a stream may give the start in
 * pieces. */
static int read_more(struct input *in) {
    int64_t got;
    do {
        TRY(make_room(in));
        TRY(stream_read(in->stream, in->buffer + in->end, in->room - in->end, &got));
        in->end += got;
        in->ended = !got;
    } while (!in->begun && !in->ended && in->end < 3);
    in->buffer[in->end] = '\0';
    if (in->begun) return 0;
    in->begun = 1;
    if (in->end - in->at >= 3 && !memcmp(in->buffer + in->at, "\xef\xbb\xbf", 3)) in->at += 3;
    return 0;
}

/* A part of a text file. */
static int next_part(struct input *in, struct document *d) {
    int64_t looked = input_part_bytes;
    for (;;) {
        while (!in->ended && in->end - in->at <= looked) TRY(read_more(in));
        int64_t have = in->end - in->at;
        int64_t cut = have > input_part_bytes ? split_cut(in->options.split, in->buffer + in->at, have, looked) : have;
        if (cut < have || in->ended) {
            *d = (struct document){.text = in->buffer + in->at, .length = cut, .file = file_name(in)};
            in->at += cut;
            d->ends = in->ended && in->at == in->end;
            return 0;
        }
        looked = have; /* no place so far: more is needed */
    }
}

/* A line without its end, in the buffer; *found 0 at the file's end. */
static int next_line(struct input *in, const char **line, int64_t *length, int *found) {
    int64_t looked = 0;
    for (;;) {
        int64_t have = in->end - in->at;
        const char *end = have > looked ? memchr(in->buffer + in->at + looked, '\n', (size_t)(have - looked)) : NULL;
        if (end || in->ended) {
            *found = end || have > 0;
            if (!*found) return 0;
            *line = in->buffer + in->at;
            *length = end ? end - *line : have;
            in->at += *length + (end != NULL);
            in->line++;
            return 0;
        }
        looked = have;
        TRY(read_more(in));
    }
}

static int is_blank(const char *line, int64_t length) {
    for (int64_t i = 0; i < length; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return 0;
    return 1;
}

static int bad_line(struct input *in, const char *reason) {
    if (!in->options.skip_bad_lines)
        return fail(STATUS_BAD_DATA, "%s:%" PRId64 ": %s; --skip-bad-lines goes on without such lines", file_name(in),
                    in->line, reason);
    if (in->bad_lines++ < NAMED_BAD_LINES) {
        size_t used = strlen(in->bad_line_texts);
        snprintf(in->bad_line_texts + used, sizeof in->bad_line_texts - used, "%.150s:%" PRId64 ": %s\n", file_name(in),
                 in->line, reason);
    }
    return 0;
}

/* The next good line of the file as a document; *found 0 at its end. */
static int next_object(struct input *in, struct document *d, int *found) {
    const char *line;
    int64_t length;
    char reason[200];
    for (;;) {
        TRY(next_line(in, &line, &length, found));
        if (!*found) return 0;
        if (is_blank(line, length)) continue;
        int result = read_line(&in->options, line, length, &in->text, reason);
        if (result < 0) return fail(STATUS_FAILED, "%s: out of memory", file_name(in));
        if (result) break;
        TRY(bad_line(in, reason));
    }
    *d = (struct document){.text = in->text.text, .length = in->text.length, .ends = 1, .file = file_name(in)};
    d->line = in->line;
    if (in->options.prompt_field) {
        d->prompt = in->text.text + in->text.length;
        d->prompt_length = in->text.prompt_length;
    }
    return 0;
}

int input_next(struct input *in, struct document *d, int *more) {
    for (*more = 0; !*more;) {
        if (!in->stream) {
            if (in->next == in->files.count) return 0;
            TRY(open_next(in));
        }
        if (in->jsonl) {
            TRY(next_object(in, d, more));
            if (!*more) close_file(in);
        } else if (in->begun && in->ended && in->at == in->end) {
            close_file(in); /* its last part was given before */
        } else {
            TRY(next_part(in, d));
            *more = 1;
        }
    }
    return 0;
}
