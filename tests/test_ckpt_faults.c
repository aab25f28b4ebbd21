/* Checkpoints: what was damaged, half-written or did not fit never counts, and is named. */
#include "ckpt_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include <xxhash.h>

/* Every reading function refuses, and the message names the file. */
static void refused(const char *path, const char *file) {
    char hash[33];
    assert_int_equal(ckpt_verify(path), STATUS_BAD_DATA);
    says(file, "ckpt ls");
    assert_int_equal(ckpt_hash(path, hash), STATUS_BAD_DATA);
    says(file, "ckpt ls");
    assert_int_equal(load_and_compare(path, 7, 0, 0, 1, 0), STATUS_BAD_DATA);
    says(file, "ckpt ls");
}

static void test_damaged_shards(void **unused) {
    (void)unused;
    struct job job = {.dir = dir, .step = 7, .salt = 7};
    assert_int_equal(save_together(2, &job), 0);
    job.step = 8;
    job.salt = 8;
    assert_int_equal(save_together(2, &job), 0);
    const char *file = "shard-00001-of-00002.h5";
    char path[256], shard[512], spare[256], other[256];
    snprintf(path, sizeof path, "%s", at("step-00000007"));
    snprintf(shard, sizeof shard, "%s/%s", path, file);
    snprintf(spare, sizeof spare, "%s/spare", root);
    snprintf(other, sizeof other, "%s", at("step-00000008/%s", file));

    int64_t size = size_of(shard), length;
    for (int64_t offset = 0; offset < size; offset += size / 9) { /* the superblock, structures and data */
        flip(shard, offset);
        refused(path, file);
        flip(shard, offset);
    }
    flip(shard, size - 1);
    refused(path, file);
    flip(shard, size - 1);
    assert_int_equal(load_and_compare(path, 7, 0, 0, 1, 0), 0);

    char *content = slurp(shard, &length);
    for (int64_t cut = 0; cut < size; cut += size / 3) {
        assert_int_equal(truncate(shard, cut), 0);
        refused(path, file);
        says("less than", file);
    }
    spit(shard, content, size);
    assert_int_equal(truncate(shard, size + 1), 0);
    refused(path, file);
    says("more than", file);
    spit(shard, content, size);
    free(content);
    assert_int_equal(load_and_compare(path, 7, 0, 0, 1, 0), 0);

    assert_int_equal(rename(shard, spare), 0);
    refused(path, file);
    says("missing", file);
    assert_int_equal(rename(other, shard), 0); /* of the same size: only the hash tells */
    assert_int_equal(rename(spare, other), 0);
    refused(path, file);
    refused(at("step-00000008"), file);
}

static const char *const all_files[] = {"shard-00000-of-00002.h5", "shard-00001-of-00002.h5", "view.h5",
                                        "tokenizer.json", "manifest.json"};

static void bad_file(const char *path, const char *file) {
    assert_int_equal(ckpt_verify(path), STATUS_BAD_DATA);
    says(file, "ckpt ls");
    char found[512];
    assert_int_equal(ckpt_latest(dir, NULL, found, sizeof found, NULL), STATUS_BAD_DATA); /* none to resume from */
}

/* Of every file: each byte, whatever it is for; any length; not there at all. */
#ifdef __SANITIZE_ADDRESS__
enum { BYTE_STEP = 5 }; /* the other build tries all; this one is ten times as slow */
#else
enum { BYTE_STEP = 1 };
#endif

