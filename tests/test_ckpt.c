/* Checkpoints: what is saved comes back however ranks cut it, has one hash, and stays as long as it should. */
#include "ckpt_fixture.h"

#include <inttypes.h>

#include <math.h>
#include <xxhash.h>

static void test_round_trip(void **unused) {
    (void)unused;
    char hash[33], first[33] = "";
    for (int ranks = 1; ranks <= 3; ranks++) {
        struct job job = {.dir = dir, .step = 100 + ranks, .salt = 7, .with_big = 1, .shift = 2 * ranks - 3};
        assert_int_equal(save_together(ranks, &job), 0);
        const char *path = at("step-%08d", 100 + ranks);
        assert_int_equal(ckpt_verify(path), 0);
        for (int readers = 1; readers <= 3; readers++)
            for (int rank = 0; rank < readers; rank++)
                assert_int_equal(load_and_compare(path, 7, 1, rank, readers, 1 - readers), 0);
        struct ckpt_meta meta;
        assert_int_equal(ckpt_read_meta(path, &meta), 0);
        assert_int_equal(meta.step, 100 + ranks);
        assert_int_equal(meta.adam_step, 99 + ranks);
        assert_int_equal(meta.skipped, 1);
        assert_string_equal(meta.config, "name: \"a b\"\n");
        assert_string_equal(meta.build, "1.0 \"(abc)\"");
        assert_null(meta.tokenizer);
        ckpt_meta_free(&meta);
        assert_null(meta.config);
    }
    /* The tokenizer is one file more, and no part of the hash of weights. */
    struct job with = {.dir = dir, .step = 104, .salt = 7, .with_big = 1, .tokenizer = "{\"a\": 1}"};
    char *json, without[33];
    int64_t length;
    assert_int_equal(save_together(2, &with), 0);
    assert_int_equal(ckpt_verify(at("step-00000104")), 0);
    assert_int_equal(ckpt_tokenizer(at("step-00000104"), &json, &length), 0);
    assert_string_equal(json, with.tokenizer);
    assert_int_equal(length, strlen(json));
    free(json);
    assert_int_equal(ckpt_tokenizer(at("step-00000103"), &json, &length), 0);
    assert_null(json);
    assert_int_equal(ckpt_hash(at("step-00000104"), hash), 0);
    with.tokenizer = NULL;
    assert_int_equal(save_together(1, &with), 0);
    assert_int_equal(ckpt_hash(at("step-00000104"), without), 0);
    assert_string_equal(hash, without);
    /* The hash: one content, cut in many ways, in folders of their own since the step is part of it. */
    for (int ranks = 1; ranks <= 3; ranks++)
        for (int shift = -1; shift <= 2; shift++) {
            char place[256];
            snprintf(place, sizeof place, "%s/%d%d", root, ranks, shift);
            struct job job = {.dir = place, .step = 5, .salt = 9, .with_big = shift == 0, .shift = shift};
            assert_int_equal(save_together(ranks, &job), 0);
            strcat(place, "/step-00000005");
            assert_int_equal(ckpt_hash(place, hash), 0);
            if (shift == 0) continue; /* that one had the big array, and is compared below */
            if (!*first) strcpy(first, hash);
            assert_string_equal(hash, first);
        }
    char one[33];
    assert_int_equal(ckpt_hash(at("../../10/step-00000005"), one), 0);
    assert_string_not_equal(one, first);
    for (int ranks = 2; ranks <= 3; ranks++) {
        assert_int_equal(ckpt_hash(at("../../%d0/step-00000005", ranks), hash), 0);
        assert_string_equal(hash, one);
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct ckpt_array *)a)->name, ((const struct ckpt_array *)b)->name);
}

