/* Checks the tape and the twin with switches: the tape's derivatives against differences; the model's forward against its
 * definition, written here a second time and in another way (one token at a time, RoPE as a product of complex numbers);
 * its gradients against differences of its own loss; and all of it, with every switch off, against gpt.c. Compile this
 * file with tape.c, switches.c and gpt.c, and -DTWIN_REAL=double. */
#include "gpt.h"
#include "switches.h"
#include "tape.h"

#include <complex.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

_Static_assert(sizeof(twin_real) == sizeof(double), "gpt.c is to be compared in double");

/* Odd sizes, so that a mixed-up dimension cannot go unnoticed; the batch is shorter than the context. */
enum { WIDTH = 24, HEADS = 4, HEAD_SIZE = 6, HIDDEN = 10, VOCAB = 7, CONTEXT = 5, BATCH = 2, TIME = 4, ROWS = 8 };
enum { LAYERS_MOST = 2, QKV_MOST = 3 * WIDTH };

static const int tokens[ROWS] = {3, 6, 0, 3, 1, 1, 5, 4};
static const int targets[ROWS] = {6, 0, 3, -1, 1, 5, 4, 2};
static const int starts[ROWS] = {0, 0, 2, 2, 0, 1, 1, 1};

/* Sizes that are left out are those above, and every head has its own keys and values; see shape_of(). */
static const struct variant {
    const char *name;
    struct switches_shape shape;
    int documents; /* with starts */
} variants[] = {
    {"all off", {.layers = 2, .tie = 1, .bias = 1}, 0},
    {"documents", {.tie = 1, .bias = 1}, 1},
    {"rmsnorm", {.tie = 1, .bias = 1, .rmsnorm = 1}, 0},
    {"norms after the sums", {.layers = 2, .tie = 1, .bias = 1, .post_norm = 1}, 0},
    {"rope halves", {.tie = 1, .bias = 1, .rope = SWITCHES_ROPE_HALVES}, 0},
    {"rope pairs", {.tie = 1, .bias = 1, .rope = SWITCHES_ROPE_PAIRS, .rope_theta = 100}, 0},
    {"rope on a part", {.tie = 1, .bias = 1, .rope = SWITCHES_ROPE_HALVES, .rope_fraction = 2.0 / 3}, 0},
    {"rope on a part, pairs", {.tie = 1, .bias = 1, .rope = SWITCHES_ROPE_PAIRS, .rope_fraction = 2.0 / 3}, 1},
    {"swiglu", {.tie = 1, .bias = 1, .swiglu = 1}, 0},
    {"queries and keys normed", {.tie = 1, .bias = 1, .qk_norm = 1}, 0},
    {"soft cap", {.tie = 1, .bias = 1, .logit_softcap = 0.8}, 0},
    {"two heads of keys", {.kv_heads = 2, .tie = 1, .bias = 1}, 0},
    {"one head of keys", {.kv_heads = 1, .tie = 1, .bias = 1}, 0},
    {"another epsilon", {.tie = 1, .bias = 1, .norm_eps = 0.1}, 0},
    {"untied, no bias", {0}, 0},
    {"as Llama",
     {.layers = 2, .kv_heads = 2, .rmsnorm = 1, .rope = SWITCHES_ROPE_HALVES, .swiglu = 1, .norm_eps = 1e-6},
     0},
    {"everything",
     {.layers = 2,
      .kv_heads = 2,
      .bias = 1,
      .rmsnorm = 1,
      .post_norm = 1,
      .rope = SWITCHES_ROPE_PAIRS,
      .rope_theta = 50,
      .rope_fraction = 2.0 / 3,
      .swiglu = 1,
      .qk_norm = 1,
      .logit_softcap = 1.5,
      .norm_eps = 1e-3},
     1},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static struct switches_shape shape_of(const struct variant *variant) {
    struct switches_shape shape = variant->shape;
    shape.layers = shape.layers ? shape.layers : 1;
    shape.width = WIDTH;
    shape.heads = HEADS;
    shape.kv_heads = shape.kv_heads ? shape.kv_heads : HEADS;
    shape.hidden = HIDDEN;
    shape.vocab = VOCAB;
    shape.context = CONTEXT;
    shape.rope_theta = shape.rope_theta > 0 ? shape.rope_theta : 10000;
    shape.rope_fraction = shape.rope_fraction > 0 ? shape.rope_fraction : 1;
    shape.norm_eps = shape.norm_eps > 0 ? shape.norm_eps : 1e-5;
    return shape;
}

/* Numbers in [-0.5, 0.5), the same in every run (a linear congruential generator with Knuth's constants). */
static double next_number(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0 - 0.5;
}

static struct switches *make(const struct variant *variant) {
    const struct switches_shape shape = shape_of(variant);
    struct switches *model = switches_create(&shape);
    assert_non_null(model);
    uint64_t state = 1;
    const char *name;
    for (int i = 0; (name = switches_name(model, i)); i++) {
        long elems;
        double *value = switches_param(model, name, &elems);
        const int norm_weight = (strstr(name, "ln") || strstr(name, "norm")) && strstr(name, ".w");
        for (long e = 0; e < elems; e++) value[e] = norm_weight + next_number(&state);
    }
    return model;
}

static double forward(struct switches *model, const struct variant *variant) {
    return switches_forward(model, tokens, targets, variant->documents ? starts : NULL, BATCH, TIME);
}

static double mean_square_of(const double *x, long n) {
    double sum = 0;
    for (long i = 0; i < n; i++) sum += x[i] * x[i];
    return sum / (double)n;
}

/* ------------------------------------------------------------------ the tape */

static int near(double a, double b) { return fabs(a - b) <= 1e-12 * fmax(1, fabs(b)); }

static void test_tape_knows_its_derivatives(void **state) {
    (void)state;
    struct tape tape = {0};
    const var a = tape_leaf(&tape, 1.7), b = tape_leaf(&tape, -0.6);
    const double x = 1.7, y = -0.6;
    const struct {
        var result;
        double value, by_a, by_b;
    } expected[] = {
        {tape_add(&tape, a, b), x + y, 1, 1},
        {tape_sub(&tape, a, b), x - y, 1, -1},
        {tape_mul(&tape, a, b), x * y, y, x},
        {tape_div(&tape, a, b), x / y, 1 / y, -x / y / y},
        {tape_shift(&tape, a, 3), x + 3, 1, 0},
        {tape_scale(&tape, b, 3), y * 3, 0, 3},
        {tape_exp(&tape, b), exp(y), 0, exp(y)},
        {tape_log(&tape, a), log(x), 1 / x, 0},
        {tape_tanh(&tape, a), tanh(x), 1 / (cosh(x) * cosh(x)), 0},
        {tape_sqrt(&tape, a), sqrt(x), pow(x, -0.5) / 2, 0},
        {tape_mul(&tape, a, a), x * x, 2 * x, 0},
        {tape_sub(&tape, a, a), 0, 0, 0},
        {tape_div(&tape, tape_exp(&tape, tape_mul(&tape, a, b)), tape_tanh(&tape, a)), exp(x * y) / tanh(x),
         exp(x * y) * (y / tanh(x) - 1 / (sinh(x) * sinh(x))), x * exp(x * y) / tanh(x)},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        tape_backward(&tape, expected[i].result);
        if (!near(tape_value(&tape, expected[i].result), expected[i].value) ||
            !near(tape_slope(&tape, a), expected[i].by_a) || !near(tape_slope(&tape, b), expected[i].by_b))
            fail_msg("formula %zu: %.15g, slopes %.15g %.15g", i, tape_value(&tape, expected[i].result),
                     tape_slope(&tape, a), tape_slope(&tape, b));
    }
    tape_free(&tape);
}

static void test_tape_grows_and_begins_again(void **state) {
    (void)state;
    enum { MANY = 100000 };
    struct tape tape = {0};
    for (int again = 0; again < 2; again++) {
        const var x = tape_leaf(&tape, 2);
        assert_int_equal(x, 0);
        var sum = tape_mul(&tape, x, x);
        const var early = sum;
        for (int i = 1; i < MANY; i++) sum = tape_add(&tape, sum, tape_mul(&tape, x, x));
        tape_backward(&tape, early);
        assert_true(tape_slope(&tape, x) == 4);
        assert_true(tape_slope(&tape, sum) == 0);
        tape_backward(&tape, sum);
        assert_true(tape_value(&tape, sum) == 4.0 * MANY);
        assert_true(tape_slope(&tape, x) == 4.0 * MANY);
        assert_true(tape_slope(&tape, early) == 1);
        tape_clear(&tape);
    }
    tape_free(&tape);
}

/* ------------------------------------------------------------------ the model by its definition */

struct walk {
    struct switches *model;
    struct switches_shape shape;
    double qkv[LAYERS_MOST][TIME][QKV_MOST]; /* of the sequence's tokens so far */
};

static const double *get(const struct walk *walk, int layer, const char *name) {
    char full[48];
    if (layer < 0) snprintf(full, sizeof full, "%s", name);
    if (layer >= 0) snprintf(full, sizeof full, "h%d.%s", layer, name);
    return switches_param(walk->model, full, NULL);
}

/* y = x w^T + b with the parameters NAME.w and NAME.b */
static void walk_linear(const struct walk *walk, int layer, const char *name, const double *x, int in, double *y,
                        int out) {
    char part[32];
    snprintf(part, sizeof part, "%s.w", name);
    const double *w = get(walk, layer, part);
    snprintf(part, sizeof part, "%s.b", name);
    const double *b = get(walk, layer, part);
    for (int m = 0; m < out; m++) {
        y[m] = b ? b[m] : 0;
        for (int k = 0; k < in; k++) y[m] += w[m * in + k] * x[k];
    }
}

/* In place. RMSNorm is LayerNorm without the mean. */
static void walk_norm(const struct walk *walk, int layer, const char *name, int rms, double *x, int n) {
    char part[32];
    double mean = 0;
    snprintf(part, sizeof part, "%s.w", name);
    const double *w = get(walk, layer, part);
    snprintf(part, sizeof part, "%s.b", name);
    const double *b = get(walk, layer, part);
    for (int c = 0; c < n && !rms; c++) mean += x[c] / n;
    const double rstd = pow(mean_square_of(x, n) - mean * mean + walk->shape.norm_eps, -0.5);
    for (int c = 0; c < n; c++) x[c] = (x[c] - mean) * rstd * w[c] + (b ? b[c] : 0);
}

static void walk_rope(const struct walk *walk, int position, double *head) {
    const int pairs = (int)(walk->shape.rope_fraction * HEAD_SIZE / 2 + 0.5);
    const int by_halves = walk->shape.rope == SWITCHES_ROPE_HALVES;
    for (int i = 0; i < pairs; i++) {
        double *real = head + (by_halves ? i : 2 * i), *imaginary = real + (by_halves ? pairs : 1);
        const double frequency = exp(-log(walk->shape.rope_theta) * i / pairs);
        const double complex turned = (*real + I * *imaginary) * cexp(I * position * frequency);
        *real = creal(turned);
        *imaginary = cimag(turned);
    }
}

static void walk_attention(struct walk *walk, int layer, int t, int start, const double *x, double *y) {
    const int kv_heads = walk->shape.kv_heads, group = HEADS / kv_heads;
    const int k_begin = WIDTH, v_begin = WIDTH + kv_heads * HEAD_SIZE;
    double(*qkv)[QKV_MOST] = walk->qkv[layer], mixed[WIDTH] = {0};
    walk_linear(walk, layer, "attn.qkv", x, WIDTH, qkv[t], v_begin + kv_heads * HEAD_SIZE);
    for (int c = 0; c < v_begin; c += HEAD_SIZE) {
        if (walk->shape.qk_norm)
            walk_norm(walk, layer, c < k_begin ? "attn.q_norm" : "attn.k_norm", 1, qkv[t] + c, HEAD_SIZE);
        if (walk->shape.rope) walk_rope(walk, t - start, qkv[t] + c);
    }
    for (int c = 0; c < WIDTH; c++) {
        const int head = c / HEAD_SIZE, shared = head / group * HEAD_SIZE;
        double total = 0;
        for (int s = start; s <= t; s++) {
            double score = 0;
            for (int d = 0; d < HEAD_SIZE; d++)
                score += qkv[t][head * HEAD_SIZE + d] * qkv[s][k_begin + shared + d] / sqrt(HEAD_SIZE);
            mixed[c] += exp(score) * qkv[s][v_begin + shared + c % HEAD_SIZE];
            total += exp(score);
        }
        mixed[c] /= total;
    }
    walk_linear(walk, layer, "attn.proj", mixed, WIDTH, y, WIDTH);
}

static void walk_ffn(const struct walk *walk, int layer, const double *x, double *y) {
    double up[2 * HIDDEN];
    if (walk->shape.swiglu) {
        walk_linear(walk, layer, "ffn.gate_up", x, WIDTH, up, 2 * HIDDEN);
        for (int f = 0; f < HIDDEN; f++) up[f] = up[HIDDEN + f] * up[f] * (1 + tanh(up[f] / 2)) / 2;
    } else {
        walk_linear(walk, layer, "ffn.up", x, WIDTH, up, HIDDEN);
        for (int f = 0; f < HIDDEN; f++)
            up[f] *= (1 + tanh(sqrt(2 / acos(-1)) * (up[f] + 0.044715 * pow(up[f], 3)))) / 2;
    }
    walk_linear(walk, layer, "ffn.down", up, HIDDEN, y, WIDTH);
}

/* Token number t of its sequence, in a document that begins at `start`. Earlier tokens have been walked. */
static void walk_token(struct walk *walk, int token, int t, int start, double logits[VOCAB]) {
    const struct switches_shape *s = &walk->shape;
    const double *wpe = get(walk, -1, "wpe"), *head = get(walk, -1, s->tie ? "wte" : "head.w");
    double x[WIDTH], input[WIDTH], y[WIDTH];
    for (int c = 0; c < WIDTH; c++)
        x[c] = get(walk, -1, "wte")[token * WIDTH + c] + (wpe ? wpe[(t - start) * WIDTH + c] : 0);
    for (int branch = 0; branch < 2 * s->layers; branch++) {
        const char *norm = branch % 2 ? "ln2" : "ln1";
        memcpy(input, x, sizeof x);
        if (!s->post_norm) walk_norm(walk, branch / 2, norm, s->rmsnorm, input, WIDTH);
        if (branch % 2)
            walk_ffn(walk, branch / 2, input, y);
        else
            walk_attention(walk, branch / 2, t, start, input, y);
        for (int c = 0; c < WIDTH; c++) x[c] += y[c];
        if (s->post_norm) walk_norm(walk, branch / 2, norm, s->rmsnorm, x, WIDTH);
    }
    if (!s->post_norm) walk_norm(walk, -1, "ln_f", s->rmsnorm, x, WIDTH);
    for (int v = 0; v < VOCAB; v++) {
        logits[v] = 0;
        for (int c = 0; c < WIDTH; c++) logits[v] += head[v * WIDTH + c] * x[c];
        if (s->logit_softcap > 0) logits[v] = s->logit_softcap * tanh(logits[v] / s->logit_softcap);
    }
}

static void test_forward_is_the_definition(void **state) {
    (void)state;
    for (int i = 0; i < VARIANTS; i++) {
        struct walk walk = {.model = make(&variants[i]), .shape = shape_of(&variants[i])};
        const double loss = forward(walk.model, &variants[i]);
        double expected_loss = 0;
        int counted = 0;
        for (int n = 0; n < ROWS; n++) {
            double logits[VOCAB], total = 0;
            walk_token(&walk, tokens[n], n % TIME, variants[i].documents ? starts[n] : 0, logits);
            for (int v = 0; v < VOCAB; v++) {
                const double got = switches_logits(walk.model)[n * VOCAB + v];
                if (!near(got, logits[v]))
                    fail_msg("%s: logit %d of row %d is %.15g, not %.15g", variants[i].name, v, n, got, logits[v]);
                total += exp(logits[v]);
            }
            counted += targets[n] >= 0;
            if (targets[n] >= 0) expected_loss -= log(exp(logits[targets[n]]) / total);
        }
        assert_true(near(loss, expected_loss / counted));
        switches_free(walk.model);
    }
}

static void test_has_the_named_tensors(void **state) {
    (void)state;
    const struct {
        const char *name;
        int variant; /* of `counts` */
        long elems;
    } expected[] = {
        {"wte", 0, VOCAB * WIDTH},
        {"wpe", 0, CONTEXT * WIDTH},
        {"h1.ln1.w", 0, WIDTH},
        {"h1.ln1.b", 0, WIDTH},
        {"h1.attn.qkv.w", 0, 3 * WIDTH * WIDTH},
        {"h1.attn.qkv.b", 0, 3 * WIDTH},
        {"h1.attn.q_norm.w", 0, 0},
        {"h1.ffn.up.w", 0, HIDDEN * WIDTH},
        {"h1.ffn.up.b", 0, HIDDEN},
        {"h1.ffn.gate_up.w", 0, 0},
        {"h1.ffn.down.w", 0, WIDTH * HIDDEN},
        {"h2.ln1.w", 0, 0},
        {"ln_f.b", 0, WIDTH},
        {"head.w", 0, 0},
        {"wpe", 1, 0},
        {"head.w", 1, VOCAB * WIDTH},
        {"h0.ln1.w", 1, WIDTH},
        {"h0.ln1.b", 1, 0},
        {"ln_f.w", 1, 0},
        {"h0.attn.qkv.w", 1, (HEADS + 2 * 2) * HEAD_SIZE * WIDTH},
        {"h0.attn.qkv.b", 1, (HEADS + 2 * 2) * HEAD_SIZE},
        {"h0.attn.q_norm.w", 1, HEAD_SIZE},
        {"h0.attn.k_norm.w", 1, HEAD_SIZE},
        {"h0.attn.k_norm.b", 1, 0},
        {"h0.attn.proj.w", 1, WIDTH * WIDTH},
        {"h0.attn.proj.b", 1, WIDTH},
        {"h0.ffn.gate_up.w", 1, 2 * HIDDEN * WIDTH},
        {"h0.ffn.gate_up.b", 1, 2 * HIDDEN},
        {"h0.ffn.up.w", 1, 0},
        {"h0.ffn.down.b", 1, WIDTH},
        {"head.b", 1, 0},
    };
    const int of[] = {0, VARIANTS - 1}, counts[] = {2 * 12 + 4, 2 * 12 + 2};
    for (int v = 0; v < 2; v++) {
        struct switches *model = make(&variants[of[v]]);
        int count = 0;
        while (switches_name(model, count)) count++;
        assert_int_equal(count, counts[v]);
        for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
            long elems = -1, grad_elems = -1;
            if (expected[i].variant != v) continue;
            assert_int_equal(switches_param(model, expected[i].name, &elems) != NULL, expected[i].elems > 0);
            assert_int_equal(switches_grad(model, expected[i].name, &grad_elems) != NULL, expected[i].elems > 0);
            assert_int_equal(elems, expected[i].elems);
            assert_int_equal(grad_elems, elems);
        }
        switches_free(model);
    }
}

