/* Checks the twin itself, in double precision: its forward against the model's definition, written here a second time
 * and in another way; its backward against differences of its own loss; its AdamW against the sums in the paper.
 * Compile this file and gpt.c with -DTWIN_REAL=double. */
#include "gpt.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

_Static_assert(sizeof(twin_real) == sizeof(double), "differences of a float loss are too coarse");

/* Odd sizes, so that a mixed-up dimension cannot go unnoticed; the batch is shorter than the context. */
enum { LAYERS = 2, WIDTH = 12, HEADS = 3, HIDDEN = 20, VOCAB = 11, CONTEXT = 7, BATCH = 2, TIME = 5 };
enum { ROWS = BATCH * TIME, HEAD_WIDTH = WIDTH / HEADS };

static const int tokens[ROWS] = {3, 10, 0, 3, 7, 1, 1, 9, 4, 0};
static const int targets[ROWS] = {10, 0, 3, -1, 2, 1, 9, 4, 0, 8};
static const int counted = ROWS - 1;

static const struct { int tie, bias; } variants[] = {{1, 1}, {1, 0}, {0, 1}, {0, 0}};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

/* Every tensor that the contract names; columns 0: a vector. */
struct expected {
    const char *name;
    int rows, columns;
};
static const struct expected in_each_layer[] = {
    {"ln1.w", WIDTH, 0},          {"ln1.b", WIDTH, 0},           {"attn.qkv.w", 3 * WIDTH, WIDTH},
    {"attn.qkv.b", 3 * WIDTH, 0}, {"attn.proj.w", WIDTH, WIDTH}, {"attn.proj.b", WIDTH, 0},
    {"ln2.w", WIDTH, 0},          {"ln2.b", WIDTH, 0},           {"ffn.up.w", HIDDEN, WIDTH},
    {"ffn.up.b", HIDDEN, 0},      {"ffn.down.w", WIDTH, HIDDEN}, {"ffn.down.b", WIDTH, 0},
};
static const struct expected around_layers[] = {
    {"wte", VOCAB, WIDTH}, {"wpe", CONTEXT, WIDTH},  {"ln_f.w", WIDTH, 0},
    {"ln_f.b", WIDTH, 0},  {"head.w", VOCAB, WIDTH},
};
enum {
    PER_LAYER = sizeof in_each_layer / sizeof in_each_layer[0],
    AROUND = sizeof around_layers / sizeof around_layers[0],
    TENSORS = LAYERS * PER_LAYER + AROUND,
};

/* Tensor number i of the contract; its full name goes to name[32]. */
static const struct expected *nth(int i, char *name) {
    const int layer = i / PER_LAYER;
    const struct expected *tensor =
        layer < LAYERS ? &in_each_layer[i % PER_LAYER] : &around_layers[i - LAYERS * PER_LAYER];
    if (layer < LAYERS) snprintf(name, 32, "h%d.%s", layer, tensor->name);
    if (layer >= LAYERS) snprintf(name, 32, "%s", tensor->name);
    return tensor;
}

/* Numbers in [-0.5, 0.5), the same in every run (a linear congruential generator with Knuth's constants). */
static double next_number(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0 - 0.5;
}

static struct twin *make(int variant) {
    const struct twin_shape shape = {
        LAYERS, WIDTH, HEADS, HIDDEN, VOCAB, CONTEXT, variants[variant].tie, variants[variant].bias};
    struct twin *twin = twin_create(&shape);
    assert_non_null(twin);
    uint64_t state = 1;
    for (int i = 0; i < TENSORS; i++) {
        char name[32];
        nth(i, name);
        long elems;
        double *value = twin_param(twin, name, &elems);
        const int norm_weight = strstr(name, "ln") && strstr(name, ".w");
        for (long e = 0; e < elems; e++) value[e] = norm_weight + next_number(&state);
    }
    return twin;
}

static void test_has_the_named_tensors(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        struct twin *twin = make(variant);
        for (int i = 0; i < TENSORS; i++) {
            char name[32];
            const struct expected *tensor = nth(i, name);
            const int is_bias = strstr(name, ".b") != NULL, is_head = !strcmp(name, "head.w");
            const int there = !(is_bias && !variants[variant].bias) && !(is_head && variants[variant].tie);
            long elems = -1, grad_elems = -1;
            assert_int_equal(twin_param(twin, name, &elems) != NULL, there);
            assert_int_equal(twin_grad(twin, name, &grad_elems) != NULL, there);
            assert_int_equal(elems, there ? tensor->rows * (tensor->columns ? tensor->columns : 1) : 0);
            assert_int_equal(grad_elems, elems);
        }
        assert_null(twin_param(twin, "h2.ln1.w", NULL));
        assert_null(twin_param(twin, "head.b", NULL));
        twin_free(twin);
    }
}

