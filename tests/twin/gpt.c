/* GPT-2 (Radford et al. 2019) and one training step of it: parameters, forward, backward, AdamW.
 *
 * Read from top to bottom: first what is stored, then the pieces of the model, each with its derivative beside it, then
 * the model made of the pieces, forward and backward, then the update; names and memory come last.
 *
 * Shapes: B sequences of T tokens make N = B * T rows, C width, H heads of D = C / H columns, F hidden, V vocabulary.
 * Arrays are row-major: in x[N,C], row n begins at x + n * C. Row n = b * T + t is token t of sequence b.
 *
 * Values are kept as twin_real, but sums over rows and columns are made in double and rounded once. So the float build
 * is exact to about the rounding of what it stores, and can judge faster code that adds in other orders.
 *
 * In the names of gradients, d_x stands for d(loss)/d(x). */
#include "gpt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ what is stored */

struct tensor {
    char name[32];
    long elems;
    int decays;                   /* weight decay applies: it has two dimensions */
    twin_real *value, *grad;      /* the parameter and d(loss)/d(parameter); value owns the memory of all four */
    twin_real *moment1, *moment2; /* AdamW's running means of the gradient and of its square */
};

/* y = w x + b. A linear layer has w[out,in] and b[out]; a norm has w[out] and b[out], and its `in` is 0. */
struct affine {
    struct tensor *w, *b; /* b is NULL where there are no biases */
    long in, out;
};

struct layer {
    struct affine ln1, qkv, proj, ln2, up, down;

    /* Values of the last forward that the backward reads again, in the order in which they are made. */
    twin_real *ln1_out; /* [N,C] */
    twin_real *qkv_out; /* [N,3C]: q, then k, then v, each H heads of D columns */
    twin_real *probs;   /* [B,H,T,T]: how much query t (row) takes from key s (column); 0 for s > t */
    twin_real *heads;   /* [N,C]: what the heads took, side by side */
    twin_real *middle;  /* [N,C]: the layer's input + attention */
    twin_real *ln2_out; /* [N,C] */
    twin_real *up_out;  /* [N,F] */
    twin_real *active;  /* [N,F]: gelu(up_out) */
    twin_real *out;     /* [N,C]: middle + feed-forward; the input of the next layer */
};

struct twin {
    struct twin_shape shape;

    struct tensor *tensors; /* all parameters */
    int n_tensors;
    struct tensor *wte, *wpe; /* embeddings of tokens [V,C] and of positions [context,C] */
    struct layer *layers;
    struct affine ln_f, head;

    /* The last batch. rows is 0 when there is none. */
    int batch, time;
    long rows, counted; /* N; how many targets count */
    int *tokens, *targets;

    twin_real *embedded; /* [N,C]: the input of the first layer */
    twin_real *ln_f_out; /* [N,C] */
    twin_real *logits;   /* [N,V] */

    /* Gradients that one layer's backward hands to the next piece; none outlives twin_backward(). */
    twin_real *d_logits; /* [N,V] */
    twin_real *d_stream; /* [N,C]: of the residual stream, the x in x = x + f(x) */
    twin_real *d_branch; /* [N,C]: inside f */
    twin_real *d_qkv;    /* [N,3C] */
    twin_real *d_hidden; /* [N,F] */
    twin_real *d_scores; /* [T,T]: of one head's scores */

    double *sums, *row; /* scratch for one row of anything */
    int out_of_memory;
};

static struct tensor *add_tensor(struct twin *twin, const char *name, long rows, long columns) {
    struct tensor *tensor = &twin->tensors[twin->n_tensors++];
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->elems = columns ? rows * columns : rows;
    tensor->decays = columns != 0;
    tensor->value = calloc((size_t)tensor->elems * 4, sizeof(twin_real));
    if (!tensor->value) {
        twin->out_of_memory = 1;
        return tensor;
    }
    tensor->grad = tensor->value + tensor->elems;
    tensor->moment1 = tensor->grad + tensor->elems;
    tensor->moment2 = tensor->moment1 + tensor->elems;
    return tensor;
}

