/* A libcudnn that computes graphs on the processor, for testing what is asked of the real one: as much of its interface as
 * src/backend/cuda/cudnn*.c use, by the meaning that NVIDIA's manual of the backend API gives it. Tensors are kept as
 * doubles and rounded to their type. It is strict: attributes are taken only before an end is put to a descriptor, operands
 * only after, and the names of a call must be just those of the graph. A wrong use of it ends the process. */
#include "cudnn_cpu.h"

#include <cudnn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/f16.h"

enum { MAX_ATTRIBUTES = 12, ENGINES = 4, WORKSPACE = 300 };
enum { VARIES, NOT_SUPPORTED, WORKS, WORKS_TOO }; /* the engines that its heuristics name, in this order */

struct attribute {
    cudnnBackendAttributeName_t name;
    int64_t count;
    void *values;
};

struct descriptor {
    cudnnBackendDescriptorType_t type;
    int finished, n_attributes;
    struct attribute attributes[MAX_ATTRIBUTES];
    int64_t engine;           /* of a configuration and what is got from it */
    struct descriptor *graph; /* of a configuration */
    double *value;            /* of a tensor, while a graph is computed */
};

static int alive, calls, fails_at;

int cudnn_cpu_fail(int call) {
    int before = calls;
    calls = 0;
    fails_at = call;
    return before;
}

int cudnn_cpu_alive(void) { return alive; }

static int fails(void) { return ++calls == fails_at; }

static void demand(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "cudnn_cpu: %s\n", what);
    abort();
}

size_t cudnnGetVersion(void) { return 91900; }
const char *cudnnGetErrorString(cudnnStatus_t status) { return status ? "asked to fail" : "success"; }
void cudnnGetLastErrorString(char *message, size_t size) { snprintf(message, size, "call %d\nmore", calls); }

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
    if (fails()) return CUDNN_STATUS_NOT_INITIALIZED;
    alive++;
    *handle = (cudnnHandle_t)&alive;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    demand((void *)handle == &alive, "a handle that it did not make");
    alive--;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    (void)handle, (void)stream;
    return fails() ? CUDNN_STATUS_INTERNAL_ERROR : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out) {
    struct descriptor *d = fails() ? NULL : calloc(1, sizeof *d);
    if (!d) return CUDNN_STATUS_INTERNAL_ERROR;
    d->type = type;
    *out = d;
    alive++;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
    struct descriptor *d = descriptor;
    for (int i = 0; i < d->n_attributes; i++) free(d->attributes[i].values);
    free(d);
    alive--;
    return CUDNN_STATUS_SUCCESS;
}

static size_t bytes_of(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_BOOLEAN:
        return sizeof(bool);
    case CUDNN_TYPE_INT64:
        return sizeof(int64_t);
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return sizeof(void *);
    default:
        return sizeof(int); /* the enums */
    }
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    struct descriptor *d = descriptor;
    demand(d && !d->finished, "an attribute of a finished descriptor");
    demand(d->n_attributes < MAX_ATTRIBUTES, "too many attributes");
    if (fails()) return CUDNN_STATUS_BAD_PARAM;
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; i++)
        demand(((struct descriptor *const *)values)[i]->finished, "an operand that is not finished");
    void *copy = malloc((size_t)count * bytes_of(type));
    memcpy(copy, values, (size_t)count * bytes_of(type));
    d->attributes[d->n_attributes++] = (struct attribute){name, count, copy};
    return CUDNN_STATUS_SUCCESS;
}

static const struct attribute *find(const struct descriptor *d, int name) {
    for (int i = 0; i < d->n_attributes; i++)
        if ((int)d->attributes[i].name == name) return &d->attributes[i];
    return NULL;
}

static const void *values_of(const struct descriptor *d, int name) {
    const struct attribute *a = find(d, name);
    demand(a != NULL, "an attribute is missing");
    return a->values;
}

static struct descriptor *member(const struct descriptor *d, int name) {
    return find(d, name) ? *(struct descriptor *const *)values_of(d, name) : NULL;
}

static int number(const struct descriptor *d, int name) { return *(const int *)values_of(d, name); }
static const int64_t *dims(const struct descriptor *t) { return values_of(t, CUDNN_ATTR_TENSOR_DIMENSIONS); }
static int64_t name_of(const struct descriptor *t) {
    return *(const int64_t *)values_of(t, CUDNN_ATTR_TENSOR_UNIQUE_ID);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
    struct descriptor *d = descriptor;
    if (fails()) return CUDNN_STATUS_BAD_PARAM;
    if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
        member(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)->engine == NOT_SUPPORTED)
        return CUDNN_STATUS_NOT_SUPPORTED;
    d->finished = 1;
    return CUDNN_STATUS_SUCCESS;
}