static void test_what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct switches *model = make(&variants[0]);
    const int outside[1] = {VOCAB}, below[1] = {-1}, one[1] = {1};
    assert_true(isfinite(forward(model, &variants[0])));
    assert_true(isnan(switches_forward(model, tokens, targets, NULL, 1, CONTEXT + 1)));
    assert_true(isnan(switches_forward(model, outside, targets, NULL, 1, 1)));
    assert_true(isnan(switches_forward(model, below, targets, NULL, 1, 1)));
    assert_true(isnan(switches_forward(model, tokens, outside, NULL, 1, 1)));
    assert_true(isnan(switches_forward(model, tokens, targets, one, 1, 1)));
    assert_null(switches_logits(model));
    switches_backward(model, 1); /* has no forward to go back through */
    assert_true(switches_grad_norm(model) == 0);
    assert_true(switches_forward(model, tokens, below, NULL, 1, 1) == 0);
    switches_backward(model, 1);
    assert_true(switches_grad_norm(model) == 0);
    switches_free(model);

    struct switches_shape shape = shape_of(&variants[0]);
    shape.heads = 5;
    assert_null(switches_create(&shape));
    shape.heads = HEADS;
    shape.kv_heads = 3;
    assert_null(switches_create(&shape));
    shape.kv_heads = 1;
    shape.rope = SWITCHES_ROPE_PAIRS;
    shape.rope_fraction = 0.5; /* 3 channels */
    assert_null(switches_create(&shape));
    switches_free(NULL);
}

