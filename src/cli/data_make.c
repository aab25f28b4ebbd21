#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/whole_file.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "data/make.h"
#include "data/stories.h"

static const char usage[] =
    "lockstep data make --out DIR [options] INPUT…              token files of texts and JSONL\n"
    "lockstep data make --corpus stories --out FILE [--bytes N] [--seed S]   a text of the built-in corpus\n"
    "\n"
    "INPUT is a text file, JSONL (*.jsonl: an object a line), either of them compressed (gzip, zstd), a folder of "
    "these, or -\n"
    "for standard input. Writes DIR/train-00000.tokens and so on, and DIR/tokenizer.json beside them. Every document "
    "is\n"
    "followed by the end-of-text token; an input of one text alone has none.\n"
    "\n"
    "  --tokenizer T         a tokenizer.json, a folder with one, a .tiktoken file, or bytes (default bytes)\n"
    "  --field NAME          of JSONL: which field is the text (default text)\n"
    "  --prompt-field NAME   fine-tuning data: JSONL with a prompt,\n"
    "  --response-field NAME and a response; only the response and its end count as targets\n"
    "  --val FRACTION        so much of the documents goes to DIR/val-00000.tokens; of one text its last characters\n"
    "  --name NAME           DIR/NAME-00000.tokens (default train)\n"
    "  --shard-tokens N      tokens a file, at most; documents are not cut unless they are longer (default 100000000)\n"
    "  --end-of-text TOKEN   the token that ends a document: the text of a special token, or an id (default\n"
    "                        <|endoftext|>, <|end_of_text|> or </s>, the first that the tokenizer has)\n"
    "  --skip-bad-lines      count lines that are not what they should be, and go on\n"
    "  --threads N           encode on N threads (default all); the files are the same\n"
    "  --overwrite           replace files of the same name\n"
    "  --bytes N, --seed S   of the built-in corpus: at least so many bytes (default 4000000), another text (default "
    "1)\n"
    "\n"
    "Examples: lockstep data make --tokenizer gpt2/ --out data/shakespeare --val 0.1 shakespeare.txt\n"
    "          lockstep data make --tokenizer tok.json --out data/web --val 0.001 crawl/*.jsonl.zst\n"
    "          lockstep data make --corpus stories --bytes 1000000 --seed 7 --out stories.txt\n";

enum {
    OPT_CORPUS = 256,
    OPT_BYTES,
    OPT_SEED,
    OPT_OUT,
    OPT_TOKENIZER,
    OPT_FIELD,
    OPT_PROMPT,
    OPT_RESPONSE,
    OPT_VAL,
    OPT_NAME,
    OPT_SHARD,
    OPT_END,
    OPT_SKIP,
    OPT_THREADS,
    OPT_OVERWRITE,
    OPT_HELP
};

static const struct option options[] = {
    {"corpus", required_argument, NULL, OPT_CORPUS},
    {"bytes", required_argument, NULL, OPT_BYTES},
    {"seed", required_argument, NULL, OPT_SEED},
    {"out", required_argument, NULL, OPT_OUT},
    {"tokenizer", required_argument, NULL, OPT_TOKENIZER},
    {"field", required_argument, NULL, OPT_FIELD},
    {"prompt-field", required_argument, NULL, OPT_PROMPT},
    {"response-field", required_argument, NULL, OPT_RESPONSE},
    {"val", required_argument, NULL, OPT_VAL},
    {"name", required_argument, NULL, OPT_NAME},
    {"shard-tokens", required_argument, NULL, OPT_SHARD},
    {"end-of-text", required_argument, NULL, OPT_END},
    {"skip-bad-lines", no_argument, NULL, OPT_SKIP},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"overwrite", no_argument, NULL, OPT_OVERWRITE},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct request {
    const char *corpus, *out, *tokenizer, *end_of_text;
    int64_t bytes, seed, threads;
    int overwrite, help;
    int made_folder; /* --out was not there before */
    struct make_options make;
    struct tokenizer *opened;
    double began, shown;
};

