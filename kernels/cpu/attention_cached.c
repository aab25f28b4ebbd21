/* Attention of new tokens onto a cache of keys and values, for generation. Tokens whose position is beyond the cache
 * are the padding of a prefill: they are not stored, and their rows of o are zero.
 *
 * Scratch a thread: ATTENTION_TILE * P reals, P rows of the cache a sequence; where values are not reals also
 * (2 P + 2 ATTENTION_TILE) * D. */
#include <cblas.h>
#include <omp.h>

#include "rows.h"

/* Stores the keys and values, `width` each, of the new tokens that have a place. */
static void store(const struct kernel_args *a, int64_t width, int64_t stored) {
    int64_t columns = a->in[0].dim[1];
    int64_t time = a->attr->time, batch = a->attr->batch, places = a->out[1].dim[1], position = a->step->position;
    const value *qkv = a->in[0].data;
    value *keys = a->out[1].data, *values = a->out[2].data;
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t t = 0; t < stored; t++) {
            const value *key = qkv + (b * time + t) * columns + columns - 2 * width;
            int64_t place = (b * places + position + t) * width;
            memcpy(keys + place, key, (size_t)width * sizeof *keys);
            memcpy(values + place, key + width, (size_t)width * sizeof *values);
        }
    }
}

/* One query: reads keys and values, rows of the cache `width` apart, where they lie; a library would copy them first. */
static void attend_one(const value *q, const value *k, const value *v, int64_t keys, int64_t size, int64_t width,
                       real scale, real *scores, value *o) {
    for (int64_t i = 0; i < keys; i++) scores[i] = (real)row_dot(q, k + i * width, size) * scale;
    softmax_row(scores, keys, keys);
    for (int64_t begin = 0; begin < size; begin += COLUMN_BLOCK) {
        int64_t count = smaller(COLUMN_BLOCK, size - begin);
        real sum[COLUMN_BLOCK] = {0};
        for (int64_t i = 0; i < keys; i++) {
            const value *from = v + i * width + begin;
            real p = scores[i];
#pragma omp simd
            for (int64_t d = 0; d < count; d++) sum[d] += p * get(from[d]);
        }
        for (int64_t d = 0; d < count; d++) o[begin + d] = put(sum[d]);
    }
}

/* head: index of (sequence, head); new tokens [begin, begin + ATTENTION_TILE) or fewer, of which those before `stored`
 * have a place. */
static void attend(const struct kernel_args *a, int64_t head, int64_t begin, int64_t stored, real *scores) {
    const struct op_attr *attr = a->attr;
    int64_t time = attr->time, width = a->out[0].dim[1], size = width / attr->heads, places = a->out[1].dim[1];
    int64_t sequence = head / attr->heads, column = head % attr->heads * size, position = a->step->position;
    int64_t columns = a->in[0].dim[1], kv_width = attr->kv_heads * size, group = attr->heads / attr->kv_heads;
    int64_t cached = sequence * places * kv_width + head % attr->heads / group * size;
    const value *q = (const value *)a->in[0].data + (sequence * time + begin) * columns + column;
    const value *k = (const value *)a->out[1].data + cached, *v = (const value *)a->out[2].data + cached;
    value *o = (value *)a->out[0].data + (sequence * time + begin) * width + column;
    int64_t end = smaller(begin + ATTENTION_TILE, time), live_end = smaller(end, stored), rows = live_end - begin;
    for (int64_t t = live_end > begin ? live_end : begin; t < end; t++)
        memset(o + (t - begin) * width, 0, (size_t)size * sizeof *o);
    if (rows <= 0) return;
    if (rows == 1) {
        attend_one(q, k, v, position + live_end, size, kv_width, (real)attr->scale, scores, o);
        return;
    }
    int64_t keys = position + live_end;
    real *scratch = scores + ATTENTION_TILE * places;
    struct rows k_rows = rows_of(k, keys, size, kv_width, scratch);
    struct rows v_rows = rows_of(v, keys, size, kv_width, scratch + places * size);
    struct rows q_rows = rows_of(q, rows, size, columns, scratch + 2 * places * size);
    struct rows o_rows = rows_for(o, size, width, scratch + (2 * places + ATTENTION_TILE) * size);
    real_gemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)keys, (int)size, (real)attr->scale, q_rows.at,
              (int)q_rows.stride, k_rows.at, (int)k_rows.stride, 0, scores, (int)keys);
    for (int64_t i = 0; i < rows; i++) softmax_row(scores + i * keys, position + begin + i + 1, keys);
    real_gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)size, (int)keys, 1, scores, (int)keys,
              v_rows.at, (int)v_rows.stride, 0, o_rows.at, (int)o_rows.stride);
    rows_store(o_rows, rows, size, width, o);
}

void K(attention_cached)(const struct kernel_args *a) {
    int64_t time = a->attr->time, heads = a->attr->batch * a->attr->heads, width = a->out[0].dim[1];
    int64_t room = a->out[1].dim[1] - a->step->position, stored = room < 0 ? 0 : smaller(room, time);
    int64_t tiles = (time + ATTENTION_TILE - 1) / ATTENTION_TILE, pieces = heads * tiles;
    int64_t work = elements(&a->out[0]) * (a->step->position + time);
    store(a, width / a->attr->heads * a->attr->kv_heads, stored);
#pragma omp parallel for schedule(dynamic) if (work >= SMALL)
    for (int64_t piece = 0; piece < pieces; piece++) {
        char *scratch = a->scratch + (size_t)omp_get_thread_num() * a->scratch_stride;
        attend(a, piece / tiles, piece % tiles * ATTENTION_TILE, stored, (real *)scratch);
    }
}
