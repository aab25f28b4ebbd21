/* Files of checkpoints are written block by block: past the page cache or through it, they hold what they should, the hashes are those
 * of what they hold, and a disk that does something else is found out. */
#include "ckpt_fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>

#include "ckpt/blocks_write.h"

enum {
    NOTHING,
    CORRUPT,
    SHORT,
    ODD,
    INTERRUPTED,
    FULL,
    NO_DIRECT,
    NO_DIRECT_READ,
    SHORT_READ,
    ODD_READ,
    NO_THREAD,
    LOST,
    READ_ERROR
};

static int trouble;          /* what goes wrong, */
static _Atomic int met;      /* and how often it did */
static int64_t trouble_from; /* with calls that touch a byte from here on */

static int is_direct(int fd) { return (fcntl(fd, F_GETFL) & O_DIRECT) != 0; }

static ssize_t fail_with(int error) {
    met++;
    errno = error;
    return -1;
}

/* In place of the system's own. */
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    size_t now = size;
    if (offset + (off_t)size <= trouble_from) return syscall(SYS_pwrite64, fd, data, size, offset);
    if (trouble == FULL) return fail_with(ENOSPC);
    if (trouble == NO_DIRECT && is_direct(fd)) return fail_with(EINVAL);
    if (trouble == INTERRUPTED && met < 3) return fail_with(EINTR);
    if (trouble == SHORT && size > 8192 && ++met) now = size / 2 / 4096 * 4096;
    if (trouble == ODD && size > 8192 && !is_direct(fd) && ++met) now = size / 2 + 1;
    if (trouble == LOST && ++met) return (ssize_t)size;
    if (trouble == CORRUPT && ++met) {
        char *copy = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
        assert_non_null(copy);
        memcpy(copy, data, size);
        copy[size / 3] ^= 1;
        ssize_t n = syscall(SYS_pwrite64, fd, copy, size, offset);
        free(copy);
        return n;
    }
    return syscall(SYS_pwrite64, fd, data, now, offset);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset) {
    if (trouble == READ_ERROR && offset + (off_t)size > trouble_from) return fail_with(EIO);
    if (trouble == NO_DIRECT_READ && is_direct(fd)) return fail_with(EINVAL);
    if (is_direct(fd)) { /* where the rules are broken, or more is asked for than there is room for */
        if (size % 4096 || offset % 4096 || (uintptr_t)data % 4096) return fail_with(EINVAL);
        if (size > BLOCK_BYTES) abort();
    }
    if (trouble == SHORT_READ && size > 8192 && ++met) size = size / 2 / 4096 * 4096;
    if (trouble == ODD_READ && size > 8192 && ++met) size = size / 2 + 1;
    if (trouble == ODD_READ || trouble == NO_DIRECT_READ)
        if ((offset % BLOCK_BYTES) + (off_t)size > BLOCK_BYTES) abort();
    return syscall(SYS_pread64, fd, data, size, offset);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (trouble == NO_THREAD && ++met) return EAGAIN;
    return ((create *)dlsym(RTLD_NEXT, "pthread_create"))(thread, attributes, start, argument);
}

static unsigned char byte_at(int64_t at) { return (unsigned char)(((uint64_t)at * 2654435761u) >> 11); }

static int fill(void *context, int64_t at, char *block, int64_t length) {
    int64_t *next = context;
    assert_int_equal(at, *next); /* in order, each once */
    *next += length;
    for (int64_t i = 0; i < length; i++) block[i] = (char)byte_at(at + i);
    return 0;
}

static const char *path_of(void) { return at("../../file"); }

static int write_file(int64_t bytes, int buffered, struct manifest_file *file) {
    int64_t next = 0;
    unlink(path_of());
    met = 0;
    return blocks_write(path_of(), bytes, buffered, fill, &next, file);
}

/* The file is whole, and its hashes are those of its blocks. */
static void is_whole(int64_t bytes, const struct manifest_file *file) {
    int64_t length;
    trouble = NOTHING;
    char *content = slurp(path_of(), &length);
    assert_int_equal(length, bytes);
    assert_int_equal(file->bytes, bytes);
    int64_t good = 0;
    while (good < bytes && (unsigned char)content[good] == byte_at(good)) good++;
    assert_int_equal(good, bytes);
    for (int64_t i = 0; i < blocks_in(bytes); i++)
        assert_true(file->block[i] == XXH3_64bits(content + i * BLOCK_BYTES, (size_t)block_length(bytes, i)));
    free(content);
}