/* Only what this library itself says; what was set need not be read back. */
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *values) {
    struct descriptor *const d = descriptor, **const out = values;
    (void)type;
    *count = 1;
    if (fails()) return CUDNN_STATUS_INTERNAL_ERROR;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        demand(d->finished && room >= ENGINES, "room for the engines");
        *count = number(d, CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_A ? ENGINES - 1 : ENGINES;
        for (int64_t i = 0; i < *count; i++) {
            out[i]->engine = i;
            out[i]->finished = 1;
            out[i]->graph = member(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
        }
        break;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
    case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES:
        out[0]->engine = d->engine;
        break;
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE:
        *(int64_t *)values = d->engine;
        break;
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE:
        *(cudnnBackendKnobType_t *)values = CUDNN_KNOB_TYPE_KERNEL_CFG;
        break;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        *count = d->engine == VARIES;
        *(cudnnBackendNumericalNote_t *)values = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
        break;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        *(int64_t *)values = WORKSPACE;
        break;
    default:
        demand(0, "an attribute that it cannot tell");
    }
    return CUDNN_STATUS_SUCCESS;
}

static int64_t elements(const struct descriptor *t) { return dims(t)[0] * dims(t)[1] * dims(t)[2] * dims(t)[3]; }

static void position(const struct descriptor *t, int64_t i, int64_t at[4]) {
    for (int k = 3; k >= 0; k--) {
        at[k] = i % dims(t)[k];
        i /= dims(t)[k];
    }
}

/* Of the element that belongs to `at` in a tensor of the dimensions `of`: itself, the only one of its dimension, or the one
 * that a group of heads shares. */
static int64_t index_for(const struct descriptor *t, const int64_t at[4], const int64_t of[4]) {
    int64_t index = 0;
    for (int k = 0; k < 4; k++) index = index * dims(t)[k] + at[k] / (of[k] / dims(t)[k]);
    return index;
}

static int64_t offset_of(const struct descriptor *t, int64_t i) {
    const int64_t *stride = values_of(t, CUDNN_ATTR_TENSOR_STRIDES);
    int64_t at[4];
    position(t, i, at);
    return at[0] * stride[0] + at[1] * stride[1] + at[2] * stride[2] + at[3] * stride[3];
}

static int is(const struct descriptor *t, int name) { return find(t, name) && *(const bool *)values_of(t, name); }

static double rounded(const struct descriptor *t, double x) {
    switch (number(t, CUDNN_ATTR_TENSOR_DATA_TYPE)) {
    case CUDNN_DATA_FLOAT:
        return (double)(float)x;
    case CUDNN_DATA_BFLOAT16:
        return (double)bf16_to_float(float_to_bf16((float)x));
    case CUDNN_DATA_HALF:
        return (double)f16_to_float(float_to_f16((float)x));
    case CUDNN_DATA_INT32:
    case CUDNN_DATA_BOOLEAN:
        return (double)(int)x;
    default:
        demand(0, "a type that it does not know");
        return 0;
    }
}

static void *address(const struct descriptor *pack, const struct descriptor *t) {
    const struct attribute *names = find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    for (int64_t i = 0; i < names->count; i++)
        if (((const int64_t *)names->values)[i] == name_of(t))
            return ((void *const *)values_of(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS))[i];
    demand(0, "a tensor without an address");
    return NULL;
}

/* Between memory and t->value. */
static void transfer(const struct descriptor *pack, const struct descriptor *t, int store) {
    void *data = address(pack, t);
    int type = number(t, CUDNN_ATTR_TENSOR_DATA_TYPE), brain = type == CUDNN_DATA_BFLOAT16;
    for (int64_t i = 0; i < elements(t); i++) {
        float *whole = (float *)data + offset_of(t, i), x = (float)t->value[i];
        uint16_t *half = (uint16_t *)data + offset_of(t, i);
        if (type == CUDNN_DATA_FLOAT && store)
            *whole = x;
        else if (type == CUDNN_DATA_FLOAT)
            t->value[i] = (double)*whole;
        else if (store)
            *half = brain ? float_to_bf16(x) : float_to_f16(x);
        else
            t->value[i] = (double)(brain ? bf16_to_float(*half) : f16_to_float(*half));
    }
}

static void multiply(const struct descriptor *a, const struct descriptor *b, const struct descriptor *c) {
    demand(dims(a)[3] == dims(b)[2] && dims(a)[2] == dims(c)[2] && dims(b)[3] == dims(c)[3], "shapes of a product");
    for (int64_t i = 0; i < elements(c); i++) {
        int64_t at[4];
        position(c, i, at);
        int64_t left = (at[0] * dims(a)[1] + at[1] / (dims(c)[1] / dims(a)[1])) * dims(a)[2] + at[2];
        int64_t right = at[0] * dims(b)[1] + at[1] / (dims(c)[1] / dims(b)[1]);
        double sum = 0;
        for (int64_t k = 0; k < dims(a)[3]; k++)
            sum += a->value[left * dims(a)[3] + k] * b->value[(right * dims(b)[2] + k) * dims(b)[3] + at[3]];
        c->value[i] = rounded(c, sum);
    }
}

static double point(int mode, double x, double b, double choose, int64_t index) {
    switch (mode) {
    case CUDNN_POINTWISE_ADD:
        return x + b;
    case CUDNN_POINTWISE_SUB:
        return x - b;
    case CUDNN_POINTWISE_MUL:
        return x * b;
    case CUDNN_POINTWISE_DIV:
        return x / b;
    case CUDNN_POINTWISE_EXP:
        return exp(x);
    case CUDNN_POINTWISE_LOG:
        return log(x);
    case CUDNN_POINTWISE_IDENTITY:
        return x;
    case CUDNN_POINTWISE_GEN_INDEX:
        return (double)index;
    case CUDNN_POINTWISE_CMP_GE:
        return x >= b;
    case CUDNN_POINTWISE_BINARY_SELECT:
        return choose != 0 ? x : b;
    default:
        demand(0, "an elementwise operation that it does not know");
        return 0;
    }
}

static void elementwise(const struct descriptor *operation, const struct descriptor *y) {
    const struct descriptor *how = member(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR),
                            *x = member(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC),
                            *b = member(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC),
                            *choose = member(operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
    int64_t axis =
        find(how, CUDNN_ATTR_POINTWISE_AXIS) ? *(const int64_t *)values_of(how, CUDNN_ATTR_POINTWISE_AXIS) : 0;
    for (int64_t i = 0; i < elements(y); i++) {
        int64_t at[4];
        position(y, i, at);
        y->value[i] = rounded(y, point(number(how, CUDNN_ATTR_POINTWISE_MODE), x->value[index_for(x, at, dims(y))],
                                       b ? b->value[index_for(b, at, dims(y))] : 0,
                                       choose ? choose->value[index_for(choose, at, dims(y))] : 0, at[axis]));
    }
}

static void reduce(int kind, const struct descriptor *x, const struct descriptor *y) {
    for (int64_t i = 0; i < elements(y); i++) y->value[i] = kind == CUDNN_REDUCE_TENSOR_MAX ? -INFINITY : 0;
    for (int64_t i = 0; i < elements(x); i++) {
        int64_t at[4];
        position(x, i, at);
        double *to = &y->value[index_for(y, at, dims(x))];
        *to = kind == CUDNN_REDUCE_TENSOR_MAX ? fmax(*to, x->value[i]) : *to + x->value[i];
    }
    for (int64_t i = 0; i < elements(y); i++) y->value[i] = rounded(y, y->value[i]);
}

/* y holds the elements of x where their offsets are the same. */
static void reshape(const struct descriptor *x, const struct descriptor *y) {
    int64_t end = 0;
    demand(elements(x) == elements(y), "shapes of a reshape");
    for (int64_t i = 0; i < elements(x); i++) end = offset_of(x, i) >= end ? offset_of(x, i) + 1 : end;
    double *stored = calloc((size_t)end, sizeof *stored);
    for (int64_t i = 0; i < elements(x); i++) stored[offset_of(x, i)] = x->value[i];
    for (int64_t i = 0; i < elements(y); i++) {
        demand(offset_of(y, i) < end, "strides of a reshape");
        y->value[i] = rounded(y, stored[offset_of(y, i)]);
    }
    free(stored);
}

/* The names of an operation's inputs and its output. */
static const struct {
    cudnnBackendDescriptorType_t type;
    int in[3], out;
} operands[] = {
    {CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR,
     {CUDNN_ATTR_OPERATION_MATMUL_ADESC, CUDNN_ATTR_OPERATION_MATMUL_BDESC},
     CUDNN_ATTR_OPERATION_MATMUL_CDESC},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
     {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_ATTR_OPERATION_POINTWISE_TDESC},
     CUDNN_ATTR_OPERATION_POINTWISE_YDESC},
    {CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR,
     {CUDNN_ATTR_OPERATION_REDUCTION_XDESC},
     CUDNN_ATTR_OPERATION_REDUCTION_YDESC},
    {CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
     {CUDNN_ATTR_OPERATION_RESHAPE_XDESC},
     CUDNN_ATTR_OPERATION_RESHAPE_YDESC},
};

static int kind_of(const struct descriptor *operation) {
    int kind = 0;
    while (kind < 4 && operands[kind].type != operation->type) kind++;
    demand(kind < 4, "an operation that it does not know");
    return kind;
}

static void compute(const struct descriptor *operation, struct descriptor *out) {
    const struct descriptor *in[2];
    int kind = kind_of(operation);
    for (int k = 0; k < 2; k++) in[k] = operands[kind].in[k] ? member(operation, operands[kind].in[k]) : NULL;
    if (kind == 0) multiply(in[0], in[1], out);
    if (kind == 1) elementwise(operation, out);
    if (kind == 2)
        reduce(number(member(operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC), CUDNN_ATTR_REDUCTION_OPERATOR), in[0],
               out);
    if (kind == 3) reshape(in[0], out);
}

/* Gives each tensor that is not made by an operation its value, the others none; how many of all are not virtual. */
static int64_t load(const struct attribute *operations, const struct descriptor *pack) {
    struct descriptor *const *all = operations->values, *seen[64];
    int64_t n = 0, given = 0;
    for (int64_t i = 0; i < 4 * operations->count; i++) {
        int kind = kind_of(all[i / 4]), name = i % 4 < 3 ? operands[kind].in[i % 4] : operands[kind].out, made = 0;
        struct descriptor *t = name ? member(all[i / 4], name) : NULL;
        for (int64_t k = 0; k < n; k++) made |= seen[k] == t;
        if (!t || made) continue;
        seen[n++] = t;
        given += !is(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
        for (int64_t k = 0; k < operations->count; k++) made |= member(all[k], operands[kind_of(all[k])].out) == t;
        if (made) continue;
        demand(!is(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL), "a virtual tensor that nothing makes");
        t->value = calloc((size_t)elements(t), sizeof *t->value);
        transfer(pack, t, 0);
    }
    return given;
}

/* Operations may come in any order: each is computed once its inputs are there. */
static void run(const struct attribute *operations, const struct descriptor *pack) {
    struct descriptor *const *all = operations->values;
    for (int64_t left = operations->count, before = left + 1; left && left < before;) {
        before = left;
        for (int64_t i = 0; i < operations->count; i++) {
            int kind = kind_of(all[i]), ready = 1;
            struct descriptor *out = member(all[i], operands[kind].out);
            for (int k = 0; k < 3; k++) {
                const struct descriptor *in = operands[kind].in[k] ? member(all[i], operands[kind].in[k]) : NULL;
                ready &= !in || in->value != NULL;
            }
            if (out->value || !ready) continue;
            out->value = calloc((size_t)elements(out), sizeof *out->value);
            compute(all[i], out);
            left--;
        }
        demand(left < before, "operations that wait for each other");
    }
    for (int64_t i = 0; i < operations->count; i++) {
        struct descriptor *out = member(all[i], operands[kind_of(all[i])].out);
        if (!is(out, CUDNN_ATTR_TENSOR_IS_VIRTUAL)) transfer(pack, out, 1);
    }
}

static void forget(const struct attribute *operations) {
    struct descriptor *const *all = operations->values;
    for (int64_t i = 0; i < 4 * operations->count; i++) {
        int kind = kind_of(all[i / 4]), name = i % 4 < 3 ? operands[kind].in[i % 4] : operands[kind].out;
        struct descriptor *t = name ? member(all[i / 4], name) : NULL;
        if (!t) continue;
        free(t->value);
        t->value = NULL;
    }
}

/* What was stored must still be there: tensors lie apart from each other and from the library's part of the workspace. */
static void check_stored(const struct attribute *operations, const struct descriptor *pack) {
    struct descriptor *const *all = operations->values;
    for (int64_t i = 0; i < operations->count; i++) {
        struct descriptor *out = member(all[i], operands[kind_of(all[i])].out);
        if (is(out, CUDNN_ATTR_TENSOR_IS_VIRTUAL)) continue;
        size_t bytes = (size_t)elements(out) * sizeof *out->value;
        double *wanted = out->value;
        out->value = calloc(1, bytes);
        transfer(pack, out, 0);
        demand(memcmp(out->value, wanted, bytes) == 0, "tensors that overlap");
        free(wanted);
    }
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
    struct descriptor *p = plan, *v = pack;
    if (fails()) return CUDNN_STATUS_EXECUTION_FAILED;
    demand((void *)handle == &alive && p->finished && v->finished, "what a call needs is not finished");
    struct descriptor *graph = member(p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)->graph;
    const struct attribute *operations = find(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    int64_t given = load(operations, v);
    demand(given == find(v, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS)->count, "names that are not of the graph");
    run(operations, v);
    memset(*(void *const *)values_of(v, CUDNN_ATTR_VARIANT_PACK_WORKSPACE), 0xff, WORKSPACE);
    check_stored(operations, v);
    forget(operations);
    return CUDNN_STATUS_SUCCESS;
}
