/* Reading the configuration: every message word for word. */
#include "config_case.h"

#include <math.h>
#include <unistd.h>

struct refusal {
    const char *text, *message;
};

static void refuse_files(const struct refusal *refusals, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct config config, defaults;
        config_defaults(&defaults);
        assert_int_equal(load(&config, refusals[i].text), STATUS_USAGE);
        assert_string_equal(fail_message(), refusals[i].message);
        for (int k = 0; k < config_schema.count; k++)
            assert_true(same_bits(&config_schema.keys[k], &config, &defaults));
    }
}

/* Refuses a value and expects `message`, and that nothing has changed. */
static void refuse(const char *key, const char *value, const char *message) {
    struct config config, defaults;
    config_defaults(&config);
    config_defaults(&defaults);
    assert_int_equal(config_set(&config, key, value, "--set"), STATUS_USAGE);
    assert_string_equal(fail_message(), message);
    for (int k = 0; k < config_schema.count; k++) assert_true(same_bits(&config_schema.keys[k], &config, &defaults));
}

static void every_key_is_whole(void **state) {
    (void)state;
    struct config defaults;
    config_defaults(&defaults);
    for (int i = 0; i < config_schema.count; i++) {
        const struct schema_key *key = &config_schema.keys[i];
        struct config read;
        memset(&read, 0x5A, sizeof read);
        if (schema_read(key, key->initial, &read)) fail_msg("default of %s", fail_message());
        assert_true(same_bits(key, &read, &defaults));
        assert_true(strlen(key->name) < SCHEMA_NAME);
        assert_true(strlen(key->help) > 5);
        assert_ptr_equal(schema_find(&config_schema, key->name), key); /* no second row of that name */
        assert_false(schema_is_section(&config_schema, key->name));
        assert_true(key->offset + field_size(key) <= sizeof(struct config));
        for (int j = 0; j < i; j++)
            assert_true(config_schema.keys[j].offset + field_size(&config_schema.keys[j]) <= key->offset ||
                        key->offset + field_size(key) <= config_schema.keys[j].offset);
        if (key->type == VALUE_NAME || key->type == VALUE_BOOLEAN) assert_non_null(key->names);
        char about[SCHEMA_RANGE];
        schema_describe(key, about);
        assert_in_range(strlen(about), 1, SCHEMA_RANGE - 2);
    }
    /* What the fields take up, gaps for alignment aside: no field of struct config is without a key. */
    size_t taken = 0;
    for (int i = 0; i < config_schema.count; i++) taken += field_size(&config_schema.keys[i]);
    assert_in_range(sizeof(struct config) - taken, 0, 8 * 8 - 1);
    assert_int_equal(config_check(&defaults), 0);
}

static void defaults_are_the_documented_ones(void **state) {
    (void)state;
    struct config defaults, documented;
    memset(&documented, 0x5A, sizeof documented);
    config_defaults(&defaults);
    static const char text[] =
        "{name: run, runs_dir: runs, backend: auto,\n"
        "model: {mixer: attention, ffn: gelu, norm: layernorm, norm_place: pre, position: learned, attention: flash, "
        "attention_impl: auto,\n"
        "  norm_eps: 1.0e-5, rope_theta: 10000, rope_layout: halves, rope_fraction: 1, qk_norm: false, kv_heads: 0,\n"
        "  layers: 4, width: 128, heads: 4, hidden: 0, vocab: 256, context: 64, tie: true, bias: true,\n"
        "  vocab_multiple: 1, logit_softcap: 0,\n"
        "  dropout: {attention: 0.1, residual: 0.1, embedding: 0.1}},\n"
        "data: {train: stories, val: 0.1, tokenizer: auto, documents: joined, prefetch: true},\n"
        "train: {steps: 2000, slots: 8, micro_batch: 3, micro_batches_per_slot: 1, seq_len: 0, lr: 1.0e-3,\n"
        "  min_lr_ratio: 0.1, schedule: cosine, warmup: 100, weight_decay: 0.01, betas: [0.9, 0.999], eps: 1.0e-8,\n"
        "  clip: 1.0, loss_clamp: [0, 20], seed: 1337, precision: fp32, recompute: none, eval_every: 250,\n"
        "  loss_scaling: auto, loss_scale: 65536, loss_scale_window: 2000, recompute_every: 2, recompute_budget_mb: 0, "
        "compile: true, graphs: true, stage: 1, init_from: '',\n"
        "  eval_batches: 20},\n"
        "fuse: {norm: true, gelu: true, epilogue: false, swiglu: true, rope: true, head: false, loss: true, adamw: "
        "true},\n"
        "dist: {zero: 0, reduce: tree, bucket_mb: 25, wire: fp32, overlap: true, progress: poll, timeout_s: 600}, "
        "ckpt: {every: 500, "
        "keep: 3, keep_every: 0, keep_best: 0, async: true, direct: true, "
        "last: true, timeout_s: 3600},\n"
        "guard: {every: 0, audit_every: 0, max_skipped: 10}}\n";
    assert_int_equal(config_load_text(&documented, text, strlen(text), "text"), 0);
    for (int i = 0; i < config_schema.count; i++)
        if (!same_bits(&config_schema.keys[i], &defaults, &documented))
            fail_msg("%s has another default", config_schema.keys[i].name);
}