/* The hash against its definition, computed here by other code. */
static void test_hash_definition(void **unused) {
    (void)unused;
    struct state state;
    state_make(&state, 5, 9, 1, 0, 1, 0);
    assert_int_equal(ckpt_save(dir, &state.meta, state.array, state.count, NULL, &(struct ckpt_group){.size = 1}, NULL),
                     0);
    qsort(state.array, (size_t)state.count, sizeof state.array[0], by_name);
    char *bytes = malloc(BIG * 4 + 65536), *end = bytes;
    for (int i = 0; i < state.count; i++) {
        const struct ckpt_array *array = &state.array[i];
        int64_t shape[5] = {array->rank, array->dim[0], array->dim[1], array->dim[2], array->dim[3]};
        end = stpcpy(end, array->name) + 1;
        end = stpcpy(end, dtype_name(array->type)) + 1;
        end = mempcpy(end, shape, 8 + 8 * (size_t)array->rank);
        end = mempcpy(end, array->data, (size_t)elems_of(array) * dtype_size(array->type));
    }
    end = mempcpy(end, (int64_t[]){5, 4, 1}, 24);
    XXH128_hash_t meant = XXH3_128bits(bytes, (size_t)(end - bytes));
    char hex[33], hash[33];
    snprintf(hex, sizeof hex, "%016" PRIx64 "%016" PRIx64, (uint64_t)meant.high64, (uint64_t)meant.low64);
    assert_int_equal(ckpt_hash(at("step-00000005"), hash), 0);
    assert_string_equal(hash, hex);
    free(bytes);
    state_free(&state);
}

/* More shards than the hash keeps open, and most of them without a part of most arrays. */
static void test_many_ranks(void **unused) {
    (void)unused;
    char one[33], many[33];
    struct job job = {.dir = dir, .step = 5, .salt = 7};
    assert_int_equal(save_together(RANKS, &job), 0);
    assert_int_equal(ckpt_hash(at("step-00000005"), many), 0);
    for (int rank = 0; rank < 3; rank++) assert_int_equal(load_and_compare(at("step-00000005"), 7, 0, rank, 3, 1), 0);
    job.dir = root;
    assert_int_equal(save_together(1, &job), 0);
    assert_int_equal(ckpt_hash(at("../../step-00000005"), one), 0);
    assert_string_equal(one, many);
}

static void one_bit(struct state *state, int rank) {
    if (rank == 0) ((unsigned char *)state->array[1].data)[3] ^= 1;
}
static void other_updates(struct state *state, int rank) {
    (void)rank;
    state->meta.adam_step++;
}
static void other_skipped(struct state *state, int rank) {
    (void)rank;
    state->meta.skipped++;
}
static void other_name(struct state *state, int rank) {
    (void)rank;
    state->array[1].name[0] = 'q';
}
static void other_shape(struct state *state, int rank) {
    (void)rank;
    state->array[0].dim[0] = 11, state->array[0].dim[1] = 37;
}
static void other_config(struct state *state, int rank) {
    (void)rank;
    state->meta.config = "name: other\n";
}

static void test_hash_sees_every_part(void **unused) {
    (void)unused;
    static void (*const changes[])(struct state *, int) = {NULL,       one_bit,     other_updates, other_skipped,
                                                           other_name, other_shape, other_config};
    enum { COUNT = sizeof changes / sizeof changes[0] };
    char hash[COUNT][33], place[256];
    for (int i = 0; i < COUNT; i++) {
        snprintf(place, sizeof place, "%s/%d", root, i);
        struct job job = {.dir = place, .step = 5, .salt = 9, .change = changes[i]};
        struct ckpt_group group = {.rank = 0, .size = 1};
        assert_int_equal(save_rank(&job, &group), 0);
        strcat(place, "/step-00000005");
        assert_int_equal(ckpt_hash(place, hash[i]), 0);
        for (int j = 0; j < i; j++) {
            int same = strcmp(hash[i], hash[j]) == 0;
            assert_int_equal(same, i == COUNT - 1 && j == 0); /* the config is no part of the content */
        }
    }
}