/* ------------------------------------------------------------------ the gradients */

/* d(loss)/dh with every element of a tensor moved by h times its direction, by central differences of the fourth order:
 *     f'(0) = (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h + O(h^4) */
static double slope(struct switches *model, const struct variant *variant, double *value, const double *direction,
                    long elems) {
    static double kept[2 * WIDTH * QKV_MOST];
    const double h = 1e-3;
    double loss[5];
    memcpy(kept, value, (size_t)elems * sizeof *value);
    for (int step = -2; step <= 2; step++) {
        for (long e = 0; e < elems && step; e++) value[e] = kept[e] + step * h * direction[e];
        if (step) loss[step + 2] = forward(model, variant);
    }
    memcpy(value, kept, (size_t)elems * sizeof *value);
    return (8 * (loss[3] - loss[1]) - (loss[4] - loss[0])) / (12 * h);
}

/* Each tensor along a direction in which all its elements move, and along some of its elements alone. */
static void test_backward_is_the_slope(void **state) {
    (void)state;
    enum { ALONE = 4 };
    static double direction[2 * WIDTH * QKV_MOST];
    uint64_t numbers = 3;
    const char *name;
    for (int i = 0; i < VARIANTS; i++) {
        struct switches *model = make(&variants[i]);
        forward(model, &variants[i]);
        switches_backward(model, 1);
        for (int tensor = 0; (name = switches_name(model, tensor)); tensor++) {
            long elems;
            double *value = switches_param(model, name, &elems);
            const double *grad = switches_grad(model, name, NULL), rms = sqrt(mean_square_of(grad, elems));
            assert_true(rms > 0);
            for (int trial = 0; trial <= ALONE; trial++) {
                const long alone = trial ? (long)((next_number(&numbers) + 0.5) * (double)elems) : -1;
                double expected = 0;
                for (long e = 0; e < elems; e++) direction[e] = trial ? e == alone : next_number(&numbers);
                const double length = sqrt(mean_square_of(direction, elems) * (double)elems);
                for (long e = 0; e < elems; e++) expected += grad[e] * (direction[e] /= length);
                const double got = slope(model, &variants[i], value, direction, elems);
                if (!(fabs(got - expected) < 1e-6 * fmax(rms, fabs(expected))))
                    fail_msg("%s: %s, element %ld: gradient %.12g, slope %.12g", variants[i].name, name, alone,
                             expected, got);
            }
        }
        switches_free(model);
    }
}

