/* Checkpoints: a rank may hold many slices of an array, and other ranks others. */
#include "ckpt_fixture.h"

#include <hdf5.h>

#include "ckpt/shard.h"

/* ---- lists of slices ---- */

struct list {
    struct ckpt_array *entry;
    int count, capacity;
};

static struct ckpt_array *add(struct list *list, const struct ckpt_array *array, int64_t begin, int64_t end, int salt) {
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 16;
        list->entry = realloc(list->entry, (size_t)list->capacity * sizeof *list->entry);
    }
    struct ckpt_array *entry = &list->entry[list->count++];
    *entry = *array;
    entry->begin = begin;
    entry->end = end;
    entry->data = malloc((size_t)(end - begin) * dtype_size(array->type) + 1);
    fill_bytes(entry, salt);
    return entry;
}

static void list_free(struct list *list) {
    for (int i = 0; i < list->count; i++) free(list->entry[i].data);
    free(list->entry);
    *list = (struct list){0};
}

static unsigned draw(unsigned *seed, unsigned below) {
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

/* What this rank holds if every array is cut into pieces of at most `longest` elements, each for any of the ranks. All
 * ranks draw the same. */
static struct list cut_randomly(unsigned seed, int salt, int with_big, unsigned longest, int rank, int ranks) {
    struct list list = {0};
    for (int i = 0; i < ARRAYS + (with_big ? 1 : 0); i++) {
        const struct ckpt_array *array = i < ARRAYS ? &plain[i] : &big;
        int64_t elems = elems_of(array);
        int before = list.count;
        for (int64_t begin = 0, end; begin < elems; begin = end) {
            end = begin + 1 + draw(&seed, i < ARRAYS ? longest : 40 * longest);
            if (end > elems) end = elems;
            int owner = (int)draw(&seed, (unsigned)ranks), empty = (int)draw(&seed, 5 * (unsigned)ranks);
            if (owner == rank) add(&list, array, begin, end, salt);
            if (empty == rank) add(&list, array, end, end, salt);
        }
        if (list.count == before) add(&list, array, elems / 2, elems / 2, salt);
    }
    return list;
}

static int save_list(const struct job *job, struct ckpt_group *group, const struct list *list) {
    struct ckpt_meta meta = {.step = job->step, .adam_step = job->step - 1, .skipped = 1, .config = "name: \"a b\"\n"};
    return ckpt_save(job->dir, &meta, list->entry, list->count, NULL, group, NULL);
}

static int save_random(const struct job *job, struct ckpt_group *group) {
    struct list list =
        cut_randomly(job->seed, job->salt, job->with_big, (unsigned)job->shift, group->rank, group->size);
    int status = save_list(job, group, &list);
    list_free(&list);
    return status;
}

/* Loads under this cutting into memory that holds something else. The status of the load, or -1 for wrong content. */
static int load_random(const char *path, unsigned seed, int salt, int with_big, unsigned longest, int rank, int ranks) {
    struct list meant = cut_randomly(seed, salt, with_big, longest, rank, ranks);
    struct list found = cut_randomly(seed, salt + 1000, with_big, longest, rank, ranks);
    int status = ckpt_load(path, found.entry, found.count);
    for (int i = 0; i < meant.count && !status; i++) {
        size_t bytes = (size_t)(meant.entry[i].end - meant.entry[i].begin) * dtype_size(meant.entry[i].type);
        if (memcmp(meant.entry[i].data, found.entry[i].data, bytes)) status = -1;
    }
    list_free(&meant);
    list_free(&found);
    return status;
}

/* ---- tests ---- */

/* The view shows each array as it is: shape and elements, as any reader of HDF5 finds them. */
static void check_view(const char *place, int salt) {
    char path[512];
    snprintf(path, sizeof path, "%s/view.h5", place);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    for (int i = 0; i < ARRAYS; i++) {
        struct ckpt_array whole = plain[i];
        hsize_t dims[4] = {0};
        whole.end = elems_of(&whole);
        size_t bytes = (size_t)whole.end * dtype_size(whole.type);
        whole.data = calloc(bytes + 1, 1);
        char *found = calloc(bytes + 1, 1);
        fill_bytes(&whole, salt);
        hid_t dataset = H5Dopen2(file, whole.name, H5P_DEFAULT), space = H5Dget_space(dataset),
              type = H5Dget_type(dataset);
        assert_int_equal(H5Sget_simple_extent_dims(space, dims, NULL), whole.rank ? whole.rank : 1);
        for (int k = 0; k < whole.rank; k++) assert_int_equal(dims[k], whole.dim[k]);
        if (bytes) assert_true(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, found) >= 0);
        assert_memory_equal(found, whole.data, bytes);
        H5Tclose(type);
        H5Sclose(space);
        H5Dclose(dataset);
        free(whole.data);
        free(found);
    }
    H5Fclose(file);
}