static void files_in_all_forms(void **state) {
    (void)state;
    struct config c;
    load_well(&c, "name: shakespeare\n"
                  "backend: auto # cpu\n"
                  "model:  {layers: 6, width: 192, heads: 6, hidden: 512, tie: no,\n"
                  "         dropout: {attention: 0, embedding: 0.5}}\n"
                  "data: {train: [\"a b.txt\", 0.5 c/d], val: 0.1}\n"
                  "train:\n"
                  "  steps: 1e6\n"
                  "  lr: +6.0e-4\n"
                  "  betas:\n"
                  "  - 0.9\n"
                  "  - 0.95\n"
                  "  loss_clamp: [-1, 1.5e1]\n"
                  "train.seed: 7\n"
                  "model.dropout.residual: .25\n"
                  "dist:\n"
                  "guard: ~\n");
    assert_string_equal(c.name, "shakespeare");
    assert_int_equal(c.model.layers, 6);
    assert_int_equal(c.model.tie, 0);
    assert_int_equal(c.model.bias, 1);
    assert_true(c.model.dropout.attention == 0 && c.model.dropout.residual == 0.25 && c.model.dropout.embedding == 0.5);
    assert_string_equal(c.data.train, "a b.txt, 0.5 c/d");
    assert_int_equal(c.train.steps, 1000000);
    assert_true(c.train.lr == 6e-4);
    assert_true(c.train.betas[0] == 0.9 && c.train.betas[1] == 0.95);
    assert_true(c.train.loss_clamp[0] == -1 && c.train.loss_clamp[1] == 15);
    assert_int_equal(c.train.seed, 7);
    assert_int_equal(c.train.slots, 8);
    load_well(&c, "{}\n");
    load_well(&c, "%YAML 1.1\n---\ntrain: {loss_clamp: off}\n...\n");
    assert_true(c.train.loss_clamp[0] == -INFINITY && c.train.loss_clamp[1] == INFINITY);
    load_well(&c, "backend: null\n");
    assert_int_equal(c.backend, BACKEND_NULL);

    load_well(&c, "train: {lr: 0.5}\n");
    assert_int_equal(config_load_text(&c, "model: {layers: 9}", 18, "second"), 0); /* leaves other keys alone */
    assert_true(c.train.lr == 0.5);
    assert_int_equal(c.model.layers, 9);

    static const char *const booleans[] = {"true", "false", "yes", "no", "on", "off", "True", "FALSE"};
    for (size_t i = 0; i < LENGTH(booleans); i++) {
        c.model.tie = 2;
        set(&c, "model.tie", booleans[i]);
        assert_int_equal(c.model.tie, i % 2 == 0);
    }
}

