/* Which of cuDNN's engines runs a graph of attention, and running it. */
#include "backend/cuda/cudnn_graph.h"

#ifdef CUDNN_HEADERS

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

typedef cudnnBackendDescriptor_t descriptor;

enum {
    MAX_CONFIGURATIONS = 32, /* that one of the library's heuristics names for a graph */
    MAX_KNOBS = 32,
    ROUND = 256, /* bytes: to where parts of the workspace are rounded up */
};

struct cudnn_attention {
    const struct cudnn *library;
    struct cudnn_attention_shape shape;
    int backward;
    struct cudnn_graph graph;
    descriptor configuration, plan;
    float scale;
    int64_t engine_bytes, delta_bytes, sum_bytes; /* the parts of the workspace, in this order, each rounded up */
    char text[256];
};

struct cudnn_attention_call {
    const struct cudnn_attention *attention;
    descriptor pack; /* of the addresses of all tensors */
};

static int check_shape(const struct cudnn_attention_shape *s) {
    if (s->batch < 1 || s->time < 1 || s->heads < 1 || s->kv_heads < 1 || s->size < 1)
        return fail(STATUS_USAGE, "attention by cuDNN: batch, time, heads and their size must be at least 1");
    if (s->heads % s->kv_heads)
        return fail(STATUS_USAGE, "attention by cuDNN: %lld heads do not share %lld heads of keys evenly",
                    (long long)s->heads, (long long)s->kv_heads);
    if (s->type != DTYPE_BF16 && s->type != DTYPE_F16)
        return fail(STATUS_USAGE, "attention by cuDNN: values must be bf16 or f16, not %s", dtype_name(s->type));
    if (s->size % 8)
        return fail(STATUS_USAGE, "attention by cuDNN: heads must have a multiple of 8 channels, not %lld",
                    (long long)s->size);
    return 0;
}

static descriptor create(const struct cudnn *library, cudnnBackendDescriptorType_t type) {
    descriptor made = NULL;
    return cudnn_check(library, library->BackendCreateDescriptor(type, &made), "creating a descriptor") ? NULL : made;
}

static void destroy(const struct cudnn *library, descriptor d) {
    if (d) library->BackendDestroyDescriptor(d);
}

/* How many values of an attribute were read, at most `count`; -1: the library does not tell. */
static int64_t get(const struct cudnn *library, descriptor d, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, int64_t count, void *values) {
    int64_t got = 0;
    if (!d || library->BackendGetAttribute(d, name, type, count, &got, values)) return -1;
    return got < count ? got : count;
}

/* " knobs 24=26 14=-1": the settings of an engine, written behind `used` characters of text; whether it could. */
static int describe_knobs(const struct cudnn *library, descriptor configuration, char *text, size_t size, size_t used) {
    descriptor knobs[MAX_KNOBS];
    int made = 0, known = 1;
    while (made < MAX_KNOBS && (knobs[made] = create(library, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR))) made++;
    int64_t count = made < MAX_KNOBS ? -1
                                     : get(library, configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                           CUDNN_TYPE_BACKEND_DESCRIPTOR, made, knobs);
    for (int64_t i = 0; i < count && used < size; i++) {
        cudnnBackendKnobType_t type = 0;
        int64_t value = 0;
        known &= get(library, knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type) == 1;
        known &= get(library, knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value) == 1;
        used +=
            (size_t)snprintf(text + used, size - used, "%s %d=%lld", i ? "" : " knobs", (int)type, (long long)value);
    }
    known &= count >= 0 && used < size;
    while (made) destroy(library, knobs[--made]);
    return known;
}