static void test_any_cutting(void **unused) {
    (void)unused;
    char hash[33], first[33], one[256];
    assert_int_equal(save_alone(root, 5, 9, 0), 0); /* one slice of each array */
    snprintf(one, sizeof one, "%s/step-00000005", root);
    assert_int_equal(ckpt_hash(one, first), 0);
    for (int ranks = 1; ranks <= 5; ranks++)
        for (unsigned seed = 1; seed <= 4; seed++) {
            char place[256];
            snprintf(place, sizeof place, "%s/%d-%u", root, ranks, seed);
            struct job job = {.dir = place, .step = 5, .salt = 9, .save = save_random};
            job.shift = seed == 4 ? 100 : 1 << (2 * seed); /* the longest piece */
            job.seed = seed * 10 + (unsigned)ranks;
            assert_int_equal(save_together(ranks, &job), 0);
            strcat(place, "/step-00000005");
            assert_int_equal(ckpt_verify(place), 0);
            check_view(place, 9);
            assert_int_equal(ckpt_hash(place, hash), 0);
            assert_string_equal(hash, first);
            for (int readers = 1; readers <= 3; readers++)
                for (int rank = 0; rank < readers; rank++) {
                    assert_int_equal(load_and_compare(place, 9, 0, rank, readers, 1), 0);
                    assert_int_equal(load_random(place, seed, 9, 0, 7, rank, readers), 0);
                }
            assert_int_equal(load_random(place, job.seed, 9, 0, (unsigned)job.shift, ranks - 1, ranks),
                             0); /* as saved */
            assert_int_equal(load_random(one, seed, 9, 0, 7, 0, 2), 0);
        }
}

/* The same step again, cut otherwise, takes the place of what is there. */
static void test_same_content(void **unused) {
    (void)unused;
    assert_int_equal(save_alone(dir, 7, 9, 0), 0);
    struct job job = {.dir = dir, .step = 7, .salt = 9, .shift = 5, .save = save_random, .seed = 3};
    assert_int_equal(save_together(3, &job), 0);
    assert_int_equal(access(at("step-00000007/shard-00000-of-00001.h5"), F_OK), -1);
    job.salt = 8;
    assert_int_equal(save_together(3, &job), 0);
    assert_int_equal(access(at("step-00000007/shard-00002-of-00003.h5"), F_OK), 0);
    assert_int_equal(load_random(at("step-00000007"), 5, 8, 0, 6, 1, 2), 0);
}

/* Rank 0 has every other element, the others share the rest. */
static int save_comb(const struct job *job, struct ckpt_group *group) {
    enum { TEETH = 20000 };
    struct list list = {0};
    struct ckpt_array comb = {.name = "comb", .type = DTYPE_I32, .rank = 1, .dim = {2 * TEETH + 100}};
    if (group->rank == 0)
        for (int64_t i = 0; i < TEETH; i++) add(&list, &comb, 2 * i, 2 * i + 1, job->salt);
    else
        for (int64_t i = group->rank - 1; i < TEETH; i += group->size - 1)
            add(&list, &comb, 2 * i + 1, 2 * i + 2, job->salt);
    if (group->rank == group->size - 1) add(&list, &comb, 2 * TEETH, 2 * TEETH + 100, job->salt);
    add(&list, &big, group->rank ? BIG : 0, BIG, job->salt);
    int status = save_list(job, group, &list);
    list_free(&list);
    return status;
}