static void unknown_keys(void **state) {
    (void)state;
    static const struct refusal files[] = {
        {"train:\n  lrr: 1\n", "run.yaml:2: unknown key 'train.lrr'; did you mean 'train.lr'?"},
        {"lr: 1\n", "run.yaml:1: unknown key 'lr'; did you mean 'train.lr'?"},
        {"name: x\ntrian:\n  lr: 1\n", "run.yaml:3: unknown key 'trian.lr'; did you mean 'train.lr'?"},
        {"optimizer:\n  lr: 1\n", "run.yaml:2: unknown key 'optimizer.lr'; did you mean 'train.lr'?"},
        {"modle.width: {}\n", "run.yaml:1: unknown key 'modle.width'; did you mean 'model.width'?"},
        {"model:\n  dropout:\n    resid: 0.1\n",
         "run.yaml:3: unknown key 'model.dropout.resid'; did you mean 'model.dropout.residual'?"},
        {"train: {lrr: [1, 2]}\n", "run.yaml:1: unknown key 'train.lrr'; did you mean 'train.lr'?"},
        {"train: {lrr: }\n", "run.yaml:1: unknown key 'train.lrr'; did you mean 'train.lr'?"},
        {"zzzzzzzzzz: 1\n", "run.yaml:1: unknown key 'zzzzzzzzzz'; `lockstep train --help-config` prints all keys"},
        {"<<: 1\n", "run.yaml:1: unknown key '<<'; `lockstep train --help-config` prints all keys"},
        /* planned, and not there yet */
        {"ckpt: {asynk: true}\n", "run.yaml:1: unknown key 'ckpt.asynk'; did you mean 'ckpt.async'?"},
        {"model: {kv_head: 4}\n", "run.yaml:1: unknown key 'model.kv_head'; did you mean 'model.kv_heads'?"},
    };
    refuse_files(files, LENGTH(files));

    char message[512];
    static const struct refusal nearest[] = {{"warmpu", "train.warmup"},
                                             {"micro_batches", "train.micro_batch"},
                                             {"hidden", "model.hidden"},
                                             {"run_dir", "runs_dir"},
                                             {"dist.bucketmb", "dist.bucket_mb"},
                                             {"train.layers", "model.layers"},
                                             {"dropout.residual", "model.dropout.residual"},
                                             {"residual", "model.dropout.residual"}};
    for (size_t i = 0; i < LENGTH(nearest); i++) {
        snprintf(message, sizeof message, "--set: unknown key '%s'; did you mean '%s'?", nearest[i].text,
                 nearest[i].message);
        refuse(nearest[i].text, "1", message);
    }
    for (int k = 0; k < config_schema.count; k++) { /* every key is found with its last letter lost */
        char written[SCHEMA_NAME];
        snprintf(written, sizeof written, "%.*s", (int)strlen(config_schema.keys[k].name) - 1,
                 config_schema.keys[k].name);
        snprintf(message, sizeof message, "--set: unknown key '%s'; did you mean '%s'?", written,
                 config_schema.keys[k].name);
        refuse(written, "1", message);
    }
    char endless[5000];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    struct config config;
    config_defaults(&config);
    assert_int_equal(config_set(&config, endless, "1", "--set"), STATUS_USAGE);
    assert_ptr_equal(strstr(fail_message(), "--set: unknown key 'aaa"), fail_message());
}

static void refuse_each(const char *key, const char *const *values, const char *why) {
    for (int i = 0; values[i]; i++) {
        char message[256];
        snprintf(message, sizeof message, "--set: %s: '%s' is not %s", key, values[i], why);
        refuse(key, values[i], message);
    }
}

