/* The fixed binary tree in which the leaves of a step are added, whoever computes them.
 *
 * The range of leaves [a, b) splits at a plus the largest power of two below b - a. Its shape depends on the number of
 * slots alone, so the sum has the same bits on any number of ranks. A rank computes a contiguous range of slots; what it
 * can finish alone are the maximal subtrees inside its range (tree_cover). It keeps them on a stack: the sums of leaves
 * done so far are "held", the newest on top, and a finished leaf takes up as many of them as complete a subtree. */
#ifndef PLAN_TREE_H
#define PLAN_TREE_H

#include <stdint.h>

#include "base/kernel.h"

struct tree_node {
    int a, b; /* leaves [a, b) */
};

/* A cover has at most two nodes a level: 2 * log2(65536). */
enum { TREE_MAX_COVER = 40 };

/* Where [a, b) splits; b - a >= 2. */
int tree_split(int a, int b);

/* The slots of a rank: contiguous, sizes differ by at most one. ranks <= slots. */
void tree_range(int slots, int ranks, int rank, int *lo, int *hi);

/* The maximal nodes inside [lo, hi), left to right; returns how many (at most TREE_MAX_COVER). */
int tree_cover(int slots, int lo, int hi, struct tree_node *nodes);

/* For a rank whose slots begin at lo, when `leaf` is done: how many sums are held, and how many of them the leaf takes up. */
void tree_fold(int slots, int lo, int leaf, int *held, int *fold);

/* Most sums held at once while the leaves [lo, hi) are computed. */
int tree_max_held(int slots, int lo, int hi);

/* Programs for the kernel of tree_finish on `rank`: sums in reverse Polish notation.
 *   code >= 0            push staging row `code`
 *   TREE_ADD             pop right, pop left, push left + right
 *   TREE_OWN             push this rank's last node, or its leaf, which is in grads
 *   TREE_HELD - row      push a held row        (TREE_KEEP < code <= TREE_HELD)
 *   TREE_KEEP - row      pop into a held row    (code <= TREE_KEEP)
 * What is left on the stack is the sum over all slots. The codes of round r are (*program)[(*program)[r]] up to
 * (*program)[(*program)[r + 1]]. The caller frees *program.
 *
 * tree_program() has one round: staging holds the nodes of the other ranks, in rank order, and held rows are this rank's cover
 * but for its last node. */
int tree_program(int slots, int ranks, int rank, int **program);

/* ZeRO 2: ranks compute slots in turn, and in round r the leaves of slots [r ranks, (r + 1) ranks) meet at the owner. Staging holds
 * those of the other ranks; held rows are the cover of all slots before. Returns the number of rounds, or -1 without memory. */
int tree_round_program(int slots, int ranks, int rank, int **program);
int tree_rounds(int slots, int ranks);
int tree_round_held(int slots, int ranks); /* most held rows between two rounds */

/* The nodes that all other ranks send to `rank`. */
int tree_messages(int slots, int ranks, int rank);

/* The piece of the bucket [begin, end) of the flat parameter space that `rank` owns; borders on whole chunks. */
void tree_piece(int64_t begin, int64_t end, int ranks, int rank, int64_t *piece_begin, int64_t *piece_end);

#endif