static void test_backward_adds(void **state) {
    (void)state;
    static double once[2 * WIDTH * QKV_MOST];
    struct switches *model = make(&variants[0]);
    long elems;
    forward(model, &variants[0]);
    switches_backward(model, 1);
    const double *grad = switches_grad(model, "h1.attn.qkv.w", &elems), norm = switches_grad_norm(model);
    memcpy(once, grad, (size_t)elems * sizeof *grad);
    switches_backward(model, 0.25);
    switches_backward(model, 0.5);
    for (long e = 0; e < elems; e++) assert_true(fabs(grad[e] - 1.75 * once[e]) < 1e-12);
    assert_true(near(switches_grad_norm(model), 1.75 * norm));
    switches_zero_grad(model);
    assert_true(switches_grad_norm(model) == 0);
    switches_free(model);
}

/* ------------------------------------------------------------------ against gpt.c */

static void compare(const char *what, const double *got, const double *expected, long n) {
    const double rms = sqrt(mean_square_of(expected, n));
    for (long i = 0; i < n; i++)
        if (!(fabs(got[i] - expected[i]) <= 1e-12 * rms))
            fail_msg("%s[%ld]: %.17g, gpt.c has %.17g", what, i, got[i], expected[i]);
}

/* Loss, logits, gradients, their norm, and three updates. */
static void test_all_off_is_gpt(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        const struct variant variant = {"all off", {.layers = 2, .tie = i & 1, .bias = i >> 1}, 0};
        struct switches *model = make(&variant);
        const struct twin_shape shape = {2, WIDTH, HEADS, HIDDEN, VOCAB, CONTEXT, i & 1, i >> 1};
        struct twin *twin = twin_create(&shape);
        const char *name;
        long elems, twin_elems;
        for (int tensor = 0; (name = switches_name(model, tensor)); tensor++) {
            const double *value = switches_param(model, name, &elems);
            double *to = twin_param(twin, name, &twin_elems);
            assert_int_equal(elems, twin_elems);
            memcpy(to, value, (size_t)elems * sizeof *to);
        }
        for (int t = 1; t <= 3; t++) {
            const double loss = forward(model, &variant);
            assert_true(near(loss, twin_forward(twin, tokens, targets, BATCH, TIME)));
            compare("logits", switches_logits(model), twin_logits(twin), ROWS * VOCAB);
            switches_zero_grad(model);
            switches_backward(model, 0.7);
            twin_zero_grad(twin);
            twin_backward(twin, 0.7);
            for (int tensor = 0; (name = switches_name(model, tensor)); tensor++) {
                const double *got = switches_grad(model, name, &elems);
                compare(name, got, twin_grad(twin, name, NULL), elems);
            }
            assert_true(near(switches_grad_norm(model), twin_grad_norm(twin)));
            switches_adamw(model, t, 0.02, 0.8, 0.95, 1e-2, 0.3, 0.6);
            twin_adamw(twin, t, 0.02, 0.8, 0.95, 1e-2, 0.3, 0.6);
            for (int tensor = 0; (name = switches_name(model, tensor)); tensor++) {
                const double *got = switches_param(model, name, &elems);
                compare(name, got, twin_param(twin, name, NULL), elems);
            }
        }
        switches_free(model);
        twin_free(twin);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tape_knows_its_derivatives),
        cmocka_unit_test(test_tape_grows_and_begins_again),
        cmocka_unit_test(test_has_the_named_tensors),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_forward_is_the_definition),
        cmocka_unit_test(test_backward_is_the_slope),
        cmocka_unit_test(test_backward_adds),
        cmocka_unit_test(test_all_off_is_gpt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
