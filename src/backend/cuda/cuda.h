/* The inside of a plan loaded on a GPU; shared by the files of this folder.
 *
 * One process has one GPU. All of its memory is allocated at load: the arena, the store's entries that are missing, workspace. A
 * segment is a list of launches on one stream; the host prepares nothing in between: what changes from step to step is in the step
 * block on the device. Inputs travel on a stream of their own (copy.c). */
#ifndef BACKEND_CUDA_CUDA_H
#define BACKEND_CUDA_CUDA_H

#include <cuda_runtime_api.h>

#include "backend/backend.h"
#include "backend/cuda/cudnn.h"

struct product;

/* ---- device.c ---- */

/* How many GPUs this process can use. */
int cuda_devices(void);
/* Which of them is this rank's. */
int cuda_number(const struct comm *comm, int count);

/* What all ranks have: survey.c; collective. */
struct gpu_survey {
    int found;            /* ranks that have a GPU */
    int lacking, sharing; /* the first rank that has none, or one that another rank has as well; NONE */
    int may_share;        /* all ranks have NCCL_HOSTID: NCCL then takes them for ranks of different hosts. For tests */
};
int cuda_survey(struct comm *comm, struct gpu_survey *survey);

/* 0, or the failure that `error` is, with what to do about it. `doing` completes "while …". */
int cuda_check(cudaError_t error, const char *doing);

/* Chooses this rank's GPU, once a process: among the GPUs of its host, by its number there. Fails where there is none that can be used. */
int cuda_open_device(const struct comm *comm);

/* Of the GPU that was chosen. */
const struct cudaDeviceProp *cuda_device(void);

/* struct backend's describe(): describe.c. */
int cuda_describe(const struct comm *comm, struct device_info *info);

/* struct backend's ceiling(): ceiling.c. In 0 seconds the maker's figure, 0 where the GPU is not known. */
double cuda_ceiling(enum ceiling kind, double seconds);

/* ---- the libraries for matrix products: blas.c ---- */

/* Opens cuBLASLt, once a process; its version in text. */
int cuda_open_blas(void);
const char *cuda_blas_version(void);

/* ---- matrix products: product.c ---- */

enum {
    PRODUCT_WORKSPACE = 32 << 20
}; /* bytes: what NVIDIA recommends on Hopper (cuBLAS documentation, cublasSetWorkspace) */

enum epilogue {
    EPILOGUE_NONE,
    EPILOGUE_BIAS, /* c = a b + bias */
    EPILOGUE_GELU, /* c = gelu(a b + bias), the bias where there is one; a b + bias itself in `aux` where there is that */
    EPILOGUE_GELU_GRAD /* c = (a b) * gelu'(aux) */
};

/* c[m,n] = scale * op(a)[m,k] op(b)[k,n] + (add ? before[m,n] : 0), all row-major, rows *_stride elements apart; a is stored [k,m]
 * where it is transposed, b [n,k]. Sums are float. `count` > 1: as many products at once, *_apart elements apart. */
struct product_shape {
    int64_t m, n, k;
    int a_transposed, b_transposed, add;
    int64_t a_stride, b_stride, c_stride, aux_stride;
    int64_t count, a_apart, b_apart, c_apart;
    enum dtype type, c_type; /* of a, b, bias and aux; of c and before */
    enum epilogue epilogue;
    int with_bias, with_aux;
    float scale;
};

struct product_data {
    const void *a, *b, *before, *bias;
    void *c, *aux;
};

/* Appends a product to the exec's list; its number is products->count - 1 then. Data are where they will be whenever it is run. */
int cuda_add_product(struct exec *exec, const struct product_shape *shape, const struct product_data *data);

/* Finds an algorithm for each, in the order of `exec->products`: what the cache knows, else what is fastest on rank 0. Runs products on
 * the exec's memory, and leaves what that brings there. */
int cuda_choose_algorithms(struct exec *exec);

/* struct backend's choices() and use_choices(). */
const char *cuda_choices(const struct exec *exec);
int cuda_use_choices(struct exec *exec, const char *choices, int *missing);

int cuda_run_product(struct exec *exec, int product);
void cuda_free_products(struct exec *exec);

/* ---- ops: ops.c ---- */

typedef void cuda_kernel(const struct kernel_args *args, cudaStream_t stream);

