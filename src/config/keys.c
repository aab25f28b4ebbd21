/* The table of all keys of a run's configuration. */
#include <float.h>

#include "config/schema.h"

/* A step is 32 bits of the key of every random draw. */
#define STEP_MAX 4294967295.0

static const char *const boolean_names[] = {"false", "true", NULL};
static const char *const backend_names[] = {
    [BACKEND_AUTO] = "auto", [BACKEND_CPU] = "cpu", [BACKEND_CUDA] = "cuda", [BACKEND_NULL] = "null", NULL};
static const char *const mixer_names[] = {[MIXER_ATTENTION] = "attention", NULL};
static const char *const ffn_names[] = {[FFN_GELU] = "gelu", [FFN_SWIGLU] = "swiglu", NULL};
static const char *const norm_names[] = {[NORM_LAYERNORM] = "layernorm", [NORM_RMSNORM] = "rmsnorm", NULL};
static const char *const norm_place_names[] = {[NORM_PRE] = "pre", [NORM_POST] = "post", NULL};
static const char *const position_names[] = {[POSITION_LEARNED] = "learned", [POSITION_ROPE] = "rope", NULL};
static const char *const rope_layout_names[] = {[ROPE_HALVES] = "halves", [ROPE_PAIRS] = "pairs", NULL};
static const char *const attention_impl_names[] = {
    [ATTENTION_IMPL_AUTO] = "auto", [ATTENTION_IMPL_OWN] = "own", [ATTENTION_IMPL_CUDNN] = "cudnn", NULL};
static const char *const attention_names[] = {[ATTENTION_FLASH] = "flash", [ATTENTION_NAIVE] = "naive", NULL};
static const char *const documents_names[] = {
    [DOCUMENTS_JOINED] = "joined", [DOCUMENTS_APART] = "apart", [DOCUMENTS_PACKED] = "packed", NULL};
static const char *const schedule_names[] = {[SCHEDULE_COSINE] = "cosine",
                                             [SCHEDULE_LINEAR] = "linear",
                                             [SCHEDULE_CONSTANT] = "constant",
                                             [SCHEDULE_WSD] = "wsd",
                                             NULL};
static const char *const precision_names[] = {
    [PRECISION_FP32] = "fp32", [PRECISION_FP64] = "fp64", [PRECISION_BF16] = "bf16", [PRECISION_FP16] = "fp16", NULL};
static const char *const loss_scaling_names[] = {
    [LOSS_SCALING_AUTO] = "auto", [LOSS_SCALING_DYNAMIC] = "dynamic", [LOSS_SCALING_OFF] = "off", NULL};
static const char *const recompute_names[] = {
    [RECOMPUTE_NONE] = "none",           [RECOMPUTE_BLOCK] = "block",   [RECOMPUTE_EVERY] = "every",
    [RECOMPUTE_SELECTIVE] = "selective", [RECOMPUTE_BUDGET] = "budget", NULL};
static const char *const reduce_names[] = {[REDUCE_TREE] = "tree", [REDUCE_VENDOR] = "vendor", NULL};
static const char *const wire_names[] = {[WIRE_FP32] = "fp32", [WIRE_BF16] = "bf16", NULL};
static const char *const progress_names[] = {[PROGRESS_POLL] = "poll", [PROGRESS_THREAD] = "thread", NULL};

#define AT(field) offsetof(struct config, field)