/* Writes a->text for a configuration, and whether its engine says that it is not deterministic; whether it could. */
static int describe(struct cudnn_attention *a, descriptor configuration, int *varies) {
    const struct cudnn *library = a->library;
    size_t version = library->GetVersion();
    int64_t engine = -1;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    descriptor d = create(library, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    int known = d &&
                get(library, configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &d) == 1 &&
                get(library, d, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &engine) == 1;
    int64_t count = get(library, d, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                        CUDNN_NUMERICAL_NOTE_TYPE_COUNT, notes);
    *varies = 0;
    for (int64_t i = 0; i < count; i++) *varies |= notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    destroy(library, d);
    int used = snprintf(a->text, sizeof a->text, "cuDNN %zu.%zu.%zu engine %lld", version / 10000, version / 100 % 100,
                        version % 100, (long long)engine);
    return known && count >= 0 && describe_knobs(library, configuration, a->text, sizeof a->text, (size_t)used);
}

/* Compiles the engine of a configuration. Without a device the last step of it, loading the kernel, cannot be done: that
 * step's failure then stands for success, and *plan stays NULL. */
static int make_plan(const struct cudnn *library, descriptor configuration, descriptor *plan) {
    descriptor made = create(library, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    if (!made) return STATUS_FAILED;
    cudnnStatus_t status = library->BackendSetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &configuration);
    if (!status) status = library->BackendFinalize(made);
    if (!status) {
        *plan = made;
        return 0;
    }
    destroy(library, made);
    if (!library->handle && status == CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER) return 0;
    return cudnn_check(library, status, "making the plan of an engine");
}

/* Whether this configuration is the one: then a has its plan and owns it. Where it is not, `reason` says why. */
static int take(struct cudnn_attention *a, descriptor configuration, const char *choice, char *reason, size_t size) {
    const struct cudnn *library = a->library;
    int varies;
    if (!describe(a, configuration, &varies))
        return snprintf(reason, size, "%s does not tell its settings", a->text), 0;
    if (choice && strcmp(choice, a->text)) return snprintf(reason, size, "it names %s", a->text), 0;
    if (varies && a->shape.deterministic) return snprintf(reason, size, "%s is not deterministic", a->text), 0;
    if (make_plan(library, configuration, &a->plan)) return snprintf(reason, size, "%s", fail_message()), 0;
    int64_t known =
        a->plan
            ? get(library, a->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &a->engine_bytes)
            : get(library, configuration, CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &a->engine_bytes);
    if (known == 1) {
        a->configuration = configuration;
        return 1;
    }
    destroy(library, a->plan);
    a->plan = NULL;
    return snprintf(reason, size, "%s does not tell its workspace", a->text), 0;
}

/* The configurations that one of the heuristics names, best first; as many descriptors as are counted are the caller's.
 * `configurations` has room for MAX_CONFIGURATIONS. */
static int ask(const struct cudnn_attention *a, cudnnBackendHeurMode_t mode, descriptor *configurations,
               int64_t *count) {
    const struct cudnn *library = a->library;
    *count = 0;
    descriptor d = create(library, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    if (!d) return STATUS_FAILED;
    cudnnStatus_t status = library->BackendSetAttribute(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &a->graph.whole);
    if (!status) status = library->BackendSetAttribute(d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (!status && library->properties)
        status = library->BackendSetAttribute(d, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                              &library->properties);
    if (!status) status = library->BackendFinalize(d);
    int64_t room = 0, got = 0;
    while (!status && room < MAX_CONFIGURATIONS &&
           (configurations[room] = create(library, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)))
        room++;
    if (!status && room < MAX_CONFIGURATIONS) status = CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    if (!status)
        status = library->BackendGetAttribute(d, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, room,
                                              &got, configurations);
    int failed = cudnn_check(library, status, "asking for engines");
    if (!failed) *count = got < room ? got : room;
    for (int64_t i = *count; i < room; i++) destroy(library, configurations[i]);
    destroy(library, d);
    return failed;
}

/* The first configuration that works, or the chosen one. */
static int choose_engine(struct cudnn_attention *a, const char *choice) {
    const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    const struct cudnn_attention_shape *s = &a->shape;
    char reason[512] = "it names none";
    int named = 0;
    for (int m = 0; m < 2 && !a->configuration; m++) {
        descriptor configurations[MAX_CONFIGURATIONS];
        int64_t count;
        /* What says more is why an engine that was named does not work. */
        if (ask(a, modes[m], configurations, &count) && !named) snprintf(reason, sizeof reason, "%s", fail_message());
        for (int64_t i = 0; i < count; i++) {
            if (a->configuration || !take(a, configurations[i], choice, reason, sizeof reason))
                destroy(a->library, configurations[i]);
        }
        named += count > 0;
    }
    if (a->configuration) return 0;
    if (choice) return fail(STATUS_USAGE, "attention by cuDNN: there is no engine \"%s\" (%s)", choice, reason);
    return fail(STATUS_USAGE,
                "attention by cuDNN: no engine for the %s pass of batch %lld, time %lld, heads %lld and %lld of %lld "
                "channels, %s%s: %s",
                a->backward ? "backward" : "forward", (long long)s->batch, (long long)s->time, (long long)s->heads,
                (long long)s->kv_heads, (long long)s->size, dtype_name(s->type),
                s->deterministic ? ", deterministic" : "", reason);
}

static int64_t round_up(int64_t bytes) { return (bytes + ROUND - 1) / ROUND * ROUND; }

static int prepare(struct cudnn_attention *a, const char *choice) {
    const struct cudnn_attention_shape *s = &a->shape;
    TRY(graph_of_attention(&a->graph, s, a->backward));
    TRY(choose_engine(a, choice));
    if (!a->backward) return 0;
    a->delta_bytes = s->batch * s->heads * s->time * (int64_t)sizeof(float);
    if (!s->deterministic) a->sum_bytes = a->delta_bytes * s->size;
    return 0;
}

int cudnn_attention_make(struct cudnn *library, const struct cudnn_attention_shape *shape, int backward,
                         const char *choice, struct cudnn_attention **graph) {
    *graph = NULL;
    TRY(check_shape(shape));
    struct cudnn_attention *a = calloc(1, sizeof *a);
    if (!a) return fail(STATUS_FAILED, "out of memory");
    a->library = a->graph.library = library;
    a->shape = *shape;
    a->backward = backward;
    a->scale = (float)shape->scale;
    int status = prepare(a, choice);
    if (status)
        cudnn_attention_free(a);
    else
        *graph = a;
    return status;
}

void cudnn_attention_free(struct cudnn_attention *a) {
    if (!a) return;
    destroy(a->library, a->plan);
    destroy(a->library, a->configuration);
    graph_free(&a->graph);
    free(a);
}

int64_t cudnn_attention_workspace(const struct cudnn_attention *a) {
    return round_up(a->engine_bytes) + round_up(a->delta_bytes) + round_up(a->sum_bytes);
}

const char *cudnn_attention_describe(const struct cudnn_attention *a) { return a->text; }

/* Where each tensor lies; NULL: this graph has none of the name. cuDNN takes addresses that it may write to. */
static void place_tensors(const struct cudnn_attention *a, const struct cudnn_attention_operands *at,
                          void *address[TENSOR_END]) {
    static const float one = 1, unseen = -INFINITY;
    const struct cudnn_attention_shape *s = &a->shape;
    int64_t head = s->size * 2, k = s->heads * head, v = k + s->kv_heads * head; /* bytes; values have two */
    char *qkv = (char *)(uintptr_t)at->qkv, *workspace = (char *)at->workspace + round_up(a->engine_bytes);
    memset(address, 0, TENSOR_END * sizeof *address);
    address[TENSOR_Q] = qkv;
    address[TENSOR_K] = qkv + k;
    address[TENSOR_V] = qkv + v;
    address[TENSOR_O] = at->o;
    address[TENSOR_LSE] = at->lse;
    address[TENSOR_SCALE] = (void *)(uintptr_t)&a->scale;
    address[TENSOR_UNSEEN] = (void *)(uintptr_t)&unseen;
    if (!a->backward) return;
    address[TENSOR_DO] = (void *)(uintptr_t)at->d_o;
    address[TENSOR_DQ] = at->dqkv;
    address[TENSOR_DK] = (char *)at->dqkv + k;
    address[TENSOR_DV] = (char *)at->dqkv + v;
    address[TENSOR_DELTA] = workspace;
    if (a->sum_bytes) address[TENSOR_DQ_SUM] = workspace + round_up(a->delta_bytes);
    address[TENSOR_ONE] = (void *)(uintptr_t)&one;
}

static int aligned(const void *address, uintptr_t bytes) { return address && (uintptr_t)address % bytes == 0; }

static int check_operands(const struct cudnn_attention *a, const struct cudnn_attention_operands *at) {
    if (!aligned(at->qkv, 16) || !aligned(at->o, 16) || !aligned(at->lse, 16) ||
        (a->backward && (!aligned(at->d_o, 16) || !aligned(at->dqkv, 16))))
        return fail(STATUS_FAILED, "attention by cuDNN: an operand is missing or does not begin at 16 bytes");
    if (cudnn_attention_workspace(a) && !aligned(at->workspace, ROUND))
        return fail(STATUS_FAILED, "attention by cuDNN: the workspace is missing or does not begin at %d bytes", ROUND);
    return 0;
}

static int make_pack(const struct cudnn_attention *a, const struct cudnn_attention_operands *at, descriptor pack) {
    const struct cudnn *library = a->library;
    void *all[TENSOR_END], *addresses[TENSOR_END], *workspace = at->workspace;
    int64_t names[TENSOR_END], count = 0;
    place_tensors(a, at, all);
    for (int64_t id = 0; id < TENSOR_END; id++) {
        if (!all[id]) continue;
        names[count] = id;
        addresses[count++] = all[id];
    }
    TRY(cudnn_check(
        library, library->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, names),
        "naming operands"));
    TRY(cudnn_check(library,
                    library->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                                                 count, addresses),
                    "placing operands"));
    TRY(cudnn_check(
        library,
        library->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace),
        "placing the workspace"));
    return cudnn_check(library, library->BackendFinalize(pack), "binding operands");
}