static void test_latest(void **unused) {
    (void)unused;
    char path[256], *notes = NULL;
    size_t size;
    assert_int_equal(ckpt_latest(dir, NULL, path, sizeof path, NULL), STATUS_BAD_DATA); /* there is no folder */
    for (int step = 90; step <= 120; step += 10) assert_int_equal(save_alone(dir, step, step, 0), 0);
    assert_int_equal(ckpt_latest(dir, NULL, path, sizeof path, NULL), 0);
    assert_string_equal(path, at("step-00000120"));
    assert_int_equal(ckpt_latest(dir, NULL, path, 8, NULL), STATUS_FAILED);

    assert_int_equal(rename(at("step-00000120"), at("step-00000120.tmp")), 0);
    assert_int_equal(truncate(at("step-00000110/shard-00000-of-00001.h5"), 99), 0);
    flip(at("step-00000100/shard-00000-of-00001.h5"), 2000);
    mkdir(at("step-00000500"), 0777); /* no manifest: does not exist */
    FILE *out = open_memstream(&notes, &size);
    assert_int_equal(ckpt_latest(dir, NULL, path, sizeof path, out), 0);
    fclose(out);
    assert_string_equal(path, at("step-00000090"));
    char *second = strchr(notes, '\n') + 1;
    assert_non_null(strstr(notes, "step-00000110"));
    assert_non_null(strstr(second, "step-00000100"));
    assert_string_equal(strchr(second, '\n'), "\n"); /* two lines, no more */
    free(notes);
    unlink(at("step-00000090/shard-00000-of-00001.h5"));
    assert_int_equal(ckpt_latest(dir, NULL, path, sizeof path, NULL), STATUS_BAD_DATA);
    says(dir, "ckpt ls");

    out = open_memstream(&notes, &size);
    assert_int_equal(ckpt_ls(dir, out), 0);
    fclose(out);
    assert_non_null(strstr(notes, "step-00000090"));
    assert_non_null(strstr(notes, "missing"));
    assert_non_null(strstr(notes, "less than"));
    assert_non_null(strstr(strstr(notes, "step-00000100"), "whole")); /* the quick check does not read data */
    assert_null(strstr(notes, "00500"));
    assert_null(strstr(notes, ".tmp"));
    free(notes);
}

static void test_show(void **unused) {
    (void)unused;
    struct job job = {.dir = dir, .step = 7, .salt = 7, .shift = 2};
    assert_int_equal(save_together(3, &job), 0);
    char *shown = NULL;
    size_t size;
    FILE *out = open_memstream(&shown, &size);
    assert_int_equal(ckpt_show(at("step-00000007"), out), 0);
    assert_int_equal(ckpt_show(at("step-00000008"), out), STATUS_BAD_DATA);
    fclose(out);
    static const char *const parts[] = {
        "adam_step  6", "skipped    1", "shard-00002-of-00003.h5", "f32 [37, 11]", "0:[0, 6)  1:[6, 10)  2:[10, 13)",
        "name: \"a b\""};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) assert_non_null(strstr(shown, parts[i]));
    free(shown);
}

static void test_retention(void **unused) {
    (void)unused;
    for (int step = 1; step <= 5; step++) assert_int_equal(save_alone(dir, step, step, 3), 0);
    assert_string_equal(listing(), "step-00000003 step-00000004 step-00000005");
    assert_int_equal(save_alone(dir, 2, 2, 1), 0); /* never the one just written, and the newest */
    assert_string_equal(listing(), "step-00000002 step-00000005");
    unlink(at("step-00000005/shard-00000-of-00001.h5")); /* broken: does not count as one to keep */
    assert_int_equal(save_alone(dir, 3, 3, 2), 0);
    assert_string_equal(listing(), "step-00000002 step-00000003 step-00000005");
    assert_int_equal(save_alone(dir, 6, 6, 1), 0);
    assert_string_equal(listing(), "step-00000006");
    mkdir(at("step-00000006/mine"), 0777); /* a stranger's folder is not deleted, and stops nothing */
    mkdir(at("mine"), 0777);
    assert_int_equal(save_alone(dir, 7, 7, 1), 0);
    assert_string_equal(listing(), "mine step-00000006.tmp step-00000007");
}

