#include "ckpt/array.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"

enum { DIMS_MAX = sizeof(((struct ckpt_array *)0)->dim) / sizeof(int64_t) };

/* One part of a name, between slashes. */
static int part_is_valid(const char *part, size_t length) {
    if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.')) return 0;
    for (size_t i = 0; i < length; i++)
        if (part[i] <= ' ' || part[i] > '~') return 0;
    return 1;
}

int array_check(const struct ckpt_array *array) {
    size_t length = strnlen(array->name, sizeof array->name);
    if (length == sizeof array->name)
        return fail(STATUS_FAILED, "array '%.63s…': the name is longer than 63 bytes", array->name);
    for (size_t begin = 0; begin <= length;) {
        size_t part = strcspn(array->name + begin, "/");
        if (!part_is_valid(array->name + begin, part))
            return fail(STATUS_FAILED, "array '%s': this is no name for an array", array->name);
        begin += part + 1;
    }
    if ((int)array->type < 0 || array->type >= DTYPE_COUNT)
        return fail(STATUS_FAILED, "array '%s': there is no type %d", array->name, (int)array->type);
    if (array->rank < 0 || array->rank > DIMS_MAX)
        return fail(STATUS_FAILED, "array '%s': %d dimensions, at most %d are possible", array->name, array->rank,
                    DIMS_MAX);
    int64_t most = EXACT_MAX / (int64_t)dtype_size(array->type), elems = 1;
    for (int i = 0; i < array->rank; i++) {
        int64_t dim = array->dim[i];
        if (dim < 0 || dim > most || (dim > 0 && elems > most / dim))
            return fail(STATUS_FAILED, "array '%s': dimension %d is %" PRId64 ", which is not possible", array->name, i,
                        dim);
        elems *= dim;
    }
    return 0;
}

int array_check_slice(const struct ckpt_array *array) {
    TRY(array_check(array));
    int64_t elems = array_elems(array);
    if (array->begin < 0 || array->begin > array->end || array->end > elems)
        return fail(STATUS_FAILED, "array '%s': [%" PRId64 ", %" PRId64 ") is no range of its %" PRId64 " elements",
                    array->name, array->begin, array->end, elems);
    if (array->begin < array->end && !array->data)
        return fail(STATUS_FAILED, "array '%s': no memory is given for its elements", array->name);
    return 0;
}

int64_t array_elems(const struct ckpt_array *array) {
    int64_t elems = 1;
    for (int i = 0; i < array->rank; i++) elems *= array->dim[i];
    return elems;
}

int array_alike(const struct ckpt_array *a, const struct ckpt_array *b) {
    if (a->type != b->type || a->rank != b->rank) return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return 0;
    return 1;
}

void array_text(const struct ckpt_array *array, char text[ARRAY_TEXT]) {
    int used = snprintf(text, ARRAY_TEXT, "%s [", dtype_name(array->type));
    for (int i = 0; i < array->rank; i++)
        used += snprintf(text + used, ARRAY_TEXT - (size_t)used, "%s%" PRId64, i ? ", " : "", array->dim[i]);
    snprintf(text + used, ARRAY_TEXT - (size_t)used, "]");
}