static void test_every_byte(void **unused) {
    (void)unused;
    struct job job = {.dir = dir, .step = 7, .salt = 7, .tokenizer = "{\"version\": \"1.0\"}"};
    assert_int_equal(save_together(2, &job), 0);
    char path[256], file[512], aside[256];
    snprintf(path, sizeof path, "%s", at("step-00000007"));
    snprintf(aside, sizeof aside, "%s/aside", root);
    for (size_t i = 0; i < sizeof all_files / sizeof *all_files; i++) {
        snprintf(file, sizeof file, "%s/%s", path, all_files[i]);
        int64_t size, length;
        char *content = slurp(file, &size);
        int fd = open(file, O_RDWR);
        for (int64_t byte = 0; byte < size; byte += BYTE_STEP) {
            char wrong = (char)(content[byte] ^ (1 << byte % 8));
            assert_int_equal(syscall(SYS_pwrite64, fd, &wrong, (size_t)1, byte), 1);
            bad_file(path, all_files[i]);
            assert_int_equal(syscall(SYS_pwrite64, fd, &content[byte], (size_t)1, byte), 1);
        }
        close(fd);
        for (length = 0; length < size; length += 1 + size / 50) {
            spit(file, content, length);
            bad_file(path, all_files[i]);
        }
        spit(file, content, size);
        assert_int_equal(truncate(file, size + 1), 0);
        bad_file(path, all_files[i]);
        spit(file, content, size);
        assert_int_equal(rename(file, aside), 0);
        bad_file(path, i == 4 ? "" : all_files[i]);
        assert_int_equal(rename(aside, file), 0);
        assert_int_equal(ckpt_verify(path), 0);
        free(content);
    }
}

static void swap(const char *a, const char *b) {
    char aside[256];
    snprintf(aside, sizeof aside, "%s/aside", root);
    assert_int_equal(rename(a, aside), 0);
    assert_int_equal(rename(b, a), 0);
    assert_int_equal(rename(aside, b), 0);
}

/* Files that are whole, and of another rank, or of the same step of another run. */
static void test_wrong_files(void **unused) {
    (void)unused;
    char path[256], other[256], theirs[160];
    struct job job = {.dir = dir, .step = 7, .salt = 7, .tokenizer = "{\"version\": \"1.0\"}"};
    snprintf(theirs, sizeof theirs, "%s/other/ckpt", root);
    assert_int_equal(save_together(2, &job), 0);
    job.dir = theirs;
    job.salt = 8;
    job.tokenizer = "{\"version\": \"1.1\"}";
    assert_int_equal(save_together(2, &job), 0);
    snprintf(path, sizeof path, "%s", at("step-00000007"));
    snprintf(other, sizeof other, "%s/step-00000007", theirs);
    for (int i = 0; i < 4; i++) {
        if (i == 2) continue; /* views of equal arrays, cut in the same way, are the same file */
        char mine[512], their_file[512];
        snprintf(mine, sizeof mine, "%s/%s", path, all_files[i]);
        snprintf(their_file, sizeof their_file, "%s/%s", other, all_files[i]);
        assert_int_equal(size_of(mine), size_of(their_file));
        swap(mine, their_file);
        bad_file(path, all_files[i]);
        assert_int_equal(ckpt_verify(other), STATUS_BAD_DATA);
        says(all_files[i], other);
        swap(mine, their_file);
    }
    swap(at("step-00000007/%s", all_files[0]), at("step-00000007/%s", all_files[1])); /* of two ranks */
    refused(path, "-of-00002.h5"); /* one of the two: threads read both */
    swap(at("step-00000007/%s", all_files[0]), at("step-00000007/%s", all_files[1]));
    char mine[512], their_file[512];
    snprintf(mine, sizeof mine, "%s/manifest.json", path);
    snprintf(their_file, sizeof their_file, "%s/manifest.json", other);
    swap(mine, their_file); /* the manifest of another run: all else is wrong then */
    refused(path, "-of-00002.h5");
    swap(mine, their_file);
    assert_int_equal(ckpt_verify(path), 0);
    assert_int_equal(ckpt_verify(other), 0);
}

/* The rule of manifest.h, applied by hand: 32 digits in front, over all bytes after them. */
static void seal(char *manifest) {
    char *digits = strstr(manifest, "\"manifest_hash\":\t\"") + strlen("\"manifest_hash\":\t\"");
    XXH128_hash_t hash = XXH3_128bits(digits + 32, strlen(digits + 32));
    char hex[33];
    snprintf(hex, sizeof hex, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64, (uint64_t)hash.low64);
    memcpy(digits, hex, 32);
}