static int make_stories(const struct request *r) {
    int64_t length;
    char *text;
    double bits = 0;
    if (strcmp(r->corpus, "stories"))
        return fail(STATUS_USAGE, "lockstep data make: --corpus: there is one, 'stories'");
    TRY(stories_make(r->bytes, (uint64_t)r->seed, &text, &length));
    FILE *f = fopen(r->out, "wb");
    size_t written = f ? fwrite(text, 1, (size_t)length, f) : 0;
    int status = !f || fclose(f) || written != (size_t)length
                     ? fail(STATUS_FAILED, "%s: cannot write: %s", r->out, strerror(errno))
                     : stories_bits(text, length, &bits);
    free(text);
    TRY(status);
    printf("%s: %" PRId64 " bytes\n", r->out, length);
    cli_print_bits(bits, length);
    return 0;
}

/* Whether a file is NAME-00000.tokens or another shard of that name. */
static int is_shard(const char *file, const char *name) {
    size_t n = strlen(name);
    if (strncmp(file, name, n) || file[n] != '-') return 0;
    for (size_t i = 1; i <= 5; i++)
        if (!isdigit((uint8_t)file[n + i])) return 0;
    return !strcmp(file + n + 6, ".tokens");
}

/* The shards of a name in --out are deleted, or with `keep` an error: they would be mixed with the new ones. */
static int clear(const struct request *r, const char *name, int keep) {
    char path[4400];
    int status = 0;
    DIR *folder = opendir(r->out);
    if (!folder && errno == ENOENT) return 0;
    if (!folder) return fail(STATUS_USAGE, "--out: %s: cannot read this folder: %s", r->out, strerror(errno));
    for (struct dirent *entry; !status && (entry = readdir(folder));) {
        if (!is_shard(entry->d_name, name)) continue;
        snprintf(path, sizeof path, "%s/%s", r->out, entry->d_name);
        if (keep)
            status = fail(STATUS_USAGE, "%s is there already; --overwrite replaces it and its like", path);
        else if (unlink(path))
            status = fail(STATUS_FAILED, "%s: cannot delete: %s", path, strerror(errno));
    }
    closedir(folder);
    return status;
}

static int clear_all(const struct request *r, int keep) {
    TRY(clear(r, r->make.name, keep));
    return r->make.val > 0 ? clear(r, "val", keep) : 0;
}

/* Token files and their tokenizer.json belong together: another one's is left alone. */
static int check_tokenizer(const struct request *r) {
    char path[4096];
    struct stat info;
    struct tokenizer *there;
    uint8_t old[TOKENIZER_HASH], new[TOKENIZER_HASH];
    snprintf(path, sizeof path, "%s/tokenizer.json", r->out);
    if (r->overwrite || stat(path, &info)) return 0;
    TRY(tokenizer_open(path, &there));
    tokenizer_hash(there, old);
    tokenizer_hash(r->opened, new);
    tokenizer_close(there);
    if (!memcmp(old, new, sizeof old)) return 0;
    return fail(STATUS_USAGE, "%s is another tokenizer; choose another --out, or --overwrite it", path);
}

static int write_tokenizer(const struct request *r) {
    char path[4096], *json;
    int64_t length;
    snprintf(path, sizeof path, "%s/tokenizer.json", r->out);
    TRY(tokenizer_to_json(r->opened, &json, &length));
    int status = whole_file_write(path, json, length);
    free(json);
    return status;
}

/* What can be told of the input before anything is written. */
static int check_input(const struct request *r) {
    struct input *input;
    TRY(input_open(&r->make.input, &input));
    int unseekable = input_is_single_text(input) && input_bytes(input) == 0;
    input_close(input);
    if (!unseekable || r->make.val == 0) return 0;
    return fail(STATUS_USAGE, "--val: %s is empty or a pipe, and a text is read twice to divide it; put it into a file",
                r->make.input.paths[0]);
}