/* More than HDF5's older form has room for, and more than ranks tell each other at once. */
static void test_thousands(void **unused) {
    (void)unused;
    char hash[33], many[33];
    struct job job = {.dir = dir, .step = 7, .salt = 9, .save = save_comb};
    assert_int_equal(save_together(3, &job), 0);
    assert_int_equal(ckpt_hash(at("step-00000007"), many), 0);
    struct ckpt_array whole = {.name = "comb", .type = DTYPE_I32, .rank = 1, .dim = {40100}};
    struct list meant = {0}, found = {0};
    add(&meant, &whole, 0, 40100, 9);
    add(&meant, &big, 0, BIG, 9);
    add(&found, &whole, 0, 40100, 10);
    assert_int_equal(ckpt_load(at("step-00000007"), found.entry, 1), 0);
    assert_memory_equal(found.entry->data, meant.entry->data, 40100 * 4);
    job.dir = root;
    assert_int_equal(save_list(&job, &(struct ckpt_group){.size = 1}, &meant), 0);
    assert_int_equal(ckpt_hash(at("../../step-00000007"), hash), 0);
    assert_string_equal(hash, many);
    list_free(&meant);
    list_free(&found);

    job = (struct job){.dir = dir, .step = 8, .salt = 9, .with_big = 1, .shift = 6, .save = save_random, .seed = 1};
    assert_int_equal(save_together(4, &job), 0); /* 10000 slices of the big array */
    assert_int_equal(load_random(at("step-00000008"), 2, 9, 1, 3, 1, 3), 0);
    assert_int_equal(load_and_compare(at("step-00000008"), 9, 1, 1, 2, 0), 0);
}

/* ---- the form of the files ---- */

static int count_of(hid_t file, const char *array, const char *attribute) {
    if (H5Aexists_by_name(file, array, attribute, H5P_DEFAULT) <= 0) return 0;
    hid_t id = H5Aopen_by_name(file, array, attribute, H5P_DEFAULT, H5P_DEFAULT), space = H5Aget_space(id);
    int count = (int)H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    H5Aclose(id);
    return count;
}

static void attribute(hid_t file, const char *array, const char *name, int64_t *values, int write) {
    hid_t dataset = H5Dopen2(file, array, H5P_DEFAULT), id = H5Aopen(dataset, name, H5P_DEFAULT);
    assert_true((write ? H5Awrite(id, H5T_NATIVE_INT64, values) : H5Aread(id, H5T_NATIVE_INT64, values)) >= 0);
    H5Aclose(id);
    H5Dclose(dataset);
}

/* Slices [2, 4), [4, 9), [11, 12) of an array and all of another one. */
static struct list some_slices(void) {
    struct list list = {0};
    add(&list, &plain[1], 0, 0, 9);
    add(&list, &plain[1], 2, 4, 9);
    add(&list, &plain[1], 4, 9, 9);
    add(&list, &plain[1], 10, 10, 9);
    add(&list, &plain[1], 11, 12, 9);
    add(&list, &plain[3], 0, 95, 9);
    return list;
}

/* `at` may be NULL. */
static int write_shard(const char *path, const struct list *list, int buffered, int64_t *at) {
    struct manifest_file file;
    int64_t *places = calloc((size_t)list->count + 1, sizeof *places);
    assert_non_null(places);
    int status = shard_write(path, list->entry, list->count, buffered, &file, at ? at : places);
    if (!status) assert_int_equal(file.bytes, size_of(path));
    free(file.block);
    free(places);
    return status;
}

