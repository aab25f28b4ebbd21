/* Which algorithm each product takes.
 *
 * A library offers several for a shape; they differ in time, and in bits. Rank 0 measures those that the library thinks best, once for a GPU, a version of the
 * library and a shape; the choice is kept in a file, so that later runs take the same, and all ranks take rank 0's. LOCKSTEP_ALGORITHMS
 * names the file (default: ~/.cache/lockstep/algorithms.txt); a line is a key, a tab and the algorithm in hexadecimal. With
 * LOCKSTEP_ALGORITHMS=first nothing is measured: each product takes what the library names first. */
#include "backend/cuda/product.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/folders.h"
#include "base/log.h"

enum { PROPOSALS = 8, TRIES = 5, HEX = 2 * sizeof(cublasLtMatmulAlgo_t), LINE = KEY_SIZE + 512 };

/* ---- text ---- */

/* "NVIDIA H200 sm_90 cublasLt 13.1.0 | bf16>bf16 m…": what a choice is for. */
static void full_key(const struct product *p, char text[LINE]) {
    const struct cudaDeviceProp *device = cuda_device();
    snprintf(text, LINE, "%.200s sm_%d%d cublasLt %s | %s", device->name, device->major, device->minor,
             cuda_blas_version(), p->key);
}

static void to_hex(const cublasLtMatmulAlgo_t *algorithm, char text[HEX + 1]) {
    const unsigned char *bytes = (const unsigned char *)algorithm;
    for (size_t i = 0; i < sizeof *algorithm; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static int from_hex(const char *text, cublasLtMatmulAlgo_t *algorithm) {
    unsigned char *bytes = (unsigned char *)algorithm;
    for (size_t i = 0; i < sizeof *algorithm; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) return 0;
        bytes[i] = (unsigned char)byte;
    }
    return 1;
}

/* ---- the file ---- */

static int file_name(char *path, size_t size) {
    const char *named = getenv("LOCKSTEP_ALGORITHMS"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (named) return snprintf(path, size, "%s", named) < (int)size && *named;
    if (cache && *cache) return snprintf(path, size, "%s/lockstep/algorithms.txt", cache) < (int)size;
    return home && snprintf(path, size, "%s/.cache/lockstep/algorithms.txt", home) < (int)size;
}

/* What a line has for this key. */
static int read_line(const char *line, const char *key, cublasLtMatmulAlgo_t *algorithm) {
    const size_t length = strlen(key);
    return !strncmp(line, key, length) && line[length] == '\t' && strlen(line + length + 1) >= HEX &&
           from_hex(line + length + 1, algorithm);
}

/* What the file has; the first line counts, so that who comes later takes what others already use. */
static int read_choice(const char *path, const char *key, cublasLtMatmulAlgo_t *algorithm) {
    char line[LINE];
    int found = 0;
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    while (!found && fgets(line, sizeof line, file)) found = read_line(line, key, algorithm);
    fclose(file);
    return found;
}

/* Lines are short and appended at once, so that processes that share the file do not mix them. */
static void keep_choice(const char *path, const char *key, const cublasLtMatmulAlgo_t *algorithm) {
    char text[HEX + 1], folder[PATH_SIZE];
    to_hex(algorithm, text);
    FILE *file = path_parent(folder, path) || folders_make(folder) ? NULL : fopen(path, "a");
    if (!file || fprintf(file, "%s\t%s\n", key, text) < 0 || fflush(file))
        log_line("warning: %s: cannot keep the choice of algorithms (%s): the next run will measure again, and may get "
                 "other bits",
                 path, strerror(errno));
    if (file) fclose(file);
}

/* ---- measuring ---- */

/* The least of several tries, in milliseconds; below 0: it cannot be run. */
static float measure(struct exec *exec, const struct product *p, const cublasLtMatmulAlgo_t *algorithm,
                     cudaEvent_t begin, cudaEvent_t end) {
    float least = -1;
    for (int i = 0; i <= TRIES; i++) { /* the first is not counted */
        float time;
        if (cudaEventRecord(begin, exec->stream) != cudaSuccess) return -1;
        if (product_run_with(exec, p, algorithm) != CUBLAS_STATUS_SUCCESS) {
            cudaGetLastError(); /* this one is not possible, and that is all */
            return -1;
        }
        if (cudaEventRecord(end, exec->stream) != cudaSuccess || cudaEventSynchronize(end) != cudaSuccess) return -1;
        if (cudaEventElapsedTime(&time, begin, end) != cudaSuccess) return -1;
        if (i && (least < 0 || time < least)) least = time;
    }
    return least;
}

static int no_algorithm(const struct product *p) {
    return fail(STATUS_FAILED, "cuBLASLt %s has no algorithm for the product %s on %s", cuda_blas_version(), p->key,
                cuda_device()->name);
}

static int first(struct exec *exec, struct product *p) {
    cublasLtMatmulHeuristicResult_t proposal;
    if (product_proposals(exec, p, &proposal, 1) < 1) return no_algorithm(p);
    p->algorithm = proposal.algo;
    p->chosen = 1;
    return 0;
}

static int fastest(struct exec *exec, struct product *p) {
    cublasLtMatmulHeuristicResult_t list[PROPOSALS];
    cudaEvent_t begin, end;
    const int count = product_proposals(exec, p, list, PROPOSALS);
    float best = -1;
    TRY(cuda_check(cudaEventCreateWithFlags(&begin, cudaEventDefault), "measuring algorithms"));
    TRY(cuda_check(cudaEventCreateWithFlags(&end, cudaEventDefault), "measuring algorithms"));
    for (int i = 0; i < count; i++) {
        const float time = measure(exec, p, &list[i].algo, begin, end);
        if (time < 0 || (best >= 0 && time >= best)) continue;
        best = time;
        p->algorithm = list[i].algo;
        p->chosen = 1;
    }
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    return p->chosen ? 0 : no_algorithm(p);
}

/* Counts those that had to be measured. */
static int choose(struct exec *exec, struct product *p, const char *path, int *measured) {
    char key[LINE];
    full_key(p, key);
    if (*path && strcmp(path, "first") && read_choice(path, key, &p->algorithm)) {
        p->chosen = 1;
        return 0;
    }
    if (!strcmp(path, "first")) return first(exec, p);
    TRY(fastest(exec, p));
    ++*measured;
    if (*path) keep_choice(path, key, &p->algorithm);
    if (*path) read_choice(path, key, &p->algorithm); /* another process may have been first */
    return 0;
}

static struct product *same_key(struct exec *exec, int i) {
    for (int k = 0; k < i; k++)
        if (!strcmp(exec->products.list[k].key, exec->products.list[i].key)) return &exec->products.list[k];
    return NULL;
}

static int choose_all(struct exec *exec, const char *path) {
    int measured = 0;
    for (int i = 0; i < exec->products.count; i++) {
        struct product *p = &exec->products.list[i], *same = same_key(exec, i);
        if (p->chosen) continue;
        if (same)
            p->algorithm = same->algorithm, p->chosen = 1;
        else
            TRY(choose(exec, p, path, &measured));
    }
    if (measured)
        log_line("matrix products: measured algorithms for %d shapes; the choice is kept in %s", measured,
                 *path ? path : "memory alone");
    return 0;
}

/* ---- what checkpoints keep ---- */

static int write_choices(struct exec *exec) {
    size_t used = 0;
    free(exec->products.choices);
    const char *others = exec->products.others ? exec->products.others : "";
    char *text = exec->products.choices = malloc((size_t)exec->products.count * (LINE + HEX + 3) + strlen(others) + 1);
    if (!text) return fail(STATUS_FAILED, "backend cuda: out of memory");
    *text = 0;
    for (int i = 0; i < exec->products.count; i++) {
        char key[LINE], hex[HEX + 1];
        if (same_key(exec, i) || !exec->products.list[i].chosen) continue;
        full_key(&exec->products.list[i], key);
        to_hex(&exec->products.list[i].algorithm, hex);
        used += (size_t)sprintf(text + used, "%s\t%s\n", key, hex);
    }
    strcpy(text + used, others);
    return 0;
}

const char *cuda_choices(const struct exec *exec) { return exec->products.choices; }

/* Takes what the text has for products, `all` or those that have no algorithm yet. Returns how many it does not have. */
static int adopt(struct exec *exec, const char *choices, int all) {
    int missing = 0;
    for (int i = 0; i < exec->products.count; i++) {
        struct product *p = &exec->products.list[i], *same = same_key(exec, i);
        char key[LINE];
        int found = same && same->chosen;
        if (p->chosen && !all) continue;
        if (found) p->algorithm = same->algorithm;
        full_key(p, key);
        for (const char *line = choices; line && *line && !found; line = strchr(line, '\n'), line += line != NULL)
            found = read_line(line, key, &p->algorithm);
        p->chosen |= found;
        missing += !found;
    }
    return missing;
}

int cuda_use_choices(struct exec *exec, const char *choices, int *missing) {
    *missing = adopt(exec, choices, 1);
    return write_choices(exec);
}

/* Checkpoints keep what all ranks use; this one's text has then lines of products that it has not. */
static int keep_others(struct exec *exec, const char *text) {
    struct products *all = &exec->products;
    size_t before = all->others ? strlen(all->others) : 0;
    char *more = realloc(all->others, before + strlen(text) + 1);
    if (!more) return fail(STATUS_FAILED, "backend cuda: out of memory");
    all->others = more;
    more[before] = 0;
    for (const char *line = text, *end; *line && (end = strchr(line, '\n')); line = end + 1) {
        int own = 0;
        for (int i = 0; i < all->count && !own; i++) {
            char key[LINE];
            cublasLtMatmulAlgo_t algorithm;
            full_key(&all->list[i], key);
            own = read_line(line, key, &algorithm);
        }
        if (!own) strncat(more, line, (size_t)(end + 1 - line));
    }
    return 0;
}

/* What rank `from` has chosen reaches all, in text. */
static int share_choices(struct exec *exec, int from) {
    struct comm *comm = exec->comm;
    int length = comm->rank == from ? (int)strlen(exec->products.choices) : 0;
    TRY(comm_to_first(comm, from, &length, sizeof length));
    TRY(comm_broadcast(comm, &length, sizeof length));
    char *text = calloc((size_t)length + 1, 1);
    int status = comm_agree(comm, text ? 0 : fail(STATUS_FAILED, "backend cuda: out of memory"));
    if (!status && comm->rank == from) memcpy(text, exec->products.choices, (size_t)length);
    if (!status) status = comm_to_first(comm, from, text, length);
    if (!status) status = comm_broadcast(comm, text, length);
    if (!status) adopt(exec, text, 0);
    if (!status) status = comm_agree(comm, keep_others(exec, text));
    free(text);
    return status;
}

int cuda_choose_algorithms(struct exec *exec) {
    char path[1024] = "";
    struct comm *comm = exec->comm;
    if (!file_name(path, sizeof path)) *path = 0;
    if (!comm || comm->size == 1) {
        TRY(choose_all(exec, path));
        return write_choices(exec);
    }
    for (;;) { /* rank 0 chooses first; others may have products that it has not, as they have other numbers of slots */
        int lacking = adopt(exec, "", 0) ? comm->size - comm->rank : 0, status = 0;
        TRY(comm_largest(comm, &lacking));
        if (!lacking) return write_choices(exec);
        if (comm->rank == comm->size - lacking) status = choose_all(exec, path);
        if (!status) status = write_choices(exec);
        TRY(comm_agree(comm, status));
        TRY(share_choices(exec, comm->size - lacking));
    }
}