/* What goes counts no more at once; its files go with the next save, or a sweep. */
static void test_deleted_later(void **unused) {
    (void)unused;
    char path[256];
    struct job job = {.dir = dir, .keep = 1, .later = 1};
    for (job.step = 1; job.step <= 3; job.step++) {
        job.salt = (int)job.step;
        assert_int_equal(save_together(2, &job), 0);
    }
    assert_string_equal(listing(), "step-00000002.tmp step-00000003");
    assert_int_equal(ckpt_latest(dir, NULL, path, sizeof path, NULL), 0);
    assert_non_null(strstr(path, "step-00000003"));
    job.step = job.salt = 2; /* back to the step whose folder is going */
    job.keep = 2;
    assert_int_equal(save_together(2, &job), 0);
    assert_string_equal(listing(), "step-00000002 step-00000003");
    assert_int_equal(load_and_compare(at("step-00000002"), 2, 0, 0, 1, 0), 0);
    job.step = job.salt = 4;
    job.keep = 1;
    assert_int_equal(save_together(2, &job), 0);
    ckpt_sweep(dir);
    assert_string_equal(listing(), "step-00000004");
}

/* Beside the newest: those of steps that a number divides, and those with the lowest losses that are whole. */
static void test_retention_beside(void **unused) {
    (void)unused;
    const struct ckpt_loss losses[] = {{1, 5}, {2, 3}, {3, NAN}, {4, 4}, {5, 2}, {6, 3.5}, {99, 0}, {2, 1}, {5, 6}};
    struct job job = {.dir = dir, .keep = 1, .keep_every = 4};
    for (job.step = 1; job.step <= 9; job.step++) {
        job.salt = (int)job.step;
        assert_int_equal(save_together(1, &job), 0);
    }
    assert_string_equal(listing(), "step-00000004 step-00000008 step-00000009");
    for (int broken = 0; broken < 2; broken++) {
        char place[160];
        snprintf(place, sizeof place, "%s/best%d", root, broken);
        struct job best = {.dir = place, .keep = 0};
        for (best.step = 1; best.step <= 7; best.step++) {
            best.salt = (int)best.step;
            assert_int_equal(save_together(1, &best), 0);
        }
        if (broken) unlink(at("../../best1/step-00000002/view.h5"));
        best.step = best.salt = 8;
        best.keep = 1;
        best.keep_best = 2;
        best.losses = losses;
        best.n_losses = sizeof losses / sizeof *losses;
        assert_int_equal(save_together(1, &best), 0);
        /* 2 has 1, its last loss, and 6 has 3.5; 5 ended with 6. */
        assert_int_equal(access(at("../../best%d/step-00000002", broken), F_OK), broken ? -1 : 0);
        assert_int_equal(access(at("../../best%d/step-00000006", broken), F_OK), 0);
        assert_int_equal(access(at("../../best%d/step-00000008", broken), F_OK), 0);
        assert_int_equal(access(at("../../best%d/step-00000004", broken), F_OK), broken ? 0 : -1);
        for (int gone = 1; gone <= 7; gone += 2)
            assert_int_equal(access(at("../../best%d/step-%08d", broken, gone), F_OK), -1);
    }
}