static void test_file(void **unused) {
    (void)unused;
    struct list list = some_slices();
    char path[128];
    snprintf(path, sizeof path, "%s/shard.h5", root);
    assert_int_equal(write_shard(path, &list, 0, NULL), 0);
    assert_int_equal(shard_bytes(list.entry, list.count), 8 * 8 + 95 + 2 * 3 * 8);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    int64_t values[4];
    double elements[8];
    assert_int_equal(count_of(file, "params/h0.b", "shape"), 1);
    assert_int_equal(count_of(file, "params/h0.b", "begin"), 3);
    assert_int_equal(count_of(file, "params/h0.b", "end"), 3);
    attribute(file, "params/h0.b", "begin", values, 0);
    assert_true(values[0] == 2 && values[1] == 4 && values[2] == 11);
    attribute(file, "params/h0.b", "end", values, 0);
    assert_true(values[0] == 4 && values[1] == 9 && values[2] == 12);
    hid_t dataset = H5Dopen2(file, "params/h0.b", H5P_DEFAULT), space = H5Dget_space(dataset);
    assert_int_equal(H5Sget_simple_extent_npoints(space), 8);
    assert_true(H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements) >= 0);
    assert_memory_equal(elements, list.entry[1].data, 2 * 8);
    assert_memory_equal(elements + 2, list.entry[2].data, 5 * 8);
    assert_memory_equal(elements + 7, list.entry[4].data, 8);
    H5Sclose(space);
    H5Dclose(dataset);
    assert_int_equal(count_of(file, "bytes", "begin"), 1); /* one slice: as ever */
    assert_int_equal(count_of(file, "bytes", "shape"), 3);
    assert_int_equal(count_of(file, "bytes", "end"), 0);
    H5Fclose(file);
    list_free(&list);
}

/* Empty entries leave no trace. */
static void test_file_of_one_slice(void **unused) {
    (void)unused;
    struct list bare = {0}, padded = {0};
    for (int i = 0; i < ARRAYS; i++) {
        int64_t elems = elems_of(&plain[i]), end = elems - elems / 3;
        add(&bare, &plain[i], elems / 3, end, 9);
        if (i % 2) add(&padded, &plain[i], 0, 0, 9);
        add(&padded, &plain[i], elems / 3, end, 9);
        add(&padded, &plain[i], end, end, 9);
        add(&padded, &plain[i], elems, elems, 9);
    }
    char path[2][128], *content[2];
    int64_t length[2];
    for (int i = 0; i < 2; i++) {
        const struct list *list = i ? &padded : &bare;
        snprintf(path[i], sizeof path[i], "%s/%d.h5", root, i);
        assert_int_equal(write_shard(path[i], list, 0, NULL), 0);
        content[i] = slurp(path[i], &length[i]);
    }
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(content[0], content[1], length[0]);
    hid_t file = H5Fopen(path[0], H5F_ACC_RDONLY, H5P_DEFAULT);
    for (int i = 0; i < ARRAYS - 1; i++) {
        H5O_info_t info;
        assert_true(H5Oget_info_by_name(file, plain[i].name, &info, H5P_DEFAULT) >= 0);
        assert_int_equal(info.num_attrs, 2); /* "shape" and "begin" */
        assert_int_equal(info.hdr.version, 1);
        assert_int_equal(count_of(file, plain[i].name, "begin"), 1);
    }
    H5Fclose(file);
    for (int i = 0; i < 2; i++) free(content[i]);
    list_free(&bare);
    list_free(&padded);
}

