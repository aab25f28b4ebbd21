#include "bench/key.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/check.h"

extern char **environ;

int key_program(const char *path, uint64_t *hash) {
    char block[1 << 14];
    FILE *f = fopen(path, "rb");
    if (!f) return fail(STATUS_USAGE, "%s: cannot read the program to measure: %s", path, strerror(errno));
    XXH64_state_t *state = XXH64_createState();
    int status = state ? 0 : fail(STATUS_FAILED, "out of memory");
    if (state) XXH64_reset(state, 0);
    for (size_t n; !status && (n = fread(block, 1, sizeof block, f)) > 0;) XXH64_update(state, block, n);
    if (!status) *hash = XXH64_digest(state);
    fclose(f);
    XXH64_freeState(state);
    return status;
}

static void print_file(const char *path, FILE *out) {
    struct stat info;
    if (!stat(path, &info)) fprintf(out, "%s %lld %lld\n", path, (long long)info.st_size, (long long)info.st_mtime);
}

/* Sizes and times of the files that a list of sources names, with or without weights. A name that is no file, such as the built-in
 * corpus, adds nothing. */
static void print_sources(const char *sources, const char *root, FILE *out) {
    static const char *const forms[] = {"", "/*", "-*"}; /* a file, a folder's files, the shards of a name */
    for (const char *at = sources; *at; at += strspn(at, ", ")) {
        int length = (int)strcspn(at, ", ");
        for (size_t form = 0; form < sizeof forms / sizeof *forms; form++) {
            char pattern[2 * CONFIG_LIST];
            glob_t found;
            snprintf(pattern, sizeof pattern, "%s%s%.*s%s", *at == '/' ? "" : root, *at == '/' ? "" : "/", length, at,
                     forms[form]);
            if (glob(pattern, 0, NULL, &found)) continue;
            for (size_t i = 0; i < found.gl_pathc; i++) print_file(found.gl_pathv[i], out);
            globfree(&found);
        }
        at += length;
    }
}

static void print_environment(FILE *out) {
    static const char *const prefixes[] = {"OMP_", "GOMP_", "OPENBLAS_", "OMPI_MCA_", "LOCKSTEP_MPIRUN="};
    for (char **variable = environ; *variable; variable++)
        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
            if (!strncmp(*variable, prefixes[i], strlen(prefixes[i]))) fprintf(out, "%s\n", *variable);
}

static int print_config(const struct measure *m, const struct bench_case *c, enum side side, int for_loss, FILE *out) {
    struct config config;
    TRY(case_config(c, side, for_loss, m->root, &config));
    config_print(&config, out);
    fprintf(out, "ranks %d of %d threads\n", measure_ranks(m, c, side), measure_threads(m, c, side));
    print_sources(config.data.train, m->root, out);
    print_sources(config.data.val, m->root, out);
    return 0;
}

/* What `print` writes, and what every figure depends on, as a hash. */
struct key_text {
    char *text;
    size_t length;
    FILE *out;
};

static int open_key(struct key_text *k, const struct measure *m, uint64_t program, const char *processor) {
    k->out = open_memstream(&k->text, &k->length);
    if (!k->out) return fail(STATUS_FAILED, "out of memory");
    fprintf(k->out, "%016llx %s %s %d cores\n", (unsigned long long)program, processor, m->backend ? m->backend : "",
            m->cores);
    print_environment(k->out);
    return 0;
}

static int close_key(struct key_text *k, int status, char key[17]) {
    if (fclose(k->out) && !status) status = fail(STATUS_FAILED, "out of memory");
    if (!status) snprintf(key, 17, "%016llx", (unsigned long long)XXH64(k->text, k->length, 0));
    free(k->text);
    return status;
}

int key_of_case(const struct measure *m, const struct bench_case *c, uint64_t program, const char *processor, int seeds,
                int quick, char key[17]) {
    struct key_text k;
    int status = 0;
    TRY(open_key(&k, m, program, processor));
    for (int side = 0; side < SIDES && !status; side++)
        for (int for_loss = case_speed_apart(c) ? 0 : 1; for_loss < 2 && !status; for_loss++)
            status = print_config(m, c, (enum side)side, for_loss, k.out);
    fprintf(k.out, "%d of seeds %s, %lld tokens, %lld steps\n", seeds, c->seeds_text,
            (long long)(quick ? c->quick_tokens : c->tokens), (long long)c->speed_steps);
    return close_key(&k, status, key);
}

int key_of_baseline(const struct measure *m, const struct bench_case *c, uint64_t program, const char *processor,
                    int quick, char key[17]) {
    struct key_text k;
    TRY(open_key(&k, m, program, processor));
    int status = print_config(m, c, BASELINE, 1, k.out);
    fprintf(k.out, "%lld tokens\n", (long long)(quick ? c->quick_tokens : c->tokens));
    return close_key(&k, status, key);
}
