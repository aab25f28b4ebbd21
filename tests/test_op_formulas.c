/* What forward ops mean: each against its formula in op.def, written down again here in the plainest way; the statistics of
 * dropout; attention that does not see the future, onto a cache too. Gradients, precision and threads are tested in
 * test_ops.c, the ops around the gradient in test_op_training.c. */
#include "op_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"

/* ---- Philox ---- */

/* The known answers that the authors publish with their library (Random123, kat_vectors: philox4x32 10). */
static void test_philox(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], word[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const uint32_t *c = known[i].counter, *k = known[i].key;
        struct philox got = philox(c[0], c[1], c[2], c[3], k[0], k[1]);
        assert_memory_equal(got.word, known[i].word, sizeof got.word);
    }
    assert_true(philox_unit(0) == 0);
    assert_true(philox_unit(0xffffffff) == 1 - 0x1p-24f);
}

/* ---- formulas of the forward ops ---- */

enum { DROPOUT_SITE = 0, ATTENTION_SITE = 1 };

/* Every forward op once, on inputs and parameters. */
static int forward_ops(const struct op_case *row, struct builder *b, int *y) {
    int64_t rows = row->batch * row->time;
    int x, z, qkv, logits, wte, wpe, w, bias, norm_w, norm_b, out[8];
    *y = NONE;
    TRY(case_input(b, "x", rows, row->width, &x));
    TRY(case_input(b, "z", rows, row->width, &z));
    TRY(case_input(b, "qkv", rows, 3 * row->width, &qkv));
    TRY(case_input(b, "logits", rows, row->vocab, &logits));
    TRY(builder_param(b, "wte", row->vocab, row->width, 0, 0, &wte));
    TRY(builder_param(b, "wpe", row->positions, row->width, 0, 0, &wpe));
    TRY(builder_param(b, "w", row->out, row->width, 0, 0, &w));
    TRY(builder_param(b, "b", row->out, 0, 0, 0, &bias));
    TRY(builder_param(b, "norm.w", row->width, 0, 0, 0, &norm_w));
    TRY(builder_param(b, "norm.b", row->width, 0, 0, 0, &norm_b));
    TRY(emit_embed(b, "embedded", wte, wpe, &out[0]));
    TRY(emit_dropout(b, "dropped", x, row->rate, &out[1]));
    TRY(emit_attention(b, "o", qkv, 0, row->rate, &out[2]));
    TRY(emit_layernorm(b, "normed", x, norm_w, norm_b, &out[3]));
    TRY(emit_linear(b, "mapped", x, w, bias, &out[4]));
    TRY(emit_gelu(b, "gated", x, &out[5]));
    TRY(emit_add(b, "sum", x, z, &out[6]));
    TRY(emit_take_row(b, "taken", x, &out[7]));
    for (int i = 0; i < 8; i++) case_result(b, out[i]);
    return emit_head(b, logits);
}

static const struct op_case forward = {
    .name = "forward",
    .emit = forward_ops,
    .batch = 2,
    .time = 5,
    .width = 12,
    .out = 7,
    .heads = 3,
    .vocab = 11,
    .positions = 6,
    .rate = 0.3,
    .range = 2,
    .micro_batches = 2,
    .step = {.seed = 9, .step = 4, .slot = 3, .micro = 1, .position = 2, .row = 7, .weight = 1.5},
};

static void run_forward(struct trial *t) {
    trial_open(t, &forward, DTYPE_F64);
    trial_run(t, SEG_MICRO_FIRST);
}

/* What dropout multiplies the element by. */
static double keep(uint64_t element, uint32_t site) {
    const struct step_block *step = &forward.step;
    uint32_t micro_batch = step->slot * (uint32_t)forward.micro_batches + step->micro;
    struct philox random =
        philox((uint32_t)(element / 4), (uint32_t)(element / 4 >> 32), site, micro_batch, step->seed, step->step);
    return (double)philox_unit(random.word[element % 4]) >= forward.rate ? 1 / (1 - forward.rate) : 0;
}