static void test_damaged_manifest(void **unused) {
    (void)unused;
    assert_int_equal(save_alone(dir, 7, 7, 0), 0);
    char path[256], manifest[512];
    snprintf(path, sizeof path, "%s", at("step-00000007"));
    snprintf(manifest, sizeof manifest, "%s/manifest.json", path);
    int64_t length;
    char *whole = slurp(manifest, &length), *edit = calloc((size_t)length + 64, 1);
    struct ckpt_meta meta;
    for (int64_t i = 0; i < length; i++) { /* every byte, two of its bits */
        for (int bit = 0; bit < 8; bit += 5) {
            memcpy(edit, whole, (size_t)length);
            edit[i] ^= (char)(1 << bit);
            spit(manifest, edit, length);
            assert_int_equal(ckpt_read_meta(path, &meta), STATUS_BAD_DATA);
            says("manifest.json", "ckpt ls");
        }
    }
    for (int64_t i = 0; i < length; i += 13) { /* cut anywhere */
        spit(manifest, whole, i);
        assert_int_equal(ckpt_read_meta(path, &meta), STATUS_BAD_DATA);
    }
    spit(manifest, whole, 0);
    refused(path, "manifest.json");
    says("empty", path);
    spit(manifest, "hello", 5);
    refused(path, "manifest.json");
    says("not JSON", path);
    strcpy(stpcpy(edit, whole), "x");
    spit(manifest, edit, length + 1);
    refused(path, "manifest.json");

    strcpy(edit, whole);
    memcpy(strstr(edit, "\"format\":\t2"), "\"format\":\t1", strlen("\"format\":\t1"));
    seal(edit);
    spit(manifest, edit, length);
    refused(path, "manifest.json");
    says("format", "version");
    strcpy(edit, whole);
    memcpy(strstr(edit, "\"step\":\t"), "\"stop\":\t", strlen("\"step\":\t"));
    seal(edit);
    spit(manifest, edit, length);
    refused(path, "manifest.json");
    says("'step'", "missing");
    strcpy(edit, whole); /* a hash of a block too few, a digit that is none */
    char *blocks = strstr(edit, "\"blocks\":\t\"") + strlen("\"blocks\":\t\"");
    blocks[3] = 'g';
    seal(edit);
    spit(manifest, edit, length);
    refused(path, "manifest.json");
    says("'files'", "impossible");
    strcpy(edit, whole);
    memmove(blocks, blocks + 1, strlen(blocks));
    seal(edit);
    spit(manifest, edit, length - 1);
    refused(path, "manifest.json");
    says("'files'", "impossible");
    spit(manifest, whole, length);
    assert_int_equal(ckpt_verify(path), 0);
    unlink(manifest);
    refused(path, "manifest.json");
    refused(at("step-00000009"), "no such folder");
    free(whole);
    free(edit);
}

