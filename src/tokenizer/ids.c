#include <stdlib.h>

#include "base/check.h"
#include "tokenizer/tokenizer.h"

int ids_reserve(struct ids *ids, int64_t more) {
    int64_t needed = ids->count + more;
    if (needed <= ids->capacity) return 0;
    int64_t capacity = ids->capacity ? ids->capacity : 64;
    while (capacity < needed) capacity *= 2;
    int32_t *grown = realloc(ids->id, (size_t)capacity * sizeof *grown);
    if (!grown) return fail(STATUS_FAILED, "out of memory for %lld tokens", (long long)capacity);
    ids->id = grown;
    ids->capacity = capacity;
    return 0;
}

int ids_append(struct ids *ids, int32_t id) {
    TRY(ids_reserve(ids, 1));
    ids->id[ids->count++] = id;
    return 0;
}

void ids_free(struct ids *ids) {
    free(ids->id);
    *ids = (struct ids){0};
}