static void test_embed(void **state) {
    (void)state;
    struct trial t;
    run_forward(&t);
    double *wte = trial_named(&t, "wte"), *wpe = trial_named(&t, "wpe"), *got = trial_named(&t, "embedded");
    double *tokens = trial_named(&t, "tokens");
    int64_t width = forward.width;
    for (int64_t i = 0; i < forward.batch * forward.time * width; i++) {
        int64_t token = (int64_t)tokens[i / width], position = forward.step.position + i / width % forward.time;
        double place = position < forward.positions ? wpe[position * width + i % width] : 0;
        assert_near("embedded", i, got[i], wte[token * width + i % width] + place, 1e-15);
    }
    free(wte), free(wpe), free(got), free(tokens);
    trial_close(&t);
}

static void test_rows(void **state) {
    (void)state;
    struct trial t;
    run_forward(&t);
    double *x = trial_named(&t, "x"), *z = trial_named(&t, "z"), *sum = trial_named(&t, "sum");
    double *gated = trial_named(&t, "gated"), *dropped = trial_named(&t, "dropped"), *taken = trial_named(&t, "taken");
    for (int64_t i = 0; i < forward.batch * forward.time * forward.width; i++) {
        double gelu = 0.5 * x[i] * (1 + tanh(sqrt(2 / M_PI) * (x[i] + 0.044715 * x[i] * x[i] * x[i])));
        assert_near("gated", i, gated[i], gelu, 1e-14);
        assert_near("sum", i, sum[i], x[i] + z[i], 0);
        assert_near("dropped", i, dropped[i], x[i] * keep((uint64_t)i, DROPOUT_SITE), 1e-15);
    }
    assert_same_bits(taken, x + forward.step.row * forward.width, forward.width);
    free(x), free(z), free(sum), free(gated), free(dropped), free(taken);
    trial_close(&t);
}

static void test_layernorm_and_linear(void **state) {
    (void)state;
    struct trial t;
    run_forward(&t);
    double *x = trial_named(&t, "x"), *w = trial_named(&t, "w"), *b = trial_named(&t, "b");
    double *norm_w = trial_named(&t, "norm.w"), *norm_b = trial_named(&t, "norm.b");
    double *normed = trial_named(&t, "normed"), *mapped = trial_named(&t, "mapped");
    int64_t width = forward.width, out = forward.out;
    for (int64_t row = 0; row < forward.batch * forward.time; row++) {
        const double *from = x + row * width;
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < width; c++) mean += from[c] / (double)width;
        for (int64_t c = 0; c < width; c++) variance += (from[c] - mean) * (from[c] - mean) / (double)width;
        for (int64_t c = 0; c < width; c++)
            assert_near("normed", row * width + c, normed[row * width + c],
                        (from[c] - mean) / sqrt(variance + 1e-5) * norm_w[c] + norm_b[c], 1e-13);
        for (int64_t m = 0; m < out; m++) {
            double dot = b[m];
            for (int64_t c = 0; c < width; c++) dot += from[c] * w[m * width + c];
            assert_near("mapped", row * out + m, mapped[row * out + m], dot, 1e-13);
        }
    }
    free(x), free(w), free(b), free(norm_w), free(norm_b), free(normed), free(mapped);
    trial_close(&t);
}

/* o[query] = sum over keys up to it of dropout(softmax(q k / sqrt(D))) v, head by head. */
static void test_attention(void **state) {
    (void)state;
    struct trial t;
    run_forward(&t);
    double *qkv = trial_named(&t, "qkv"), *o = trial_named(&t, "o");
    int64_t time = forward.time, width = forward.width, heads = forward.heads, size = width / heads;
    for (int64_t i = 0; i < forward.batch * heads * time; i++) {
        int64_t query = i % time, sequence = i / time / heads, column = i / time % heads * size;
        const double *rows = qkv + sequence * time * 3 * width + column, *q = rows + query * 3 * width;
        double p[8], total = 0, out[8] = {0};
        assert_true(time <= 8 && size <= 8);
        for (int64_t key = 0; key <= query; key++) {
            double score = 0;
            for (int64_t d = 0; d < size; d++) score += q[d] * rows[key * 3 * width + width + d];
            total += p[key] = exp(score / sqrt((double)size));
        }
        for (int64_t key = 0; key <= query; key++) {
            /* A row of draws has a whole number of Philox blocks. */
            double weight = p[key] / total * keep((uint64_t)(i * ((time + 3) / 4 * 4) + key), ATTENTION_SITE);
            for (int64_t d = 0; d < size; d++) out[d] += weight * rows[key * 3 * width + 2 * width + d];
        }
        for (int64_t d = 0; d < size; d++)
            assert_near("o", i * size + d, o[(sequence * time + query) * width + column + d], out[d], 1e-13);
    }
    free(qkv), free(o);
    trial_close(&t);
}

