/* The configuration as it is printed, read back, compared and explained. */
#include "config_case.h"

#include <math.h>

/* Every key at another value than its default, as far as it has another one. */
static const char others[] =
    "{name: 'night \"run\" #7: \\ end', runs_dir: /data/runs-2, backend: null,\n"
    "model: {mixer: attention, ffn: swiglu, norm: rmsnorm, norm_place: post, norm_eps: 1.0000000000000002e-6,\n"
    "  position: rope, rope_theta: 500000, rope_layout: pairs, rope_fraction: 0.25, attention: naive, attention_impl: "
    "own,\n"
    "  layers: 12, width: 768, heads: 12, kv_heads: 3, qk_norm: true, hidden: 3000, vocab: 50257, vocab_multiple: "
    "128,\n"
    "  context: 1024, tie: false, bias: no, logit_softcap: 30,\n"
    "  dropout: {attention: 0.2, residual: 0.30000000000000004, embedding: 0}},\n"
    "data: {train: ['0.5 a b', c], val: '', tokenizer: bytes, documents: packed, prefetch: false},\n"
    "train: {steps: 4294967295, slots: 16, micro_batch: 4, micro_batches_per_slot: 2, seq_len: 512,\n"
    "  lr: 6.0000000000000006e-4, min_lr_ratio: 0.333333333333333333, schedule: wsd, warmup: 2000,\n"
    "  weight_decay: 0.1, betas: [0.95, 0.99999999999999989], eps: 4.9406564584124654e-324,\n"
    "  clip: 1.7976931348623157e308, loss_clamp: off, seed: 4294967295, precision: fp64, recompute: block,\n"
    "  loss_scaling: dynamic, loss_scale: 128, loss_scale_window: 10, recompute_every: 3, recompute_budget_mb: 0.1, "
    "compile: false, graphs: false, stage: 2, init_from: 'runs/a b', eval_every: "
    "9007199254740991, eval_batches: 1},\n"
    "fuse: {norm: false, gelu: false, epilogue: true, swiglu: false, rope: false, head: true, loss: false, adamw: "
    "false},\n"
    "dist: {zero: 1, reduce: vendor, bucket_mb: 0.1, wire: bf16, overlap: false, progress: thread, timeout_s: 0.5}, "
    "ckpt: {every: 0, "
    "keep: 2147483647, keep_every: 5, keep_best: 2, async: false, direct: false, "
    "last: false, timeout_s: 7.5},\n"
    "guard: {every: 7, audit_every: 9, max_skipped: 0}}\n";

static void copy_field(const struct schema_key *key, struct config *to, const struct config *from) {
    memcpy((char *)to + key->offset, (const char *)from + key->offset, field_size(key));
}

/* Prints a config, reads it over the defaults, and expects the same bits in every field. */
static void round_trip(const struct config *config) {
    char *text = printed(config);
    struct config back;
    load_well(&back, text);
    for (int i = 0; i < config_schema.count; i++)
        if (!same_bits(&config_schema.keys[i], config, &back))
            fail_msg("%s is read back otherwise:\n%s", config_schema.keys[i].name, text);
    free(text);
}

static void round_trip_of_every_key(void **state) {
    (void)state;
    struct config config, defaults;
    config_defaults(&defaults);
    round_trip(&defaults);
    load_well(&config, others);
    round_trip(&config);
    for (int i = 0; i < config_schema.count; i++) { /* each alone, so that no value leans on another */
        const struct schema_key *key = &config_schema.keys[i];
        int has_another = key->names ? key->names[1] != NULL : key->low != key->high;
        if (same_bits(key, &config, &defaults) == has_another) fail_msg("give %s another value above", key->name);
        struct config one = defaults;
        copy_field(key, &one, &config);
        round_trip(&one);
    }
    assert_int_equal(config_check(&defaults), 0);
    round_trip(&defaults);
}

static void round_trip_of_text(struct config *config, const char *text) {
    set(config, "data.val", text);
    assert_string_equal(config->data.val, text);
    round_trip(config);
}

static void round_trip_of_texts(void **state) {
    (void)state;
    struct config config;
    config_defaults(&config);
    static const char *const words[] = {"", "null", "True", "NO", "off", "---", "...", "a: b", "a #b", " x ", "C:\\x"};
    for (size_t i = 0; i < LENGTH(words); i++) round_trip_of_text(&config, words[i]);
    static const char *const points[] = {
        /* U+0080 */ "\xC2\x80",     "\xC2\x85",     "\xC2\xA0",     "\xC3\xA9",
        /* U+2028 */ "\xE2\x80\xA8", "\xEF\xBB\xBF", "\xEF\xBF\xBF", "\xF0\x9F\x98\x80"};
    for (size_t i = 0; i < LENGTH(points); i++) round_trip_of_text(&config, points[i]);
    static const char marks[] = " \n\t\r:#-\"'\\[]{},?!&*|>%@`~=<.a0";
    for (const char *a = marks; *a; a++)
        for (const char *b = marks; *b; b++) round_trip_of_text(&config, (char[]){*a, *b, '\0'});
    for (int byte = 1; byte < 128; byte++) {
        round_trip_of_text(&config, (char[]){(char)byte, '\0'});
        round_trip_of_text(&config, (char[]){'a', (char)byte, 'b', '\0'});
    }
    char longest[CONFIG_TEXT] = "";
    memset(longest, '\x01', sizeof longest - 1); /* takes most room when escaped */
    round_trip_of_text(&config, longest);
}