/* A reader of a part checks that part, and no more; each of a file's blocks is checked by somebody. */
static void test_parts(void **unused) {
    (void)unused;
    enum { BLOCK = 4 << 20, ELEMS = 5 * (BLOCK / 4) / 2 };
    struct ckpt_array array = {.name = "long", .type = DTYPE_F32, .rank = 1, .dim = {ELEMS}, .end = ELEMS};
    struct ckpt_meta meta = {.step = 7};
    struct ckpt_group group = {.size = 1};
    float *values = malloc(ELEMS * sizeof *values), *found = malloc(ELEMS * sizeof *found);
    assert_true(values && found);
    for (int i = 0; i < ELEMS; i++) values[i] = (float)i;
    array.data = values;
    assert_int_equal(ckpt_save(dir, &meta, &array, 1, NULL, &group, NULL), 0);
    char path[256], shard[512], hash[33];
    snprintf(path, sizeof path, "%s", at("step-00000007"));
    snprintf(shard, sizeof shard, "%s/shard-00000-of-00001.h5", path);
    int64_t size = size_of(shard);
    assert_true(size > 2 * BLOCK && size < 3 * BLOCK);
    array.data = found;
    for (int block = 0; block < 3; block++) {
        int64_t byte = block == 2 ? size - 1 : (int64_t)block * BLOCK + 1 + block * 1000;
        flip(shard, byte);
        assert_int_equal(ckpt_verify(path), STATUS_BAD_DATA);
        says("shard-00000-of-00001.h5", "is not what was saved");
        assert_int_equal(ckpt_hash(path, hash), STATUS_BAD_DATA);
        for (int part = 0; part < 3; part++) { /* elements that lie well inside of one block */
            array.begin = (int64_t)part * (BLOCK / 4) + 5000;
            array.end = array.begin + 1000;
            memset(found, 0, 1000 * sizeof *found);
            assert_int_equal(ckpt_load(path, &array, 1), part == block ? STATUS_BAD_DATA : 0);
            if (part != block) assert_memory_equal(found, values + array.begin, 1000 * sizeof *found);
        }
        array.begin = 0;
        array.end = ELEMS;
        assert_int_equal(ckpt_load(path, &array, 1), STATUS_BAD_DATA);
        flip(shard, byte);
    }
    assert_int_equal(ckpt_load(path, &array, 1), 0);
    assert_memory_equal(found, values, ELEMS * sizeof *found);
    free(values);
    free(found);
}

/* ---- disks that are full ---- */

static int limited_rank;
static rlim_t limit;

/* Every write beyond the limit fails, as on a full disk, with EFBIG in place of ENOSPC. */
static void limit_files(struct state *state, int rank) {
    (void)state;
    if (rank != limited_rank) return;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, RLIM_INFINITY});
}

static void test_failed_write(void **unused) {
    (void)unused;
    assert_int_equal(save_alone(dir, 6, 6, 0), 0);
    struct job job = {.dir = dir, .step = 7, .salt = 7, .with_big = 1, .change = limit_files};
    limited_rank = 1;
    limit = 600000;
    for (job.beside = 0; job.beside < 2; job.beside++) {
        assert_int_equal(save_together(3, &job), 3);
        message_says(shared->message[0], "rank 1: ", "step-00000007.tmp/shard-00001-of-00003.h5");
        message_says(shared->message[0], "cannot write", strerror(EFBIG));
        message_says(shared->message[1], "shard-00001-of-00003.h5", strerror(EFBIG));
        message_says(shared->message[2], "step-00000007", "another rank");
        assert_string_equal(listing(), "step-00000006");
        assert_int_equal(ckpt_verify(at("step-00000006")), 0);
    }

    /* Wherever it happens: in the superblock, the structures, the data, the last flush, the manifest. */
    job.with_big = 0;
    job.change = NULL;
    assert_int_equal(save_together(1, &job), 0);
    static const char *const files[] = {"shard-00000-of-00001.h5", "view.h5", "manifest.json"};
    int64_t size = 0;
    for (int i = 0; i < 3; i++)
        if (size_of(at("step-00000007/%s", files[i])) > size) size = size_of(at("step-00000007/%s", files[i]));
    job.step = 8;
    job.change = limit_files;
    limited_rank = 0;
    for (limit = 0; (int64_t)limit < size; limit += 331) {
        job.beside = limit / 331 % 2;
        assert_int_equal(save_together(1, &job), 1);
        message_says(shared->message[0], "step-00000008.tmp/", strerror(EFBIG));
        assert_string_equal(listing(), "step-00000006 step-00000007");
    }
    limit = (rlim_t)size;
    assert_int_equal(save_together(1, &job), 0);
}

/* In place of the system's own: says that everything fits, when it shall, as if others filled the disk afterwards. */
static int disk_seems_empty;
int statvfs(const char *path, struct statvfs *info) {
    struct statfs here;
    if (statfs(path, &here)) return -1;
    *info = (struct statvfs){.f_frsize = (unsigned long)here.f_frsize,
                             .f_bavail = disk_seems_empty ? (fsblkcnt_t)1 << 40 : here.f_bavail};
    return 0;
}