static void test_cross_entropy(void **state) {
    (void)state;
    struct trial t;
    run_forward(&t);
    double *logits = trial_named(&t, "logits"), *targets = trial_named(&t, "targets"), sum = 0, count = 0;
    int64_t rows = forward.batch * forward.time, vocab = forward.vocab;
    for (int64_t row = 0; row < rows; row++) {
        double total = 0;
        if (targets[row] < 0) continue;
        for (int64_t i = 0; i < vocab; i++) total += exp(logits[row * vocab + i]);
        sum -= log(exp(logits[row * vocab + (int64_t)targets[row]]) / total);
        count++;
    }
    assert_true(count > 0 && count < (double)rows);
    double *slots = trial_named(&t, "slot_losses");
    assert_near("slot_losses", 3, slots[3], 1.5 * sum / count / forward.micro_batches, 1e-13);
    free(logits), free(targets), free(slots);
    trial_close(&t);
}

static int loss_of_logits(const struct op_case *row, struct builder *b, int *y) {
    struct op op = builder_op(b, OP_xent);
    TRY(case_input(b, "logits", row->batch * row->time, row->vocab, &op.in[0]));
    op.in[1] = b->plan->targets;
    op.attr.vocab = b->plan->bufs[op.in[0]].dim[1];
    TRY(emit_op(b, &op, "loss", 3));
    *y = op.out[0];
    return 0;
}

/* A batch without a single target has loss 0 and brings no gradient. */
static void test_no_targets(void **state) {
    (void)state;
    static const struct op_case row = {.name = "no targets", .emit = loss_of_logits, .batch = 1, .time = 3, .vocab = 5};
    struct trial t;
    trial_open(&t, &row, DTYPE_F64);
    for (int i = 0; i < 3; i++) trial_set(&t, t.plan->targets, i, -1);
    trial_run(&t, SEG_MICRO_FIRST);
    double *loss = trial_named(&t, "loss"), *grad = trial_named(&t, "d.logits");
    assert_true(loss[0] == 0 && loss[1] == 0);
    for (int i = 0; i < 15; i++) assert_true(grad[i] == 0);
    free(loss), free(grad);
    trial_close(&t);
}

/* The loss with its gradient as a model emits them, of rows that are longer than the vocabulary. */
static int loss_of_model(const struct op_case *row, struct builder *b, int *y) {
    int logits;
    TRY(case_input(b, "logits", row->batch * row->time, row->vocab + row->padding, &logits));
    TRY(emit_head(b, logits));
    *y = plan_find(b->plan, "loss.clamped");
    return 0;
}

/* Loss and gradient are to the bit those of the ops that they stand for, in every type. */
static void test_loss_in_parts(void **state) {
    (void)state;
    static const enum dtype types[] = {DTYPE_F32, DTYPE_F64, DTYPE_BF16, DTYPE_F16};
    struct op_case row = {
        .name = "loss", .emit = loss_of_model, .batch = 3, .time = 41, .vocab = 1277, .padding = 6, .range = 4};
    for (int i = 0; i < 4; i++) {
        double *loss[2], *grad[2];
        for (row.parts = 0; row.parts < 2; row.parts++) {
            struct trial t;
            trial_open(&t, &row, types[i]);
            assert_int_equal(plan_find(t.plan, "probs") != NONE, row.parts);
            trial_set(&t, t.dy, 0, 0.7); /* the filling of a buffer depends on its number */
            trial_run(&t, SEG_MICRO_FIRST);
            loss[row.parts] = trial_named(&t, "loss.clamped");
            grad[row.parts] = trial_named(&t, "d.logits");
            trial_close(&t);
        }
        assert_same_bits(loss[0], loss[1], 2);
        assert_same_bits(grad[0], grad[1], row.batch * row.time * (row.vocab + row.padding));
        for (int k = 0; k < 2; k++) free(loss[k]), free(grad[k]);
    }
}