/* ------------------------------------------------------------------ the model by its definition */

/* A tensor of a layer (-1: of none), or zeros where the model has no such bias. */
static const double *get(struct twin *twin, int layer, const char *name) {
    static const double zeros[3 * WIDTH + HIDDEN];
    char full[32];
    if (layer < 0) snprintf(full, sizeof full, "%s", name);
    if (layer >= 0) snprintf(full, sizeof full, "h%d.%s", layer, name);
    const double *value = twin_param(twin, full, NULL);
    return value ? value : zeros;
}

static void by_definition_linear(double *y, const double *x, const double *w, const double *b, int in, int out) {
    for (int m = 0; m < out; m++) {
        y[m] = b[m];
        for (int k = 0; k < in; k++) y[m] += w[m * in + k] * x[k];
    }
}

static void by_definition_norm(double *y, const double *x, const double *w, const double *b) {
    double mean = 0, mean_square = 0;
    for (int c = 0; c < WIDTH; c++) {
        mean += x[c] / WIDTH;
        mean_square += x[c] * x[c] / WIDTH;
    }
    for (int c = 0; c < WIDTH; c++) y[c] = (x[c] - mean) / sqrt(mean_square - mean * mean + 1e-5) * w[c] + b[c];
}

/* Logits after token number `position` of a sequence, given a cache of each layer's q, k and v of the tokens before it:
 * one token at a time, so that it cannot look ahead. */
static void by_definition(struct twin *twin, int token, int position, double cache[LAYERS][TIME][3 * WIDTH],
                          double logits[VOCAB]) {
    double x[WIDTH], normal[WIDTH], y[WIDTH], hidden[HIDDEN];
    for (int c = 0; c < WIDTH; c++)
        x[c] = get(twin, -1, "wte")[token * WIDTH + c] + get(twin, -1, "wpe")[position * WIDTH + c];
    for (int l = 0; l < LAYERS; l++) {
        by_definition_norm(normal, x, get(twin, l, "ln1.w"), get(twin, l, "ln1.b"));
        by_definition_linear(cache[l][position], normal, get(twin, l, "attn.qkv.w"), get(twin, l, "attn.qkv.b"), WIDTH,
                             3 * WIDTH);
        double mixed[WIDTH] = {0};
        for (int c = 0; c < WIDTH; c++) {
            const int head = c / HEAD_WIDTH * HEAD_WIDTH; /* the first column of the head that column c is in */
            double total = 0;
            for (int s = 0; s <= position; s++) {
                double score = 0;
                for (int d = head; d < head + HEAD_WIDTH; d++)
                    score += cache[l][position][d] * cache[l][s][WIDTH + d] / sqrt(HEAD_WIDTH);
                mixed[c] += exp(score) * cache[l][s][2 * WIDTH + c];
                total += exp(score);
            }
            mixed[c] /= total;
        }
        by_definition_linear(y, mixed, get(twin, l, "attn.proj.w"), get(twin, l, "attn.proj.b"), WIDTH, WIDTH);
        for (int c = 0; c < WIDTH; c++) x[c] += y[c];
        by_definition_norm(normal, x, get(twin, l, "ln2.w"), get(twin, l, "ln2.b"));
        by_definition_linear(hidden, normal, get(twin, l, "ffn.up.w"), get(twin, l, "ffn.up.b"), WIDTH, HIDDEN);
        for (int f = 0; f < HIDDEN; f++)
            hidden[f] *= (1 + tanh(sqrt(2 / acos(-1)) * (hidden[f] + 0.044715 * pow(hidden[f], 3)))) / 2;
        by_definition_linear(y, hidden, get(twin, l, "ffn.down.w"), get(twin, l, "ffn.down.b"), HIDDEN, WIDTH);
        for (int c = 0; c < WIDTH; c++) x[c] += y[c];
    }
    by_definition_norm(normal, x, get(twin, -1, "ln_f.w"), get(twin, -1, "ln_f.b"));
    const double no_bias[VOCAB] = {0};
    const double *head = twin_param(twin, "head.w", NULL);
    by_definition_linear(logits, normal, head ? head : get(twin, -1, "wte"), no_bias, WIDTH, VOCAB);
}

