#include <math.h>
#include <stdlib.h>

#include "infer/generate.h"

/* Larger logits first; equal ones by number, so that the order is one on every machine. */
static int larger_first(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
    return x->token - y->token;
}

int sample_token(const double *logits, int vocab, double temperature, int64_t top_k, double top_p, double draw,
                 struct candidate *order) {
    for (int i = 0; i < vocab; i++) order[i] = (struct candidate){logits[i], i};
    qsort(order, (size_t)vocab, sizeof *order, larger_first);
    if (temperature <= 0) return order[0].token;
    int kept = top_k > 0 && top_k < vocab ? (int)top_k : vocab, last = 0;
    double largest = order[0].logit, sum = 0, nucleus = 0;
    for (int i = 0; i < kept; i++) {
        order[i].logit = exp((order[i].logit - largest) / temperature); /* from here on a weight */
        sum += order[i].logit;
    }
    for (; last < kept - 1; last++) {
        nucleus += order[last].logit;
        if (nucleus >= top_p * sum) break;
    }
    double total = 0;
    for (int i = 0; i <= last; i++) total += order[i].logit;
    double target = draw * total;
    for (int i = 0; i < last; i++) {
        target -= order[i].logit;
        if (target < 0) return order[i].token;
    }
    return order[last].token;
}
