#include "plan/tree.h"

#include <stdlib.h>

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

/* Nodes that are there, left to right, and the code that pushes each; the program so far. */
struct sources {
    struct tree_node *node;
    int *code;
    int count, next;
    int *program, length;
};

/* Sums [a, b). The sources cover it, in order, with nodes of the tree. */
static void emit_sum(struct sources *from, int a, int b) {
    const struct tree_node *node = &from->node[from->next];
    if (node->a == a && node->b == b) {
        from->program[from->length++] = from->code[from->next++];
        return;
    }
    int middle = tree_split(a, b);
    emit_sum(from, a, middle);
    emit_sum(from, middle, b);
    from->program[from->length++] = TREE_ADD;
}

static void add_source(struct sources *from, struct tree_node node, int code) {
    from->node[from->count] = node;
    from->code[from->count++] = code;
}

/* Room for so many sources at once, and so many codes. */
static int new_sources(struct sources *from, int sources, int64_t codes) {
    *from = (struct sources){.node = malloc((size_t)sources * sizeof *from->node),
                             .code = malloc((size_t)sources * sizeof *from->code),
                             .program = malloc((size_t)codes * sizeof *from->program)};
    return from->node && from->code && from->program ? 0 : -1;
}

/* Frees all but the program, or with a status that too. */
static int end_sources(struct sources *from, int status, int **program) {
    free(from->node);
    free(from->code);
    if (status) free(from->program);
    *program = status ? NULL : from->program;
    return status;
}

int tree_program(int slots, int ranks, int rank, int **program) {
    struct sources from;
    int status = new_sources(&from, slots, 2 * (int64_t)slots + 2), message = 0;
    if (status) return end_sources(&from, status, program);
    for (int r = 0; r < ranks; r++) {
        int lo, hi;
        struct tree_node nodes[TREE_MAX_COVER];
        tree_range(slots, ranks, r, &lo, &hi);
        int count = tree_cover(slots, lo, hi, nodes);
        for (int i = 0; i < count; i++)
            add_source(&from, nodes[i], r != rank ? message++ : i == count - 1 ? TREE_OWN : TREE_HELD - i);
    }
    from.length = 2;
    emit_sum(&from, 0, slots);
    from.program[0] = 2;
    from.program[1] = from.length;
    return end_sources(&from, 0, program);
}

int tree_rounds(int slots, int ranks) { return (slots + ranks - 1) / ranks; }

int tree_round_held(int slots, int ranks) {
    int most = 0;
    struct tree_node nodes[TREE_MAX_COVER];
    for (int end = ranks; end < slots; end += ranks) {
        int held = tree_cover(slots, 0, end, nodes);
        if (held > most) most = held;
    }
    return most;
}

/* The leaves [begin, end) join the sums that are held; those deeper than what they complete are left alone. */
static void emit_round(struct sources *from, int slots, int begin, int end, int rank) {
    struct tree_node before[TREE_MAX_COVER], after[TREE_MAX_COVER];
    int held = begin ? tree_cover(slots, 0, begin, before) : 0, kept = tree_cover(slots, 0, end, after), same = 0;
    while (same < held && before[same].a == after[same].a && before[same].b == after[same].b) same++;
    from->count = from->next = 0;
    for (int i = same; i < held; i++) add_source(from, before[i], TREE_HELD - i);
    for (int leaf = begin, message = 0; leaf < end; leaf++)
        add_source(from, (struct tree_node){leaf, leaf + 1}, leaf - begin == rank ? TREE_OWN : message++);
    for (int i = same; i < kept; i++) emit_sum(from, after[i].a, after[i].b);
    for (int i = kept - 1; end < slots && i >= same; i--) from->program[from->length++] = TREE_KEEP - i;
}

int tree_round_program(int slots, int ranks, int rank, int **program) {
    struct sources from;
    int rounds = tree_rounds(slots, ranks);
    int64_t codes = 2 * (int64_t)slots + (int64_t)rounds * (3 * TREE_MAX_COVER + 1) + 1;
    int status = new_sources(&from, ranks + TREE_MAX_COVER, codes);
    if (status) return end_sources(&from, status, program);
    from.length = rounds + 1;
    for (int r = 0; r < rounds; r++) {
        int end = (r + 1) * ranks < slots ? (r + 1) * ranks : slots;
        from.program[r] = from.length;
        emit_round(&from, slots, r * ranks, end, rank);
    }
    from.program[rounds] = from.length;
    end_sources(&from, 0, program);
    return rounds;
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