static void test_forward_is_the_definition(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        struct twin *twin = make(variant);
        const double loss = twin_forward(twin, tokens, targets, BATCH, TIME);
        double cache[LAYERS][TIME][3 * WIDTH], logits[VOCAB], expected_loss = 0;
        for (int n = 0; n < ROWS; n++) {
            double total = 0;
            by_definition(twin, tokens[n], n % TIME, cache, logits);
            for (int v = 0; v < VOCAB; v++) {
                assert_true(fabs(twin_logits(twin)[n * VOCAB + v] - logits[v]) < 1e-12);
                total += exp(logits[v]);
            }
            if (targets[n] >= 0) expected_loss -= log(exp(logits[targets[n]]) / total) / counted;
        }
        assert_true(fabs(loss - expected_loss) < 1e-12);
        twin_free(twin);
    }
}

static void test_batch_may_change(void **state) {
    (void)state;
    struct twin *twin = make(0);
    const double first = twin_forward(twin, tokens, targets, 1, TIME);
    const double whole = twin_forward(twin, tokens, targets, BATCH, TIME);
    const double second = twin_forward(twin, tokens + TIME, targets + TIME, 1, TIME);
    assert_true(fabs(whole - (first * (TIME - 1) + second * TIME) / counted) < 1e-12);
    assert_true(twin_forward(twin, tokens, targets, BATCH, TIME) == whole);

    /* The beginning of a sequence has the logits that it had when more came after it. */
    enum { BEGINNING = 3 * VOCAB };
    double logits[BEGINNING];
    memcpy(logits, twin_logits(twin), sizeof logits);
    twin_forward(twin, tokens, targets, 1, 3);
    for (int i = 0; i < BEGINNING; i++) assert_true(twin_logits(twin)[i] == logits[i]);
    twin_forward(twin, tokens, targets, 1, CONTEXT);
    for (int i = 0; i < BEGINNING; i++) assert_true(twin_logits(twin)[i] == logits[i]);
    twin_free(twin);
}

static void test_a_wrong_batch_is_refused(void **state) {
    (void)state;
    struct twin *twin = make(0);
    const int outside[1] = {VOCAB}, below[1] = {-1};
    assert_true(isfinite(twin_forward(twin, tokens, targets, BATCH, TIME)));
    assert_true(isnan(twin_forward(twin, tokens, targets, 1, CONTEXT + 1)));
    assert_true(isnan(twin_forward(twin, outside, targets, 1, 1)));
    assert_true(isnan(twin_forward(twin, below, targets, 1, 1)));
    assert_true(isnan(twin_forward(twin, tokens, outside, 1, 1)));
    assert_null(twin_logits(twin));
    twin_backward(twin, 1); /* has no forward to go back through */
    assert_true(twin_grad_norm(twin) == 0);
    const struct twin_shape uneven = {LAYERS, WIDTH, 5, HIDDEN, VOCAB, CONTEXT, 1, 1};
    assert_null(twin_create(&uneven));
    twin_free(twin);
}

/* ------------------------------------------------------------------ the backward */

/* Every element of every tensor, by central differences of the fourth order:
 *     f'(x) = (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h + O(h^4)
 * The error is taken relative to the element or to the tensor's root mean square, whichever is larger: a gradient that
 * is exactly 0, as that of the bias of k, has no relative error of its own. */
static void test_backward_is_the_slope(void **state) {
    (void)state;
    const double h = 1e-3;
    for (int variant = 0; variant < VARIANTS; variant++) {
        struct twin *twin = make(variant);
        twin_forward(twin, tokens, targets, BATCH, TIME);
        twin_backward(twin, 1);
        for (int i = 0; i < TENSORS; i++) {
            char name[32];
            nth(i, name);
            long elems;
            double *value = twin_param(twin, name, &elems), squares = 0;
            const double *grad = twin_grad(twin, name, &elems);
            for (long e = 0; e < elems; e++) squares += grad[e] * grad[e];
            if (elems) assert_true(squares > 0);
            for (long e = 0; e < elems; e++) {
                const double kept = value[e];
                double loss[5];
                for (int step = -2; step <= 2; step++) {
                    value[e] = kept + step * h;
                    loss[step + 2] = twin_forward(twin, tokens, targets, BATCH, TIME);
                }
                value[e] = kept;
                const double slope = (8 * (loss[3] - loss[1]) - (loss[4] - loss[0])) / (12 * h);
                const double error = fabs(slope - grad[e]) / fmax(fabs(grad[e]), sqrt(squares / (double)elems));
                if (!(error < 1e-6)) fail_msg("%s[%ld]: gradient %.12g, slope %.12g", name, e, grad[e], slope);
            }
        }
        twin_free(twin);
    }
}

