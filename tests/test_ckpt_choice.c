/* Checkpoints: which of them counts, where saves were interrupted, files are damaged, or the machine is in trouble. */
#include "ckpt_fixture.h"

#include <errno.h>
#include <sys/syscall.h>

/* In place of a save: ranks look for the newest together; one that does not find step 6 fails. */
static int find_together(const struct job *job, struct ckpt_group *group) {
    char path[512], *told = NULL;
    size_t length;
    FILE *passed_over = open_memstream(&told, &length);
    int status = ckpt_latest(job->dir, group, path, sizeof path, passed_over);
    fclose(passed_over);
    if (!status && !strstr(path, "step-00000006")) status = fail(STATUS_FAILED, "found %s", path);
    /* rank 0 tells of step 7, and no other does */
    int tells = strstr(told, "passed over step-00000007: ") && strstr(told, "shard-00001-of-00002.h5: the content");
    if (!status && tells != !group->rank) status = fail(STATUS_FAILED, "rank %d tells '%s'", group->rank, told);
    free(told);
    return status;
}

/* Ranks share the blocks: whichever is bad, one of them finds it, and all pass it over. */
static void test_found_together(void **unused) {
    (void)unused;
    struct job job = {.dir = dir, .step = 6, .salt = 6, .with_big = 1};
    for (int ranks = 1; ranks <= 4; ranks++) {
        struct job none = {.dir = at("../none"), .save = find_together};
        assert_int_equal(save_together(ranks, &none), ranks);
        message_says(shared->message[0], "none", "cannot open");
    }
    job.shift = 900000; /* the shard of rank 1 has most of it: two blocks */
    assert_int_equal(save_together(2, &job), 0);
    job.step = 7;
    job.shift = -600000;
    assert_int_equal(save_together(2, &job), 0);
    char shard[512];
    snprintf(shard, sizeof shard, "%s", at("step-00000007/shard-00001-of-00002.h5"));
    assert_true(size_of(shard) > 4 << 20);
    job.save = find_together;
    for (int block = 0; block < 2; block++) {
        flip(shard, block ? size_of(shard) - 1 : 100);
        for (int ranks = 1; ranks <= 5; ranks++) assert_int_equal(save_together(ranks, &job), 0);
        flip(shard, block ? size_of(shard) - 1 : 100);
    }
    assert_int_equal(save_together(3, &job), 3); /* step 7 is whole again */
}

/* What a kill can leave between two steps of a replacement or a deletion. */
static void test_interrupted(void **unused) {
    (void)unused;
    char path[256];
    assert_int_equal(save_alone(dir, 7, 7, 0), 0);
    assert_int_equal(rename(at("step-00000007"), at("step-00000007.old")), 0);
    mkdir(at("step-00000009.tmp"), 0777);
    spit(at("step-00000009.tmp/shard-00000-of-00001.h5"), "half", 4);
    assert_int_equal(ckpt_latest(dir, NULL, path, sizeof path, NULL), 0); /* the one moved aside counts */
    assert_string_equal(path, at("step-00000007.old"));
    assert_int_equal(save_alone(dir, 7, 8, 0), 0);
    assert_string_equal(listing(), "step-00000007"); /* and is superseded; what was half-written is gone */
    assert_int_equal(load_and_compare(at("step-00000007"), 8, 0, 0, 1, 0), 0);

    assert_int_equal(save_alone(dir, 6, 6, 0), 0);
    assert_int_equal(rename(at("step-00000006"), at("step-00000007.old")), 0);
    assert_int_equal(save_alone(dir, 8, 8, 5), 0); /* an aside whose successor is whole does not count as one to keep */
    assert_string_equal(listing(), "step-00000007 step-00000008");
}

static ino_t inode_of(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

/* Of a step that was being replaced, the one that is whole is the one that stays, under the step's name. */
static void test_settled(void **unused) {
    (void)unused;
    for (int broken = 0; broken < 2; broken++)
        for (int by_prune = 0; by_prune < 2; by_prune++) {
            assert_int_equal(save_alone(dir, 7, 7, 0), 0);
            ino_t old = inode_of(at("step-00000007/manifest.json"));
            assert_int_equal(rename(at("step-00000007"), at("step-00000007.old")), 0);
            assert_int_equal(save_alone(at("../other"), 7, 7, 0), 0);
            assert_int_equal(rename(at("../other/step-00000007"), at("step-00000007")), 0);
            ino_t new = inode_of(at("step-00000007/manifest.json"));
            if (broken) flip(at("step-00000007/view.h5"), 1000); /* its sizes are right */
            struct ckpt_keep keep = {.newest = 3};
            if (by_prune)
                assert_int_equal(ckpt_prune(dir, &keep, 0, NULL), 0);
            else
                assert_int_equal(save_alone(dir, 8, 8, 3), 0);
            assert_string_equal(listing(), by_prune ? "step-00000007" : "step-00000007 step-00000008");
            assert_int_equal(ckpt_verify(at("step-00000007")), 0);
            assert_int_equal(inode_of(at("step-00000007/manifest.json")), broken ? old : new);
            assert_int_equal(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
        }
}

/* Something that cannot be deleted, where the next folder is to be. */
static void test_in_the_way(void **unused) {
    (void)unused;
    assert_int_equal(save_alone(dir, 6, 6, 0), 0);
    mkdir(at("step-00000007.tmp"), 0777);
    mkdir(at("step-00000007.tmp/not-ours"), 0777);
    assert_int_equal(save_alone(dir, 7, 7, 0), 0);
    assert_int_equal(load_and_compare(at("step-00000007"), 7, 0, 0, 1, 0), 0);
}

/* In place of the system's own: a machine that is short of something, or a disk that is broken. */
static int read_error;
ssize_t pread(int fd, void *data, size_t size, off_t offset) {
    if (!read_error) return syscall(SYS_pread64, fd, data, size, offset);
    errno = read_error;
    return -1;
}

/* An earlier checkpoint is taken where the newest is bad, not where this machine is. */
static void test_passing_trouble(void **unused) {
    (void)unused;
    char path[256];
    assert_int_equal(save_alone(dir, 7, 7, 0), 0);
    read_error = ENOMEM;
    assert_int_equal(ckpt_latest(dir, NULL, path, sizeof path, NULL), STATUS_FAILED);
    says("step-00000007/shard-00000-of-00001.h5: cannot read", strerror(ENOMEM));
    assert_int_equal(ckpt_verify(at("step-00000007")), STATUS_FAILED);
    read_error = EIO;
    assert_int_equal(ckpt_latest(dir, NULL, path, sizeof path, NULL), STATUS_BAD_DATA);
    assert_int_equal(ckpt_verify(at("step-00000007")), STATUS_BAD_DATA);
    says("step-00000007/shard-00000-of-00001.h5: cannot read", "ckpt ls");
    read_error = 0;
    assert_int_equal(ckpt_latest(dir, NULL, path, sizeof path, NULL), 0);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_found_together, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_interrupted, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_settled, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_in_the_way, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_passing_trouble, new_folder, old_folder),
    };
    return cmocka_run_group_tests(tests, map_shared, NULL);
}