struct cuda_op {
    cuda_kernel *kernel[DTYPE_COUNT];                     /* by the type of values; */
    int64_t (*workspace)(const struct kernel_args *args); /* bytes that it needs there */
    int (*prepare)(struct exec *exec, int op,
                   int64_t *bytes);        /* or: adds the op's products, says the bytes of workspace, */
    int (*run)(struct exec *exec, int op); /* and runs it */
};

extern const struct cuda_op cuda_ops[];

/* Pieces of ops (kernels/cuda/kernels.h) for one type of values. */
struct cuda_pieces {
    void (*sum_rows)(const void *x, int64_t rows, int64_t columns, int add, float *out, void *workspace,
                     cudaStream_t stream);
    void (*gelu)(const void *x, int64_t n, void *y, cudaStream_t stream);
    void (*gelu_grad)(const void *dy, const void *x, int64_t n, void *dx, cudaStream_t stream);
    void (*swiglu)(const void *x, int64_t rows, int64_t width, void *y, cudaStream_t stream);
    void (*swiglu_grad)(const void *dy, const void *x, int64_t rows, int64_t width, void *dx, cudaStream_t stream);
    void (*softcap)(const void *x, int64_t n, double cap, void *y, cudaStream_t stream);
    void (*rope)(const struct kernel_args *a, int table, void *qkv, cudaStream_t stream);
    void (*xent_rows)(const struct kernel_args *a, const void *logits, const int32_t *targets, int64_t rows,
                      int64_t columns, float *lse, double *row_loss, cudaStream_t stream);
    void (*mean_loss)(const double *row_loss, const int32_t *targets, int64_t rows, double *loss, cudaStream_t stream);
    void (*xent_rows_grad)(const struct kernel_args *a, const void *logits, const int32_t *targets, const float *lse,
                           const double *loss, const double *dloss, int64_t rows, int64_t columns, double cap,
                           void *grad, cudaStream_t stream);
};

const struct cuda_pieces *cuda_pieces_of(enum dtype type);

/* Those that are made of products: linear.c, naive.c. */
int cuda_prepare_linear(struct exec *exec, int op, int64_t *bytes);
int cuda_run_linear(struct exec *exec, int op);
int cuda_prepare_linear_dx(struct exec *exec, int op, int64_t *bytes);
int cuda_run_linear_dx(struct exec *exec, int op);
int cuda_prepare_linear_dw(struct exec *exec, int op, int64_t *bytes);
int cuda_run_linear_dw(struct exec *exec, int op);
int cuda_prepare_head(struct exec *exec, int op, int64_t *bytes);
int cuda_run_head(struct exec *exec, int op);
int cuda_prepare_naive(struct exec *exec, int op, int64_t *bytes);
int cuda_run_naive(struct exec *exec, int op);
/* By cuDNN where that is asked for, else by the op's kernel: attention.c. */
int cuda_prepare_attention(struct exec *exec, int op, int64_t *bytes);
int cuda_run_attention(struct exec *exec, int op);
int cuda_prepare_cached_attention(struct exec *exec, int op, int64_t *bytes);
int cuda_run_cached_attention(struct exec *exec, int op);
void cuda_close_attention(struct exec *exec);

/* ---- copies: copy.c ---- */

enum { SLOTS = 16 }; /* inputs that may be on their way at once */

/* A ring of places for what the host writes: pinned on the host, and on the device. A copy goes to its place there on the stream
 * `stream` while the step computes, and from there to its buffer when the step has come so far. */
struct inputs {
    char *host, *device;
    int64_t slot_bytes;
    unsigned next;
    cudaStream_t stream;
    cudaEvent_t arrived[SLOTS], taken[SLOTS];
};

int64_t cuda_slot_bytes(const struct plan *plan); /* of a place */
int cuda_open_inputs(struct exec *exec);
void cuda_close_inputs(struct exec *exec);
int cuda_fill(struct exec *exec, void *memory, int byte, int64_t bytes);
int cuda_copy(struct exec *exec, int buf, int64_t offset, void *host, int64_t bytes, enum copy_direction direction);

/* ---- trace.c: when ops ran, by events of the device ---- */

struct timeline {
    struct trace *trace; /* NULL: nobody wants to know */
    cudaEvent_t anchor;  /* passed at anchor_s of clock_seconds() */
    double anchor_s;
    cudaEvent_t *events; /* two an op */
    int *ops, *of;       /* of: what a wait is for; NONE */
    int room, used;
};