static void round_trip_of_numbers(void **state) {
    (void)state;
    struct config config;
    config_defaults(&config);
    uint64_t random = 1;
    for (int i = 0; i < 300; i++) { /* any bits that are finite and above 0 */
        double value;
        do {
            random = random * 6364136223846793005u + 1442695040888963407u;
            uint64_t bits = (random >> 32 | random << 32) & INT64_MAX;
            memcpy(&value, &bits, sizeof value);
        } while (!isfinite(value) || value == 0);
        config.train.eps = config.train.clip = value;
        config.train.loss_clamp[0] = -value;
        config.train.loss_clamp[1] = value;
        config.train.lr = (double)(random >> 11) / 9007199254740992.0;
        round_trip(&config);
    }
}

static void printed_text(void **state) {
    (void)state;
    struct config config;
    config_defaults(&config);
    set(&config, "backend", "null");
    set(&config, "data.val", "");
    set(&config, "train.loss_clamp", "off");
    set(&config, "train.lr", "0.1");
    set(&config, "train.min_lr_ratio", "0.30000000000000004");
    char *text = printed(&config);
    assert_ptr_equal(strstr(text, "name: run\nruns_dir: runs\nbackend: \"null\"\nmodel:\n  mixer: attention\n"), text);
    assert_non_null(
        strstr(text, "  attention: flash\n  attention_impl: auto\n  dropout:\n    attention: 0.1\n    residual: 0.1\n"
                     "    embedding: 0.1\ndata:\n  train: stories\n  val: \"\"\n"));
    assert_non_null(strstr(text, "\n  lr: 0.1\n  min_lr_ratio: 0.30000000000000004\n"));
    assert_non_null(strstr(text, "\n  betas: [0.9, 0.999]\n  eps: 1e-08\n  clip: 1\n  loss_clamp: off\n"));
    free(text);
    set(&config, "data.val", "\xE2\x80\xA8\xEF\xBB\xBF"); /* other readers of YAML take these for more than letters */
    text = printed(&config);
    assert_non_null(strstr(text, "\n  val: \"\\u2028\\uFEFF\"\n"));
    free(text);
    config.name[2] = '\xFF'; /* written past config_set(): escaped, so that the rest can still be read */
    text = printed(&config);
    assert_ptr_equal(strstr(text, "name: \"ru\\xFF\"\n"), text);
    free(text);
}

/* What a key's change may do is written here a second time, from the contract and not from the table. */
static enum key_class expected_class(const char *key) {
    static const char *const run[] = {"name",
                                      "runs_dir",
                                      "backend",
                                      "train.steps",
                                      "train.eval_every",
                                      "train.eval_batches",
                                      "dist.zero",
                                      "dist.bucket_mb",
                                      "dist.overlap",
                                      "dist.progress",
                                      "dist.timeout_s",
                                      "guard.every",
                                      "guard.audit_every",
                                      "ckpt.every",
                                      "ckpt.keep",
                                      "ckpt.keep_every",
                                      "ckpt.keep_best",
                                      "ckpt.async",
                                      "ckpt.direct",
                                      "ckpt.last",
                                      "ckpt.timeout_s",
                                      "data.prefetch",
                                      "train.stage",
                                      "train.init_from",
                                      "train.recompute",
                                      "train.recompute_every",
                                      "train.recompute_budget_mb",
                                      "train.compile",
                                      "train.graphs",
                                      "fuse.norm",
                                      "fuse.gelu",
                                      "fuse.swiglu",
                                      "fuse.rope",
                                      "fuse.loss",
                                      "fuse.adamw",
                                      "guard.max_skipped"};
    for (size_t i = 0; i < LENGTH(run); i++)
        if (strcmp(run[i], key) == 0) return CLASS_RUN;
    int architecture = strncmp(key, "model.", 6) == 0 && strncmp(key, "model.attention", 15) != 0 &&
                       strncmp(key, "model.dropout.", 14) != 0;
    return architecture ? CLASS_ARCHITECTURE : CLASS_TRAINING;
}