/* `layer` below 0: the name has no layer in front. */
static struct affine add_affine(struct twin *twin, int layer, const char *name, long in, long out) {
    char prefix[16] = "", full[32];
    if (layer >= 0) snprintf(prefix, sizeof prefix, "h%d.", layer);
    struct affine affine = {.in = in, .out = out};
    snprintf(full, sizeof full, "%s%s.w", prefix, name);
    affine.w = add_tensor(twin, full, out, in);
    snprintf(full, sizeof full, "%s%s.b", prefix, name);
    if (twin->shape.bias) affine.b = add_tensor(twin, full, out, 0);
    return affine;
}

static void add_tensors(struct twin *twin) {
    const long C = twin->shape.width, F = twin->shape.hidden, V = twin->shape.vocab;
    twin->wte = add_tensor(twin, "wte", V, C);
    twin->wpe = add_tensor(twin, "wpe", twin->shape.context, C);
    for (int l = 0; l < twin->shape.layers; l++) {
        struct layer *layer = &twin->layers[l];
        layer->ln1 = add_affine(twin, l, "ln1", 0, C);
        layer->qkv = add_affine(twin, l, "attn.qkv", C, 3 * C);
        layer->proj = add_affine(twin, l, "attn.proj", C, C);
        layer->ln2 = add_affine(twin, l, "ln2", 0, C);
        layer->up = add_affine(twin, l, "ffn.up", C, F);
        layer->down = add_affine(twin, l, "ffn.down", F, C);
    }
    twin->ln_f = add_affine(twin, -1, "ln_f", 0, C);
    /* Tied: the same matrix turns tokens into rows and rows into scores of tokens (Press & Wolf 2017). */
    twin->head = (struct affine){.in = C, .out = V};
    twin->head.w = twin->shape.tie ? twin->wte : add_tensor(twin, "head.w", V, C);
}

struct twin *twin_create(const struct twin_shape *shape) {
    const long C = shape->width, F = shape->hidden, V = shape->vocab;
    if (shape->layers < 0 || C < 1 || shape->heads < 1 || C % shape->heads || F < 1 || V < 1 || shape->context < 1)
        return NULL;
    struct twin *twin = calloc(1, sizeof *twin);
    if (!twin) return NULL;
    twin->shape = *shape;
    const size_t row = (size_t)(C + F + V + shape->context);
    twin->sums = calloc(row, sizeof *twin->sums);
    twin->row = calloc(row, sizeof *twin->row);
    twin->tensors = calloc((size_t)shape->layers * 12 + 5, sizeof *twin->tensors);
    twin->layers = calloc((size_t)shape->layers + 1, sizeof *twin->layers);
    if (!twin->sums || !twin->row || !twin->tensors || !twin->layers) twin->out_of_memory = 1;
    if (!twin->out_of_memory) add_tensors(twin);
    if (twin->out_of_memory) {
        twin_free(twin);
        return NULL;
    }
    return twin;
}

/* ------------------------------------------------------------------ sums over rows */

/* Four partial sums, so that an addition need not wait for the one before it. */
static double dot(const twin_real *a, const twin_real *b, long n) {
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    long i = 0;
    for (; i + 4 <= n; i += 4) {
        s0 += (double)a[i] * b[i];
        s1 += (double)a[i + 1] * b[i + 1];
        s2 += (double)a[i + 2] * b[i + 2];
        s3 += (double)a[i + 3] * b[i + 3];
    }
    for (; i < n; i++) s0 += (double)a[i] * b[i];
    return (s0 + s1) + (s2 + s3);
}

/* sums += factor * x */
static void add_scaled(double *restrict sums, double factor, const twin_real *restrict x, long n) {
    for (long i = 0; i < n; i++) sums[i] += factor * x[i];
}

static void clear(double *sums, long n) { memset(sums, 0, (size_t)n * sizeof *sums); }

static void store(twin_real *x, const double *sums, long n) {
    for (long i = 0; i < n; i++) x[i] = sums[i];
}

static void add(twin_real *x, const twin_real *y, long n) {
    for (long i = 0; i < n; i++) x[i] += y[i];
}

/* ------------------------------------------------------------------ linear */

/* y[N,out] = x[N,in] w[out,in]^T + b[out] */
static void linear(twin_real *y, const twin_real *x, const struct affine *p, long N) {
    for (long n = 0; n < N; n++)
        for (long m = 0; m < p->out; m++)
            y[n * p->out + m] =
                dot(x + n * p->in, p->w->value + m * p->in, p->in) + (p->b ? (double)p->b->value[m] : 0.0);
}

