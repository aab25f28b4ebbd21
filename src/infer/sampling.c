#include <math.h>
#include <stdlib.h>

#include "infer/generate.h"

/* Sorts token numbers by logit, larger first; equal logits by number, so that the order is one on every machine. */
static int larger_first(const void *a, const void *b, void *logits) {
    int x = *(const int *)a, y = *(const int *)b;
    double lx = ((const double *)logits)[x], ly = ((const double *)logits)[y];
    if (lx != ly) return lx < ly ? 1 : -1;
    return x - y;
}

int sample_token(const double *logits, int vocab, double temperature, int64_t top_k, double top_p, double draw,
                 int *order) {
    for (int i = 0; i < vocab; i++) order[i] = i;
    qsort_r(order, (size_t)vocab, sizeof *order, larger_first, (void *)(uintptr_t)logits);
    if (temperature <= 0) return order[0];
    int kept = top_k > 0 && top_k < vocab ? (int)top_k : vocab;
    double largest = logits[order[0]], sum = 0, nucleus = 0;
    for (int i = 0; i < kept; i++) sum += exp((logits[order[i]] - largest) / temperature);
    int last = 0;
    for (; last < kept - 1; last++) {
        nucleus += exp((logits[order[last]] - largest) / temperature);
        if (nucleus >= top_p * sum) break;
    }
    double total = 0, target;
    for (int i = 0; i <= last; i++) total += exp((logits[order[i]] - largest) / temperature);
    target = draw * total;
    for (int i = 0; i < last; i++) {
        target -= exp((logits[order[i]] - largest) / temperature);
        if (target < 0) return order[i];
    }
    return order[last];
}
