#include "ckpt/slices.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/array.h"

int slices_alike(const struct ckpt_array *entry, int left) {
    int alike = 1;
    while (alike < left && strcmp(entry[alike].name, entry->name) == 0) alike++;
    return alike;
}

/* Both are slices of the same array, one after the other in the list. */
static int check_order(const struct ckpt_array *first, const struct ckpt_array *second) {
    if (!array_alike(first, second)) {
        char one[ARRAY_TEXT], other[ARRAY_TEXT];
        array_text(first, one);
        array_text(second, other);
        return fail(STATUS_FAILED, "array '%s': one slice is of %s, the next of %s", first->name, one, other);
    }
    if (second->begin < first->end)
        return fail(STATUS_FAILED,
                    "array '%s': slice [%" PRId64 ", %" PRId64 ") comes after [%" PRId64 ", %" PRId64
                    "), but slices of a rank must ascend and not overlap",
                    first->name, second->begin, second->end, first->begin, first->end);
    return 0;
}

static int compare_names(const void *a, const void *b) {
    const struct ckpt_array *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static int check_names_differ(const struct ckpt_array *arrays, int count) {
    const struct ckpt_array **sorted = calloc((size_t)count + 1, sizeof(*sorted));
    if (!sorted) return fail(STATUS_FAILED, "out of memory");
    int status = 0, names = 0;
    for (int i = 0; i < count; i += slices_alike(&arrays[i], count - i)) sorted[names++] = &arrays[i];
    qsort(sorted, (size_t)names, sizeof(*sorted), compare_names);
    for (int i = 1; i < names && !status; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            status = fail(STATUS_FAILED, "array '%s' is given twice", sorted[i]->name);
    free(sorted);
    return status;
}

int slices_check(const struct ckpt_array *arrays, int count) {
    for (int i = 0; i < count; i++) {
        TRY(array_check_slice(&arrays[i]));
        if (i > 0 && strcmp(arrays[i - 1].name, arrays[i].name) == 0) TRY(check_order(&arrays[i - 1], &arrays[i]));
    }
    return check_names_differ(arrays, count);
}

int slices_describe(const struct ckpt_array *arrays, int count, int64_t *n_arrays, XXH128_canonical_t *hash) {
    XXH3_state_t *state = XXH3_createState();
    if (!state) return fail(STATUS_FAILED, "out of memory");
    XXH3_128bits_reset(state);
    *n_arrays = 0;
    for (int i = 0; i < count; i += slices_alike(&arrays[i], count - i)) {
        int32_t kind[2] = {(int32_t)arrays[i].type, arrays[i].rank};
        XXH3_128bits_update(state, arrays[i].name, strlen(arrays[i].name) + 1);
        XXH3_128bits_update(state, kind, sizeof kind);
        XXH3_128bits_update(state, arrays[i].dim, (size_t)arrays[i].rank * sizeof arrays[i].dim[0]);
        ++*n_arrays;
    }
    XXH128_canonicalFromHash(hash, XXH3_128bits_digest(state));
    XXH3_freeState(state);
    return 0;
}

int64_t slices_list(const struct ckpt_array *arrays, int count, struct slice *list) {
    int64_t listed = 0, array = -1;
    for (int i = 0; i < count; i++) {
        array += i == 0 || strcmp(arrays[i - 1].name, arrays[i].name) != 0;
        if (arrays[i].begin < arrays[i].end) list[listed++] = (struct slice){array, arrays[i].begin, arrays[i].end, 0};
    }
    return listed;
}