/* d_x[N,in] = d_y[N,out] w;  d_w[out,in] += d_y^T x;  d_b[out] += column sums of d_y.  sums: scratch[in] */
static void linear_backward(twin_real *d_x, const twin_real *d_y, const twin_real *x, const struct affine *p, long N,
                            double *sums) {
    const long in = p->in, out = p->out;
    for (long n = 0; n < N; n++) {
        clear(sums, in);
        for (long m = 0; m < out; m++) add_scaled(sums, d_y[n * out + m], p->w->value + m * in, in);
        store(d_x + n * in, sums, in);
    }
    for (long m = 0; m < out; m++) {
        double d_b = 0;
        clear(sums, in);
        for (long n = 0; n < N; n++) {
            add_scaled(sums, d_y[n * out + m], x + n * in, in);
            d_b += d_y[n * out + m];
        }
        for (long k = 0; k < in; k++) p->w->grad[m * in + k] += sums[k];
        if (p->b) p->b->grad[m] += d_b;
    }
}

/* ------------------------------------------------------------------ layer norm (Ba et al. 2016) */

/* The mean of a row, and 1 / its standard deviation; the variance is the biased one, over C, not C - 1. */
static void moments(const twin_real *x, long C, double *mean, double *rstd) {
    double sum = 0, squares = 0;
    for (long c = 0; c < C; c++) sum += x[c];
    *mean = sum / C;
    for (long c = 0; c < C; c++) squares += (x[c] - *mean) * (x[c] - *mean);
    *rstd = 1 / sqrt(squares / C + 1e-5);
}

/* y = normal * w + b with normal = (x - mean) * rstd, each row by itself.  x, y: [N,C] */
static void norm(twin_real *y, const twin_real *x, const struct affine *p, long N) {
    const long C = p->out;
    for (long n = 0; n < N; n++, x += C, y += C) {
        double mean, rstd;
        moments(x, C, &mean, &rstd);
        for (long c = 0; c < C; c++)
            y[c] = (x[c] - mean) * rstd * p->w->value[c] + (p->b ? (double)p->b->value[c] : 0.0);
    }
}

/* With d_normal = d_y * w:
 *     d_x += rstd * (d_normal - average(d_normal) - normal * average(d_normal * normal))
 * The two averages are what comes back through mean and rstd. It adds to d_x, because a norm's input also goes past the
 * branch, along the residual stream.  d_w, d_b: scratch[C] */
static void norm_backward(twin_real *d_x, const twin_real *d_y, const twin_real *x, const struct affine *p, long N,
                          double *d_w, double *d_b) {
    const long C = p->out;
    clear(d_w, C);
    clear(d_b, C);
    for (long n = 0; n < N; n++, d_x += C, d_y += C, x += C) {
        double mean, rstd, average = 0, average_normal = 0;
        moments(x, C, &mean, &rstd);
        for (long c = 0; c < C; c++) {
            const double normal = (x[c] - mean) * rstd, d_normal = (double)d_y[c] * p->w->value[c];
            average += d_normal / C;
            average_normal += d_normal * normal / C;
            d_w[c] += d_y[c] * normal;
            d_b[c] += d_y[c];
        }
        for (long c = 0; c < C; c++) {
            const double normal = (x[c] - mean) * rstd, d_normal = (double)d_y[c] * p->w->value[c];
            d_x[c] += rstd * (d_normal - average - normal * average_normal);
        }
    }
    for (long c = 0; c < C; c++) {
        p->w->grad[c] += d_w[c];
        if (p->b) p->b->grad[c] += d_b[c];
    }
}

/* ------------------------------------------------------------------ GELU (Hendrycks & Gimpel 2016, the tanh form) */

static const double SQRT_2_OVER_PI = 0.79788456080286535588;

/* y = 0.5 x (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3) */
static void gelu(twin_real *y, const twin_real *x, long n) {
    for (long i = 0; i < n; i++) {
        const double v = x[i];
        y[i] = 0.5 * v * (1 + tanh(SQRT_2_OVER_PI * (v + 0.044715 * v * v * v)));
    }
}