/* Exponentials of large numbers overflow unless the largest is taken off first. */
static void test_large_numbers(void **state) {
    (void)state;
    static const struct op_case loss = {
        .name = "large logits", .emit = loss_of_logits, .batch = 1, .time = 7, .vocab = 5, .range = 16384};
    static const struct op_case attention = {.name = "large scores",
                                             .emit = emit_attention_ways,
                                             .batch = 1,
                                             .time = 9,
                                             .width = 8,
                                             .heads = 2,
                                             .positions = 9,
                                             .hidden = 9,
                                             .range = 128};
    static const char *const outputs[] = {"o", "h0.o.chunk", "h0.o.one"};
    for (int i = 0; i < TYPES; i++) {
        struct trial t;
        trial_open(&t, &loss, real_types[i]);
        trial_run(&t, SEG_MICRO_FIRST);
        double *got = trial_named(&t, "loss"), *grad = trial_named(&t, "d.logits");
        assert_true(got[0] >= 0 && got[0] <= 2 * loss.range);
        for (int64_t k = 0; k < loss.time * loss.vocab; k++) assert_true(isfinite(grad[k]));
        free(got), free(grad);
        trial_close(&t);
        trial_open(&t, &attention, real_types[i]);
        trial_run_all(&t);
        for (int k = 0; k < 3; k++) {
            double *o = trial_named(&t, outputs[k]);
            int64_t elems = trial_elems(&t, trial_find(&t, outputs[k]));
            for (int64_t e = 0; e < elems; e++) assert_true(fabs(o[e]) <= attention.range * 1.001);
            free(o);
        }
        trial_close(&t);
    }
}

/* ---- dropout ---- */

/* Two dropouts of one input: two sites. */
static int two_dropouts(const struct op_case *row, struct builder *b, int *y) {
    int x, first, second;
    *y = NONE;
    TRY(case_input(b, "x", row->batch * row->time, row->width, &x));
    TRY(emit_dropout(b, "first", x, row->rate, &first));
    TRY(emit_dropout(b, "second", x, row->rate, &second));
    case_result(b, first);
    case_result(b, second);
    return 0;
}

enum { DRAWN = 1000000 };

/* Four standard deviations around the count that is expected of DRAWN draws with this probability. */
static void assert_count(const char *what, int64_t count, double probability) {
    double mean = DRAWN * probability, sigma = sqrt(mean * (1 - probability));
    if (!(fabs((double)count - mean) <= 4 * sigma))
        fail_msg("%s: %lld of %d, expected %.0f +- %.0f", what, (long long)count, DRAWN, mean, sigma);
}

static double *mask_at(struct trial *t, const struct step_block *step, const char *name) {
    trial_write_step(t, step);
    trial_run(t, SEG_MICRO_FIRST);
    return trial_named(t, name);
}

static void check_other_mask(const char *what, const double *mask, double *other, double rate) {
    int64_t differ = 0;
    for (int64_t i = 0; i < DRAWN; i++) differ += mask[i] != other[i];
    assert_count(what, differ, 2 * rate * (1 - rate));
    free(other);
}

static void check_dropout(double rate) {
    const struct step_block base = {.seed = 5, .step = 6, .slot = 1, .micro = 0};
    struct step_block seed = base, step = base, slot = base, micro = base;
    struct op_case row = {.name = "dropout", .emit = two_dropouts, .batch = 1, .time = 1000, .width = 1000};
    struct trial t;
    row.rate = rate;
    row.micro_batches = 3;
    trial_open(&t, &row, DTYPE_F32);
    int x = trial_find(&t, "x");
    double *ones = trial_values(&t, x);
    for (int64_t i = 0; i < DRAWN; i++) ones[i] = 1;
    trial_set_all(&t, x, ones);
    free(ones);

    int64_t kept = 0;
    double *mask = mask_at(&t, &base, "first");
    for (int64_t i = 0; i < DRAWN; i++) {
        assert_true(mask[i] == 0 || mask[i] == (double)(float)(1 / (1 - rate)));
        kept += mask[i] != 0;
    }
    assert_count("kept", kept, 1 - rate);
    seed.seed++;
    step.step++;
    slot.slot++;
    micro.micro++;
    check_other_mask("another site", mask, mask_at(&t, &base, "second"), rate);
    check_other_mask("another seed", mask, mask_at(&t, &seed, "first"), rate);
    check_other_mask("another step", mask, mask_at(&t, &step, "first"), rate);
    check_other_mask("another slot", mask, mask_at(&t, &slot, "first"), rate);
    check_other_mask("another micro-batch", mask, mask_at(&t, &micro, "first"), rate);
    double *again = mask_at(&t, &base, "first");
    assert_same_bits(mask, again, DRAWN);
    free(mask), free(again);
    trial_close(&t);
}