static void test_same_step_again(void **unused) {
    (void)unused;
    struct job job = {.dir = dir, .step = 7, .salt = 7};
    struct ckpt_group group = {.rank = 0, .size = 1};
    assert_int_equal(save_rank(&job, &group), 0);
    int64_t length;
    char *before = slurp(at("step-00000007/shard-00000-of-00001.h5"), &length);
    static const char *const damaged[] = {"shard-00000-of-00001.h5", "view.h5", "manifest.json"};
    for (int i = 0; i < 3; i++) { /* whatever is there, what was saved is whole */
        flip(at("step-00000007/%s", damaged[i]), 200);
        sleep(i == 0); /* a time in the file would tell */
        assert_int_equal(save_rank(&job, &group), 0);
        assert_int_equal(ckpt_verify(at("step-00000007")), 0);
        assert_string_equal(listing(), "step-00000007");
    }
    char *after = slurp(at("step-00000007/shard-00000-of-00001.h5"), &length);
    assert_memory_equal(before, after, length); /* the same state is the same file */
    free(before);
    free(after);

    job.change = other_config;
    assert_int_equal(save_rank(&job, &group), 0);
    struct ckpt_meta meta;
    assert_int_equal(ckpt_read_meta(at("step-00000007"), &meta), 0);
    assert_string_equal(meta.config, "name: other\n");
    ckpt_meta_free(&meta);
    job.salt = 8; /* other content */
    assert_int_equal(save_rank(&job, &group), 0);
    assert_int_equal(load_and_compare(at("step-00000007"), 8, 0, 0, 1, 0), 0);
    assert_string_equal(listing(), "step-00000007");
}

static void no_change(struct state *state) { (void)state; }
static void ask_type(struct state *state) { state->array[0].type = DTYPE_I32; }
static void ask_shape(struct state *state) { state->array[0].dim[1] = 12; }
static void ask_rank(struct state *state) { state->array[1].rank = 2, state->array[1].dim[1] = 1; }
static void ask_name(struct state *state) { strcpy(state->array[2].name, "adam.v/h0/w"); }
static void ask_group(struct state *state) { strcpy(state->array[2].name, "adam.m/h0"); }
static void ask_range(struct state *state) { state->array[0].end = 37 * 11 + 1; }
static void ask_nowhere(struct state *state) {
    free(state->array[0].data);
    state->array[0].data = NULL;
}

static void test_load_mismatch(void **unused) {
    (void)unused;
    static const struct {
        void (*change)(struct state *state);
        int status;
        const char *first, *second;
    } cases[] = {
        {no_change, 0, "", ""},
        {ask_type, STATUS_BAD_DATA, "'params/h0.w' is f32 [37, 11]", "i32 [37, 11]"},
        {ask_shape, STATUS_BAD_DATA, "'params/h0.w' is f32 [37, 11]", "f32 [37, 12]"},
        {ask_rank, STATUS_BAD_DATA, "'params/h0.b' is f64 [13]", "f64 [13, 1]"},
        {ask_name, STATUS_BAD_DATA, "no array 'adam.v/h0/w'", "ckpt show"},
        {ask_group, STATUS_BAD_DATA, "no array 'adam.m/h0'", "ckpt show"},
        {ask_range, STATUS_FAILED, "params/h0.w", "[0, 408)"},
        {ask_nowhere, STATUS_FAILED, "params/h0.w", "no memory"},
    };
    struct job job = {.dir = dir, .step = 7, .salt = 7};
    assert_int_equal(save_together(2, &job), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct state state;
        state_make(&state, 7, 8, 0, 0, 1, 0);
        cases[i].change(&state);
        assert_int_equal(ckpt_load(at("step-00000007"), state.array, state.count), cases[i].status);
        if (cases[i].status) says(cases[i].first, cases[i].second);
        state_free(&state);
    }
    /* Any range, in any order, more than once; nothing outside of the range is touched. */
    struct state whole;
    state_make(&whole, 7, 7, 0, 0, 1, 0);
    float found[37 * 11 + 2];
    for (int64_t begin = 0; begin < 37 * 11; begin += 29)
        for (int64_t end = begin; end <= 37 * 11; end += 31) {
            struct ckpt_array ask[2] = {plain[0], plain[0]};
            for (int i = 0; i < 37 * 11 + 2; i++) found[i] = 0.5f;
            ask[0].begin = begin, ask[0].end = end, ask[0].data = found + 1 + begin;
            ask[1].begin = begin, ask[1].end = begin, ask[1].data = NULL;
            assert_int_equal(ckpt_load(at("step-00000007"), ask, 2), 0);
            assert_memory_equal(found + 1 + begin, (float *)whole.array[0].data + begin, (end - begin) * 4);
            assert_true(found[begin] == 0.5f && found[1 + end] == 0.5f);
        }
    state_free(&whole);
}