/* In place of the system's own: one byte of a large write goes wrong, when it shall. */
static int disk_corrupts;
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    ssize_t n = syscall(SYS_pwrite64, fd, data, size, offset);
    char wrong = (char)~*(const char *)data;
    if (disk_corrupts && n > 1000000) syscall(SYS_pwrite64, fd, &wrong, (size_t)1, offset);
    return n;
}

static void test_corrupting_disk(void **unused) {
    (void)unused;
    struct job job = {.dir = dir, .step = 7, .salt = 7, .with_big = 1};
    disk_corrupts = 1;
    int failed = save_together(2, &job);
    disk_corrupts = 0;
    assert_int_equal(failed, 2);
    message_says(shared->message[1], "shard-00001-of-00002.h5: bytes [0, ", "read back differently");
    assert_string_equal(listing(), "");
}

/* With a file system of our own, where the system lets us have one. */
static void test_full_disk(void **unused) {
    (void)unused;
    static const struct {
        const char *options;
        int ranks, with_big, seems_empty;
        const char *first, *second;
    } cases[] = {
        {"size=512k", 1, 0, 0, "1.0 MiB needed", "512.0 KiB free"},
        {"size=2m", 3, 0, 0, "3.0 MiB needed", "2.0 MiB free"}, /* each rank's part would fit alone */
        {"size=4k", 1, 0, 1, "shard-00000-of-00001.h5: cannot write", "ENOSPC"},
        {"size=8k", 1, 0, 1, "shard-00000-of-00001.h5: cannot write", "ENOSPC"},
        {"size=2m", 1, 1, 1, "shard-00000-of-00001.h5: cannot write", "ENOSPC"},
        {"size=2m", 3, 1, 1, "-of-00003.h5: cannot write", "ENOSPC"},
        {"size=8m,nr_inodes=4", 1, 0, 0, "step-00000007.tmp/view.h5: cannot create", "ENOSPC"},
        {"size=8m,nr_inodes=5", 1, 0, 0, "step-00000007.tmp/manifest.json: cannot create", "ENOSPC"},
    };
    char place[128], folder[160];
    snprintf(place, sizeof place, "%s/small", root);
    snprintf(folder, sizeof folder, "%s/ckpt", place);
    mkdir(place, 0777);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (mount("tmpfs", place, "tmpfs", 0, cases[i].options)) {
            print_message("no small disk to fill: mount: %s\n", strerror(errno));
            skip();
        }
        struct job job = {.dir = folder, .step = 7, .salt = 7, .with_big = cases[i].with_big};
        disk_seems_empty = cases[i].seems_empty;
        int failed = save_together(cases[i].ranks, &job);
        disk_seems_empty = 0;
        int left = rmdir(folder) != 0;
        umount2(place, MNT_DETACH); /* whatever came out, so nothing is asserted before */
        assert_int_equal(failed, cases[i].ranks);
        assert_int_equal(left, 0);
        int by_system = strcmp(cases[i].second, "ENOSPC") == 0;
        message_says(shared->message[0], cases[i].first, by_system ? strerror(ENOSPC) : cases[i].second);
    }
}

/* Page by page up to a disk on which everything fits: the last that is too small has room for all but the manifest. */
static void test_disk_of_any_size(void **unused) {
    (void)unused;
    char folder[160], options[32], message[2048] = "";
    snprintf(folder, sizeof folder, "%s/ckpt", root);
    struct job job = {.dir = folder, .step = 7, .salt = 7};
    int failed = 1, named = 1;
    for (int pages = 1; failed && named; pages++) {
        snprintf(options, sizeof options, "size=%dk", 4 * pages);
        if (mount("tmpfs", root, "tmpfs", 0, options)) {
            print_message("no small disk to fill: mount: %s\n", strerror(errno));
            skip();
        }
        disk_seems_empty = 1;
        failed = save_together(1, &job);
        disk_seems_empty = 0;
        umount2(root, MNT_DETACH);
        if (failed) snprintf(message, sizeof message, "%s", shared->message[0]);
        named = !failed || strstr(message, strerror(ENOSPC));
    }
    assert_true(named);
    message_says(message, "manifest.json", "cannot write");
}