int cudnn_attention_bind(const struct cudnn_attention *a, const struct cudnn_attention_operands *operands,
                         struct cudnn_attention_call **call) {
    *call = NULL;
    TRY(check_operands(a, operands));
    descriptor pack = create(a->library, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    if (!pack) return STATUS_FAILED;
    int status = make_pack(a, operands, pack);
    struct cudnn_attention_call *made = status ? NULL : malloc(sizeof *made);
    if (!status && !made) status = fail(STATUS_FAILED, "out of memory");
    if (status) {
        destroy(a->library, pack);
        return status;
    }
    *made = (struct cudnn_attention_call){a, pack};
    *call = made;
    return 0;
}

void cudnn_attention_unbind(struct cudnn_attention_call *call) {
    if (!call) return;
    destroy(call->attention->library, call->pack);
    free(call);
}

int cudnn_attention_run(const struct cudnn_attention_call *call, void *stream) {
    const struct cudnn_attention *a = call->attention;
    const struct cudnn *library = a->library;
    if (!library->handle) return fail(STATUS_FAILED, "attention by cuDNN: there is no device");
    TRY(cudnn_check(library, library->SetStream(library->handle, stream), "choosing the stream"));
    return cudnn_check(library, library->BackendExecute(library->handle, a->plan, call->pack), "running attention");
}

#endif