static void leave_gap(struct state *state, int rank) { state->array[0].begin += rank == 1; }
static void leave_end(struct state *state, int rank) { state->array[0].end -= rank == 2; }
static void overlap(struct state *state, int rank) { state->array[0].end += rank == 0; }
static void drop_array(struct state *state, int rank) { state->count -= rank == 1; }
static void change_list(struct state *state, int rank) { state->array[0].dim[0] += rank == 2; }
static void change_step(struct state *state, int rank) { state->meta.step += rank == 2; }
static void repeat_name(struct state *state, int rank) { (void)rank, strcpy(state->array[3].name, "params/h0.w"); }
static void nest_name(struct state *state, int rank) { (void)rank, strcpy(state->array[3].name, "params/h0.w/x"); }
static void climb_name(struct state *state, int rank) { (void)rank, strcpy(state->array[3].name, "a/../b"); }
static void no_name(struct state *state, int rank) { (void)rank, state->array[3].name[0] = 0; }
static void huge_shape(struct state *state, int rank) { (void)rank, state->array[0].dim[0] = INT64_MAX; }
static void below_zero(struct state *state, int rank) { (void)rank, state->meta.step = -1; }
static void beyond_disk(struct state *state, int rank) {
    state->array[0].dim[0] = 1, state->array[0].dim[1] = (int64_t)1 << 50;
    state->array[0].begin = rank ? (int64_t)1 << 50 : 0;
    state->array[0].end = (int64_t)1 << 50;
}

/* What cannot make a whole checkpoint is refused on every rank, rank 0 says why, and nothing is left behind. */
static void test_refused_saves(void **unused) {
    (void)unused;
    static const struct {
        void (*change)(struct state *state, int rank);
        const char *first, *second;
    } cases[] = {
        {leave_gap, "'params/h0.w'", "no rank holds elements [135, 136)"},
        {leave_end, "'params/h0.w'", "no rank holds elements [406, 407)"},
        {overlap, "'params/h0.w'", "ranks 0 and 1 both hold element 135"},
        {drop_array, "ranks 0 and 1", "different lists of arrays"},
        {change_list, "ranks 0 and 2", "different lists of arrays"},
        {change_step, "rank 2 at step 8", "rank 0 is at step 7"},
        {repeat_name, "params/h0.w", "twice"},
        {nest_name, "params/h0.w/x", "HDF5 cannot make"},
        {climb_name, "a/../b", "no name"},
        {no_name, "''", "no name"},
        {huge_shape, "params/h0.w", "dimension 0"},
        {below_zero, "counter", "negative"},
        {beyond_disk, "4.0 PiB needed", "iB free"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct job job = {.dir = dir, .step = 7, .salt = 7, .change = cases[i].change};
        assert_int_equal(save_together(3, &job), 3);
        for (int rank = 0; rank < 3; rank++) assert_true(shared->message[rank][0]);
        message_says(shared->message[0], cases[i].first, cases[i].second);
        assert_string_equal(listing(), "");
    }
    struct job job = {.dir = dir, .step = 7, .salt = 7};
    assert_int_equal(save_together(3, &job), 0);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_hash_definition, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_many_ranks, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_hash_sees_every_part, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_latest, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_show, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_deleted_later, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_retention_beside, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_retention, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_same_step_again, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_load_mismatch, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_refused_saves, new_folder, old_folder),
    };
    return cmocka_run_group_tests(tests, map_shared, NULL);
}