/* And the folders above it. */
static int make_folder(struct request *r) {
    char path[4096];
    snprintf(path, sizeof path, "%s", r->out); /* check() has bounded it */
    for (char *p = path + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        if (mkdir(path, 0777) && errno != EEXIST)
            return fail(STATUS_FAILED, "%s: cannot make this folder: %s", path, strerror(errno));
        *p = '/';
    }
    r->made_folder = !mkdir(r->out, 0777);
    if (r->made_folder || errno == EEXIST) return 0;
    return fail(STATUS_FAILED, "%s: cannot make this folder: %s", r->out, strerror(errno));
}

static void show_progress(void *context, int64_t done, int64_t of) {
    struct request *r = context;
    double now = clock_seconds(), seconds = now - r->began;
    char text[200];
    if (now - r->shown < (log_has_bar() ? 0.1 : 10) || of <= 0 || done <= 0) return;
    r->shown = now;
    snprintf(text, sizeof text, "%5.1f%% of %.1f MB read  %.1f MB/s  %.0f s left", 100.0 * (double)done / (double)of,
             (double)of * 1e-6, (double)done * 1e-6 / seconds, seconds * (double)(of - done) / (double)done);
    if (log_has_bar())
        log_bar(text);
    else
        log_line("%s", text);
}

static void print_summary(const struct request *r, const struct make_summary *s) {
    double seconds = clock_seconds() - r->began, tokens = (double)(s->tokens + s->val_tokens);
    printf("%s/%s: %" PRId64 " tokens in %d file%s\n", r->out, r->make.name, s->tokens, s->shards,
           s->shards == 1 ? "" : "s");
    if (s->val_shards)
        printf("%s/val: %" PRId64 " tokens in %d file%s, %" PRId64 " document%s\n", r->out, s->val_tokens,
               s->val_shards, s->val_shards == 1 ? "" : "s", s->val_documents, s->val_documents == 1 ? "" : "s");
    if (r->make.input.prompt_field) printf("targets    %" PRId64 " tokens of responses\n", s->targets);
    printf("files      %" PRId64 "\ndocuments  %" PRId64 "\nbytes      %" PRId64 " (%.3f a token)\n", s->files,
           s->documents, s->bytes, tokens > 0 ? (double)s->bytes / tokens : 0);
    if (s->bad_lines) printf("bad lines  %" PRId64 ", left out:\n%s", s->bad_lines, s->bad_line_texts);
    printf("time       %.2f s, %.1f MB/s\n", seconds, (double)s->bytes * 1e-6 / seconds);
    printf("vocabulary %" PRId64 " (model.vocab must be that or more)\n", tokenizer_vocab(r->opened));
}

static int find_end_of_text(const struct request *r, int32_t *id) {
    int64_t number, vocab = tokenizer_vocab(r->opened);
    const char *text = r->end_of_text;
    *id = text ? tokenizer_special(r->opened, text) : tokenizer_end_of_text(r->opened);
    if (!text || *id >= 0) return 0;
    if (!isdigit((uint8_t)*text))
        return fail(STATUS_USAGE, "--end-of-text: the tokenizer has no special token '%s'; an id can be given, too",
                    text);
    TRY(cli_whole("--end-of-text", text, 0, vocab - 1, &number));
    *id = (int32_t)number;
    return 0;
}

static int write_files(struct request *r, struct make_summary *summary) {
    TRY(clear_all(r, 0));
    int status = make_tokens(&r->make, summary);
    log_bar("");
    TRY(status);
    return write_tokenizer(r);
}

/* What a failed run has written would look like what was asked for. */
static int take_back(const struct request *r, const struct make_summary *s, int status) {
    char reason[1024], skipped[300] = "";
    if (s->bad_lines)
        snprintf(skipped, sizeof skipped, "; bad lines left out: %" PRId64 ", the first is %.*s", s->bad_lines,
                 (int)strcspn(s->bad_line_texts, "\n"), s->bad_line_texts);
    snprintf(reason, sizeof reason, "%.700s%s", fail_message(), skipped);
    clear_all(r, 0);
    if (r->made_folder) rmdir(r->out);
    return fail(status, "%s", reason);
}

