/* Token sources. Today one kind: the bytes of a text are its tokens. A file is mapped, so it takes no memory of its own and
 * may be larger than what the machine has; the built-in corpus is made at start. */
#ifndef DATA_TEXT_H
#define DATA_TEXT_H

#include <stdint.h>

struct text {
    char name[512];
    const uint8_t *bytes;
    int64_t length;
    void *mapping; /* NULL: none */
    int64_t mapping_bytes;
    char *made;        /* the built-in corpus, owned */
    double floor_nats; /* exact nats a byte of this text under the process that made it; negative when not known */
};

struct dataset {
    struct text train, val; /* val.length 0: none */
};

/* Opens what a run trains and validates on.
 *   train  a path, or "stories", "stories:BYTES" or "stories:BYTES:SEED" for the built-in corpus
 *   val    a path; a fraction of train, taken from its end; or "": none. With the built-in corpus a fraction is made from
 *          another seed, so that it is independent of the training text.
 * `window` is tokens a sequence: each text must hold one window and the token after it. `vocab` must be larger than every
 * byte. Errors: STATUS_BAD_DATA. */
int dataset_open(struct dataset *data, const char *train, const char *val, int64_t window, int64_t vocab);
void dataset_close(struct dataset *data);

/* One text alone (lockstep eval --data). */
int text_open(struct text *text, const char *spec);
int text_check(const struct text *text, int64_t window, int64_t vocab);
void text_close(struct text *text);

#endif