static void test_file_in_the_way(void **unused) {
    (void)unused;
    char file[160];
    snprintf(file, sizeof file, "%s/runs", root);
    spit(file, "", 0);
    assert_int_equal(save_alone(dir, 7, 7, 0), STATUS_FAILED);
    says(file, strerror(EEXIST));
    unlink(file);
    assert_int_equal(save_alone(dir, 6, 6, 0), 0);
    spit(at("step-00000007"), "", 0);
    struct job job = {.dir = dir, .step = 7, .salt = 7};
    assert_int_equal(save_together(2, &job), 2);
    message_says(shared->message[0], "step-00000007", "in the way");
    assert_string_equal(listing(), "step-00000006 step-00000007");
}

/* ---- kill -9 ---- */

/* In place of the system's own: does nothing, when it need not. A killed process loses nothing that it has written. */
static int sync_is_needless;
int fsync(int fd) { return sync_is_needless ? 0 : (int)syscall(SYS_fsync, fd); }

/* What the killed process was about: step 7 again, with other content, keeping one checkpoint of two. */
static int replace_step(void) { return save_alone(dir, 7, 8, 1); }

/* Runs replace_step() in a process that is killed at its `stop`-th entry to or return from a system call. 1: it was
 * killed; 0: it came to its end before that; -1: processes cannot be traced here. */
static int killed_at(int stop) {
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(99);
        raise(SIGSTOP);
        _exit(replace_step());
    }
    int how, calls = 0;
    while (waitpid(child, &how, 0) == child && WIFSTOPPED(how) && calls++ < stop)
        ptrace(PTRACE_SYSCALL, child, NULL, NULL);
    if (WIFSTOPPED(how)) {
        kill(child, SIGKILL);
        waitpid(child, &how, 0);
        return 1;
    }
    if (WIFEXITED(how) && WEXITSTATUS(how) == 99) return -1;
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    return 0;
}

/* AddressSanitizer gives freed memory back now and then, by a hundred system calls in one process and none in the next. With
 * little to give back the processes that are killed make the same calls, and each moment is met. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "quarantine_size_mb=1"; }

/* A kill at any moment leaves the old content or the new, never less; and the next save clears up. */
static void test_kill(void **unused) {
    (void)unused;
    char path[256];
    int moments[2] = {0}, killed = 1;
    sync_is_needless = 1;
    for (int stop = 1; killed; stop += 2) { /* every entry: a return leaves the disk as the next entry finds it */
        assert_int_equal(save_alone(dir, 6, 6, 0), 0);
        assert_int_equal(save_alone(dir, 7, 7, 0), 0);
        killed = killed_at(stop);
        if (killed < 0) {
            print_message("processes cannot be traced here\n");
            skip();
        }
        assert_int_equal(ckpt_latest(dir, NULL, path, sizeof path, NULL), 0);
        assert_non_null(strstr(path, "step-00000007"));
        int old = load_and_compare(path, 7, 0, 0, 1, 0) == 0;
        if (!old) assert_int_equal(load_and_compare(path, 8, 0, 0, 1, 0), 0);
        assert_true(!old || killed);
        moments[old]++;
        assert_int_equal(replace_step(), 0);
        assert_int_equal(load_and_compare(at("step-00000007"), 8, 0, 0, 1, 0), 0);
        assert_string_equal(listing(), "step-00000007");
    }
    sync_is_needless = 0;
    assert_true(moments[0] > 10 && moments[1] > 50); /* it was killed indeed, before and after the commit */
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_damaged_shards, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_every_byte, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_wrong_files, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_damaged_manifest, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_parts, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_failed_write, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_corrupting_disk, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_full_disk, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_disk_of_any_size, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_file_in_the_way, new_folder, old_folder),
        cmocka_unit_test_setup_teardown(test_kill, new_folder, old_folder),
    };
    return cmocka_run_group_tests(tests, map_shared, NULL);
}