/* d *= dy/dx, in place */
static void gelu_backward(twin_real *d, const twin_real *x, long n) {
    for (long i = 0; i < n; i++) {
        const double v = x[i], t = tanh(SQRT_2_OVER_PI * (v + 0.044715 * v * v * v));
        const double du_dx = SQRT_2_OVER_PI * (1 + 3 * 0.044715 * v * v);
        d[i] *= 0.5 * (1 + t) + 0.5 * v * (1 - t * t) * du_dx;
    }
}

/* ------------------------------------------------------------------ softmax */

/* row = exp(row) / sum(exp(row)). Returns log(sum(exp(row))). The maximum is taken off first, so that exp cannot
 * overflow. */
static double softmax(double *row, long n) {
    double max = row[0], sum = 0;
    for (long i = 1; i < n; i++) max = row[i] > max ? row[i] : max;
    for (long i = 0; i < n; i++) sum += row[i] = exp(row[i] - max);
    for (long i = 0; i < n; i++) row[i] /= sum;
    return max + log(sum);
}

/* ------------------------------------------------------------------ causal attention (Vaswani et al. 2017) */

/* For each sequence and head, and each query t, over the keys s <= t:
 *     score[s] = q[t] . k[s] / sqrt(D);  probs = softmax(score);  heads[t] = sum of probs[s] v[s] */
static void attention(struct twin *twin, struct layer *layer) {
    const long T = twin->time, C = twin->shape.width, H = twin->shape.heads, D = C / H;
    for (long b = 0; b < twin->batch; b++)
        for (long h = 0; h < H; h++) {
            const twin_real *q = layer->qkv_out + b * T * 3 * C + h * D, *k = q + C, *v = q + 2 * C; /* [T,D], row 3C */
            twin_real *probs = layer->probs + (b * H + h) * T * T, *out = layer->heads + b * T * C + h * D;
            for (long t = 0; t < T; t++) {
                for (long s = 0; s <= t; s++) twin->row[s] = dot(q + t * 3 * C, k + s * 3 * C, D) / sqrt((double)D);
                softmax(twin->row, t + 1);
                store(probs + t * T, twin->row, t + 1);
                clear(twin->sums, D);
                for (long s = 0; s <= t; s++) add_scaled(twin->sums, twin->row[s], v + s * 3 * C, D);
                store(out + t * C, twin->sums, D);
            }
        }
}

/* Writes d_qkv from the gradient of heads[N,C]. For each query t, with d_probs[s] = d_heads[t] . v[s]:
 *     d_scores[t,s] = probs[t,s] * (d_probs[s] - sum over r of probs[t,r] d_probs[r])
 * and then d_q[t] = sum over s <= t of d_scores[t,s] k[s] / sqrt(D);  d_k[s] = the same over t >= s, of q[t];
 * d_v[s] = sum over t >= s of probs[t,s] d_heads[t]. */
static void attention_backward(struct twin *twin, const struct layer *layer, const twin_real *d_heads) {
    const long T = twin->time, C = twin->shape.width, H = twin->shape.heads, D = C / H, stride = 3 * C;
    const double scale = 1 / sqrt((double)D);
    double *sums = twin->sums, *d_probs = twin->row;
    twin_real *d_scores = twin->d_scores;
    for (long b = 0; b < twin->batch; b++)
        for (long h = 0; h < H; h++) {
            const twin_real *q = layer->qkv_out + b * T * stride + h * D, *k = q + C, *v = q + 2 * C;
            const twin_real *probs = layer->probs + (b * H + h) * T * T, *d_out = d_heads + b * T * C + h * D;
            twin_real *d_q = twin->d_qkv + b * T * stride + h * D, *d_k = d_q + C, *d_v = d_q + 2 * C;
            for (long t = 0; t < T; t++) {
                double average = 0;
                for (long s = 0; s <= t; s++) {
                    d_probs[s] = dot(d_out + t * C, v + s * stride, D);
                    average += probs[t * T + s] * d_probs[s];
                }
                for (long s = 0; s <= t; s++) d_scores[t * T + s] = probs[t * T + s] * (d_probs[s] - average);
                clear(sums, D);
                for (long s = 0; s <= t; s++) add_scaled(sums, scale * d_scores[t * T + s], k + s * stride, D);
                store(d_q + t * stride, sums, D);
            }
            for (long s = 0; s < T; s++) {
                clear(sums, D);
                for (long t = s; t < T; t++) add_scaled(sums, scale * d_scores[t * T + s], q + t * stride, D);
                store(d_k + s * stride, sums, D);
                clear(sums, D);
                for (long t = s; t < T; t++) add_scaled(sums, probs[t * T + s], d_out + t * C, D);
                store(d_v + s * stride, sums, D);
            }
        }
}