static void values_of_the_wrong_kind(void **state) {
    (void)state;
    static const char *const real[] = {"fast", "", "1 2", " 1", "0x1p-3", "nan", "inf", "1e", "e1", ".", "1,5", NULL};
    static const char *const whole[] = {"many", "", "2_000", "2000.0", "15e-1", "010", "0x10", "-", "1e6x", "1 ", NULL};
    static const char *const text[] = {"\xFF", "\xC0\xAF", "\xED\xA0\x80", "a\xE2\x80", "\xF4\x90\x80\x80", NULL};
    static const char *const pair[] = {"0.9", "", "off", "[0.9, 0.95", "[0.9, 0.95] 1", "[0.9]", "0.9,0.9,0.9", NULL};
    refuse_each("train.lr", real, "a number");
    refuse_each("train.steps", whole, "a whole number");
    refuse_each("name", text, "valid UTF-8");
    refuse_each("train.betas", pair, "a pair of numbers, such as [0.9, 0.999]");
    refuse("train.betas", "[0.9, fast]", "--set: train.betas: 'fast' is not a number");
    refuse("train.loss_clamp", "5", "--set: train.loss_clamp: '5' is not a pair of numbers, such as [0, 20], or off");
    refuse("train.loss_clamp", "[20, 0]",
           "--set: train.loss_clamp: the first number must be below the second, not [20, 0]");
    refuse("train.loss_clamp", "[3, 3]",
           "--set: train.loss_clamp: the first number must be below the second, not [3, 3]");
    refuse("train.loss_clamp", "[0, 1e999]", "--set: train.loss_clamp: 1e999 is out of range (finite)");
    refuse("train.betas", "[0.9, 1]", "--set: train.betas: 1 is out of range (0 to below 1)");
    refuse("train.betas", "-0.1,0.9", "--set: train.betas: -0.1 is out of range (0 to below 1)");
    refuse("model.tie", "maybe", "--set: model.tie: 'maybe' is not true or false");
    refuse("model.tie", "1", "--set: model.tie: '1' is not true or false");
    refuse("model.norm", "batchnorm", "--set: model.norm: 'batchnorm' is not one of: layernorm, rmsnorm");
    refuse("train.schedule", "Cosine", "--set: train.schedule: 'Cosine' is not one of: cosine, linear, constant, wsd");
    refuse("train.precision", "fp8", "--set: train.precision: 'fp8' is not one of: fp32, fp64, bf16, fp16");
    refuse("name", "", "--set: name: must not be empty");
    refuse("model", "5", "--set: 'model' is a section: set its keys, such as 'model.mixer'");
    refuse("model.dropout", "0.1",
           "--set: 'model.dropout' is a section: set its keys, such as 'model.dropout.attention'");
}