static void comparisons(void **state) {
    (void)state;
    struct config a, b;
    config_defaults(&a);
    struct config other;
    load_well(&other, others);
    for (int i = 0; i < config_schema.count; i++) {
        const struct schema_key *key = &config_schema.keys[i];
        enum key_class class = expected_class(key->name);
        assert_int_equal(key->class, class);
        a.model.position = strncmp(key->name, "model.rope_", 11) ? POSITION_LEARNED : POSITION_ROPE;
        a.model.vocab = strcmp(key->name, "model.vocab_multiple") ? 256 : 250; /* else both make the same rows */
        b = a;
        copy_field(key, &b, &other);
        int differs = !same_bits(key, &a, &b);
        int architecture = differs && class == CLASS_ARCHITECTURE, training = differs && class != CLASS_RUN;
        assert_int_equal(config_same_architecture(&a, "a", &b, "b"), architecture ? STATUS_BAD_DATA : 0);
        assert_int_equal(config_same_training(&a, "a", &b, "b"), training ? STATUS_BAD_DATA : 0);
        if (training) assert_ptr_equal(strstr(fail_message(), key->name), fail_message());
    }
    config_defaults(&a);
    b = a;
    set(&b, "model.rope_theta", "500000"); /* without RoPE it says nothing */
    assert_int_equal(config_same_architecture(&a, "a", &b, "b"), 0);
    set(&a, "model.position", "rope");
    b = a;
    set(&b, "model.context", "4096"); /* nor does the longest sequence with it */
    assert_int_equal(config_same_architecture(&a, "a", &b, "b"), 0);
    config_defaults(&a);
    config_defaults(&b);
    set(&b, "model.width", "64");
    set(&b, "model.hidden", "512");
    set(&b, "train.lr", "0.5");
    set(&b, "data.val", "a: b");
    set(&b, "train.steps", "7");
    assert_int_equal(config_same_architecture(&a, "run.yaml", &b, "checkpoint"), STATUS_BAD_DATA);
    assert_string_equal(fail_message(), "model.width: 128 (run.yaml) but 64 (checkpoint)");
    assert_int_equal(config_same_training(&a, "run.yaml", &b, "checkpoint"), STATUS_BAD_DATA);
    assert_string_equal(fail_message(), "model.width: 128 (run.yaml) but 64 (checkpoint)\n"
                                        "data.val: 0.1 (run.yaml) but \"a: b\" (checkpoint)\n"
                                        "train.lr: 0.001 (run.yaml) but 0.5 (checkpoint)");
    config_defaults(&b);
    assert_int_equal(config_check(&b), 0); /* derived values filled on one side alone */
    assert_int_equal(config_same_training(&a, "a", &b, "b"), 0);
}

static void comparison_longer_than_a_message(void **state) {
    (void)state;
    struct config a, b;
    config_defaults(&a);
    config_defaults(&b);
    set(&b, "model.layers", "5");
    memset(a.data.train, '\x01', CONFIG_TEXT - 1);
    memset(b.data.val, '\x02', CONFIG_TEXT - 1);
    assert_int_equal(config_same_training(&a, "a", &b, "b"), STATUS_BAD_DATA);
    assert_string_equal(fail_message(), "model.layers: 4 (a) but 5 (b)\n"
                                        "keys that differ too and are too long to print here: 2");
    config_defaults(&b);
    assert_int_equal(config_same_training(&a, "a", &b, "b"), STATUS_BAD_DATA);
    assert_string_equal(fail_message(), "keys that differ too and are too long to print here: 1");
}

static void help_tells_everything(void **state) {
    (void)state;
    char *text = printed(NULL);
    for (int i = 0; i < config_schema.count; i++) {
        char start[SCHEMA_NAME + 2], about[SCHEMA_RANGE], line[1024];
        snprintf(start, sizeof start, "\n%s ", config_schema.keys[i].name);
        const char *found = strstr(text, start);
        if (!found) fail_msg("%s is not in the help", config_schema.keys[i].name);
        snprintf(line, sizeof line, "%.*s", (int)strcspn(found + 1, "\n"), found + 1);
        schema_describe(&config_schema.keys[i], about);
        assert_non_null(strstr(line, about));
        assert_non_null(strstr(line, config_schema.keys[i].help));
        assert_non_null(strstr(line, config_schema.keys[i].initial));
        assert_int_equal(strstr(line, "[architecture]") != NULL, config_schema.keys[i].class == CLASS_ARCHITECTURE);
    }
    static const char *const parts[] = {"a whole number, 1 to 1000 ", "a rising pair of numbers, or off ",
                                        "\n\ndata.train "};
    for (size_t i = 0; i < LENGTH(parts); i++)
        if (!strstr(text, parts[i])) fail_msg("'%s' is not in the help", parts[i]);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip_of_every_key),
                                       cmocka_unit_test(round_trip_of_texts),
                                       cmocka_unit_test(round_trip_of_numbers),
                                       cmocka_unit_test(printed_text),
                                       cmocka_unit_test(comparisons),
                                       cmocka_unit_test(comparison_longer_than_a_message),
                                       cmocka_unit_test(help_tells_everything)};
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