/* The same slices are the same file, few of them or many. */
static void test_same_bytes(void **unused) {
    (void)unused;
    enum { MANY = 12000 };
    struct list list = some_slices();
    for (int64_t i = 0; i < MANY; i++) add(&list, &big, 100 * i, 100 * i + 1 + i % 100, 9);
    char path[2][128], *content[2];
    int64_t length[2];
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/%d.h5", root, i);
        if (i) sleep(1); /* a time in the file would tell */
        assert_int_equal(write_shard(path[i], &list, i, NULL), 0);
        content[i] = slurp(path[i], &length[i]);
    }
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(content[0], content[1], length[0]);
    assert_true(length[0] >= shard_bytes(list.entry, list.count) &&
                length[0] < shard_bytes(list.entry, list.count) + 65536);
    for (int i = 0; i < 2; i++) free(content[i]);
    list_free(&list);
}

/* The file has each slice where it is said to be, without HDF5, and with it. */
static void test_places(void **unused) {
    (void)unused;
    struct list list = some_slices();
    add(&list, &big, 0, 7, 9);
    add(&list, &big, 1000, BIG, 9);
    for (int buffered = 0; buffered < 2; buffered++) {
        int64_t at[8], length;
        char path[128];
        snprintf(path, sizeof path, "%s/places-%d.h5", root, buffered);
        assert_int_equal(write_shard(path, &list, buffered, at), 0);
        char *content = slurp(path, &length);
        for (int i = 0, k = 0; i < list.count; i++) {
            const struct ckpt_array *slice = &list.entry[i];
            int64_t bytes = (slice->end - slice->begin) * (int64_t)dtype_size(slice->type);
            if (!bytes) continue;
            assert_true(at[k] > 0 && at[k] + bytes <= length);
            assert_memory_equal(content + at[k], slice->data, bytes);
            k++;
        }
        free(content);
        hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), dataset = H5Dopen2(file, big.name, H5P_DEFAULT);
        float *elements = calloc(BIG, sizeof *elements);
        assert_non_null(elements);
        assert_true(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements) >= 0);
        assert_memory_equal(elements, list.entry[list.count - 2].data, 7 * sizeof *elements);
        assert_memory_equal(elements + 7, list.entry[list.count - 1].data, (BIG - 1000) * sizeof *elements);
        free(elements);
        H5Dclose(dataset);
        H5Fclose(file);
    }
    list_free(&list);
}

static void test_damaged(void **unused) {
    (void)unused;
    struct job job = {.dir = dir, .step = 7, .salt = 9, .shift = 5, .save = save_random, .seed = 3};
    assert_int_equal(save_together(2, &job), 0);
    const char *file = "shard-00001-of-00002.h5";
    char path[256], shard[512], hash[33];
    snprintf(path, sizeof path, "%s", at("step-00000007"));
    snprintf(shard, sizeof shard, "%s/%s", path, file);
    int64_t size = size_of(shard), length;
    for (int64_t offset = 0; offset < size; offset += size / 23) {
        flip(shard, offset);
        assert_int_equal(ckpt_verify(path), STATUS_BAD_DATA);
        says(file, "ckpt ls");
        assert_int_equal(ckpt_hash(path, hash), STATUS_BAD_DATA);
        assert_int_equal(load_random(path, 4, 9, 0, 9, 0, 1), STATUS_BAD_DATA);
        says(file, "ckpt ls");
        flip(shard, offset);
    }
    char *content = slurp(shard, &length);
    for (int64_t cut = 0; cut < size; cut += size / 5) {
        assert_int_equal(truncate(shard, cut), 0);
        assert_int_equal(load_random(path, 4, 9, 0, 9, 0, 1), STATUS_BAD_DATA);
        says(file, "less than");
    }
    spit(shard, content, size);
    free(content);
    assert_int_equal(load_random(path, 4, 9, 0, 9, 0, 1), 0);
}

/* ---- what is refused ---- */

enum wrong { NOTHING, GAP, OVERLAP, DESCENDING, OVERLAP_OF_ONE, OTHER_SHAPE, OTHER_TYPE, APART, MISSING, OTHER_ORDER };