static void values_out_of_range(void **state) {
    (void)state;
    static const struct {
        const char *key, *values, *range;
    } cases[] = {
        {"train.lr", "11 0 -1 1e999", "above 0, up to 10"},
        {"train.min_lr_ratio", "5 -0.1", "0 to 1"},
        {"train.eps", "0 1e-999", "above 0"},
        {"train.clip", "1e999 -1", "at least 0"},
        {"model.dropout.residual", "1 -0.1 7", "0 to below 1"},
        {"dist.zero", "3 -1", "0 to 2"},
        {"model.layers", "1001 0 -3", "1 to 1000"},
        {"train.seed", "4294967296 -1", "0 to 4294967295"},
        {"train.steps", "1e10 -1", "0 to 4294967295"},
        {"ckpt.every", "9007199254740992 9007199254740993 99999999999999999999 -1e300 1e999", "0 to 2^53 - 1"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char values[128], message[256];
        snprintf(values, sizeof values, "%s", cases[i].values);
        for (char *value = strtok(values, " "); value; value = strtok(NULL, " ")) {
            snprintf(message, sizeof message, "--set: %s: %s is out of range (%s)", cases[i].key, value,
                     cases[i].range);
            refuse(cases[i].key, value, message);
        }
    }
}

static void longest_and_shortest_forms(void **state) {
    (void)state;
    struct config config;
    config_defaults(&config);
    char long_text[CONFIG_LIST + 1];
    memset(long_text, 'x', CONFIG_LIST);
    long_text[CONFIG_LIST] = '\0';
    assert_int_equal(config_set(&config, "data.train", long_text, "--set"), STATUS_USAGE);
    assert_string_equal(fail_message(), "--set: data.train: is longer than 4095 bytes");
    set(&config, "data.train", long_text + 1);
    long_text[CONFIG_TEXT] = '\0';
    assert_int_equal(config_set(&config, "data.val", long_text, "--set"), STATUS_USAGE);
    assert_string_equal(fail_message(), "--set: data.val: is longer than 511 bytes");
    set(&config, "data.val", long_text + 1);
    set(&config, "data.train", "[0.5 a, b]");
    assert_string_equal(config.data.train, "0.5 a, b");
    set(&config, "train.betas", "0.8,0.9");
    assert_true(config.train.betas[0] == 0.8 && config.train.betas[1] == 0.9);
    set(&config, "train.steps", "12e2");
    assert_int_equal(config.train.steps, 1200);
}

static void bad_files(void **state) {
    (void)state;
    static const struct refusal files[] = {
        {"train:\n  steps: 10\n  lr: fast\n", "run.yaml:3: train.lr: 'fast' is not a number"},
        {"train: {lr: 50}\n", "run.yaml:1: train.lr: 50 is out of range (above 0, up to 10)"},
        {"model:\n  norm: batchnorm\n", "run.yaml:2: model.norm: 'batchnorm' is not one of: layernorm, rmsnorm"},
        {"name: a\nname: b\n", "run.yaml:2: 'name' is given a second time; the first is in line 1"},
        {"train:\n  lr: 0.1\ntrain.lr: 0.2\n", "run.yaml:3: 'train.lr' is given a second time; the first is in line 2"},
        {"train:\n  lr: 0.1\n\ntrain:\n  seed: 2\n",
         "run.yaml:4: 'train' is given a second time; the first is in line 1"},
        {"", "run.yaml: is empty; `lockstep train --help-config` prints all keys"},
        {"# nothing\n\n", "run.yaml: is empty; `lockstep train --help-config` prints all keys"},
        {"fast\n", "run.yaml:1: a map of keys is meant, such as `name: run`"},
        {"\n- a\n", "run.yaml:2: a map of keys is meant, such as `name: run`"},
        {"train: {lr: 0.1\n",
         "run.yaml:2: did not find expected ',' or '}' (while parsing a flow mapping from line 1)"},
        {"train:\n  lr: 0.1\n name: x\n",
         "run.yaml:3: did not find expected key (while parsing a block mapping from line 1)"},
        {"name: a\xFF\n", "run.yaml:1: invalid leading UTF-8 octet"},
        {"name: a\n# \x01\n", "run.yaml:2: control characters are not allowed"},
        {"name: \"a\\0b\"\n", "run.yaml:1: a text holds a zero byte"},
        {"model: 5\n", "run.yaml:1: 'model' is a section: set its keys, such as 'model.mixer'"},
        {"model: [1]\n", "run.yaml:1: 'model' is a section: set its keys, such as 'model.mixer'"},
        {"train:\n  lr:\n    high: 1\n", "run.yaml:2: train.lr: a map is given where a number is meant"},
        {"train: {lr: {}}\n", "run.yaml:1: train.lr: a map is given where a number is meant"},
        {"train: {lr: [1]}\n", "run.yaml:1: train.lr: a list is given where a number is meant"},
        {"data: {val: [a, b]}\n", "run.yaml:1: data.val: a list is given where a text is meant"},
        {"data: {train: [a, [b]]}\n", "run.yaml:1: data.train: a list or map is given where a text is meant"},
        {"data: {train: [a, 'b,c']}\n",
         "run.yaml:1: data.train: 'b,c' has a comma, which is what texts of this list are told apart by"},
        {"data: {train: []}\n", "run.yaml:1: data.train: must not be empty"},
        {"model: {tie: {a: 1}}\n", "run.yaml:1: model.tie: a map is given where true or false is meant"},
        {"train: {steps: [1]}\n", "run.yaml:1: train.steps: a list is given where a whole number is meant"},
        {"model: {norm: [a]}\n", "run.yaml:1: model.norm: a list is given where a name is meant"},
        {"train: {betas: {a: 1}}\n", "run.yaml:1: train.betas: a map is given where a pair of numbers is meant"},
        {"train: {betas: 0.9}\n", "run.yaml:1: train.betas: '0.9' is not a pair of numbers, such as [0.9, 0.999]"},
        {"train:\n  betas:\n  - 0.9\n",
         "run.yaml:2: train.betas: a list of 1 is given where a pair of numbers is meant, such as [0.9, 0.999]"},
        {"train: {betas: [1, 2, 3]}\n",
         "run.yaml:1: train.betas: a list of 3 is given where a pair of numbers is meant, such as [0.9, 0.999]"},
        {"train: {betas: [0.9, [1]]}\n", "run.yaml:1: train.betas: a list or map is given where a number is meant"},
        {"train: {betas: [0.9, fast]}\n", "run.yaml:1: train.betas: 'fast' is not a number"},
        {"train: {betas: [0.9, 0.95\n",
         "run.yaml:2: did not find expected ',' or ']' (while parsing a flow sequence from line 1)"},
        {"train: {lr: }\n", "run.yaml:1: train.lr: no value is given"},
        {"data:\n  val:\n  train: x\n", "run.yaml:2: data.val: no value is given; an empty text is written \"\""},
        {"data: {val: null}\n", "run.yaml:1: data.val: no value is given; an empty text is written \"\""},
        {"name: &a x\ndata: {train: *a}\n", "run.yaml:2: aliases (*a) are not supported"},
        {"name: !include x\n", "run.yaml:1: tags (!include) are not supported"},
        {"train: !x {lr: 1}\n", "run.yaml:1: tags (!x) are not supported"},
        {"train: {betas: !x [0, 0]}\n", "run.yaml:1: tags (!x) are not supported"},
        {"[a, b]: 1\n", "run.yaml:1: a key must be a word, not a list or a map"},
        {"name: a\n---\nname: b\n", "run.yaml:2: a second document begins; only one is read"},
    };
    refuse_files(files, LENGTH(files));
}

static void files_that_cannot_be_read(void **state) {
    (void)state;
    struct config config;
    config_defaults(&config);
    assert_int_equal(config_load(&config, "absent.yaml"), STATUS_USAGE);
    assert_string_equal(fail_message(), "absent.yaml: No such file or directory");
    assert_int_equal(config_load(&config, "."), STATUS_USAGE);
    assert_string_equal(fail_message(), ".: Is a directory");

    size_t length = (1 << 20) + 5;
    char *text = malloc(length);
    assert_non_null(text);
    memset(text, ' ', length);
    write_file("run.yaml", text, length);
    assert_int_equal(config_load(&config, "run.yaml"), STATUS_USAGE);
    assert_string_equal(fail_message(), "run.yaml: is larger than a configuration can be (1048575 bytes)");
    for (size_t i = 0; i < length; i++) text[i] = "{a: "[i % 4];
    assert_int_equal(config_load_text(&config, text, 30000, "deep"), STATUS_USAGE);
    assert_string_equal(fail_message(), "deep:1: a key with its sections is longer than 126 bytes");
    free(text);
}

static void checks_across_keys(void **state) {
    (void)state;
    struct config config;
    static const struct refusal bad[] = {
        {"model: {heads: 5}", "model.heads: 5 does not divide model.width 128; 4 or 8 do"},
        {"model: {heads: 100, width: 64}", "model.heads: 100 does not divide model.width 64; 64 does"},
        {"model: {heads: 6, width: 24, kv_heads: 4}", "model.kv_heads: 4 does not divide model.heads 6; 3 does"},
        {"model: {heads: 4, kv_heads: 8}", "model.kv_heads: 8 does not divide model.heads 4; 4 does"},
        {"model: {heads: 4, width: 12, position: rope}",
         "model.position: rope turns pairs of channels, but a head has 3 (model.width / model.heads)"},
        {"model: {heads: 4, width: 32, position: rope, rope_fraction: 0.4}",
         "model.rope_fraction: 0.4 of a head's 8 channels is not an even number of channels"},
        {"train: {stage: 2}", "train.stage: 2 starts from weights: name a checkpoint or a run in train.init_from"},
        {"train: {init_from: runs/a}",
         "train.init_from: is given, but stage 1 starts from random weights; set train.stage: 2"},
        {"train: {precision: fp16, loss_scaling: off}",
         "train.loss_scaling: off, but gradients in fp16 vanish without it; set auto, or precision bf16"},
        {"train: {recompute: block, compile: false}",
         "train.recompute: where every value has memory of its own (train.compile: false), computing values again only "
         "takes more of it; set one of the two"},
        {"train: {loss_scale: 48}", "train.loss_scale: 48 is not a power of two"},
        {"train: {recompute: budget}",
         "train.recompute: budget needs train.recompute_budget_mb, the MiB that a rank may take"},
        {"model: {heads: 2, width: 7}", "model.heads: 2 does not divide model.width 7; 1 or 7 do"},
        {"model: {heads: 1000, width: 2500}", "model.heads: 1000 does not divide model.width 2500; 625 does"},
        {"train: {seq_len: 65}", "train.seq_len: 65 is more than model.context 64"},
        {"data: {val: 1.5}", "data.val: the fraction 1.5 is not between 0 and 1 (a file of that name: ./1.5)"},
        {"data: {val: 0}", "data.val: the fraction 0 is not between 0 and 1 (a file of that name: ./0)"},
        {"data: {val: 1}", "data.val: the fraction 1 is not between 0 and 1 (a file of that name: ./1)"},
        {"data: {val: -0.1}", "data.val: the fraction -0.1 is not between 0 and 1 (a file of that name: ./-0.1)"},
        {"name: a/b", "name: 'a/b' is not the name of one folder; runs_dir says where it lies"},
        {"name: ..", "name: '..' is not the name of one folder; runs_dir says where it lies"},
        {"name: .", "name: '.' is not the name of one folder; runs_dir says where it lies"},
        {"train: {slots: 65536, micro_batch: 65536, micro_batches_per_slot: 65536}",
         "train: steps * slots * micro_batches_per_slot * micro_batch * seq_len is 3.6e+19 tokens, above 2^53"},
        {"dist: {wire: bf16}",
         "dist.wire: bf16 would round sums on their way, and the tree's bits would depend on the number of ranks; set "
         "dist.reduce: vendor, or dist.wire: fp32"},
        {"{dist: {reduce: vendor, wire: bf16}, train: {precision: fp64}}",
         "dist.wire: bf16 is not for train.precision: fp64; set fp32, which sends gradients as they are"},
        {"dist: {reduce: vendor, zero: 2}",
         "dist.zero: 2 sends leaves to be added in the tree; with dist.reduce: vendor, set 0 or 1"},
    };
    for (size_t i = 0; i < LENGTH(bad); i++) {
        load_well(&config, bad[i].text);
        assert_int_equal(config_check(&config), STATUS_USAGE);
        assert_string_equal(fail_message(), bad[i].message);
    }
    static const char *const good[] = {"model: {heads: 7, width: 14}", "train: {steps: 100}", "data: {val: ./1.5}",
                                       "train: {seq_len: 64}",         "data: {val: ''}",     "name: ..."};
    for (size_t i = 0; i < LENGTH(good); i++) {
        load_well(&config, good[i]);
        if (config_check(&config)) fail_msg("%s", fail_message());
    }
    load_well(&config, "model: {width: 96, context: 32}");
    assert_int_equal(config_check(&config), 0);
    assert_int_equal(config.model.hidden, 384);
    assert_int_equal(config.train.seq_len, 32);
    assert_int_equal(config.model.kv_heads, 4);
    load_well(&config, "model: {width: 96, ffn: swiglu, vocab: 250, vocab_multiple: 64}");
    assert_int_equal(config_check(&config), 0);
    assert_int_equal(config.model.hidden, 256); /* 8/3 of the width, and a multiple of 64 */
    assert_int_equal(config_vocab_rows(&config.model), 256);
    load_well(&config, "{model: {hidden: 100}, train: {seq_len: 16}}");
    assert_int_equal(config_check(&config), 0);
    assert_int_equal(config.model.hidden, 100);
    assert_int_equal(config.train.seq_len, 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_whole),         cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(files_in_all_forms),         cmocka_unit_test(unknown_keys),
        cmocka_unit_test(values_of_the_wrong_kind),   cmocka_unit_test(values_out_of_range),
        cmocka_unit_test(longest_and_shortest_forms), cmocka_unit_test(bad_files),
        cmocka_unit_test(files_that_cannot_be_read),  cmocka_unit_test(checks_across_keys)};
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
