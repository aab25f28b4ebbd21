#include "tokenizer/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* Memory is kept at the next power of two, so that it need not be remembered how much there is. */
static int64_t room_for(int64_t count) {
    int64_t room = 64;
    while (room < count) room *= 2;
    return room;
}

/* Makes room for `more` elements after `count`. */
static int grow(void **memory, int64_t count, int64_t more, size_t size) {
    if (*memory && room_for(count) == room_for(count + more)) return 0;
    void *grown = realloc(*memory, (size_t)room_for(count + more) * size);
    if (!grown) return fail(STATUS_FAILED, "out of memory for a vocabulary");
    *memory = grown;
    return 0;
}

int vocabulary_add(struct vocabulary *v, const void *text, int64_t length, int special) {
    int64_t used = v->count ? v->begin[v->count] : 0;
    TRY(grow((void **)&v->bytes, used, length, 1));
    TRY(grow((void **)&v->begin, v->count + 1, 1, sizeof *v->begin));
    TRY(grow((void **)&v->special, v->count, 1, 1));
    if (length) memcpy(v->bytes + used, text, (size_t)length);
    v->begin[v->count] = used;
    v->begin[v->count + 1] = used + length;
    v->special[v->count++] = special != 0;
    return 0;
}

int vocabulary_add_merge(struct vocabulary *v, int32_t left, int32_t right, int32_t result, int32_t rank) {
    TRY(grow((void **)&v->merges, v->n_merges, 1, sizeof *v->merges));
    v->merges[v->n_merges++] = (struct merge){left, right, result, rank};
    return 0;
}

void vocabulary_free(struct vocabulary *v) {
    free(v->bytes);
    free(v->begin);
    free(v->special);
    free(v->merges);
    free(v->pattern);
    *v = (struct vocabulary){0};
}