/* ------------------------------------------------------------------ embedding and loss: the two ends */

/* x[b,t] = wte[token] + wpe[t] */
static void embed(const struct twin *twin) {
    const long C = twin->shape.width;
    for (long n = 0; n < twin->rows; n++) {
        const twin_real *token = twin->wte->value + twin->tokens[n] * C;
        const twin_real *position = twin->wpe->value + n % twin->time * C;
        for (long c = 0; c < C; c++) twin->embedded[n * C + c] = token[c] + position[c];
    }
}

static void embed_backward(const struct twin *twin, const twin_real *d_x) {
    const long C = twin->shape.width;
    for (long n = 0; n < twin->rows; n++) {
        add(twin->wte->grad + twin->tokens[n] * C, d_x + n * C, C);
        add(twin->wpe->grad + n % twin->time * C, d_x + n * C, C);
    }
}

/* The mean over the counted rows of -log(softmax(logits)[target]) = log(sum(exp(logits))) - logits[target]; 0 when no
 * row counts. */
static double cross_entropy(const struct twin *twin) {
    const long V = twin->shape.vocab;
    double sum = 0;
    for (long n = 0; n < twin->rows; n++) {
        const twin_real *logits = twin->logits + n * V;
        if (twin->targets[n] < 0) continue;
        for (long v = 0; v < V; v++) twin->row[v] = logits[v];
        sum += softmax(twin->row, V) - logits[twin->targets[n]];
    }
    return twin->counted ? sum / twin->counted : 0;
}

/* d_logits = scale / counted * (softmax(logits) - 1 at the target), and 0 in rows that do not count. */
static void cross_entropy_backward(const struct twin *twin, double scale) {
    const long V = twin->shape.vocab;
    for (long n = 0; n < twin->rows; n++) {
        clear(twin->row, V);
        if (twin->targets[n] >= 0) {
            for (long v = 0; v < V; v++) twin->row[v] = twin->logits[n * V + v];
            softmax(twin->row, V);
            twin->row[twin->targets[n]] -= 1;
            for (long v = 0; v < V; v++) twin->row[v] *= scale / twin->counted;
        }
        store(twin->d_logits + n * V, twin->row, V);
    }
}

/* ------------------------------------------------------------------ the model, forward */

/* Checks and keeps the batch. Returns 0 when it cannot be used, and says why. It stands at the
 * end of the file, with what else is about memory. */
static int keep_batch(struct twin *twin, const int *tokens, const int *targets, int batch, int time);

/* Returns NAN, and says why on stderr, when the batch cannot be used. */
double twin_forward(struct twin *twin, const int *tokens, const int *targets, int batch, int time) {
    if (!keep_batch(twin, tokens, targets, batch, time)) return NAN;
    const long N = twin->rows, C = twin->shape.width, F = twin->shape.hidden;
    embed(twin);
    const twin_real *x = twin->embedded;
    for (int l = 0; l < twin->shape.layers; l++) {
        struct layer *layer = &twin->layers[l];
        /* x = x + proj(attention(qkv(ln1(x)))) */
        norm(layer->ln1_out, x, &layer->ln1, N);
        linear(layer->qkv_out, layer->ln1_out, &layer->qkv, N);
        attention(twin, layer);
        linear(layer->middle, layer->heads, &layer->proj, N);
        add(layer->middle, x, N * C);
        /* x = x + down(gelu(up(ln2(x)))) */
        norm(layer->ln2_out, layer->middle, &layer->ln2, N);
        linear(layer->up_out, layer->ln2_out, &layer->up, N);
        gelu(layer->active, layer->up_out, N * F);
        linear(layer->out, layer->active, &layer->down, N);
        add(layer->out, layer->middle, N * C);
        x = layer->out;
    }
    norm(twin->ln_f_out, x, &twin->ln_f, N);
    linear(twin->logits, twin->ln_f_out, &twin->head, N);
    return cross_entropy(twin);
}