/* Two arrays in slices of three elements in turns, with something wrong on the last rank. */
static int save_wrong(const struct job *job, struct ckpt_group *group) {
    struct list list = {0};
    int last = group->rank == group->size - 1;
    enum wrong wrong = last ? (enum wrong)job->shift : NOTHING;
    for (int i = 0; i < 2; i++) {
        const struct ckpt_array *array = &plain[wrong == OTHER_ORDER ? 1 - i : i];
        int64_t elems = elems_of(array), place = 0;
        if (i == 1 && wrong == MISSING) continue;
        for (int64_t begin = 0; begin < elems; begin += 3, place++) {
            int64_t end = begin + 3 < elems ? begin + 3 : elems;
            if (place % group->size != group->rank) continue;
            int off = place > 40 && place <= 43 ? (wrong == GAP) - (wrong == OVERLAP) : 0; /* once of three ranks */
            add(&list, array, begin + off, end, job->salt);
        }
    }
    struct ckpt_array swap = list.entry[1];
    if (wrong == DESCENDING) list.entry[1] = list.entry[2], list.entry[2] = swap;
    if (wrong == OVERLAP_OF_ONE) list.entry[1].begin = list.entry[0].end - 1;
    if (wrong == OTHER_SHAPE) list.entry[1].dim[0] = 11, list.entry[1].dim[1] = 37;
    if (wrong == OTHER_TYPE) list.entry[1].type = DTYPE_I32;
    if (wrong == APART) add(&list, &plain[0], 407, 407, job->salt);
    int status = save_list(job, group, &list);
    list_free(&list);
    return status;
}

static void test_refused(void **unused) {
    (void)unused;
    static const struct {
        enum wrong wrong;
        const char *first, *second;
    } cases[] = {
        {GAP, "'params/h0.w'", "no rank holds elements [123, 124)"},
        {OVERLAP, "'params/h0.w'", "ranks 1 and 2 both hold element 122"},
        {DESCENDING, "'params/h0.w'", "slice [15, 18) comes after [24, 27)"},
        {OVERLAP_OF_ONE, "'params/h0.w'", "slice [8, 18) comes after [6, 9)"},
        {OTHER_SHAPE, "'params/h0.w'", "one slice is of f32 [37, 11], the next of f32 [11, 37]"},
        {OTHER_TYPE, "'params/h0.w'", "the next of i32 [37, 11]"},
        {APART, "'params/h0.w'", "is given twice"},
        {MISSING, "ranks 0 and 2", "different lists of arrays"},
        {OTHER_ORDER, "ranks 0 and 2", "different lists of arrays"},
    };
    struct job job = {.dir = dir, .step = 7, .salt = 9, .save = save_wrong};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        job.shift = (int)cases[i].wrong;
        assert_int_equal(save_together(3, &job), 3);
        message_says(shared->message[0], cases[i].first, cases[i].second);
        assert_string_equal(listing(), "");
    }
    job.shift = NOTHING;
    assert_int_equal(save_together(3, &job), 0);
}

static void test_show(void **unused) {
    (void)unused;
    struct job job = {.dir = dir, .step = 7, .salt = 9, .save = save_wrong};
    assert_int_equal(save_together(3, &job), 0);
    char *shown = NULL;
    size_t size;
    FILE *out = open_memstream(&shown, &size);
    assert_int_equal(ckpt_show(at("step-00000007"), out), 0);
    fclose(out);
    assert_non_null(strstr(shown, "  0:[0, 3)  1:[3, 6)  2:[6, 9)  0:[9, 12)  1:[12, 13)\n"));
    assert_non_null(strstr(shown, "  0:[0, 3)  1:[3, 6)  2:[6, 9)  0:[9, 12)  1:[12, 15)  2:[15, 18)  …  "
                                  "0:[405, 407)  (136 slices)\n"));
    free(shown);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_any_cutting, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_same_content, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_thousands, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_file, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_file_of_one_slice, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_same_bytes, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_places, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_damaged, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_refused, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_show, new_folder, old_folder),
    };
    return cmocka_run_group_tests(tests, map_shared, NULL);
}
