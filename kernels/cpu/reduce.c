/* Sums of gradients along the fixed tree of the lockstep reduction. An addition has its left and right operand where
 * the tree has them: the older sum is on the left. */
#include "real.h"

enum { TREE_BLOCK = 1024, TREE_DEPTH = 40 };

void K(fold)(const struct kernel_args *a) {
    real *grads = a->out[0].data, *held = a->out[1].data;
    int64_t n = elements(&a->out[0]), columns = a->out[1].dim[1];
    int fold = a->step->fold, top = a->step->held, last = a->attr->last;
    if (fold == 0 && last) return;
    held += a->attr->begin;
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (int64_t begin = 0; begin < n; begin += TREE_BLOCK) {
        int64_t count = smaller(TREE_BLOCK, n - begin);
        real sum[TREE_BLOCK];
        memcpy(sum, grads + begin, (size_t)count * sizeof *sum);
        for (int i = 1; i <= fold; i++) {
            const real *older = held + (top - i) * columns + begin;
#pragma omp simd
            for (int64_t c = 0; c < count; c++) sum[c] = older[c] + sum[c];
        }
        real *result = last ? grads : held + (top - fold) * columns;
        memcpy(result + begin, sum, (size_t)count * sizeof *sum);
    }
}

/* Runs the program on the elements [offset, offset + count) of the piece. A level of the stack is a pointer: to a row where it
 * lies, or to the level's own room once it is a sum. Rows are kept at the end of a program only, when none is read any more. */
static void run_program(const struct kernel_args *a, const int *code, const int *end, int64_t offset, int64_t count) {
    const struct view *held_view = a->in[2].data ? &a->in[2] : &a->out[1];
    const real *staging = (const real *)a->in[0].data + a->attr->column + offset,
               *own = (const real *)a->in[1].data + offset;
    int64_t message = a->in[0].dim[1], columns = held_view->dim[1]; /* where there is one message, it is number 0 */
    real *sum = (real *)a->out[0].data + offset, *held = (real *)held_view->data + a->attr->begin + offset;
    real room[TREE_DEPTH][TREE_BLOCK];
    const real *stack[TREE_DEPTH];
    int depth = 0;
    for (; code < end; code++) {
        if (*code >= 0) {
            stack[depth++] = staging + *code * message;
        } else if (*code == TREE_OWN) {
            stack[depth++] = own;
        } else if (*code <= TREE_KEEP) {
            real *row = held + (TREE_KEEP - *code) * columns;
            if (stack[--depth] != row) memcpy(row, stack[depth], (size_t)count * sizeof *row);
        } else if (*code <= TREE_HELD) {
            stack[depth++] = held + (TREE_HELD - *code) * columns;
        } else {
            const real *right = stack[--depth], *left = stack[depth - 1];
            real *level = room[depth - 1];
#pragma omp simd
            for (int64_t c = 0; c < count; c++) level[c] = left[c] + right[c];
            stack[depth - 1] = level;
        }
    }
    if (depth && stack[0] != sum) memcpy(sum, stack[0], (size_t)count * sizeof *sum);
}

void K(tree_finish)(const struct kernel_args *a) {
    int64_t piece = elements(&a->in[1]);
    const int *program = a->attr->program + (a->attr->rounds > 1 ? a->step->round : 0);
    const int *begin = a->attr->program + program[0], *end = a->attr->program + program[1];
#pragma omp parallel for schedule(static) if (piece >= SMALL)
    for (int64_t offset = 0; offset < piece; offset += TREE_BLOCK)
        run_program(a, begin, end, offset, smaller(TREE_BLOCK, piece - offset));
}
