/* What arrays of checkpoints have in common: valid names, sizes, their text in messages. */
#ifndef CKPT_ARRAY_H
#define CKPT_ARRAY_H

#include "ckpt/ckpt.h"

/* The largest count of anything: whole numbers up to here pass through JSON (doubles) unchanged. */
#define EXACT_MAX ((int64_t)1 << 53)

enum { ARRAY_TEXT = 128 };

/* Name, type and shape are possible ones. The name is a path ("params/h0.ln1.w"): parts of printable characters, none
 * of them empty, "." or "..". STATUS_FAILED with the name and what is wrong. */
int array_check(const struct ckpt_array *array);

/* array_check(), and 0 <= begin <= end <= elements, and memory for the slice. */
int array_check_slice(const struct ckpt_array *array);

/* Elements of the whole array, of any array that passes array_check(). */
int64_t array_elems(const struct ckpt_array *array);

/* Type and shape are equal. */
int array_alike(const struct ckpt_array *a, const struct ckpt_array *b);

/* "f32 [128, 256]" */
void array_text(const struct ckpt_array *array, char text[ARRAY_TEXT]);

#endif