/* ------------------------------------------------------------------ the model, backward */

/* The forward read from its end. d_stream is the gradient of x at the place that the reading has come to: x = x + f(x)
 * hands it on as it is, and the norm at the beginning of f adds what came back through f. */
void twin_backward(struct twin *twin, double scale) {
    const long N = twin->rows, C = twin->shape.width, F = twin->shape.hidden;
    double *sums = twin->sums, *row = twin->row;
    twin_real *d_stream = twin->d_stream, *d_branch = twin->d_branch, *d_hidden = twin->d_hidden;
    if (!N) return;
    cross_entropy_backward(twin, scale);
    linear_backward(d_branch, twin->d_logits, twin->ln_f_out, &twin->head, N, sums);
    memset(d_stream, 0, (size_t)(N * C) * sizeof *d_stream);
    const int last = twin->shape.layers - 1;
    norm_backward(d_stream, d_branch, last < 0 ? twin->embedded : twin->layers[last].out, &twin->ln_f, N, sums, row);
    for (int l = last; l >= 0; l--) {
        struct layer *layer = &twin->layers[l];
        const twin_real *x = l ? twin->layers[l - 1].out : twin->embedded;
        /* x = x + down(gelu(up(ln2(x)))) */
        linear_backward(d_hidden, d_stream, layer->active, &layer->down, N, sums);
        gelu_backward(d_hidden, layer->up_out, N * F);
        linear_backward(d_branch, d_hidden, layer->ln2_out, &layer->up, N, sums);
        norm_backward(d_stream, d_branch, layer->middle, &layer->ln2, N, sums, row);
        /* x = x + proj(attention(qkv(ln1(x)))) */
        linear_backward(d_branch, d_stream, layer->heads, &layer->proj, N, sums);
        attention_backward(twin, layer, d_branch);
        linear_backward(d_branch, twin->d_qkv, layer->ln1_out, &layer->qkv, N, sums);
        norm_backward(d_stream, d_branch, x, &layer->ln1, N, sums, row);
    }
    embed_backward(twin, d_stream);
}

/* ------------------------------------------------------------------ the update */

void twin_zero_grad(struct twin *twin) {
    for (int i = 0; i < twin->n_tensors; i++)
        memset(twin->tensors[i].grad, 0, (size_t)twin->tensors[i].elems * sizeof(twin_real));
}

double twin_grad_norm(struct twin *twin) {
    double squares = 0;
    for (int i = 0; i < twin->n_tensors; i++)
        squares += dot(twin->tensors[i].grad, twin->tensors[i].grad, twin->tensors[i].elems);
    return sqrt(squares);
}

/* AdamW (Loshchilov & Hutter 2019, algorithm 2), with the decay multiplied by lr as in PyTorch. The moments start at 0;
 * dividing by 1 - beta^t takes that out again. The stored gradients are not changed. */
void twin_adamw(struct twin *twin, int t, double lr, double beta1, double beta2, double eps, double decay,
                double clip) {
    const double correction1 = 1 - pow(beta1, t), correction2 = 1 - pow(beta2, t);
    for (int i = 0; i < twin->n_tensors; i++) {
        struct tensor *p = &twin->tensors[i];
        for (long e = 0; e < p->elems; e++) {
            const double g = clip * p->grad[e];
            const double m = beta1 * p->moment1[e] + (1 - beta1) * g;
            const double v = beta2 * p->moment2[e] + (1 - beta2) * g * g;
            const double decayed = p->value[e] - (p->decays ? lr * decay * p->value[e] : 0.0);
            p->value[e] = decayed - lr * (m / correction1) / (sqrt(v / correction2) + eps);
            p->moment1[e] = m;
            p->moment2[e] = v;
        }
    }
}

/* ------------------------------------------------------------------ names and memory */

