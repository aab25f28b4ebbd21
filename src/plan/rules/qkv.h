/* What the ops on qkv[N, (H + 2K) D] check alike. */
#ifndef PLAN_RULES_QKV_H
#define PLAN_RULES_QKV_H

#include "plan/rules/rules.h"

/* Checks rows, heads and columns; *size is D. */
static inline int check_qkv(const struct op *op, const struct buf *qkv, int64_t *size) {
    int64_t rows = op->attr.batch * op->attr.time, heads = op->attr.heads, kv_heads = op->attr.kv_heads;
    if (!is_matrix(qkv) || qkv->dim[0] != rows)
        return fail(STATUS_USAGE, "qkv must have a row for each of %lld tokens", (long long)rows);
    if (heads < 1 || kv_heads < 1 || heads % kv_heads)
        return fail(STATUS_USAGE, "%lld heads cannot share %lld heads of keys and values", (long long)heads,
                    (long long)kv_heads);
    *size = qkv->dim[1] / (heads + 2 * kv_heads);
    if (qkv->dim[1] % (heads + 2 * kv_heads))
        return fail(STATUS_USAGE, "%lld columns cannot be split into %lld heads of q, %lld of k and as many of v",
                    (long long)qkv->dim[1], (long long)heads, (long long)kv_heads);
    return 0;
}

#endif