static int make_files(struct request *r) {
    struct make_summary summary = {0};
    struct make_options *m = &r->make;
    TRY(tokenizer_open(r->tokenizer, &r->opened));
    m->tokenizer = r->opened;
    m->input.split = tokenizer_vocabulary(r->opened)->split;
    TRY(find_end_of_text(r, &m->end_of_text));
    m->folder = r->out;
    m->threads = (int)r->threads;
    m->progress = show_progress;
    m->context = r;
    TRY(check_input(r));
    TRY(check_tokenizer(r));
    if (!r->overwrite) TRY(clear_all(r, 1));
    r->began = r->shown = clock_seconds();
    TRY(make_folder(r));
    int status = write_files(r, &summary);
    if (status) return take_back(r, &summary, status);
    print_summary(r, &summary);
    return 0;
}

static int read_option(struct request *r, int option) {
    struct input_options *in = &r->make.input;
    const struct {
        int option;
        const char **text;
    } texts[] = {{OPT_CORPUS, &r->corpus},
                 {OPT_OUT, &r->out},
                 {OPT_TOKENIZER, &r->tokenizer},
                 {OPT_END, &r->end_of_text},
                 {OPT_FIELD, &in->field},
                 {OPT_PROMPT, &in->prompt_field},
                 {OPT_RESPONSE, &in->response_field},
                 {OPT_NAME, &r->make.name}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].option == option) *texts[i].text = optarg;
    if (option == OPT_BYTES) TRY(cli_whole("--bytes", optarg, 1, (int64_t)1 << 40, &r->bytes));
    if (option == OPT_SEED) TRY(cli_whole("--seed", optarg, 0, INT64_MAX, &r->seed));
    if (option == OPT_THREADS) TRY(cli_whole("--threads", optarg, 1, 1024, &r->threads));
    if (option == OPT_SHARD) TRY(cli_whole("--shard-tokens", optarg, 1, (int64_t)1 << 40, &r->make.shard_tokens));
    if (option == OPT_VAL) TRY(cli_real("--val", optarg, 0, 0.999, &r->make.val));
    if (option == OPT_SKIP) in->skip_bad_lines = 1;
    if (option == OPT_OVERWRITE) r->overwrite = 1;
    if (option == OPT_HELP) r->help = 1;
    return 0;
}

static int check(const struct request *r) {
    const struct input_options *in = &r->make.input;
    if (!r->out) return fail(STATUS_USAGE, "lockstep data make: --out is missing; see 'lockstep data make --help'");
    if (r->corpus) return 0;
    if (!in->n_paths)
        return fail(STATUS_USAGE, "lockstep data make: name the files to read; see 'lockstep data make --help'");
    if (!in->prompt_field != !in->response_field)
        return fail(STATUS_USAGE, "lockstep data make: --prompt-field and --response-field belong together");
    if (strchr(r->make.name, '/') || !*r->make.name)
        return fail(STATUS_USAGE, "--name: '%s' is not the name of a file", r->make.name);
    if (r->make.val > 0 && !strcmp(r->make.name, "val"))
        return fail(STATUS_USAGE, "--name val and --val would write the same files");
    return strlen(r->out) < 4000 ? 0 : fail(STATUS_USAGE, "--out: this path is too long");
}

int cli_data_make(int argc, char **argv) {
    struct request r = {.tokenizer = "bytes", .bytes = 4000000, .seed = 1};
    r.make.name = "train";
    r.make.shard_tokens = 100000000;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?') return cli_bad_option("data make", argv);
        TRY(read_option(&r, c));
    }
    if (r.help) return fputs(usage, stdout) < 0;
    r.make.input.paths = (const char *const *)(argv + optind);
    r.make.input.n_paths = argc - optind;
    TRY(check(&r));
    if (r.corpus) return make_stories(&r);
    int status = make_files(&r);
    tokenizer_close(r.opened);
    return status;
}