static void test_dropout(void **state) {
    (void)state;
    check_dropout(0.1);
    check_dropout(0.5);
}

/* ---- attention ---- */

/* The cache has just room for the sequence; a prefill takes 16 tokens. */
static const struct op_case ways = {
    .name = "attention in three ways",
    .emit = emit_attention_ways,
    .batch = 2,
    .time = 70,
    .width = 35,
    .heads = 5,
    .positions = 70,
    .hidden = 16,
    .range = 2,
};

/* Another token at one place of the first sequence: earlier rows, and the other sequence, keep their bits. */
static void check_causal(struct trial *t, int64_t place) {
    int qkv = trial_find(t, "qkv");
    int64_t width = t->row->width, time = t->row->time, rows = t->row->batch * time;
    trial_fill(t);
    trial_run(t, SEG_MICRO_FIRST);
    double *before = trial_named(t, "o");
    for (int64_t c = 0; c < 3 * width; c++) trial_set(t, qkv, place * 3 * width + c, 0.5);
    trial_run(t, SEG_MICRO_FIRST);
    double *after = trial_named(t, "o");
    for (int64_t row = 0; row < rows; row++) {
        int same = !memcmp(before + row * width, after + row * width, (size_t)width * sizeof *after);
        assert_int_equal(same, row < place || row >= time);
    }
    free(before), free(after);
}

static void test_attention_is_causal(void **state) {
    (void)state;
    for (int i = 0; i < TYPES; i++) {
        struct trial t;
        trial_open(&t, &ways, real_types[i]);
        check_causal(&t, 0);
        check_causal(&t, 3);
        check_causal(&t, 64);
        check_causal(&t, 69);
        trial_close(&t);
    }
}

/* Puts `count` tokens of each sequence, from token `first` on, into the input of a segment. Padding stays as it was. */
static void give_tokens(struct trial *t, const char *name, const double *qkv, int64_t first, int64_t room,
                        int64_t count) {
    int to = trial_find(t, name);
    int64_t size = 3 * ways.width;
    for (int64_t b = 0; b < ways.batch; b++)
        for (int64_t i = 0; i < count * size; i++)
            trial_set(t, to, b * room * size + i, qkv[(b * ways.time + first) * size + i]);
    trial_write_step(t, &(struct step_block){.position = first});
}

static int documents_ops(const struct op_case *row, struct builder *b, int *y) {
    int qkv, o, wte, wpe, x;
    *y = NONE;
    TRY(case_input(b, "qkv", row->batch * row->time, 3 * row->width, &qkv));
    TRY(builder_param(b, "wte", row->vocab, row->width, 0, 0, &wte));
    TRY(builder_param(b, "wpe", row->positions, row->width, 0, 0, &wpe));
    TRY(emit_attention(b, "o", qkv, 0, row->rate, &o));
    TRY(emit_embed(b, "x", wte, wpe, &x));
    case_result(b, o);
    case_result(b, x);
    return 0;
}

/* A document in a long sequence comes out as it would in a sequence of its own, up to rounding. */
static void check_document(struct trial *whole, int64_t first, int64_t length) {
    struct op_case alone_row = *whole->row;
    struct trial alone;
    int64_t width = alone_row.width, columns = 3 * width, from = first * width;
    alone_row.batch = 1;
    alone_row.time = length;
    alone_row.documents = 0;
    trial_open(&alone, &alone_row, DTYPE_F64);
    double *qkv = trial_named(whole, "qkv"), *tokens = trial_named(whole, "tokens");
    double *wte = trial_named(whole, "wte"), *wpe = trial_named(whole, "wpe");
    trial_set_all(&alone, trial_find(&alone, "wte"), wte);
    trial_set_all(&alone, trial_find(&alone, "wpe"), wpe);
    for (int64_t i = 0; i < length * columns; i++)
        trial_set(&alone, trial_find(&alone, "qkv"), i, qkv[first * columns + i]);
    for (int64_t i = 0; i < length; i++) trial_set(&alone, alone.plan->tokens, i, tokens[first + i]);
    trial_run(&alone, SEG_MICRO_FIRST);
    double *o = trial_named(whole, "o"), *x = trial_named(whole, "x");
    double *o_alone = trial_named(&alone, "o"), *x_alone = trial_named(&alone, "x");
    for (int64_t i = 0; i < length * width; i++) {
        assert_near("o", i, o[from + i], o_alone[i], 1e-13);
        assert_near("x", i, x[from + i], x_alone[i], 0);
    }
    free(qkv), free(tokens), free(wte), free(wpe), free(o), free(x), free(o_alone), free(x_alone);
    trial_close(&alone);
}

