/* Token files of documents: reads, encodes on all threads, and writes in the order of the documents. What comes out does not depend
 * on the number of threads. */
#ifndef DATA_MAKE_H
#define DATA_MAKE_H

#include "data/input.h"
#include "data/token_file.h"

struct make_options {
    struct input_options input; /* its split is the tokenizer's */
    const struct tokenizer *tokenizer;
    const char *folder, *name; /* FOLDER/NAME-00000.tokens; the folder must be there */
    double val;          /* this part of the documents goes to FOLDER/val-00000.tokens; 0: none. Of a single text, it is
                                  its last characters */
    int32_t end_of_text; /* ends each document, except that a single text has none; -1: there is none */
    int64_t shard_tokens;
    int threads;                                                        /* 0: as many as OpenMP gives */
    void (*progress)(void *context, int64_t bytes_read, int64_t bytes); /* may be NULL */
    void *context;
};

struct make_summary {
    int64_t files, documents, bytes; /* bytes of text */
    int64_t tokens, targets;         /* targets: those that a loss mask lets count */
    int64_t val_documents, val_tokens;
    int shards, val_shards;
    int64_t bad_lines;
    char bad_line_texts[4000];
};

/* Errors: STATUS_BAD_DATA of input, STATUS_FAILED of writing. On an error files of whole shards may be there. */
int make_tokens(const struct make_options *options, struct make_summary *summary);

#endif
