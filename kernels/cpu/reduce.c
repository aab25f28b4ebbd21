/* Sums of gradients along the fixed tree of the lockstep reduction. An addition has its left and right operand where
 * the tree has them: the older sum is on the left. */
#include "real.h"

enum { TREE_BLOCK = 1024, TREE_DEPTH = 40 };

void K(fold)(const struct kernel_args *a) {
    real *grads = a->out[0].data, *held = a->out[1].data;
    int64_t n = a->out[0].dim[0];
    int fold = a->step->fold, top = a->step->held, last = a->attr->end == 1;
    if (fold == 0 && last) return;
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += TREE_BLOCK) {
        int64_t count = smaller(TREE_BLOCK, n - begin);
        real sum[TREE_BLOCK];
        memcpy(sum, grads + begin, (size_t)count * sizeof *sum);
        for (int i = 1; i <= fold; i++) {
            const real *older = held + (top - i) * n + begin;
#pragma omp simd
            for (int64_t c = 0; c < count; c++) sum[c] = older[c] + sum[c];
        }
        real *result = last ? grads : held + (top - fold) * n;
        memcpy(result + begin, sum, (size_t)count * sizeof *sum);
    }
}

/* Runs the program on the elements [offset, offset + count) of the piece. A level of the stack is a pointer: to a row
 * where it lies, or to the level's own room once it is a sum. */
static void run_program(const struct kernel_args *a, int64_t offset, int64_t count) {
    const struct op_attr *attr = a->attr;
    real *grads = (real *)a->out[0].data + attr->begin + offset;
    const real *staging = a->in[0].data, *held = a->in[1].data;
    int64_t piece = attr->end - attr->begin, n = a->in[1].dim[1];
    real room[TREE_DEPTH][TREE_BLOCK];
    const real *stack[TREE_DEPTH];
    int depth = 0;
    for (int i = 0; i < attr->program_length; i++) {
        int code = attr->program[i];
        if (code >= 0) {
            stack[depth++] = staging + code * piece + offset;
        } else if (code == TREE_OWN) {
            stack[depth++] = grads;
        } else if (code <= TREE_HELD) {
            stack[depth++] = held + (TREE_HELD - code) * n + attr->begin + offset;
        } else {
            const real *right = stack[--depth], *left = stack[depth - 1];
            real *sum = room[depth - 1];
#pragma omp simd
            for (int64_t c = 0; c < count; c++) sum[c] = left[c] + right[c];
            stack[depth - 1] = sum;
        }
    }
    if (stack[0] != grads) memcpy(grads, stack[0], (size_t)count * sizeof *grads);
}

void K(tree_finish)(const struct kernel_args *a) {
    int64_t piece = a->attr->end - a->attr->begin;
#pragma omp parallel for schedule(static) if (piece >= SMALL)
    for (int64_t offset = 0; offset < piece; offset += TREE_BLOCK)
        run_program(a, offset, smaller(TREE_BLOCK, piece - offset));
}
