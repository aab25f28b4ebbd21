/* Read from top to bottom: what is stored, the pieces of the model as formulas, the model made of them, the update,
 * memory. A row is the C numbers of one token; functions take a row at a time. Arrays of `var` hold places on the tape,
 * so that writing over one loses nothing that the backward needs. */
#include "switches.h"

#include "tape.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ what is stored */

struct tensor {
    char name[48];
    long elems;
    int decays;    /* it has two dimensions */
    double *value; /* owns the memory of all four */
    double *grad, *moment1, *moment2;
    var first; /* place on the tape of element 0; the others follow */
};

/* y = w x + b: w[out,in], b[out]. A norm has w[out] and b[out] and its `in` is 0. b is NULL where there is no bias, w
 * where the model has no such piece. */
struct affine {
    struct tensor *w, *b;
    int in, out;
};

struct layer {
    struct affine ln1, qkv, q_norm, k_norm, proj, ln2, up, down; /* up: with SwiGLU gate and up */
};

struct switches {
    struct switches_shape shape;
    int head_size, turning; /* D; R, the channels of a head that RoPE turns */
    struct tensor *tensors;
    int n_tensors;
    struct tensor *wte, *wpe;
    struct layer *layers;
    struct affine ln_f, head;

    struct tape tape;
    int rows;                    /* batch * time of the last forward; 0: there is none */
    int room;                    /* rows that the arrays below have room for */
    var *x, *branch, *qkv, *mix; /* [rows,C], [rows,C], [rows,(H+2K)D], [rows,C] */
    var *out;                    /* [rows,V] */
    var *hidden, *scores;        /* of one row: [2F]; [P] */
    double *logits;              /* [rows,V] */
    var loss;
};

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("switches: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

/* ------------------------------------------------------------------ linear, norms */

/* sum of a[i] b[i] */
static var dot(struct tape *tape, const var *a, var b_first, int n) {
    var sum = tape_mul(tape, a[0], b_first);
    for (int i = 1; i < n; i++) sum = tape_add(tape, sum, tape_mul(tape, a[i], b_first + i));
    return sum;
}

/* y[out] = w x[in] + b; y is not x */
static void linear(struct tape *tape, const struct affine *p, const var *x, var *y) {
    for (int m = 0; m < p->out; m++) {
        y[m] = dot(tape, x, p->w->first + m * p->in, p->in);
        if (p->b) y[m] = tape_add(tape, y[m], p->b->first + m);
    }
}

static var mean(struct tape *tape, const var *x, int n) {
    var sum = x[0];
    for (int i = 1; i < n; i++) sum = tape_add(tape, sum, x[i]);
    return tape_scale(tape, sum, 1.0 / n);
}

static var mean_square(struct tape *tape, const var *x, int n) {
    var sum = tape_mul(tape, x[0], x[0]);
    for (int i = 1; i < n; i++) sum = tape_add(tape, sum, tape_mul(tape, x[i], x[i]));
    return tape_scale(tape, sum, 1.0 / n);
}

/* y = x / sqrt(mean(x^2) + eps) * w (Zhang & Sennrich 2019); y may be x */
static void rms_norm(struct tape *tape, const struct affine *p, double eps, const var *x, var *y) {
    const var root = tape_sqrt(tape, tape_shift(tape, mean_square(tape, x, p->out), eps));
    for (int c = 0; c < p->out; c++) y[c] = tape_mul(tape, tape_div(tape, x[c], root), p->w->first + c);
}

/* y = (x - mean(x)) / sqrt(variance(x) + eps) * w + b (Ba et al. 2016), with the biased variance; y may be x */
static void layer_norm(struct tape *tape, const struct affine *p, double eps, const var *x, var *y) {
    const var center = mean(tape, x, p->out);
    for (int c = 0; c < p->out; c++) y[c] = tape_sub(tape, x[c], center);
    const var root = tape_sqrt(tape, tape_shift(tape, mean_square(tape, y, p->out), eps));
    for (int c = 0; c < p->out; c++) {
        y[c] = tape_mul(tape, tape_div(tape, y[c], root), p->w->first + c);
        if (p->b) y[c] = tape_add(tape, y[c], p->b->first + c);
    }
}

static void norm(struct switches *model, const struct affine *p, const var *x, var *y) {
    (model->shape.rmsnorm ? rms_norm : layer_norm)(&model->tape, p, model->shape.norm_eps, x, y);
}

/* ------------------------------------------------------------------ channel mixers */

/* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks & Gimpel 2016) */
static var gelu(struct tape *tape, var x) {
    const var cube = tape_mul(tape, tape_mul(tape, x, x), x);
    const var inside = tape_scale(tape, tape_add(tape, x, tape_scale(tape, cube, 0.044715)), sqrt(2 / acos(-1.0)));
    return tape_mul(tape, tape_scale(tape, x, 0.5), tape_shift(tape, tape_tanh(tape, inside), 1));
}

/* x / (1 + exp(-x)) */
static var silu(struct tape *tape, var x) {
    return tape_div(tape, x, tape_shift(tape, tape_exp(tape, tape_scale(tape, x, -1)), 1));
}

/* down(gelu(up(x))), or down(silu(gate(x)) * up(x)) (Shazeer 2020) */
static void feed_forward(struct switches *model, const struct layer *layer, const var *x, var *y) {
    struct tape *tape = &model->tape;
    const int F = model->shape.hidden;
    var *hidden = model->hidden;
    linear(tape, &layer->up, x, hidden);
    for (int f = 0; f < F; f++)
        hidden[f] = model->shape.swiglu ? tape_mul(tape, silu(tape, hidden[f]), hidden[F + f]) : gelu(tape, hidden[f]);
    linear(tape, &layer->down, hidden, y);
}

/* ------------------------------------------------------------------ attention */

/* Turns a head's pairs of channels in place: pair i of R/2 by the angle position * theta^(-2i/R) (Su et al. 2021). */
static void rope(struct switches *model, int position, var *head) {
    struct tape *tape = &model->tape;
    const int R = model->turning;
    for (int i = 0; i < R / 2; i++) {
        const double angle = position * pow(model->shape.rope_theta, -2.0 * i / R);
        var *first = model->shape.rope == SWITCHES_ROPE_HALVES ? &head[i] : &head[2 * i];
        var *second = model->shape.rope == SWITCHES_ROPE_HALVES ? &head[i + R / 2] : &head[2 * i + 1];
        const var x1 = *first, x2 = *second;
        *first = tape_sub(tape, tape_scale(tape, x1, cos(angle)), tape_scale(tape, x2, sin(angle)));
        *second = tape_add(tape, tape_scale(tape, x1, sin(angle)), tape_scale(tape, x2, cos(angle)));
    }
}

/* x -> q, k, v of one token, with what is done to single heads of q and k. */
static void queries_keys_values(struct switches *model, const struct layer *layer, int position, const var *x,
                                var *qkv) {
    const int D = model->head_size, H = model->shape.heads, K = model->shape.kv_heads;
    linear(&model->tape, &layer->qkv, x, qkv);
    for (int head = 0; head < H + K; head++) {
        const struct affine *head_norm = head < H ? &layer->q_norm : &layer->k_norm;
        if (model->shape.qk_norm)
            rms_norm(&model->tape, head_norm, model->shape.norm_eps, qkv + head * D, qkv + head * D);
        if (model->shape.rope != SWITCHES_LEARNED) rope(model, position, qkv + head * D);
    }
}

/* log(sum(exp(x))). The largest, as a constant, is taken off and added again, so that exp cannot overflow. */
static var log_sum_exp(struct tape *tape, const var *x, int n) {
    double largest = tape_value(tape, x[0]);
    for (int i = 1; i < n; i++) largest = fmax(largest, tape_value(tape, x[i]));
    var sum = tape_exp(tape, tape_shift(tape, x[0], -largest));
    for (int i = 1; i < n; i++) sum = tape_add(tape, sum, tape_exp(tape, tape_shift(tape, x[i], -largest)));
    return tape_shift(tape, tape_log(tape, sum), largest);
}

/* What token t takes from tokens start … t of its sequence (Vaswani et al. 2017; shared keys and values: Ainslie et al.
 * 2023). qkv: of all the sequence's tokens; y[C]: head by head. */
static void attend(struct switches *model, int start, int t, const var *qkv, var *y) {
    struct tape *tape = &model->tape;
    const int D = model->head_size, H = model->shape.heads, K = model->shape.kv_heads, row = (H + 2 * K) * D;
    var *scores = model->scores;
    for (int h = 0; h < H; h++) {
        const int k_head = H + h / (H / K), v_head = k_head + K, count = t - start + 1;
        const var *q = qkv + t * row + h * D;
        for (int s = 0; s < count; s++) {
            const var *k = qkv + (start + s) * row + k_head * D;
            var sum = tape_mul(tape, q[0], k[0]);
            for (int d = 1; d < D; d++) sum = tape_add(tape, sum, tape_mul(tape, q[d], k[d]));
            scores[s] = tape_scale(tape, sum, 1 / sqrt(D));
        }
        const var total = log_sum_exp(tape, scores, count);
        for (int s = 0; s < count; s++) {
            const var probability = tape_exp(tape, tape_sub(tape, scores[s], total));
            const var *v = qkv + (start + s) * row + v_head * D;
            for (int d = 0; d < D; d++) {
                const var part = tape_mul(tape, probability, v[d]);
                y[h * D + d] = s ? tape_add(tape, y[h * D + d], part) : part;
            }
        }
    }
}

/* ------------------------------------------------------------------ the model */

struct sequences {
    const int *tokens, *targets, *starts; /* starts may be NULL */
    int batch, time;
};

/* Where in its sequence row n's document begins. */
static int start_of(const struct sequences *in, int n) { return in->starts ? in->starts[n] : 0; }

static int position_of(const struct sequences *in, int n) { return n % in->time - start_of(in, n); }

/* wte[token] + wpe[position]; with RoPE the token alone */
static void embed(struct switches *model, const struct sequences *in, int n) {
    const int C = model->shape.width;
    for (int c = 0; c < C; c++) {
        var *x = &model->x[n * C + c];
        *x = model->wte->first + in->tokens[n] * C + c;
        if (model->wpe) *x = tape_add(&model->tape, *x, model->wpe->first + position_of(in, n) * C + c);
    }
}

/* The residual stream meets a branch: x = x + branch, and with norms after the sums, p of that. */
static void join(struct switches *model, const struct affine *p, int n) {
    const int C = model->shape.width;
    var *x = model->x + n * C;
    for (int c = 0; c < C; c++) x[c] = tape_add(&model->tape, x[c], model->branch[n * C + c]);
    if (model->shape.post_norm) norm(model, p, x, x);
}

/* What a branch reads of row n: x, or with norms before the branches p of it. */
static void leave(struct switches *model, const struct affine *p, int n) {
    const int C = model->shape.width;
    if (model->shape.post_norm)
        memcpy(model->mix + n * C, model->x + n * C, (size_t)C * sizeof(var));
    else
        norm(model, p, model->x + n * C, model->mix + n * C);
}

/* Norms before (Radford et al. 2019): x = x + attention(ln1(x)); x = x + ffn(ln2(x)).
 * Norms after (Vaswani et al. 2017): x = ln1(x + attention(x)); x = ln2(x + ffn(x)). */
static void block(struct switches *model, const struct layer *layer, const struct sequences *in) {
    struct tape *tape = &model->tape;
    const int C = model->shape.width, N = model->rows, T = in->time, row = layer->qkv.out;
    for (int n = 0; n < N; n++) {
        leave(model, &layer->ln1, n);
        queries_keys_values(model, layer, position_of(in, n), model->mix + n * C, model->qkv + n * row);
    }
    for (int n = 0; n < N; n++) {
        attend(model, start_of(in, n), n % T, model->qkv + n / T * T * row, model->mix + n * C);
        linear(tape, &layer->proj, model->mix + n * C, model->branch + n * C);
        join(model, &layer->ln1, n);
        leave(model, &layer->ln2, n);
        feed_forward(model, layer, model->mix + n * C, model->branch + n * C);
        join(model, &layer->ln2, n);
    }
}

/* The logits of row n: head(ln_f(x)), without ln_f where norms stand after the sums; capped (Bello et al. 2016). */
static void head(struct switches *model, int n) {
    const int C = model->shape.width, V = model->shape.vocab;
    const double cap = model->shape.logit_softcap;
    const var *x = model->x + n * C;
    if (!model->shape.post_norm) {
        norm(model, &model->ln_f, x, model->mix + n * C);
        x = model->mix + n * C;
    }
    var *out = model->out + n * V;
    linear(&model->tape, &model->head, x, out);
    for (int v = 0; v < V; v++) {
        if (cap > 0)
            out[v] = tape_scale(&model->tape, tape_tanh(&model->tape, tape_scale(&model->tape, out[v], 1 / cap)), cap);
        model->logits[n * V + v] = tape_value(&model->tape, out[v]);
    }
}

/* The mean over targets of -log(softmax(logits)[target]). */
static var cross_entropy(struct switches *model, const struct sequences *in) {
    struct tape *tape = &model->tape;
    const int V = model->shape.vocab;
    int counted = 0;
    var sum = tape_leaf(tape, 0);
    for (int n = 0; n < model->rows; n++) {
        if (in->targets[n] < 0) continue;
        const var *logits = model->out + n * V;
        sum = tape_add(tape, sum, tape_sub(tape, log_sum_exp(tape, logits, V), logits[in->targets[n]]));
        counted++;
    }
    return counted ? tape_scale(tape, sum, 1.0 / counted) : sum;
}

/* Whether the batch fits the model; if not, says why. */
static int fits(const struct switches *model, const struct sequences *in) {
    if (in->batch < 1 || in->time < 1 || in->time > model->shape.context) {
        complain("a batch of %d x %d does not fit a context of %d", in->batch, in->time, model->shape.context);
        return 0;
    }
    for (int n = 0; n < in->batch * in->time; n++) {
        const int token = in->tokens[n], target = in->targets[n], start = start_of(in, n);
        if (token >= 0 && token < model->shape.vocab && target < model->shape.vocab && start >= 0 &&
            start <= n % in->time)
            continue;
        complain("row %d: token %d, target %d and start %d do not fit", n, token, target, start);
        return 0;
    }
    return 1;
}

static int make_room(struct switches *model, int rows); /* 0 when memory runs out */

double switches_forward(struct switches *model, const int *tokens, const int *targets, const int *starts, int batch,
                        int time) {
    const struct sequences in = {tokens, targets, starts, batch, time};
    model->rows = 0;
    if (!fits(model, &in) || !make_room(model, batch * time)) return NAN;
    model->rows = batch * time;
    tape_clear(&model->tape);
    for (int i = 0; i < model->n_tensors; i++) {
        struct tensor *tensor = &model->tensors[i];
        tensor->first = tape_leaf(&model->tape, tensor->value[0]);
        for (long e = 1; e < tensor->elems; e++) tape_leaf(&model->tape, tensor->value[e]);
    }
    for (int n = 0; n < model->rows; n++) embed(model, &in, n);
    for (int l = 0; l < model->shape.layers; l++) block(model, &model->layers[l], &in);
    for (int n = 0; n < model->rows; n++) head(model, n);
    model->loss = cross_entropy(model, &in);
    return tape_value(&model->tape, model->loss);
}

/* ------------------------------------------------------------------ gradients and the update */

void switches_backward(struct switches *model, double scale) {
    if (!model->rows) return;
    tape_backward(&model->tape, model->loss);
    for (int i = 0; i < model->n_tensors; i++) {
        struct tensor *tensor = &model->tensors[i];
        for (long e = 0; e < tensor->elems; e++)
            tensor->grad[e] += scale * tape_slope(&model->tape, tensor->first + (var)e);
    }
}

void switches_zero_grad(struct switches *model) {
    for (int i = 0; i < model->n_tensors; i++)
        memset(model->tensors[i].grad, 0, (size_t)model->tensors[i].elems * sizeof(double));
}

double switches_grad_norm(const struct switches *model) {
    double squares = 0;
    for (int i = 0; i < model->n_tensors; i++)
        for (long e = 0; e < model->tensors[i].elems; e++)
            squares += model->tensors[i].grad[e] * model->tensors[i].grad[e];
    return sqrt(squares);
}

void switches_adamw(struct switches *model, int t, double lr, double beta1, double beta2, double eps, double decay,
                    double clip) {
    for (int i = 0; i < model->n_tensors; i++) {
        struct tensor *p = &model->tensors[i];
        for (long e = 0; e < p->elems; e++) {
            const double g = p->grad[e] * clip;
            p->moment1[e] += (1 - beta1) * (g - p->moment1[e]);
            p->moment2[e] += (1 - beta2) * (g * g - p->moment2[e]);
            const double unbiased1 = p->moment1[e] / (1 - pow(beta1, t));
            const double unbiased2 = p->moment2[e] / (1 - pow(beta2, t));
            if (p->decays) p->value[e] *= 1 - lr * decay;
            p->value[e] -= lr * unbiased1 / (sqrt(unbiased2) + eps);
        }
    }
}

/* ------------------------------------------------------------------ names and memory */

static struct tensor *find(const struct switches *model, const char *name, long *elems) {
    struct tensor *found = NULL;
    for (int i = 0; i < model->n_tensors; i++)
        if (!strcmp(model->tensors[i].name, name)) found = &model->tensors[i];
    if (elems) *elems = found ? found->elems : 0;
    return found;
}

double *switches_param(struct switches *model, const char *name, long *elems) {
    struct tensor *tensor = find(model, name, elems);
    return tensor ? tensor->value : NULL;
}

double *switches_grad(struct switches *model, const char *name, long *elems) {
    struct tensor *tensor = find(model, name, elems);
    return tensor ? tensor->grad : NULL;
}

const char *switches_name(const struct switches *model, int i) {
    return i >= 0 && i < model->n_tensors ? model->tensors[i].name : NULL;
}

const double *switches_logits(const struct switches *model) { return model->rows ? model->logits : NULL; }

/* rows x columns; columns 0: a vector. `layer` below 0: no layer leads the name. Without memory its value is NULL. */
static struct tensor *add_tensor(struct switches *model, int layer, const char *name, int rows, int columns) {
    struct tensor *tensor = &model->tensors[model->n_tensors++];
    if (layer < 0)
        snprintf(tensor->name, sizeof tensor->name, "%s", name);
    else
        snprintf(tensor->name, sizeof tensor->name, "h%d.%s", layer, name);
    tensor->elems = (long)rows * (columns ? columns : 1);
    tensor->decays = columns != 0;
    tensor->value = calloc((size_t)tensor->elems * 4, sizeof(double));
    if (!tensor->value) return tensor;
    tensor->grad = tensor->value + tensor->elems;
    tensor->moment1 = tensor->grad + tensor->elems;
    tensor->moment2 = tensor->moment1 + tensor->elems;
    return tensor;
}

static struct affine add_affine(struct switches *model, int layer, const char *name, int in, int out, int bias) {
    char full[32];
    struct affine affine = {.in = in, .out = out};
    snprintf(full, sizeof full, "%s.w", name);
    affine.w = add_tensor(model, layer, full, out, in);
    snprintf(full, sizeof full, "%s.b", name);
    if (bias) affine.b = add_tensor(model, layer, full, out, 0);
    return affine;
}

static void add_tensors(struct switches *model) {
    const struct switches_shape *s = &model->shape;
    const int C = s->width, F = s->hidden, D = model->head_size, norm_bias = s->bias && !s->rmsnorm;
    model->wte = add_tensor(model, -1, "wte", s->vocab, C);
    if (s->rope == SWITCHES_LEARNED) model->wpe = add_tensor(model, -1, "wpe", s->context, C);
    for (int l = 0; l < s->layers; l++) {
        struct layer *layer = &model->layers[l];
        layer->ln1 = add_affine(model, l, "ln1", 0, C, norm_bias);
        layer->qkv = add_affine(model, l, "attn.qkv", C, (s->heads + 2 * s->kv_heads) * D, s->bias);
        if (s->qk_norm) layer->q_norm = add_affine(model, l, "attn.q_norm", 0, D, 0);
        if (s->qk_norm) layer->k_norm = add_affine(model, l, "attn.k_norm", 0, D, 0);
        layer->proj = add_affine(model, l, "attn.proj", C, C, s->bias);
        layer->ln2 = add_affine(model, l, "ln2", 0, C, norm_bias);
        layer->up = s->swiglu ? add_affine(model, l, "ffn.gate_up", C, 2 * F, s->bias)
                              : add_affine(model, l, "ffn.up", C, F, s->bias);
        layer->down = add_affine(model, l, "ffn.down", F, C, s->bias);
    }
    if (!s->post_norm) model->ln_f = add_affine(model, -1, "ln_f", 0, C, norm_bias);
    if (s->tie)
        model->head = (struct affine){.w = model->wte, .in = C, .out = s->vocab};
    else
        model->head = add_affine(model, -1, "head", C, s->vocab, 0);
}

/* Why this is not the shape of a model; NULL if it is. */
static const char *wrong(const struct switches_shape *s) {
    if (s->layers < 0 || s->width < 1 || s->hidden < 1 || s->vocab < 1 || s->context < 1) return "a size below 1";
    if (s->heads < 1 || s->width % s->heads) return "heads do not divide the width";
    if (s->kv_heads < 1 || s->heads % s->kv_heads) return "heads of keys and values do not divide the heads";
    if (s->norm_eps < 0 || s->logit_softcap < 0) return "norm_eps or logit_softcap below 0";
    if (s->rope == SWITCHES_LEARNED) return NULL;
    const double turning = s->rope_fraction * (s->width / s->heads);
    if (s->rope_theta <= 0 || turning < 2 || turning > s->width / s->heads) return "rope_theta or rope_fraction";
    if (fabs(turning / 2 - round(turning / 2)) > 1e-9) return "RoPE turns pairs, but its channels are not even";
    return NULL;
}

struct switches *switches_create(const struct switches_shape *shape) {
    enum { PER_LAYER = 14, AROUND = 5 }; /* most tensors */
    const char *why = wrong(shape);
    struct switches *model = why ? NULL : calloc(1, sizeof *model);
    if (!model) {
        complain("%s", why ? why : "out of memory");
        return NULL;
    }
    model->shape = *shape;
    model->head_size = shape->width / shape->heads;
    model->turning = shape->rope == SWITCHES_LEARNED ? 0 : (int)lround(shape->rope_fraction * model->head_size);
    model->tensors = calloc((size_t)shape->layers * PER_LAYER + AROUND, sizeof *model->tensors);
    model->layers = calloc((size_t)shape->layers + 1, sizeof *model->layers);
    int whole = model->tensors && model->layers;
    if (whole) add_tensors(model);
    for (int i = 0; i < model->n_tensors; i++) whole = whole && model->tensors[i].value;
    if (whole) return model;
    complain("out of memory");
    switches_free(model);
    return NULL;
}

static void give_room_back(struct switches *model) {
    free(model->x);
    free(model->branch);
    free(model->qkv);
    free(model->mix);
    free(model->out);
    free(model->hidden);
    free(model->scores);
    free(model->logits);
    model->x = model->branch = model->qkv = model->mix = model->out = model->hidden = model->scores = NULL;
    model->logits = NULL;
    model->room = 0;
}

static int make_room(struct switches *model, int rows) {
    if (rows <= model->room) return 1;
    const struct switches_shape *s = &model->shape;
    const size_t N = (size_t)rows, C = (size_t)s->width, V = (size_t)s->vocab;
    const size_t qkv = (size_t)((s->heads + 2 * s->kv_heads) * model->head_size);
    give_room_back(model);
    model->x = calloc(N * C, sizeof(var));
    model->branch = calloc(N * C, sizeof(var));
    model->qkv = calloc(N * qkv, sizeof(var));
    model->mix = calloc(N * C, sizeof(var));
    model->out = calloc(N * V, sizeof(var));
    model->hidden = calloc(2 * (size_t)s->hidden, sizeof(var));
    model->scores = calloc((size_t)s->context, sizeof(var));
    model->logits = calloc(N * V, sizeof(double));
    model->room = rows;
    if (model->x && model->branch && model->qkv && model->mix && model->out && model->hidden && model->scores &&
        model->logits)
        return 1;
    give_room_back(model);
    complain("out of memory for %d rows", rows);
    return 0;
}

void switches_free(struct switches *model) {
    if (!model) return;
    give_room_back(model);
    for (int i = 0; i < model->n_tensors; i++) free(model->tensors[i].value);
    free(model->tensors);
    free(model->layers);
    tape_free(&model->tape);
    free(model);
}
