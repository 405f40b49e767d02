/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int open_temp(void **state)
{
    char name[] = "/tmp/incidentd-fs-XXXXXX";
    char *made = mkdtemp(name);
    assert_non_null(made);
    *state = xstrdup(name);
    return 0;
}

static int remove_temp(void **state)
{
    int rc = fs_remove_tree(AT_FDCWD, *state, NULL);
    free(*state);
    return rc;
}

static int dir_of(void **state)
{
    int fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void replaces_a_file_whole(void **state)
{
    AUTO_CLOSE int dir = dir_of(state);
    assert_int_equal(fs_replace_at(dir, "state.json", "one", 3, 0600, NULL), 0);
    assert_int_equal(fs_replace_at(dir, "state.json", "second", 6, 0600, NULL), 0);
    AUTO_BUF struct buf b = BUF_INIT(100);
    assert_int_equal(fs_read_at(dir, "state.json", &b, NULL), 0);
    assert_string_equal(buf_text(&b), "second");
    assert_int_equal(faccessat(dir, ".state.json.tmp", F_OK, 0), -1);
}

static void reads_at_most_the_maximum_and_says_so(void **state)
{
    AUTO_CLOSE int dir = dir_of(state);
    assert_int_equal(fs_replace_at(dir, "long", "0123456789", 10, 0600, NULL), 0);
    AUTO_BUF struct buf b = BUF_INIT(4);
    struct error err = ERROR_INIT;
    assert_int_equal(fs_read_at(dir, "long", &b, &err), -EMSGSIZE);
    assert_string_equal(buf_text(&b), "0123");
    assert_non_null(strstr(err.message, "'long'"));
}

static void a_fifo_in_place_of_a_file_does_not_hold_us(void **state)
{
    AUTO_CLOSE int dir = dir_of(state);
    assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
    AUTO_BUF struct buf b = BUF_INIT(4);
    assert_int_equal(fs_read_at(dir, "fifo", &b, NULL), 0);
    assert_int_equal(b.len, 0);
}

static void removes_a_tree_without_following_links(void **state)
{
    AUTO_CLOSE int dir = dir_of(state);
    AUTO_CLOSE int inner = fs_make_dir(dir, "inner", 0700, NULL);
    assert_true(inner >= 0);
    assert_int_equal(fs_replace_at(dir, "kept", "x", 1, 0600, NULL), 0);
    assert_int_equal(fs_replace_at(inner, "file", "x", 1, 0600, NULL), 0);
    assert_int_equal(symlinkat("..", inner, "up"), 0);
    assert_int_equal(fs_remove_tree(dir, "inner", NULL), 0);
    assert_int_equal(faccessat(dir, "inner", F_OK, 0), -1);
    assert_int_equal(faccessat(dir, "kept", F_OK, 0), 0);
    assert_int_equal(fs_remove_tree(dir, "absent", NULL), 0);
}

static void a_sealed_memfd_cannot_change(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = fs_sealed_memfd("trigger", "{}", 2, NULL);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    char text[3] = "";
    assert_int_equal(pread(fd, text, 2, 0), 2);
    assert_string_equal(text, "{}");
}

static void names_are_plain(void **state)
{
    (void)state;
    assert_true(fs_name_ok("checkout_availability_20261124T083112.345Z_pod-7c9f_a1b2", 200));
    static const char *const bad[] = {"", ".", "..", ".hidden", "-rf", "a/b", "a b", "a\nb", "a:b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(fs_name_ok(bad[i], 200));
    }
    assert_false(fs_name_ok("abc", 2));
}

/* Nested deeper than a process may have descriptors. */
static void a_tree_of_any_depth_is_removed(void **state)
{
    (void)state;
    char top[] = "/tmp/incidentd-deep-XXXXXX";
    assert_non_null(mkdtemp(top));
    AUTO_CLOSE int at = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 700; i++) {
        int next = fs_make_dir(at, i % 64 == 63 ? ".deep-0" : "d", 0700, NULL);
        assert_true(next >= 0);
        AUTO_CLOSE int file = openat(next, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(file >= 0);
        (void)close(at);
        at = next;
    }
    assert_int_equal(fs_remove_tree(AT_FDCWD, top, NULL), 0);
    assert_int_equal(access(top, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replaces_a_file_whole, open_temp, remove_temp),
        cmocka_unit_test_setup_teardown(reads_at_most_the_maximum_and_says_so, open_temp,
                                        remove_temp),
        cmocka_unit_test_setup_teardown(a_fifo_in_place_of_a_file_does_not_hold_us, open_temp,
                                        remove_temp),
        cmocka_unit_test_setup_teardown(removes_a_tree_without_following_links, open_temp,
                                        remove_temp),
        cmocka_unit_test(a_sealed_memfd_cannot_change),
        cmocka_unit_test(names_are_plain),
        cmocka_unit_test(a_tree_of_any_depth_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