int cuda_trace(struct exec *exec, struct trace *trace);
int cuda_mark_begin(struct exec *exec, int op);
int cuda_mark_end(struct exec *exec);
/* Once all that was marked has run. */
int cuda_report_marks(struct exec *exec);
void cuda_close_trace(struct exec *exec);

/* ---- wire.c: the communication ops, on a stream of their own ---- */

/* Words of the host that the device writes: how many messages it has begun, and finished; how many segments it has computed. */
enum { WORD_BEGUN, WORD_DONE, WORD_STEP, WORDS };
enum { REMEMBERED = 4096 }; /* newest starts */

struct channel {
    struct nccl *nccl; /* NULL: there is one rank */
    cudaStream_t stream;
    cudaEvent_t ready; /* what a start waits for: all that the step has computed so far */
    cudaEvent_t *done; /* of what is under way on each line */
    int *started;      /* which op that is; NONE: nothing was yet */
    int crowded;       /* ranks share this GPU, as tests do: then nothing is computed beside a message */
    struct comm_message *sends, *receives;
    int n_sends, n_receives;
    int64_t *counts; /* of a reduce-scatter */
    int64_t count;   /* of starts since load: the same on all ranks */
    int64_t segments;
    struct start {
        int op;
        int64_t step;
    } newest[REMEMBERED];
    volatile int64_t *words;
    int64_t *words_device;
    cudaEvent_t pace[2]; /* so that the host is never so far ahead that a launch would wait */
    int launched;
    struct comm_device device;
};

/* Meets the other ranks and makes room; collective. Nothing on one rank. */
int cuda_open_wire(struct exec *exec);
void cuda_close_wire(struct exec *exec);
/* Puts an op of LANE_COMM on its streams. */
int cuda_communicate(struct exec *exec, int op);
/* Where launches are many and the host may wait for other ranks: call before each. */
int cuda_keep_pace(struct exec *exec);
/* Puts a mark behind what the step has computed so far. */
void cuda_mark_step(struct exec *exec);

/* ---- run.c: launching op by op ---- */

int cuda_launch(struct exec *exec, int op);
int cuda_run_ops(struct exec *exec, enum segment segment);
int cuda_run_op(struct exec *exec, int op);
int cuda_wait(struct exec *exec);

/* ---- graph.c: struct backend's run(), with what was recorded where that is possible ---- */

int cuda_run(struct exec *exec, enum segment segment);
/* When what they would do has changed. */
void cuda_drop_graphs(struct exec *exec);

struct piece {
    int begin, end; /* ops */
    int outside;    /* they are launched one by one */
    cudaGraphExec_t graph;
};

struct recording { /* of a segment */
    int runs;      /* so far, as many as matter */
    int given_up;
    struct piece *pieces; /* NULL: not recorded */
    int count;
};

/* ---- await.c: the host waits for the device ---- */

/* Until all that the stream, or the event, was given is done. With other ranks no longer than comm->phase allows. `doing` completes "while …". */
int cuda_await_stream(struct exec *exec, cudaStream_t stream, const char *doing);
int cuda_await_event(struct exec *exec, cudaEvent_t event, const char *doing);

struct exec {
    const struct plan *plan;
    struct comm *comm;
    cudaStream_t stream;
    struct step_block block; /* as the host wrote it last */
    struct channel channel;
    char *arena, *workspace; /* workspace: of the op that runs */
    int64_t workspace_bytes;
    int *tables;           /* on the device: what attributes point to */
    void **data;           /* where each buffer is, on the device */
    struct op_attr *attrs; /* of each op, pointers into `tables` */
    struct kernel_args *args;
    enum dtype *types;  /* of each op's values */
    int *first_product; /* of each op */
    struct products {
        struct product *list;
        int count, room;
        char *choices; /* in text */
        char *others;  /* those of other ranks' products */
        char *workspace;
    } products;
    struct attention_graph { /* one a shape and direction */
        struct cudnn_attention_shape shape;
        int backward;
        struct cudnn_attention *graph;
    } * graphs;
    int n_graphs;
    struct cudnn_attention_call **calls; /* of each op; NULL: it has a kernel */
    struct inputs inputs;
    struct timeline timeline;
    struct recording recordings[SEG_COUNT];
    int recording; /* launches go into a graph, and do not run */
    int poison;
};

/* The stream that an op runs on: a start of communication has one of its own. */
static inline cudaStream_t cuda_stream_of(const struct exec *exec, int op) {
    return op_starts(&exec->plan->ops[op]) ? exec->channel.stream : exec->stream;
}

#endif