static const struct schema_key keys[] = {
    {"name", VALUE_TEXT, AT(name), "run", CLASS_RUN, "the run's folder in runs_dir", .low = 1, .high = CONFIG_TEXT - 1},
    {"runs_dir", VALUE_TEXT, AT(runs_dir), "runs", CLASS_RUN, "where runs are kept", .low = 1, .high = CONFIG_TEXT - 1},
    {"backend", VALUE_NAME, AT(backend), "auto", CLASS_RUN, "what computes", .names = backend_names},

    {"model.mixer", VALUE_NAME, AT(model.mixer), "attention", CLASS_ARCHITECTURE, "token mixer of every block",
     .names = mixer_names},
    {"model.ffn", VALUE_NAME, AT(model.ffn), "gelu", CLASS_ARCHITECTURE, "channel mixer of every block",
     .names = ffn_names},
    {"model.norm", VALUE_NAME, AT(model.norm), "layernorm", CLASS_ARCHITECTURE, "normalization", .names = norm_names},
    {"model.norm_place", VALUE_NAME, AT(model.norm_place), "pre", CLASS_ARCHITECTURE,
     "where a block normalizes: pre is before each mixer, post after the sum (no final norm)",
     .names = norm_place_names},
    {"model.norm_eps", VALUE_REAL, AT(model.norm_eps), "1e-05", CLASS_ARCHITECTURE, "added to a norm's mean square",
     .low = 0, .high = 1, .above_low = 1},
    {"model.position", VALUE_NAME, AT(model.position), "learned", CLASS_ARCHITECTURE, "how a token's place is told",
     .names = position_names},
    {"model.rope_theta", VALUE_REAL, AT(model.rope_theta), "10000", CLASS_ARCHITECTURE, "RoPE: base of its wavelengths",
     .low = 1, .high = 1e12, .above_low = 1},
    {"model.rope_layout", VALUE_NAME, AT(model.rope_layout), "halves", CLASS_ARCHITECTURE,
     "RoPE: channels that turn together: i and i + half (GPT-NeoX, Llama as in transformers), or 2i and 2i + 1 (GPT-J)",
     .names = rope_layout_names},
    {"model.rope_fraction", VALUE_REAL, AT(model.rope_fraction), "1", CLASS_ARCHITECTURE,
     "RoPE: part of a head's channels that turn", .low = 0, .high = 1, .above_low = 1},
    {"model.layers", VALUE_WHOLE, AT(model.layers), "4", CLASS_ARCHITECTURE, "blocks", .low = 1, .high = 1000},
    {"model.width", VALUE_WHOLE, AT(model.width), "128", CLASS_ARCHITECTURE, "channels between blocks", .low = 1,
     .high = 65536},
    {"model.heads", VALUE_WHOLE, AT(model.heads), "4", CLASS_ARCHITECTURE, "attention heads; must divide model.width",
     .low = 1, .high = 1024},
    {"model.kv_heads", VALUE_WHOLE, AT(model.kv_heads), "0", CLASS_ARCHITECTURE,
     "heads of keys and values, each for a group of heads (GQA; 1: MQA); 0: model.heads", .low = 0, .high = 1024},
    {"model.qk_norm", VALUE_BOOLEAN, AT(model.qk_norm), "false", CLASS_ARCHITECTURE,
     "RMSNorm of every head's queries and keys", .names = boolean_names},
    {"model.hidden", VALUE_WHOLE, AT(model.hidden), "0", CLASS_ARCHITECTURE,
     "channels inside the channel mixer; 0: 4 model.width, with swiglu 8/3 of it rounded up to 64", .low = 0,
     .high = 1048576},
    {"model.vocab", VALUE_WHOLE, AT(model.vocab), "256", CLASS_ARCHITECTURE, "different tokens", .low = 2,
     .high = 1000000},
    {"model.vocab_multiple", VALUE_WHOLE, AT(model.vocab_multiple), "1", CLASS_ARCHITECTURE,
     "the token table's rows are rounded up to a multiple of it, for speed; the rest is never trained or drawn",
     .low = 1, .high = 4096},
    {"model.context", VALUE_WHOLE, AT(model.context), "64", CLASS_ARCHITECTURE, "tokens that one position can look at",
     .low = 1, .high = 1048576},
    {"model.tie", VALUE_BOOLEAN, AT(model.tie), "true", CLASS_ARCHITECTURE, "one matrix embeds tokens and makes logits",
     .names = boolean_names},
    {"model.bias", VALUE_BOOLEAN, AT(model.bias), "true", CLASS_ARCHITECTURE, "linear layers and norms have biases",
     .names = boolean_names},
    {"model.logit_softcap", VALUE_REAL, AT(model.logit_softcap), "0", CLASS_ARCHITECTURE,
     "logits become c tanh(logits / c); 0: off", .low = 0, .high = 1e6},
    /* Not architecture: implementations of attention share their parameters and differ in rounding alone. */
    {"model.attention", VALUE_NAME, AT(model.attention), "flash", CLASS_TRAINING,
     "how attention is computed: flash holds a tile of its weights, naive all of them", .names = attention_names},
    {"model.attention_impl", VALUE_NAME, AT(model.attention_impl), "auto", CLASS_TRAINING,
     "on a GPU: flash attention by Lockstep's own kernels, or by cuDNN where it is installed; auto: own",
     .names = attention_impl_names},
    {"model.dropout.attention", VALUE_REAL, AT(model.dropout.attention), "0.1", CLASS_TRAINING,
     "chance to drop an attention weight", .low = 0, .high = 1, .below_high = 1},
    {"model.dropout.residual", VALUE_REAL, AT(model.dropout.residual), "0.1", CLASS_TRAINING,
     "chance to drop what a mixer adds to a channel", .low = 0, .high = 1, .below_high = 1},
    {"model.dropout.embedding", VALUE_REAL, AT(model.dropout.embedding), "0.1", CLASS_TRAINING,
     "chance to drop a channel of an embedded token", .low = 0, .high = 1, .below_high = 1},

    {"data.train", VALUE_LIST, AT(data.train), "stories", CLASS_TRAINING,
     "text or token files: a file, a folder, the built-in corpus (stories or stories:BYTES:SEED), or a list of these, "
     "each with a weight before it if you like: \"0.7 books, 0.3 web\"",
     .low = 1, .high = CONFIG_LIST - 1},
    {"data.val", VALUE_TEXT, AT(data.val), "0.1", CLASS_TRAINING,
     "a file, a folder, a fraction of data.train, or \"\" for none; stories hold out another seed", .low = 0,
     .high = CONFIG_TEXT - 1},
    {"data.tokenizer", VALUE_TEXT, AT(data.tokenizer), "auto", CLASS_TRAINING,
     "how text becomes tokens: bytes, a tokenizer file or folder, or auto (tokenizer.json beside the token files; else "
     "bytes)",
     .low = 1, .high = CONFIG_TEXT - 1},
    {"data.documents", VALUE_NAME, AT(data.documents), "joined", CLASS_TRAINING,
     "documents in one sequence: joined see each other, apart do not, packed are whole as well (for fine-tuning)",
     .names = documents_names},
    {"data.prefetch", VALUE_BOOLEAN, AT(data.prefetch), "true", CLASS_RUN,
     "a thread reads the next micro-batches while the device computes", .names = boolean_names},

    /* Not a matter of training: a run may be made longer, although that stretches the schedule. */
    {"train.steps", VALUE_WHOLE, AT(train.steps), "2000", CLASS_RUN, "steps in all", .low = 0, .high = STEP_MAX},
    {"train.slots", VALUE_WHOLE, AT(train.slots), "8", CLASS_TRAINING, "leaves of a step's sum: the most ranks",
     .low = 1, .high = 65536},
    {"train.micro_batch", VALUE_WHOLE, AT(train.micro_batch), "3", CLASS_TRAINING, "sequences computed at once",
     .low = 1, .high = 65536},
    {"train.micro_batches_per_slot", VALUE_WHOLE, AT(train.micro_batches_per_slot), "1", CLASS_TRAINING,
     "micro-batches accumulated in a slot", .low = 1, .high = 65536},
    {"train.seq_len", VALUE_WHOLE, AT(train.seq_len), "0", CLASS_TRAINING,
     "tokens a training sequence; 0: model.context", .low = 0, .high = 1048576},
    {"train.lr", VALUE_REAL, AT(train.lr), "0.001", CLASS_TRAINING, "highest learning rate", .low = 0, .high = 10,
     .above_low = 1},
    {"train.min_lr_ratio", VALUE_REAL, AT(train.min_lr_ratio), "0.1", CLASS_TRAINING,
     "last learning rate as a part of the highest", .low = 0, .high = 1},
    {"train.schedule", VALUE_NAME, AT(train.schedule), "cosine", CLASS_TRAINING, "learning rate after the warmup",
     .names = schedule_names},
    {"train.warmup", VALUE_WHOLE, AT(train.warmup), "100", CLASS_TRAINING, "steps in which the learning rate rises",
     .low = 0, .high = STEP_MAX},
    {"train.weight_decay", VALUE_REAL, AT(train.weight_decay), "0.01", CLASS_TRAINING, "AdamW: weight decay", .low = 0,
     .high = 1},
    {"train.betas", VALUE_PAIR, AT(train.betas), "[0.9, 0.999]", CLASS_TRAINING, "AdamW: decay of both moments",
     .low = 0, .high = 1, .below_high = 1},
    {"train.eps", VALUE_REAL, AT(train.eps), "1e-08", CLASS_TRAINING, "AdamW: added to the divisor", .low = 0,
     .high = SCHEMA_NO_LIMIT, .above_low = 1},
    {"train.clip", VALUE_REAL, AT(train.clip), "1", CLASS_TRAINING, "largest norm of the gradient; 0: off", .low = 0,
     .high = SCHEMA_NO_LIMIT},
    {"train.loss_clamp", VALUE_INTERVAL, AT(train.loss_clamp), "[0, 20]", CLASS_TRAINING,
     "a slot whose loss is outside adds no gradient", .low = -SCHEMA_NO_LIMIT, .high = SCHEMA_NO_LIMIT},
    {"train.seed", VALUE_WHOLE, AT(train.seed), "1337", CLASS_TRAINING, "of everything random", .low = 0,
     .high = 4294967295.0},
    {"train.precision", VALUE_NAME, AT(train.precision), "fp32", CLASS_TRAINING,
     "type of activations and products; bf16 and fp16 keep parameters, gradients and moments in fp32",
     .names = precision_names},
    {"train.loss_scaling", VALUE_NAME, AT(train.loss_scaling), "auto", CLASS_TRAINING,
     "gradients times a power of two that follows their size; auto: with fp16", .names = loss_scaling_names},
    {"train.loss_scale", VALUE_WHOLE, AT(train.loss_scale), "65536", CLASS_TRAINING, "its first value, a power of two",
     .low = 1, .high = 16777216},
    {"train.loss_scale_window", VALUE_WHOLE, AT(train.loss_scale_window), "2000", CLASS_TRAINING,
     "steps after which it is doubled", .low = 1, .high = SCHEMA_WHOLE_MAX},
    /* These change memory and time, never a bit. */
    {"train.recompute", VALUE_NAME, AT(train.recompute), "none", CLASS_RUN,
     "what the backward pass computes again to save memory: all inside a block, or inside every few blocks; norms, "
     "activations and attention (selective); as little as a budget asks for",
     .names = recompute_names},
    {"train.recompute_every", VALUE_WHOLE, AT(train.recompute_every), "2", CLASS_RUN, "recompute every: so many blocks",
     .low = 1, .high = 1000},
    {"train.recompute_budget_mb", VALUE_REAL, AT(train.recompute_budget_mb), "0", CLASS_RUN,
     "recompute budget: MiB that a rank may take, as 'lockstep plan' counts its total", .low = 0,
     .high = SCHEMA_NO_LIMIT},
    {"train.compile", VALUE_BOOLEAN, AT(train.compile), "true", CLASS_RUN,
     "passes that make the plan faster and smaller; false: the plain plan, with a buffer for every value",
     .names = boolean_names},
    {"train.graphs", VALUE_BOOLEAN, AT(train.graphs), "true", CLASS_RUN,
     "on a GPU, with train.compile: each part of a step is recorded once as a graph and launched as one; false: op by "
     "op",
     .names = boolean_names},
    /* What training starts from is in its first checkpoint; a run that goes on does not look at it again. */
    {"train.stage", VALUE_WHOLE, AT(train.stage), "1", CLASS_RUN,
     "1 starts from random weights, 2 from those of train.init_from, whose architecture it must have", .low = 1,
     .high = 2},
    {"train.init_from", VALUE_TEXT, AT(train.init_from), "", CLASS_RUN,
     "stage 2: the checkpoint, or the run, whose weights to start from; the optimizer starts anew", .low = 0,
     .high = CONFIG_TEXT - 1},
    {"train.eval_every", VALUE_WHOLE, AT(train.eval_every), "250", CLASS_RUN, "steps between evaluations; 0: never",
     .low = 0, .high = SCHEMA_WHOLE_MAX},
    {"train.eval_batches", VALUE_WHOLE, AT(train.eval_batches), "20", CLASS_RUN,
     "micro-batches of an evaluation; 0: all that the text gives", .low = 0, .high = SCHEMA_WHOLE_MAX},

    {"fuse.norm", VALUE_BOOLEAN, AT(fuse.norm), "true", CLASS_RUN, "a sum and the norm after it are one op",
     .names = boolean_names},
    {"fuse.gelu", VALUE_BOOLEAN, AT(fuse.gelu), "true", CLASS_RUN,
     "a product, its bias and GELU are one op, and their gradients another", .names = boolean_names},
    {"fuse.epilogue", VALUE_BOOLEAN, AT(fuse.epilogue), "false", CLASS_TRAINING,
     "on a GPU, in bf16 and fp16: with fuse.gelu cuBLASLt's product itself makes the GELU, from sums that are not "
     "rounded yet",
     .names = boolean_names},
    {"fuse.swiglu", VALUE_BOOLEAN, AT(fuse.swiglu), "true", CLASS_RUN,
     "a product and SwiGLU are one op, and their gradients another", .names = boolean_names},
    {"fuse.rope", VALUE_BOOLEAN, AT(fuse.rope), "true", CLASS_RUN,
     "the product that makes queries and keys turns them too", .names = boolean_names},
    {"fuse.head", VALUE_BOOLEAN, AT(fuse.head), "false", CLASS_TRAINING,
     "the last matrix and the loss are one op, which holds the logits of an eighth of the rows at a time",
     .names = boolean_names},
    {"fuse.loss", VALUE_BOOLEAN, AT(fuse.loss), "true", CLASS_RUN,
     "softmax and loss are one op, and logits become their gradient in place; with fuse.head they are anyway",
     .names = boolean_names},
    {"fuse.adamw", VALUE_BOOLEAN, AT(fuse.adamw), "true", CLASS_RUN, "the update is one op, not one for each parameter",
     .names = boolean_names},

    {"dist.zero", VALUE_WHOLE, AT(dist.zero), "0", CLASS_RUN,
     "ZeRO stage: what ranks shard (0: nothing; 1: the optimizer's state; 2: gradients too)", .low = 0, .high = 2},
    {"dist.reduce", VALUE_NAME, AT(dist.reduce), "tree", CLASS_TRAINING,
     "how gradients are added over ranks: in the fixed tree, or by the library (bits then depend on ranks)",
     .names = reduce_names},
    {"dist.bucket_mb", VALUE_REAL, AT(dist.bucket_mb), "25", CLASS_RUN,
     "MiB of gradients sent at once; more where that makes above 1024 buckets", .low = 0, .high = 1024, .above_low = 1},
    {"dist.overlap", VALUE_BOOLEAN, AT(dist.overlap), "true", CLASS_RUN,
     "communication goes on while the ranks compute; false: each waits where it starts", .names = boolean_names},
    {"dist.progress", VALUE_NAME, AT(dist.progress), "poll", CLASS_RUN,
     "what moves messages on meanwhile: a look after each op, or a thread", .names = progress_names},
    {"dist.wire", VALUE_NAME, AT(dist.wire), "fp32", CLASS_TRAINING,
     "type of gradients on the network; bf16 with dist.reduce: vendor only", .names = wire_names},
    {"dist.timeout_s", VALUE_REAL, AT(dist.timeout_s), "600", CLASS_RUN,
     "seconds that ranks wait for another before the job ends; 0: for ever", .low = 0, .high = 1e6},

    {"ckpt.every", VALUE_WHOLE, AT(ckpt.every), "500", CLASS_RUN, "steps between checkpoints; 0: only at the end",
     .low = 0, .high = SCHEMA_WHOLE_MAX},
    {"ckpt.keep", VALUE_WHOLE, AT(ckpt.keep), "3", CLASS_RUN, "newest checkpoints kept; 0: all", .low = 0,
     .high = INT32_MAX},
    {"ckpt.keep_every", VALUE_WHOLE, AT(ckpt.keep_every), "0", CLASS_RUN,
     "steps between checkpoints that are kept beside the newest; 0: none", .low = 0, .high = SCHEMA_WHOLE_MAX},
    {"ckpt.keep_best", VALUE_WHOLE, AT(ckpt.keep_best), "0", CLASS_RUN,
     "checkpoints kept beside them whose states had the lowest validation losses, as train.eval_every finds them",
     .low = 0, .high = INT32_MAX},

    {"ckpt.async", VALUE_BOOLEAN, AT(ckpt.async), "true", CLASS_RUN,
     "write checkpoints beside training, from a copy of the state", .names = boolean_names},
    {"ckpt.direct", VALUE_BOOLEAN, AT(ckpt.direct), "true", CLASS_RUN,
     "write checkpoints past the page cache, where the file system can", .names = boolean_names},
    {"ckpt.last", VALUE_BOOLEAN, AT(ckpt.last), "true", CLASS_RUN, "save the state after the last step",
     .names = boolean_names},
    {"ckpt.timeout_s", VALUE_REAL, AT(ckpt.timeout_s), "3600", CLASS_RUN,
     "dist.timeout_s while a run starts and while the files of a checkpoint are written; 0: for ever", .low = 0,
     .high = 1e6},

    {"guard.every", VALUE_WHOLE, AT(guard.every), "0", CLASS_RUN,
     "steps between comparisons of what ranks hold; 0: never", .low = 0, .high = SCHEMA_WHOLE_MAX},
    {"guard.audit_every", VALUE_WHOLE, AT(guard.audit_every), "0", CLASS_RUN,
     "steps between slots that a second rank computes, too; 0: never", .low = 0, .high = SCHEMA_WHOLE_MAX},
    {"guard.max_skipped", VALUE_WHOLE, AT(guard.max_skipped), "10", CLASS_RUN,
     "skipped steps in a row that a run bears; one more ends it", .low = 0, .high = SCHEMA_WHOLE_MAX},
};
_Static_assert(sizeof keys / sizeof keys[0] <= SCHEMA_MAX_KEYS, "raise SCHEMA_MAX_KEYS");

const struct schema config_schema = {keys, sizeof keys / sizeof keys[0], sizeof(struct config),
                                     "lockstep train --help-config"};
