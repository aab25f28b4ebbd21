/* Sums of gradients along the fixed tree of the lockstep reduction. An addition has its left and right operand where
 * the tree has them: the older sum is on the left. */
#include "kernels.h"
#include "pointwise.cuh"

enum { TREE_DEPTH = 40 };

namespace {

struct fold_op {
    real *grads, *held; /* held: rows `columns` apart */
    int64_t columns;
    const struct step_block *step;
    int last;
    template <int WIDE> __device__ void apply(int64_t i) const {
        const int fold = step->fold, top = step->held;
        if (fold == 0 && last) return;
        part<WIDE> sum = load<WIDE>(grads + i);
        for (int f = 1; f <= fold; f++) {
            part<WIDE> older = load<WIDE>(held + (top - f) * columns + i);
#pragma unroll
            for (int k = 0; k < WIDE; k++) sum.at[k] = older.at[k] + sum.at[k];
        }
        store<WIDE>(sum, last ? grads + i : held + (top - fold) * columns + i);
    }
};

/* Runs the program on the elements from i on. Rows are kept at the end of a program only, when none is read any more. */
struct tree_op {
    const real *staging, *own;
    real *held, *sum;
    const int *program;
    const struct step_block *step;
    int64_t message, columns; /* elements between rows of staging, and of held */
    int rounds;
    template <int WIDE> __device__ void apply(int64_t i) const {
        const int round = rounds > 1 ? step->round : 0;
        const int *code = program + program[round], *end = program + program[round + 1];
        part<WIDE> stack[TREE_DEPTH];
        int depth = 0;
        for (; code < end; code++) {
            if (*code >= 0) {
                stack[depth++] = load<WIDE>(staging + *code * message + i);
            } else if (*code == TREE_OWN) {
                stack[depth++] = load<WIDE>(own + i);
            } else if (*code <= TREE_KEEP) {
                store<WIDE>(stack[--depth], held + (TREE_KEEP - *code) * columns + i);
            } else if (*code <= TREE_HELD) {
                stack[depth++] = load<WIDE>(held + (TREE_HELD - *code) * columns + i);
            } else {
                depth--;
#pragma unroll
                for (int k = 0; k < WIDE; k++) stack[depth - 1].at[k] += stack[depth].at[k];
            }
        }
        if (depth) store<WIDE>(stack[0], sum + i);
    }
};

} // namespace

extern "C" void K(fold)(const struct kernel_args *a, cudaStream_t stream) {
    fold_op f = {(real *)a->out[0].data, (real *)a->out[1].data + a->attr->begin, a->out[1].dim[1], a->step,
                 a->attr->last};
    const int aligned = f.columns % PACK == 0 && is_aligned(f.grads) && is_aligned(f.held);
    for_elements(f, elements(&a->out[0]), aligned, stream);
}

extern "C" void K(tree_finish)(const struct kernel_args *a, cudaStream_t stream) {
    const struct view *held = a->in[2].data ? &a->in[2] : &a->out[1];
    tree_op f = {};
    f.staging = (const real *)a->in[0].data + a->attr->column;
    f.own = (const real *)a->in[1].data;
    f.held = held->data ? (real *)held->data + a->attr->begin : NULL;
    f.sum = (real *)a->out[0].data;
    f.program = a->attr->program;
    f.step = a->step;
    f.message = a->in[0].dim[1];
    f.columns = held->dim[1];
    f.rounds = a->attr->rounds;
    const int aligned = f.message % PACK == 0 && f.columns % PACK == 0 && is_aligned(f.staging) && is_aligned(f.own) &&
                        is_aligned(f.held) && is_aligned(f.sum);
    for_elements(f, elements(&a->in[1]), aligned, stream);
}