static const int64_t sizes[] = {0, 1, 4095, 4096, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5};
enum { SIZES = sizeof sizes / sizeof *sizes };

static int make_dir(void **state) {
    if (new_folder(state)) return -1;
    trouble = NOTHING;
    trouble_from = 0;
    char path[256];
    snprintf(path, sizeof path, "%s/runs", root);
    mkdir(path, 0777);
    strcat(path, "/ckpt");
    return mkdir(path, 0777);
}

static void test_sizes(void **unused) {
    (void)unused;
    for (int i = 0; i < SIZES; i++)
        for (int buffered = 0; buffered < 2; buffered++) {
            struct manifest_file file;
            assert_int_equal(write_file(sizes[i], buffered, &file), 0);
            is_whole(sizes[i], &file);
            free(file.block);
        }
}

/* What a system may do, and still keep its word. */
static void test_odd_systems(void **unused) {
    (void)unused;
    static const int odd[] = {SHORT, ODD, INTERRUPTED, NO_DIRECT, NO_DIRECT_READ, SHORT_READ, ODD_READ, NO_THREAD};
    int probe = open(".", O_TMPFILE | O_RDWR | O_DIRECT, 0600);
    if (probe >= 0) close(probe);
    for (size_t k = 0; k < sizeof odd / sizeof *odd; k++)
        for (int buffered = 0; buffered < 2; buffered++) {
            struct manifest_file file;
            trouble = odd[k];
            assert_int_equal(write_file(3 * BLOCK_BYTES + 9000, buffered, &file), 0);
            int by_direct = odd[k] == NO_DIRECT || odd[k] == NO_DIRECT_READ || odd[k] == NO_THREAD;
            assert_int_equal(met > 0, !by_direct || (!buffered && probe >= 0)); /* it was tried indeed */
            is_whole(3 * BLOCK_BYTES + 9000, &file);
            free(file.block);
        }
    if (probe < 0) print_message("this file system has no way past the page cache: half of this was not tried\n");
}

/* Whichever block it is: the first, one in the middle, the last. */
static void test_bad_disks(void **unused) {
    (void)unused;
    static const struct {
        int trouble;
        const char *says;
    } bad[] = {{CORRUPT, "read back differently"}, {LOST, "read back"}, {FULL, ""}, {READ_ERROR, ""}};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        for (int64_t block = 0; block < 4; block++)
            for (int buffered = 0; buffered < 2; buffered++) {
                struct manifest_file file;
                trouble = bad[k].trouble;
                trouble_from = block * BLOCK_BYTES;
                assert_int_equal(write_file(3 * BLOCK_BYTES + 5, buffered, &file), STATUS_FAILED);
                const char *why = bad[k].says;
                if (bad[k].trouble == FULL) why = strerror(ENOSPC);
                if (bad[k].trouble == READ_ERROR) why = strerror(EIO);
                says(path_of(), why);
                if (bad[k].trouble == CORRUPT) {
                    char range[80];
                    snprintf(range, sizeof range, "bytes [%lld, ", (long long)trouble_from);
                    says(range, "");
                }
                free(file.block);
                trouble = NOTHING;
            }
}

static int fail_in_the_middle(void *context, int64_t at, char *block, int64_t length) {
    (void)context;
    memset(block, 0, (size_t)length);
    return at ? fail(STATUS_FAILED, "no more") : 0;
}

static void test_fill_fails(void **unused) {
    (void)unused;
    struct manifest_file file;
    for (int buffered = 0; buffered < 2; buffered++) {
        unlink(path_of());
        assert_int_equal(blocks_write(path_of(), 3 * BLOCK_BYTES, buffered, fail_in_the_middle, NULL, &file),
                         STATUS_FAILED);
        says("no more", "");
        free(file.block);
    }
    assert_int_equal(blocks_write(path_of(), 5, 0, fail_in_the_middle, NULL, &file), STATUS_FAILED); /* it is there */
    says(path_of(), strerror(EEXIST));
    free(file.block);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, make_dir, old_folder),
        cmocka_unit_test_setup_teardown(test_odd_systems, make_dir, old_folder),
        cmocka_unit_test_setup_teardown(test_bad_disks, make_dir, old_folder),
        cmocka_unit_test_setup_teardown(test_fill_fails, make_dir, old_folder),
    };
    return cmocka_run_group_tests(tests, map_shared, NULL);
}