static void test_backward_adds(void **state) {
    (void)state;
    static double once[TENSORS][3 * WIDTH * WIDTH];
    struct twin *twin = make(2);
    double squares = 0;
    char name[32];
    long elems;
    twin_forward(twin, tokens, targets, BATCH, TIME);
    twin_backward(twin, 1);
    for (int i = 0; i < TENSORS; i++) {
        nth(i, name);
        const double *grad = twin_grad(twin, name, &elems);
        for (long e = 0; e < elems; e++) {
            once[i][e] = grad[e];
            squares += grad[e] * grad[e];
        }
    }
    assert_true(fabs(twin_grad_norm(twin) / sqrt(squares) - 1) < 1e-12);
    twin_backward(twin, 0.25);
    twin_backward(twin, 0.5);
    for (int i = 0; i < TENSORS; i++) {
        nth(i, name);
        const double *grad = twin_grad(twin, name, &elems);
        for (long e = 0; e < elems; e++) assert_true(fabs(grad[e] - 1.75 * once[i][e]) < 1e-12);
    }
    twin_zero_grad(twin);
    assert_true(twin_grad_norm(twin) == 0);
    twin_free(twin);
}

static void test_no_target_is_no_loss(void **state) {
    (void)state;
    struct twin *twin = make(0);
    int none[ROWS];
    for (int n = 0; n < ROWS; n++) none[n] = -1;
    assert_true(twin_forward(twin, tokens, none, BATCH, TIME) == 0);
    twin_backward(twin, 1);
    assert_true(twin_grad_norm(twin) == 0);
    twin_free(twin);
}

/* ------------------------------------------------------------------ AdamW */

/* Three updates with gradients of our own. The moments are written as the sums that they stand for:
 *     m_t = (1 - beta1) * sum over i <= t of beta1^(t - i) g_i */
static void test_adamw_is_the_formula(void **state) {
    (void)state;
    enum { UPDATES = 3 };
    const double lr = 0.02, beta1 = 0.8, beta2 = 0.95, eps = 1e-2, decay = 0.3, clip = 0.7;
    static double kept[TENSORS][3 * WIDTH * WIDTH], given[UPDATES][TENSORS][3 * WIDTH * WIDTH];
    struct twin *twin = make(2);
    uint64_t numbers = 2;
    char name[32];
    long elems;
    for (int i = 0; i < TENSORS; i++) {
        nth(i, name);
        const double *value = twin_param(twin, name, &elems);
        memcpy(kept[i], value, (size_t)elems * sizeof *value);
    }
    for (int t = 1; t <= UPDATES; t++) {
        for (int i = 0; i < TENSORS; i++) {
            nth(i, name);
            double *grad = twin_grad(twin, name, &elems);
            for (long e = 0; e < elems; e++) grad[e] = given[t - 1][i][e] = next_number(&numbers);
        }
        twin_adamw(twin, t, lr, beta1, beta2, eps, decay, clip);
        for (int i = 0; i < TENSORS; i++) {
            const double rate = nth(i, name)->columns ? decay : 0; /* matrices and embeddings decay */
            const double *value = twin_param(twin, name, &elems);
            for (long e = 0; e < elems; e++) {
                double m = 0, v = 0;
                for (int u = 1; u <= t; u++) {
                    const double g = clip * given[u - 1][i][e];
                    m += (1 - beta1) * pow(beta1, t - u) * g;
                    v += (1 - beta2) * pow(beta2, t - u) * g * g;
                }
                kept[i][e] *= 1 - lr * rate;
                kept[i][e] -= lr * m / (1 - pow(beta1, t)) / (sqrt(v / (1 - pow(beta2, t))) + eps);
                assert_true(fabs(value[e] - kept[i][e]) < 1e-14);
            }
        }
    }
    twin_free(twin);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_has_the_named_tensors), cmocka_unit_test(test_forward_is_the_definition),
        cmocka_unit_test(test_batch_may_change),      cmocka_unit_test(test_a_wrong_batch_is_refused),
        cmocka_unit_test(test_backward_is_the_slope), cmocka_unit_test(test_backward_adds),
        cmocka_unit_test(test_no_target_is_no_loss),  cmocka_unit_test(test_adamw_is_the_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