static void test_documents_are_apart(void **state) {
    (void)state;
    static const struct op_case row = {.name = "documents",
                                       .emit = documents_ops,
                                       .batch = 2,
                                       .time = 100,
                                       .width = 12,
                                       .heads = 3,
                                       .vocab = 11,
                                       .positions = 100,
                                       .range = 2,
                                       .documents = 1};
    struct trial t;
    trial_open(&t, &row, DTYPE_F64);
    trial_run(&t, SEG_MICRO_FIRST);
    double *starts = trial_named(&t, "starts");
    int documents = 0;
    for (int64_t i = 0, length; i < row.batch * row.time; i += length, documents++) {
        for (length = 1; i + length < row.batch * row.time && starts[i + length] == starts[i]; length++)
            if ((i + length) % row.time == 0) break;
        check_document(&t, i, length);
    }
    assert_int_equal(documents, 14 + 1 + 10 + 1);
    free(starts);
    trial_close(&t);
}

/* Runs a segment on tokens [first, first + room) and compares with the rows of attention on the whole. Tokens that the
 * cache has no place for give zero. */
static void feed(struct trial *t, enum segment segment, const double *qkv, const double *whole, int64_t first,
                 int64_t room, double tolerance) {
    int64_t count = first + room <= ways.time ? room : ways.time - first, width = ways.width;
    give_tokens(t, segment == SEG_PREFILL ? "qkv.chunk" : "qkv.one", qkv, first, room, count);
    trial_run(t, segment);
    double *o = trial_named(t, segment == SEG_PREFILL ? "h0.o.chunk" : "h0.o.one");
    for (int64_t b = 0; b < ways.batch; b++)
        for (int64_t i = 0; i < room * width; i++) {
            double want = i < count * width ? whole[(b * ways.time + first) * width + i] : 0;
            assert_near("o", b * room * width + i, o[b * room * width + i], want, tolerance);
        }
    free(o);
}

/* The cache holds the keys and values of all tokens as they came. */
static void check_cache(const struct trial *t, const double *qkv, const char *name, int64_t column) {
    double *cache = trial_named(t, name);
    for (int64_t row = 0; row < ways.batch * ways.time; row++)
        assert_same_bits(cache + row * ways.width, qkv + row * 3 * ways.width + column, ways.width);
    free(cache);
}

static void test_cached_attention(void **state) {
    (void)state;
    for (int i = 0; i < TYPES; i++) {
        double tolerance = real_types[i] == DTYPE_F32 ? 1e-5 : 1e-12;
        for (int64_t prefilled = 0; prefilled <= 80; prefilled += 16) {
            struct trial t;
            trial_open(&t, &ways, real_types[i]);
            trial_run(&t, SEG_MICRO_FIRST);
            double *qkv = trial_named(&t, "qkv"), *whole = trial_named(&t, "o");
            for (int64_t at = 0; at < prefilled; at += 16) feed(&t, SEG_PREFILL, qkv, whole, at, 16, tolerance);
            for (int64_t at = prefilled; at < ways.time; at++) feed(&t, SEG_DECODE, qkv, whole, at, 1, tolerance);
            check_cache(&t, qkv, "h0.k_cache", ways.width);
            check_cache(&t, qkv, "h0.v_cache", 2 * ways.width);
            free(qkv), free(whole);
            trial_close(&t);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox),
        cmocka_unit_test(test_embed),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_layernorm_and_linear),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_no_targets),
        cmocka_unit_test(test_loss_in_parts),
        cmocka_unit_test(test_large_numbers),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_attention_is_causal),
        cmocka_unit_test(test_documents_are_apart),
        cmocka_unit_test(test_cached_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