static const struct tensor *find(const struct twin *twin, const char *name, long *elems) {
    const struct tensor *found = NULL;
    for (int i = 0; i < twin->n_tensors; i++)
        if (!strcmp(twin->tensors[i].name, name)) found = &twin->tensors[i];
    if (elems) *elems = found ? found->elems : 0;
    return found;
}

twin_real *twin_param(struct twin *twin, const char *name, long *elems) {
    const struct tensor *tensor = find(twin, name, elems);
    return tensor ? tensor->value : NULL;
}

twin_real *twin_grad(struct twin *twin, const char *name, long *elems) {
    const struct tensor *tensor = find(twin, name, elems);
    return tensor ? tensor->grad : NULL;
}

const twin_real *twin_logits(const struct twin *twin) { return twin->rows ? twin->logits : NULL; }

static void resize(struct twin *twin, twin_real **array, long elems) {
    free(*array);
    *array = elems ? calloc((size_t)elems, sizeof(twin_real)) : NULL;
    if (elems && !*array) twin->out_of_memory = 1;
}

/* Makes room for what depends on the size of the batch; a batch of 0 x 0 gives it all back. */
static void resize_all(struct twin *twin, int batch, int time) {
    const long N = (long)batch * time, C = twin->shape.width, F = twin->shape.hidden, V = twin->shape.vocab;
    twin->batch = batch;
    twin->time = time;
    twin->out_of_memory = 0;
    for (int l = 0; twin->layers && l < twin->shape.layers; l++) {
        struct layer *layer = &twin->layers[l];
        resize(twin, &layer->ln1_out, N * C);
        resize(twin, &layer->qkv_out, N * 3 * C);
        resize(twin, &layer->probs, N * twin->shape.heads * time);
        resize(twin, &layer->heads, N * C);
        resize(twin, &layer->middle, N * C);
        resize(twin, &layer->ln2_out, N * C);
        resize(twin, &layer->up_out, N * F);
        resize(twin, &layer->active, N * F);
        resize(twin, &layer->out, N * C);
    }
    resize(twin, &twin->embedded, N * C);
    resize(twin, &twin->ln_f_out, N * C);
    resize(twin, &twin->logits, N * V);
    resize(twin, &twin->d_logits, N * V);
    resize(twin, &twin->d_stream, N * C);
    resize(twin, &twin->d_branch, N * C);
    resize(twin, &twin->d_qkv, N * 3 * C);
    resize(twin, &twin->d_hidden, N * F);
    resize(twin, &twin->d_scores, (long)time * time);
    free(twin->tokens);
    twin->tokens = N ? calloc((size_t)N * 2, sizeof *twin->tokens) : NULL;
    twin->targets = twin->tokens ? twin->tokens + N : NULL;
    if (N && !twin->tokens) twin->out_of_memory = 1;
}

static int keep_batch(struct twin *twin, const int *tokens, const int *targets, int batch, int time) {
    twin->rows = twin->counted = 0;
    if (batch < 1 || time < 1 || time > twin->shape.context) {
        fprintf(stderr, "twin: batch %d x %d does not fit a context of %d\n", batch, time, twin->shape.context);
        return 0;
    }
    for (long n = 0; n < (long)batch * time; n++)
        if (tokens[n] < 0 || tokens[n] >= twin->shape.vocab || targets[n] >= twin->shape.vocab) {
            fprintf(stderr, "twin: row %ld: token %d or target %d is outside the vocabulary of %d\n", n, tokens[n],
                    targets[n], twin->shape.vocab);
            return 0;
        }
    if (batch != twin->batch || time != twin->time || twin->out_of_memory) resize_all(twin, batch, time);
    if (twin->out_of_memory) {
        fprintf(stderr, "twin: out of memory for a batch of %d x %d\n", batch, time);
        return 0;
    }
    twin->rows = (long)batch * time;
    for (long n = 0; n < twin->rows; n++) {
        twin->tokens[n] = tokens[n];
        twin->targets[n] = targets[n];
        twin->counted += targets[n] >= 0;
    }
    return 1;
}

void twin_free(struct twin *twin) {
    if (!twin) return;
    resize_all(twin, 0, 0);
    for (int i = 0; i < twin->n_tensors; i++) free(twin->tensors[i].value);
    free(twin->tensors);
    free(twin->layers);
    free(twin->sums);
    free(twin->row);
    free(twin);
}
