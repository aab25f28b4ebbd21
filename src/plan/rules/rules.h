/* Small helpers for rules. */
#ifndef PLAN_RULES_RULES_H
#define PLAN_RULES_RULES_H

#include "base/check.h"
#include "plan/backward.h"
#include "plan/rule.h"

/* Fills an output's type and shape; nothing when `out` is NULL (not wanted). `cols` 0 makes it rank 1. */
static inline void set_shape(struct buf *out, enum dtype type, int64_t rows, int64_t cols) {
    if (!out) return;
    out->type = type;
    out->rank = cols ? 2 : 1;
    out->dim[0] = rows;
    out->dim[1] = cols ? cols : 1;
}

/* The output has the type and shape of `like`. */
static inline void set_like(struct buf *out, const struct buf *like) {
    if (!out) return;
    out->type = like->type;
    out->rank = like->rank;
    for (int i = 0; i < MAX_RANK; i++) out->dim[i] = like->dim[i];
}

/* The output has the shape of `like` and the type of its sums: a gradient of a parameter. */
static inline void set_sums_like(struct buf *out, const struct buf *like) {
    set_like(out, like);
    if (out) out->type = dtype_of_sums(like->type);
}

static inline int is_real(const struct buf *buf) { return buf && buf->type != DTYPE_I32 && buf->type != DTYPE_U8; }
static inline int is_matrix(const struct buf *buf) { return buf && buf->rank == 2; }
static inline int is_vector(const struct buf *buf, int64_t elems) {
    return buf && buf->rank == 1 && buf->dim[0] == elems;
}
static inline int same_shape(const struct buf *a, const struct buf *b) {
    return a && b && a->type == b->type && a->rank == b->rank && a->dim[0] == b->dim[0] && a->dim[1] == b->dim[1];
}

/* `starts`, where it is given, has an entry for each of `rows` tokens. */
static inline int check_starts(const struct buf *starts, int64_t rows) {
    if (!starts || (starts->type == DTYPE_I32 && buf_elems(starts) >= rows)) return 0;
    return fail(STATUS_USAGE, "starts must have an i32 for each of %lld tokens", (long long)rows);
}

/* The element count of an operand of `op`. */
static inline int64_t operand_elems(const struct plan *plan, int buf) {
    return buf == NONE ? 0 : buf_elems(&plan->bufs[buf]);
}

#endif
