#include "plan/tree.h"

int tree_split(int a, int b) {
    int half = 1;
    while (half * 2 < b - a) half *= 2;
    return a + half;
}

void tree_range(int slots, int ranks, int rank, int *lo, int *hi) {
    *lo = (int)((int64_t)slots * rank / ranks);
    *hi = (int)((int64_t)slots * (rank + 1) / ranks);
}

static int cover(int a, int b, int lo, int hi, struct tree_node *nodes, int count) {
    if (b <= lo || hi <= a) return count;
    if (lo <= a && b <= hi) {
        nodes[count] = (struct tree_node){a, b};
        return count + 1;
    }
    int middle = tree_split(a, b);
    count = cover(a, middle, lo, hi, nodes, count);
    return cover(middle, b, lo, hi, nodes, count);
}

int tree_cover(int slots, int lo, int hi, struct tree_node *nodes) { return cover(0, slots, lo, hi, nodes, 0); }

void tree_fold(int slots, int lo, int leaf, int *held, int *fold) {
    struct tree_node before[TREE_MAX_COVER], after[TREE_MAX_COVER];
    *held = leaf > lo ? tree_cover(slots, lo, leaf, before) : 0;
    *fold = *held + 1 - tree_cover(slots, lo, leaf + 1, after);
}

int tree_max_held(int slots, int lo, int hi) {
    int most = 0;
    for (int leaf = lo; leaf < hi; leaf++) {
        int held, fold;
        tree_fold(slots, lo, leaf, &held, &fold);
        if (held > most) most = held;
    }
    return most;
}

struct sources {
    struct tree_node node[4096];
    int code[4096];
    int count, next;
};

static int emit_sum(struct sources *from, int a, int b, int *program, int capacity, int length) {
    if (length < 0 || length >= capacity) return -1;
    const struct tree_node *node = &from->node[from->next];
    if (from->next < from->count && node->a == a && node->b == b) {
        program[length] = from->code[from->next++];
        return length + 1;
    }
    if (b - a < 2) return -1; /* a leaf that no rank sends: cannot be, the ranges cover all slots */
    int middle = tree_split(a, b);
    length = emit_sum(from, a, middle, program, capacity, length);
    length = emit_sum(from, middle, b, program, capacity, length);
    if (length < 0 || length >= capacity) return -1;
    program[length] = TREE_ADD;
    return length + 1;
}

int tree_program(int slots, int ranks, int rank, int *program, int capacity) {
    struct sources from;
    from.count = from.next = 0;
    int message = 0;
    for (int r = 0; r < ranks; r++) {
        int lo, hi;
        struct tree_node nodes[TREE_MAX_COVER];
        tree_range(slots, ranks, r, &lo, &hi);
        int count = tree_cover(slots, lo, hi, nodes);
        if (from.count + count > (int)(sizeof from.node / sizeof *from.node)) return -1;
        for (int i = 0; i < count; i++) {
            from.node[from.count] = nodes[i];
            from.code[from.count++] = r != rank ? message++ : i == count - 1 ? TREE_OWN : TREE_HELD - i;
        }
    }
    return emit_sum(&from, 0, slots, program, capacity, 0);
}

int tree_messages(int slots, int ranks, int rank) {
    int messages = 0;
    for (int r = 0; r < ranks; r++) {
        int lo, hi;
        struct tree_node nodes[TREE_MAX_COVER];
        tree_range(slots, ranks, r, &lo, &hi);
        if (r != rank) messages += tree_cover(slots, lo, hi, nodes);
    }
    return messages;
}

void tree_piece(int64_t begin, int64_t end, int ranks, int rank, int64_t *piece_begin, int64_t *piece_end) {
    int64_t chunks = (end - begin + CHUNK - 1) / CHUNK;
    *piece_begin = begin + chunks * rank / ranks * CHUNK;
    *piece_end = begin + chunks * (rank + 1) / ranks * CHUNK;
    if (*piece_begin > end) *piece_begin = end;
    if (*piece_end > end) *piece_end = end;
}
